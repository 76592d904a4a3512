# SPDX-License-Identifier: Apache-2.0
"""Running it: starts and refusals, health, metrics, drain, changes that reach a running node, what is written down."""
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time

import psycopg
import pytest

import client as http
import rawupstream as raw
from harness import BINARY, ROOT, figure, free_port

REACH = 10.0  # promise 6 says 50 ms: the figure is printed; what is asserted is that no poll, every 60 s, was waited for


# ---- the admin listener ----

def test_health(world):
    for path in ('/livez', '/readyz', '/startupz'):
        assert world.node.admin(path).status == 200
    assert world.node.admin('/nothing').status == 404
    assert http.once(world.node.admin_url, None, 'POST', '/livez', b'{}').status == 405


def test_metrics_format(world, api):
    api.turn({'model': 'demo', 'input': 'x', 'stream': True})
    answer = world.node.admin('/metrics')
    assert answer.status == 200 and answer.header('content-type').startswith('text/plain; version=0.0.4')
    types, seen = {}, set()
    for line in answer.body.decode().splitlines():
        if line.startswith('# TYPE '):
            _, _, name, kind = line.split(' ')
            assert name not in types, 'told twice: ' + name
            types[name] = kind
        elif line and not line.startswith('#'):
            found = re.fullmatch(r'((?:posthouse|gen_ai)_[a-z_]+)(\{([a-z_]+="[^"]*",?)*\})? -?[0-9.e+-]+(Inf)?', line)
            assert found, line
            assert line.rsplit(' ', 1)[0] not in seen, line
            seen.add(line.rsplit(' ', 1)[0])
            base = re.sub(r'_(bucket|sum|count)$', '', found.group(1))
            assert found.group(1) in types or base in types, line
    assert all(name.endswith('_total') for name, kind in types.items() if kind == 'counter')
    assert world.node.metric('posthouse_turns_total', continuity='none', outcome='completed') >= 1
    assert world.node.metric('posthouse_request_duration_seconds_count') >= 1


def test_metrics_keep_count(world, api):
    def counts():
        return [world.node.metric(name, **labels) for name, labels in (
            ('posthouse_turns_total', {'continuity': 'none', 'outcome': 'completed'}),
            ('posthouse_turns_total', {'continuity': 'replayed', 'outcome': 'completed'}),
            ('posthouse_requests_total', {'code': '4xx'}), ('posthouse_input_tokens_total', {}))]
    before = counts()
    first = api.turn({'model': 'demo', 'input': 'x'})
    api.turn({'model': 'demo', 'input': 'y', 'previous_response_id': first.id})
    assert api.post(b'{').status == 400
    def grown():
        return [after - start for start, after in zip(before, counts())]
    http.eventually(lambda: grown() == [1, 1, 1, 6] or time.sleep(0.5), within=5, what='counters: %s' % grown())


def test_the_log_of_requests(world, api):
    turn = api.turn({'model': 'demo', 'input': 'x', 'stream': True}, headers={'X-Request-Id': 'log-me'})
    columns = 'key_name, node, route, model, account, continuity, outcome, status, error, stream, attempts, response_id'
    rows = http.eventually(lambda: world.cluster.sql(
        "SELECT %s, input_tokens, output_tokens FROM posthouse_admin.requests WHERE request_id = 'log-me'" % columns))
    assert len(rows) == 1
    row = dict(zip([c.strip() for c in columns.split(',')] + ['input_tokens', 'output_tokens'], rows[0]))
    assert row['route'] and (row['key_name'], row['node'], row['model'], row['account'], row['continuity'],
                             row['outcome'], row['status'], row['error'], row['stream'], row['attempts'],
                             row['response_id'], row['input_tokens'], row['output_tokens']) == (
        'k1', world.node.name, 'demo', 'a1', 'none', 'completed', 200, None, True, 1, turn.id, 3, 2)


def test_log_lines_are_json(world, api):
    api.turn({'model': 'demo', 'input': 'a body that no log may hold'}, headers={'X-Request-Id': 'log-line-1'})
    def lines():
        return [json.loads(line) for line in world.node.text().decode().splitlines()]
    found = http.eventually(lambda: [line for line in lines() if line.get('request_id') == 'log-line-1'])
    assert {'ts', 'level', 'msg', 'node'} <= set(found[-1])
    assert b'a body that no log may hold' not in world.node.text()


# ---- changes reach a running node ----

def reached(check, what):
    start = time.monotonic()
    http.eventually(check, within=REACH, every=0.005, what=what)
    figure('%s reached the node after %.0f ms' % (what, (time.monotonic() - start) * 1000))


def test_accounts_reach_a_running_node(make_cluster, make_upstream):
    cluster, one, two = make_cluster({'POSTHOUSE_POLL_INTERVAL': '60s'}), make_upstream(), make_upstream()
    key, node = cluster.key('k1'), cluster.node()
    with http.Client(node.url, key) as api:
        body = {'model': 'demo', 'input': 'x'}
        none = api.post(body)
        assert none.status == 503 and none.error['code'] == 'no_accounts' and none.header('retry-after'), none
        cluster.account('one', 'stateless', one.url)
        reached(lambda: api.post(body).status == 200, 'account add')
        cluster.cli('account', 'pause', 'one', '--reason', 'test')
        reached(lambda: api.post(body).status == 503, 'account pause')
        cluster.cli('account', 'resume', 'one')
        reached(lambda: api.post(body).status == 200, 'account resume')
        cluster.account('two', 'stateless', two.url)
        reached(lambda: api.post(body).status == 200 and two.turns(), 'second account')
        cluster.account('one', 'stateless', two.url)  # an existing name of the same kind is updated
        one.clear()
        reached(lambda: api.post(body).status == 200 and api.post(body).status == 200 and not one.clear()
                and api.post(body).status == 200 and not one.turns(), 'account update')
        cluster.cli('account', 'remove', 'one')
        cluster.cli('account', 'remove', 'two')
        reached(lambda: api.post(body).status == 503, 'account remove')
    verbs = [row[0] for row in cluster.sql('SELECT verb FROM posthouse_admin.audit ORDER BY audit_id')]
    assert 'pause_account' in verbs and 'resume_account' in verbs


def test_keys_reach_a_running_node(make_cluster, make_upstream):
    cluster, upstream = make_cluster({'POSTHOUSE_POLL_INTERVAL': '60s'}), make_upstream()
    cluster.account('one', 'stateless', upstream.url)
    node = cluster.node()
    key = cluster.key('late')
    body = {'model': 'demo', 'input': 'x'}

    def status():
        return http.once(node.url, key, 'POST', '/v1/responses', body).status
    assert status() == 200, 'a new key works at once: an unknown well-formed one costs one read'
    cluster.cli('key', 'revoke', 'late')
    reached(lambda: status() == 401, 'key revoke')
    before = time.monotonic()
    short = cluster.key('short', '--expires', '2s')
    at_once = http.once(node.url, short, 'POST', '/v1/responses', body).status
    assert at_once == 200 or time.monotonic() - before > 2
    http.eventually(lambda: http.once(node.url, short, 'POST', '/v1/responses', body).status == 401, within=10)


def test_polling_finds_what_no_notification_told(make_cluster, make_upstream):
    cluster, upstream = make_cluster({'POSTHOUSE_POLL_INTERVAL': '500ms'}), make_upstream()
    cluster.account('one', 'stateless', upstream.url)
    key, node = cluster.key('k1'), cluster.node()
    with http.Client(node.url, key) as api:
        assert api.post({'model': 'demo', 'input': 'x'}).status == 200
        time.sleep(1.5)  # the first poll only learns where the versions stand
        with psycopg.connect(cluster.postgres.dsn(cluster.database)) as conn:  # a change without NOTIFY
            conn.execute("UPDATE posthouse.accounts SET state = 'paused'")
            conn.execute("UPDATE posthouse.topics SET version = version + 1 WHERE topic = 'accounts'")
        http.eventually(lambda: api.post({'model': 'demo', 'input': 'x'}).status == 503, within=5)
    http.eventually(lambda: node.metric('posthouse_notifications_missed_total') >= 1)


def test_the_listener_is_replaced_when_it_is_killed(make_cluster, make_upstream):
    cluster, upstream = make_cluster({'POSTHOUSE_POLL_INTERVAL': '60s'}), make_upstream()
    cluster.account('one', 'stateless', upstream.url)
    key, node = cluster.key('k1'), cluster.node()
    with http.Client(node.url, key) as api:
        for n in range(5):
            cluster.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND usename = %s",
                        cluster.database, 'posthouse_node')
            cluster.cli('account', 'pause' if n % 2 == 0 else 'resume', 'one')
            want = 503 if n % 2 == 0 else 200
            http.eventually(lambda w=want: api.post({'model': 'demo', 'input': 'x'}).status == w, within=10)


def test_models_and_accounts_of_a_key(make_cluster, make_upstream):
    cluster, one, two = make_cluster(), make_upstream(), make_upstream()
    cluster.account('one', 'stateless', one.url)
    cluster.account('two', 'stateless', two.url, '--model', 'big')
    narrow = cluster.key('narrow', '--model', 'demo', '--account', 'two')
    wide = cluster.key('wide')
    node = cluster.node()
    with http.Client(node.url, narrow) as api:
        denied = api.post({'model': 'big', 'input': 'x'})
        assert denied.status == 403 and denied.error['code'] == 'model_not_allowed'
        assert api.post({'model': 'demo', 'input': 'x'}).status in (404, 503), 'its only account does not serve that model'
    with http.Client(node.url, wide) as api:
        for _ in range(4):
            assert api.post({'model': 'demo', 'input': 'x'}).status == 200
    assert len(one.turns()) == 4 and not two.turns()


# ---- drain ----

def paced(go):
    def handler(x):
        pieces = raw.events(raw.new_id()) + [raw.DONE]
        x.start_stream()
        for piece in pieces[:5]:
            x.chunk(piece)
        go.wait(20)
        for piece in pieces[5:]:
            x.chunk(piece)
        x.end_stream()
    return handler


def running_turn(cluster, upstream, key, go):
    """A node with a turn in the middle of its stream; returns (node, client, answer, bytes so far)."""
    upstream.then(paced(go))
    node = cluster.node()
    api = http.Client(node.url, key)
    answer = api.open('POST', '/v1/responses', {'model': 'demo', 'input': 'x', 'stream': True})
    found = b''
    while b'output_text.delta' not in found:
        found += answer.read1(65536)
    return node, api, answer, found


def test_drain_lets_running_turns_end(make_cluster, make_upstream):
    cluster, upstream, go = make_cluster(), make_upstream(), threading.Event()
    cluster.account('s1', 'stateless', upstream.url)
    key = cluster.key('k1')
    node, api, answer, found = running_turn(cluster, upstream, key, go)
    idle = socket.create_connection(('127.0.0.1', node.port))
    node.signal(signal.SIGTERM)
    http.eventually(lambda: node.admin('/readyz').status == 503, within=2)
    assert node.admin('/livez').status == 200
    # for some seconds it still accepts: balancers learn late
    late = http.once(node.url, key, 'POST', '/v1/responses', {'model': 'demo', 'input': 'late'})
    assert late.status == 200 and late.header('connection') == 'close'
    http.eventually(lambda: not http_open(node.port), within=10, what='listener closed')
    assert node.running
    go.set()
    while True:
        piece = answer.read1(65536)
        if not piece:
            break
        found += piece
    events, done = http.parse_stream(found)
    http.check_stream(events, done)
    assert events[-1].type == 'response.completed'
    assert node.wait(15) == 0
    idle.close()
    api.close()
    # and it was committed
    other = cluster.node()
    turn = http.Client(other.url, key).turn({'model': 'demo', 'input': 'y',
                                             'previous_response_id': events[0].data['response']['id']})
    assert turn.continuity == 'replayed'


def http_open(port):
    try:
        socket.create_connection(('127.0.0.1', port), timeout=1).close()
        return True
    except OSError:
        return False


def test_a_second_signal_ends_at_once(make_cluster, make_upstream):
    cluster, upstream, go = make_cluster(), make_upstream(), threading.Event()
    cluster.account('s1', 'stateless', upstream.url)
    node, api, _, _ = running_turn(cluster, upstream, cluster.key('k1'), go)
    node.signal(signal.SIGTERM)
    time.sleep(0.3)
    assert node.running
    node.signal(signal.SIGTERM)
    assert node.wait(3) == 1
    go.set()
    api.close()


def test_the_drain_ends_in_time(make_cluster, make_upstream):
    cluster, upstream, go = make_cluster({'POSTHOUSE_DRAIN_TIMEOUT': '4s'}), make_upstream(), threading.Event()
    cluster.account('s1', 'stateless', upstream.url)
    node, api, answer, found = running_turn(cluster, upstream, cluster.key('k1'), go)
    start = time.monotonic()
    node.signal(signal.SIGINT)
    assert node.wait(20) == 1, 'turns were cut'
    assert 3 < time.monotonic() - start < 15
    try:
        while True:
            piece = answer.read1(65536)
            if not piece:
                break
            found += piece
    except (OSError, http.http.client.HTTPException):
        pass
    assert b'response.completed' not in found
    go.set()
    api.close()


# ---- starting ----

def serve(env, *args, timeout=20):
    """A start that must be refused: (status, standard error)."""
    done = subprocess.run([str(BINARY), 'serve', *args], env=env, capture_output=True, timeout=timeout, check=False)
    return done.returncode, done.stderr.decode()


def one_line(text, *words):
    lines = [line for line in text.splitlines() if line.strip()]
    assert len(lines) == 1, text
    for word in words:
        assert word in lines[0], lines[0]


@pytest.mark.parametrize('name, value', [
    ('POSTHOUSE_LISTEN', 'nonsense'), ('POSTHOUSE_LISTEN', '127.0.0.1:99999'), ('POSTHOUSE_ADMIN_LISTEN', ':'),
    ('POSTHOUSE_WORKERS', '0'), ('POSTHOUSE_WORKERS', 'many'), ('POSTHOUSE_WORKERS', '1000'),
    ('POSTHOUSE_MAX_BODY', '64 potatoes'), ('POSTHOUSE_MAX_BODY', '-1'), ('POSTHOUSE_RETENTION', 'forever'),
    ('POSTHOUSE_IDLE_TIMEOUT', '5 parsecs'), ('POSTHOUSE_HOLD_TIMEOUT', '-1s'), ('POSTHOUSE_AUTH', 'maybe'),
    ('POSTHOUSE_SNAPSHOTS', 'some'), ('POSTHOUSE_LOG_LEVEL', 'loud'), ('POSTHOUSE_LOG_FORMAT', 'xml'),
    ('POSTHOUSE_UPSTREAM_TRANSPORT', 'pigeon'), ('POSTHOUSE_WEBSOCKET', 'perhaps'),
    ('POSTHOUSE_MASTER_KEY', 'c2hvcnQ='), ('POSTHOUSE_MASTER_KEY', 'not base64!'),
    ('POSTHOUSE_MASTER_KEY_FILE', '/nonexistent/key'), ('POSTHOUSE_UPSTREAM_CA_FILE', '/nonexistent/ca'),
    ('POSTHOUSE_TLS_CERT_FILE', '/nonexistent/cert'), ('POSTHOUSE_NODE_NAME', 'x' * 300),
])
def test_bad_settings_stop_the_start(world, name, value):
    """One line that names the variable and gives a valid example."""
    env = dict(world.cluster.node_env, POSTHOUSE_LISTEN='127.0.0.1:%d' % free_port(),
               POSTHOUSE_ADMIN_LISTEN='127.0.0.1:%d' % free_port())
    if name.endswith('_FILE') and name[:-5] in env:
        del env[name[:-5]]
    env[name] = value
    status, text = serve(env)
    assert status == 1, text
    one_line(text, name)


def test_both_a_value_and_its_file(world, tmp_path):
    file = tmp_path / 'key'
    file.write_text(world.cluster.MASTER_KEY, encoding='ascii')
    status, text = serve(dict(world.cluster.node_env, POSTHOUSE_MASTER_KEY_FILE=str(file)))
    assert status == 1
    one_line(text, 'POSTHOUSE_MASTER_KEY', 'POSTHOUSE_MASTER_KEY_FILE')


@pytest.mark.parametrize('args', [['--listen'], ['--no-such-flag'], ['extra'], ['--workers=']])
def test_bad_usage(world, args):
    status, text = serve(world.cluster.node_env, *args)
    assert status in ((1, 2) if args == ['--workers='] else (2,)), text
    one_line(text)


def test_bad_flag_value(world):
    status, text = serve(world.cluster.node_env, '--listen', 'nonsense')
    assert status in (1, 2)
    one_line(text, 'listen')


def test_auth_off_only_on_loopback(world, make_upstream):
    env = dict(world.cluster.node_env, POSTHOUSE_AUTH='off', POSTHOUSE_ADMIN_LISTEN='127.0.0.1:%d' % free_port())
    status, text = serve(dict(env, POSTHOUSE_LISTEN='0.0.0.0:%d' % free_port()))
    assert status == 1
    one_line(text, 'POSTHOUSE_AUTH')
    node = world.cluster.node('anonymous', {'POSTHOUSE_AUTH': 'off'})
    with http.Client(node.url) as api:
        turn = api.turn({'model': 'demo', 'input': 'x'})
        assert api.turn({'model': 'demo', 'input': 'y', 'previous_response_id': turn.id}).continuity == 'replayed'
    with http.Client(world.node.url, world.key) as api:
        refused = api.post({'model': 'demo', 'input': 'y', 'previous_response_id': turn.id})
        assert refused.status == 400, 'the anonymous scope is a scope'
    node.stop()


@pytest.mark.parametrize('which', ['POSTHOUSE_LISTEN', 'POSTHOUSE_ADMIN_LISTEN'])
def test_busy_port(world, which):
    with socket.create_server(('127.0.0.1', 0)) as taken:
        address = '127.0.0.1:%d' % taken.getsockname()[1]
        env = dict(world.cluster.node_env, POSTHOUSE_LISTEN='127.0.0.1:%d' % free_port(),
                   POSTHOUSE_ADMIN_LISTEN='127.0.0.1:%d' % free_port())
        env[which] = address
        status, text = serve(env)
    assert status == 1 and address.split(':')[1] in text, text


def test_another_nodes_port_is_busy(world):
    """SO_REUSEPORT must not let two nodes share a port by accident."""
    env = dict(world.cluster.node_env, POSTHOUSE_LISTEN='127.0.0.1:%d' % world.node.port,
               POSTHOUSE_ADMIN_LISTEN='127.0.0.1:%d' % free_port())
    status, text = serve(env)
    assert status == 1 and str(world.node.port) in text, text


def test_wrong_master_key(world):
    other = 'b3RoZXItbWFzdGVyLWtleS1mb3ItdGVzdHMtMTIzNDU='
    status, text = serve(dict(world.cluster.node_env, POSTHOUSE_MASTER_KEY=other,
                              POSTHOUSE_LISTEN='127.0.0.1:%d' % free_port(),
                              POSTHOUSE_ADMIN_LISTEN='127.0.0.1:%d' % free_port()))
    assert status == 1 and 'master key' in text.lower() and other not in text, text


def test_master_key_rotation(make_cluster, make_upstream):
    """The first key seals, all open."""
    cluster, upstream = make_cluster(), make_upstream()
    new = 'bmV3LW1hc3Rlci1rZXktY2FuYXJ5LWZvci10ZXN0LTE='
    cluster.secrets.add(new)
    cluster.account('old', 'stateless', upstream.url)
    key = cluster.key('k1')
    both = {'POSTHOUSE_MASTER_KEY': new + ',' + cluster.MASTER_KEY}
    node = cluster.node(env=both)
    cluster.cli('account', 'add', 'new', '--kind', 'stateless', '--base-url', upstream.url, '--api-key-file', '-',
                stdin=b'sk-another-canary-12345', env=both)
    cluster.secrets.add('sk-another-canary-12345')
    with http.Client(node.url, key) as api:
        http.eventually(lambda: api.post({'model': 'demo', 'input': 'x'}).status == 200 and len(
            {r.header('authorization') for r in upstream.turns()}) == 2, within=10)
    assert len({row[0] for row in cluster.sql('SELECT secret_key FROM posthouse_admin.accounts')}) == 2


def test_schema_comes_later(make_cluster, make_upstream):
    """A node on an empty database says so, stays unready, and serves as soon as migrate has run."""
    cluster, upstream = make_cluster(migrated=False), make_upstream()
    cluster.node_env['POSTHOUSE_DATABASE_URL'] = cluster.postgres.dsn(cluster.database)
    node = cluster.node(ready=False)
    http.eventually(lambda: http_open(node.admin_port), within=10)
    http.eventually(lambda: node.admin('/readyz').status == 503, within=5)
    assert node.admin('/livez').status == 200
    assert cluster.cli('healthcheck', check=False, env={'POSTHOUSE_ADMIN_LISTEN': node.admin_url[7:]}).returncode == 1
    assert b'migrate' in node.text()
    waiter = subprocess.Popen([str(BINARY), 'migrate', '--wait'], env=cluster.cli_env)
    time.sleep(0.3)
    assert waiter.poll() is None
    cluster.cli('migrate')
    assert waiter.wait(20) == 0
    node.wait_ready()
    cluster.account('s1', 'stateless', upstream.url)
    assert cluster.cli('healthcheck', env={'POSTHOUSE_ADMIN_LISTEN': node.admin_url[7:]}).returncode == 0
    key = cluster.key('k1')
    http.eventually(lambda: http.once(node.url, key, 'POST', '/v1/responses', {'model': 'demo', 'input': 'x'}).status == 200)


def test_twenty_migrations_at_once(make_cluster):
    cluster = make_cluster(migrated=False)
    procs = [subprocess.Popen([str(BINARY), 'migrate'], env=cluster.cli_env, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) for _ in range(20)]
    for proc in procs:
        _, text = proc.communicate(timeout=100)
        assert proc.returncode == 0, text
    versions = [row[0] for row in cluster.sql('SELECT version FROM posthouse.schema_migrations ORDER BY version')]
    assert versions == sorted(set(versions)) and versions[0] == 1
    assert cluster.sql('SELECT count(*) FROM posthouse.schema_migrations')[0][0] == len(versions)
    cluster.cli('migrate')


def test_a_newer_schema(make_cluster):
    cluster = make_cluster()
    cluster.sql("INSERT INTO posthouse.schema_migrations (version, name, checksum, contracting, ms) "
                "VALUES (900, 'future', '\\x00', true, 1)")
    status, text = serve(cluster.node_env, '--listen', '127.0.0.1:%d' % free_port(), '--admin-listen',
                         '127.0.0.1:%d' % free_port())
    assert status == 1 and '900' in text, text
    done = cluster.cli('migrate', check=False)
    assert done.returncode == 1 and b'too new' in done.stderr


def test_unreachable_database(world):
    """Commands say what is wrong; none hangs."""
    env = {'POSTHOUSE_DATABASE_URL': 'host=127.0.0.1 port=1 dbname=x user=y connect_timeout=5'}
    for args in (('migrate',), ('account', 'list'), ('key', 'list')):
        done = world.cluster.cli(*args, check=False, env=env)
        assert done.returncode == 1
        one_line(done.stderr.decode())


def test_workers(make_cluster, make_upstream):
    """Two workers share a port; any of them prints the counters of both; a killed one is replaced or the node ends."""
    cluster, upstream = make_cluster(), make_upstream()
    cluster.account('s1', 'stateless', upstream.url)
    key, node = cluster.key('k1'), cluster.node(args=['--workers', '2'])
    seen = set()
    for n in range(60):
        with http.Client(node.url, key) as api:
            turn = api.turn({'model': 'demo', 'input': 'x'})
            seen.add(turn.node)
            if n > 20 and len(seen) == 2:
                break
    assert seen == {node.name + '/1', node.name + '/2'} or seen == {node.name + '/0', node.name + '/1'}, seen
    http.eventually(lambda: node.metric('posthouse_turns_total') == n + 1)
    before = [node.metric('posthouse_turns_total') for _ in range(10)]
    assert before == sorted(before)
    # one is killed: the other goes on serving, a new one takes its place, no counter runs backwards
    killed = node.workers()[0]
    os.kill(killed, signal.SIGKILL)
    http.eventually(lambda: len(node.workers()) == 2 and killed not in node.workers(), within=10)
    node.wait_ready()
    for _ in range(20):
        with http.Client(node.url, key) as api:
            api.turn({'model': 'demo', 'input': 'x'})
    assert node.metric('posthouse_turns_total') >= before[-1] + 20


# ---- the command line ----

def test_versions_and_help(world):
    assert re.match(rb'posthouse \d+\.\d+\.\d+', world.cluster.cli('version').stdout)
    assert world.cluster.cli('--version').stdout == world.cluster.cli('version').stdout
    top = world.cluster.cli('--help').stdout.decode()
    for command in ('serve', 'migrate', 'account add', 'key create', 'snapshot show', 'check-config', 'healthcheck'):
        assert command in top
        assert world.cluster.cli(*command.split(), '--help').stdout.startswith(b'Usage: posthouse ' + command.encode())
    for args in ((), ('nonsense',), ('account',), ('account', 'nonsense'), ('key', 'create'), ('account', 'pause')):
        done = world.cluster.cli(*args, check=False)
        assert done.returncode == 2 and done.stderr, args


def test_listings(make_cluster, make_upstream):
    """--json: an array of objects whose members are the columns of the view of that name."""
    cluster, upstream = make_cluster(), make_upstream()
    cluster.account('s1', 'stateless', upstream.url, '--max-streams', '7', '--weight', '3', '--model', 'm1', '--model', 'm2')
    cluster.key('k1', '--snapshots', 'stored')
    for args, view in ((('account', 'list'), 'accounts'), (('key', 'list'), 'api_keys')):
        columns = [row[0] for row in cluster.sql(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = 'posthouse_admin' "
            "AND table_name = %s ORDER BY ordinal_position", view)]
        listed = json.loads(cluster.cli(*args, '--json').stdout)
        assert len(listed) == 1 and list(listed[0]) == columns
        assert listed[0]['name'].encode() in cluster.cli(*args).stdout
    account = json.loads(cluster.cli('account', 'show', 's1', '--json').stdout)
    account = account[0] if isinstance(account, list) else account
    assert (account['max_streams'], account['weight'], account['models'], account['state']) == (7, 3, ['m1', 'm2'], 'active')
    assert cluster.UPSTREAM_SECRET.encode() not in cluster.cli('account', 'show', 's1').stdout


def test_refusals_of_the_command_line(make_cluster, make_upstream):
    cluster, upstream = make_cluster(), make_upstream()
    cluster.account('s1', 'stateless', upstream.url)
    cluster.key('k1')
    for args in (('key', 'create', 'k1'), ('key', 'revoke', 'nobody'), ('account', 'pause', 'nobody'),
                 ('account', 'show', 'nobody'), ('account', 'remove', 'nobody'),
                 ('account', 'add', 's1', '--kind', 'platform', '--base-url', upstream.url, '--api-key-file', '/dev/null'),
                 ('account', 'add', 's2', '--kind', 'platform', '--base-url', upstream.url, '--api-key-file', '/nonexistent'),
                 ('snapshot', 'show', 'resp_x', '--key', 'k1'), ('snapshot', 'chain', 'resp_x', '--key', 'nobody')):
        done = cluster.cli(*args, check=False)
        assert done.returncode == 1, args
        one_line(done.stderr.decode())
    for args in (('account', 'add', 's2', '--kind', 'nonsense', '--base-url', upstream.url),
                 ('account', 'add', 's2', '--kind', 'stateless', '--base-url', 'ftp://x'),
                 ('account', 'add', 's2', '--kind', 'platform', '--base-url', upstream.url),
                 ('account', 'add', 's2', '--kind', 'stateless'), ('key', 'create', 'k2', '--snapshots', 'some'),
                 ('key', 'create', 'k2', '--expires', 'soon'), ('key', 'create', '')):
        done = cluster.cli(*args, check=False)
        assert done.returncode in (1, 2) and len(done.stderr.decode().strip().splitlines()) >= 1, args


def test_snapshots_on_the_command_line(world, api):
    first = api.turn({'model': 'demo', 'input': 'one'})
    second = api.turn({'model': 'demo', 'input': 'two', 'previous_response_id': first.id})
    chain = json.loads(world.cluster.cli('snapshot', 'chain', second.id, '--key', 'k1', '--json').stdout)
    assert [row['response'] for row in chain] == [second.id, first.id]
    shown = world.cluster.cli('snapshot', 'show', second.id, '--key', 'k1')
    assert second.id.encode() in shown.stdout


def test_check_config(world):
    text = world.cluster.cli('check-config').stdout.decode()
    for name in ('POSTHOUSE_LISTEN', 'POSTHOUSE_MASTER_KEY', 'POSTHOUSE_IDLE_TIMEOUT'):
        assert name in text
    assert world.cluster.MASTER_KEY not in text
    bad = world.cluster.cli('check-config', check=False, env={'POSTHOUSE_IDLE_TIMEOUT': 'x'})
    assert bad.returncode == 1
    one_line(bad.stderr.decode(), 'POSTHOUSE_IDLE_TIMEOUT')
    near = world.cluster.cli('check-config', check=False, env={'POSTHOUSE_IDLE_TIMEOU': '5s'})
    assert b'POSTHOUSE_IDLE_TIMEOUT' in near.stderr + near.stdout and b'POSTHOUSE_IDLE_TIMEOU' in near.stderr


def test_readme_table_is_generated(world):
    """README.md shows the table of the settings as the program has it."""
    table = world.cluster.cli('check-config', '--markdown').stdout.decode().strip()
    assert table in (ROOT / 'README.md').read_text(encoding='utf-8')


def test_settings_first_value_stays(make_cluster):
    """Retention lives in the database; the variable is its first value."""
    cluster = make_cluster({'POSTHOUSE_RETENTION': '7d'})
    cluster.node()
    assert dict(cluster.sql('SELECT name, value FROM posthouse_admin.settings'))['retention'] == str(7 * 86400)
    other = cluster.node(env={'POSTHOUSE_RETENTION': '9d'})
    assert dict(cluster.sql('SELECT name, value FROM posthouse_admin.settings'))['retention'] == str(7 * 86400)
    assert b'retention' in other.text().lower(), 'a difference is logged'


# ---- leaks ----

def test_no_secret_reaches_postgresql_or_its_log(make_cluster, make_upstream):
    cluster, upstream = make_cluster(), make_upstream()
    cluster.sql("ALTER DATABASE %s SET log_statement = 'all'" % cluster.database)
    try:
        cluster.account('s1', 'platform', upstream.url)
        key, node = cluster.key('k1'), cluster.node()
        with http.Client(node.url, key) as api:
            api.turn({'model': 'demo', 'input': 'x'})
        text = pathlib.Path(cluster.postgres.log).read_bytes()
        assert b'put_account' in text, 'statements are logged'
        for secret in cluster.secrets:
            assert secret.encode() not in text
    finally:
        cluster.sql("ALTER DATABASE %s RESET log_statement" % cluster.database)


def test_descriptors_come_back(world, api):
    """After many connections, cut turns and errors, what is open is what was open."""
    api.turn({'model': 'demo', 'input': 'x'})
    before = world.node.fds()
    for n in range(60):
        with http.Client(world.node.url, world.key) as client:
            if n % 3 == 0:
                client.open('POST', '/v1/responses', {'model': 'demo', 'input': 'x', 'stream': True})
            elif n % 3 == 1:
                client.post(b'{')
            else:
                client.turn({'model': 'demo', 'input': 'x', 'stream': True})
    http.eventually(lambda: world.node.fds() <= before + 2, within=15,
                    what='descriptors %d, were %d' % (world.node.fds(), before))
    assert world.node.metric('posthouse_streams_active') == 0
    assert world.node.metric('posthouse_write_queue_turns') == 0
