# SPDX-License-Identifier: Apache-2.0
"""Limits of API keys hold for the whole cluster, and what is counted is what the upstream counted.

The judge is the upstream, whose answers say what they used and whose records say how many there were; the gateway's own
count is read from the view `key_limits` and from GET /v1/usage.
"""
import contextlib
import json
import random
import socket
import threading
import time

import pytest

import client as http
from harness import SCALE, SEED, Cluster, FakeUpstream, Postgres, count, figure
from wsclient import Socket

TTL = 3.0
ENV = {'POSTHOUSE_LEASE_TTL': '%dms' % (TTL * 1000), 'POSTHOUSE_DRAIN_TIMEOUT': '5s'}
BODY = {'model': 'demo', 'input': 'hello', 'store': False, 'max_output_tokens': 5}
USED = {'input_tokens': 10, 'input_tokens_details': {'cached_tokens': 4}, 'output_tokens': 5,
        'output_tokens_details': {'reasoning_tokens': 2}, 'total_tokens': 15}
RESERVED = 40  # tokens, at most, that BODY sets aside


def price(cluster):
    """The model `demo` has a price, and both nodes know it: 6 + 4 cached + 5 tokens cost 6 + 2 + 10 millionths of a dollar."""
    cluster.upstream.account('a', do={'usage': USED})
    cluster.sql("SELECT posthouse_admin.set_model_price('demo', 1, 0.5, 2)")
    key = Key(cluster, 'cost:100usd/month')
    for node in cluster.nodes:
        def known(node=node):
            before = key.limits()['cost'][0]
            key.ok(node)
            return abs(key.limits()['cost'][0] - before - 0.000018) < 1e-12
        http.eventually(known, what='the price is known')


@pytest.fixture(scope='module')
def world(make_cluster):
    """Two accounts, of which `a` is preferred; two nodes."""
    cluster = make_cluster(ENV)
    cluster.upstream = cluster.own(FakeUpstream([('a', 'platform'), ('b', 'platform')]))
    for number, name in enumerate('ab'):
        cluster.account(name, 'platform', cluster.upstream.base(name), '--priority', number)
    cluster.names = iter('key%d' % n for n in range(1000))
    for _ in range(2):
        cluster.node()
    cluster.one = cluster.nodes[0]
    price(cluster)
    return cluster


@pytest.fixture(autouse=True)
def fresh(request):
    if 'world' in request.fixturenames:
        cluster = request.getfixturevalue('world')
        cluster.upstream.reset()
        for name in 'ab':
            cluster.upstream.account(name, do={'usage': USED})


def steady(seconds=20):
    """Not just before an hour ends: the windows are the calendar's."""
    left = 3600 - time.time() % 3600
    if left < seconds:
        time.sleep(left + 0.1)


class Key:
    def __init__(self, cluster, *limits, options=()):
        steady()
        self.cluster, self.name = cluster, next(cluster.names)
        self.secret = cluster.key(self.name, *options, *[word for limit in limits for word in ('--limit', limit)])

    def post(self, node=None, **more):
        return http.once((node or self.cluster.one).url, self.secret, 'POST', '/v1/responses', dict(BODY, **more))

    def ok(self, node=None, **more):
        answer = self.post(node, **more)
        assert answer.status == 200, answer
        return answer

    def limits(self):
        """{what: (used, reserved)}"""
        rows = self.cluster.sql('SELECT what, used, reserved FROM posthouse_admin.key_limits WHERE key_name = %s', self.name)
        return {what: (float(used), float(reserved)) for what, used, reserved in rows}

    def settled(self, **expected):
        """Nothing is reserved any more, and so much is used."""
        http.eventually(lambda: all(reserved == 0 for _, reserved in self.limits().values()), what='nothing reserved')
        assert {what: used for what, (used, _) in self.limits().items() if what in expected} == expected

    def socket(self, node=None):
        return Socket((node or self.cluster.one).url, self.secret)


def refused(answer, code):
    """A 429 of the key's own, after checking all of its shape. Returns its message."""
    assert answer.status == 429, answer
    error = answer.error
    assert error['code'] == code and error['param'] is None, error
    assert error['type'] == ('insufficient_quota' if code == 'insufficient_quota' else 'rate_limit_error')
    wait = int(answer.header('retry-after'))
    assert wait > 0
    assert answer.header('x-should-retry') == ('false' if wait > 60 else None)
    if code == 'insufficient_quota':
        assert abs(error['resets_at'] - time.time() - wait) < 5 and abs(error['resets_in_seconds'] - wait) <= 1, error
    else:
        assert 'resets_at' not in error
    return error['message']


# ---- each limit and its answer ----

@pytest.mark.parametrize('limit, code, words', [
    ('requests:2/hour', 'rate_limit_exceeded', '2 requests per hour; it resets at 20'),
    ('requests:2/day', 'insufficient_quota', '2 requests per day; it resets at 20'),
    ('requests:2/week', 'insufficient_quota', '2 requests per week'),
    ('tokens:50/hour', 'rate_limit_exceeded', '50 tokens per hour'),
    ('tokens:50/month', 'insufficient_quota', '50 tokens per month'),
    ('input_tokens:35/hour', 'rate_limit_exceeded', '35 input tokens per hour'),
    ('output_tokens:14/hour', 'rate_limit_exceeded', '14 output tokens per hour'),
    ('cost:0.00006usd/hour', 'insufficient_quota', '0.00006 US dollars per hour'),
])
@pytest.mark.parametrize('transport', ['http', 'websocket'])
def test_the_answer(world, limit, code, words, transport):
    """Two turns of 10 + 5 tokens are let in, and a third is told which limit it met, how large that is, and until when."""
    key = Key(world, limit)
    key.ok()
    key.ok(world.nodes[1], stream=True)
    if transport == 'http':
        answer = key.post(world.nodes[1])
        assert words in refused(answer, code)
        again = key.post(stream=True)
        assert words in refused(again, code)
        assert again.header('content-type') == 'application/json'
    else:
        with key.socket() as ws:
            error = ws.ask(BODY).error
            assert error['status'] == 429 and error['error']['code'] == code and words in error['error']['message'], error
            wait = int(error['headers']['retry-after'])
            assert wait > 0 and error['headers'].get('x-should-retry') == ('false' if wait > 60 else None)
            if limit.startswith('requests'):
                assert error['headers']['x-ratelimit-remaining-requests'] == '0'
            assert ws.ask(BODY).error['error']['code'] == code, 'the socket stays'
    assert world.upstream.stats('a')['turns'] == 2, 'nothing was sent'
    what = limit.split(':')[0]
    key.settled(**{what: {'requests': 2, 'tokens': 30, 'input_tokens': 20, 'output_tokens': 10, 'cost': 0.000036}[what]})


def test_headers_of_limited_keys(world):
    key = Key(world, 'requests:10/day', 'requests:5/hour', 'tokens:1000/hour')
    answer = key.ok()
    assert (answer.header('x-ratelimit-limit-requests'), answer.header('x-ratelimit-remaining-requests')) == ('5', '4')
    assert answer.header('x-ratelimit-limit-tokens') == '1000'
    assert 1000 - RESERVED <= int(answer.header('x-ratelimit-remaining-tokens')) < 1000
    assert answer.header('x-ratelimit-reset-requests').endswith('s')
    answer = key.ok(stream=True)
    assert answer.header('x-ratelimit-remaining-requests') == '3'
    free = Key(world).ok()
    assert not [name for name, _ in free.headers if name.startswith('x-ratelimit')]


def test_at_a_time(world):
    """Two turns run, on two nodes; a third is refused at once enough, and let in when one has ended."""
    key = Key(world, 'concurrent:2')
    world.upstream.account('a', do={'first_delay_ms': 2500, 'usage': USED})
    threads = [threading.Thread(target=key.ok, args=(node,)) for node in world.nodes]
    for thread in threads:
        thread.start()
    http.eventually(lambda: world.upstream.stats('a')['running'] == 2, what='two run')
    assert key.limits() == {'concurrent': (0, 2)}
    message = refused(key.post(), 'rate_limit_exceeded')
    assert '2 turns at a time' in message and 'Retry' in message
    with key.socket() as ws:
        error = ws.ask(BODY).error
        assert error['error']['code'] == 'rate_limit_exceeded' and error['headers']['retry-after'] == '1'
    assert world.upstream.stats('a')['turns'] == 2
    for thread in threads:
        thread.join(20)
    world.upstream.account('a', do={'usage': USED})
    key.ok()
    key.settled(concurrent=0)


@pytest.mark.parametrize('snapshots', ['all', 'none'])
def test_one_after_the_other(world, snapshots):
    """A client that waits for each answer never meets its own reservation."""
    key = Key(world, 'concurrent:1', 'requests:1000/month', options=('--snapshots', snapshots))
    for turn in range(30):
        key.ok(world.nodes[turn % 2], stream=bool(turn % 3))
    with key.socket() as ws:
        for _ in range(10):
            assert ws.turn(BODY).status == 'completed'
    key.settled(requests=40)


# ---- what counts ----

def test_retries_count_once(world):
    key = Key(world, 'requests:10/month', 'tokens:1000/month', 'concurrent:1')
    world.upstream.script('a', {'status': 500}, count=1)
    answer = key.ok(stream=True)
    assert answer.status == 200
    stats = world.upstream.stats()['accounts']
    assert stats['a']['turns'] + stats['b']['turns'] == 2, 'two accounts were asked'
    key.settled(requests=1, tokens=15, concurrent=0)


@pytest.mark.parametrize('do, status', [({'status': 400, 'code': 'x', 'message': 'no'}, 400), ({'fault': 'reset', 'at': 'head'}, 503)])
def test_failed_turns_give_back(world, do, status):
    key = Key(world, 'requests:2/month', 'concurrent:1')
    for name in 'ab':
        world.upstream.account(name, do=do)
    for _ in range(3):
        assert key.post().status == status
        key.settled(requests=0, concurrent=0)
    for name in 'ab':
        world.upstream.account(name, do={'usage': USED})
    http.eventually(lambda: key.post().status == 200, what='it goes on')


def test_a_client_that_leaves(world):
    """Before anything was shown nothing is counted; after that the request is. What it held is free at once."""
    key = Key(world, 'requests:10/month', 'concurrent:1')
    for do, used in (({'first_delay_ms': 60000}, 0), ({'deltas': 50, 'delay_ms': 200, 'usage': USED}, 1)):
        world.upstream.account('a', do=do)
        before = world.upstream.stats('a')['turns']
        client = http.Client(world.one.url, key.secret)
        reader = threading.Thread(target=leave, args=(client,))
        reader.start()
        http.eventually(lambda b=before: world.upstream.stats('a')['turns'] == b + 1, what='it runs')
        time.sleep(1.0)  # for the second: something is shown
        assert key.limits()['concurrent'] == (0, 1)
        client.connection.sock.shutdown(socket.SHUT_RDWR)
        reader.join(20)
        key.settled(requests=used, concurrent=0)


def leave(client):
    try:
        client.open('POST', '/v1/responses', dict(BODY, stream=True)).read()
    except Exception:  # pylint: disable=broad-except
        pass


def test_more_than_estimated(world):
    """A turn that used more than it had set aside is paid for: the next one is refused."""
    key = Key(world, 'tokens:100/month')
    world.upstream.account('a', do={'usage': dict(USED, input_tokens=5000, total_tokens=5005)})
    key.ok()
    key.settled(tokens=5005)
    refused(key.post(), 'insufficient_quota')


def test_limits_change(world):
    """By the command line and by SQL, on every node, at once; what was used goes on to count."""
    key = Key(world, 'requests:1/month')
    key.ok()
    refused(key.post(world.nodes[1]), 'insufficient_quota')
    world.cli('key', 'set', key.name, '--limit', 'requests:2/month', '--limit', 'concurrent:3', '--reason', 'asked for')
    key.ok(world.nodes[1])
    assert '2 requests per month' in refused(key.post(), 'insufficient_quota')
    world.cli('key', 'set', key.name, '--no-limits')
    for node in world.nodes:
        http.eventually(lambda n=node: key.post(n).header('x-ratelimit-limit-requests') is None, what='no limits')
        key.ok(node)
    world.sql("SELECT posthouse_admin.set_key_limits(%s, '{\"requests\": {\"week\": 1}}', 'again')", key.name)
    for node in world.nodes:
        http.eventually(lambda n=node: key.post(n).status == 429, what='limits again')
    verbs = world.sql("SELECT reason FROM posthouse_admin.audit WHERE verb = 'set_key_limits' AND object = %s ORDER BY audit_id", key.name)
    assert [row[0] for row in verbs] == ['asked for', None, 'again']


# ---- what a key and an operator are told ----

def test_usage(world):
    key = Key(world, 'requests:10/day', 'cost:5usd/month', 'concurrent:4')
    key.ok()
    key.settled(requests=1)
    answer = http.once(world.nodes[1].url, key.secret, 'GET', '/v1/usage')
    assert answer.status == 200 and answer.header('content-type') == 'application/json'
    usage = answer.json
    limits = {entry['limit']: entry for entry in usage['limits']}
    assert set(limits) == {'requests', 'cost', 'concurrent'} and usage['object'] == 'usage'
    assert limits['concurrent'] == {'limit': 'concurrent', 'per': None, 'size': 4, 'used': 0, 'reserved': 0, 'remaining': 4,
                                    'resets_at': None}
    assert [limits['requests'][m] for m in ('per', 'size', 'used', 'remaining')] == ['day', 10, 1, 9]
    assert 0 < limits['requests']['resets_at'] - time.time() <= 86400
    assert limits['cost']['size'] == 5 and abs(limits['cost']['used'] - 0.000018) < 1e-9
    assert usage['today'] == usage['this_month'] == {'requests': 1, 'input_tokens': 10, 'output_tokens': 5, 'cost_usd': 0.000018}
    assert http.once(world.one.url, Key(world).secret, 'GET', '/v1/usage').json['limits'] == []
    assert http.once(world.one.url, 'nonsense', 'GET', '/v1/usage').status == 401
    assert http.once(world.one.url, key.secret, 'POST', '/v1/usage', {}).status == 405


def test_the_command_line(world):
    key = Key(world, 'requests:10k/day', 'tokens:1M/hour', 'cost:5.50usd/month', 'concurrent:4')
    row, = [r for r in json.loads(world.cli('key', 'list', '--json').stdout) if r['name'] == key.name]
    assert row['limits'] == ['concurrent:4', 'cost:5.5usd/month', 'requests:10000/day', 'tokens:1000000/hour']
    assert b'requests:10000/day' in world.cli('key', 'list').stdout
    for bad in ('requests:10', 'requests:0/day', 'requests:x/day', 'requests:1/year', 'turns:1/day', 'concurrent:4/day', 'concurrent:0',
                'cost:0usd/day', 'cost:5eur/day', 'cost:-1/day', 'requests', '', 'requests:1.5/day', 'tokens:1T/day'):
        done = world.cli('key', 'create', 'never', '--limit', bad, check=False)
        assert done.returncode == 2 and b'--limit' in done.stderr, bad
    for args in (('--limit', 'requests:1/day', '--limit', 'requests:2/day'), ('--limit', 'requests:1/day', '--no-limits'), ()):
        assert world.cli('key', 'set', key.name, *args, check=False).returncode == 2, args
    assert world.cli('key', 'set', 'nobody', '--no-limits', check=False).returncode == 1


# ---- the database away ----

def test_without_the_database(tmp_path):
    """What a limited key has left is the database's to say: 503, and Retry-After. A key without limits goes on."""
    with contextlib.ExitStack() as things:
        postgres = Postgres()
        things.callback(postgres.close)
        cluster = Cluster(postgres, tmp_path, None, ENV)
        things.callback(cluster.close)
        cluster.cli('migrate')
        upstream = FakeUpstream([('a', 'platform')])
        things.callback(upstream.close)
        cluster.account('a', 'platform', upstream.base('a'))
        limited, free = cluster.key('limited', '--limit', 'requests:100/month'), cluster.key('free', '--snapshots', 'none')
        node = cluster.node()
        postgres.stop('fast')
        answer = http.once(node.url, limited, 'POST', '/v1/responses', BODY)
        assert answer.status == 503 and int(answer.header('retry-after')) > 0, answer
        assert answer.error['code'] == 'service_unavailable'
        assert http.once(node.url, free, 'POST', '/v1/responses', BODY).status == 200
        assert http.once(node.url, limited, 'GET', '/v1/usage').status == 503
        postgres.start()
        http.eventually(lambda: http.once(node.url, limited, 'POST', '/v1/responses', BODY).status == 200, within=20, what='back')
        http.eventually(lambda: cluster.sql('SELECT used, reserved FROM posthouse_admin.key_limits') == [(1, 0)], within=20,
                        what='one request, and nothing reserved')


# ---- under fire ----

class Fire:
    """Clients that go on, each turn with some key on some node that lives, until every key is told that it is spent."""

    def __init__(self, cluster, keys, width):
        self.cluster, self.keys, self.width = cluster, keys, width
        self.lock = threading.Lock()
        self.open = set(keys)
        self.seen = {name: {} for name in keys}

    def done(self):
        return sum(seen.get(200, 0) for seen in self.seen.values())

    def one(self, draw):
        name = draw.choice(sorted(self.open) or sorted(self.keys))
        node = draw.choice([n for n in self.cluster.nodes if n.running] or self.cluster.nodes)
        body = dict(BODY, metadata={'key': name}, stream=draw.random() < 0.5)
        code = None
        try:
            if draw.random() < 0.2:
                del body['stream']
                with Socket(node.url, self.keys[name]) as ws:
                    turn = ws.ask(body)
                    status = turn.error['status'] if turn.error else 200
                    code = turn.error and turn.error['error']['code']
            else:
                answer = http.once(node.url, self.keys[name], 'POST', '/v1/responses', body)
                status, code = answer.status, answer.status == 429 and answer.error['code']
        except Exception:  # pylint: disable=broad-except
            status = None  # the node died under it, or was dead
        with self.lock:
            self.seen[name][status] = self.seen[name].get(status, 0) + 1
            if code == 'insufficient_quota':
                self.open.discard(name)
        if status != 200:
            time.sleep(0.05)

    def client(self, number):
        draw = random.Random('%d limits %d' % (SEED, number))
        while self.open:
            self.one(draw)

    def run(self, turns, events):
        threads = [threading.Thread(target=self.client, args=(n,), daemon=True) for n in range(self.width)]
        for thread in threads:
            thread.start()
        for number, event in enumerate(events, 1):
            while self.done() < turns * number / (len(events) + 1):
                time.sleep(0.02)
            event()
        for thread in threads:
            thread.join(1200)
            assert not thread.is_alive()


def killer(cluster, number):
    def event():
        cluster.nodes[number].kill9()
        cluster.nodes[number].start()
    return event


def upstream_count(upstream):
    """{key: turns that the upstream answered to their end}, from its own records."""
    found = {}
    for record in upstream.requests('a', last=1000000):
        if record['seen'] and record['ended'] is not None and record['left'] is None:
            name = json.loads(record['body'])['metadata']['key']
            found[name] = found.get(name, 0) + 1
    return found


@pytest.mark.timeout(max(300, 90 * SCALE))
def test_limits_hold(make_cluster):
    """Ten keys, five with so many requests and five with so many tokens, each with three turns at a time, on three nodes
    that are killed in between. 10,000 turns fit into the limits, and the clients do not stop before that."""
    cluster = make_cluster(ENV)
    upstream = cluster.own(FakeUpstream([('a', 'platform')]))
    upstream.account('a', do={'usage': USED, 'first_delay_ms': 10})
    cluster.account('a', 'platform', upstream.base('a'))
    each = count(1000)
    keys = {}
    for n in range(10):
        what = ('requests:%d/month' % each) if n % 2 else ('tokens:%d/month' % (each * 15 + RESERVED))
        keys['k%d' % n] = cluster.key('k%d' % n, '--limit', what, '--limit', 'concurrent:3', '--snapshots', 'all' if n % 4 < 2 else 'none')
    for _ in range(3):
        cluster.node()
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    before = cluster.postgres.log.stat().st_size
    fire = Fire(cluster, keys, 24)
    begun = time.monotonic()
    fire.run(10 * each, [killer(cluster, n % 3) for n in range(max(3, round(SCALE / 2)))])
    took = time.monotonic() - begun
    time.sleep(TTL + 1)
    left = cluster.sql('SELECT count(*) FROM posthouse_admin.key_limits WHERE reserved <> 0')[0][0]
    assert left == 0, 'reservations are left behind'
    answered = upstream_count(upstream)
    logged = {name: (n, tokens) for name, n, tokens in cluster.sql(
        "SELECT key_name, count(*), sum(input_tokens + output_tokens) FROM posthouse_admin.requests WHERE outcome = 'completed' GROUP BY 1")}
    total = cut = 0
    for name, what, size, used in cluster.sql(
            "SELECT key_name, what, \"limit\", used FROM posthouse_admin.key_limits WHERE what <> 'concurrent' ORDER BY 1"):
        turns = int(used) if what == 'requests' else int(used) // 15
        seen = fire.seen[name]
        assert used <= size, 'more than the limit'
        assert used > size - (1 if what == 'requests' else RESERVED), 'told that it was spent, and was not'
        assert (turns, turns * 15) == logged[name] and (what == 'requests' or used == turns * 15), 'the log says the same'
        assert seen[200] <= turns <= answered[name], 'what was acknowledged is counted, and what is counted was answered'
        assert answered[name] - turns <= seen.get(None, 0), 'only turns that a crash cut were not counted'
        assert set(seen) <= {200, 429, 503, None}, seen
        total, cut = total + turns, cut + answered[name] - turns
    assert upstream.stats('a')['max_running'] <= 30, 'ten keys, three at a time'
    assert cluster.sql(deadlocks)[0][0] == 0
    assert b'deadlock' not in cluster.postgres.log.read_bytes()[before:]
    figure('limits of ten keys on three nodes, killed %d times: %d turns in %.0f s, none above a limit, %d answered upstream and cut by a '
           'crash, %d refused, %d at most at once, 0 reservations left, 0 deadlocks' % (
               max(3, round(SCALE / 2)), total, took, cut, sum(seen.get(429, 0) for seen in fire.seen.values()),
               upstream.stats('a')['max_running']))


# ---- the key's other policies, on every door ----

def test_policies_on_every_door(world):
    """Models, accounts, expiry, revocation: over HTTP, on a WebSocket that is open already, and on what is relayed."""
    key = Key(world, 'concurrent:9', options=('--model', 'demo', '--account', 'b', '--expires', '10s'))
    begun = time.monotonic()
    other = dict(BODY, model='other')
    with key.socket() as ws:
        assert ws.turn(BODY).status == 'completed'
        error = ws.ask(other).error
        assert error['status'] == 403 and error['error']['code'] == 'model_not_allowed', error
        assert key.post(model='other').error['code'] == 'model_not_allowed'
        relayed = http.once(world.one.url, key.secret, 'POST', '/v1/embeddings', {'model': 'other', 'input': 'x'})
        assert relayed.error['code'] == 'model_not_allowed'
        key.ok(world.nodes[1])
        stats = world.upstream.stats()['accounts']
        assert (stats['a']['turns'], stats['b']['turns']) == (0, 2), 'the account that it may use'
        time.sleep(max(0, begun + 11 - time.monotonic()))
        assert ws.ask(BODY).error['error']['code'] == 'invalid_api_key', 'it expired meanwhile'
    for method, path in (('POST', '/v1/responses'), ('GET', '/v1/usage'), ('POST', '/v1/embeddings'), ('GET', '/v1/models')):
        assert http.once(world.one.url, key.secret, method, path, BODY if method == 'POST' else None).status == 401, path
    key = Key(world, 'concurrent:9')
    with key.socket() as ws:
        assert ws.turn(BODY).status == 'completed'
        world.cli('key', 'revoke', key.name)
        http.eventually(lambda: (ws.ask(BODY).error or {}).get('status') == 401, what='it was revoked meanwhile')
