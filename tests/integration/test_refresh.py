# SPDX-License-Identifier: Apache-2.0
"""A login's tokens are renewed by one node at a time, and no turn fails for it.

The judge is the upstream: a refresh token works once there, and using it again revokes the whole login.
"""
import json
import threading
import time

import pytest

import client as http
from harness import FakeUpstream
from wsclient import Socket

BODY = {'model': 'demo', 'input': 'hello'}
LONG = 86400
WITHIN = 20


class World:
    """Accounts of kind codex, each with a login, and nodes."""

    def __init__(self, make_cluster, nodes, names=('c',), lives=LONG):
        self.cluster = make_cluster()
        self.upstream = self.cluster.own(FakeUpstream([(name, 'codex') for name in names]))
        for name in names:
            self.add(name, lives)
        self.key = self.cluster.key('k1')
        self.nodes = [self.cluster.node() for _ in range(nodes)]

    def add(self, name, lives):
        """With a login that is made anew."""
        login = self.upstream.login(name, lives=lives)
        self.cluster.secrets.update([login['access_token'], login['refresh_token']])
        tokens = {part: login[part] for part in ('access_token', 'refresh_token')}
        self.cluster.cli('account', 'add', name, '--kind', 'codex', '--base-url', self.upstream.base(name),
                         '--token-url', 'http://%s/a/%s/oauth/token' % (self.upstream.address, name), '--auth-json', '-',
                         stdin=json.dumps({'tokens': dict(tokens, account_id='acc-' + name)}).encode())

    def login(self, name='c'):
        login = self.upstream.login(name)
        self.cluster.secrets.update([login['access_token'], login['refresh_token']])
        return login

    def token_url(self, do, name='c'):
        self.upstream.account(name, token=do)

    def turn(self, node, **more):
        return http.once(node.url, self.key, 'POST', '/v1/responses', dict(BODY, **more), timeout=60)

    def state(self, name='c'):
        return self.cluster.sql("SELECT coalesce(h.state, 'active'), h.reason FROM posthouse.accounts a LEFT JOIN "
                                'posthouse.account_health h USING (account_id) WHERE a.name = %s', name)[0]

    def claim(self):
        """(node id, failures) of the only account's."""
        rows = self.cluster.sql('SELECT node_id, failures FROM posthouse.account_refresh')
        return rows[0] if rows else (None, 0)

    def storm(self, turns):
        """All at once, spread over the nodes: their statuses."""
        seen = []

        def one(node):
            seen.append(self.turn(node).status)
        threads = [threading.Thread(target=one, args=(self.nodes[i % len(self.nodes)],)) for i in range(turns)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(90)
        return seen


@pytest.fixture
def make_world(make_cluster):
    return lambda *args, **kwargs: World(make_cluster, *args, **kwargs)


def test_eight_nodes_one_expired_token(make_world):
    """The done-when: one exchange, no failed turn, and every node goes on with the new token."""
    world = make_world(8)
    world.upstream.login('c', expire=True)
    assert world.storm(32) == [200] * 32
    login = world.login()
    assert (login['renewed'], login['reused'], login['revoked']) == (1, 0, False)
    for node in world.nodes:
        assert world.turn(node).status == 200
    assert world.login()['renewed'] == 1 and world.state()[0] == 'active'
    assert world.claim() == (None, 0)


def test_before_it_expires(make_world):
    """An idle account's token is renewed in time, by one of several nodes, again and again."""
    world = make_world(3, lives=8)
    http.eventually(lambda: world.login()['renewed'] >= 2, within=60, what='two renewals')
    for node in world.nodes:
        assert world.turn(node).status == 200
    login = world.login()
    assert (login['reused'], login['revoked']) == (0, False)
    stats = world.upstream.stats()
    assert stats['unauthorized'] == 0, 'a turn went out with an expired token'


def test_on_websockets(make_world):
    """A refused upgrade is renewed and tried again; a socket that is open outlives its token."""
    world = make_world(2)
    world.upstream.login('c', expire=True)
    with Socket(world.nodes[0].url, world.key) as one, Socket(world.nodes[1].url, world.key) as other:
        first = one.turn(BODY)
        assert first.status == 'completed' and other.turn(BODY).status == 'completed'
        world.upstream.login('c', expire=True)
        second = one.turn(dict(BODY, previous_response_id=first.id))
        assert second.status == 'completed'
    login = world.login()
    assert (login['renewed'], login['reused']) == (1, 0)


def test_two_expire_in_one_turn(make_world):
    """The renewal of one account does not make a turn forget that of the next."""
    world = make_world(1, names=('c', 'd'))
    for name in ('c', 'd'):
        world.upstream.login(name, expire=True)
    world.token_url({'status': 500})
    assert world.turn(world.nodes[0]).status == 200
    assert world.turn(world.nodes[0]).status == 200
    assert world.login('d')['renewed'] == 1 and world.login('c')['renewed'] == 0


def test_token_url_down(make_world):
    """While it is away the old token serves until it ends; then the others do. Nobody is told to log in."""
    world = make_world(2, names=('c', 'd'))
    world.token_url({'status': 503})
    world.cluster.sql("UPDATE posthouse.account_secrets SET updated = now() - interval '30 days'")
    only = world.cluster.key('only-c', '--account', 'c')

    def turn(key):
        return http.once(world.nodes[0].url, key, 'POST', '/v1/responses', BODY, timeout=60)
    assert turn(only).status == 200
    world.upstream.login('c', expire=True)
    refused = turn(only)
    assert refused.status == 503 and b'token' not in refused.body
    for node in world.nodes:
        for _ in range(4):
            assert world.turn(node).status == 200
    assert world.state('c')[0] == 'active' and world.login('c')['renewed'] == 0
    assert world.cluster.sql("SELECT failures, rests_until > now() FROM posthouse.account_refresh JOIN posthouse.accounts "
                             "USING (account_id) WHERE name = 'c'")[0][0] >= 1
    world.token_url(None)
    http.eventually(lambda: turn(only).status == 200, within=60, what='the account serves again')
    assert (world.login('c')['renewed'], world.login('c')['reused']) == (1, 0)


def test_silent_token_url(make_world):
    """A turn waits for a bounded time, and then goes elsewhere."""
    world = make_world(1, names=('c', 'd'))
    world.token_url({'fault': 'silence', 'at': 'head'})
    world.upstream.login('c', expire=True)
    began = time.monotonic()
    for _ in range(2):
        assert world.turn(world.nodes[0]).status == 200
    assert time.monotonic() - began < 30 and world.state('c')[0] == 'active'


@pytest.mark.parametrize('body', [{'error': 'invalid_grant'}, {'error': {'code': 'refresh_token_expired'}}])
def test_refused_for_good(make_world, body):
    """A person must log in: told in account_health; the token URL is left alone; a new login ends it."""
    world = make_world(2)
    world.token_url({'status': 400, 'body': body})
    world.upstream.login('c', expire=True)
    assert world.turn(world.nodes[0]).status == 503
    word = body['error'] if isinstance(body['error'], str) else body['error']['code']
    assert world.state() == ('reauth', word)
    asked = sum(r['path'].endswith('/oauth/token') for r in world.upstream.requests('c'))
    assert asked == 1
    for node in world.nodes:
        http.eventually(lambda node=node: world.turn(node).status == 503, within=WITHIN)
    world.token_url(None)
    assert sum(r['path'].endswith('/oauth/token') for r in world.upstream.requests('c')) == 1
    world.add('c', LONG)
    for node in world.nodes:
        http.eventually(lambda node=node: world.turn(node).status == 200, within=WITHIN, what='the new login serves')
    assert world.state()[0] == 'active'


def test_always_401(make_world):
    """A token that is refused although it is new is not renewed over and over."""
    world = make_world(1, names=('c', 'd'))
    world.upstream.account('c', do={'status': 401, 'code': 'token_expired'})
    for _ in range(10):
        assert world.turn(world.nodes[0]).status == 200
    assert world.login('c')['renewed'] <= 1 and world.state('c')[0] == 'active'


def test_killed_in_the_middle(make_world):
    """The claim of a node that died lapses on the database's clock; then another node does it."""
    world = make_world(2)
    first, second = world.nodes
    world.token_url({'fault': 'silence', 'at': 'head'})
    world.upstream.login('c', expire=True)
    thread = threading.Thread(target=lambda: pytest.raises(Exception, world.turn, first), daemon=True)
    thread.start()
    http.eventually(lambda: world.claim()[0] is not None, within=WITHIN, what='a claim')
    first.kill9()
    thread.join(10)
    world.token_url(None)
    began = threading.Timer(2, lambda: world.cluster.sql('UPDATE posthouse.account_refresh SET claimed_until = now()'))
    began.start()
    answer = world.turn(second)
    began.join()
    assert answer.status == 200
    login = world.login()
    assert (login['renewed'], login['reused']) == (1, 0)


def test_database_away_when_the_token_comes(make_world):
    """What upstream gave is not lost: it is stored as soon as it can be, and used only then."""
    world = make_world(1)
    world.token_url({'first_delay_ms': 1500})
    world.upstream.login('c', expire=True)
    seen = []
    thread = threading.Thread(target=lambda: seen.append(world.turn(world.nodes[0]).status))
    thread.start()
    http.eventually(lambda: world.login()['renewed'] == 1, within=WITHIN, what='the exchange')
    database = world.cluster.database
    world.cluster.postgres.sql('postgres', 'ALTER DATABASE %s ALLOW_CONNECTIONS false' % database)
    world.cluster.postgres.sql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '%s'" % database)
    time.sleep(4)
    world.cluster.postgres.sql('postgres', 'ALTER DATABASE %s ALLOW_CONNECTIONS true' % database)
    thread.join(60)
    assert seen == [200]
    http.eventually(lambda: world.turn(world.nodes[0]).status == 200, within=WITHIN)
    login = world.login()
    assert (login['renewed'], login['reused']) == (1, 0)


def test_what_is_sealed(make_world):
    """The new login keeps what the answer does not bring, and no token stands anywhere in the clear."""
    world = make_world(1)
    before, = world.cluster.sql('SELECT sealed, version FROM posthouse.account_secrets')
    world.upstream.login('c', expire=True)
    assert world.turn(world.nodes[0]).status == 200
    after, = world.cluster.sql('SELECT sealed, version FROM posthouse.account_secrets')
    assert after[1] == before[1] + 1 and after[0] != before[0] and b'canary' not in after[0]
    turn = [r for r in world.upstream.requests('c') if r['path'].endswith('/responses')][-1]
    head = {name.lower(): value for name, value in turn['headers']}
    assert head['chatgpt-account-id'] == 'acc-c' and head['authorization'] == 'Bearer ' + world.login()['access_token']
    grant = [r for r in world.upstream.requests('c') if r['path'].endswith('/oauth/token')][-1]
    asked = json.loads(grant['body'])
    assert asked['grant_type'] == 'refresh_token' and asked['client_id'].startswith('app_') and set(asked) == {
        'client_id', 'grant_type', 'refresh_token', 'scope'}
    assert 'authorization' not in {name.lower() for name, _ in grant['headers']}


def test_drain_waits_for_it(make_world):
    """A node that ends has stored the token that it asked for."""
    world = make_world(2)
    world.token_url({'first_delay_ms': 3000})
    world.upstream.login('c', expire=True)
    thread = threading.Thread(target=lambda: world.turn(world.nodes[0]))
    thread.start()
    http.eventually(lambda: world.login()['renewed'] == 1, within=WITHIN, what='the exchange')
    world.nodes[0].stop()
    thread.join(30)
    assert world.turn(world.nodes[1]).status == 200
    assert (world.login()['renewed'], world.login()['reused']) == (1, 0)
