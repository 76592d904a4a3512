# SPDX-License-Identifier: Apache-2.0
"""GET /v1/models: the union of what accounts list, asked by one node for all and kept for new ones; the catalogue of Codex
clients; and the choice by what each account lists."""
import json
import threading
import time

import pytest

import client as http
import rawupstream as raw
from harness import FakeUpstream

ON = {'POSTHOUSE_MODELS_INTERVAL': '3s', 'POSTHOUSE_POLL_INTERVAL': '250ms'}
CATALOGUE = '/v1/models?client_version=0.169.0'
WITHIN = 20


def models(*names):
    """A handler that serves turns, and lists these models."""
    def handler(x):
        if x.request.target.endswith('/models'):
            x.answer(200, json.dumps({'object': 'list', 'data': [
                {'id': n, 'object': 'model', 'created': 7, 'owned_by': 'x'} for n in names]}).encode())
        else:
            raw.plain(x)
    return handler


def listed(api, path='/v1/models'):
    answer = api.get(path)
    assert answer.status == 200 and answer.json['object'] == 'list', answer
    assert all(m['object'] == 'model' for m in answer.json['data'])
    return sorted(m['id'] for m in answer.json['data'])


def asked(upstream):
    return [r for r in upstream.requests if r.target.endswith('/models')]


class World:
    """Accounts of the fake upstream by name and kind, a node that asks them."""

    def __init__(self, make_cluster, accounts, **models_of):
        self.cluster = make_cluster(ON)
        self.upstream = self.cluster.own(FakeUpstream(accounts))
        for name, kind in accounts:
            if name in models_of:
                self.upstream.account(name, models=models_of[name])
            self.cluster.account(name, kind, self.upstream.base(name))
        self.key = self.cluster.key('k1')
        self.node = self.cluster.node()

    def asked(self, name):
        return [r for r in self.upstream.requests(name) if '/models' in r['path']]

    def known(self, *names):
        """Waits until the lists of these are in the database."""
        def there():
            return {n for n, in self.cluster.sql('SELECT DISTINCT name FROM posthouse_admin.account_models')} >= set(names)
        http.eventually(there, within=WITHIN, what='lists of %s' % (names,))
        time.sleep(0.5)


def test_a_union(make_cluster, make_upstream):
    """One question to each account, whoever asks how often."""
    cluster = make_cluster(ON)
    one, two = make_upstream(models('m-a', 'm-b')), make_upstream(models('m-b', 'm-c'))
    cluster.account('one', 'stateless', one.url)
    cluster.account('two', 'platform', two.url)
    key, nodes = cluster.key('k1'), [cluster.node() for _ in range(3)]
    for node in nodes:
        with http.Client(node.url, key) as api:
            assert listed(api) == ['m-a', 'm-b', 'm-c']
            until = time.monotonic() + 0.5
            while time.monotonic() < until:
                assert listed(api) == ['m-a', 'm-b', 'm-c']
            assert api.get('/v1/models/m-c').json == {'id': 'm-c', 'object': 'model', 'created': 7, 'owned_by': 'x'}
            unknown = api.get('/v1/models/m-x')
            assert unknown.status == 404 and unknown.error['code'] == 'model_not_found'
    assert len(asked(one)) == 1 and len(asked(two)) == 1
    assert {r.header('authorization') for r in one.requests + two.requests} == {'Bearer ' + cluster.UPSTREAM_SECRET}
    assert {r.header('user-agent').split('/')[0] for r in asked(one)} == {'posthouse'}
    assert sum(node.metric('posthouse_account_polls_total', what='models', result='ok') for node in nodes) == 2
    assert cluster.sql("SELECT name, model FROM posthouse_admin.account_models WHERE name = 'one'") == [
        ('one', 'm-a'), ('one', 'm-b')]


def test_a_new_node_knows_them_at_once(make_cluster, make_upstream):
    """From the database: the account may be away by then."""
    cluster = make_cluster(ON)
    upstream = make_upstream(models('m-a'))
    cluster.account('one', 'stateless', upstream.url)
    key, first = cluster.key('k1'), cluster.node()
    with http.Client(first.url, key) as api:
        assert listed(api) == ['m-a']
    first.stop()
    upstream.handler = lambda x: x.answer(500, b'{}')
    with http.Client(cluster.node().url, key) as api:
        began = time.monotonic()
        assert listed(api) == ['m-a']
        assert time.monotonic() - began < 2.5
    assert len(asked(upstream)) == 1


def test_new_accounts(make_cluster, make_upstream):
    """An account that comes while others are being asked is asked too; one that goes takes its models with it; one that
    moves is asked anew."""
    asking, go = threading.Event(), threading.Event()

    def slow(x):
        asking.set()
        go.wait(4)
        models('m-a')(x)
    cluster = make_cluster(ON)
    cluster.account('one', 'stateless', make_upstream(slow).url)
    key, node = cluster.key('k1'), cluster.node()
    assert asking.wait(10)
    cluster.account('two', 'stateless', make_upstream(models('m-b')).url)
    go.set()
    with http.Client(node.url, key) as api:
        http.eventually(lambda: listed(api) == ['m-a', 'm-b'], within=WITHIN, what='the models of both accounts')
        cluster.cli('account', 'remove', 'one')
        http.eventually(lambda: listed(api) == ['m-b'], within=WITHIN, what='the models of the account that stayed')
        cluster.account('two', 'stateless', make_upstream(models('m-c')).url)
        http.eventually(lambda: listed(api) == ['m-c'], within=WITHIN, what='the models of the new address')


def test_an_account_without_a_list(make_cluster, make_upstream):
    """It is no reason to wait again and again, and it serves."""
    cluster = make_cluster(ON)
    upstream = make_upstream(lambda x: x.answer(404, b'{}') if x.request.target.endswith('/models') else raw.plain(x))
    cluster.account('one', 'stateless', upstream.url)
    key, node = cluster.key('k1'), cluster.node()
    with http.Client(node.url, key) as api:
        assert listed(api) == []
        began = time.monotonic()
        assert listed(api) == [] and time.monotonic() - began < 2
        assert api.post({'model': 'any', 'input': 'x'}).status == 200
    assert node.metric('posthouse_account_polls_total', what='models', result='refused') == 1


def test_filtered_by_the_key(make_cluster):
    """By its models, by its accounts; named models of an account win over its list."""
    world = World(make_cluster, [('p', 'platform'), ('s', 'stateless'), ('n', 'stateless')], p=['m-a', 'm-b'], s=['m-c'],
                  n=['m-d', 'm-e'])
    world.cluster.account('n', 'stateless', world.upstream.base('n'), '--model', 'm-d', '--model', 'm-z')
    world.known('p', 's')
    some = world.cluster.key('some', '--model', 'm-a', '--model', 'm-c')
    only = world.cluster.key('only', '--account', 's')
    with http.Client(world.node.url, world.key) as api:
        http.eventually(lambda: listed(api) == ['m-a', 'm-b', 'm-c', 'm-d', 'm-z'], within=WITHIN)
    with http.Client(world.node.url, some) as api:
        assert listed(api) == ['m-a', 'm-c']
        assert api.get('/v1/models/m-b').status == 404 and api.get('/v1/models/m-a').status == 200
    with http.Client(world.node.url, only) as api:
        assert listed(api) == ['m-c']


def test_the_catalogue(make_cluster):
    """Codex clients say their version and get the entries as upstream gave them; others get the same models in their shape.
    The tag tells that nothing is new."""
    world = World(make_cluster, [('c', 'codex'), ('d', 'codex'), ('p', 'platform')], p=['m-p'], d=['m-x', 'm-y'])
    entries = [{'slug': 'm-x', 'display_name': 'X', 'supported_reasoning_levels': [{'effort': 'low'}], 'priority': 1.50},
               {'slug': 'm-c', 'unknown': {'\u00e9': None}}]
    world.upstream.account('c', list={'status': 200, 'body': {'models': entries}})
    world.cluster.account('c', 'codex', world.upstream.base('c'))  # asked anew
    world.known('c', 'd', 'p')
    query = world.asked('d')[0]['path'] if '?' in world.asked('d')[0]['path'] else None
    assert query is None or 'client_version=' in query
    with http.Client(world.node.url, world.key) as api:
        http.eventually(lambda: listed(api) == ['m-c', 'm-p', 'm-x', 'm-y'], within=WITHIN)
        answer = api.get(CATALOGUE)
        assert answer.status == 200 and answer.json['models'][:2] == entries
        assert [m['slug'] for m in answer.json['models']] == ['m-x', 'm-c', 'm-y']
        tag = answer.header('etag')
        assert tag and tag.startswith('"')
        for path in (CATALOGUE, '/backend-api/codex/models?client_version=0.169.0'):
            same = api.request('GET', path, headers={'If-None-Match': tag})
            assert same.status == 304 and same.body == b'' and same.header('etag') == tag
        for _ in range(3):
            api.turn({'model': 'm-x', 'input': 'x'})  # which changes the order of the accounts
            assert api.get(CATALOGUE).header('etag') == tag
        assert api.request('GET', CATALOGUE, headers={'If-None-Match': '"other"'}).status == 200
    less = world.cluster.key('less', '--model', 'm-c')
    with http.Client(world.node.url, less) as api:
        answer = api.get(CATALOGUE)
        assert [m['slug'] for m in answer.json['models']] == ['m-c'] and answer.header('etag') != tag


def test_the_choice_by_lists(make_cluster):
    """An account whose list lacks the model is asked last, and is still asked: a list may be old."""
    world = World(make_cluster, [('a', 'platform'), ('b', 'platform'), ('c', 'platform')], a=['m-1', 'm-2'], b=['m-2', 'm-3'],
                  c=['m-3'])
    world.known('a', 'b', 'c')
    for name in 'abc':
        world.upstream.account(name, models=None)  # they would all serve it
    with http.Client(world.node.url, world.key) as api:
        for model, names in (('m-1', 'a'), ('m-2', 'ab'), ('m-3', 'bc')):
            before = {n: world.upstream.stats(n)['turns'] for n in 'abc'}
            for _ in range(6):
                api.turn({'model': model, 'input': 'x'})
            served = ''.join(n for n in 'abc' if world.upstream.stats(n)['turns'] > before[n])
            assert served == names, (model, served)
        assert api.turn({'model': 'm-new', 'input': 'x'}).status == 'completed'
        world.upstream.account('a', mode='down')
        assert api.turn({'model': 'm-1', 'input': 'x'}).status == 'completed', 'the others are asked, too'


def test_the_node_that_asked_is_killed(make_cluster, make_upstream):
    """Another one goes on when its claim has lapsed."""
    cluster = make_cluster(ON)
    hang = threading.Event()
    upstream = make_upstream(lambda x: hang.wait(20) if x.request.target.endswith('/models') else raw.plain(x))
    cluster.account('one', 'stateless', upstream.url)
    key, first, second = cluster.key('k1'), cluster.node(), cluster.node()
    http.eventually(lambda: asked(upstream), within=WITHIN, what='a question')
    ids = dict(cluster.sql('SELECT n.name, j.name FROM posthouse.jobs j JOIN posthouse.nodes n USING (node_id) '
                           "WHERE j.name LIKE 'models %%'"))
    holder = first if first.name in ids else second
    holder.kill9()
    upstream.handler = models('m-a')
    hang.set()
    cluster.sql("UPDATE posthouse.jobs SET held_until = now(), due = now() WHERE name LIKE 'models %'")
    other = second if holder is first else first
    with http.Client(other.url, key) as api:
        http.eventually(lambda: listed(api) == ['m-a'], within=60, what='the other node asks')


@pytest.mark.parametrize('answer', [b'', b'[]', b'{"data":{}}', b'{"data":[1,{"id":5},{"id":""},{"id":"a\\u0000"}]}', b'{"data":['])
def test_answers_that_are_no_lists(make_cluster, make_upstream, answer):
    cluster = make_cluster(ON)
    upstream = make_upstream(lambda x: x.answer(200, answer) if x.request.target.endswith('/models') else raw.plain(x))
    cluster.account('one', 'stateless', upstream.url)
    key, node = cluster.key('k1'), cluster.node()
    with http.Client(node.url, key) as api:
        assert listed(api) == []
        assert api.post({'model': 'any', 'input': 'x'}).status == 200
