# SPDX-License-Identifier: Apache-2.0
"""The fake upstream's WebSocket mode by itself: how it fails when told to, and how it judges bytes."""
import json
import random
import socket
import struct
import time

import pytest

import fake_upstream as fake
from test_fake_upstream_ws import (  # noqa: F401
    KINDS, asked, connect, error, response, shared, text_of, turn, types, up, user, wait_for, wire)
from wspeer import Closed, frame

# pylint: disable=redefined-outer-name


# ---- errors ----

@pytest.mark.parametrize('account', KINDS)
def test_a_status_is_a_wrapped_error(up, account):
    up.script(account, {'status': 429, 'code': 'usage_limit_reached', 'message': 'no more', 'retry_after': 120,
                        'headers': {'x-extra': 'y'}})
    with connect(up, account) as peer:
        peer.create(user('x'), **asked(account, stream_id='l'))
        event = peer.recv()
        headers = event.pop('headers')
        assert event == {'type': 'error', 'status': 429, 'stream_id': 'l', 'error': {
            'message': 'no more', 'type': 'rate_limit_error', 'param': None, 'code': 'usage_limit_reached'}}
        assert (headers['retry-after'], headers['x-extra']) == ('120', 'y')
        assert headers.get('openai-organization') == ('org-a' if account == 'a' else None)
        assert types(turn(peer, account, 'x'))[-1] == 'response.completed'
    assert [r['status'] for r in up.requests(account)] == [101, 429, 200]


@pytest.mark.parametrize('shape, wanted', [
    ('wrapped', {'type': 'error', 'status': 429, 'error': {'message': 'm', 'type': 't', 'param': None, 'code': 'c'}}),
    ('alias', {'type': 'error', 'status_code': 429, 'error': {'message': 'm', 'type': 't', 'param': None, 'code': 'c'}}),
    ('flat', {'type': 'error', 'status': 429, 'message': 'm', 'error_type': 't', 'param': None, 'code': 'c'}),
    ('typed', {'type': 'error', 'status': 429, 'error': {'type': 'c', 'message': 'm', 'param': None}}),
    ('untyped', {'status': 429, 'error': {'message': 'm', 'type': 't', 'param': None, 'code': 'c'}}),
    ('bare', {'error': {'message': 'm', 'type': 't', 'param': None, 'code': 'c'}})])
@pytest.mark.parametrize('pretty', [False, True])
def test_errors_have_many_shapes(up, shape, wanted, pretty):
    up.script('a', {'status': 429, 'code': 'c', 'type': 't', 'message': 'm', 'shape': shape, 'pretty': pretty})
    with connect(up, 'a') as peer:
        peer.create('x')
        text = peer.text()
        event = json.loads(text)
        assert ('\n' in text) == pretty and ('headers' in event) == (shape != 'bare')
        event.pop('headers', None)
        assert event == wanted


def test_errors_in_any_words(up):
    for do, wanted in (({'status': 500, 'body': {'type': 'error', 'code': 'x', 'message': 'y'}},
                        '{"type": "error", "code": "x", "message": "y"}'),
                       ({'status': 502, 'html': True}, '<html>'), ({'status': 200, 'body': 'no JSON at all'}, 'no JSON at all'),
                       ({'status': 400, 'error': {'code': 'previous_response_not_found'}},
                        '{"type":"error","status":400,"error":{"code": "previous_response_not_found"}')):
        up.script('a', do)
        with connect(up, 'a') as peer:
            peer.create('x')
            assert peer.text().startswith(wanted)


@pytest.mark.parametrize('mode, status, code', [
    ('down', 503, 'server_error'), ('limited', 429, 'rate_limit_exceeded'), ('quota', 429, 'insufficient_quota'),
    ('overloaded', 503, 'server_is_overloaded'), ('revoked', 401, 'invalid_api_key'), ('deactivated', 403, 'account_deactivated')])
def test_modes_meet_an_open_socket(up, mode, status, code):
    with connect(up, 'a') as peer:
        up.account('a', mode=mode, retry_after=9)
        events = turn(peer, 'a', 'x')
        assert error(events) == (status, code)
        assert events[-1]['headers'].get('retry-after') == ('9' if mode == 'limited' else None)
        up.account('a', mode='up')
        assert types(turn(peer, 'a', 'x'))[-1] == 'response.completed'
    assert up.stats('a')['faulted'] == 1


def test_refuse_and_silent(up):
    with connect(up, 'a') as peer:
        up.account('a', mode='refuse')
        peer.create('x')
        assert peer.ended() == 1006
    up.account('a', mode='up')
    with connect(up, 'a') as peer:
        up.account('a', mode='silent')
        peer.create('x')
        with pytest.raises(TimeoutError):
            peer.text(0.2)
        assert peer.ping()


@pytest.mark.parametrize('fault, last', [
    ('failed', 'response.failed'), ('failed_bare', 'response.failed'), ('incomplete', 'response.incomplete'),
    ('error', 'error'), ('error_nested', 'error'), ('error_wrapped', 'error')])
def test_terminal_faults(up, fault, last):
    up.script('a', {'fault': fault, 'at': 'item', 'code': 'slow_down', 'error_status': 503})
    with connect(up, 'a') as peer:
        events = turn(peer, 'a', 'x')
        assert types(events)[-1] == last and 'response.output_text.delta' in types(events)
        flat = {'error': events[-1].get('code'), 'error_wrapped': events[-1].get('status')}
        assert flat.get(fault) == {'error': 'slow_down', 'error_wrapped': 503}.get(fault)
        assert types(turn(peer, 'a', 'y'))[-1] == 'response.completed'


# ---- ends ----

ENDS = [('head', 0), ('open', 0), ('created', 2), ('added', 3), ('item', 5), ('item_done', 8), ('output', 8), ('terminal', 9)]


@pytest.mark.parametrize('at, seen', ENDS)
@pytest.mark.parametrize('fault, code', [('close', 1011), ('end', 1000), ('eof', 1006), ('reset', 1006)])
def test_ends_at_any_point(up, at, seen, fault, code):
    up.script('a', {'fault': fault, 'at': at, 'text': 'short', **({'close_code': 1011} if fault == 'close' else {})})
    with connect(up, 'a') as peer:
        peer.create('x')
        got = []
        with pytest.raises(Closed) as closed:
            while True:
                got.append(peer.recv())
        assert (closed.value.code, len(got)) == (code, seen)
    wait_for(lambda: up.stats('a')['running'] == 0)
    assert up.stats('a')['faulted'] == 1


def test_ends_behind_the_nth_event(up):
    for n in (1, 4, 7):
        up.script('x', {'fault': 'close', 'at_event': n, 'close_code': 4000 + n, 'close_reason': 'as told'})
        with connect(up, 'x') as peer:
            peer.create(user('x'), store=False)
            got = []
            with pytest.raises(Closed) as closed:
                while True:
                    got.append(peer.recv())
            assert (closed.value.code, closed.value.reason) == (4000 + n, 'as told')
            assert [e['sequence_number'] for e in got[2:]] == list(range(n))  # behind limits and turn state


@pytest.mark.parametrize('fault', ['eof', 'reset', 'silence', 'close'])
def test_cut_in_the_middle_of_a_frame(up, fault):
    up.script('a', {'fault': fault, 'at': 'cut'})
    peer = wire(up, 'a')
    peer.create('x')
    for _ in range(9):
        peer.message()
    first, second = peer.take(2)
    assert (first, second) == (0x81, 126)
    announced = int.from_bytes(peer.take(2), 'big')
    peer.socket.settimeout(0.3 if fault == 'silence' else 20)
    got = b''
    try:
        while True:
            got += peer.take(1)
    except OSError:
        pass
    assert got.startswith(b'{"type":"response.completed"') and 0.4 * announced < len(got) < 0.6 * announced
    if fault == 'silence':  # nothing may come between the bytes of a message
        peer.send(frame(9, b'ping'))
        with pytest.raises(OSError):
            peer.take(1)
    peer.close()


def test_an_error_cut_in_its_frame(up):
    up.script('a', {'status': 500, 'fault': 'eof'})
    peer = wire(up, 'a')
    peer.create('x')
    first, second = peer.take(2)
    assert first == 0x81
    announced = int.from_bytes(peer.take(2), 'big') if second == 126 else second
    peer.socket.settimeout(20)
    with pytest.raises(ConnectionError) as ended:
        peer.take(announced)
    assert b'{"type":"error"' in str(ended.value).encode()
    peer.close()


def test_codes_that_no_library_would_send(up):
    for code, payload in ((1006, b'\x03\xee'), (999, b'\x03\xe7'), (0, b''), (65535, b'\xff\xff')):
        up.script('a', {'fault': 'close', 'at': 'open', 'close_code': code})
        peer = wire(up, 'a')
        peer.create('x')
        assert peer.read() == (8, True, payload)
        peer.close()


def test_a_turn_may_end_its_socket(up):
    up.script('a', {'close': True, 'close_code': 1001, 'close_reason': 'enough'})
    with connect(up, 'a') as peer:
        assert types(turn(peer, 'a', 'x'))[-1] == 'response.completed'
        with pytest.raises(Closed) as closed:
            peer.text()
        assert (closed.value.code, closed.value.reason) == (1001, 'enough')
    up.script('a', {'raw': 'no frame'})
    peer = wire(up, 'a')
    peer.create('x')
    assert peer.take(8) == b'no frame' and peer.closed() == 1006
    peer.close()


def test_too_much_waits(up):
    up.script('a', {'fault': 'silence', 'at': 'created'})
    with connect(up, 'a') as peer:
        for _ in range(6):
            peer.create('y' * (15 << 20))
        assert peer.ended() == 1008
    stats = up.stats('a')
    assert (stats['turns'], stats['cancelled'], stats['found']['protocol']) == (1, 0, 0)


def test_pings_of_a_peer_that_does_not_read_are_bounded(up):
    peer = wire(up, 'a')
    flood = frame(9, b'x' * 125) * 8000
    peer.socket.setblocking(False)
    sent, end = 0, time.monotonic() + 20
    while time.monotonic() < end:
        try:
            sent += peer.socket.send(flood)
        except BlockingIOError:
            time.sleep(0.05)
            before = up.stats('a')['pings']
            time.sleep(0.3)
            if up.stats('a')['pings'] == before:
                break
    assert up.stats('a')['pings'] == before and 0 < sent < 100 << 20
    peer.close()


def test_silence_of_some_time_and_then(up):
    up.script('a', {'fault': 'silence', 'for_ms': 100, 'then': 'close', 'close_code': 1001, 'at': 'created'})
    with connect(up, 'a') as peer:
        peer.create('x')
        start = time.monotonic()
        assert peer.ended() == 1001 and time.monotonic() - start >= 0.1
    up.script('a', {'fault': 'silence', 'for_ms': 100, 'at': 'item'})
    with connect(up, 'a') as peer:
        assert types(turn(peer, 'a', 'x'))[-1] == 'response.completed'


def test_silence_of_one_lane(up):
    with connect(up, 'a') as peer:
        up.script('a', {'fault': 'silence', 'at': 'created'})
        peer.create('x', stream_id='dumb')
        assert [peer.recv()['type'] for _ in range(2)] == ['response.created', 'response.in_progress']
        assert types(turn(peer, 'a', 'y'))[-1] == 'response.completed'
        assert peer.ping() and up.stats('a')['running'] == 1
    wait_for(lambda: up.stats('a')['running'] == 0)
    assert up.stats('a')['cancelled'] == 1 and up.stats('a')['left'] == {'1000': 1}


def test_a_socket_serves_so_many_turns(up):
    up.account('a', do={'max_turns': 2})
    with connect(up, 'a') as peer:
        for _ in range(2):
            assert types(turn(peer, 'a', 'x'))[-1] == 'response.completed'
        assert error(turn(peer, 'a', 'x')) == (400, 'websocket_connection_limit_reached')
    with connect(up, 'a') as peer:
        assert types(turn(peer, 'a', 'x'))[-1] == 'response.completed'


# ---- orders to sockets ----

@pytest.mark.parametrize('order, code', [({'close': 1012, 'reason': 'going'}, 1012), ({'eof': True}, 1006), ({'abort': True}, 1006)])
def test_sockets_dropped_on_order(up, order, code):
    peers = [connect(up, name) for name in 'aab']
    for peer in peers:
        turn(peer, 'a', 'x')
    assert up.socket('a', **order) == 2
    for peer in peers[:2]:
        with pytest.raises(Closed) as closed:
            peer.text()
        assert (closed.value.code, closed.value.reason) == (code, order.get('reason', ''))
    assert types(turn(peers[2], 'b', 'still there'))[-1] == 'response.completed'
    for peer in peers:
        peer.close()
    assert up.stats('a')['left'] == {} and up.stats('b')['left'] == {'1000': 1}


def test_idle_connections_are_closed_with_the_others(up):
    up.script('a', {'fault': 'silence', 'at': 'created'})
    with connect(up, 'a') as busy, connect(up, 'a') as idle:
        busy.create('x')
        busy.recv()
        up.close_idle('a')
        assert idle.ended() == 1006 and busy.ping()


def test_one_socket_by_its_number(up):
    with connect(up, 'a') as first, connect(up, 'a') as second:
        numbers = [s['socket'] for s in up.sockets('a')]
        assert len(set(numbers)) == 2 and up.socket(socket=numbers[1], send={'type': 'keepalive'}, ping=True) == 1
        assert second.recv() == {'type': 'keepalive'}
        with pytest.raises(TimeoutError):
            first.text(0.1)
        wait_for(lambda: up.stats('a')['pongs'] == 1)
        assert up.socket(socket=numbers[0], send='no JSON') == 1 and first.text() == 'no JSON'
        assert up.socket('b', close=1000) == up.socket(socket=10 ** 9, close=1000) == 0


def test_an_order_in_a_running_turn(up):
    up.script('a', {'deltas': 10, 'delay_ms': 100})
    with connect(up, 'a') as peer:
        peer.create('x')
        peer.recv()
        up.socket('a', send={'type': 'unasked'})
        while peer.recv() != {'type': 'unasked'}:
            pass
        up.socket('a', close=1011)
        assert peer.ended() == 1011
    assert up.stats('a')['faulted'] == 1


def test_frames_between_turns(up):
    up.script('a', {'before': [{'type': 'early'}], 'events': [{'type': 'odd'}, 'raw'], 'after': [{'type': 'late'}]})
    with connect(up, 'a') as peer:
        peer.create('x', stream_id='l')
        got = [peer.text() for _ in range(14)]
        assert json.loads(got[0]) == {'type': 'early', 'stream_id': 'l'} and got[4] == 'raw'
        assert json.loads(got[-1]) == {'type': 'late', 'stream_id': 'l'}
        assert types(turn(peer, 'a', 'x'))[-1] == 'response.completed'


def test_deaf_sockets_answer_no_ping(up):
    with connect(up, 'a') as peer:
        assert peer.ping()
        up.socket('a', deaf=True)
        assert not peer.ping(0.3)
        assert types(turn(peer, 'a', 'x'))[-1] == 'response.completed'
        up.socket('a', deaf=False)
        assert peer.ping()
    for order in ({'upgrade': True}, {}):
        up.script('a', {'deaf': True}, **order)
        with connect(up, 'a', close_timeout=0.2) as peer:
            turn(peer, 'a', 'x')
            assert not peer.ping(0.3)
    assert up.stats('a')['pings'] == 5


# ---- the look of what is sent ----

@pytest.mark.parametrize('do', [
    {'fragment': 1, 'text': 'x'}, {'fragment': 50, 'pings': True}, {'slice': 1, 'text': 'x'}, {'slice': 101, 'slice_delay_ms': 10,
     'text': 'x', 'skip': ['response.output_text.done', 'response.content_part.done']}, {'pretty': True}, {'pings': True},
    {'deltas': 3, 'delay_ms': 20, 'stamp': True}, {'first_delay_ms': 50}, {'text_bytes': 300000, 'delta_bytes': 70000},
    {'odd': True}, {'text_bytes': 1 << 20, 'fragment': 5000, 'slice': 60000}])
def test_looks_that_change_nothing(up, do):
    up.script('a', do)
    with connect(up, 'a') as peer:
        events = turn(peer, 'a', 'x')
        assert types(events)[-1] == 'response.completed' and text_of(events).startswith(do.get('text', 'seen 1'))
        stamps = [int(e['fake_ns']) for e in events if 'fake_ns' in e]
        assert stamps == sorted(stamps) and (len(stamps) == 3) == ('stamp' in do) and all(stamps)
        wait_for(lambda: up.requests('a')[-1]['ended'])
        peer.idle(0.05)
    if 'pings' in do:
        wait_for(lambda: up.stats('a')['pongs'] >= 10)


def test_fragments_as_ordered(up):
    up.script('a', {'fragment': 40, 'pings': True, 'text': 'x'})
    peer = wire(up, 'a')
    peer.create('x')
    opcodes, text, fin = [], b'', False
    while not fin:
        opcode, end, payload = peer.read()
        opcodes.append(opcode)
        if opcode != 9:
            assert len(payload) <= 40
            text, fin = text + payload, end
    assert json.loads(text)['type'] == 'response.created'
    assert opcodes[:4] == [9, 1, 9, 0] and set(opcodes[4::2]) == {9} and set(opcodes[5::2]) == {0}
    peer.close()


def test_slices_of_many_lanes_do_not_mix(up):
    up.account('a', do={'slice': 11, 'text_bytes': 2000, 'deltas': 20, 'delay_ms': 10})
    with connect(up, 'a') as peer:
        for n in range(8):
            peer.create('x', stream_id='l%d' % n)
        left = 8
        while left:
            event = peer.recv()
            left -= event['type'] == 'response.completed'
            if event['type'] == 'response.created':
                assert peer.ping()


def test_canned_answers(up):
    up.account('a', do={'canned': True, 'text': 'fixed', 'deltas': 3, 'stamp': True})
    with connect(up, 'a') as peer:
        names = []
        for n in range(4):
            events = turn(peer, 'a', 'question %d' % n)
            assert text_of(events) == 'fixed' and types(events)[-1] == 'response.completed'
            assert {e['response']['id'] for e in events if 'response' in e} == {response(events)['id']}
            names.append(response(events)['id'])
        assert len(set(names)) == 4
        peer.create('x', stream_id='l')
        assert {e['stream_id'] for e in peer.events()} == {'l'}


# ---- peers ----

@pytest.mark.parametrize('how, code', [('close', '1000'), ('code', '1001'), ('drop', '1006')])
def test_a_peer_that_leaves_cancels(up, how, code):
    up.script('a', {'deltas': 50, 'delay_ms': 100})
    peer = connect(up, 'a')
    peer.create('x', store=True)
    name = peer.recv()['response']['id']
    peer.drop() if how == 'drop' else peer.close(1001 if how == 'code' else 1000)
    wait_for(lambda: up.stats('a')['running'] == 0)
    stats = up.stats('a')
    assert (stats['cancelled'], stats['stored'], stats['left']) == (1, 0, {code: 1})
    assert up.requests('a')[-1]['left']
    with connect(up, 'a') as again:
        assert error(turn(again, 'a', 'x', previous_response_id=name)) == (400, 'previous_response_not_found')


TEXT = json.dumps({'type': 'response.create', 'model': 'm', 'input': 'x'}).encode()


VIOLATIONS = {
    'no mask': (frame(1, TEXT, mask=False), 1002), 'first reserved bit': (frame(1, TEXT, rsv=4), 1002),
    'last reserved bit': (frame(1, TEXT, rsv=1), 1002), 'binary': (frame(2, TEXT), 1003),
    'binary in parts': (frame(2, TEXT[:9], fin=False) + frame(0, TEXT[9:]), 1003),
    'not UTF-8': (frame(1, b'"\xff"'), 1007), 'cut UTF-8': (frame(1, b'"\xc3'), 1007),
    'surrogate': (frame(1, b'"\xed\xa0\x80"'), 1007), 'long ping': (frame(9, b'x' * 126), 1002),
    'ping in parts': (frame(9, b'x', fin=False), 1002), 'opcode 3': (frame(3, b''), 1002), 'opcode 11': (frame(11, b'x'), 1002),
    'continues nothing': (frame(0, b'x'), 1002), 'text in text': (frame(1, b'x', fin=False) + frame(1, b'y'), 1002),
    'too large': (frame(1, b'x', length=1 << 25), 1009), 'negative length': (frame(1, b'x', length=1 << 63), 1002),
    'half a close code': (frame(8, b'\x03'), 1002), 'close code 1005': (frame(8, struct.pack('>H', 1005)), 1002),
    'close reason not UTF-8': (frame(8, struct.pack('>H', 1000) + b'\xff'), 1007)}


@pytest.mark.parametrize('name', VIOLATIONS)
def test_violations_are_counted_and_closed(up, name):
    data, code = VIOLATIONS[name]
    peer = wire(up, 'a')
    peer.send(data)
    assert peer.closed() == code
    peer.close()
    wait_for(lambda: not up.sockets())
    stats = up.stats('a')
    assert (stats['found']['protocol'], stats['turns'], stats['left']) == (1, 0, {})


def test_odd_but_lawful_bytes_are_none(up):
    peer = wire(up, 'a')
    pieces = frame(1, TEXT[:10], fin=False) + frame(9, b'p' * 125) + frame(0, b'', fin=False) + frame(10, b'unasked') + frame(0, TEXT[10:])
    for n in range(len(pieces)):
        peer.send(pieces[n:n + 1])
    assert peer.read() == (10, True, b'p' * 125)
    assert json.loads(peer.message())['type'] == 'response.created'
    peer.send(frame(1, TEXT) + frame(1, TEXT) + frame(8))
    assert peer.closed() in (1000, 1005)
    peer.close()
    wait_for(lambda: not up.sockets())
    stats = up.stats('a')
    assert (stats['found']['protocol'], stats['pings'], stats['pongs'], stats['left']) == (0, 1, 1, {'1005': 1})


@pytest.mark.parametrize('code', [1000, 1001, 1011, 1012, 1013, 3000, 4999])
def test_whoever_closes_first_the_other_answers(up, code):
    peer = wire(up, 'a')
    peer.send(frame(8, struct.pack('>H', code) + b'bye'))
    assert peer.closed() == code
    peer.close()
    peer = wire(up, 'a')
    start = time.monotonic()
    up.socket('a', close=code)
    assert peer.closed() == code
    peer.send(frame(8, struct.pack('>H', code)))
    with pytest.raises(ConnectionError):
        peer.take(1)
    assert time.monotonic() - start < 3  # did not wait for what had come
    peer.close()
    stats = up.stats('a')
    assert (stats['found']['protocol'], stats['left']) == (0, {str(code): 1})


def test_large_messages(up):
    with connect(up, 'a') as peer:
        given = 'y' * (3 << 20)
        assert text_of(turn(peer, 'a', given)) == fake.expected_text(['user:' + given])
        peer.send(json.dumps({'type': 'response.create', 'model': 'm', 'input': 'y' * (17 << 20)}))
        assert peer.ended() == 1009
    assert up.stats('a')['found']['protocol'] == 1


def test_whatever_peers_do_nothing_runs_on(up):
    dice = random.Random(7)
    faults = [{}, {'slice': 40}, {'deltas': 5, 'delay_ms': 10}, {'text_bytes': 1 << 20}, {'close': True}, {'status': 503},
              {'fragment': 9}, {'first_delay_ms': 30}, {'steer': 'accepted', 'deltas': 5, 'delay_ms': 10}]
    faults += [{'at': at, 'fault': fault} for at in ('head', 'item', 'cut', 'output') for fault in ('eof', 'reset', 'silence', 'close')]
    open_ones = []
    for _ in range(300):
        peer = wire(up, dice.choice('ab'))
        data = b''
        for n in range(dice.randrange(4)):
            given = 'x ' + fake.marker(**dice.choice(faults))
            data += frame(1, json.dumps({'type': 'response.create', 'model': 'm', 'input': given,
                                         **({'stream_id': 'l%d' % n} if dice.random() < 0.7 else {})}).encode())
        data += dice.choice([b'', frame(9, b'x'), frame(8, b'\x03\xe8'), frame(1, b'{}'), frame(2, b'x'), frame(1, TEXT)[:5]])
        peer.send(data)
        open_ones.append(peer)
        if len(open_ones) > 20:
            peer = open_ones.pop(dice.randrange(len(open_ones)))
            if dice.random() < 0.5:
                peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            peer.close()
    for peer in open_ones:
        peer.close()
    wait_for(lambda: up.stats()['connections_open'] == 1)
    for name in 'ab':
        stats = up.stats(name)
        assert stats['running'] == stats['sockets'] == 0
        assert stats['turns'] == stats['completed'] + stats['cancelled'] + stats['faulted'] > 0


def test_typing_errors_are_refused(up):
    for do in ({'shape': 'round'}, {'steer': 'left'}, {'close_code': 'x'}, {'fault': 'closed'}, {'at': 'head', 'fault': 'failed'}):
        with pytest.raises(ValueError, match='bad_fake_control'):
            up.script('a', do)
    with pytest.raises(ValueError, match='bad_fake_control'):
        up.socket('a', close='1000')
    with pytest.raises(ValueError, match='bad_fake_control'):
        up.account('a', upgrade={'status': 'x'})
