# SPDX-License-Identifier: Apache-2.0
"""posthouse doctor: what is well, and each fault that was put there by its name and with its remedy; what nodes find out about
themselves."""
import base64
import contextlib
import json
import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from http import server

import psycopg
import pytest

import client as http
import netproxy
from harness import BINARY, Cluster, Postgres, clean_environment, free_port

PGBOUNCER = shutil.which('pgbouncer') or shutil.which('pgbouncer', path='/usr/sbin')
OTHER_KEY = base64.b64encode(b'another-master-key-for-the-tests').decode()


class Report:
    def __init__(self, done):
        self.status = done.returncode
        self.rows = json.loads(done.stdout)
        self.errors = done.stderr.decode()
        assert all(set(row) == {'check', 'status', 'detail', 'remedy'} for row in self.rows)
        assert all(row['status'] in ('ok', 'warn', 'fail') for row in self.rows)
        assert all(row['remedy'] for row in self.rows if row['status'] != 'ok'), self.rows
        assert self.status == any(row['status'] == 'fail' for row in self.rows)

    def of(self, check):
        return [row for row in self.rows if row['check'] == check]

    def has(self, check, status, detail, remedy=''):
        """One line about that check, with these words in its detail and its remedy."""
        found = [row for row in self.of(check) if detail in row['detail']]
        assert len(found) == 1, '%s, %s: %s' % (check, detail, self.of(check) or self.rows)
        assert found[0]['status'] == status and remedy in (found[0]['remedy'] or ''), found


def doctor(cluster, *args, env=None, stdin=None):
    return Report(cluster.cli('doctor', '--json', *args, check=False, env=env, stdin=stdin))


@pytest.fixture(scope='module')
def as_node(world):
    """The environment of the node itself: what a person on its machine has."""
    return dict(POSTHOUSE_DATABASE_URL=world.cluster.node_env['POSTHOUSE_DATABASE_URL'],
                POSTHOUSE_LISTEN='127.0.0.1:%d' % world.node.port, POSTHOUSE_ADMIN_LISTEN='127.0.0.1:%d' % world.node.admin_port)


def test_all_is_well(world, as_node):
    report = doctor(world.cluster, env=as_node)
    ill = [row for row in report.rows if row['status'] != 'ok' and row['check'] != 'server']  # this one has fsync off
    assert report.status == 0 and not ill, ill
    for check in ('configuration', 'listener', 'database', 'schema', 'roles', 'row security', 'master key', 'notifications',
                  'clock', 'connections', 'secrets', 'account', 'upstream', 'node'):
        assert report.of(check), check
    people = world.cluster.cli('doctor', env=as_node).stdout.decode().splitlines()
    assert people[-1].endswith(' 0 failed') and all(line.startswith(('ok ', 'warn  server', ' ')) for line in people[:-1])


def test_a_conversation_through_two_nodes(world, as_node, tmp_path):
    second = world.cluster.node()
    key = tmp_path / 'key'
    key.write_text(world.key + '\n', encoding='ascii')
    report = doctor(world.cluster, '--turn', 'demo', '--key-file', key, '--url', world.node.url, '--url', second.url, env=as_node)
    report.has('turn', 'ok', 'replayed at %s' % second.name)
    report = doctor(world.cluster, '--turn', 'demo', '--key-file', '-', env=as_node, stdin=world.key.encode())
    report.has('turn', 'ok', 'begun at %s' % world.node.name)
    second.stop()
    assert world.cluster.cli('doctor', '--turn', 'demo', check=False).returncode == 2


def test_wrong_key_for_the_turn(world, as_node):
    wrong = world.cluster.key('gone')
    world.cluster.cli('key', 'revoke', 'gone')
    http.eventually(lambda: http.once(world.node.url, wrong, 'GET', '/v1/models').status == 401, within=10)
    report = doctor(world.cluster, '--turn', 'demo', '--key-file', '-', env=as_node, stdin=wrong.encode())
    report.has('turn', 'fail', '401', 'posthouse key create')


def test_wrong_master_key(world, as_node):
    report = doctor(world.cluster, env=dict(as_node, POSTHOUSE_MASTER_KEY=OTHER_KEY))
    report.has('secrets', 'fail', 'account a1', 'POSTHOUSE_MASTER_KEY')
    assert not report.of('upstream')  # nothing is sent without a credential
    report = doctor(world.cluster, env=dict(as_node, POSTHOUSE_MASTER_KEY='c2hvcnQ='))
    report.has('configuration', 'fail', 'POSTHOUSE_MASTER_KEY', 'check-config')


def test_upstream_unreachable_and_revoked(make_cluster):
    """A wrong address, a credential that is refused, an upstream that fails, one without a list of models, one that is silent:
    side by side, each by its name."""
    cluster = make_cluster()
    cluster.account('nowhere', 'stateless', 'http://127.0.0.1:%d/v1' % free_port())
    for name, status in (('fine', 200), ('refused', 401), ('failing', 503), ('bare', 404), ('limited', 429)):
        cluster.account(name, 'stateless', models_server(cluster, status).url)
    cluster.account('lacking', 'stateless', models_server(cluster, 200).url, '--model', 'm1', '--model', 'm9')
    began = time.monotonic()
    report = doctor(cluster)
    assert time.monotonic() - began < 60
    report.has('upstream', 'fail', 'nowhere cannot be reached', 'base URL')
    report.has('upstream', 'ok', 'fine answers')
    report.has('upstream', 'fail', 'refused: the upstream refuses its credential (401)', 'posthouse account add')
    report.has('upstream', 'warn', 'failing: the upstream fails (503)')
    report.has('upstream', 'ok', 'bare answers')
    report.has('upstream', 'warn', 'limited: the upstream limits it')
    report.has('upstream', 'warn', 'lacking is said to serve m9', '--model')
    assert report.status == 1


def models_server(cluster, status):
    """An upstream that has the model m1, and answers the question for its models with this status."""
    class Handler(server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = b'{"object":"list","data":[{"id":"m1","object":"model"}]}'
            if self.path != '/v1/models' or self.headers['Authorization'] != 'Bearer ' + Cluster.UPSTREAM_SECRET:
                self.send_error(418)
                return
            self.send_response(status)
            self.send_header('Content-Length', str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    upstream = server.ThreadingHTTPServer(('127.0.0.1', free_port()), Handler)
    upstream.url = 'http://127.0.0.1:%d/v1' % upstream.server_address[1]
    upstream.close = upstream.shutdown
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    return cluster.own(upstream)


def test_account_states(make_cluster):
    cluster = make_cluster()
    report = doctor(cluster)
    report.has('account', 'fail', 'there is no account', 'posthouse account add')
    url = models_server(cluster, 200).url
    for name in ('rested', 'leaving', 'revoked', 'spent'):
        cluster.account(name, 'stateless', url)
    cluster.cli('account', 'pause', 'rested')
    cluster.cli('account', 'drain', 'leaving')
    for name, state, hours in (('revoked', 'disabled', None), ('spent', 'exhausted', 1)):
        cluster.sql("INSERT INTO posthouse.account_health (account_id, state, until, reason) SELECT account_id, %s, "
                    "now() + %s * interval '1 hour', 'because' FROM posthouse.accounts WHERE name = %s "
                    "ON CONFLICT (account_id) DO UPDATE SET state = excluded.state, until = excluded.until, "
                    "reason = excluded.reason", state, hours, name)
    report = doctor(cluster)
    report.has('account', 'warn', 'rested is paused', 'posthouse account resume')
    report.has('account', 'warn', 'leaving is draining')
    report.has('account', 'fail', 'revoked is disabled: because', 'new credential')
    report.has('account', 'warn', 'spent is exhausted: because, until')
    report.has('account', 'fail', 'no account can take a turn now')


def test_database_faults(world, make_cluster, as_node):
    cluster = world.cluster
    away = 'host=127.0.0.1 port=%d dbname=x user=postgres' % free_port()
    report = doctor(cluster, env=dict(as_node, POSTHOUSE_DATABASE_URL=away))
    report.has('database', 'fail', '127.0.0.1', 'POSTHOUSE_DATABASE_URL')
    assert not report.of('schema') and report.status == 1
    bare = make_cluster(migrated=False)
    doctor(bare).has('schema', 'fail', 'no schema', 'posthouse migrate')
    old = make_cluster()
    old.sql('DELETE FROM posthouse.schema_migrations WHERE version = (SELECT max(version) FROM posthouse.schema_migrations)')
    doctor(old).has('schema', 'fail', 'older', 'posthouse migrate')
    new = make_cluster()
    new.sql("INSERT INTO posthouse.schema_migrations (version, name, checksum, contracting, ms) VALUES (9999, 'x', '', true, 1)")
    doctor(new).has('schema', 'fail', 'newer', 'upgrade posthouse')
    open_wall = make_cluster()
    open_wall.sql('ALTER TABLE posthouse.snapshots DISABLE ROW LEVEL SECURITY')
    doctor(open_wall).has('row security', 'fail', 'only 3 of 4', 'posthouse migrate')
    doctor(make_cluster()).has('row security', 'warn', 'postgres passes by', 'posthouse_node')


def test_few_connections():
    own = Postgres(settings='fsync = off\nmax_connections = 8\nsuperuser_reserved_connections = 2')
    try:
        database = own.create()
        env = dict(clean_environment(), POSTHOUSE_DATABASE_URL=own.dsn(database), POSTHOUSE_MASTER_KEY=OTHER_KEY)
        subprocess.run([BINARY, 'migrate'], env=env, check=True, capture_output=True)
        with contextlib.ExitStack() as stack:
            for _ in range(3):
                stack.enter_context(psycopg.connect(own.dsn(database)))
            report = Report(subprocess.run([BINARY, 'doctor', '--json'], env=env, capture_output=True, check=False))
        report.has('connections', 'fail', 'another node finds no room', 'max_connections')
    finally:
        own.close()


def test_clock_off():
    own = Postgres()
    try:
        database = own.create()
        own.advance(1)
        env = dict(clean_environment(), POSTHOUSE_DATABASE_URL=own.dsn(database), POSTHOUSE_MASTER_KEY=OTHER_KEY)
        report = Report(subprocess.run([BINARY, 'doctor', '--json'], env=env, capture_output=True, check=False))
        report.has('clock', 'warn', 's ahead of this machine', 'NTP')
    finally:
        own.close()


def test_a_slow_database(world, as_node):
    proxy = netproxy.Proxy(('127.0.0.1', world.cluster.postgres.port))
    try:
        proxy.delay = 0.1
        slow = world.cluster.postgres.dsn(world.cluster.database, 'posthouse_node', port=proxy.port)
        report = doctor(world.cluster, env=dict(as_node, POSTHOUSE_DATABASE_URL=slow))
        report.has('latency', 'warn', 'ms to answer', 'pg_stat_activity')
    finally:
        proxy.close()


def test_no_model_and_full_slots(make_cluster, make_upstream):
    """What a turn would meet is what the doctor's turn meets."""
    cluster = make_cluster({'POSTHOUSE_QUEUE_TIMEOUT': '1s'})
    cluster.account('one', 'stateless', make_upstream().url, '--model', 'm1', '--max-streams', '1')
    key, node = cluster.key('k'), cluster.node()
    ask = ('--key-file', '-', '--url', node.url, '--turn')
    doctor(cluster, *ask, 'm2', stdin=key.encode()).has('turn', 'fail', 'no account can serve it', 'posthouse account add --model')
    hold_all_slots(cluster, 'one')
    doctor(cluster, *ask, 'm1', stdin=key.encode()).has('turn', 'fail', '429', 'set_account_limit')


@pytest.fixture
def pooler(postgres):
    """PgBouncer that lends connections per transaction."""
    if not PGBOUNCER:
        pytest.skip('needs pgbouncer')
    port = free_port()
    config = postgres.dir / ('doctor-%d.ini' % port)
    config.write_text('[databases]\n* = host=%s port=%d user=posthouse_node\n[pgbouncer]\nlisten_addr = 127.0.0.1\n'
                      'listen_port = %d\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\n'
                      % (postgres.dir, postgres.port, port), encoding='ascii')
    if os.geteuid() == 0:
        os.chown(config, pwd.getpwnam('postgres').pw_uid, -1)
    with open(postgres.dir / 'doctor-pgbouncer.log', 'ab') as log:
        process = subprocess.Popen([*postgres.as_user, PGBOUNCER, '-q', config], stdout=log, stderr=log, cwd='/tmp')
    http.eventually(lambda: not connect_refused(port), within=20, what='pgbouncer')
    yield 'host=127.0.0.1 port=%d dbname=%%s user=posthouse_node' % port
    process.terminate()
    process.wait(20)


def connect_refused(port):
    with contextlib.suppress(OSError), socket.create_connection(('127.0.0.1', port), 1):
        return False
    return True


def test_pooler_for_listen(world, as_node, pooler):
    through = pooler % world.cluster.database
    report = doctor(world.cluster, env=dict(as_node, POSTHOUSE_DATABASE_URL=through))
    report.has('notifications', 'fail', 'pooler', 'POSTHOUSE_DATABASE_DIRECT_URL')
    direct = as_node['POSTHOUSE_DATABASE_URL']
    report = doctor(world.cluster, env=dict(as_node, POSTHOUSE_DATABASE_URL=through, POSTHOUSE_DATABASE_DIRECT_URL=direct))
    report.has('notifications', 'ok', 'notifications arrive')


def test_listeners(world, as_node):
    nobody = '127.0.0.1:%d' % free_port()
    report = doctor(world.cluster, env=dict(as_node, POSTHOUSE_ADMIN_LISTEN=nobody, POSTHOUSE_LISTEN=nobody))
    report.has('listener', 'warn', 'no node answers', 'posthouse serve')
    report.has('listener', 'warn', 'nothing answers clients')
    stranger = models_server(world.cluster, 200).server_address[1]
    there = '127.0.0.1:%d' % stranger
    report = doctor(world.cluster, env=dict(as_node, POSTHOUSE_ADMIN_LISTEN=there, POSTHOUSE_LISTEN=there))
    assert [row['status'] for row in report.of('listener')] == ['fail', 'fail']
    assert all('is no node of posthouse' in row['detail'] for row in report.of('listener'))


def test_node_draining_and_silent(world, as_node):
    cluster = world.cluster
    node = cluster.node('drained')
    cluster.cli('node', 'drain', 'drained')
    here = dict(as_node, POSTHOUSE_LISTEN='127.0.0.1:%d' % node.port, POSTHOUSE_ADMIN_LISTEN='127.0.0.1:%d' % node.admin_port)
    http.eventually(lambda: node.admin('/readyz').status == 503, within=10)
    report = doctor(cluster, env=here)
    report.has('node', 'warn', 'drained is draining', 'start it again')
    report.has('listener', 'warn', 'is draining', 'start it again')
    node.kill9()
    cluster.sql("UPDATE posthouse.nodes SET heartbeat = now() - interval '1 minute' WHERE name = 'drained'")
    doctor(cluster, env=as_node).has('node', 'warn', 'drained has not been heard of', 'posthouse node forget')
    cluster.cli('node', 'forget', 'drained')


# ---- what a node says of itself ----

def said(cluster, name):
    report, = cluster.sql('SELECT report FROM posthouse_admin.nodes WHERE name = %s', name)[0]
    return {row['check']: row for row in report or []}


def test_a_node_reports(world, as_node):
    report = http.eventually(lambda: said(world.cluster, world.node.name), within=30, what='a report')
    assert {'notifications', 'clock', 'secrets', 'upstreams', 'write queue', 'writes', 'streams', 'open files', 'settings',
            'version'} <= set(report)
    assert {row['status'] for row in report.values()} == {'ok'}, report


def test_a_node_reports_what_is_amiss(make_cluster):
    """Two versions, a secret of another key, a setting that the database overrules: in the view, in the listing and from the
    doctor."""
    cluster = make_cluster()
    cluster.account('a1', 'stateless', 'http://127.0.0.1:9/v1')
    cluster.sql("INSERT INTO posthouse.nodes (node_id, name, version, heartbeat, ttl) VALUES (gen_random_uuid(), 'older', "
                "'0.0.9', now(), '1 hour')")
    cluster.sql("INSERT INTO posthouse.settings (name, value) VALUES ('retention', '86400') ON CONFLICT (name) DO NOTHING")
    cluster.sql("UPDATE posthouse.account_secrets SET sealed = set_byte(sealed, 40, (get_byte(sealed, 40) + 1) %% 256)"
                .replace('%%', '%'))
    node = cluster.node()
    report = http.eventually(lambda: said(cluster, node.name), within=30, what='a report')
    assert report['version']['status'] == 'warn' and '0.0.9' in report['version']['detail']
    assert report['secrets']['status'] == 'fail' and 'a1' in report['secrets']['detail']
    assert report['settings']['status'] == 'warn' and 'retention' in report['settings']['detail']
    found = doctor(cluster)
    for check, status in (('version', 'warn'), ('secrets', 'fail'), ('settings', 'warn')):
        row, = found.of('node %s: %s' % (node.name, check))
        assert row['status'] == status and row['remedy']
    assert b'secrets' in cluster.cli('node', 'list').stdout


def test_a_node_reports_anew(make_cluster):
    """It says so when it is well again; a node that was forgotten tells its new row."""
    cluster = make_cluster()
    cluster.sql("INSERT INTO posthouse.nodes (node_id, name, version, heartbeat, ttl) VALUES (gen_random_uuid(), 'older', "
                "'0.0.9', now(), '1 hour')")
    node = cluster.node()
    http.eventually(lambda: said(cluster, node.name).get('version', {}).get('status') == 'warn', within=30, what='a report')
    cluster.sql("DELETE FROM posthouse.nodes WHERE name = 'older'")
    http.eventually(lambda: said(cluster, node.name)['version']['status'] == 'ok', within=60, what='a second report')
    cluster.cli('node', 'forget', node.name)
    http.eventually(lambda: cluster.sql('SELECT 1 FROM posthouse_admin.nodes WHERE name = %s', node.name)
                    and said(cluster, node.name), within=60, what='a report of its new life')


# ---- a database that is there, and yet does not write well ----

@pytest.fixture
def small_disk():
    """A directory of the user postgres on a file system of its own, with room for one database and not much more."""
    if os.geteuid() != 0:
        pytest.skip('mounting a file system needs root')
    place = pathlib.Path(tempfile.mkdtemp(prefix='ph-disk-', dir='/tmp'))
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', place], capture_output=True, check=False).returncode:
        place.rmdir()
        pytest.skip('no file system can be mounted here')
    user = pwd.getpwnam('postgres')
    os.chown(place, user.pw_uid, user.pw_gid)
    yield place
    subprocess.run(['umount', '-l', place], check=True)
    place.rmdir()


def fill(path):
    with open(path, 'wb', buffering=0) as ballast, contextlib.suppress(OSError):
        for size in (1 << 20, 4096):
            with contextlib.suppress(OSError):
                while ballast.write(bytes(size)):
                    pass


def told(node):
    return json.loads(node.admin('/status.json').body)


@pytest.mark.timeout(300)  # three reports of a node, half a minute apart
def test_the_disk_is_full(small_disk, tmp_path, make_upstream):
    """Of the database's files, for real. The node says so in its report and on its page, the doctor repeats it; and all is well
    again when there is room."""
    own = Postgres()
    cluster = None
    try:
        cluster = Cluster(own, tmp_path, None)
        own.sql('postgres', "CREATE TABLESPACE small LOCATION '%s'" % small_disk)
        own.sql('postgres', 'ALTER DATABASE %s SET TABLESPACE small' % cluster.database)
        cluster.cli('migrate')
        cluster.account('a1', 'stateless', make_upstream().url)
        node, key = cluster.node(), cluster.key('k1')
        with http.Client(node.url, key) as api:
            assert api.post({'model': 'demo', 'input': 'while there is room'}).status == 200
        http.eventually(lambda: said(cluster, node.name), within=30, what='a report')
        fill(small_disk / 'ballast')

        def refused():
            with http.Client(node.url, key) as api:
                api.post({'model': 'demo', 'input': os.urandom(200000).hex()})
            return told(node)['write_state'] == '53100'
        http.eventually(refused, within=60, what='a write that is refused')
        http.eventually(lambda: said(cluster, node.name)['writes']['status'] == 'fail', within=60, what='a report of it')
        doctor(cluster).has('node %s: writes' % node.name, 'fail', 'the disk of PostgreSQL is full', 'make room')
        shown, = [row for row in told(node)['cluster']['doctor'] if row['check'].endswith(' writes')]
        assert 'disk' in shown['detail'] and 'make room' in shown['remedy']
        os.unlink(small_disk / 'ballast')

        def well():
            with http.Client(node.url, key) as api:
                return api.post({'model': 'demo', 'input': 'room again'}).status == 200 and not told(node)['write_state']
        http.eventually(well, within=60, what='writes that succeed')
        http.eventually(lambda: said(cluster, node.name)['writes']['status'] == 'ok', within=60, what='a report of that')
    finally:
        if cluster:
            cluster.close()
        own.close()


def test_commits_are_slow(make_cluster, make_upstream):
    """What a node finds where each of its commits takes long: here because of the way there."""
    cluster = make_cluster()
    cluster.account('a1', 'stateless', make_upstream().url)
    proxy = netproxy.Proxy(('127.0.0.1', cluster.postgres.port))
    try:
        slow = cluster.postgres.dsn(cluster.database, 'posthouse_node', port=proxy.port)
        node, key = cluster.node(env={'POSTHOUSE_DATABASE_URL': slow}), cluster.key('k1')
        proxy.delay = 0.4

        def noticed():
            with http.Client(node.url, key) as api:
                api.post({'model': 'demo', 'input': 'x'})
            return said(cluster, node.name).get('writes', {}).get('status') == 'warn'
        http.eventually(noticed, within=60, what='a report of slow commits')
        doctor(cluster).has('node %s: writes' % node.name, 'warn', 'PostgreSQL is slow', 'pg_stat_activity')
        assert told(node)['commit_ms'] > 250
        proxy.delay = 0
        node.stop()
    finally:
        proxy.close()


# ---- the same on the status page ----

def hold_all_slots(cluster, account):
    """A node that does not exist has them, for an hour."""
    cluster.sql('INSERT INTO posthouse.nodes (node_id, name, version, heartbeat, ttl, life) SELECT gen_random_uuid(), %s, version, '
                "now(), '1 hour', life FROM posthouse.nodes LIMIT 1", 'holder')
    cluster.sql("INSERT INTO posthouse.account_leases (account_id, node_id, slots, running, expires_at, life) SELECT a.account_id, "
                "n.node_id, a.max_streams, a.max_streams, now() + interval '1 hour', n.life FROM posthouse.accounts a, "
                "posthouse.nodes n WHERE n.name = 'holder' AND a.name = %s", account)


def test_faults_on_the_page(make_cluster, make_upstream):
    """What the page is told is enough to name them: states and reasons of accounts, nodes, and what doctor found."""
    cluster = make_cluster({'POSTHOUSE_QUEUE_TIMEOUT': '20s'})
    cluster.account('full', 'stateless', make_upstream().url, '--model', 'm1', '--max-streams', '1')
    cluster.account('nowhere', 'stateless', 'http://127.0.0.1:%d/v1' % free_port(), '--model', 'm2')
    for name, state in (('spent', 'exhausted'), ('revoked', 'disabled'), ('sealed', 'active')):
        cluster.account(name, 'stateless', 'http://127.0.0.1:9/v1', '--model', 'm3')
        cluster.sql("INSERT INTO posthouse.account_health (account_id, state, until, reason) SELECT account_id, %s, "
                    "CASE %s WHEN 'exhausted' THEN now() + interval '1 hour' END, 'because' FROM posthouse.accounts WHERE name = %s "
                    'ON CONFLICT (account_id) DO UPDATE SET state = excluded.state, until = excluded.until, '
                    'reason = excluded.reason', state, state, name)
    cluster.sql('UPDATE posthouse.account_secrets SET sealed = set_byte(sealed, 40, (get_byte(sealed, 40) + 1) & 255) '
                "WHERE account_id = (SELECT account_id FROM posthouse.accounts WHERE name = 'sealed')")
    key, node, other = cluster.key('k1'), cluster.node('here'), cluster.node('there')
    cluster.cli('node', 'drain', 'there')
    hold_all_slots(cluster, 'full')
    with http.Client(node.url, key) as api:
        assert api.post({'model': 'm2', 'input': 'x'}).status == 503
        assert api.post({'model': 'm9', 'input': 'x'}).status in (400, 404, 503)
    waiting = threading.Thread(target=http.once, args=(node.url, key, 'POST', '/v1/responses'),
                               kwargs={'body': {'model': 'm1', 'input': 'x'}}, daemon=True)
    waiting.start()

    def missing():
        accounts = {a['name']: a for a in told(node)['cluster']['accounts']}
        return accounts['full']['missing'] and accounts
    accounts = http.eventually(missing, within=15, what='a turn that waits')
    report = doctor(cluster)
    report.has('leases', 'warn', 'full: 1 turns wait', 'set_account_limit')
    assert accounts['spent']['state'] == 'exhausted' and accounts['spent']['until'] and accounts['spent']['reason'] == 'because'
    assert accounts['revoked']['state'] == 'disabled'
    waiting.join(60)

    def rows():
        found = {row['check']: row for row in told(node)['cluster']['doctor']}
        return {'node here: secrets', 'node here: upstreams'} <= set(found) and found
    found = http.eventually(rows, within=60, what='reports of both')
    assert 'sealed' in found['node here: secrets']['detail'] and found['node here: secrets']['remedy']
    assert 'nowhere' in found['node here: upstreams']['detail'] and found['node here: upstreams']['remedy']
    picture = told(node)
    assert {n['name']: n['state'] for n in picture['cluster']['nodes']}['there'] == 'draining'
    errors = {e['error'] for e in picture['cluster']['errors']}
    assert errors and errors <= set(picture['remedies']), errors
    other.stop()
