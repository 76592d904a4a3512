# SPDX-License-Identifier: Apache-2.0
"""docs/operating.md, tried as a new operator would: every line of SQL is said by somebody who is an operator and nothing else, and
answers with the columns that the page shows; every command is known and works."""
import re
import shlex
import time

import psycopg
import pytest

import client as http
from harness import ROOT, FakeUpstream

PAGE = (ROOT / 'docs' / 'operating.md').read_text(encoding='utf-8')
STEP = re.compile(r'^    (?P<prompt>posthouse=> |\$ posthouse )(?P<line>.*)\n(?P<first>    .*)?', re.MULTILINE)
STEPS = [(m['prompt'].strip(), m['line'], (m['first'] or '').strip()) for m in STEP.finditer(PAGE)]


class World:
    """What the page's output is about: two nodes, two accounts, two keys, a conversation, a turn that failed."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.upstream = cluster.own(FakeUpstream([('openai', 'platform'), ('local', 'stateless')]))
        cluster.account('openai', 'platform', self.upstream.base('openai'), '--max-streams', '4')
        cluster.account('local', 'stateless', self.upstream.base('local'))
        self.nodes = [cluster.node('n1'), cluster.node('n2')]
        with http.Client(self.nodes[0].url, cluster.key('laptop')) as api:
            first = api.turn({'model': 'demo', 'input': 'one'})
            self.last = api.turn({'model': 'demo', 'input': 'two', 'previous_response_id': first.id}).id
            failed = api.post({'model': 'demo', 'input': 'x', 'previous_response_id': 'resp_' + '0' * 48},
                              headers={'X-Request-Id': 'operating-failed'})
            assert failed.status == 400, failed
        cluster.key('ci')
        cluster.sql('DO $$ BEGIN CREATE ROLE alice LOGIN IN ROLE posthouse_operator; '
                    'EXCEPTION WHEN duplicate_object THEN NULL; END $$')
        cluster.sql("ALTER ROLE alice SET statement_timeout = '30s'")  # or doctor would name her, also to other tests
        self.dsn = cluster.postgres.dsn(cluster.database, 'alice')

    def in_place(self, line):
        """Ids that the page shows, by those of this world."""
        return re.sub(r"resp_\w+", self.last, re.sub(r"req_\w+", 'operating-failed', line))


@pytest.fixture(scope='module')
def world(make_cluster):
    return World(make_cluster())


def columns_of(heading):
    return [name.strip() for name in heading.split('|')]


def test_the_page_has_the_tasks():
    assert len([s for s in STEPS if s[0] == 'posthouse=>']) >= 15 and len([s for s in STEPS if s[0] != 'posthouse=>']) >= 6
    for task in ('Pause an account', 'Find why a request failed', 'Find the slow request', 'cost by key', 'revoke a key', 'Change a limit',
                 'Free a stuck slot', 'Drain a node', 'Read a chain', 'Purge', 'Change retention', 'new master key'):
        assert re.search('^## .*' + task, PAGE, re.MULTILINE), task


def test_every_line_of_sql(world):
    http.eventually(lambda: world.cluster.sql('SELECT 1 FROM posthouse_admin.requests HAVING count(*) >= 2'))
    with psycopg.connect(world.dsn, autocommit=True) as conn:
        for prompt, line, heading in STEPS:
            if prompt == 'posthouse=>':
                cursor = conn.execute(world.in_place(line))
                assert [c.name for c in cursor.description] == columns_of(heading), line
        actors = conn.execute('SELECT DISTINCT actor FROM posthouse_admin.audit WHERE verb = %s', ['drain_node']).fetchall()
        assert actors == [('alice',)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute('SELECT * FROM posthouse.account_secrets')


def test_every_command(world):
    env = {'POSTHOUSE_DATABASE_URL': world.dsn}
    for prompt, line, _ in STEPS:
        if prompt != 'posthouse=>' and not line.startswith('doctor'):  # whose status is what it found
            done = world.cluster.cli(*shlex.split(world.in_place(line)), env=env, check=False)
            assert done.returncode == 0, (line, done)


def test_figures_by_hour_come_by_themselves(world):
    """The nodes add up what came, exactly once."""
    def agree():
        counted, = world.cluster.sql('SELECT coalesce(sum(requests), 0) FROM posthouse_admin.usage_by_key')
        logged, = world.cluster.sql('SELECT count(*) FROM posthouse_admin.requests')
        return counted == logged and logged[0] > 0
    http.eventually(agree, within=60)
    with http.Client(world.nodes[1].url, world.cluster.key('later')) as api:
        for _ in range(10):
            api.turn({'model': 'demo', 'input': 'x'})
    time.sleep(0.1)
    http.eventually(agree, within=60)
    assert world.cluster.sql("SELECT requests, failed, input_tokens > 0 FROM posthouse_admin.usage_by_key "
                             "WHERE key_name = 'later'") == [(10, 0, True)]


def test_a_key_made_by_sql_is_a_key(world):
    """Every node takes it, and refuses it once it is revoked."""
    with psycopg.connect(world.dsn, autocommit=True) as conn:
        key, = conn.execute("SELECT posthouse_admin.create_api_key('from sql', '{\"expires\": \"1h\"}')").fetchone()
        world.cluster.secrets.add(key)
        for node in world.nodes:
            with http.Client(node.url, key) as api:
                assert api.turn({'model': 'demo', 'input': 'x'}).id
        conn.execute("SELECT * FROM posthouse_admin.revoke_api_key('from sql')")
        for node in world.nodes:
            http.eventually(lambda n=node: http.once(n.url, key, 'POST', '/v1/responses', {'model': 'demo', 'input': 'x'}).status == 401)


def test_purged_ids_are_unknown(world):
    """On every node, for that key alone."""
    with psycopg.connect(world.dsn, autocommit=True) as conn:
        key, = conn.execute("SELECT posthouse_admin.create_api_key('to purge', '{\"accounts\": [\"local\"]}')").fetchone()
        world.cluster.secrets.add(key)
        with http.Client(world.nodes[0].url, key) as api:
            turn = api.turn({'model': 'demo', 'input': 'x'})
        assert conn.execute("SELECT purged, complete FROM posthouse_admin.purge_snapshots('to purge', 'test')").fetchone() == (1, True)
        for node in world.nodes:
            with http.Client(node.url, key) as api:
                answer = api.post({'model': 'demo', 'input': 'y', 'previous_response_id': turn.id})
                assert answer.status == 400 and answer.error['code'] == 'previous_response_not_found'
