# SPDX-License-Identifier: Apache-2.0
"""The command line from outside: every command, what it prints and where, what it refuses and with which status."""
import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time

import pytest

import client as http
from harness import BINARY, SANITIZER, Process, clean_environment, free_port

COMMANDS = ('serve', 'migrate', 'account add', 'account list', 'account show', 'account pause', 'account resume',
            'account drain', 'account remove', 'key create', 'key list', 'key revoke', 'node list', 'node drain', 'node forget',
            'requests', 'usage', 'settings list', 'settings set', 'audit', 'snapshot show', 'snapshot chain', 'doctor', 'top',
            'check-config', 'healthcheck', 'completion', 'manual', 'version', 'help')
URL = 'http://127.0.0.1:9/v1'


@pytest.fixture(scope='module')
def cluster(make_cluster):
    return make_cluster()


@pytest.fixture(scope='module')
def bare(make_cluster):
    """A database without a schema."""
    return make_cluster(migrated=False)


def refused(done, status, *words):
    """Nothing on standard output, one line on standard error, which says what and what to do."""
    text = done.stderr.decode()
    assert (done.returncode, done.stdout) == (status, b''), done
    lines = text.splitlines()
    assert len(lines) == 1 and lines[0].startswith('posthouse: '), text
    for word in words:
        assert word in text, text


def table(done):
    """A listing for people as rows of cells."""
    return [re.split(r' {2,}', line.rstrip()) for line in done.stdout.decode().splitlines()]


# ---- words ----

def test_help_of_everything(cluster):
    top = cluster.cli('--help')
    assert top.stdout == cluster.cli('-h').stdout == cluster.cli('help').stdout and top.stderr == b''
    for command in COMMANDS:
        assert re.search(r'^  %s\b' % command, top.stdout.decode(), re.M), command
        for flag in ('--help', '-h'):
            done = cluster.cli(*command.split(), flag)
            assert done.stdout.decode().startswith('Usage: posthouse %s' % command) and done.stderr == b''
        assert cluster.cli('help', *command.split()).stdout == done.stdout
        assert max(map(len, done.stdout.decode().splitlines())) <= 120
    for group in ('account', 'key', 'node', 'settings', 'snapshot'):
        text = cluster.cli(group, '--help').stdout.decode()
        assert all(c in text for c in COMMANDS if c.startswith(group + ' '))
        assert cluster.cli('help', group).stdout.decode() == text
    assert '--max-body' in cluster.cli('serve', '--help').stdout.decode()
    assert '--max-body' not in cluster.cli('key', 'create', '--help').stdout.decode()


def test_no_colour_and_no_control_characters(cluster):
    for args in (('--help',), ('check-config',), ('account', 'list')):
        assert not re.search(rb'[\x00-\x09\x0b-\x1f]', cluster.cli(*args).stdout)


def test_version(cluster):
    text = cluster.cli('version').stdout
    assert re.fullmatch(rb'posthouse \d+\.\d+\.\d+\n', text)
    for args in (('--version',), ('serve', '--version'), ('account', '--version'), ('account', 'add', '--version')):
        assert cluster.cli(*args).stdout == text


@pytest.mark.parametrize('args, words', [
    ((), ('needs a command', 'serve', 'account')),
    (('srve',), ('unknown command "srve"', 'serve')),
    (('help', 'srve'), ('unknown command "srve"', 'serve')),
    (('help', 'account', 'halt'), ('unknown command "account halt"', 'pause')),
    (('account',), ('add', 'login', 'list', 'show', 'pause', 'resume', 'remove')),
    (('account', 'halt', 'x'), ('unknown command "account halt"', 'pause')),
    (('account', 'login'), ('needs NAME', '--help')),
    (('account', 'add'), ('needs NAME', '--help')),
    (('account', 'add', 'a', 'b'), ('one argument too many',)),
    (('account', 'list', 'a'), ('one argument too many',)),
    (('account', 'list', '--jsn'), ('unknown option --jsn', '--help')),
    (('account', 'list', '--json=yes'), ('takes no value',)),
    (('account', 'list', '--max-body', '1'), ('unknown option --max-body',)),
    (('key', 'create', 'k', '--expires'), ('--expires needs a value',)),
    (('--json', 'account', 'list'), ('command first',)),
    (('serve', '--master-key', 'x'), ('--master-key-file',)),
    (('serve', '--workers', '0'), ('--workers', 'for example --workers 2')),
    (('serve', '--max-body=64MB'), ('--max-body', 'for example --max-body 64MiB')),
    (('check-config', '--log-level', 'loud'), ('error, warn, info, debug',)),
    (('snapshot', 'show', 'resp_1'), ('--key NAME',)),
    (('snapshot', 'chain', 'resp_1'), ('--key NAME',)),
])
def test_bad_usage(cluster, args, words):
    refused(cluster.cli(*args, check=False), 2, *words)


def test_a_full_disk_is_a_failure(cluster):
    with open('/dev/full', 'wb') as full:
        done = subprocess.run([str(BINARY), 'version'], env=cluster.cli_env, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1 and b'standard output' in done.stderr


# ---- check-config ----

def test_check_config_is_complete(cluster):
    rows = json.loads(cluster.cli('check-config', '--json').stdout)
    settings = {row['name']: (row['value'], row['origin']) for row in rows}
    assert all(set(row) == {'name', 'value', 'origin'} for row in rows) and len(settings) == len(rows) == 32
    assert settings['POSTHOUSE_LISTEN'] == ('127.0.0.1:8080', 'default')
    assert settings['POSTHOUSE_MASTER_KEY'] == ('set', 'environment')
    assert settings['POSTHOUSE_DATABASE_URL'] == ('set', 'environment')
    assert settings['POSTHOUSE_LOG_LEVEL'] == ('debug', 'environment')
    assert settings['POSTHOUSE_TLS_CERT_FILE'] == ('unset', 'default')
    people = table(cluster.cli('check-config'))
    assert people[0] == ['NAME', 'VALUE', 'ORIGIN']
    assert {row[0]: tuple(row[1:]) for row in people[1:]} == settings


def test_check_config_sources(cluster, tmp_path):
    key = tmp_path / 'key'
    key.write_text(cluster.MASTER_KEY + '\n', encoding='ascii')
    env = clean_environment()
    env.update(POSTHOUSE_MASTER_KEY_FILE=str(key), DATABASE_URL='postgresql://secret-of-the-url@h/d', POSTHOUSE_MAX_BODY='1MiB',
               POSTHOUSE_LISTN='x', POSTHOUSE_SERVICE_HOST='10.0.0.1', POSTHOUSE_PORT='tcp://10.0.0.1:80',
               POSTHOUSE_PORT_8080_TCP_ADDR='10.0.0.1')
    done = subprocess.run([str(BINARY), 'check-config', '--json', '--max-body', '2MiB', '--workers=3'], env=env,
                          capture_output=True, check=True)
    settings = {row['name']: (row['value'], row['origin']) for row in json.loads(done.stdout)}
    assert settings['POSTHOUSE_MASTER_KEY'] == ('set', 'file')
    assert settings['POSTHOUSE_DATABASE_URL'] == ('set', 'DATABASE_URL')
    assert settings['POSTHOUSE_MAX_BODY'] == ('2MiB', 'flag')
    assert settings['POSTHOUSE_WORKERS'] == ('3', 'flag')
    assert b'secret-of-the-url' not in done.stdout
    assert done.stderr.decode().splitlines() == [
        'posthouse: warning: POSTHOUSE_LISTN is not a setting; the nearest one is POSTHOUSE_LISTEN']


def test_check_config_refuses_what_serve_refuses(cluster):
    for name, value in (('POSTHOUSE_IDLE_TIMEOUT', 'soon'), ('POSTHOUSE_MASTER_KEY', 'c2hvcnQ='),
                        ('POSTHOUSE_DATABASE_URL', 'postgresql+asyncpg://u@h/d'), ('POSTHOUSE_WORKERS', '')):
        refused(cluster.cli('check-config', check=False, env={name: value}), 1, name)


# ---- migrate ----

def test_migrate(make_cluster):
    fresh = make_cluster(migrated=False)
    first = fresh.cli('migrate')
    assert b'up to date' in first.stdout
    assert fresh.cli('migrate').stdout == first.stdout
    fresh.cli('migrate', '--wait')


def test_commands_ask_for_the_schema(bare):
    for args in (('account', 'list'), ('key', 'create', 'k'), ('snapshot', 'chain', 'resp_1', '--key', 'k'),
                 ('account', 'add', 's', '--kind', 'stateless', '--base-url', URL)):
        refused(bare.cli(*args, check=False), 1, 'posthouse migrate')


def test_a_schema_that_is_too_new(make_cluster):
    future = make_cluster()
    future.sql("INSERT INTO posthouse.schema_migrations (version, name, checksum, contracting, ms) "
               "VALUES (901, 'future', '\\x00', true, 1)")
    refused(future.cli('account', 'list', check=False), 1, '901', 'newer', 'upgrade')


def test_database_away(cluster):
    env = {'POSTHOUSE_DATABASE_URL': 'host=127.0.0.1 port=1 user=u dbname=d password=hunter2-of-the-test'}
    for args in (('account', 'list'), ('key', 'create', 'k'), ('migrate',)):
        done = cluster.cli(*args, check=False, env=env)
        refused(done, 1, 'see that PostgreSQL runs')
        assert b'hunter2' not in done.stderr


# ---- keys ----

def test_key_create_prints_the_key_alone(cluster):
    done = cluster.cli('key', 'create', 'alone')
    assert re.fullmatch(rb'ph_[0-9A-Za-z]{49}\n', done.stdout) and done.stderr == b''
    key = done.stdout.decode().strip()
    digest, = cluster.sql("SELECT hash = sha256(%s::bytea) FROM posthouse.api_keys WHERE name = 'alone'", key.encode())[0]
    assert digest, 'only its digest is kept'
    refused(cluster.cli('key', 'create', 'alone', check=False), 1, 'alone')


def test_key_options(cluster):
    cluster.account('of-key', 'stateless', URL)
    cluster.key('narrow', '--snapshots', 'stored', '--expires', '30d', '--model', 'm "1", {x}', '--model=m\\2', '--account',
                'of-key')
    row, = [k for k in json.loads(cluster.cli('key', 'list', '--json').stdout) if k['name'] == 'narrow']
    assert (row['snapshots'], row['models'], row['accounts'], row['state']) == ('stored', ['m "1", {x}', 'm\\2'], ['of-key'],
                                                                               'active')
    days, = cluster.sql("SELECT extract(epoch FROM expires - created) / 86400 FROM posthouse.api_keys "
                        "WHERE name = 'narrow'")[0]
    assert abs(days - 30) < 0.01
    for options in (('--snapshots', 'some'), ('--expires', 'soon'), ('--expires', '0'), ('--expires', '99999d')):
        refused(cluster.cli('key', 'create', 'wrong', *options, check=False), 2, options[0], options[1])
    refused(cluster.cli('key', 'create', 'wrong', '--account', 'nobody', check=False), 1, 'nobody')
    refused(cluster.cli('key', 'create', '', check=False), 2)
    refused(cluster.cli('key', 'create', 'x' * 129, check=False), 2)


def test_key_list_and_revoke(cluster):
    cluster.key('gone')
    assert ['gone'] in [row[:1] for row in table(cluster.cli('key', 'list'))[1:]]
    for _ in range(2):  # may be repeated
        done = cluster.cli('key', 'revoke', 'gone', '--reason', "the laptop's thief")
        assert b'revoked' in done.stdout
    row, = [k for k in json.loads(cluster.cli('key', 'list', '--json').stdout) if k['name'] == 'gone']
    assert row['state'] == 'revoked'
    assert cluster.sql("SELECT count(*) FROM posthouse_admin.audit WHERE reason = 'the laptop''s thief'")[0][0] == 2
    refused(cluster.cli('key', 'revoke', 'nobody', check=False), 1, 'nobody', 'posthouse key list')


# ---- accounts ----

def test_account_add_seals(cluster):
    done = cluster.account('sealed', 'platform', URL, '--max-streams', '7', '--weight=3', '--priority', '-2', '--model', 'a',
                           '--model', 'b')
    assert done.stdout == b'account "sealed" added: platform, %s\n' % URL.encode() and done.stderr == b''
    sealed, key_id = cluster.sql("SELECT s.sealed, s.key_id FROM posthouse.account_secrets s JOIN posthouse.accounts a "
                                 "USING (account_id) WHERE a.name = 'sealed'")[0]
    assert cluster.UPSTREAM_SECRET.encode() not in bytes(sealed) and bytes(sealed)[1:9] == bytes(key_id)
    one = json.loads(cluster.cli('account', 'show', 'sealed', '--json').stdout)
    assert (one['kind'], one['base_url'], one['max_streams'], one['weight'], one['priority'], one['models'], one['state']) == (
        'platform', URL, 7, 3, -2, ['a', 'b'], 'active')
    people = {line[0]: line[1] for line in table(cluster.cli('account', 'show', 'sealed'))}
    assert people['models'] == 'a,b' and people['kind'] == 'platform'


def test_account_update_leaves_what_is_not_named(cluster):
    cluster.account('kept', 'stateless', URL, '--max-streams', '5', '--weight', '2', '--model', 'm')
    before = cluster.sql("SELECT sealed FROM posthouse.account_secrets JOIN posthouse.accounts USING (account_id) "
                         "WHERE name = 'kept'")
    done = cluster.cli('account', 'add', 'kept', '--kind', 'stateless', '--base-url', URL + '2', '--weight', '9')
    assert b'updated' in done.stdout
    one = json.loads(cluster.cli('account', 'show', 'kept', '--json').stdout)
    assert (one['base_url'], one['max_streams'], one['weight'], one['models']) == (URL + '2', 5, 9, ['m'])
    assert before == cluster.sql("SELECT sealed FROM posthouse.account_secrets JOIN posthouse.accounts USING (account_id) "
                                 "WHERE name = 'kept'")
    refused(cluster.cli('account', 'add', 'kept', '--kind', 'codex', '--base-url', URL, '--api-key-file', '-', check=False,
                        stdin=b'token-of-nobody'), 1, 'kept', 'stateless')


def test_account_kinds_and_secrets(cluster, tmp_path):
    key = tmp_path / 'key'
    key.write_text('file-secret-1234567\n', encoding='ascii')
    cluster.secrets.add('file-secret-1234567')
    cluster.cli('account', 'add', 'from-file', '--kind', 'codex', '--base-url', URL, '--api-key-file', str(key))
    cluster.cli('account', 'add', 'keyless', '--kind', 'stateless', '--base-url', 'https://[::1]:8443/a/b')
    add = ('account', 'add', 'bad', '--base-url', URL)
    refused(cluster.cli(*add, check=False), 2, '--kind')
    refused(cluster.cli(*add, '--kind', 'azure', check=False), 2, 'azure', 'platform')
    refused(cluster.cli(*add, '--kind', 'platform', check=False), 2, '--api-key-file')
    refused(cluster.cli(*add, '--kind', 'codex', check=False), 2, '--auth-json')
    refused(cluster.cli('account', 'add', 'bad', '--kind', 'stateless', check=False), 2, '--base-url')
    for url in ('ftp://x', 'http://', 'http://u:p@h/', 'http://h/?q', 'h'):
        refused(cluster.cli('account', 'add', 'bad', '--kind', 'stateless', '--base-url', url, check=False), 2, '--base-url')
    for option, value in (('--max-streams', '0'), ('--max-streams', 'x'), ('--weight', '1001'), ('--weight', '-1'),
                          ('--priority', '99999999'), ('--token-url', 'x')):
        refused(cluster.cli(*add, '--kind', 'stateless', option, value, check=False), 2, option)
    for text in (b'', b'\n', b'two words', b'a\nb', 'clé'.encode(), b'x' * 20000):
        refused(cluster.cli(*add, '--kind', 'platform', '--api-key-file', '-', stdin=text, check=False), 1)
    refused(cluster.cli(*add, '--kind', 'platform', '--api-key-file', '/nowhere', check=False), 1, '/nowhere')
    assert not cluster.sql("SELECT FROM posthouse.accounts WHERE name = 'bad'")


def test_account_add_needs_the_right_master_key(cluster):
    add = ('account', 'add', 'other', '--kind', 'platform', '--base-url', URL, '--api-key-file', '-')
    other = 'b3RoZXItbWFzdGVyLWtleS1mb3ItdGVzdHMtMTIzNDU='
    refused(cluster.cli(*add, stdin=b'k', check=False, env={'POSTHOUSE_MASTER_KEY': other}), 1, 'master key does not fit')
    env = dict(cluster.cli_env)
    del env['POSTHOUSE_MASTER_KEY']
    done = subprocess.run([str(BINARY), *add], env=env, input=b'k', capture_output=True, check=False)
    refused(done, 1, 'POSTHOUSE_MASTER_KEY')


def test_account_list_pause_resume_remove(cluster):
    cluster.account('moved', 'stateless', URL)
    rows = table(cluster.cli('account', 'list'))
    assert rows[0][:4] == ['NAME', 'KIND', 'STATE', 'HEALTH']
    assert 'moved' in [row[0] for row in rows]

    def state():
        return json.loads(cluster.cli('account', 'show', 'moved', '--json').stdout)['state']
    for verb, after in (('pause', 'paused'), ('pause', 'paused'), ('resume', 'active'), ('resume', 'active')):
        assert b'moved' in cluster.cli('account', verb, 'moved', '--reason', 'why').stdout
        assert state() == after
    cluster.cli('account', 'remove', 'moved')
    for verb in ('show', 'pause', 'resume', 'remove'):
        refused(cluster.cli('account', verb, 'moved', check=False), 1, 'moved', 'posthouse account list')
    cluster.account('moved', 'platform', URL)  # the name is free again, for any kind


def test_names_are_only_names(cluster):
    name = 'x\'); DROP TABLE posthouse.accounts; --"'
    cluster.account(name, 'stateless', URL)
    assert json.loads(cluster.cli('account', 'show', name, '--json').stdout)['name'] == name
    cluster.cli('account', 'remove', name)
    cluster.cli('account', 'add', '--kind', 'stateless', '--base-url', URL, '--', '--dashes')
    cluster.cli('account', 'remove', '--', '--dashes')


# ---- snapshots ----

def commit(cluster, key, response_id, items, output, parent=None):
    scope, = cluster.sql('SELECT key_id FROM posthouse.api_keys WHERE name = %s', key)[0]
    cluster.sql("""SELECT posthouse.commit_turn(p_turn => gen_random_uuid(), p_node => 'n', p_scope => %s,
        p_request_id => 'req_1', p_route => '/v1/responses', p_model => 'demo', p_account => NULL, p_continuity => 'none',
        p_outcome => 'completed', p_status => 200, p_error => NULL, p_attempts => 1, p_hops => 0, p_chain_bytes => 0,
        p_stream => false, p_duration_us => 1, p_first_event_us => 1, p_bytes_in => 1, p_bytes_out => 1,
        p_input_tokens => 1, p_cached_tokens => 0, p_output_tokens => 1, p_reasoning_tokens => 0, p_cost_nanos => NULL,
        p_queued_us => 0, p_transport => 'http', p_chosen => NULL, p_anchor => NULL, p_limited => NULL, p_response_id => %s, p_keep => true,
        p_stored_upstream => false, p_class => 0, p_parent_id => %s, p_parent_day => (now() AT TIME ZONE 'UTC')::date,
        p_parent_class => 0, p_parent_until => (now() AT TIME ZONE 'UTC')::date + 60, p_flags => 0,
        p_turn_status => 'completed', p_depth => 1, p_codec => 0, p_input => %s, p_output => %s, p_runs => NULL,
        p_envelope => %s, p_item_ids => NULL)""", scope, response_id, parent, items, output,
                b'{"id":"%s","object":"response"}' % response_id.encode())


def test_snapshots(cluster):
    cluster.key('teller')
    cluster.key('listener')
    first, second = 'resp_' + 'a' * 30, 'resp_' + 'b' * 30
    commit(cluster, 'teller', first, b'{"role":"user","content":"one"}', b'{"type":"message","n":1}')
    commit(cluster, 'teller', second, b'{"role":"user","content":"t\\u0000wo"},{"a":9007199254740993}', b'', first)
    show = json.loads(cluster.cli('snapshot', 'show', second, '--key', 'teller', '--json').stdout)
    assert (show['response'], show['parent'], show['status'], show['model'], show['account']) == (second, first, 'completed',
                                                                                              'demo', None)
    assert show['input'] == [{'role': 'user', 'content': 't\0wo'}, {'a': 9007199254740993}] and show['output'] == []
    assert show['envelope']['id'] == second and re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ', show['created'])
    text = cluster.cli('snapshot', 'show', first, '--key', 'teller').stdout.decode()
    assert first in text and '"content": "one"' in text and 'input: 1 item' in text
    chain = json.loads(cluster.cli('snapshot', 'chain', second, '--key', 'teller', '--json').stdout)
    assert [row['response'] for row in chain] == [second, first]
    assert [row[1] for row in table(cluster.cli('snapshot', 'chain', second, '--key', 'teller'))] == ['RESPONSE', second, first]
    for command in ('show', 'chain'):
        for response, key in ((first, 'listener'), ('resp_unknown', 'teller'), (first, 'nobody')):
            refused(cluster.cli('snapshot', command, response, '--key', key, check=False), 1, key)


# ---- healthcheck ----

@contextlib.contextmanager
def answering(reply, close=True):
    """A listener that answers one request with these bytes."""
    with socket.create_server(('127.0.0.1', 0)) as server:
        def run():
            with contextlib.suppress(OSError):
                peer, _ = server.accept()
                with peer:
                    assert peer.recv(4096).startswith(b'GET /readyz HTTP/1.1\r\n')
                    peer.sendall(reply)
                    if not close:
                        peer.recv(1)
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield '127.0.0.1:%d' % server.getsockname()[1]


def test_healthcheck(cluster):
    def check(address):
        start = time.monotonic()
        done = cluster.cli('healthcheck', check=False, env={'POSTHOUSE_ADMIN_LISTEN': address})
        assert time.monotonic() - start < 20
        return done
    with answering(b'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n') as address:
        assert check(address).returncode == 0
    with answering(b'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n') as address:
        assert check('0.0.0.0:' + address.split(':')[1]).returncode == 0, 'a node that listens everywhere is asked on loopback'
    with answering(b'HTTP/1.1 503 Service Unavailable\r\nContent-Length: 20\r\n\r\nthe database is away') as address:
        refused(check(address), 1, 'not ready', 'the database is away')
    with answering(b'SSH-2.0-something\r\n') as address:
        refused(check(address), 1, 'not a node')
    with answering(b'', close=False) as address:
        refused(check(address), 1, address)
    refused(check('127.0.0.1:%d' % free_port()), 1, 'refused')


# ---- serve, seen from its processes ----

def children(pid):
    with open('/proc/%d/task/%d/children' % (pid, pid), encoding='ascii') as file:
        return [int(child) for child in file.read().split()]


def test_workers_are_looked_after(make_cluster):
    """A worker that dies is replaced; the others go on; the parent takes all with it."""
    mine = make_cluster()
    node = mine.node(args=['--workers', '2'])
    before = children(node.pid)
    assert len(before) == 2
    os.kill(before[0], signal.SIGKILL)
    http.eventually(lambda: len(children(node.pid)) == 2 and before[0] not in children(node.pid))
    assert before[1] in children(node.pid)
    after = children(node.pid)
    node.kill9()
    http.eventually(lambda: not any(os.path.exists('/proc/%d' % pid) for pid in after), what='workers die with their parent')


def test_first_log_line_is_the_configuration(cluster):
    node = cluster.node(args=['--queue-timeout', '7s'])
    first = json.loads(node.text().splitlines()[0])
    assert first['msg'] == 'configuration' and first['POSTHOUSE_QUEUE_TIMEOUT'] == '7s (flag)'
    assert first['POSTHOUSE_MASTER_KEY'] == 'set (environment)' and first['POSTHOUSE_RETENTION'] == '30d (default)'
    node.stop()


def test_start_refusals(cluster, tmp_path):
    def serve(*args, **env):
        full = dict(cluster.node_env, POSTHOUSE_LISTEN='127.0.0.1:%d' % free_port(),
                    POSTHOUSE_ADMIN_LISTEN='127.0.0.1:%d' % free_port(), **env)
        done = subprocess.run([str(BINARY), 'serve', *args], env=full, capture_output=True, timeout=60, check=False)
        assert not SANITIZER.search(done.stderr)
        return done.returncode, done.stderr.decode().splitlines()[-1]
    both = '127.0.0.1:%d' % free_port()
    status, line = serve('--listen', both, '--admin-listen', both)
    assert status == 1 and 'POSTHOUSE_ADMIN_LISTEN' in line and both in line
    pem = tmp_path / 'pem'
    pem.write_text('x', encoding='ascii')
    status, line = serve(POSTHOUSE_TLS_CERT_FILE=str(pem), POSTHOUSE_TLS_KEY_FILE=str(pem))
    assert status == 1 and 'TLS' in line
    status, line = serve(POSTHOUSE_DATABASE_URL='nonsense=1')
    assert status == 1 and 'database URL' in line
    status, line = serve('--listen', 'no-such-host.invalid:80')
    assert status == 1 and 'no-such-host.invalid' in line


def test_a_database_that_is_away_does_not_end_the_start(cluster, tmp_path):
    port, admin = free_port(), free_port()
    env = dict(cluster.node_env, POSTHOUSE_DATABASE_URL='host=127.0.0.1 port=1 user=u dbname=d',
               POSTHOUSE_LISTEN='127.0.0.1:%d' % port, POSTHOUSE_ADMIN_LISTEN='127.0.0.1:%d' % admin)
    process = Process('away', [BINARY, 'serve'], env, tmp_path)
    process.spawn()
    try:
        http.eventually(lambda: cluster.cli('healthcheck', check=False, env=env).returncode == 1 and
                        b'not ready' in cluster.cli('healthcheck', check=False, env=env).stderr, within=20)
        assert process.running and b'away' in process.text()
        process.signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        if process.running:
            process.kill9()


# ---- embedded ----

@pytest.fixture
def embedded():
    """Runs commands on a data directory that nobody used yet."""
    with tempfile.TemporaryDirectory(prefix='ph-cli-', dir='/tmp') as directory:
        os.chmod(directory, 0o755)
        env = dict(clean_environment(), POSTHOUSE_DATA_DIR=directory + '/data', HOME=directory,
                   ASAN_OPTIONS='detect_leaks=1:exitcode=99')

        def run(*args, stdin=None, check=True, **more):
            done = subprocess.run([str(BINARY), *args], env=dict(env, **more), input=stdin, capture_output=True, timeout=120,
                                  check=False)
            assert not SANITIZER.search(done.stderr), done.stderr.decode()
            assert not check or done.returncode == 0, done
            return done
        run.dir = pathlib.Path(directory)
        yield run


def test_embedded_account_first(embedded):
    """The first command on a new data directory makes everything that it needs; the next ones find it."""
    done = embedded('account', 'add', 'main', '--kind', 'platform', '--base-url', URL, '--api-key-file', '-',
                    stdin=b'embedded-secret-12345')
    assert done.stdout.startswith(b'account "main" added') and done.stderr == b''
    assert json.loads(embedded('account', 'list', '--json').stdout)[0]['name'] == 'main'
    key = next(path for path in (embedded.dir / 'data').iterdir() if 'key' in path.name)
    assert key.stat().st_mode & 0o777 == 0o600
    key.unlink()
    refused(embedded('account', 'add', 'two', '--kind', 'platform', '--base-url', URL, '--api-key-file', '-', stdin=b'k',
                     check=False), 1)
    assert embedded('account', 'list').returncode == 0, 'what needs no master key goes on'


def test_embedded_key_first(embedded):
    assert re.fullmatch(rb'ph_\w{49}\n', embedded('key', 'create', 'k').stdout)
    assert [k['name'] for k in json.loads(embedded('key', 'list', '--json').stdout)] == ['k']
    assert embedded('account', 'add', 'main', '--kind', 'platform', '--base-url', URL, '--api-key-file', '-',
                    stdin=b'k').returncode == 0
    embedded('migrate')
    embedded('migrate', '--wait')
