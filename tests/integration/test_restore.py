# SPDX-License-Identifier: Apache-2.0
"""The database is dumped, and restored into a server that has not come as far: conversations go on, figures by hour are exact."""
import os
import subprocess

import pytest

import client as http
from harness import Cluster, FakeUpstream, Postgres

TURNS = 5


def figures(cluster):
    return cluster.sql('SELECT coalesce(sum(requests), 0)::int FROM posthouse_admin.usage_by_key')[0][0]


def dump(source, target):
    """Roles, then the database; psql says what it could not do."""
    program = source.postgres.programs
    text = subprocess.run([os.path.join(program, 'pg_dumpall'), '--roles-only', '-d', source.postgres.dsn('postgres')],
                          capture_output=True, timeout=100, check=True).stdout.replace(b'CREATE ROLE postgres;', b'')
    text += subprocess.run([os.path.join(program, 'pg_dump'), '-d', source.postgres.dsn(source.database)],
                           capture_output=True, timeout=100, check=True).stdout
    done = subprocess.run([os.path.join(program, 'psql'), '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', target.postgres.dsn(target.database)],
                          input=text, capture_output=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr.decode()[-2000:]


@pytest.fixture
def second(tmp_path):
    server = Postgres()
    cluster = Cluster(server, tmp_path, None)
    yield cluster
    try:
        cluster.close()
    finally:
        server.close()


def test_dump_and_restore(make_cluster, second):
    first = make_cluster()
    upstream = second.own(FakeUpstream([('s1', 'stateless')]))
    first.account('s1', 'stateless', upstream.base('s1'))
    key, node = first.key('k1'), first.node()
    first.sql('DO $$ BEGIN FOR i IN 1..20000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$')  # far ahead
    with http.Client(node.url, key) as api:
        turn = api.turn({'model': 'demo', 'input': 'one'})
        for _ in range(TURNS - 1):
            turn = api.turn({'model': 'demo', 'input': 'more', 'previous_response_id': turn.id})
        http.eventually(lambda: figures(first) == TURNS, within=60)
        first.sql("UPDATE posthouse.jobs SET due = now() + interval '1 hour' WHERE name = 'usage'")
        turn = api.turn({'model': 'demo', 'input': 'not counted yet', 'previous_response_id': turn.id})
    node.stop()
    assert figures(first) == TURNS and first.sql('SELECT count(*) FROM posthouse_admin.requests') == [(TURNS + 1,)]

    dump(first, second)
    second.secrets.add(key)
    second.sql("UPDATE posthouse.jobs SET due = now() WHERE name = 'usage'")
    ahead = second.sql('SELECT m.next > pg_snapshot_xmax(pg_current_snapshot())::text::bigint FROM posthouse.usage_mark m')
    assert ahead == [(True,)], 'the new server has not come as far'
    with http.Client(second.node().url, key) as api:
        turn = api.turn({'model': 'demo', 'input': 'here', 'previous_response_id': turn.id})
        assert turn.continuity == 'replayed'
        for n in range(TURNS):
            api.turn({'model': 'demo', 'input': 'and %d' % n, 'previous_response_id': turn.id})
    http.eventually(lambda: figures(second) == 2 * TURNS + 2, within=60, what='%d turns counted' % figures(second))
    assert second.sql("SELECT status FROM posthouse_admin.doctor WHERE \"check\" IN ('schema', 'roles', 'row-level security', 'secrets', "
                      "'partitions')") == [('ok',)] * 5
