# SPDX-License-Identifier: Apache-2.0
"""A client's WebSocket: the handshake, frames, lanes, warm-ups, errors, and how it ends. What becomes of the turns
upstream is test_ws_upstream.py's."""
import contextlib
import json
import signal
import ssl
import threading
import time

import pytest

import client as http
from authority import Authority
from conversation import Context, Conversation
from fake_upstream import marker
from harness import figure
from wsclient import Closed, Refused, Socket, Turn
from wspeer import Wire, frame
from wsworld import SPREAD_S, World, warmed

PATHS = ['/v1/responses', '/backend-api/codex/responses']
PLAIN = {'model': 'demo', 'input': 'hello'}
KINDS = ['p1', 'x1', 's1']


@pytest.fixture(scope='module')
def shared(make_cluster):
    return World(make_cluster())


@pytest.fixture(scope='module')
def small(shared):
    return shared.cluster.node(env={'POSTHOUSE_MAX_BODY': '64KiB'})


@pytest.fixture
def world(shared):
    shared.reset()
    yield shared
    shared.check()


def wire(world, *names, node=None, path='/v1/responses', headers=None, **options):
    node = node or world.node
    return Wire('127.0.0.1', node.port, path,
                {'Authorization': 'Bearer ' + world.key(*names), **(headers or {})}, **options)


def error_of(event, status, code):
    """An error frame as clients want it: wrapped, with all members, never flat."""
    data = event if isinstance(event, dict) else event.data
    assert data['type'] == 'error' and data['status'] == status, data
    assert set(data['error']) >= {'type', 'code', 'message', 'param'} and 'code' not in data, data
    assert data['error']['code'] == code and data['error']['message'], data
    assert data['headers']['x-request-id'], data
    return data


def still_serves(ws, text='still here'):
    Conversation().say(ws, text)


# ---- the handshake ----

@pytest.mark.parametrize('path', PATHS)
def test_handshake(world, path):
    peer = wire(world, 'p1', path=path, headers={'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits'})
    assert peer.accepted()
    assert 'sec-websocket-extensions' not in peer.headers and 'content-length' not in peer.headers
    assert peer.headers['x-request-id'] and peer.headers['x-posthouse-node'] == world.node.name
    peer.close()
    with world.socket('p1', path=path) as ws:
        still_serves(ws)


@pytest.mark.parametrize('headers, status, code', [
    ({'Authorization': None}, 401, 'invalid_api_key'),
    ({'Authorization': 'Bearer ph_nobody'}, 401, 'invalid_api_key'),
    ({'Sec-WebSocket-Version': '8'}, 426, 'websocket_unavailable'),
    ({'Sec-WebSocket-Version': None}, 426, 'websocket_unavailable'),
    ({'Upgrade': 'h2c'}, 405, 'method_not_supported'),  # an offer that is left unanswered
    ({'Upgrade': 'tls/1.3'}, 426, 'websocket_unavailable'),
    ({'Sec-WebSocket-Key': 'c2hvcnQ='}, 400, 'bad_request'),
    ({'Sec-WebSocket-Key': None}, 400, 'bad_request'),
])
def test_handshakes_that_are_refused(world, headers, status, code):
    peer = wire(world, 'p1', headers=headers)
    assert peer.status == status and json.loads(peer.body)['error']['code'] == code, (peer.status, peer.body)
    peer.close()


@pytest.mark.parametrize('method, path', [('GET', '/v1/models'), ('POST', '/v1/responses')])
def test_upgrades_of_something_else(world, method, path):
    peer = wire(world, 'p1', path=path, method=method, headers={'Content-Length': '0'} if method == 'POST' else None)
    assert peer.status == 426, peer.status
    peer.close()


def test_without_an_upgrade_it_is_no_socket(world):
    assert http.once(world.node.url, world.key('p1'), 'GET', '/v1/responses').status == 405


def test_switched_off(world):
    node = world.cluster.node(env={'POSTHOUSE_WEBSOCKET': 'off'})
    with pytest.raises(Refused) as refused:
        Socket(node.url, world.key('p1'))
    assert refused.value.status == 426
    with http.Client(node.url, world.key('p1')) as api:
        still_serves(api)


def test_a_key_without_an_account_upgrades(world):
    """What the turn lacks is told to the turn."""
    world.pause('s2')
    with world.socket('s2') as ws:
        found = error_of(ws.ask(PLAIN).error, 503, 'no_accounts')
        assert int(found['headers']['retry-after']) >= 1
        world.resume('s2')
        still_serves(ws)


def test_behind_tls(world, tmp_path):
    authority = Authority(tmp_path)
    cert, key = authority.issue('ws', 'DNS:localhost,IP:127.0.0.1')
    node = world.cluster.node(env={'POSTHOUSE_TLS_CERT_FILE': str(cert), 'POSTHOUSE_TLS_KEY_FILE': str(key)})
    context = ssl.create_default_context(cafile=authority.cert)
    with Socket(node.url, world.key('p1'), ssl=context) as ws:
        conversation = Conversation()
        for turn in range(3):
            conversation = conversation.say(ws, 'turn %d %s' % (turn, 'x' * 100000), store=False)


# ---- lanes ----

def create(ws, text, lane=None, **members):
    ws.send(dict({'type': 'response.create', 'model': 'demo', 'input': text}, **members,
                 **({'stream_id': lane} if lane else {})))


def hear_lanes(ws, lanes):
    """One turn of each, however they mix. Returns events by lane."""
    found = {lane: [] for lane in lanes}
    left = set(lanes)
    while left:
        event = ws.receive()
        lane = event.data.get('stream_id')
        assert lane in left, event
        found[lane].append(event)
        if event.type in http.TERMINAL:
            left.remove(lane)
    for lane, events in found.items():
        http.check_stream(events, True)
        assert all(event.data.get('stream_id') == lane for event in events)
    return found


@pytest.mark.parametrize('name', KINDS)
@pytest.mark.parametrize('lane', [None, 'a'])
def test_one_lane_is_in_order(world, name, lane):
    with world.socket(name) as ws:
        for number in range(5):
            create(ws, 'number %d' % number, lane, store=False)
        for number in range(5):
            turn = ws.hear(lane)
            assert turn.text == Context().add('user:number %d' % number).words + 'number %d' % number
    assert world.upstream.stats(name)['max_running'] == 1


@pytest.mark.parametrize('name', KINDS)
def test_lanes_side_by_side(world, name):
    """16 at a time; each its own conversation, its own ids and numbers; no turn is lost that had to wait."""
    lanes = [None] + ['lane-%d.x_Y' % n for n in range(23)]
    conversations = {lane: Conversation() for lane in lanes}
    with world.socket(name) as ws:
        for round_ in range(3):
            pace = marker(first_delay_ms=300) if round_ == 0 else marker(deltas=4, delay_ms=10)
            for lane in lanes:
                create(ws, '%s %d %s' % (lane, round_, pace), lane, store=False,
                       previous_response_id=conversations[lane].anchor)
            for lane, events in hear_lanes(ws, lanes).items():
                text = '%s %d %s' % (lane, round_, pace)
                context = conversations[lane].context.add('user:' + text)
                said = ''.join(part['text'] for item in events[-1].data['response']['output'] for part in item['content'])
                assert said == context.words + text, (lane, round_, said)
                conversations[lane] = Conversation(context.add('assistant:' + said), events[-1].data['response']['id'])
    assert world.upstream.stats(name)['max_running'] == 16


def test_a_lane_does_not_wait_for_another(world):
    with world.socket('p1') as ws:
        create(ws, 'slow ' + marker(fault='silence', at='item', for_ms=1500), 'slow')
        create(ws, 'quick', 'quick')
        seen = []
        while len(seen) < 2:
            event = ws.receive()
            if event.type in http.TERMINAL:
                seen.append(event.data['stream_id'])
        assert seen == ['quick', 'slow']


def test_a_lane_that_waits_has_its_turn(world):
    """Before others have a third one, however much they sent ahead."""
    with world.socket('s1') as ws:
        busy = ['n%d' % n for n in range(16)]
        for number in range(3):
            for lane in busy:
                create(ws, 'x%d ' % number + marker(first_delay_ms=100), lane)
        create(ws, 'late', 'late')
        ends = []
        while len(ends) < 49:
            event = ws.receive()
            if event.type in http.TERMINAL:
                ends.append(event.data['stream_id'])
        assert ends.index('late') <= 34, ends.index('late')


def test_a_lane_continues_another(world):
    """A branch: both go on, each on its own socket."""
    with world.socket('x1') as ws:
        trunk = ws.turn(dict(PLAIN, store=False), 'a')
        left = ws.turn(dict(PLAIN, store=False, previous_response_id=trunk.id), 'a')
        right = ws.turn(dict(PLAIN, store=False, previous_response_id=trunk.id), 'b')
        assert left.text == right.text and left.text.startswith('seen 3 ')
        for turn, lane in ((left, 'a'), (right, 'b'), (trunk, None)):
            assert ws.turn(dict(PLAIN, store=False, previous_response_id=turn.id), lane).status == 'completed'


def test_at_most_32_names(world):
    with world.socket('s1') as ws:
        for number in range(32):
            ws.turn(PLAIN, stream_id='n%d' % number)
        found = error_of(ws.ask(PLAIN, stream_id='n32').error, 400, 'websocket_stream_limit_reached')
        assert found['stream_id'] == 'n32' and found['error']['param'] == 'stream_id'
        ws.turn(PLAIN)
        ws.turn(PLAIN, stream_id='n7')


@pytest.mark.parametrize('name', ['', 'a b', 'a' * 257, 'ä', 'a/b', 7, {}, True])
def test_names_that_are_none(world, name):
    with world.socket('p1') as ws:
        ws.send(dict(PLAIN, type='response.create', stream_id=name))
        found = error_of(ws.receive(), 400, 'invalid_stream_id')
        assert found['error']['param'] == 'stream_id' and 'stream_id' not in found
        still_serves(ws)
    assert len(world.asked('p1')) == 1


def test_the_longest_name_and_none(world):
    with world.socket('p1') as ws:
        ws.turn(PLAIN, stream_id='Z' * 256)
        ws.send(dict(PLAIN, type='response.create', stream_id=None))
        ws.hear()


@pytest.mark.parametrize('name', KINDS)
def test_members_of_http_are_ignored(world, name):
    conversation = Conversation()
    with world.socket(name) as ws:
        for members in ({'stream': True}, {'stream': False}, {'background': True}, {'stream': None, 'background': False}):
            conversation = conversation.say(ws, 'with %s' % members, store=False, **members)
    for request in world.asked(name):
        body = json.loads(request['body'])
        assert 'background' not in body
        assert ('stream' in body) == (request['transport'] == 'http') and body.get('stream', True) is True


def test_sending_ahead(world, small):
    """More than may wait: reading stops and goes on, pings are answered all the same, and every turn comes."""
    with Socket(small.url, world.key('s1')) as ws:
        texts = ['%d %s ' % (n, 'x' * 20000) + marker(first_delay_ms=50) for n in range(12)]
        for text in texts:
            create(ws, text)
        for text in texts:
            assert ws.hear().text.startswith(Context().add('user:' + text).words)


# ---- warm-ups ----

WAYS = {'the same socket': lambda world, name, ws: ws,
        'another socket': lambda world, name, ws: world.socket(name),
        'another node': lambda world, name, ws: world.socket(name, node=1),
        'http': lambda world, name, ws: world.http(name),
        'http elsewhere': lambda world, name, ws: world.http(name, node=1)}


@pytest.mark.parametrize('way', WAYS)
@pytest.mark.parametrize('name', KINDS)
def test_warm_ups_are_continued(world, name, way):
    with world.socket(name) as ws:
        warm = warmed(ws, store=False)
        if way != 'the same socket':
            ws.close()
        with WAYS[way](world, name, ws) as client:
            warm.say(client, 'and now', store=False).say(client, 'and on', store=False)
    asked = world.asked(name)
    assert len(asked) == (2 if name == 's1' else 3)  # where it is HTTP the warm-up goes nowhere
    if way == 'the same socket' and name != 's1':
        assert json.loads(asked[1]['body'])['previous_response_id'] == warm.anchor
        assert world.upstream.stats(name)['warmups'] == 1


def test_a_warm_up_has_two_events_and_no_usage(world):
    for name in KINDS:
        with world.socket(name) as ws:
            turn = ws.turn(dict(PLAIN, generate=False, store=False), stream_id='w')
            assert turn.types[0] == 'response.created' and turn.types[-1] == 'response.completed'
            assert set(turn.types[1:-1]) <= {'response.in_progress'}
            assert turn.response['usage']['total_tokens'] == 0 and turn.response['output'] == []


@pytest.mark.parametrize('policy', ['none', 'stored'])
@pytest.mark.parametrize('name', KINDS)
def test_warm_ups_without_a_row(world, name, policy):
    """The lane remembers them, also where its upstream socket is lost; nobody else does."""
    with world.socket(name, policy=policy) as ws:
        warm = warmed(ws, store=False)
        world.upstream.close_idle(abort=True)
        warm.say(ws, 'and now', store=False)
        with world.socket(name, policy=policy) as other:
            turn = other.ask(dict(PLAIN, previous_response_id=warm.anchor, store=False))
            error_of(turn.error, 400, 'previous_response_not_found')


# ---- steering ----

def test_steering_is_declined(world):
    words = [{'type': 'message', 'role': 'user', 'content': 'turn "left"'}]
    with world.socket('p1') as ws:
        create(ws, 'long ' + marker(fault='silence', at='item', for_ms=500), 'a')
        first = ws.receive()
        ws.send({'type': 'response.steer', 'previous_response_id': first.data['response']['id'], 'input': words,
                 'stream_id': 'a'})
        events = [first]
        while events[-1].type != 'response.completed':
            events.append(ws.receive())
        steered = [e.data for e in events if e.type.startswith('response.steer')]
        assert len(steered) == 1 and steered[0]['type'] == 'response.steer.failed', steered
        assert steered[0]['error']['code'] == 'steering_not_supported' and steered[0]['stream_id'] == 'a'
        assert steered[0]['steer'] == {'input': words, 'previous_response_id': first.data['response']['id']}
        http.check_stream([e for e in events if not e.type.startswith('response.steer')], True)
        still_serves(ws)


# ---- frames that are no turns ----

@pytest.mark.parametrize('text, code', [
    ('nonsense', 'invalid_json'), ('', 'invalid_json'), ('{"type":"response.create"', 'invalid_json'),
    ('[]', 'invalid_json'), ('"response.create"', 'invalid_json'), ('null', 'invalid_json'),
    ('{"type":"response.create","model":"demo","input":"\\ud800"} x', 'invalid_json'),
    ('{}', 'invalid_event'), ('{"type":7}', 'invalid_event'), ('{"type":null}', 'invalid_event'),
    ('{"type":"response.processed"}', 'invalid_event'), ('{"type":"response.interrupt","stream_id":"a"}', 'invalid_event'),
    ('{"type":"response.create","model":"demo","input":7}', 'invalid_type'),
    ('{"type":"response.create","model":"demo","input":"x","previous_response_id":7}', None),
    ('{"type":"response.create","model":"demo","input":"x","previous_response_id":"resp_1","conversation":"c"}', None),
])
def test_frames_that_are_no_turns(world, text, code):
    with world.socket('p1') as ws:
        ws.send(text)
        found = ws.receive().data
        assert found['type'] == 'error' and found['status'] == 400 and found['headers']['x-request-id'], found
        assert found['error']['type'] == 'invalid_request_error' and set(found['error']) >= {'code', 'message', 'param'}
        if code:
            assert found['error']['code'] == code, found
        assert found.get('stream_id') == ('a' if '"a"' in text else None)
        still_serves(ws)
    assert len(world.asked('p1')) == 1


def masked(text, opcode=1, **options):
    return frame(opcode, text if isinstance(text, bytes) else text.encode(), **options)


CREATE = json.dumps({'type': 'response.create', 'model': 'demo', 'input': 'h\u00e9llo'}, ensure_ascii=False).encode()


ENDS = {
    'binary': (masked(b'\x00\x01', opcode=2), 1003),
    'bad UTF-8': (masked(b'{"type":"\xff"}'), 1007),
    'half a character': (masked(b'{"type":"\xc3'), 1007),
    'a surrogate': (masked(b'\xed\xa0\x80'), 1007),
    'unmasked': (masked(CREATE, mask=False), 1002),
    'a reserved bit': (masked(CREATE, rsv=4), 1002),
    'an unknown opcode': (masked(CREATE, opcode=3), 1002),
    'a fragment of nothing': (masked(b'', opcode=0), 1002),
    'a message within another': (masked(b'a', fin=False) + masked(b'b'), 1002),
    'a large ping': (masked(b'x' * 126, opcode=9), 1002),
    'a fragmented ping': (masked(b'x', opcode=9, fin=False), 1002),
    'half a close code': (masked(b'\x03', opcode=8), 1002),
    'a close code that is none': (masked(b'\x03\xed', opcode=8), 1002),
    'goodbye': (masked(b'\x03\xe8bye', opcode=8), 1000),
    'a close code of its own': (masked(b'\x0f\xa0', opcode=8), 4000),
    'without a code': (masked(b'', opcode=8), 1005),
}


@pytest.mark.parametrize('how', ENDS)
def test_how_frames_end_a_socket(world, how):
    data, code = ENDS[how]
    peer = wire(world, 'p1')
    peer.send(data)
    assert peer.closed() == code
    peer.close()


def test_oversized_messages(world, small):
    """Above the maximum: an error, and the socket stays. Four times: it does not."""
    with Socket(small.url, world.key('p1')) as ws:
        for size in (65536, 100000, 4 * 65536 - 200):
            create(ws, 'x' * size)
            assert error_of(ws.receive(), 400, 'payload_too_large')['error']['param'] == 'input'
        Conversation().say(ws, 'y' * 60000)
    data = masked(b'x' * (4 * 65536 + 1))
    for _ in range(20):  # the code arrives also where all of it was under way already
        peer = wire(world, 'p1', node=small)
        peer.send(data)
        assert peer.closed() == 1009
        peer.close()


def hears(peer, text):
    """A turn on bare bytes."""
    while True:
        event = json.loads(peer.message())
        if event['type'] in http.TERMINAL:
            assert event['type'] == 'response.completed', event
            said = event['response']['output'][0]['content'][0]['text']
            assert said == Context().add('user:' + text).words + text, said
            return


def test_frames_cut_at_every_byte(world):
    peer, whole = wire(world, 's1'), masked(CREATE)
    for at in range(1, len(whole)):
        peer.send(whole[:at])
        peer.send(whole[at:])
        hears(peer, 'h\u00e9llo')
    for at in range(len(whole)):
        peer.send(whole[at:at + 1])
    hears(peer, 'h\u00e9llo')
    peer.send(whole * 3)
    for _ in range(3):
        hears(peer, 'h\u00e9llo')
    peer.close()


def test_a_frame_with_the_handshake(world):
    head = ('GET /v1/responses HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n'
            'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nAuthorization: Bearer %s\r\n\r\n')
    peer = wire(world, 's1', handshake=(head % world.key('s1')).encode() + masked(CREATE))
    assert peer.status == 101
    hears(peer, 'h\u00e9llo')
    peer.close()


@pytest.mark.parametrize('size', [1, 7, 40])
def test_fragments_with_pings_between(world, size):
    """Through the middle of characters, too; each ping is answered in its order, before the message is whole."""
    peer = wire(world, 's1')
    pieces = [CREATE[at:at + size] for at in range(0, len(CREATE), size)]
    for number, piece in enumerate(pieces[:-1]):
        peer.send(masked(piece, opcode=0 if number else 1, fin=False))
        peer.send(masked(b'ping %d' % number, opcode=9))
    for number in range(len(pieces) - 1):
        assert peer.read() == (10, True, b'ping %d' % number)
    peer.send(masked(pieces[-1], opcode=0))
    hears(peer, 'h\u00e9llo')
    peer.close()


def test_a_flood_of_pings(world):
    """Whoever pings and does not read is not answered for ever; afterwards all is as before."""
    peer = wire(world, 's1')
    before = world.node.rss_kib()
    flood = b''.join(masked(b'%07d' % number + b'.' * 118, opcode=9) for number in range(2000))
    for _ in range(20):
        peer.send(flood)
    peer.send(masked(b'last', opcode=9))
    grown = world.node.rss_kib() - before
    pongs = [peer.read()]
    while pongs[-1][2] != b'last':
        pongs.append(peer.read())
    assert all(opcode == 10 for opcode, _, _ in pongs) and len(pongs) <= 40001
    peer.send(masked(CREATE))
    hears(peer, 'h\u00e9llo')
    peer.close()
    figure('40,000 pings that nobody read: %d pongs, %d KiB' % (len(pongs), grown))
    assert grown < 65536


# ---- how long it may be quiet ----

def test_keepalive_events(world, impatient):
    """While nothing has come yet but `created`, and in the middle of an answer; from every kind of account."""
    thinking = []
    with contextlib.ExitStack() as stack:
        for name in KINDS:
            ws = stack.enter_context(Socket(impatient.url, world.key(name)))
            for lane, at in ((None, 'created'), ('a', 'item')):
                create(ws, 'thinks ' + marker(fault='silence', at=at, for_ms=2300), lane, store=False)
            thinking.append(ws)
        for ws in thinking:
            for events in hear_lanes(ws, [None, 'a']).values():  # numbers without a gap, the lane's name on each
                types = [event.type for event in events]
                assert 'keepalive' in types and types[-1] == 'response.completed', types


@pytest.fixture(scope='module')
def impatient(shared):
    return shared.cluster.node(env={'POSTHOUSE_KEEPALIVE_INTERVAL': '1s', 'POSTHOUSE_HOLD_TIMEOUT': '1s'})


# ---- the end ----

def test_drain(world):
    """1012 between turns: at once where none runs, else behind the last; the other node goes on. What had been waiting is
    not begun: the close says that it is to be sent again. Who asks for a socket now is sent elsewhere in plain HTTP."""
    node = world.cluster.node()
    with contextlib.ExitStack() as stack:
        talks = []
        for name in KINDS:
            idle, busy = (stack.enter_context(Socket(node.url, world.key(name))) for _ in range(2))
            resting = Conversation().say(idle, 'resting', store=False)
            first = Conversation().say(busy, 'first', store=False)
            text = 'long ' + marker(fault='silence', at='item', for_ms=1500)
            create(busy, text, store=False, previous_response_id=first.anchor)
            create(busy, 'too late', store=False)
            talks.append((name, idle, busy, resting, first.context.add('user:' + text)))
        for _, _, busy, _, _ in talks:
            busy.heard = [busy.receive()]
        node.signal(signal.SIGTERM)
        for _, idle, _, _, _ in talks:
            with pytest.raises(Closed) as closed:
                idle.receive()
            assert closed.value.code == 1012
        with pytest.raises(Refused) as refused:
            Socket(node.url, world.key('p1'))
        assert refused.value.status == 503 and int(dict(refused.value.headers)['retry-after']) >= 1
        for name, _, busy, resting, context in talks:
            while busy.heard[-1].type not in http.TERMINAL:
                busy.heard.append(busy.receive())
            turn = Turn(busy.heard)
            with pytest.raises(Closed) as closed:
                busy.receive()
            assert closed.value.code == 1012
            with world.socket(name, node=1) as ws:
                resting.say(ws, 'elsewhere')
                Conversation(context.add('assistant:' + turn.text), turn.id).say(ws, 'elsewhere')
            assert 'too late' not in ''.join(r['body'] for r in world.asked(name))
    node.stop(asked=True)


def test_the_end_of_a_drain(world):
    """A turn that still runs when time is up gets an end of its own, and then 1012."""
    node = world.cluster.node(env={'POSTHOUSE_DRAIN_TIMEOUT': '4s'})
    with contextlib.ExitStack() as stack:
        busy = [stack.enter_context(Socket(node.url, world.key(name))) for name in KINDS]
        for ws in busy:
            create(ws, 'long ' + marker(fault='silence', at='item'))
            ws.heard = [ws.receive()]
        node.signal(signal.SIGTERM)
        for ws in busy:
            while ws.heard[-1].type not in http.TERMINAL:
                ws.heard.append(ws.receive())
            assert Turn(ws.heard).response['error']['code'] == 'server_error'
            with pytest.raises(Closed) as closed:
                ws.receive()
            assert closed.value.code == 1012
    node.stop(asked=True, expect=1)


@pytest.mark.parametrize('how', ['cut', 'close'])
@pytest.mark.parametrize('at', ['head', 'created', 'item'])
@pytest.mark.parametrize('name', KINDS)
def test_a_client_that_goes_away_cancels(world, name, at, how):
    """Codex drops TCP without a close frame. Upstream hears of it, on every lane; nothing of it is kept."""
    ws = world.socket(name)
    lanes = [None, 'a']
    for lane in lanes:
        create(ws, 'long ' + marker(fault='silence', at=at), lane)
    http.eventually(lambda: world.upstream.stats(name)['running'] == 2, what='two turns')
    left = time.monotonic()
    getattr(ws, how)()
    world.quiet(name)
    assert time.monotonic() - left < 5
    stats = world.upstream.stats(name)
    assert stats['cancelled'] == 2 and stats['completed'] == 0 and stats['sockets'] == 0, stats
    with world.socket(name) as other:
        still_serves(other)


def test_a_client_that_goes_away_between_turns(world):
    ws = world.socket('p1')
    Conversation().say(ws, 'hello')
    assert world.upstream.stats('p1')['sockets'] == 1
    ws.cut()
    http.eventually(lambda: world.upstream.stats('p1')['sockets'] == 0, what='the upstream socket gone')


# ---- errors ----

@pytest.mark.parametrize('name', ['x1', 's1', 'p1'])
def test_previous_response_not_found(world, name):
    """One answer, whether it never was or is another key's; the socket stays, and the id never leaves."""
    with world.socket('x2', 's2', 'p2') as owner:
        mine = Conversation().say(owner, 'a secret', store=False)
    with world.socket(name) as ws:
        found = []
        for rid in (mine.anchor, 'resp_%s_nobody' % name):
            data = error_of(ws.ask(dict(PLAIN, previous_response_id=rid), stream_id='a').error, 400,
                            'previous_response_not_found')
            assert data['stream_id'] == 'a' and data['error']['param'] == 'previous_response_id'
            data['headers'].pop('x-request-id')
            found.append(json.dumps(data).replace(rid, 'ID'))
        assert found[0] == found[1]
        still_serves(ws)
    assert not [r for r in world.upstream.requests(name) if mine.anchor in r['body']]


@pytest.mark.parametrize('names, status, code', [
    (('p1', 'p2'), 429, 'rate_limit_exceeded'), (('x1', 'x2'), 429, 'usage_limit_reached'),
    (('s1', 's2'), 429, 'rate_limit_exceeded')])
def test_limits_are_the_pools(world, names, status, code):
    """Never one account's while another can serve; then a wrapped frame with a time to wait."""
    with world.socket(*names) as ws:
        first = Conversation().say(ws, 'before', store=False)
        owner = next(n for n in names if world.asked(n))
        world.upstream.account(owner, mode='limited', retry_after=50)
        second = first.say(ws, 'one is limited', store=False)
        for name in names:
            world.upstream.account(name, mode='limited', retry_after=50)
        turn = ws.ask(dict(PLAIN, store=False, previous_response_id=second.anchor), stream_id='a')
        found = error_of(turn.error, status, code)
        assert 1 <= int(found['headers']['retry-after']) <= 60 and found['stream_id'] == 'a'
        assert not any(name in found['error']['message'].partition('(request')[0] for name in names)
        if code == 'usage_limit_reached':
            assert found['error']['type'] == code and found['error']['resets_at'] > 0
        world.reset()
        second.say(ws, 'and on', store=False)


@pytest.mark.parametrize('names', [('p1', 'p2'), ('x1', 'x2'), ('s1', 's2')])
def test_failures_are_the_pools(world, names):
    with world.socket(*names) as ws:
        for mode in ('down', 'overloaded'):
            for name in names:
                world.upstream.account(name, mode=mode)
            found = error_of(ws.ask(dict(PLAIN, store=False)).error, 503, 'server_error')
            assert int(found['headers']['retry-after']) >= 1
            world.reset()
        still_serves(ws)


@pytest.mark.parametrize('status, code', [(400, 'context_length_exceeded'), (422, 'unprocessable'), (403, 'cyber_policy'),
                                          (404, 'model_not_found')])
@pytest.mark.parametrize('name', KINDS)
def test_what_the_request_did_wrong_is_told_as_it_is(world, name, status, code):
    """In upstream's words and with its status, as over HTTP."""
    text = 'x' + marker(status=status, code=code, message='Not so.', param='input', type='some_error')
    with world.socket(name) as ws, world.http(name) as api:
        found = error_of(ws.ask({'model': 'demo', 'input': text, 'store': False}, 'a').error, status, code)
        assert found['stream_id'] == 'a'
        answer = api.post({'model': 'demo', 'input': text, 'store': False})
        assert answer.status == status and answer.error == found['error'], (found, answer)
        assert found['error'] == {'message': 'Not so.', 'type': 'some_error', 'param': 'input', 'code': code}
        still_serves(ws)


@pytest.mark.parametrize('name', KINDS)
def test_too_large_for_upstream(world, name):
    """413 is repeated by clients; and who said so is nobody's business."""
    text = 'x' + marker(status=413, code='too_large', message='Too large.')
    with world.socket(name) as ws, world.http(name) as api:
        found = error_of(ws.ask({'model': 'demo', 'input': text, 'store': False}).error, 400, 'payload_too_large')
        answer = api.post({'model': 'demo', 'input': text, 'store': False})
        assert answer.status == 400 and answer.error['code'] == 'payload_too_large'
        for error in (found['error'], answer.error):
            assert name not in error['message'].partition('(request')[0], error


def test_a_key_is_looked_at_each_turn(world):
    key = world.cluster.key('for-a-while')
    with Socket(world.node.url, key) as ws:
        still_serves(ws)
        world.cluster.cli('key', 'revoke', 'for-a-while')
        time.sleep(SPREAD_S)
        turns = sum(world.turns().values())
        error_of(ws.ask(PLAIN).error, 401, 'invalid_api_key')
        assert sum(world.turns().values()) == turns


def test_a_model_that_the_key_may_not_use(world):
    key = world.cluster.key('one-model', '--model', 'demo')
    with Socket(world.node.url, key) as ws:
        error_of(ws.ask({'model': 'other', 'input': 'x'}).error, 403, 'model_not_allowed')
        still_serves(ws)


# ---- the other transport ----

@pytest.mark.parametrize('name', KINDS)
def test_conversations_change_between_transports_and_nodes(world, name):
    conversation = Conversation()
    for turn in range(12):
        with (world.socket if turn % 3 else world.http)(name, node=turn % 2) as client:
            conversation = conversation.say(client, 'turn %d' % turn, store=turn % 4 == 0)


def test_a_slow_reader_gets_it_all(world):
    """More than the buffers between take: the upstream is held back, and nothing is lost."""
    peer = wire(world, 'p1')
    peer.create('x' + marker(text_bytes=4 << 20, delta_bytes=65536))
    time.sleep(1)
    size = 0
    while True:
        event = json.loads(peer.message())
        size += len(event.get('delta', ''))
        if event['type'] in http.TERMINAL:
            break
    assert event['type'] == 'response.completed' and size == 4 << 20
    peer.close()


def test_many_sockets_at_once(world):
    """Each its own conversation, none sees another's."""
    faults, key = [], world.key('p1', 'x1', 's1')

    def talk(number):
        try:
            with Socket(world.nodes[number % 2].url, key) as ws:
                conversation = Conversation()
                for turn in range(4):
                    conversation = conversation.say(ws, 'client %d turn %d' % (number, turn), store=False)
        except Exception as fault:  # pylint: disable=broad-except
            faults.append(fault)
    threads = [threading.Thread(target=talk, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults, faults[0]
