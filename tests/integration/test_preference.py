# SPDX-License-Identifier: Apache-2.0
"""Which account gets a turn: strategies, bounds, conversations that stay where their prompt cache is, and the one turn that
goes first after a block. The judge is the upstream, which counts the turns of each account."""
import concurrent.futures
import itertools
import re
import threading
import time

import psycopg
import pytest

import client as http
from harness import FakeUpstream, count, figure
from test_leases import PGBOUNCER, Pooler

NAMES = 'abc'
NODES = 3


class World:
    """Three accounts, which answer as they are told, and nodes in front of them. What a node learns from the others it
    learns by notification: no poll helps."""

    def __init__(self, cluster, nodes=NODES, kind='stateless', options=None):
        self.cluster = cluster
        self.upstream = cluster.own(FakeUpstream([(name, kind) for name in NAMES]))
        for name in NAMES:
            cluster.account(name, kind, self.upstream.base(name), *(options or {}).get(name, ()))
        self.key = cluster.key('k1')
        self.nodes = [cluster.node() for _ in range(nodes)]
        self.told = {}

    def turn(self, node=0, body=None, headers=None, timeout=60):
        return http.once(self.nodes[node].url, self.key, 'POST', '/v1/responses',
                         dict({'model': 'demo', 'input': 'hello', 'store': False}, **(body or {})), headers, timeout)

    def used(self):
        """{account: turns since it was last asked}."""
        now = {name: stats['turns'] for name, stats in self.upstream.stats()['accounts'].items()}
        fresh = {name: n - self.told.get(name, 0) for name, n in now.items() if n > self.told.get(name, 0)}
        self.told = now
        return fresh

    def went(self, **kwargs):
        """One turn, and the account that it went to."""
        self.used()
        answer = self.turn(**kwargs)
        assert answer.status == 200, answer
        (name, turns), = self.used().items()
        assert turns == 1
        return name

    def all_nodes(self, **kwargs):
        """The accounts that a turn on each node goes to."""
        return {self.went(node=n, **kwargs) for n in range(len(self.nodes))}

    def at_once(self, turns, **kwargs):
        """So many at the same moment, spread over the nodes; their statuses."""
        barrier = threading.Barrier(turns)

        def one(number):
            barrier.wait(60)
            return self.turn(number % len(self.nodes), **kwargs).status
        with concurrent.futures.ThreadPoolExecutor(turns) as pool:
            return sorted(pool.map(one, range(turns)))

    def sql(self, text, *args):
        return self.cluster.sql(text, *args)

    def verb(self, name, account):
        """Of an operator; every node knows then."""
        self.sql("SELECT posthouse_admin.%s('%s', 'test')" % (name, account))
        self.all_know()

    def all_know(self):
        """What has changed so far. A node may have read a later change with it."""
        version, = self.sql("SELECT version FROM posthouse.topics WHERE topic = 'accounts'")[0]
        http.eventually(lambda: all(version <= max(map(int, re.findall(rb'accounts are as of version (\d+)', node.text())), default=0)
                                    for node in self.nodes), what='every node knows')

    def strategy(self, name):
        for node in self.nodes:
            assert node.running
        with psycopg.connect(self.cluster.postgres.dsn(self.cluster.database)) as conn:
            conn.execute("INSERT INTO posthouse.settings (name, value) VALUES ('strategy', %s)"
                         "ON CONFLICT (name) DO UPDATE SET value = excluded.value", (name,))
            conn.execute("SELECT posthouse.bump('settings')")
            version, = conn.execute("SELECT version FROM posthouse.topics WHERE topic = 'settings'").fetchone()
        line = b'settings are as of version %d' % version
        http.eventually(lambda: all(line in node.text() for node in self.nodes), what='every node knows')


@pytest.fixture
def make_world(make_cluster):
    def make(env=None, **kwargs):
        return World(make_cluster(dict({'POSTHOUSE_POLL_INTERVAL': '60s'}, **(env or {}))), **kwargs)
    return make


serial = itertools.count(1)


def conversation(kind='cache'):
    """A name that no conversation had before, as a turn says it."""
    name = 'conversation %d' % next(serial)
    if kind == 'cache':
        return {'body': {'prompt_cache_key': name}}
    return {'headers': {kind: name}}


# ---- preference ----

@pytest.mark.parametrize('pooled', [False, True], ids=['direct', 'pgbouncer'])
def test_first_turns_agree(make_cluster, postgres, pooled):
    """100 simultaneous first turns of one conversation on three nodes use one account; conversations spread over all."""
    if pooled and not PGBOUNCER:
        pytest.skip('pgbouncer is missing')
    cluster = make_cluster()
    if pooled:
        pooler = cluster.own(Pooler(postgres))
        direct = cluster.node_env['POSTHOUSE_DATABASE_URL']
        cluster.node_env.update(POSTHOUSE_DATABASE_DIRECT_URL=direct, POSTHOUSE_DATABASE_URL=postgres.dsn(
            cluster.database, 'posthouse_node', pooler.port))
    world = World(cluster)
    for node in range(NODES):
        assert world.turn(node).status == 200
    everywhere = set()
    rounds = count(120)
    kinds = ('cache', 'thread-id', 'session-id')
    for number in range(rounds):
        world.used()
        assert world.at_once(100, **conversation(kinds[number % 3])) == [200] * 100
        used = world.used()
        assert list(used.values()) == [100], used
        everywhere |= set(used)
    assert len(everywhere) > 1
    rows = world.sql('SELECT named_by, count(*), count(moved) FROM posthouse_admin.preferences GROUP BY 1 ORDER BY 1')
    assert [(row[0], row[2]) for row in rows] == [('prompt_cache_key', 0), ('session-id', 0), ('thread-id', 0)]
    assert sum(row[1] for row in rows) == rounds
    asked, spared = (sum(node.metric('posthouse_preferences_total', outcome=outcome) for node in world.nodes for outcome in which)
                     for which in (('new', 'kept', 'moved', 'none', 'failed'), ('known',)))
    figure('%d times 100 simultaneous first turns of one conversation on three nodes%s: one account each; %d round trips, '
           '%d turns knew already, the others waited for the same answer' % (
               rounds, ' through PgBouncer' if pooled else '', asked, spared))


def test_which_name_counts(make_world):
    """thread-id before session-id before prompt_cache_key; the same word as another kind of name is another conversation;
    another key's conversation is another one."""
    world = make_world(nodes=1)
    name = 'conversation %d' % next(serial)
    first = world.went(headers={'thread-id': name, 'session-id': 'x'}, body={'prompt_cache_key': 'y'})
    assert world.went(headers={'thread-id': name, 'session-id': 'other'}, body={'prompt_cache_key': 'other'}) == first
    world.turn(headers={'session-id': name})
    world.turn(body={'prompt_cache_key': name})
    world.key = world.cluster.key('k2')
    world.turn(headers={'thread-id': name})
    assert world.sql('SELECT key_name, named_by FROM posthouse_admin.preferences ORDER BY 1, 2') == [
        ('k1', 'prompt_cache_key'), ('k1', 'session-id'), ('k1', 'thread-id'), ('k2', 'thread-id')]
    world.turn()
    assert world.sql('SELECT count(*) FROM posthouse_admin.preferences') == [(4,)], 'what has no name needs no row'


def test_it_moves_once_and_stays(make_world):
    """Its account is paused, blocked, removed: the conversation goes on with one other account, on every node, and stays
    there when the first one is back."""
    world = make_world()
    for take, give in ((lambda name, _: world.verb('pause_account', name), lambda name: world.verb('resume_account', name)),
                       (lambda name, talk: limit(world, name, talk), lambda name: wait_for_health(world, name))):
        talk = conversation()
        home, = world.all_nodes(**talk)
        take(home, talk)
        other, = world.all_nodes(**talk)
        assert other != home
        give(home)
        assert world.all_nodes(**talk) == {other}
        time.sleep(5.1)  # what a node knew by heart is forgotten
        assert world.all_nodes(**talk) == {other}
    world.cluster.cli('account', 'remove', other)
    third, = world.all_nodes(**talk)
    assert third != other


def limit(world, name, talk):
    world.upstream.script(name, {'status': 429, 'retry_after': 5, 'code': 'rate_limit_exceeded'})
    assert world.turn(**talk).status == 200
    assert len(world.used()) == 2, 'another one took the turn'
    world.all_know()


def wait_for_health(world, name):
    http.eventually(lambda: world.sql('SELECT health FROM posthouse_admin.accounts WHERE name = %s', name) == [('active',)],
                    within=10, what='the block has ended')
    time.sleep(0.3)


def test_a_failed_account_loses_it(make_world):
    """An account that breaks under a turn is left, though it is not blocked: the next turns find the conversation moved."""
    world = make_world()
    talk = conversation()
    home, = world.all_nodes(**talk)
    world.upstream.script(home, {'status': 500, 'code': 'server_error'})
    assert world.turn(**talk).status == 200
    used = world.used()
    other, = set(used) - {home}
    time.sleep(5.1)
    assert world.all_nodes(**talk) == {other}


def test_a_busy_account_keeps_it(make_world):
    """What does not fit goes elsewhere, once."""
    world = make_world(nodes=1, options={name: ('--max-streams', '1') for name in NAMES})
    talk = conversation()
    home = world.went(**talk)
    world.upstream.account(home, do={'first_delay_ms': 1500})
    first = threading.Thread(target=world.turn, kwargs=talk)
    first.start()
    http.eventually(lambda: world.upstream.stats()['accounts'][home]['running'] == 1, what='it runs')
    world.upstream.account(home, do=None)
    assert world.went(**talk) != home
    first.join()
    time.sleep(0.5)
    assert world.went(**talk) == home
    assert world.sql('SELECT count(*), count(moved) FROM posthouse_admin.preferences') == [(1, 0)]


def test_chains_have_one_too(make_world):
    """An anchored turn needs no answer while its owner can serve. Simultaneous branches of a chain whose owner is gone go to
    the same account."""
    world = make_world()
    answer = world.turn()
    owner, = world.used()
    anchor = {'previous_response_id': answer.json['id']}
    assert world.all_nodes(body=anchor) == {owner}
    assert sum(node.metric('posthouse_preferences_total') for node in world.nodes) == 0
    world.verb('pause_account', owner)
    world.used()
    assert world.at_once(60, body=anchor) == [200] * 60
    used = world.used()
    assert list(used.values()) == [60] and owner not in used, used
    assert world.sql('SELECT named_by FROM posthouse_admin.preferences') == [('chain',)]


def test_without_an_answer(make_world):
    """A conversation that somebody else has locked, and a database that is away: the turn chooses alone."""
    world = make_world(nodes=1, env={'POSTHOUSE_SNAPSHOTS': 'none'})
    talk = conversation()
    world.turn(**talk)
    scope, signal = world.sql('SELECT scope, conversation FROM posthouse_admin.preferences')[0]
    time.sleep(5.1)
    with psycopg.connect(world.cluster.postgres.dsn(world.cluster.database)) as conn:
        conn.execute("SELECT pg_advisory_xact_lock(hashtextextended('posthouse:2:%d:%s', 0))" % (scope, signal))
        begun = time.monotonic()
        assert world.turn(**talk).status == 200
        figure('a conversation that is locked for long holds a turn up for %.0f ms' % ((time.monotonic() - begun) * 1000))
        assert world.nodes[0].metric('posthouse_preferences_total', outcome='failed') == 1
    assert world.turn(**talk).status == 200
    http.eventually(lambda: world.turn(**talk).status == 200 and world.nodes[0].metric(
        'posthouse_preferences_total', outcome='kept') >= 1, what='it is asked again')


def test_what_it_costs(make_world):
    """Turns without a name, with a new one each, and with one that the node knows."""
    world = make_world(nodes=1)
    known = conversation()
    turns = count(4000)
    took = {'plain': [], 'asked': [], 'spared': []}
    with http.Client(world.nodes[0].url, world.key) as api:
        for _ in range(turns):  # side by side, since the machine may be busy
            for what, more in (('plain', {}), ('asked', conversation()['body']), ('spared', known['body'])):
                begun = time.perf_counter()
                assert api.post(dict({'model': 'demo', 'input': 'hello', 'store': False}, **more)).status == 200
                took[what].append(time.perf_counter() - begun)
    plain, asked, spared = (sorted(took[what])[turns // 2] * 1000 for what in ('plain', 'asked', 'spared'))
    figure('median of %d turns: %.2f ms without a name, %.2f ms where the database is asked for its account, %.2f ms where the '
           'node knows it' % (turns, plain, asked, spared))
    assert world.nodes[0].metric('posthouse_preferences_total', outcome='new') == turns + 1
    assert asked < plain + 100


# ---- strategies and bounds ----

def spread(world, turns):
    world.used()
    for _ in range(turns):
        assert world.turn().status == 200
    return world.used()


def test_strategies(make_world):
    world = make_world(nodes=1, options={'c': ('--weight', '3')})
    assert spread(world, 30) == {'a': 10, 'b': 10, 'c': 10}, 'idle ones in turn'
    world.strategy('round_robin')
    used = spread(world, 50)
    assert abs(used['c'] - 30) <= 1 and abs(used['a'] - 10) <= 1, used
    world.strategy('fill_first')
    assert spread(world, 10) == {'a': 10}
    world.verb('pause_account', 'a')
    assert spread(world, 10) == {'b': 10}
    world.verb('resume_account', 'a')
    world.cluster.account('c', 'stateless', world.upstream.base('c'), '--priority', '-1')
    http.eventually(lambda: spread(world, 1) == {'c': 1}, what='the lower number is preferred')
    world.strategy('priority')
    assert spread(world, 10) == {'c': 10}
    world.cluster.account('c', 'stateless', world.upstream.base('c'), '--priority', '1')
    http.eventually(lambda: spread(world, 1) != {'c': 1}, what='the number is known')
    assert spread(world, 20) == {'a': 10, 'b': 10}
    world.strategy('a word of a later release')
    assert spread(world, 2) == {'a': 1, 'b': 1}, 'as before'
    world.strategy('least_loaded')
    assert spread(world, 20) == {'a': 10, 'b': 10}


def test_max_used_percent(make_world):
    """Above its bound an account gets no new conversation, and no old one that another account can take; what only it can
    take it still gets. All nodes know as soon as one has seen it."""
    world = make_world(kind='codex', options={'a': ('--max-used-percent', '50')})
    for name in 'bc':
        world.verb('pause_account', name)
    talk = conversation()
    def usage(percent):
        headers = {'x-codex-primary-used-percent': str(percent), 'x-codex-primary-window-minutes': '300',
                   'x-codex-primary-reset-at': str(int(time.time()) + 3600)}
        world.upstream.account('a', do={'headers': headers})
    usage(50)
    assert world.all_nodes(**talk) == {'a'}
    usage(51)
    assert world.went(**talk) == 'a'
    used = "SELECT used_percent, max_used_percent FROM posthouse_admin.accounts WHERE name = 'a'"
    http.eventually(lambda: world.sql(used) == [(51.0, 50)], within=15, what='the database knows')
    time.sleep(0.5)
    for node in range(NODES):
        answer = world.turn(node)
        assert answer.status == 429, answer
        assert int(answer.header('retry-after')) > 3000
    assert world.all_nodes(**talk) == {'a'}, 'an old conversation that nobody else can take'
    world.verb('resume_account', 'b')
    assert world.all_nodes(**conversation()) == {'b'}
    assert world.all_nodes(**talk) == {'b'}
    world.cluster.cli('account', 'add', 'a', '--kind', 'codex', '--base-url', world.upstream.base('a'), '--api-key-file', '-',
                      '--max-used-percent', '100', stdin=b'other\n')
    http.eventually(lambda: 'a' in spread(world, 2), what='the bound is lifted')


# ---- the first turn after a block ----

def cooled(world, seconds=2):
    """Only account a is left, and every node knows that it is cooling."""
    for name in 'bc':
        world.verb('pause_account', name)
    world.upstream.account('a', do={'status': 429, 'retry_after': seconds, 'code': 'rate_limit_exceeded'})
    assert world.turn().status == 429
    time.sleep(0.5)
    world.used()
    assert all(world.turn(n).status == 429 for n in range(NODES))
    assert world.used() == {}, 'every node knows'
    wait_for_health(world, 'a')
    world.upstream.account('a', do=None)
    return len(world.upstream.requests('a'))


def arrivals(world, before):
    """Milliseconds at which turns came, but for those of before."""
    return sorted(r['arrived'] for r in world.upstream.requests('a'))[before:]


def test_one_turn_goes_first(make_world):
    """Three nodes with turns that wait for the end of a block: one of them asks the account, and once it was answered all
    others follow; none is refused."""
    world = make_world()
    before = cooled(world)
    world.upstream.account('a', do={'first_delay_ms': 1000})
    assert world.at_once(30) == [200] * 30
    came = arrivals(world, before)
    assert len(came) == 30
    assert came[1] - came[0] >= 900, 'the second one came while the first one was not answered'
    figure('after a block one turn of three nodes went first; the others followed %.0f ms after its answer began' % (
        came[1] - came[0] - 1000))
    assert world.sql("SELECT state, reason FROM posthouse_admin.account_health WHERE name = 'a'") == [('active', 'probe')]


def test_the_first_turn_is_refused(make_world):
    """It meets the limit again: nobody else does."""
    world = make_world()
    before = cooled(world)
    world.upstream.account('a', do={'status': 429, 'retry_after': 30, 'code': 'rate_limit_exceeded', 'first_delay_ms': 300})
    assert world.at_once(30) == [429] * 30
    assert len(arrivals(world, before)) == 1


def test_the_first_turn_hangs(make_world):
    """The others wait for ten seconds, not for ever."""
    world = make_world()
    cooled(world)
    world.upstream.script('a', {'first_delay_ms': 15000})
    hangs = threading.Thread(target=world.turn)
    hangs.start()
    http.eventually(lambda: world.upstream.stats()['accounts']['a']['running'] == 1, what='it runs')
    begun = time.monotonic()
    assert world.at_once(9) == [200] * 9
    took = time.monotonic() - begun
    assert 5 < took < 14, took
    figure('a first turn that hangs holds the others up for %.1f s' % took)
    hangs.join()
