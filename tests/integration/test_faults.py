# SPDX-License-Identifier: Apache-2.0
"""Promise 3: a failure before the first output item is invisible, after it there is one well-formed end; and every wait
has an end of its own."""
import contextlib
import json
import socket
import threading
import time

import pytest

import client as http
import rawupstream as raw
from harness import figure

HOLD, KEEPALIVE, FIRST_EVENT, IDLE, ANSWER, CONNECT = 1.0, 0.4, 1.5, 2.0, 2.0, 0.7

SHORT = {
    'POSTHOUSE_HOLD_TIMEOUT': '%dms' % (HOLD * 1000),
    'POSTHOUSE_KEEPALIVE_INTERVAL': '%dms' % (KEEPALIVE * 1000),
    'POSTHOUSE_FIRST_EVENT_TIMEOUT': '%dms' % (FIRST_EVENT * 1000),
    'POSTHOUSE_IDLE_TIMEOUT': '%dms' % (IDLE * 1000),
    'POSTHOUSE_ANSWER_TIMEOUT': '%dms' % (ANSWER * 1000),
    'POSTHOUSE_CONNECT_TIMEOUT': '%dms' % (CONNECT * 1000),
    'POSTHOUSE_QUEUE_TIMEOUT': '1s',
}


def base_url(upstream, name):
    """One server, one base URL for each account, so that a script meets whichever account is chosen first."""
    return upstream.url.replace('/v1', '/%s/v1' % name)


class World:
    def __init__(self, make_cluster, make_upstream, kind, accounts):
        self.cluster = make_cluster(SHORT)
        self.upstream = make_upstream()
        self.accounts = accounts
        for name in accounts:
            self.cluster.account(name, kind, base_url(self.upstream, name))
        self.key = self.cluster.key('k1')
        self.node = self.cluster.node()

    def reset(self):
        self.upstream.clear()
        self.cluster.fresh()


@pytest.fixture(scope='module', params=['stateless', 'platform'])
def pair(request, make_cluster, make_upstream):
    return World(make_cluster, make_upstream, request.param, ['a', 'b'])


@pytest.fixture(scope='module')
def single(make_cluster, make_upstream):
    return World(make_cluster, make_upstream, 'stateless', ['only'])


@pytest.fixture(scope='module')
def four(make_cluster, make_upstream):
    return World(make_cluster, make_upstream, 'stateless', ['a', 'b', 'c', 'd'])


@contextlib.contextmanager
def client(world):
    world.reset()
    with http.Client(world.node.url, world.key) as api:
        yield api


def created(rid):
    return raw.events(rid)[:2]


def cut_after(number, how):
    """Streams the first events of an answer, then ends as told."""
    def handler(x):
        x.start_stream()
        for piece in raw.events(raw.new_id())[:number]:
            x.chunk(piece)
        time.sleep(0.02)
        how(x)
    return handler


def failed_event(code, status='failed'):
    def handler(x):
        rid = raw.new_id()
        x.stream(created(rid) + [raw.event(2, 'response.failed', response=raw.response(
            rid, status, error={'code': code, 'message': 'no'}))])
    return handler


def error_event(x):
    rid = raw.new_id()
    x.stream(created(rid) + [raw.event(2, 'error', code='server_error', message='no', param=None)])


def error_answer(status, code, kind='server_error', headers=()):
    return lambda x: x.answer(status, {'error': {'message': 'no', 'type': kind, 'param': None, 'code': code}}, headers)


def half_event(x):
    x.start_stream()
    x.chunk(b''.join(created(raw.new_id())) + b'event: response.output_item.added\ndata: {"type":"respo')
    time.sleep(0.02)
    x.close()


def silent(x):
    x.hang()


def silent_stream(x):
    x.start_stream()
    x.hang()


BEFORE = {
    'close at once': lambda x: x.close(),
    'reset at once': lambda x: x.reset(),
    'half a head': lambda x: (x.send(b'HTTP/1.1 200 OK\r\nContent-'), time.sleep(0.02), x.close()),
    'no HTTP': lambda x: (x.send(b'220 mail.example ESMTP\r\n'), time.sleep(0.05), x.close()),
    'bare CR head': lambda x: (x.send(b'HTTP/1.1 200 OK\r\nx:\rZTransfer-Encoding: chunked\r\n\r\n'), x.hang(2)),
    'reset after the head': cut_after(0, lambda x: x.reset()),
    'end after the head': cut_after(0, lambda x: x.end_stream()),
    'reset after created': cut_after(1, lambda x: x.reset()),
    'close after created': cut_after(1, lambda x: x.close()),
    'end after created': cut_after(1, lambda x: x.end_stream()),
    'end after in_progress': cut_after(2, lambda x: x.end_stream()),
    'close after in_progress': cut_after(2, lambda x: x.close()),
    'cut in the first item event': half_event,
    'bad chunk': lambda x: (x.start_stream(), x.send(b'zz\r\n'), x.hang(2)),
    'response.failed': failed_event('server_error'),
    'response.failed limit': failed_event('rate_limit_exceeded'),
    'error event': error_event,
    'html 200': lambda x: x.answer(200, b'<html>hi</html>', content_type='text/html'),
    'html 502': lambda x: x.answer(502, b'<html>bad gateway</html>', content_type='text/html'),
    '500': error_answer(500, 'server_error'),
    '503': error_answer(503, 'server_is_overloaded', 'service_unavailable_error'),
    '529': error_answer(529, 'overloaded_error'),
    '504 empty': lambda x: x.answer(504, b''),
    '429': error_answer(429, 'rate_limit_exceeded', 'requests', [('Retry-After', '20')]),
    '429 quota': error_answer(429, 'insufficient_quota', 'insufficient_quota'),
    '401': error_answer(401, 'invalid_api_key', 'invalid_request_error'),
    'silence': silent,
    'silence after the head': silent_stream,
}


@pytest.mark.parametrize('name', BEFORE)
def test_before_the_first_item_nobody_sees_it(pair, name):
    with client(pair) as api:
        pair.upstream.then(BEFORE[name])
        turn = api.turn({'model': 'demo', 'input': 'x', 'stream': True})
    assert turn.status == 'completed' and turn.text == 'hello'
    assert turn.types.count('response.created') == 1
    turns = pair.upstream.turns()
    assert len(turns) == 2, [r.target for r in turns]
    # a connection that was kept and has died says nothing about its account: that one is dialled again, once
    assert turns[0].target != turns[1].target or name in ('close at once', 'reset at once'), turns[0].target
    assert turns[0].body == turns[1].body


WHOLE = {
    'close at once': BEFORE['close at once'],
    'reset at once': BEFORE['reset at once'],
    'half a body': lambda x: (x.head(200, [('Content-Type', 'application/json'), ('Content-Length', '500')]),
                              x.send(b'{"id":"resp_x","object":"resp'), x.close()),
    'broken JSON': lambda x: x.answer(200, b'{"id":"resp_x","object":'),
    'html 200': BEFORE['html 200'],
    'html 502': BEFORE['html 502'],
    '500': BEFORE['500'],
    '429': BEFORE['429'],
    'failed': lambda x: x.answer(200, raw.response(raw.new_id(), 'failed', error={'code': 'server_error',
                                                                                    'message': 'no'})),
    'silence': silent,
    'slow body': lambda x: (x.head(200, [('Content-Type', 'application/json'), ('Content-Length', '500')]),
                            x.send(b'{"id":'), x.hang()),
}


@pytest.mark.parametrize('name', WHOLE)
def test_answers_that_are_not_streamed_too(pair, name):
    with client(pair) as api:
        pair.upstream.then(WHOLE[name])
        turn = api.turn({'model': 'demo', 'input': 'x'})
    assert turn.status == 'completed' and turn.text == 'hello'
    assert len(pair.upstream.turns()) == 2


AFTER = {
    'close in the item': cut_after(4, lambda x: x.close()),
    'reset in the item': cut_after(4, lambda x: x.reset()),
    'end in the item': cut_after(3, lambda x: x.end_stream()),
    'close after a delta': cut_after(5, lambda x: x.close()),
    'cut in a delta': lambda x: (x.start_stream(), x.chunk(b''.join(raw.events(raw.new_id())[:5])),
                                 x.chunk(b'event: response.output_text.delta\ndata: {"type":"resp'), x.end_stream()),
    'cut in the terminal event': lambda x: (x.start_stream(), x.chunk(b''.join(raw.events(raw.new_id()))[:-200]),
                                            x.end_stream()),
    'close before the terminal event': cut_after(9, lambda x: x.close()),
    'end before the terminal event': cut_after(9, lambda x: x.end_stream()),
    'silence': cut_after(5, lambda x: x.hang()),
    'bad chunk': cut_after(5, lambda x: (x.send(b'zz\r\n'), x.hang(3))),
    'error event': lambda x: x.stream(raw.events(raw.new_id())[:5] + [raw.event(5, 'error', code='server_error',
                                                                               message='no', param=None)]),
}


@pytest.mark.parametrize('name', AFTER)
def test_after_the_first_item_there_is_one_end(pair, name):
    with client(pair) as api:
        pair.upstream.then(AFTER[name])
        turn = api.turn({'model': 'demo', 'input': 'x', 'stream': True})
        assert turn.types[-1] == 'response.failed' and turn.status == 'failed'
        assert turn.response['error']['code'] == 'server_error' and turn.response['error']['message']
        assert turn.id == turn.events[0].data['response']['id']
        assert len(pair.upstream.turns()) == 1
        # what failed cannot be continued
        pair.upstream.known.clear()
        answer = api.post({'model': 'demo', 'input': 'y', 'previous_response_id': turn.id})
        assert answer.status == 400 and answer.error['code'] == 'previous_response_not_found', answer


def test_a_terminal_event_without_its_blank_line_counts(pair):
    """Some clients dispatch it, some do not; ours gets it whole."""
    pieces = raw.events(raw.new_id())
    with client(pair) as api:
        pair.upstream.then(lambda x: x.stream([b''.join(pieces)[:-1]]))
        turn = api.turn({'model': 'demo', 'input': 'x', 'stream': True})
        assert turn.status == 'completed'
        assert api.turn({'model': 'demo', 'input': 'y', 'previous_response_id': turn.id}).status == 'completed'


@pytest.mark.parametrize('code', ['usage_limit_reached', 'insufficient_quota', 'server_is_overloaded',
                                  'rate_limit_exceeded'])
def test_a_limit_after_the_first_item_is_a_server_error(pair, code):
    """One account's limit is never shown: Codex would end the conversation on it."""
    def handler(x):
        rid = raw.new_id()
        x.stream(raw.events(rid)[:5] + [raw.event(5, 'response.failed', response=raw.response(
            rid, 'failed', error={'code': code, 'message': 'account limit'}))])
    with client(pair) as api:
        pair.upstream.then(handler)
        turn = api.turn({'model': 'demo', 'input': 'x', 'stream': True})
    assert turn.status == 'failed' and turn.response['error']['code'] == 'server_error'
    assert code.encode() not in turn.answer.body


def test_incomplete_is_an_end_of_its_own(pair):
    def handler(x):
        rid = raw.new_id()
        items = raw.events(rid)
        x.stream(items[:-1] + [raw.event(len(items) - 1, 'response.incomplete', response=raw.response(
            rid, 'incomplete', [raw.message('hello', rid)], incomplete_details={'reason': 'max_output_tokens'}))])
    with client(pair) as api:
        pair.upstream.then(handler)
        turn = api.turn({'model': 'demo', 'input': 'x', 'stream': True})
        assert turn.status == 'incomplete'
        assert api.turn({'model': 'demo', 'input': 'y', 'previous_response_id': turn.id}).status == 'completed'


@pytest.mark.parametrize('status, code', [(400, 'context_length_exceeded'), (400, None), (422, 'invalid'), (404, None),
                                          (400, 'invalid_prompt')])
def test_the_clients_own_errors_are_relayed(pair, status, code):
    body = json.dumps({'error': {'message': 'yours', 'type': 'invalid_request_error', 'param': 'input', 'code': code}},
                      indent=1).encode()
    with client(pair) as api:
        pair.upstream.then(lambda x: x.answer(status, body, [('openai-organization', 'org-x')]))
        answer = api.post({'model': 'demo', 'input': 'x', 'stream': True})
    assert answer.status == status and answer.json == json.loads(body)
    assert answer.header('openai-organization') is None
    assert len(pair.upstream.turns()) == 1


def test_at_most_three_accounts(four):
    with client(four) as api:
        four.upstream.then(*[BEFORE['500']] * 4)
        answer = api.post({'model': 'demo', 'input': 'x', 'stream': True})
    assert answer.status == 503 and answer.error['code'] == 'server_error', answer
    assert int(answer.header('retry-after')) >= 1
    targets = [r.target for r in four.upstream.turns()]
    assert len(targets) == 3 and len(set(targets)) == 3, targets


def test_retries_are_counted(pair):
    with client(pair) as api:
        before = pair.node.metric('posthouse_retries_total'), pair.node.metric('posthouse_upstream_attempts_total')
        pair.upstream.then(BEFORE['500'])
        api.turn({'model': 'demo', 'input': 'x'})
        http.eventually(lambda: (pair.node.metric('posthouse_retries_total'),
                                 pair.node.metric('posthouse_upstream_attempts_total')) == (before[0] + 1, before[1] + 2))
    http.eventually(lambda: pair.cluster.sql(
        'SELECT attempts, error FROM posthouse_admin.requests ORDER BY started DESC LIMIT 1') == [(2, None)],
                    what='a turn that succeeded on its second attempt reports no error')


@pytest.mark.parametrize('faults', [1, 2, 3])
def test_the_only_account_is_asked_again(single, faults):
    """200 ms x 2^n between the attempts, at most three more."""
    with client(single) as api:
        single.upstream.then(*[BEFORE['500']] * faults)
        turn = api.turn({'model': 'demo', 'input': 'x', 'stream': True})
    assert turn.status == 'completed'
    times = [r.at for r in single.upstream.turns()]
    assert len(times) == faults + 1
    for n, (before, after) in enumerate(zip(times, times[1:])):
        assert 0.1 * 2 ** n < after - before < 2.0 + 2 * 2 ** n, times


def test_a_kept_connection_that_has_died_is_redialled(single):
    with client(single) as api:
        api.turn({'model': 'demo', 'input': 'x'})
        first = single.upstream.turns()[-1].connection
        single.upstream.then(lambda x: x.close())  # reads the second request on the kept connection, says nothing
        assert api.turn({'model': 'demo', 'input': 'y'}).status == 'completed'
    assert len(single.upstream.turns()) == 3
    assert single.upstream.turns()[-2].connection == first, 'the connection was kept'


def test_connect_refused(make_cluster, make_upstream):
    cluster, upstream = make_cluster(SHORT), make_upstream()
    with socket.create_server(('127.0.0.1', 0)) as gone:
        dead = 'http://127.0.0.1:%d/v1' % gone.getsockname()[1]
    cluster.account('dead', 'stateless', dead)
    cluster.account('live', 'stateless', upstream.url)
    key, node = cluster.key('k1'), cluster.node()
    with http.Client(node.url, key) as api:
        for _ in range(4):
            assert api.turn({'model': 'demo', 'input': 'x', 'stream': True}).status == 'completed'
    assert node.metric('posthouse_retries_total') >= 1, 'the dead account was never tried'


def test_connect_timeout(make_cluster, make_upstream):
    """A host that drops what is sent to it: a listener whose queue is full."""
    cluster, upstream = make_cluster(SHORT), make_upstream()
    with socket.socket() as deaf, contextlib.ExitStack() as fillers:
        deaf.bind(('127.0.0.1', 0))
        deaf.listen(0)
        for _ in range(4):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(deaf.getsockname())
        cluster.account('deaf', 'stateless', 'http://127.0.0.1:%d/v1' % deaf.getsockname()[1])
        cluster.account('live', 'stateless', upstream.url)
        key, node = cluster.key('k1'), cluster.node()
        with http.Client(node.url, key) as api:
            start = time.monotonic()
            for _ in range(3):
                assert api.turn({'model': 'demo', 'input': 'x'}).status == 'completed'
            assert CONNECT < time.monotonic() - start < CONNECT * 10


def test_nobody_answers(pair):
    """Silence everywhere ends in a 503, not in silence."""
    with client(pair) as api:
        pair.upstream.then(silent, silent, silent, silent, silent)
        start = time.monotonic()
        answer = api.post({'model': 'demo', 'input': 'x', 'stream': True})
        took = time.monotonic() - start
    assert answer.status in (503, 504) and int(answer.header('retry-after')) >= 1, answer
    assert FIRST_EVENT < took < FIRST_EVENT * 10


class Reader(threading.Thread):
    """Reads a stream as it comes, with times."""

    def __init__(self, world, body):
        super().__init__(daemon=True)
        self.api = http.Client(world.node.url, world.key)
        self.body = body
        self.found, self.times = b'', []
        self.status = None
        self.start_time = time.monotonic()
        self.start()

    def run(self):
        answer = self.api.open('POST', '/v1/responses', self.body)
        self.status = answer.status
        while True:
            piece = answer.read1(65536)
            if not piece:
                return
            self.times.append(time.monotonic() - self.start_time)
            self.found += piece

    def finish(self):
        self.join(30)
        assert not self.is_alive()
        return http.Turn(http.Answer(self.status, [], self.found), True)


def test_held_events_come_after_the_hold_time(pair):
    go = threading.Event()

    def handler(x):
        pieces = raw.events(raw.new_id())
        x.start_stream()
        for piece in pieces[:2]:
            x.chunk(piece)
        go.wait(10)
        for piece in pieces[2:]:
            x.chunk(piece)
        x.end_stream()
    pair.reset()
    pair.upstream.then(handler)
    reader = Reader(pair, {'model': 'demo', 'input': 'x', 'stream': True})
    time.sleep(HOLD / 2)
    assert reader.found == b''
    http.eventually(lambda: b'response.created' in reader.found, within=HOLD * 10)
    go.set()
    turn = reader.finish()
    assert reader.times[0] > HOLD * 0.8, reader.times
    assert turn.status == 'completed' and len(pair.upstream.turns()) == 1


def test_a_failure_after_the_hold_time_is_visible_once(pair):
    def handler(x):
        x.start_stream()
        for piece in created(raw.new_id()):
            x.chunk(piece)
        time.sleep(HOLD + 0.3)
        x.close()
    with client(pair) as api:
        pair.upstream.then(handler)
        turn = api.turn({'model': 'demo', 'input': 'x', 'stream': True})
    assert turn.status == 'failed' and turn.types[0] == 'response.created'
    assert len(pair.upstream.turns()) == 1


def test_keepalives_fill_silence(pair):
    """They are events with numbers; what follows is renumbered, and is otherwise what upstream sent."""
    pieces = raw.events(raw.new_id())

    def handler(x):
        x.start_stream()
        for n, piece in enumerate(pieces):
            if n in (3, 6):
                time.sleep(KEEPALIVE * 2.5)
            x.chunk(piece)
        x.end_stream()
    with client(pair) as api:
        pair.upstream.then(handler)
        turn = api.turn({'model': 'demo', 'input': 'x', 'stream': True})
        alive = [e for e in turn.events if e.type == 'keepalive']
        assert 2 <= len(alive) <= 6, turn.types
        assert all(set(e.data) == {'type', 'sequence_number'} for e in alive)
        rest = [e for e in turn.events if e.type != 'keepalive']
        assert [e.raw.replace(b'"sequence_number":%d' % e.data['sequence_number'], b'"sequence_number":%d' % n)
                for n, e in enumerate(rest)] == pieces
        assert 'keepalive' not in turn.types[:2]
    assert pair.node.metric('posthouse_keepalives_sent_total') >= len(alive)


def test_no_keepalive_before_created(pair):
    def handler(x):
        x.start_stream()
        time.sleep(KEEPALIVE * 2.5)
        for piece in raw.events(raw.new_id()):
            x.chunk(piece)
        x.end_stream()
    with client(pair) as api:
        pair.upstream.then(handler)
        turn = api.turn({'model': 'demo', 'input': 'x', 'stream': True})
    assert turn.types[0] == 'response.created' and 'keepalive' not in turn.types


@pytest.mark.parametrize('stage', ['before the head', 'after the head', 'held', 'in the item', 'not streamed'])
def test_a_client_that_leaves_cancels_upstream(pair, stage):
    """Within 100 ms; asserted at ten times that."""
    left, seen = threading.Event(), threading.Event()
    took = []

    def handler(x):
        if stage not in ('before the head', 'not streamed'):
            x.start_stream()
            for piece in raw.events(raw.new_id())[:{'after the head': 0, 'held': 2, 'in the item': 5}[stage]]:
                x.chunk(piece)
        seen.set()
        left.wait(10)
        took.append(x.hang(5))
    pair.reset()
    pair.upstream.then(handler)
    api = http.Client(pair.node.url, pair.key)
    if stage == 'in the item':
        answer = api.open('POST', '/v1/responses', {'model': 'demo', 'input': 'x', 'stream': True})
        assert answer.read1(10)
        sock = api.connection.sock or answer.fp.raw._sock  # pylint: disable=protected-access
    else:
        api.connection = None
        body = json.dumps({'model': 'demo', 'input': 'x', 'stream': stage != 'not streamed'}).encode()
        sock = socket.create_connection(('127.0.0.1', pair.node.port))
        sock.sendall(b'POST /v1/responses HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n'
                     % (pair.key.encode(), len(body)) + body)
    assert seen.wait(5)
    time.sleep(0.05)
    left.set()
    if stage == 'in the item':
        sock.shutdown(socket.SHUT_RDWR)
        answer.close()
        api.close()
    else:
        sock.close()
    http.eventually(lambda: took, within=10)
    assert took[0] is not None and took[0] < 1.0, took
    figure('cancelled upstream after %.1f ms (%s)' % (took[0] * 1000, stage))
    assert len(pair.upstream.turns()) == 1
    http.eventually(lambda: pair.node.metric('posthouse_streams_active') == 0)


def test_a_slow_reader_stops_upstream(single):
    """Back-pressure: a client that does not read bounds what the node keeps, and upstream waits."""
    sent = [0]

    def handler(x):
        rid = raw.new_id()
        x.start_stream()
        for piece in raw.events(rid)[:4]:
            x.chunk(piece)
        x.sock.settimeout(2)
        delta = raw.event(4, 'response.output_text.delta', item_id='m', output_index=0, content_index=0, delta='a' * 65000)
        with contextlib.suppress(OSError):
            for _ in range(4000):
                x.chunk(delta)
                sent[0] += len(delta)
        x.close()
    single.reset()
    before = single.node.rss_kib()
    single.upstream.then(handler)
    with http.Client(single.node.url, single.key) as api:
        answer = api.open('POST', '/v1/responses', {'model': 'demo', 'input': 'x', 'stream': True})
        time.sleep(3)
        grown = single.node.rss_kib() - before
        assert answer.status == 200
    assert sent[0] < 128 << 20, sent
    assert grown < 96 << 10, '%d KiB more' % grown
