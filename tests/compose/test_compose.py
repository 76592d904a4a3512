# SPDX-License-Identifier: Apache-2.0
"""The cluster of docker-compose.yml: built, brought up, disturbed under load, taken down.

What became of every turn is counted by traffic.py; tests/integration/test_balancer.py does the same without containers.
The tests of this file build on each other: one cluster, in order.
"""
import contextlib
import json
import re
import time

import pytest

import client as http
from harness import SEED, figure, free_port, seeded
from traffic import Branch, Traffic, any_turn

NODES = ['node1', 'node2', 'node3']
PROJECT = 'posthousetest'
IMAGES = ['posthouse', 'posthouse-upstream', 'posthouse-haproxy', 'posthouse-postgres']

pytestmark = pytest.mark.timeout(1800)


class Stack:
    def __init__(self, docker):
        self.docker = docker
        self.port = free_port()
        self.url = 'http://127.0.0.1:%d' % self.port
        docker.env.update(PH_PORT=str(self.port))

    def compose(self, *args, **more):
        return self.docker.run(*self.docker.compose_command, '-p', PROJECT, *args, **more)

    def container(self, service):
        """Its id. Asked of docker itself: docker-compose takes a second for each answer."""
        found = self.docker.docker('ps', '-aq', '--filter', 'label=com.docker.compose.project=' + PROJECT, '--filter',
                                   'label=com.docker.compose.service=' + service, '--filter',
                                   'label=com.docker.compose.oneoff=False')
        assert found, service + ' has no container'
        return found

    def exec(self, service, *command, **more):
        return self.docker.run('docker', 'exec', '-i', self.container(service), *command, **more)

    def inside(self, service, *command, **more):
        """Runs a command in a service's container; what it printed."""
        return self.exec(service, *command, **more).stdout.decode().strip()

    def inspect(self, service):
        return json.loads(self.docker.docker('inspect', self.container(service)))[0]

    def healthy(self, service):
        with contextlib.suppress(AssertionError, KeyError):
            return self.inspect(service)['State']['Health']['Status'] == 'healthy'
        return False

    def wait_healthy(self, *services):
        for service in services:
            http.eventually(lambda s=service: self.healthy(s), within=90, every=0.5, what=service + ' healthy')

    def upstream(self, path='/_fake/stats'):
        """The upstream has no published port; a node's container has bash."""
        text = self.inside('node1', 'bash', '-c', 'exec 3<>/dev/tcp/upstream/9500; printf "GET %s HTTP/1.1\\r\\nHost: x\\r\\n'
                           'Connection: close\\r\\n\\r\\n" >&3; cat <&3' % path)
        return json.loads(text.partition('\r\n\r\n')[2] or text.partition('\n\n')[2])

    def metric(self, node, name):
        text = self.inside(node, 'bash', '-c', 'exec 3<>/dev/tcp/127.0.0.1/9090; printf "GET /metrics HTTP/1.1\\r\\nHost: x\\r\\n'
                           'Connection: close\\r\\n\\r\\n" >&3; cat <&3')
        return sum(float(value) for value in re.findall(r'^%s(?:\{.*\})? (\S+)$' % name, text.replace('\r', ''), re.M))

    def key(self, name, *options):
        return self.inside('node1', 'posthouse', 'key', 'create', name, *options)

    def down(self):
        self.compose('--profile', 'obs', '--profile', 'pgbouncer', 'down', '-v', '--remove-orphans', '-t', '30', check=False)


@pytest.fixture(scope='module')
def stack(docker):
    found = Stack(docker)
    found.down()  # of a run that was killed
    began = time.monotonic()
    found.compose('build', '-q', *NODES[:1], 'upstream', 'setup', 'postgres', 'haproxy', timeout=1500)
    figure('images built in %.0f s' % (time.monotonic() - began))
    yield found
    logs = found.compose('logs', '--no-color', check=False).stdout
    found.down()
    (found.docker.state / 'log').mkdir(parents=True, exist_ok=True)
    (found.docker.state / 'log' / 'compose.log').write_bytes(logs)
    left = found.docker.docker('ps', '-aq', '--filter', 'label=com.docker.compose.project=' + PROJECT)
    assert not left, 'containers were left behind: ' + left


def test_one_command_brings_it_up(stack):
    began = time.monotonic()
    stack.compose('up', '-d', timeout=300)
    stack.wait_healthy(*NODES, 'haproxy', 'postgres')
    figure('up in %.0f s' % (time.monotonic() - began))
    key = stack.key('first')
    answer = http.once(stack.url, key, 'POST', '/v1/responses', Branch().body('hello', {'stream': True, 'store': False}))
    assert answer.status == 200 and b'response.completed' in answer.body


def test_images_are_small(stack):
    sizes = {}
    for name in IMAGES:
        sizes[name] = json.loads(stack.docker.docker('image', 'inspect', name))[0]['Size']
    base = json.loads(stack.docker.docker('image', 'inspect', 'debian:trixie-slim'))[0]['Size']
    figure('images, MB: ' + ', '.join('%s %.1f' % (name, size / 1e6) for name, size in sizes.items()) +
           '; of it the base %.1f' % (base / 1e6))
    assert sizes['posthouse'] - base < 20e6, 'more than the libraries that it needs'


def test_only_declared_libraries(stack):
    """What the binary is linked with is there, and comes from the packages that the Dockerfile names."""
    linked = stack.inside('node1', 'ldd', '/usr/local/bin/posthouse')
    assert 'not found' not in linked
    direct = {'libjansson', 'libllhttp', 'libpq', 'libssl', 'libcrypto', 'libuv', 'libwslay', 'libzstd', 'libz', 'libc'}
    assert direct <= {re.split(r'\.so|-', line.split()[0])[0] for line in linked.splitlines()}, linked
    for program in ('cc', 'postgres', 'psql', 'python3', 'curl'):
        assert stack.exec('node1', 'sh', '-c', 'command -v ' + program, check=False).returncode, program


def test_a_node_without_a_database_is_no_island(stack):
    """The image holds no PostgreSQL: it fails, and says what is missing."""
    done = stack.docker.run('docker', 'run', '--rm', '--network', 'none', '--read-only', '--tmpfs',
                            '/var/lib/posthouse:uid=65532,gid=65532', 'posthouse', check=False)
    assert done.returncode == 1 and b'POSTHOUSE_DATABASE_URL' in done.stderr.splitlines()[-1], done


@pytest.mark.parametrize('service', NODES + ['haproxy', 'postgres', 'upstream'])
def test_hardened(stack, service):
    found = stack.inspect(service)
    host = found['HostConfig']
    assert host['ReadonlyRootfs'] and host['CapDrop'] == ['ALL'] and not host['CapAdd'] and not host['Privileged']
    assert any(option.startswith('no-new-privileges') for option in host['SecurityOpt'])
    assert found['Config']['User'] == '65532:65532'
    published = [port for port, bound in found['NetworkSettings']['Ports'].items() if bound]
    assert published == (['8080/tcp'] if service == 'haproxy' else []), published
    assert all(bound[0]['HostIp'] == '127.0.0.1' for bound in host['PortBindings'].values())
    assert stack.exec(service, 'sh', '-c', 'echo x >/x || echo x >/etc/x', check=False).returncode
    status = stack.inside(service, 'cat', '/proc/1/status')
    assert re.search(r'^CapEff:\s0+$', status, re.M) and re.search(r'^NoNewPrivs:\s1$', status, re.M), status


def test_networks(stack):
    """Who speaks to whom is what the file says: the balancer and the upstream do not share a network with PostgreSQL."""
    networks = {s: {n.split('_', 1)[1] for n in stack.inspect(s)['NetworkSettings']['Networks']}
                for s in NODES + ['haproxy', 'postgres', 'upstream']}
    assert networks['postgres'] == {'db'} and networks['upstream'] == {'inner'} and networks['haproxy'] == {'inner', 'edge'}
    for name in ('db', 'inner'):
        assert json.loads(stack.docker.docker('network', 'inspect', '%s_%s' % (PROJECT, name)))[0]['Internal']
    reached = {service: stack.exec(service, 'timeout', '3', 'bash', '-c', 'exec 3<>/dev/tcp/postgres/5432', check=False)
               .returncode == 0 for service in ('node1', 'haproxy', 'upstream')}
    assert reached == {'node1': True, 'haproxy': False, 'upstream': False}


def test_setup_is_idempotent(stack):
    """A second run keeps the key, and leaves a paused account paused."""
    key = stack.inside('node1', 'cat', '/var/lib/posthouse/master.key')
    stack.inside('node1', 'posthouse', 'account', 'pause', 'demo2')
    again = stack.compose('run', '--rm', '-T', 'setup').stdout.decode()
    assert 'added' not in again and 'made' not in again, again
    assert stack.inside('node1', 'cat', '/var/lib/posthouse/master.key') == key
    accounts = {a['name']: a for a in json.loads(stack.inside('node1', 'posthouse', 'account', 'list', '--json'))}
    assert {name: a['kind'] for name, a in accounts.items()} == {'demo1': 'platform', 'demo2': 'codex', 'demo3': 'stateless'}
    assert accounts['demo2']['state'] == 'paused'
    stack.inside('node1', 'posthouse', 'account', 'resume', 'demo2')
    mode = stack.inside('node1', 'stat', '-c', '%a %u', '/var/lib/posthouse/master.key')
    assert mode == '600 65532'


def test_an_account_is_added_as_the_readme_says(stack):
    """Its key comes by standard input; turns of a key that may use only it go there."""
    done = stack.compose('exec', '-T', 'node2', 'posthouse', 'account', 'add', 'real', '--kind', 'stateless', '--base-url',
                         'http://upstream:9500/a/demo3/v1', '--api-key-file', '-', input=b'sk-demo3\n')
    assert b'added' in done.stdout, done
    key = stack.key('only-real', '--account', 'real')
    branch = Branch()
    branch.after(http.Client(stack.url, key).turn(branch.body('hello', any_turn(seeded('real')))), 'hello')
    stack.inside('node3', 'posthouse', 'account', 'remove', 'real')


def rolling_restart(stack):
    for node in NODES:
        stack.compose('stop', '-t', '60', node)
        stack.compose('start', node)
        stack.wait_healthy(node)


def killed(stack):
    stack.compose('kill', '-s', 'KILL', 'node1')
    time.sleep(1)
    stack.compose('start', 'node1')
    stack.wait_healthy('node1')


def database_restarted(stack):
    stack.compose('restart', 'postgres')
    stack.wait_healthy('postgres')


def test_nothing_is_lost(stack):
    """2,000 turns through the balancer, and every context checked."""
    two = stack.key('two', '--account', 'demo1', '--account', 'demo3')
    traffic = Traffic(stack.url, [(stack.key('all'), any_turn), (two, any_turn)], 12, '%d compose' % SEED)
    report = []
    for name, disturb, allowed in (('rolling restart', rolling_restart, {'ok'}),
                                   ('reload of HAProxy', lambda s: s.compose('kill', '-s', 'USR2', 'haproxy'), {'ok'}),
                                   ('kill -9', killed, {'ok', 'cut'}),
                                   ('PostgreSQL restart', database_restarted, {'ok', 'later'})):
        began = time.monotonic()
        disturb(stack)
        time.sleep(3)
        found = traffic.during(began, time.monotonic())
        report.append('%s: %s in %.0f s' % (name, dict(found), time.monotonic() - began))
        assert set(found) <= allowed, '%s: %s %s' % (name, dict(found), traffic.details(*set(found) - allowed))
    http.eventually(lambda: traffic.acknowledged() >= 2000, within=300, every=1, what='2,000 turns')
    traffic.stop()
    verified = traffic.verify()
    assert traffic.nodes() == set(NODES)
    accounts = stack.upstream()['accounts']
    assert all(a['completed'] and not a['foreign'] for a in accounts.values()), accounts
    assert sum(stack.metric(node, 'posthouse_snapshots_lost_total') for node in NODES) == 0
    memory = stack.docker.docker('stats', '--no-stream', '--format', '{{.Name}} {{.MemUsage}}',
                                 *[stack.container(node) for node in NODES])
    figure('%d turns acknowledged, all continued with exactly their context; %s; by account %s' % (
        verified, '; '.join(report), {name: a['completed'] for name, a in accounts.items()}))
    figure('memory: ' + memory.replace('\n', ', '))


def test_everything_survives_down_and_up(stack):
    """The volumes hold the conversations and the key."""
    key = stack.key('lasting')
    branch = Branch()
    first = http.Client(stack.url, key).turn(branch.body('one', {'stream': True, 'store': False}))
    branch = branch.after(first, 'one')
    stack.compose('down', '-t', '60')
    stack.compose('up', '-d', timeout=300)
    stack.wait_healthy(*NODES, 'haproxy')
    second = http.Client(stack.url, key).turn(branch.body('two', {'stream': True, 'store': False}))
    branch.after(second, 'two')


def test_through_pgbouncer(stack):
    stack.compose('build', '-q', 'pgbouncer', timeout=600)
    key, branch = stack.key('pooled'), Branch()
    with http.Client(stack.url, key) as api:
        branch = branch.after(api.turn(branch.body('one', any_turn(seeded('one')))), 'one')
    stack.docker.env['PH_DATABASE'] = 'pgbouncer:6432'
    try:
        stack.compose('--profile', 'pgbouncer', 'up', '-d', timeout=300)
        stack.wait_healthy('pgbouncer', *NODES, 'haproxy')
        traffic = Traffic(stack.url, [(key, any_turn)], 6, '%d pgbouncer' % SEED)
        http.eventually(lambda: traffic.acknowledged() >= 100, within=60)
        traffic.stop()
        assert set(traffic.during(0)) == {'ok'}, traffic.details('later', 'cut', 'failed')
        traffic.verify()
        with http.Client(stack.url, key) as api:
            branch.after(api.turn(branch.body('two', any_turn(seeded('two')))), 'two')
        log = stack.compose('logs', '--no-color', 'pgbouncer').stdout.decode()
        assert 'posthouse_node' in log, 'no turn went through it'
        assert all(stack.metric(node, 'posthouse_listen_connected') == 1 for node in NODES), 'LISTEN goes past it'
    finally:
        del stack.docker.env['PH_DATABASE']
        stack.compose('up', '-d', timeout=300)


def test_prometheus_sees_every_node(stack):
    stack.compose('build', '-q', 'prometheus', timeout=600)
    stack.compose('--profile', 'obs', 'up', '-d', '--no-deps', 'prometheus', timeout=300)

    def values(query):
        text = stack.inside('prometheus', 'promtool', 'query', 'instant', 'http://127.0.0.1:9090', query, check=False)
        return [float(value) for value in re.findall(r'=> (\S+) @', text)]
    http.eventually(lambda: values('up{job="posthouse"}') == [1, 1, 1] and values('up{job="haproxy"}') == [1], within=60,
                    every=1, what='three nodes and the balancer scraped')
    assert values('count(posthouse_turns_total)')[0] > 0
