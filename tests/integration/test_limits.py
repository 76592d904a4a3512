# SPDX-License-Identifier: Apache-2.0
"""An account's limits: what one node learns of them all know, and no upstream is asked while the answer is known. Clients
are told of the pool's limit, never of one account's, and the time they are told is the true one."""
import email.utils
import itertools
import json
import signal
import threading
import time

import pytest

import client as http
import rawupstream as raw
from harness import KNOWN, count, figure

KINDS = ['platform', 'codex', 'stateless']


def now():
    return time.time()


# ---- what an upstream says ----

def error(status, headers=(), detail=None, **members):
    body = {'detail': detail} if detail else {'error': dict({'message': 'no', 'type': 'invalid_request_error',
                                                             'param': None, 'code': None}, **members)}
    return lambda x: x.answer(status, body, headers)


def cooling(seconds=None, headers=(), **members):
    """A rate limit."""
    if seconds is not None:
        headers = [('Retry-After', str(seconds))]
    return error(429, headers, **dict({'type': 'requests', 'code': 'rate_limit_exceeded'}, **members))


LIMIT_WORDS = 'The usage limit of this account has been reached'


def exhausted(seconds):
    """A usage limit, as the Codex backend says it."""
    return error(429, type='usage_limit_reached', message=LIMIT_WORDS, plan_type='pro', resets_at=int(now()) + seconds,
                 resets_in_seconds=seconds)


def broken(x):
    error(500, type='server_error', code='server_error')(x)


def after(number, say):
    """Every answer up to that number is a 500, then `say`."""
    counter = itertools.count(1)
    return lambda x: broken(x) if next(counter) <= number else say(x)


def answering(headers=(), before=()):
    """An ordinary answer that says more: headers, events before the first one."""
    def handler(x):
        rid = raw.new_id()
        if x.request.json.get('stream'):
            x.stream([event_of(e) for e in before] + raw.events(rid) + [raw.DONE], headers)
        else:
            x.answer(200, raw.response(rid, output=[raw.message('hello', rid)]), headers)
    return handler


def event_of(data):
    return ('event: %s\ndata: %s\n\n' % (data['type'], json.dumps(data))).encode()


# ---- the pool ----

serial = itertools.count(1)


class Pool:
    """Accounts whose upstream does what `does` says, by name. A key of an account's own, `only-NAME`, makes it and nobody
    else be asked."""

    def __init__(self, make_cluster, make_upstream, kind, names=('a', 'b')):
        self.cluster = make_cluster()
        self.kind, self.names, self.does = kind, names, {}
        self.upstream = make_upstream(self.answer)
        for name in names:
            self.add(name)
        self.key, self.only = self.cluster.key('all'), {}
        self.make_keys()
        self.nodes = [self.cluster.node() for _ in range(2)]

    def add(self, name):
        self.cluster.account(name, self.kind, self.upstream.url.replace('/v1', '/%s/v1' % name))

    def make_keys(self):
        for name in self.names:
            self.only[name] = self.cluster.key('only-%s-%d' % (name, next(serial)), '--account', name)

    def renew(self):
        """Other accounts of the same names, of whose usage nothing is known."""
        for name in self.names:
            self.cluster.cli('account', 'remove', name)
            self.add(name)
        self.make_keys()

    def answer(self, x):
        self.does.get(x.request.account.strip('/'), raw.plain)(x)

    def reset(self):
        self.does.clear()
        for name in self.names:
            self.cluster.sql('SELECT posthouse_admin.resume_account(%s)', name)
        time.sleep(KNOWN)
        self.upstream.clear()

    def asked(self):
        return [r.account.strip('/') for r in self.upstream.turns()]

    def post(self, node=0, key=None, **members):
        with http.Client(self.nodes[node].url, key or self.key) as api:
            return api.post(dict({'model': 'demo', 'input': 'x'}, **members))

    def turn(self, node=0, key=None, **members):
        answer = self.post(node, key, **members)
        assert answer.status == 200, answer
        return http.Turn(answer, bool(members.get('stream')))

    def meet(self, name, what, node=0, **members):
        """Has the account asked once, by that node, while its upstream does `what`; afterwards it would answer."""
        self.does[name] = what
        answer = self.post(node, self.only[name], **members)
        self.does.pop(name)
        return answer

    def works(self, name):
        """It has just answered on both nodes, so no fault of before counts."""
        for node in (0, 1):
            self.turn(node, self.only[name])
        self.upstream.clear()

    def health(self, name):
        row, = self.cluster.sql('SELECT state, extract(epoch FROM until)::float8, reason, evidence, node, version '
                                'FROM posthouse_admin.account_health WHERE name = %s', name)
        return dict(zip(('health', 'until', 'reason', 'evidence', 'node', 'version'), row))

    def becomes(self, name, health):
        return http.eventually(lambda: (found := self.health(name))['health'] == health and found, within=10,
                               what='%s is %s' % (name, health))

    def serves_from(self, names, turns=8):
        """Only these accounts are asked for new conversations, by any node."""
        self.upstream.clear()
        for number in range(turns):
            self.turn(number % len(self.nodes), stream=number % 3 == 0)
        return set(self.asked()) <= set(names)


@pytest.fixture(scope='module', params=KINDS)
def every_pool(request, make_cluster, make_upstream):
    return Pool(make_cluster, make_upstream, request.param)


@pytest.fixture
def pool(every_pool):
    every_pool.reset()
    return every_pool


@pytest.fixture(scope='module')
def codex_pool(make_cluster, make_upstream):
    return Pool(make_cluster, make_upstream, 'codex')


@pytest.fixture
def codex(codex_pool):
    codex_pool.renew()
    codex_pool.reset()
    return codex_pool


@pytest.fixture(scope='module')
def platform_pool(make_cluster, make_upstream):
    return Pool(make_cluster, make_upstream, 'platform')


@pytest.fixture
def platform(platform_pool):
    platform_pool.reset()
    return platform_pool


def seconds_of(answer):
    found = answer.header('retry-after')
    assert found is not None and found.isdigit() and int(found) >= 1, answer.headers
    return int(found)


def says_exhausted(answer, until):
    assert answer.status == 429, answer
    said = answer.error
    assert (said['type'], said['code'], said['param']) == ('usage_limit_reached', 'usage_limit_reached', None)
    assert abs(said['resets_at'] - until) <= 3, (said, until)
    assert abs(said['resets_in_seconds'] - (until - now())) <= 3, said
    assert abs(seconds_of(answer) - (until - now())) <= 3, answer.headers
    assert answer.header('x-should-retry') == ('false' if seconds_of(answer) > 60 else None)


def says_cooling(answer, until):
    assert answer.status == 429, answer
    said = answer.error
    assert (said['type'], said['code'], said['param']) == ('rate_limit_error', 'rate_limit_exceeded', None), said
    assert 'resets_at' not in said
    assert abs(seconds_of(answer) - (until - now())) <= 3, (answer.headers, until - now())
    assert answer.header('x-should-retry') == ('false' if seconds_of(answer) > 60 else None)


# ---- all are limited ----

def test_all_exhausted_is_one_429_with_the_earliest_reset(pool):
    pool.does.update(a=exhausted(5000), b=exhausted(2000))
    until = now() + 2000
    answer = pool.post(stream=True)
    says_exhausted(answer, until)
    assert LIMIT_WORDS.encode() not in answer.body
    assert sorted(pool.asked()) == ['a', 'b'], 'each was asked once'
    time.sleep(KNOWN)
    for node in (0, 1):
        for stream in (False, True):
            says_exhausted(pool.post(node, stream=stream), until)
    assert len(pool.asked()) == 2, 'an upstream was asked while its limit was known'
    for name in 'ab':
        found = pool.becomes(name, 'exhausted')
        assert found['reason'] and found['node'] in [node.name for node in pool.nodes] and found['version'] >= 1
        assert LIMIT_WORDS in found['evidence']
    assert abs(pool.health('b')['until'] - until) <= 2


def test_one_that_merely_cools_makes_it_a_rate_limit(pool):
    pool.does.update(a=exhausted(5000), b=cooling(20))
    until = now() + 20
    says_cooling(pool.post(), until)
    time.sleep(KNOWN)
    for node in (0, 1):
        says_cooling(pool.post(node, stream=True), until)
    assert len(pool.asked()) == 2
    assert pool.becomes('a', 'exhausted') and pool.becomes('b', 'cooling')


def test_long_cooling_says_do_not_retry(pool):
    pool.does.update(a=cooling(600), b=cooling(900))
    until = now() + 600
    says_cooling(pool.post(), until)
    time.sleep(KNOWN)
    says_cooling(pool.post(1), until)
    assert len(pool.asked()) == 2


def test_a_conversation_meets_the_same_answer(pool):
    """Anchored turns too, and they go on as soon as there is an account again."""
    first = pool.turn(store=False)
    pool.meet('a', exhausted(3000))
    pool.meet('b', exhausted(4000), node=1)
    until = now() + 3000
    time.sleep(KNOWN)
    pool.upstream.clear()
    for node in (0, 1):
        says_exhausted(pool.post(node, previous_response_id=first.id), until)
    assert not pool.asked()
    pool.cluster.cli('account', 'resume', 'b')
    time.sleep(KNOWN)
    turn = pool.turn(1, previous_response_id=first.id)
    assert turn.continuity == 'replayed' and pool.asked() == ['b']


def test_paused_accounts_do_not_count(pool):
    """What could serve but for its limit decides, not what an operator has taken away."""
    pool.meet('a', exhausted(3000))
    pool.cluster.cli('account', 'pause', 'b')
    time.sleep(KNOWN)
    says_exhausted(pool.post(1), now() + 3000)
    pool.cluster.cli('account', 'pause', 'a')
    time.sleep(KNOWN)
    answer = pool.post(1)
    assert answer.status == 503 and answer.error['code'] == 'no_accounts' and seconds_of(answer), answer


# ---- known everywhere ----

def test_a_limit_met_on_one_node_is_not_tried_by_another(pool):
    assert pool.meet('a', cooling(300)).status == 429
    time.sleep(KNOWN)
    pool.upstream.clear()
    first = None
    for number in range(10):
        turn = pool.turn(1, stream=number % 2 == 0, **({'previous_response_id': first} if first else {}))
        first = turn.id
    assert set(pool.asked()) == {'b'}


def test_how_soon_another_node_knows(make_cluster, make_upstream):
    """From the client's 429 on one node to the other node's own 429, without an upstream."""
    pool = Pool(make_cluster, make_upstream, 'stateless', names=('a',))
    took = []
    for _ in range(count(400)):
        assert pool.meet('a', exhausted(3000)).status == 429
        start = time.monotonic()
        http.eventually(lambda: pool.post(1, pool.only['a']).status == 429, within=10, every=0.001)
        took.append(time.monotonic() - start)
        pool.cluster.sql("SELECT posthouse_admin.resume_account('a', 'again')")
        http.eventually(lambda: all(pool.post(n, pool.only['a']).status == 200 for n in (0, 1)), within=10)
    took.sort()
    figure('a limit is known to another node after %.1f ms (median), %.1f ms (worst of %d)' % (
        took[len(took) // 2] * 1000, took[-1] * 1000, len(took)))
    assert took[len(took) * 99 // 100] < KNOWN, took


def test_a_node_that_starts_later_knows(pool):
    pool.does.update(a=exhausted(3000), b=exhausted(4000))
    until = now() + 3000
    assert pool.post().status == 429
    for name in 'ab':
        pool.becomes(name, 'exhausted')
    late = pool.cluster.node()
    with http.Client(late.url, pool.key) as api:
        says_exhausted(api.post({'model': 'demo', 'input': 'x'}), until)
        says_exhausted(api.post({'model': 'demo', 'input': 'x', 'stream': True}), until)
    assert len(pool.asked()) == 2
    late.stop()


@pytest.mark.parametrize('how', ['stopped', 'killed'])
def test_the_block_survives_a_restart_of_all_nodes(pool, how):
    pool.does.update(a=exhausted(3000), b=cooling(2000))
    until = now() + 2000
    assert pool.post().status == 429
    pool.becomes('a', 'exhausted')
    pool.becomes('b', 'cooling')
    for node in pool.nodes:
        if how == 'stopped':
            node.signal(signal.SIGTERM)
        else:
            node.kill9()
    for node in pool.nodes:
        node.stop(asked=True)
        node.start()
    for node in (0, 1):
        says_cooling(pool.post(node), until)
    assert len(pool.asked()) == 2


# ---- until when ----

@pytest.mark.parametrize('what', [cooling, exhausted])
def test_it_ends_by_itself(pool, what):
    """At its time and not before, on every node, without a word from anybody."""
    pool.does.update(a=what(3), b=what(600))
    start = time.monotonic()
    answer = pool.post()
    assert answer.status == 429 and 2 <= seconds_of(answer) <= 4, answer
    pool.does.clear()
    time.sleep(KNOWN)
    until = None
    while until is None:
        answer = pool.post(1)
        if answer.status == 200:
            until = time.monotonic() - start
        else:
            assert answer.status == 429 and 1 <= seconds_of(answer) <= 4, answer
            assert time.monotonic() - start < 30
            time.sleep(0.1)
    assert until > 1.9, until
    assert sorted(pool.asked()) == ['a', 'a', 'b'], 'nothing was tried before the time'
    assert pool.post(0).status == 200
    assert pool.health('a')['health'] == 'active'
    figure('a block of 3 s ended after %.1f s' % until)


@pytest.mark.parametrize('by', ['command', 'sql', 'new secret'])
@pytest.mark.parametrize('what', [cooling, exhausted])
def test_an_operator_lifts_it(platform, what, by):
    platform.meet('a', what(3000))
    platform.meet('b', what(3000), node=1)
    time.sleep(KNOWN)
    assert platform.post().status == 429
    before = platform.health('a')['version']
    if by == 'command':
        platform.cluster.cli('account', 'resume', 'a', '--reason', 'paid')
    elif by == 'sql':
        platform.cluster.sql("SELECT posthouse_admin.resume_account('a', 'paid')")
    else:
        platform.add('a')
    time.sleep(KNOWN)
    platform.upstream.clear()
    for node in (0, 1):
        assert platform.turn(node).status == 'completed'
    assert set(platform.asked()) == {'a'}, 'the other one stays blocked'
    assert platform.health('a')['health'] == 'active' and before >= 1


def in_seconds(seconds):
    return email.utils.formatdate(now() + seconds, usegmt=True)


UNTIL = {
    'resets_at': (lambda: cooling(resets_at=int(now()) + 90), 90),
    'resets_in_seconds': (lambda: cooling(resets_in_seconds=80), 80),
    'resets_at before all others': (lambda: cooling(resets_at=int(now()) + 90, resets_in_seconds=10,
                                                    headers=[('Retry-After', '20')]), 90),
    'resets_in_seconds before headers': (lambda: cooling(resets_in_seconds=80, headers=[('Retry-After', '20')]), 80),
    'retry-after-ms': (lambda: cooling(headers=[('retry-after-ms', '70000'), ('Retry-After', '20')]), 70),
    'retry-after': (lambda: cooling(headers=[('Retry-After', '45')]), 45),
    'retry-after with a fraction': (lambda: cooling(headers=[('Retry-After', '44.5')]), 45),
    'retry-after as a date': (lambda: cooling(headers=[('Retry-After', in_seconds(120)), ('Date', in_seconds(0))]), 120),
    'x-ratelimit-reset of what is used up': (lambda: cooling(headers=[
        ('x-ratelimit-remaining-requests', '0'), ('x-ratelimit-reset-requests', '6m0s'),
        ('x-ratelimit-remaining-tokens', '100'), ('x-ratelimit-reset-tokens', '2h')]), 360),
    'the message': (lambda: cooling(message='Rate limit reached. Please try again in 1h2m3s.'), 3723),
    'nothing': (cooling, 30),
    'not believed': (lambda: cooling(resets_in_seconds=10 ** 12), 366 * 86400),
}


@pytest.mark.parametrize('name', UNTIL)
def test_until_when(platform, name):
    """The time in upstream's words, whichever it chose, is the time that the client is told."""
    make, seconds = UNTIL[name]
    until = now() + seconds
    says_cooling(platform.meet('a', make()), until)
    found = platform.becomes('a', 'cooling')
    assert abs(found['until'] - until) <= 3
    time.sleep(KNOWN)
    says_cooling(platform.post(1, platform.only['a']), until)
    assert platform.asked() == ['a']


def test_blocks_without_a_time_grow(make_cluster, make_upstream):
    """30 s, and twice that for the next one."""
    pool = Pool(make_cluster, make_upstream, 'stateless', names=('a',))
    says_cooling(pool.meet('a', cooling()), now() + 30)
    pool.becomes('a', 'cooling')
    time.sleep(31)
    says_cooling(pool.meet('a', cooling()), now() + 60)
    assert pool.asked() == ['a', 'a']
    http.eventually(lambda: pool.health('a')['until'] > now() + 50)


# ---- quota ----

@pytest.mark.parametrize('code', ['insufficient_quota', 'quota_exceeded', 'credit_balance_exhausted',
                                  'organization_spend_limit_exceeded', 'project_spend_limit_exceeded',
                                  'organization_usage_limit_exceeded'])
def test_quota_is_told_as_the_pools_limit(platform, code):
    """An hour where upstream names no time; the account's own words never reach the client."""
    platform.does.update(a=error(429, code=code, type=code), b=error(429, code=code, type=code))
    answer = platform.post(stream=True)
    says_exhausted(answer, now() + 3600)
    assert code.encode() not in answer.body
    assert platform.becomes('a', 'exhausted')['until'] > now() + 115


# ---- in the stream ----

def failing(code, items):
    """A stream that fails behind so many of its events."""
    def handler(x):
        rid = raw.new_id()
        x.stream(raw.events(rid)[:items] + [raw.event(items, 'response.failed', response=raw.response(
            rid, 'failed', error={'code': code, 'message': 'the limit of one account'}))])
    return handler


@pytest.mark.parametrize('items', [1, 2, 5])
def test_a_limit_within_the_stream_counts(pool, items):
    """Before the first item nobody sees it; behind it the client gets its one end. The account is blocked either way."""
    first_one = threading.Lock()

    def once(x):
        """The first that is asked fails, the other one answers."""
        if first_one.acquire(blocking=False):
            failing('usage_limit_reached', items)(x)
        else:
            raw.plain(x)
    pool.does.update(a=once, b=once)
    turn = pool.turn(stream=True)
    first = pool.asked()[0]
    assert b'usage_limit' not in turn.answer.body
    if items < 3:
        assert turn.status == 'completed' and len(pool.asked()) == 2
    else:
        assert turn.status == 'failed' and turn.response['error']['code'] == 'server_error' and len(pool.asked()) == 1
    assert pool.becomes(first, 'exhausted')
    time.sleep(KNOWN)
    assert pool.serves_from({'a', 'b'} - {first})


# ---- usage windows ----

def window(used, resets=3600, name='primary', **more):
    found = {'x-codex-%s-used-percent' % name: str(used), 'x-codex-%s-window-minutes' % name: '300',
             'x-codex-%s-reset-at' % name: str(int(now()) + resets)}
    return list(dict(found, **more).items())


def limits_event(primary, secondary=None, credits=False, resets=3600):
    def one(used):
        return None if used is None else {'used_percent': used, 'window_minutes': 300, 'reset_at': int(now()) + resets}
    return {'type': 'codex.rate_limits', 'plan_type': 'pro', 'rate_limits': {
        'allowed': primary < 100, 'limit_reached': primary >= 100, 'primary': one(primary), 'secondary': one(secondary)},
        'credits': {'has_credits': credits, 'unlimited': False, 'balance': '5' if credits else '0'}}


FULL = {
    'primary in headers': lambda: answering(window(100)),
    'primary over full': lambda: answering(window(104.5)),
    'primary in an event': lambda: answering(before=[limits_event(100)]),
    'secondary in headers': lambda: answering(window(20) + window(100, name='secondary') + [
        ('x-codex-credits-has-credits', 'False'), ('x-codex-credits-unlimited', 'False')]),
    'secondary in an event': lambda: answering(before=[limits_event(20, 100)]),
}


@pytest.mark.parametrize('name', FULL)
def test_a_full_window_exhausts_the_account(codex, name):
    """The turn that brought the news is served; no other is, until the window's reset."""
    until = now() + 3600
    answer = codex.meet('a', FULL[name](), stream=True)
    assert answer.status == 200 and http.Turn(answer, True).status == 'completed'
    assert b'codex.rate_limits' not in answer.body
    assert not [h for h, _ in answer.headers if h.startswith('x-codex-')]
    found = codex.becomes('a', 'exhausted')
    assert abs(found['until'] - until) <= 3
    time.sleep(KNOWN)
    assert codex.serves_from({'b'})
    says_exhausted(codex.post(1, codex.only['a']), until)


NOT_FULL = {
    'secondary with credits': lambda: answering(before=[limits_event(20, 100, credits=True)]),
    'secondary with credits in headers': lambda: answering(window(20) + window(100, name='secondary') + [
        ('x-codex-credits-has-credits', 'True')]),
    'nearly': lambda: answering(window(94)),
}


@pytest.mark.parametrize('name', NOT_FULL)
def test_a_window_that_leaves_room_does_not(codex, name):
    assert codex.meet('a', NOT_FULL[name](), stream=True).status == 200
    time.sleep(KNOWN)
    assert codex.health('a')['health'] == 'active'
    assert codex.post(1, codex.only['a']).status == 200


def test_nearly_exhausted_is_the_last_choice_for_new_conversations(codex):
    """Its own conversations stay, and it is still taken where nobody else can."""
    codex.cluster.cli('account', 'pause', 'b')
    time.sleep(KNOWN)
    codex.does['a'] = answering(window(96))
    mine = codex.turn(0, stream=True)
    codex.does.clear()
    codex.cluster.cli('account', 'resume', 'b')
    time.sleep(KNOWN)
    codex.upstream.clear()
    for _ in range(8):
        codex.turn(0)
    assert set(codex.asked()) == {'b'}
    assert codex.health('a')['health'] == 'active'
    http.eventually(lambda: codex.serves_from({'b'}), within=20, what='the other node knows, too')
    codex.upstream.clear()
    for node in (0, 1):
        assert codex.turn(node, previous_response_id=mine.id).continuity == 'replayed'
    assert codex.asked() == ['a', 'a']
    codex.cluster.cli('account', 'pause', 'b')
    time.sleep(KNOWN)
    for node in (0, 1):
        assert codex.turn(node).status == 'completed'


def test_newer_evidence_lifts_a_block(codex):
    """A turn that was running when the block came in brings later news: there is room again. The block ends before its
    time, on every node."""
    go, running = threading.Event(), threading.Event()
    done = []

    def slow(x):
        pieces = raw.events(raw.new_id())
        x.start_stream()
        for piece in pieces[:5]:
            x.chunk(piece)
        running.set()
        go.wait(20)
        x.chunk(event_of(limits_event(3)))
        for piece in pieces[5:] + [raw.DONE]:
            x.chunk(piece)
        x.end_stream()
    codex.does['a'] = slow
    thread = threading.Thread(target=lambda: done.append(codex.turn(1, codex.only['a'], stream=True)))
    thread.start()
    assert running.wait(10)
    codex.meet('a', answering(window(100)), stream=True)
    codex.becomes('a', 'exhausted')
    time.sleep(1.1)  # newer by more than a clock's grain
    go.set()
    thread.join(30)
    assert done and done[0].status == 'completed'
    codex.becomes('a', 'active')
    time.sleep(KNOWN)
    for node in (0, 1):
        assert codex.post(node, codex.only['a']).status == 200


def test_an_operators_word_is_not_undone_by_usage(codex):
    """News of usage lifts blocks by usage, nothing else."""
    codex.meet('a', cooling(3000))
    codex.becomes('a', 'cooling')
    time.sleep(KNOWN)
    says_cooling(codex.post(1, codex.only['a']), now() + 3000)
    assert codex.asked() == ['a']


# ---- what is no limit ----

def lacks(model, kind):
    """Has every model but that one."""
    if kind == 'codex':
        refusal = error(400, detail="The '%s' model is not supported when using Codex with a ChatGPT account." % model)
    else:
        refusal = error(404, message="The model '%s' does not exist or you do not have access to it." % model,
                        code='model_not_found')
    return lambda x: (refusal if x.request.json['model'] == model else raw.plain)(x)


def test_a_model_that_one_account_lacks_goes_to_another(pool):
    model = 'rare-' + pool.kind
    pool.does['a'] = lacks(model, pool.kind)
    for number in range(10):
        assert pool.turn(number % 2, model=model, stream=number % 3 == 0).status == 'completed'
    assert pool.asked().count('a') <= len(pool.nodes), 'each node asks the one without the model once'
    assert pool.health('a')['health'] == 'active'
    assert pool.post(0, pool.only['a']).status == 200, 'its other models are served'


def test_a_model_that_all_lack_is_said_as_it_is(pool):
    model = 'none-' + pool.kind
    pool.does.update({name: lacks(model, pool.kind) for name in 'ab'})
    for stream in (False, True):
        answer = pool.post(model=model, stream=stream)
        if pool.kind == 'codex':
            assert answer.status == 400 and 'is not supported when using Codex' in answer.error['message'], answer
        else:
            assert answer.status == 404 and answer.error['code'] == 'model_not_found', answer
        assert model in answer.error['message']
    assert {pool.health(name)['health'] for name in 'ab'} == {'active'}


OVERLOAD = {
    'server_is_overloaded': lambda: error(503, type='service_unavailable_error', code='server_is_overloaded'),
    'overloaded_error': lambda: error(529, type='overloaded_error'),
    'capacity': lambda: error(503, type='server_error', message='Selected model is at capacity.'),
}


@pytest.mark.parametrize('name', OVERLOAD)
def test_overload_is_nobodys_fault(pool, name):
    """The next account at once; where all are, a 503 that does not say so; no account is blocked, and the next turn is
    tried again."""
    model = 'busy-' + name
    pool.does['a'] = OVERLOAD[name]()
    for node in (0, 1):
        assert pool.turn(node, model=model, stream=True).status == 'completed'
    pool.does['b'] = OVERLOAD[name]()
    answer = pool.post(model=model)
    assert answer.status == 503 and answer.error['code'] == 'server_error' and answer.error['type'] == 'server_error', answer
    assert seconds_of(answer) and not [word for word in (b'server_is_overloaded', b'overloaded_error', b'at capacity')
                                       if word in answer.body], answer
    assert {pool.health(account)['health'] for account in 'ab'} == {'active'}
    pool.does.clear()
    assert pool.turn(model=model).status == 'completed'


def test_three_faults_in_a_row_cool_the_account(pool):
    """A turn that asks its only account again has met one fault, however often it asked. Two turns are forgiven, the third
    is not, and nobody else has to find out."""
    pool.works('a')
    for number in range(3):
        assert pool.health('a')['health'] == 'active'
        answer = pool.meet('a', broken)
        assert answer.status in (429, 503), answer
        assert len(pool.asked()) <= 4 * (number + 1)
    found = pool.becomes('a', 'cooling')
    assert 20 < found['until'] - now() <= 31 and found['reason'], found
    time.sleep(KNOWN)
    assert pool.serves_from({'b'})
    pool.upstream.clear()
    says_cooling(pool.post(1, pool.only['a']), found['until'])
    assert not pool.asked()


def test_two_faults_are_forgotten(pool):
    """An answer in between ends the count."""
    pool.works('a')
    for _ in range(3):
        for _ in range(2):
            assert pool.meet('a', broken).status == 503
        assert pool.turn(0, pool.only['a']).status == 'completed'
    time.sleep(KNOWN)
    assert pool.health('a')['health'] == 'active'


def test_an_operators_word_forgives_faults(pool):
    """After a resume the count begins anew: one fault is no third one."""
    pool.works('a')
    for _ in range(3):
        pool.meet('a', broken)
    pool.becomes('a', 'cooling')
    pool.cluster.cli('account', 'resume', 'a')
    time.sleep(KNOWN)
    for _ in range(2):
        assert pool.meet('a', broken).status == 503
    time.sleep(KNOWN)
    assert pool.health('a')['health'] == 'active'


def test_one_turn_asks_its_only_account_again(pool):
    """Three times at most, and what worked in the end was no fault."""
    pool.works('a')
    pool.does['a'] = after(3, raw.plain)
    assert pool.turn(0, pool.only['a']).status == 'completed'
    assert pool.asked() == ['a'] * 4
    assert pool.health('a')['health'] == 'active'


@pytest.mark.parametrize('what', [
    lambda x: x.close(), lambda x: x.reset(), lambda x: x.stream(raw.events(raw.new_id())[:2]),
    error(400, message='This is not a request.'), error(400, code='context_length_exceeded'),
    error(400, code='invalid_prompt'), error(409), error(422)],
    ids=['close', 'reset', 'cut', '400', 'context', 'prompt', '409', '422'])
def test_neutral_signals(pool, what):
    """What is the client's fault, or the network's, is not the account's, however often it happens."""
    for number in range(4):
        pool.meet('a', what, node=number % 2, stream=True)
    time.sleep(KNOWN)
    assert pool.health('a')['health'] == 'active'
    assert pool.post(1, pool.only['a']).status == 200


# ---- credentials ----

def test_a_refused_secret_disables_until_it_is_replaced(platform):
    """Never the upstream's 401: the client's key is good."""
    refusal = error(401, code='invalid_api_key', message='Incorrect API key provided: sk-x.')
    answer = platform.meet('a', refusal)
    assert answer.status == 503 and answer.error['code'] == 'no_accounts' and seconds_of(answer), answer
    found = platform.becomes('a', 'disabled')
    assert found['until'] is None and found['reason']
    time.sleep(KNOWN)
    assert platform.serves_from({'b'})
    platform.upstream.clear()
    assert platform.post(1, platform.only['a']).error['code'] == 'no_accounts' and not platform.asked()
    platform.add('a')
    time.sleep(KNOWN)
    assert platform.post(1, platform.only['a']).status == 200


def test_versions_rise(platform):
    """Every transition is a new version, and says which node saw what."""
    last = platform.health('a')['version']
    for number in range(4):
        node = number % 2
        platform.meet('a', cooling(1), node=node)
        found = http.eventually(lambda: (row := platform.health('a'))['version'] != last and row)
        assert found['version'] > (last or 0) and found['node'] == platform.nodes[node].name
        last = found['version']
        time.sleep(1.2)
