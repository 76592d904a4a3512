# SPDX-License-Identifier: Apache-2.0
"""Promise 5: an account's limit holds for the whole cluster, exactly, and a free slot is never refused.

The judge is the upstream, which counts the turns that run at the same moment (`max_running`). Nodes are killed and
stopped, PostgreSQL is restarted and killed, the clocks of nodes stand an hour apart.
"""
import contextlib
import glob
import os
import random
import shutil
import signal
import subprocess
import threading
import time

import pytest

import client as http
from harness import SCALE, SEED, Cluster, FakeUpstream, Postgres, count, figure, free_port

TTL = 3.0
ENV = {'POSTHOUSE_LEASE_TTL': '%dms' % (TTL * 1000), 'POSTHOUSE_DRAIN_TIMEOUT': '5s'}
BODY = {'model': 'demo', 'input': 'hello', 'store': False}
FAKETIME = sorted(glob.glob('/usr/lib/*/faketime/libfaketime.so.1'))
PGBOUNCER = shutil.which('pgbouncer') or shutil.which('pgbouncer', path='/usr/sbin')


def skewed(hours):
    """A node whose wall clock is wrong by so much; the monotonic one is left alone."""
    return {'LD_PRELOAD': FAKETIME[-1], 'FAKETIME': '%+dh' % hours, 'FAKETIME_DONT_FAKE_MONOTONIC': '1',
            'ASAN_OPTIONS': 'verify_asan_link_order=0:detect_leaks=0:exitcode=99'} if FAKETIME and hours else {}


class Pooler:
    """PgBouncer in transaction mode, as the user that PostgreSQL runs as."""

    def __init__(self, postgres):
        self.port = free_port()
        config = postgres.dir / 'pgbouncer.ini'
        config.write_text('[databases]\n* = host=%s port=%d user=posthouse_node\n[pgbouncer]\nlisten_addr = 127.0.0.1\n'
                          'listen_port = %d\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\n'
                          'max_client_conn = 200\ndefault_pool_size = 10\nserver_login_retry = 1\n' % (postgres.dir, postgres.port, self.port),
                          encoding='ascii')
        config.chmod(0o644)
        with open(postgres.dir / 'pgbouncer.log', 'ab') as log:
            self.popen = subprocess.Popen([*postgres.as_user, PGBOUNCER, '-q', config], stdout=log, stderr=log)

    def close(self):
        self.popen.terminate()
        self.popen.wait(10)


class World:
    """A PostgreSQL of its own, since it is restarted; one limited account; nodes with wrong clocks."""

    def __init__(self, directory, limit, clocks=(0, 0, 0), kind='platform', pooled=False, env=None):
        self.things = contextlib.ExitStack()
        self.postgres = Postgres()
        self.things.callback(self.postgres.close)
        self.cluster = Cluster(self.postgres, directory, None, dict(ENV, **(env or {})))
        self.cluster.cli('migrate')
        if pooled:
            pooler = Pooler(self.postgres)
            self.things.callback(pooler.close)
            direct = self.cluster.node_env['POSTHOUSE_DATABASE_URL']
            self.cluster.node_env.update(POSTHOUSE_DATABASE_DIRECT_URL=direct, POSTHOUSE_DATABASE_URL=self.postgres.dsn(
                self.cluster.database, 'posthouse_node', pooler.port))
        self.upstream = FakeUpstream([('a', kind)])
        self.things.callback(self.upstream.close)
        self.limited('a', kind, limit)
        self.key = self.cluster.key('k1')
        self.nodes = [self.cluster.node(env=skewed(hours)) for hours in clocks]
        self.lock = threading.Lock()
        self.seen = {}

    def limited(self, name, kind, limit):
        self.cluster.account(name, kind, self.upstream.base(name), *(['--max-streams', limit] if limit else []))

    def pace(self, **do):
        self.upstream.account('a', do=do)

    def stats(self):
        return self.upstream.stats()['accounts']['a']

    def leases(self):
        """{node: slots} of what has not lapsed."""
        rows = self.cluster.sql('SELECT node, slots FROM posthouse_admin.leases WHERE remaining IS NOT NULL AND slots > 0')
        return dict(rows)

    def turn(self, node, timeout=60, **more):
        """The answer's status, or None where the node died under it."""
        try:
            status = http.once(node.url, self.key, 'POST', '/v1/responses', dict(BODY, **more), timeout=timeout).status
        except (OSError, http.http.client.HTTPException):
            status = None
        with self.lock:
            self.seen[status] = self.seen.get(status, 0) + 1
        return status

    def start(self, node, **more):
        """A turn in a thread; wait() returns its status and the time at which it came."""
        return Started(self, node, more)

    def close(self):
        try:
            self.cluster.close()
        finally:
            self.things.close()


class Started:
    def __init__(self, world, node, more):
        self.status = self.ended = None

        def run():
            self.status = world.turn(node, **more)
            self.ended = time.monotonic()
        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    def wait(self, timeout=60):
        self.thread.join(timeout)
        assert not self.thread.is_alive(), 'the turn has no end'
        return self.status


@pytest.fixture
def make_world(tmp_path):
    made = []

    def make(*args, **kwargs):
        made.append(World(tmp_path, *args, **kwargs))
        return made[-1]
    yield make
    for world in made:
        world.close()


# ---- the limit, under fire ----

class Fire:
    """Clients that go on, each turn on a node that lives, while things are killed. Every answer must be a good one, or 503
    while the database is away; nobody may be told that all accounts are busy."""

    def __init__(self, world, turns, width):
        self.world, self.left, self.width = world, turns, width
        self.lock = threading.Lock()
        self.bad = []

    def next(self):
        with self.lock:
            self.left -= 1
            return self.left >= 0

    def client(self, number):
        draw = random.Random('%d fire %d' % (SEED, number))
        while self.next():
            node = draw.choice([n for n in self.world.nodes if n.running] or self.world.nodes)
            status = self.world.turn(node, stream=draw.random() < 0.5)
            if status not in (200, 503, None):
                self.bad.append(status)
            elif status != 200:
                with self.lock:
                    self.left += 1
                time.sleep(0.1)

    def run(self, events):
        """Calls the events one after the other, evenly over the turns."""
        turns = self.left
        threads = [threading.Thread(target=self.client, args=(n,), daemon=True) for n in range(self.width)]
        for thread in threads:
            thread.start()
        for number, event in enumerate(events, 1):
            while self.left > turns * (1 - number / (len(events) + 1)):
                time.sleep(0.02)
            event()
        for thread in threads:
            thread.join(1500)
            assert not thread.is_alive()


def again(world, number):
    """kill -9, and another process of that name at once."""
    def event():
        world.nodes[number].kill9()
        world.nodes[number].start()
    return event


def restart(world, how):
    def event():
        if how == 'kill':
            world.postgres.kill9()
        else:
            world.postgres.stop(how)
        time.sleep(0.5)
        world.postgres.start()
    return event


@pytest.mark.parametrize('pooled', [False, True], ids=['direct', 'pgbouncer'])
@pytest.mark.parametrize('limit', [1, 3])
def test_the_limit_holds(make_world, limit, pooled):
    """10,000 turns at limit 1 and 3 on three nodes, whose clocks are an hour apart, while nodes are killed and PostgreSQL is
    restarted: the upstream never counts more than the limit, and nobody is refused."""
    if pooled and not PGBOUNCER:
        pytest.skip('pgbouncer is missing')
    world = make_world(limit, clocks=(0, 1, -1), pooled=pooled)
    world.pace(first_delay_ms=10)
    turns = count(10000)
    events = max(1, round(SCALE / 4)) * [again(world, 1), restart(world, 'fast'), again(world, 2), restart(world, 'kill'),
                                         again(world, 0), restart(world, 'immediate')]
    begun = time.monotonic()
    fire = Fire(world, turns, 4 * limit + 2)
    fire.run(events)
    stats = world.stats()
    assert not fire.bad, fire.bad
    assert world.seen[200] == turns
    assert stats['max_running'] == limit, stats
    lost = sum(node.metric('posthouse_leases_lost_total') for node in world.nodes)
    figure('limit %d%s: %d turns in %.0f s on three nodes, %d killed and PostgreSQL restarted as often: at most %d at once, '
           '0 refused, %d answered 503 while it was away, %d cut, %d blocks lost' % (
               limit, ' through PgBouncer' if pooled else '', turns, time.monotonic() - begun, len(events) // 2, stats['max_running'],
               world.seen.get(503, 0), world.seen.get(None, 0), lost))


# ---- nodes that die, stop, end ----

def occupy(world, node, turns, seconds):
    """Turns that run on a node for so long."""
    world.pace(text='hi', deltas=2, delay_ms=int(seconds * 500))
    before = world.stats()['running']
    started = [world.start(node, stream=True) for _ in range(turns)]
    http.eventually(lambda: world.stats()['running'] == before + turns, what='turns that run')
    world.pace()
    return started


def test_a_dead_node_gives_back(make_world):
    world = make_world(3)
    victim, other = world.nodes[:2]
    occupy(world, victim, 3, 60)
    waiting = [world.start(other) for _ in range(3)]
    time.sleep(1)
    assert world.stats()['turns'] == 3, 'the others wait'
    victim.kill9()
    dead = time.monotonic()
    assert [w.wait() for w in waiting] == [200] * 3
    took = max(w.ended for w in waiting) - dead
    assert took <= TTL + 1, took
    assert world.stats()['max_running'] == 3
    figure('slots of a node that was killed are back after %.2f s; TTL %.0f s' % (took, TTL))


def test_a_node_that_ends_gives_back_at_once(make_world):
    """Nothing is idle for longer than 250 ms, and whoever needs a slot is not kept waiting by one that is."""
    world = make_world(3)
    world.pace(first_delay_ms=50)
    assert world.turn(world.nodes[0]) == 200
    assert world.leases() == {'n1': 1}
    begun = time.monotonic()
    http.eventually(lambda: not world.leases(), within=3, every=0.005, what='the idle slot is back')
    figure('an idle slot is back after %.0f ms' % ((time.monotonic() - begun) * 1000))


def test_a_stopped_node_starts_nothing(make_world):
    """SIGSTOP for twice the TTL: others get its slots. Continued, it ends what ran, which is the only excess, and starts
    nothing on the lease that it had."""
    world = make_world(3)
    victim, other, third = world.nodes
    running = occupy(world, victim, 2, 3 * TTL)
    pids = [victim.pid, *victim.workers()]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    stopped = time.monotonic()
    long = occupy(world, other, 1, 3 * TTL)
    assert world.stats()['running'] == 3
    waiting = [world.start(third) for _ in range(4)]
    assert [w.wait() for w in waiting] == [200] * 4
    took = max(w.ended for w in waiting) - stopped
    long += occupy(world, other, 2, 1.5 * TTL)
    assert world.stats()['running'] == 5
    time.sleep(max(0, stopped + 2 * TTL - time.monotonic()))
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    turns = world.stats()['turns']
    late = [world.start(victim, timeout=20) for _ in range(3)]
    while (now := world.stats())['running'] >= 3:
        assert now['turns'] == turns or now['running'] == 3, 'a turn was started while all slots were in use'
        time.sleep(0.02)
    assert [s.wait() for s in running + long + late] == [200] * 8
    assert world.stats()['max_running'] == 5
    assert victim.metric('posthouse_leases_lost_total') == 1
    figure('a node stopped for %.0f s with 2 turns: the others had its slots after %.2f s; at most 3 + 2 turns at once' % (
        2 * TTL, took))


# ---- a free slot crosses nodes ----

def test_a_free_slot_crosses(make_world):
    """The only slot is needed by one node after the other: at once where it is free, and as soon as its turn ends where
    somebody waits. From the end of a turn to the beginning of the next one, as the upstream sees them."""
    world = make_world(1)
    world.pace(first_delay_ms=20)
    for turn in range(count(2000)):
        assert world.turn(world.nodes[turn % 3]) == 200
    idle = gaps(world)
    world.upstream.reset()
    world.pace(first_delay_ms=60)
    for turn in range(count(1000)):
        first = world.start(world.nodes[turn % 3])
        http.eventually(lambda so_far=2 * turn: world.stats()['turns'] > so_far, every=0.002, what='the first runs')
        second = world.start(world.nodes[(turn + 1) % 3])
        assert (first.wait(), second.wait()) == (200, 200)
    waited = gaps(world)[::2]
    assert world.stats()['max_running'] == 1
    for what, found in (('to a node that asks', idle), ('to a node that waits', waited)):
        found.sort()
        p50, p99 = found[len(found) // 2], found[min(len(found) - 1, int(len(found) * 0.99))]
        figure('a free slot crosses %s in %.1f ms, p99 %.1f ms (%d)' % (what, p50, p99, len(found)))
        assert p99 < 1000


def gaps(world):
    """Milliseconds from the end of each turn to the arrival of the next."""
    requests = world.upstream.requests('a', last=100000)
    return [b['arrived'] - a['ended'] for a, b in zip(requests, requests[1:])]


# ---- what operators do ----

def test_limits_change(make_world):
    """A lower limit lets running turns end and no more begin; a higher one is used at once; none is none."""
    world = make_world(4)
    one, two = world.nodes[:2]
    running = occupy(world, one, 2, 3.0) + \
        occupy(world, two, 2, 3.0)
    world.cluster.sql("SELECT posthouse_admin.set_account_limit('a', 1, 'test')")
    waiting = [world.start(node) for node in world.nodes]
    world.pace(first_delay_ms=100)
    assert [s.wait() for s in running] == [200] * 4
    assert [s.wait() for s in waiting] == [200] * 3
    ended = sorted((r['arrived'], r['ended']) for r in world.upstream.requests('a'))
    assert all(next_[0] >= max(r[1] for r in ended[:n + 4]) for n, next_ in enumerate(ended[4:])), ended
    world.upstream.reset('a')
    world.pace(first_delay_ms=1000)
    waiting = [world.start(world.nodes[n % 3]) for n in range(5)]
    http.eventually(lambda: world.stats()['running'] == 1, what='one runs')
    world.cluster.sql("SELECT posthouse_admin.set_account_limit('a', 5)")
    http.eventually(lambda: world.stats()['running'] == 5, within=2, what='all run')
    assert [s.wait() for s in waiting] == [200] * 5
    world.cluster.sql("SELECT posthouse_admin.set_account_limit('a', NULL)")
    waiting = [world.start(world.nodes[n % 3]) for n in range(9)]
    http.eventually(lambda: world.stats()['running'] == 9, within=5, what='all run')
    assert [s.wait() for s in waiting] == [200] * 9
    http.eventually(lambda: not world.leases(), what='no leases without a limit')


def test_slots_taken_back(make_world):
    """release_leases: what runs is told again, nothing exceeds the limit, and a dead node's slots come before its TTL."""
    world = make_world(3)
    running = occupy(world, world.nodes[0], 1, 3.0)
    occupy(world, world.nodes[1], 2, 60)
    world.nodes[1].kill9()
    http.eventually(lambda: world.stats()['running'] == 1, what='the upstream sees that it is dead')
    begun = time.monotonic()
    assert world.cluster.sql("SELECT account_name, released FROM posthouse_admin.release_leases('a', 'dead')") == [('a', 3)]
    http.eventually(lambda: world.leases() == {'n1': 1}, within=1, what='what runs is told')
    waiting = [world.start(world.nodes[2]) for _ in range(2)]
    assert [s.wait() for s in waiting] == [200] * 2
    assert time.monotonic() - begun < TTL
    assert [s.wait() for s in running] == [200]
    assert world.stats()['max_running'] == 3


def test_nodes_as_operators_see_them(make_world):
    """Registered, draining, forgotten: a node that lives comes back by itself, with what it runs."""
    world = make_world(3, clocks=(0, 1))
    rows = world.cluster.sql('SELECT name, state, version FROM posthouse_admin.nodes')
    version = world.cluster.cli('version').stdout.decode().split()[-1]
    assert rows == [('n1', 'alive', version), ('n2', 'alive', version)]
    one, two = world.nodes
    ids = dict(world.cluster.sql('SELECT name, node_id FROM posthouse_admin.nodes'))
    running = occupy(world, one, 2, 2.0)
    world.cluster.sql("SELECT posthouse_admin.forget_node('n1', 'test')")
    http.eventually(lambda: world.leases() == {'n1': 2}, within=2, what='n1 is back')
    assert dict(world.cluster.sql('SELECT name, node_id FROM posthouse_admin.nodes'))['n1'] != ids['n1']
    world.cluster.sql("SELECT posthouse_admin.drain_node('n2', 'test')")
    http.eventually(lambda: two.admin('/readyz').status == 503, within=2, what='n2 is not ready')
    assert (one.admin('/readyz').status, two.admin('/startupz').status) == (200, 200)
    assert world.turn(two) == 200, 'what still arrives is served'
    assert [s.wait() for s in running] == [200] * 2
    two.kill9()
    two.start()
    states = world.cluster.sql("SELECT state FROM posthouse_admin.nodes WHERE name = 'n2' ORDER BY started")
    assert [s for s, in states][-1] == 'alive', 'a restart ends the drain'
    http.eventually(lambda: ('n2', 'silent') in world.cluster.sql('SELECT name, state FROM posthouse_admin.nodes'),
                    within=TTL + 2, what='the former life is silent')


# ---- without slots ----

def test_the_database_is_away(make_world):
    """While a block is trusted it serves; past that, turns on limited accounts get 503, others go on. With the database back
    all is well at once."""
    world = make_world(2, clocks=(0,), env={'POSTHOUSE_SNAPSHOTS': 'none'})  # else each turn's end waits for its commit
    node, = world.nodes
    world.pace(first_delay_ms=20)
    stop = threading.Event()
    statuses = []

    def client():
        while not stop.is_set():
            begun = time.monotonic()
            statuses.append((begun, world.turn(node, stream=True)))
    thread = threading.Thread(target=client, daemon=True)
    thread.start()
    time.sleep(0.5)
    world.postgres.stop('immediate')
    away = time.monotonic()
    http.eventually(lambda: statuses and statuses[-1][1] == 503, within=TTL + 15, what='503')
    time.sleep(0.5)
    world.postgres.start()
    back = time.monotonic()
    http.eventually(lambda: statuses[-1][1] == 200, within=TTL + 5, what='served again')
    stop.set()
    thread.join(30)
    assert {s for _, s in statuses} == {200, 503}
    refused = [t for t, s in statuses if s == 503]
    assert min(refused) > away + 1 and max(refused) < back + TTL + 5
    figure('database away: turns on a limited account go on for %.1f s of a TTL of %.0f s, and again %.1f s after it is back' % (
        min(refused) - away, TTL, max(refused) - back))


def test_unlimited_accounts_cost_nothing(make_world):
    world = make_world(None, clocks=(0,))
    node, = world.nodes
    for _ in range(20):
        assert world.turn(node) == 200
    assert node.metric('posthouse_slot_calls_total') == 0
    assert world.cluster.sql('SELECT count(*) FROM posthouse_admin.leases') == [(0,)]


def test_a_turn_takes_whichever_has_a_slot(make_world):
    """Two limited accounts: turns wait for neither while the other has a slot, whichever node they came to."""
    world = make_world(2, kind='stateless')
    world.cluster.account('b', 'stateless', world.upstream.base('a'), '--max-streams', '2')
    world.pace(first_delay_ms=1000)
    http.eventually(lambda: world.cluster.sql('SELECT count(*) FROM posthouse_admin.accounts') == [(2,)])
    time.sleep(0.3)
    begun = time.monotonic()
    started = [world.start(world.nodes[n % 3]) for n in range(4)]
    http.eventually(lambda: world.stats()['running'] == 4, within=2, what='all four run')
    assert [s.wait() for s in started] == [200] * 4
    assert time.monotonic() - begun < 3


def test_other_requests_wait_too(make_world):
    """Embeddings and the like take slots as turns do, and wait for them in the same queue."""
    world = make_world(1, clocks=(0, 0))
    running = occupy(world, world.nodes[0], 1, 1.0)
    answer = http.once(world.nodes[1].url, world.key, 'POST', '/v1/embeddings', {'model': 'demo', 'input': 'x'})
    assert answer.status == 200, answer
    assert [s.wait() for s in running] == [200]
    assert world.stats()['max_running'] == 1


def test_the_queue_has_an_end(make_world):
    world = make_world(1, clocks=(0,), env={'POSTHOUSE_QUEUE_TIMEOUT': '1s'})
    node, = world.nodes
    running = occupy(world, node, 1, 4.0)
    begun = time.monotonic()
    answer = http.once(node.url, world.key, 'POST', '/v1/responses', BODY)
    assert answer.status == 429 and answer.error['code'] == 'rate_limit_exceeded', answer
    assert int(answer.header('retry-after')) >= 1
    assert 0.9 < time.monotonic() - begun < 10
    assert [s.wait() for s in running] == [200]
