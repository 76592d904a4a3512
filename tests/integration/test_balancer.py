# SPDX-License-Identifier: Apache-2.0
"""Three nodes behind HAProxy, with the configuration that docker-compose.yml uses: rolling restarts, deaths, reloads.

The nodes, the balancer and PostgreSQL are plain processes here; tests/compose does the same in containers.
"""
import contextlib
import os
import shutil
import signal
import socket
import threading
import time

import pytest

import client as http
from conversation import Conversation
from harness import ROOT, SEED, Cluster, FakeUpstream, Postgres, Process, count, figure, free_port, seeded
from traffic import Traffic, any_turn
from wsclient import Closed, Refused, Socket

CONFIGURATION = ROOT / 'compose' / 'haproxy.cfg'
HAPROXY = shutil.which('haproxy', path=os.environ.get('PATH', '') + ':/usr/sbin')
ACCOUNTS = [('demo1', 'platform'), ('demo2', 'codex'), ('demo3', 'stateless')]  # as in docker-compose.yml

pytestmark = [pytest.mark.skipif(HAPROXY is None, reason='needs haproxy'), pytest.mark.timeout(600)]


class Balancer(Process):
    def __init__(self, nodes, directory):
        self.port, self.metrics_port = free_port(), free_port()
        self.url = 'http://127.0.0.1:%d' % self.port
        env = dict(os.environ, POSTHOUSE_BALANCER='127.0.0.1:%d' % self.port,
                   POSTHOUSE_BALANCER_METRICS='127.0.0.1:%d' % self.metrics_port)
        for number, node in enumerate(nodes, 1):
            env['POSTHOUSE_NODE%d' % number] = '127.0.0.1:%d' % node.port
            env['POSTHOUSE_NODE%d_ADMIN' % number] = str(node.admin_port)
        super().__init__('haproxy', [HAPROXY, '-W', '-db', '-f', CONFIGURATION], env, directory)
        self.spawn()
        http.eventually(self.up, within=20, what='haproxy and three nodes')

    def up(self):
        """Whether it serves and knows all nodes as up."""
        with contextlib.suppress(OSError, http.http.client.HTTPException):
            text = http.once('http://127.0.0.1:%d' % self.metrics_port, None, 'GET', '/metrics').body.decode()
            return text.count('haproxy_server_status{proxy="nodes"') and all(
                'haproxy_server_status{proxy="nodes",server="node%d",state="UP"} 1' % n in text for n in (1, 2, 3))
        return False

    def reload(self):
        self.signal(signal.SIGUSR2)

    def close(self):
        self.signal(signal.SIGTERM)
        self.wait(20)


class World:
    """A cluster behind a balancer, with a PostgreSQL of its own: it is restarted."""

    def __init__(self, directory):
        self.postgres = Postgres()
        self.cluster = Cluster(self.postgres, directory, None, {'POSTHOUSE_POLL_INTERVAL': '1s'})
        self.cluster.cli('migrate')
        self.upstream = self.cluster.own(FakeUpstream(ACCOUNTS))
        for name, kind in ACCOUNTS:
            self.cluster.account(name, kind, self.upstream.base(name))
        self.all = self.cluster.key('all')
        self.two = self.cluster.key('two', '--account', 'demo1', '--account', 'demo3')
        self.nodes = [self.cluster.node() for _ in range(3)]
        self.balancer = self.cluster.own(Balancer(self.nodes, directory))

    def pace(self, script):
        """How long the upstream takes for an ordinary turn; None: no time."""
        for name, _ in ACCOUNTS:
            self.upstream.account(name, do=script)

    def traffic(self, name, width=20):
        return Traffic(self.balancer.url, [(self.all, any_turn), (self.two, any_turn)], width, '%d %s' % (SEED, name))

    def kinds(self):
        return {name: account['completed'] for name, account in self.upstream.accounts().items()}

    def foreign(self):
        return {name: account['found'] for name, account in self.upstream.accounts().items() if account['foreign']}

    def close(self):
        self.cluster.close()
        self.postgres.close()


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    found = World(tmp_path_factory.mktemp('balancer'))
    yield found
    found.close()


def rolling_restart(world):
    """SIGTERM, the end of the drain, the new process ready: one node after the other."""
    for node in world.nodes:
        node.stop(timeout=60)
        node.start()


def died(world, draw):
    node = draw.choice(world.nodes)
    node.kill9()
    time.sleep(draw.uniform(0.5, 2))
    node.start()


def restarted(world, draw):
    world.postgres.stop('fast')
    time.sleep(draw.uniform(0, 1))
    world.postgres.start()


def settle(world):
    """Until all is as if nothing had happened."""
    http.eventually(world.balancer.up, within=30, what='all nodes up')
    for node in world.nodes:
        http.eventually(lambda n=node: n.metric('posthouse_pg_connections', state='down') == 0, within=30,
                        what='connections to PostgreSQL')


def test_nothing_is_lost(world):
    """2,000 turns while nodes are restarted in turn, one is killed, PostgreSQL is restarted, the balancer reloaded."""
    world.pace({'deltas': 4, 'delay_ms': 20})
    draw, traffic = seeded('balancer'), world.traffic('balancer')
    report, goal = [], max(2000, count(10000))
    while True:
        for name, disturb, allowed in (('rolling restart', lambda: rolling_restart(world), {'ok'}),
                                       ('reload of HAProxy', world.balancer.reload, {'ok'}),
                                       ('kill -9', lambda: died(world, draw), {'ok', 'cut'}),
                                       ('PostgreSQL restart', lambda: restarted(world, draw), {'ok', 'later'})):
            began = time.monotonic()
            disturb()
            settle(world)
            time.sleep(1)
            found = traffic.during(began, time.monotonic())
            report.append('%s: %s' % (name, dict(found)))
            assert set(found) <= allowed, '%s: %s %s' % (name, dict(found), traffic.details(*set(found) - allowed))
        if traffic.acknowledged() >= goal:
            break
    traffic.stop()
    world.pace(None)
    verified = traffic.verify()
    assert traffic.nodes() == {node.name for node in world.nodes}, 'some node got nothing'
    assert min(world.kinds().values()) > 0 and not world.foreign(), (world.kinds(), world.foreign())
    assert sum(node.metric('posthouse_snapshots_lost_total') for node in world.nodes) == 0
    figure('%d turns acknowledged, all continued with exactly their context; %s; by account %s; %d KiB a node' % (
        verified, '; '.join(report), world.kinds(), max(node.rss_kib() for node in world.nodes)))


def test_a_draining_node_gets_nothing_new(world):
    """It is seen at once: what arrives during its last three seconds was sent before the balancer knew."""
    settle(world)
    node = world.nodes[0]
    traffic = world.traffic('draining')
    http.eventually(lambda: world.nodes[0].name in traffic.nodes(), within=20)
    node.signal(signal.SIGTERM)
    time.sleep(2.5)
    seen = time.monotonic()
    node.stop(timeout=60, asked=True)
    traffic.stop()
    late = [o for o in traffic.outcomes if o.node == node.name and o.began > seen]
    assert not late, 'the balancer still sends turns to it: %s' % late
    assert set(traffic.during(0)) == {'ok'}, traffic.details('later', 'cut', 'failed')
    node.start()


@pytest.mark.parametrize('script, last', [({'first_delay_ms': 20000}, b''),
                                          ({'deltas': 100, 'delay_ms': 200}, b'output_text.delta')])
def test_a_client_that_leaves_is_cancelled_upstream(world, script, last):
    """Through the balancer too, before the first byte and in the middle: a node must hear of it to free the account."""
    def running():
        return sum(account['running'] for account in world.upstream.accounts().values())
    settle(world)
    world.pace(script)
    body = b'{"model":"demo","input":"long","stream":true}'
    with socket.create_connection(('127.0.0.1', world.balancer.port)) as sock:
        sock.sendall(b'POST /v1/responses HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer %s\r\n'
                     b'Content-Length: %d\r\n\r\n%s' % (world.two.encode(), len(body), body))
        http.eventually(lambda: running() == 1)
        found = b''
        while last not in found:
            found += sock.recv(65536)
    left = time.monotonic()
    http.eventually(lambda: running() == 0, within=5, every=0.005)
    figure('cancelled upstream %.0f ms after the client left' % ((time.monotonic() - left) * 1000))
    world.pace(None)


class Caller(threading.Thread):
    """One conversation on WebSockets, for as long as nothing else is said; a new one where a node closes it, with 1012
    and between turns. Whatever else happens is a fault."""

    def __init__(self, url, key, number, stopping):
        super().__init__(daemon=True)
        self.url, self.key, self.number, self.stopping = url, key, number, stopping
        self.conversation, self.nodes, self.moves, self.fault = Conversation(), set(), 0, None
        self.start()

    def connect(self):
        while True:
            try:
                ws = Socket(self.url, self.key)
                self.nodes.add(ws.headers['x-posthouse-node'])
                return ws
            except Refused as refused:
                assert refused.status == 503 and int(dict(refused.headers)['retry-after']) >= 1, refused
                time.sleep(0.2)

    def talk(self):
        ws = self.connect()
        while not self.stopping.is_set():
            try:
                self.conversation = self.conversation.say(ws, 'caller %d' % self.number, store=False)
            except Closed as closed:
                assert closed.code == 1012 and not ws.heard, (closed, ws.heard)
                self.moves += 1
                ws = self.connect()
        ws.close()

    def run(self):
        try:
            self.talk()
        except BaseException as fault:  # pylint: disable=broad-except
            self.fault = fault


def test_websockets_move_on(world):
    """Nodes are restarted in turn: each finishes the turns that run, closes its sockets with 1012, and the client goes on
    at another, with exactly its context."""
    settle(world)
    world.pace({'deltas': 4, 'delay_ms': 20})
    stopping = threading.Event()
    callers = [Caller(world.balancer.url, (world.all, world.two)[n % 2], n, stopping) for n in range(12)]
    try:
        http.eventually(lambda: all(caller.conversation.depth for caller in callers), what='a turn of each')
        rolling_restart(world)
        settle(world)
        time.sleep(1)
    finally:
        stopping.set()
        for caller in callers:
            caller.join(60)
        world.pace(None)
    assert not [caller.fault for caller in callers if caller.fault]
    assert all(caller.moves for caller in callers) and set.union(*(caller.nodes for caller in callers)) == {
        node.name for node in world.nodes}
    assert not world.foreign()
    figure('%d turns on WebSockets while three nodes were restarted, %d times a socket was closed with 1012' % (
        sum(caller.conversation.depth for caller in callers), sum(caller.moves for caller in callers)))


def test_all_nodes_away(world):
    """The balancer's own answer has OpenAI's envelope and a Retry-After."""
    settle(world)
    for node in world.nodes:
        node.kill9()
    try:
        answer = http.eventually(lambda: (found := http.once(world.balancer.url, world.all, 'POST', '/v1/responses', {}))
                                 .status == 503 and found, within=20)
        assert answer.error['code'] == 'service_unavailable' and int(answer.header('retry-after')) >= 1
    finally:
        for node in world.nodes:
            node.start()
