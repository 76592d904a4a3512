# SPDX-License-Identifier: Apache-2.0
"""The command line as the verbs: accounts and nodes that drain, requests and usage, settings, the audit; the manual page
and the completions."""
import fcntl
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import termios
import threading
import time

import pytest

import client as http
from harness import BINARY, ROOT


def table(done):
    return [re.split(r' {2,}', line.rstrip()) for line in done.stdout.decode().splitlines()]


def rows(done):
    return json.loads(done.stdout)


def refused(done, status, *words):
    text = done.stderr.decode()
    assert (done.returncode, done.stdout) == (status, b''), done
    assert len(text.splitlines()) == 1 and text.startswith('posthouse: '), text
    for word in words:
        assert word in text, text


def columns(cluster, view):
    return [name for name, in cluster.sql("SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 "
                                          "ORDER BY attnum", 'posthouse_admin.' + view)]


# ---- verbs ----

def test_account_drain(world):
    cluster = world.cluster
    cluster.account('spare', 'stateless', world.upstream.url)
    assert b'draining' in cluster.cli('account', 'drain', 'spare', '--reason', 'too old').stdout
    state, = cluster.sql("SELECT state FROM posthouse_admin.accounts WHERE name = 'spare'")[0]
    assert state == 'draining'
    cluster.cli('account', 'remove', 'spare')
    refused(cluster.cli('account', 'drain', 'spare', check=False), 1, 'spare', 'posthouse account list')
    trail = rows(cluster.cli('audit', '--object', 'spare', '--json'))
    assert [row['verb'] for row in trail] == ['remove_account', 'drain_account', 'add_account']
    assert trail[1]['reason'] == 'too old'


def test_node_list_drain_forget(world):
    cluster = world.cluster
    node = cluster.node('leaving')
    listed = rows(cluster.cli('node', 'list', '--json'))
    assert list(listed[0]) == columns(cluster, 'nodes')
    assert {row['name']: row['state'] for row in listed}['leaving'] == 'alive'
    people = table(cluster.cli('node', 'list'))
    assert people[0][:3] == ['NAME', 'STATE', 'VERSION'] and ['leaving', 'alive'] in [row[:2] for row in people]
    assert b'draining' in cluster.cli('node', 'drain', 'leaving', '--reason', 'kernel').stdout
    http.eventually(lambda: node.admin('/readyz').status == 503, within=10, what='the node heard of it')
    node.kill9()
    assert b'forgotten' in cluster.cli('node', 'forget', 'leaving').stdout
    assert 'leaving' not in [row['name'] for row in rows(cluster.cli('node', 'list', '--json'))]
    for verb in ('drain', 'forget'):
        refused(cluster.cli('node', verb, 'leaving', check=False), 1, 'leaving', 'posthouse node list')


def test_settings(world):
    cluster = world.cluster
    listed = rows(cluster.cli('settings', 'list', '--json'))
    assert list(listed[0]) == columns(cluster, 'settings')
    assert 'retention' in [row['name'] for row in listed]
    assert table(cluster.cli('settings', 'list'))[0][:2] == ['NAME', 'VALUE']
    if not cluster.sql("SELECT 1 FROM pg_proc WHERE proname = 'set_setting'"):
        pytest.skip('this schema has no set_setting()')
    cluster.cli('settings', 'set', 'request_log_retention', '864000', '--reason', 'less disk')
    assert {row['name']: row['value'] for row in rows(cluster.cli('settings', 'list', '--json'))}[
        'request_log_retention'] == '864000'
    refused(cluster.cli('settings', 'set', 'no_such_setting', '1', check=False), 1, 'no_such_setting')


def test_audit(world):
    cluster = world.cluster
    everything = rows(cluster.cli('audit', '--json', '--limit', '100000'))
    assert list(everything[0]) == columns(cluster, 'audit')
    assert [row['audit_id'] for row in everything] == sorted((row['audit_id'] for row in everything), reverse=True)
    assert len(rows(cluster.cli('audit', '--json', '--limit', '1'))) == 1
    assert table(cluster.cli('audit'))[0][:4] == ['AT', 'ACTOR', 'VERB', 'OBJECT']
    refused(cluster.cli('audit', '--limit', '0', check=False), 2, '--limit')


# ---- requests ----

@pytest.fixture(scope='module')
def told(world):
    """Turns of two keys, one of which no account could take."""
    other = world.cluster.key('other')
    with http.Client(world.node.url, world.key) as client:
        first = client.turn({'model': 'demo', 'input': 'one'})
        client.turn({'model': 'demo', 'input': 'two', 'previous_response_id': first.id})
        assert client.post(json.dumps({'model': 'demo', 'input': 'x', 'previous_response_id': 'resp_' + 'q' * 40}).encode()
                           ).status == 400
    with http.Client(world.node.url, other) as client:
        client.turn({'model': 'elsewhere', 'input': 'three'})
    http.eventually(lambda: len(rows(world.cluster.cli('requests', '--json'))) >= 4, within=20, what='the log')
    return world.cluster


def test_requests(told):
    listed = rows(told.cli('requests', '--json'))
    assert list(listed[0]) == columns(told, 'requests')
    started = [row['started'] for row in listed]
    assert started == sorted(started)  # newest last
    assert len(rows(told.cli('requests', '--json', '--limit', '2'))) == 2
    assert rows(told.cli('requests', '--json', '--limit', '1')) == listed[-1:]
    assert {row['key_name'] for row in rows(told.cli('requests', '--json', '--key', 'other'))} == {'other'}
    assert {row['account'] for row in rows(told.cli('requests', '--json', '--account', 'a1'))} == {'a1'}
    failed = rows(told.cli('requests', '--json', '--failed'))
    assert failed and all(row['outcome'] not in ('completed', 'incomplete') for row in failed)
    assert [row['status'] for row in rows(told.cli('requests', '--json', '--status', '4xx'))] == [
        row['status'] for row in listed if 400 <= row['status'] < 500] != []
    assert rows(told.cli('requests', '--json', '--status', '400', '--key', 'other')) == []
    assert rows(told.cli('requests', '--json', '--slow', '1h')) == []
    assert len(rows(told.cli('requests', '--json', '--since', '10m'))) == len(listed)


def test_the_story(told):
    people = table(told.cli('requests'))
    assert people[0] == ['WHEN', 'KEY', 'MODEL', 'ACCOUNT', 'GOES ON', 'WAITED', 'FIRST', 'TOTAL', 'IN', 'OUT', 'COST', 'END']
    by_model = {row[2]: row for row in people[1:]}
    assert by_model['elsewhere'][1] == 'other' and by_model['elsewhere'][3].startswith('a1')
    assert any(row[4] == 'replayed 1' and row[-1] == 'completed' for row in people[1:]), people
    assert any('400' in row[-1] for row in people[1:]), people


def test_requests_refuses(told):
    for args, word in ((('--status', '42'), '--status'), (('--status', '6xx'), '5xx'), (('--slow', 'x'), '--slow'),
                       (('--since', '0'), '--since'), (('--follow', '--limit', '3'), '--follow'),
                       (('--limit', 'many'), '--limit')):
        refused(told.cli('requests', *args, check=False), 2, word)


def following(cluster, *args):
    """As at a terminal: what a shell has put in the background ignores SIGINT, and so would its children."""
    return subprocess.Popen([str(BINARY), 'requests', '--follow', *args], env=cluster.cli_env, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))


def test_follow(world, told):
    """Nothing of before, everything of after, once; what ends late comes late, however long it took."""
    process = following(world.cluster, '--json', '--key', 'k1')
    lines, reader = [], None
    try:
        reader = threading.Thread(target=lambda: lines.extend(process.stdout), daemon=True)
        reader.start()
        time.sleep(3)
        with http.Client(world.node.url, world.key) as client:
            ids = [client.turn({'model': 'demo', 'input': 'turn %d' % n}).id for n in range(5)]
        def seen():
            return [json.loads(line)['response_id'] for line in list(lines)]
        http.eventually(lambda: len(seen()) >= 5, within=30, what='five lines')
        time.sleep(3)
        assert seen() == ids
        world.cluster.sql("INSERT INTO posthouse.request_log (scope, account_id, started, duration_us, day, turn, node, request_id, route, outcome, "
                          "response_id) SELECT key_id, (SELECT account_id FROM posthouse.accounts WHERE name = 'a1'), "
                          "now() - interval '30 hours', 108000000000, (now() AT TIME ZONE 'UTC')::date, gen_random_uuid(), 'n', 'req_long', 'responses', 'completed', 'resp_long' FROM posthouse.api_keys "
                          "WHERE name = 'k1'")
        http.eventually(lambda: seen() == ids + ['resp_long'], within=30, what='the long one')
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)
        reader.join(20)
        assert process.stderr.read() == b''


def test_follow_ends_with_its_reader(world, told):
    process = following(world.cluster)
    assert process.stdout.readline().startswith(b'WHEN')
    process.stdout.close()
    with http.Client(world.node.url, world.key) as client:
        client.turn({'model': 'demo', 'input': 'x'})
    process.wait(30)
    process.stderr.close()


# ---- usage ----

def test_usage(told):
    refused(told.cli('usage', '--by', 'moon', check=False), 2, '--by')
    if not told.sql("SELECT to_regclass('posthouse_admin.usage_by_key')")[0][0]:
        pytest.skip('this schema has no usage_by_key')
    def day():
        return {row['key_name']: row['requests'] for row in rows(told.cli('usage', '--json'))}
    http.eventually(lambda: day().get('other', 0) >= 1, within=60, what='the figures by hour')
    assert all('day' in row for row in rows(told.cli('usage', '--json')))
    by_hour = rows(told.cli('usage', '--by', 'hour', '--by', 'model', '--json', '--since', '2h'))
    assert list(by_hour[0]) == columns(told, 'usage_by_model')
    assert 'elsewhere' in [row['model'] for row in by_hour]
    assert rows(told.cli('usage', '--by', 'account', '--json'))[0]['account'] == 'a1'
    assert table(told.cli('usage'))[0][:3] == ['DAY', 'KEY NAME', 'REQUESTS']


# ---- tables in a terminal ----

def in_terminal(args, env, size):
    """What a command prints to a terminal of so many columns."""
    pid, fd = pty.fork()
    if pid == 0:
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack('HHHH', 24, size, 0, 0))
        os.execve(str(BINARY), [str(BINARY), *args], env)
    text = b''
    while True:
        try:
            piece = os.read(fd, 65536)
        except OSError:
            break
        if not piece:
            break
        text += piece
    os.close(fd)
    assert os.waitpid(pid, 0)[1] == 0, text
    return text.decode().replace('\r\n', '\n')


@pytest.mark.parametrize('width', [80, 120, 40])
def test_tables_fit(told, width):
    told.cli('account', 'pause', 'a1', '--reason', 'a reason that takes more room than a narrow terminal has')
    told.cli('account', 'resume', 'a1')
    for args in (['requests'], ['audit'], ['account', 'list'], ['node', 'list']):
        lines = in_terminal(args, told.cli_env, width).splitlines()
        assert max(map(len, lines)) <= width, lines
    assert '…' in in_terminal(['audit'], told.cli_env, 60)
    assert '…'.encode() not in told.cli('audit').stdout  # a pipe gets all of it


# ---- what the program says of itself ----

def commands(cluster):
    return re.findall(r'^  ([a-z-]+(?: [a-z]+)?)(?: [A-Z_ ]+)?(?:\s{2,}|$)', cluster.cli('help').stdout.decode(), re.M)


def test_every_command_is_in_the_manual(told):
    page = told.cli('manual').stdout.decode()
    for command in commands(told):
        assert re.search(r'^\.Ss %s\b' % command, page, re.M), command
    for flag in ('--max-body', '--master-key-file'):
        assert '.It Fl Fl ' + flag[2:] in page
    built = (BINARY.parent / 'pages' / 'posthouse.1')
    assert built.read_text(encoding='utf-8') == page, 'build/pages is older than the program'


@pytest.mark.skipif(not shutil.which('mandoc'), reason='needs mandoc')
def test_the_manual_is_clean(told):
    done = subprocess.run(['mandoc', '-Tlint', '-Wwarning'], input=told.cli('manual').stdout, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, b''), done.stdout.decode()


@pytest.mark.parametrize('shell', ['bash', 'zsh', 'fish'])
def test_completions_parse(told, shell):
    script = told.cli('completion', shell).stdout
    name = {'bash': 'posthouse', 'zsh': '_posthouse', 'fish': 'posthouse.fish'}[shell]
    assert (BINARY.parent / 'pages' / name).read_bytes() == script
    for command in commands(told):
        assert all(word in script.decode() for word in command.split())
    if not shutil.which(shell):
        pytest.skip('needs ' + shell)
    subprocess.run([shell, '-n'], input=script, check=True)


def complete(script, *words):
    line = 'COMP_WORDS=(posthouse %s); COMP_CWORD=%d; _posthouse; printf "%%s\\n" "${COMPREPLY[@]}"' % (
        ' '.join("'%s'" % word for word in words), len(words))
    done = subprocess.run(['bash', '-c', script + '\n' + line], capture_output=True, check=True, cwd=str(ROOT))
    assert done.stderr == b'', done.stderr
    return set(done.stdout.decode().split())


def test_bash_completes(told):
    script = told.cli('completion', 'bash').stdout.decode()
    assert {'serve', 'account', 'node', 'doctor', 'requests'} <= complete(script, '')
    assert complete(script, 'ser') == {'serve'}
    assert {'add', 'drain', 'list'} <= complete(script, 'account', '')
    assert complete(script, 'node', 'dr') == {'drain'}
    assert {'--reason', '--help', '--database-url'} <= complete(script, 'account', 'drain', 'a1', '--')
    assert '--max-body' in complete(script, 'serve', '--m')
    assert complete(script, 'key', 'create', 'k', '--snapshots', '') == {'all', 'stored', 'none'}
    assert 'README.md' in complete(script, 'account', 'add', 'a', '--api-key-file', 'READ')
    refused(told.cli('completion', 'csh', check=False), 2, 'bash, zsh, fish')
