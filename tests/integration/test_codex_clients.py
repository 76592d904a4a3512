# SPDX-License-Identifier: Apache-2.0
"""Codex clients and accounts of kind codex beside their turns: what a login has left is asked by one node for all, and
clients are told the pool's figures, never one account's."""
import json
import time

import pytest

import client as http
from harness import FakeUpstream
from wsclient import Socket

ON = {'POSTHOUSE_USAGE_INTERVAL': '1s', 'POSTHOUSE_POLL_INTERVAL': '250ms'}
CODEX = {'originator': 'codex_cli_rs', 'user-agent': 'codex_cli_rs/0.169.0'}
WITHIN = 30
FAR = 4000000000


def usage(primary, secondary=None, plan='plus', email='me@example.com', **more):
    """A usage endpoint's answer."""
    def window(used, seconds):
        return None if used is None else {'used_percent': used, 'limit_window_seconds': seconds, 'reset_after_seconds': 600,
                                          'reset_at': int(time.time()) + 600}
    return {'status': 200, 'body': dict({'plan_type': plan, 'email': email, 'rate_limit': {
        'allowed': True, 'limit_reached': False, 'primary_window': window(primary, 18000),
        'secondary_window': window(secondary, 604800)}, 'credits': None}, **more)}


class World:
    def __init__(self, make_cluster, names=('c', 'd'), nodes=1, lives=86400, env=None):
        self.cluster = make_cluster(dict(ON, **(env or {})))
        self.upstream = self.cluster.own(FakeUpstream([(name, 'codex') for name in names]))
        self.names = names
        for name in names:
            self.add(name, lives)
        self.key = self.cluster.key('k1')
        self.only = {name: self.cluster.key('only-' + name, '--account', name) for name in names}
        self.nodes = [self.cluster.node() for _ in range(nodes)]
        self.node = self.nodes[0]

    def add(self, name, lives):
        login = self.upstream.login(name, lives=lives)
        self.cluster.secrets.update([login['access_token'], login['refresh_token']])
        tokens = {part: login[part] for part in ('access_token', 'refresh_token')}
        self.cluster.cli('account', 'add', name, '--kind', 'codex', '--base-url', self.upstream.base(name), '--token-url',
                         'http://%s/a/%s/oauth/token' % (self.upstream.address, name), '--auth-json', '-',
                         stdin=json.dumps({'tokens': dict(tokens, account_id='acc-' + name)}).encode())

    def polls(self, name='c'):
        return [r for r in self.upstream.requests(name) if r['path'].endswith('/wham/usage')]

    def login(self, name='c'):
        login = self.upstream.login(name)
        self.cluster.secrets.update([login['access_token'], login['refresh_token']])
        return login

    def row(self, columns, name='c'):
        return self.cluster.sql('SELECT %s FROM posthouse_admin.account_logins WHERE name = %%s' % columns, name)[0]

    def health(self, name='c'):
        return self.cluster.sql('SELECT state, reason FROM posthouse_admin.account_health WHERE name = %s', name)[0]

    def polled(self, name='c', result='ok'):
        http.eventually(lambda: self.row('poll_result', name) == (result,), within=WITHIN, what='a poll: ' + result)

    def turn(self, key=None, headers=None, **more):
        return http.once(self.node.url, key or self.key, 'POST', '/v1/responses', dict({'model': 'demo', 'input': 'x'}, **more),
                         headers=headers or {}, timeout=60)


@pytest.fixture
def make_world(make_cluster):
    made = []

    def make(*args, **kwargs):
        made.append(World(make_cluster, *args, **kwargs))
        return made[-1]
    yield make
    for world in made:  # they poll every second
        for node in world.nodes:
            node.stop()


def quota(answer):
    return {name: value for name, value in answer.headers if name.startswith('x-codex-') and 'turn-state' not in name}


# ---- the poller ----

def test_one_node_at_a_time(make_world):
    """Three nodes, each account asked about once a second, with its own login, and never twice for one interval."""
    world = make_world(nodes=3)
    for name in world.names:
        http.eventually(lambda name=name: len(world.polls(name)) >= 4, within=WITHIN, what='polls')
        polls = world.polls(name)
        starts = [p['started'] for p in polls]
        assert all(b - a > 500 for a, b in zip(starts, starts[1:])), starts
        head = {n.lower(): v for n, v in polls[-1]['headers']}
        assert head['chatgpt-account-id'] == 'acc-' + name and head['user-agent'].startswith('posthouse/')
        assert head['authorization'] == 'Bearer ' + world.login(name)['access_token']
    assert sum(node.metric('posthouse_account_polls_total', what='usage', result='ok') for node in world.nodes) >= 8
    plan, email, failures, last, renewal = world.row('plan, email, poll_failures, last_poll, next_renewal')
    assert (plan, email, failures) == ('plus', 'c@example.com', 0) and last is not None and renewal is not None
    assert world.cluster.sql('SELECT primary_used_percent, secondary_used_percent FROM posthouse_admin.account_health '
                             "WHERE name = 'c'") == [(10.0, 20.0)]


def test_evidence_of_a_poll(make_world):
    """A window at its end exhausts an account that nobody uses; the next poll lifts the block."""
    world = make_world()
    world.upstream.account('c', usage=usage(100))
    http.eventually(lambda: world.health()[0] == 'exhausted', within=WITHIN, what='exhausted')
    assert {world.turn().status for _ in range(4)} == {200}
    assert world.upstream.stats('c')['turns'] == 0
    world.upstream.account('c', usage=usage(3))
    http.eventually(lambda: world.health() == ('active', 'usage'), within=WITHIN, what='lifted')
    http.eventually(lambda: world.turn(world.only['c']).status == 200, within=WITHIN)


def test_an_expired_token_is_renewed_by_a_poll(make_world):
    """So an idle account is kept alive."""
    world = make_world(('c',))
    world.polled()
    world.upstream.login('c', expire=True)
    http.eventually(lambda: world.login()['renewed'] == 1, within=WITHIN, what='a renewal')
    http.eventually(lambda: world.node.metric('posthouse_token_renewals_total', result='renewed') == 1, within=WITHIN)
    assert world.row('last_renewal')[0] is not None
    world.cluster.sql("UPDATE posthouse.jobs SET due = now() WHERE name LIKE 'usage %'")
    world.polled()
    assert world.login()['reused'] == 0 and world.health()[0] == 'active'


def test_a_login_that_ended(make_world):
    """A poll notices it before any turn does."""
    world = make_world()
    world.polled()
    world.upstream.account('c', usage={'status': 401, 'code': 'token_revoked'})
    http.eventually(lambda: world.health() == ('reauth', 'token_revoked'), within=WITHIN, what='reauth')
    before = len(world.polls())
    assert world.turn().status == 200
    time.sleep(2.5)
    assert len(world.polls()) == before, 'it is left alone'
    world.upstream.account('c', usage=None)
    world.add('c', 86400)
    world.polled()
    assert world.turn(world.only['c']).status == 200


@pytest.mark.parametrize('answer, word', [
    ({'status': 403, 'code': 'forbidden'}, 'status 403'), ({'status': 404, 'code': 'not_found'}, 'status 404'),
    ({'status': 500}, 'status 500'), ({'status': 200, 'body': {}}, 'no usage'), ({'status': 200, 'body': 'x'}, 'no usage'),
    ({'fault': 'eof', 'at': 'head'}, 'dropped')])
def test_a_poll_that_fails_harms_nobody(make_world, answer, word):
    world = make_world(('c',))
    world.polled()
    world.upstream.account('c', usage=answer)
    world.polled(result=word)
    assert world.health()[0] == 'active' and world.turn().status == 200
    assert world.row('poll_failures')[0] >= 1 and world.row('last_answer')[0] is not None


def test_a_deactivated_workspace(make_world):
    world = make_world()
    world.upstream.account('c', usage={'status': 402, 'body': {'detail': {'code': 'deactivated_workspace'}}})
    http.eventually(lambda: world.health()[0] == 'cooling', within=WITHIN, what='cooling')
    assert world.turn().status == 200


def test_never(make_world):
    world = make_world(('c',), env={'POSTHOUSE_USAGE_INTERVAL': '0'})
    time.sleep(2.5)
    assert world.polls() == []


# ---- what clients are told ----

def both_known(world):
    """The pool's figures have reached the node."""
    for name in world.names:
        world.polled(name)

    def told():
        rate = http.once(world.node.url, world.key, 'GET', '/backend-api/wham/usage').json['rate_limit']
        return rate is not None and rate['primary_window'] is not None
    http.eventually(told, within=WITHIN, what='figures at the node')


def pool(world, percent, key=None, within=WITHIN):
    def figure():
        rate = http.once(world.node.url, key or world.key, 'GET', '/backend-api/wham/usage').json['rate_limit']
        return rate and rate['primary_window'] and rate['primary_window']['used_percent']
    http.eventually(lambda: figure() == percent, within=within, what='the pool is at %s' % percent)


def test_the_pools_figures(make_world):
    """The mean of the accounts that the key may use; in heads, on WebSockets, at the usage endpoint; for Codex clients."""
    world = make_world()
    world.upstream.account('c', usage=usage(10, 30), do={'headers': {'x-codex-primary-used-percent': '10'}})
    world.upstream.account('d', usage=usage(50, 70), do={'headers': {'x-codex-primary-used-percent': '50'}})
    pool(world, 30)
    pool(world, 50, world.only['d'])
    for stream in (True, False):
        head = quota(world.turn(headers=CODEX, stream=stream))
        assert head['x-codex-primary-used-percent'] == '30.0' and head['x-codex-secondary-used-percent'] == '50.0', head
        assert head['x-codex-primary-window-minutes'] == '300' and head['x-codex-secondary-window-minutes'] == '10080'
        assert abs(int(head['x-codex-primary-reset-at']) - time.time() - 600) < 120
        assert len(head) == 6, head
    assert quota(world.turn(world.only['d'], headers=CODEX))['x-codex-primary-used-percent'] == '50.0'
    assert quota(world.turn()) == {}, 'other clients do not ask'
    seen = []
    with Socket(world.node.url, world.key, headers=CODEX.items()) as ws:
        ws.send({'type': 'response.create', 'model': 'demo', 'input': 'x'})
        while not seen or seen[-1].type not in ('response.completed', 'error'):
            seen.append(ws.receive())
    told = [e.data for e in seen if e.type == 'codex.rate_limits']
    assert len(told) == 1 and seen[-1].type == 'response.completed'
    limits = told[0]['rate_limits']
    assert limits['primary']['used_percent'] == 30.0 and limits['secondary']['used_percent'] == 50.0
    assert limits['allowed'] is True and limits['limit_reached'] is False and 'plan_type' not in told[0]
    with Socket(world.node.url, world.key) as ws:
        ws.send({'type': 'response.create', 'model': 'demo', 'input': 'x'})
        assert ws.receive().type != 'codex.rate_limits'


@pytest.mark.parametrize('path', ['/backend-api/wham/usage', '/backend-api/codex/wham/usage', '/v1/api/codex/usage'])
def test_the_usage_endpoint(make_world, path):
    world = make_world(('c',))
    assert http.once(world.node.url, None, 'GET', path).status == 401
    both_known(world)
    answer = http.once(world.node.url, world.key, 'GET', path)
    assert answer.status == 200
    said = answer.json
    assert set(said) == {'plan_type', 'rate_limit', 'credits', 'additional_rate_limits'} and said['credits'] is None
    window = said['rate_limit']['primary_window']
    assert {k: type(v) for k, v in window.items()} == {
        'used_percent': int, 'limit_window_seconds': int, 'reset_after_seconds': int, 'reset_at': int}
    assert window['used_percent'] == 10 and window['limit_window_seconds'] == 18000
    assert b'example.com' not in answer.body and b'acc-' not in answer.body


def test_all_are_exhausted(make_world):
    world = make_world()
    for name in world.names:
        world.upstream.account(name, usage=usage(100))
    for name in world.names:
        http.eventually(lambda name=name: world.health(name)[0] == 'exhausted', within=WITHIN)
    pool(world, 100)
    rate = http.once(world.node.url, world.key, 'GET', '/backend-api/wham/usage').json['rate_limit']
    assert rate['limit_reached'] is True and rate['allowed'] is False
    refused = world.turn(headers=CODEX)
    assert refused.status == 429 and refused.error['type'] == 'usage_limit_reached'


def test_a_weekly_window_in_the_first_place(make_world):
    """Windows are told apart by their length."""
    world = make_world(('c',))
    world.upstream.account('c', usage={'status': 200, 'body': {'plan_type': 'free', 'rate_limit': {'primary_window': {
        'used_percent': 40, 'limit_window_seconds': 604800, 'reset_after_seconds': 600}}}})

    def rate():
        return http.once(world.node.url, world.key, 'GET', '/backend-api/wham/usage').json['rate_limit']
    http.eventually(lambda: (rate() or {}).get('secondary_window', None) is not None and rate()['primary_window'] is None,
                    within=WITHIN, what='the long window alone')
    assert rate()['secondary_window']['used_percent'] == 40
    assert world.row('plan') == ('free',)


def test_nothing_is_known(make_cluster):
    """Without codex accounts there is no figure, and nothing breaks."""
    cluster = make_cluster()
    upstream = cluster.own(FakeUpstream([('p', 'platform')]))
    cluster.account('p', 'platform', upstream.base('p'))
    key, node = cluster.key('k1'), cluster.node()
    assert http.once(node.url, key, 'GET', '/backend-api/wham/usage').json['rate_limit'] is None
    answer = http.once(node.url, key, 'POST', '/v1/responses', {'model': 'm', 'input': 'x'}, headers=CODEX)
    assert answer.status == 200 and quota(answer) == {}


@pytest.mark.parametrize('model, seen', [('demo', 'demo'), ('other', None)])
def test_the_model_that_answered(make_world, model, seen):
    """It is told only if it is the one that was asked for; a list's tag is one account's."""
    world = make_world(('c',))
    world.upstream.account('c', do={'headers': {'openai-model': model, 'x-models-etag': '"one"'}})
    answer = world.turn(headers=CODEX, stream=True)
    assert answer.header('openai-model') == seen and answer.header('x-models-etag') is None


@pytest.mark.parametrize('method, path', [
    ('POST', '/backend-api/codex/analytics-events/events'), ('POST', '/v1/analytics-events/events'),
    ('GET', '/backend-api/ps/plugins/installed?scope=GLOBAL'), ('GET', '/backend-api/plugins/featured'),
    ('GET', '/backend-api/wham/settings/user'), ('GET', '/backend-api/wham/accounts/check'),
    ('GET', '/backend-api/wham/rate-limit-reset-credits')])
def test_side_calls(make_world, method, path):
    """Answered here, for whoever has a key; nothing of them goes upstream."""
    world = make_world(('c',), env={'POSTHOUSE_USAGE_INTERVAL': '0'})
    body = {'events': [{'secret': 1}]} if method == 'POST' else None
    answer = http.once(world.node.url, world.key, method, path, body)
    assert answer.status == 200 and answer.json is not None
    assert http.once(world.node.url, None, method, path, body).status == 401
    assert world.upstream.requests('c') == []


def test_other_paths_of_the_backend_are_none(make_world):
    world = make_world(('c',), env={'POSTHOUSE_USAGE_INTERVAL': '0'})
    for path in ('/backend-api/wham/else', '/backend-api/responses', '/backend-api/'):
        assert http.once(world.node.url, world.key, 'GET', path).status == 404
