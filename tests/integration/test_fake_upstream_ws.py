# SPDX-License-Identifier: Apache-2.0
"""The fake upstream's WebSocket mode by itself: whoever tests a socket with it relies on what is asserted here."""
import http.client
import json
import struct
import socket
import time

import pytest

import fake_upstream as fake
from wspeer import Closed, Peer, Refused, Wire, frame

ACCOUNTS = ['a:platform:sk-a', 'b:platform:sk-b', 'x:codex:tok-x', 'y:codex:tok-y', 's:stateless:sk-s']
KINDS = ['a', 'x']


@pytest.fixture(scope='module')
def shared():
    up = fake.FakeUpstream(ACCOUNTS)
    yield up
    assert up.stop() == 0


@pytest.fixture
def up(shared):
    shared.reset(forget=True)
    yield shared
    wait_for(lambda: not shared.sockets())
    for account in shared.stats()['accounts'].values():
        assert account['sockets'] == account['running'] == 0
        assert account['turns'] <= account['completed'] + account['cancelled'] + account['faulted']


def wait_for(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, 'did not come true within %g s' % seconds
        time.sleep(0.01)


def connect(up, account, **options):
    return Peer(up.ws_url(account), up.key(account), **options)


def wire(up, account, headers=None, **options):
    path = up.base_url(account).split('/', 3)[3]
    return Wire(up.host, up.port, '/%s/responses' % path, {'Authorization': 'Bearer ' + up.key(account), **(headers or {})},
                **options)


def user(text):
    return [{'type': 'message', 'role': 'user', 'content': text}]


def asked(account, **more):
    """Members that this kind of account wants."""
    return {'store': False, **more} if account in 'xy' else more


def turn(peer, account, text, **more):
    return peer.turn(user(text), **asked(account, **more))


def response(events):
    return events[-1]['response']


def items(events):
    return [e['item'] for e in events if e['type'] == 'response.output_item.done']


def text_of(events):
    return ''.join(p['text'] for i in items(events) if i['type'] == 'message' for p in i['content'])


def types(events):
    return [e.get('type') for e in events]


def error(events):
    assert events[-1]['type'] == 'error', events
    return events[-1]['status'], events[-1]['error'].get('code')


def events_over_http(up, account, text):
    conn = http.client.HTTPConnection(up.host, up.port, timeout=20)
    conn.request('POST', up.base_url(account).split(str(up.port))[1] + '/responses', json.dumps(
        {'model': 'gpt-fake', 'stream': True, 'input': user(text), **asked(account)}),
        {'Authorization': 'Bearer ' + up.key(account)})
    lines = conn.getresponse().read().decode().split('\n')
    conn.close()
    return [json.loads(line[6:]) for line in lines if line.startswith('data: {')]


# ---- the handshake ----

def test_handshake(up):
    peer = wire(up, 'a')
    assert peer.accepted() and peer.headers['openai-organization'] == 'org-a'
    assert 'sec-websocket-extensions' not in peer.headers
    wait_for(lambda: up.stats('a')['sockets'] == 1)
    peer.close()
    peer = wire(up, 'x')
    assert peer.accepted() and peer.headers['x-codex-turn-state'].startswith('ts:x:')
    peer.close()
    wait_for(lambda: not up.sockets())
    assert (up.stats('a')['upgrades'], up.stats('x')['upgrades'], up.stats('b')['upgrades']) == (1, 1, 0)
    assert up.requests('a')[-1]['status'] == 101 and up.requests('a')[-1]['transport'] == 'http'


def test_who_may_not_upgrade(up):
    for headers in ({'Authorization': None}, {'Authorization': 'Bearer sk-nobody'}):
        peer = wire(up, 'a', headers)
        assert peer.status == 401 and json.loads(peer.body)['error']['code'] == 'invalid_api_key'
        peer.close()
    assert up.stats()['unauthorized'] == 2
    for account in ('s',):
        peer = wire(up, account)
        assert peer.status == 426 and json.loads(peer.body)['error']['type'] == 'invalid_request_error'
        peer.close()
    peer = Wire(up.host, up.port, '/v1/models', {'Authorization': 'Bearer sk-a'})
    assert peer.status == 426
    peer.close()
    with pytest.raises(Refused) as refused:
        Peer(up.ws_url('s'), 'sk-s')
    assert refused.value.status == 426


@pytest.mark.parametrize('headers', [{'Sec-WebSocket-Version': '8'}, {'Sec-WebSocket-Key': 'short'},
                                     {'Sec-WebSocket-Key': None}, {'Sec-WebSocket-Version': None}])
def test_bad_handshakes_are_violations(up, headers):
    peer = wire(up, 'a', headers)
    assert peer.status == 400 and up.stats('a')['found']['protocol'] == 1
    peer.close()


def test_scripts_and_modes_refuse_before_the_101(up):
    up.script('a', {'status': 429, 'code': 'usage_limit_reached', 'retry_after': 7}, upgrade=True)
    peer = wire(up, 'a')
    assert (peer.status, peer.headers['retry-after']) == (429, '7')
    assert json.loads(peer.body)['error']['code'] == 'usage_limit_reached'
    # The connection is not spent: the next request on it is an ordinary one.
    peer.send(b'GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-a\r\n\r\n')
    peer.read_head()
    assert peer.status == 200
    peer.close()
    up.account('a', upgrade={'status': 426, 'body': 'no sockets here'})
    for _ in range(2):
        peer = wire(up, 'a')
        assert (peer.status, peer.body) == (426, b'no sockets here')
        peer.close()
    up.account('a', upgrade=None, mode='down')
    peer = wire(up, 'a')
    assert peer.status == 503
    peer.close()
    up.account('a', mode='up')
    up.script('a', {'at': 'head', 'fault': 'reset'}, upgrade=True)
    with pytest.raises(OSError):
        wire(up, 'a')
    assert up.stats('a')['upgrades'] == 0
    with connect(up, 'a') as peer:
        assert types(turn(peer, 'a', 'x'))[-1] == 'response.completed'


def test_scripts_of_turns_and_of_upgrades_do_not_mix(up):
    up.script('a', {'status': 500})
    with connect(up, 'a') as peer:
        up.script('a', {'status': 426}, upgrade=True)
        assert error(turn(peer, 'a', 'x'))[0] == 500
        with pytest.raises(Refused):
            connect(up, 'a')
    up.script('a', {'status': 503}, any_request=True)
    with pytest.raises(Refused):
        connect(up, 'a')


def test_an_upgrade_may_end_at_once(up):
    for do, code in (({'fault': 'close', 'close_code': 1012, 'close_reason': 'draining'}, 1012), ({'fault': 'eof'}, 1006),
                     ({'fault': 'reset'}, 1006)):
        up.script('a', do, upgrade=True)
        with connect(up, 'a') as peer:
            with pytest.raises(Closed) as closed:
                peer.text()
            assert closed.value.code == code and closed.value.reason == do.get('close_reason', '')
    up.script('a', {'before': [{'type': 'hello'}, 'not JSON'], 'headers': {'x-odd': '1'}, 'first_delay_ms': 60}, upgrade=True)
    start = time.monotonic()
    with connect(up, 'a') as peer:
        assert time.monotonic() - start >= 0.06 and peer.headers()['x-odd'] == '1'
        assert (peer.recv(), peer.text()) == ({'type': 'hello'}, 'not JSON')
        assert types(turn(peer, 'a', 'x'))[-1] == 'response.completed'
    up.script('a', {'fault': 'silence'}, upgrade=True)
    with connect(up, 'a', close_timeout=0.1) as peer:
        assert not peer.ping(0.3)


# ---- turns ----

@pytest.mark.parametrize('account', KINDS)
def test_a_turn_is_that_of_http(up, account):
    with connect(up, account) as peer:
        events = turn(peer, account, 'hello')
        extra = [e for e in events if not e['type'].startswith('response.') or e['type'] == 'response.metadata']
        events = [e for e in events if e not in extra]
        assert types(events) == types(events_over_http(up, account, 'hello'))
        assert [e['sequence_number'] for e in events] == list(range(len(events)))
        assert text_of(events) == fake.expected_text(['user:hello'])
        assert len(response(events)['output']) == (1 if account == 'a' else 0)
        assert not any('stream_id' in e for e in events)
        assert types(turn(peer, account, 'again'))[-1] == 'response.completed'
        number = up.sockets(account)[0]['socket']
    first, over_http, second = [r for r in up.requests(account) if r['seen']]
    assert (first['transport'], over_http['transport'], second['transport']) == ('websocket', 'http', 'websocket')
    assert first['connection'] == second['connection'] == number != over_http['connection']
    assert json.loads(first['body']) == {'type': 'response.create', 'model': 'gpt-fake', 'input': user('hello'),
                                         **asked(account)}
    assert first['seen']['entries'] == ['user:hello'] and first['status'] == 200 and first['method'] == 'GET'
    assert dict(first['headers'])['Authorization'] == 'Bearer ' + up.key(account)
    stats = up.stats(account)
    assert (stats['turns'], stats['completed'], stats['foreign'], stats['found']['protocol']) == (3, 3, 0, 0)


def test_answers_are_recorded_as_lines(up):
    with connect(up, 'a') as peer:
        events = turn(peer, 'a', 'x')
    wait_for(lambda: up.requests('a')[-1]['ended'])
    answer = up.requests('a', answer=True)[-1]['answer']
    assert [json.loads(line) for line in answer.splitlines()] == events


def test_codex_tells_limits_and_turn_state_in_frames(up):
    with connect(up, 'x') as peer:
        events = turn(peer, 'x', 'one')
        assert types(events)[:3] == ['codex.rate_limits', 'response.metadata', 'response.created']
        assert events[0]['rate_limits']['primary']['used_percent'] == 12
        state = events[1]['headers']['x-codex-turn-state']
        assert state.startswith('ts:x:') and 'sequence_number' not in events[1]
        assert events[2]['sequence_number'] == 0 and response(events)['output'] == []
        up.script('x', {'skip': ['codex.rate_limits', 'response.metadata']})
        assert types(turn(peer, 'x', 'two'))[0] == 'response.created'
    with connect(up, 'y') as peer:
        turn(peer, 'y', 'three', client_metadata={'x-codex-turn-state': state})
    assert up.stats('y')['found']['foreign_turn_state'] == 1


@pytest.mark.parametrize('account', KINDS)
@pytest.mark.parametrize('member', [{'stream': True}, {'background': False}, {'stream': None}])
def test_members_of_http_are_refused(up, account, member):
    with connect(up, account) as peer:
        events = turn(peer, account, 'x', **member)
        assert error(events) == (400, 'unknown_parameter') and events[-1]['error']['param'] == list(member)[0]
        assert up.stats(account)['found']['parameter'] == 1
        assert types(turn(peer, account, 'x'))[-1] == 'response.completed'


def test_what_codex_refuses_over_http_it_refuses_here(up):
    with connect(up, 'x') as peer:
        events = peer.turn(user('x'), store=False, temperature=1)
        assert error(events) == (400, None) and events[-1]['error']['message'] == 'Unsupported parameter: temperature'
        assert peer.turn(user('x'))[-1]['error']['message'] == 'Store must be set to false'
        assert peer.turn('x', store=False)[-1]['error']['message'] == 'Input must be a list'


@pytest.mark.parametrize('text, code, found', [
    ('{"model":"m"}', 'missing_required_parameter', 'frame'), ('{"type":7}', 'missing_required_parameter', 'frame'),
    ('{"type":"response.processed"}', 'invalid_value', 'frame'), ('no JSON', None, 'json'), ('', None, 'json'),
    ('[]', None, 'json'), ('{"type":"response.create","type":"response.create"}', None, 'json')])
def test_other_frames_are_answered_and_counted(up, text, code, found):
    with connect(up, 'a') as peer:
        peer.send(text)
        assert error([peer.recv()]) == (400, code)
        assert types(turn(peer, 'a', 'x'))[-1] == 'response.completed'
    assert up.stats('a')['found'][found] == 1 and up.stats('a')['found']['protocol'] == 0


@pytest.mark.parametrize('account', KINDS)
def test_warm_up(up, account):
    with connect(up, account) as peer:
        events = [e for e in turn(peer, account, 'first', generate=False) if e.get('sequence_number') is not None]
        assert types(events) == ['response.created', 'response.completed']
        warm = response(events)
        assert warm['output'] == [] and warm['usage']['total_tokens'] == warm['usage']['input_tokens'] == 0
        events = turn(peer, account, 'second', previous_response_id=warm['id'])
        assert text_of(events) == fake.expected_text(['user:first', 'user:second'])
    stats = up.stats(account)
    assert (stats['warmups'], stats['turns'], stats['foreign']) == (1, 2, 0)
    if account == 'a':
        with connect(up, 'a') as peer:
            assert text_of(turn(peer, 'a', 'other', previous_response_id=warm['id'])) == \
                fake.expected_text(['user:first', 'user:other'])


# ---- what a socket remembers ----

@pytest.mark.parametrize('account', KINDS)
def test_chain_without_storing(up, account):
    history, last = [], None
    more = {'include': ['reasoning.encrypted_content'], 'store': False}
    with connect(up, account) as peer:
        for n in range(12):
            events = turn(peer, account, 'turn %d' % n, **more, **({'previous_response_id': last} if last else {}))
            history += ['user:turn %d' % n]
            assert text_of(events) == fake.expected_text(history)
            assert up.requests(account)[-1]['seen']['count'] == len(history)
            history += fake.entries(items(events))
            before, last = last, response(events)['id']
        # Only the most recent one is remembered.
        assert error(turn(peer, account, 'x', previous_response_id=before)) == (400, 'previous_response_not_found')
        assert types(turn(peer, account, 'x', store=False, previous_response_id=last))[-1] == 'response.completed'
    with connect(up, account) as peer:
        events = turn(peer, account, 'x', previous_response_id=last, store=False)
        assert error(events) == (400, 'previous_response_not_found')
        assert events[-1]['error'] == {'type': 'invalid_request_error', 'code': 'previous_response_not_found',
                                       'param': 'previous_response_id',
                                       'message': "Previous response with id '%s' not found." % last}
        assert types(turn(peer, account, 'fresh'))[-1] == 'response.completed'
    assert up.stats(account)['found']['unknown_response'] == 2 and up.stats(account)['foreign'] == 0
    over_http = up.stats(account)['found']['unknown_response']
    conn = http.client.HTTPConnection(up.host, up.port, timeout=20)
    conn.request('POST', up.base_url(account).split(str(up.port))[1] + '/responses', json.dumps(
        {'model': 'm', 'store': False, 'stream': True, 'input': user('x'), 'previous_response_id': last}),
        {'Authorization': 'Bearer ' + up.key(account)})
    assert conn.getresponse().status == 400
    conn.close()
    assert up.stats(account)['found']['unknown_response'] == over_http + 1


def test_platform_reads_stored_ones_back(up):
    with connect(up, 'a') as peer:
        stored = response(turn(peer, 'a', 'one'))
    with connect(up, 'a') as peer:
        events = turn(peer, 'a', 'two', previous_response_id=stored['id'])
        assert text_of(events) == fake.expected_text(['user:one'] + fake.entries(stored['output']) + ['user:two'])
    with connect(up, 'b') as peer:
        assert error(turn(peer, 'b', 'x', previous_response_id=stored['id'])) == (400, 'previous_response_not_found')
    assert up.stats('b')['found']['foreign_response'] == 1


@pytest.mark.parametrize('account', KINDS)
@pytest.mark.parametrize('failure', [{'status': 500}, {'status': 429}, {'fault': 'error_wrapped', 'at': 'created'}, None])
def test_a_failed_continuation_evicts_what_it_named(up, account, failure):
    with connect(up, account) as peer:
        last = response(turn(peer, account, 'one', store=False))['id']
        peer.create(user('on a lane'), stream_id='l', store=False)
        other = response(peer.events(lane='l'))['id']
        if failure:
            up.script(account, failure)
            events = turn(peer, account, 'two', store=False, previous_response_id=last)
        else:
            events = peer.turn([{'type': 'function_call_output', 'call_id': 'call_nobody', 'output': 'x'}], store=False,
                               previous_response_id=last)
        assert events[-1]['type'] == 'error' and events[-1]['status'] >= 400
        assert error(turn(peer, account, 'three', store=False, previous_response_id=last)) == \
            (400, 'previous_response_not_found')
        assert types(turn(peer, account, 'x', store=False, previous_response_id=other))[-1] == 'response.completed'


def test_a_failed_response_evicts_nothing_and_is_no_anchor(up):
    with connect(up, 'a') as peer:
        last = response(turn(peer, 'a', 'one', store=False))['id']
        up.script('a', {'fault': 'failed'})
        failed = response(turn(peer, 'a', 'two', store=False, previous_response_id=last))
        assert failed['status'] == 'failed'
        assert types(turn(peer, 'a', 'x', store=False, previous_response_id=failed['id']))[-1] == 'error'
        up.script('a', {'fault': 'incomplete'})
        short = response(turn(peer, 'a', 'three', store=False, previous_response_id=last))
        assert short['status'] == 'incomplete'
        assert types(turn(peer, 'a', 'four', store=False, previous_response_id=short['id']))[-1] == 'response.completed'


# ---- lanes ----

def test_a_lane_has_one_turn_at_a_time(up):
    up.account('a', do={'deltas': 3, 'delay_ms': 30})
    with connect(up, 'a') as peer:
        for n in range(3):
            peer.create('turn %d' % n)
        for n in range(3):
            events = peer.events()
            assert types(events)[0] == 'response.created' and text_of(events).endswith(': turn %d' % n)
    assert up.stats('a')['max_running'] == 1


def test_lanes_run_side_by_side(up):
    up.account('a', do={'deltas': 4, 'delay_ms': 50})
    with connect(up, 'a') as peer:
        names = ['lane-%d.x_Y' % n for n in range(5)]
        for name in names:
            peer.create(name, stream_id=name)
        peer.create('default')
        got = [peer.recv() for _ in range(6 * 12)]
        assert up.stats('a')['max_running'] == 6
        for name in names + [None]:
            mine = [e for e in got if e.get('stream_id') == name]
            assert types(mine)[-1] == 'response.completed' and text_of(mine).endswith(': ' + (name or 'default'))
            assert [e['sequence_number'] for e in mine] == list(range(12))
        assert got != sorted(got, key=lambda e: e.get('stream_id') or '')
        # What one lane said may be continued on another.
        parent = [e for e in got if e.get('stream_id') == names[0]]
        up.account('a', do=None)
        for name in names[1:3]:
            peer.create('fork', stream_id=name, previous_response_id=response(parent)['id'], store=False)
            forked = peer.events(lane=name)
            assert text_of(forked) == fake.expected_text(
                ['user:' + names[0]] + fake.entries(items(parent)) + ['user:fork'])


def test_at_most_16_in_flight_and_32_lanes(up):
    up.account('a', do={'deltas': 2, 'delay_ms': 100})
    with connect(up, 'a') as peer:
        for n in range(32):
            peer.create('x', stream_id='l%d' % n, store=False)
        last = {}
        for _ in range(32 * 10):
            event = peer.recv()
            last[event['stream_id']] = event
        assert {e['type'] for e in last.values()} == {'response.completed'} and len(last) == 32
        assert up.stats('a')['max_running'] == 16
        name = last['l5']['response']['id']
        peer.create('x', stream_id='l32', previous_response_id=name)
        refused = peer.recv()
        assert error([refused]) == (400, 'websocket_stream_limit_reached') and refused['stream_id'] == 'l32'
        assert refused['error']['param'] == 'stream_id'
        for bad in ('', 'a b', 'x' * 257, 7):
            peer.create('x', stream_id=bad)
            assert error([peer.recv()]) == (400, 'invalid_stream_id')
        # The refused one was a continuation, so it took the id away.
        assert error(turn(peer, 'a', 'x', previous_response_id=name)) == (400, 'previous_response_not_found')
        assert types(turn(peer, 'a', 'x', stream_id='l31'))[-1] == 'response.completed'
        assert up.sockets('a')[0]['lanes'] == 32 and up.stats('a')['found']['frame'] == 5


# ---- steering ----

@pytest.mark.parametrize('account', KINDS)
@pytest.mark.parametrize('pace', [{'deltas': 40, 'delay_ms': 50}, {'fault': 'silence', 'at': 'item'}])
def test_steering_is_accepted(up, account, pace):
    up.script(account, {'steer': 'accepted', 'reasoning': True, **pace})
    with connect(up, account) as peer:
        peer.create(user('one'), **asked(account, stream_id='l', include=['reasoning.encrypted_content']))
        events = []
        while not events or events[-1]['type'] != 'response.output_text.delta':
            events.append(peer.recv())
            if pace.get('at') and 'delta' in events[-1]['type']:
                break
        name = [e['response']['id'] for e in events if e['type'] == 'response.created'][0]
        peer.send({'type': 'response.steer', 'previous_response_id': name, 'input': 'other way'})
        events += peer.events()
        accepted = [e for e in events if e['type'] == 'response.steer.accepted'][0]
        assert accepted['steer']['previous_response_id'] == name and accepted['steer']['id'].startswith('steer_')
        steered = response(events)
        assert (steered['id'], steered['status'], steered['incomplete_details']) == (name, 'incomplete', {'reason': 'steered'})
        numbers = [e['sequence_number'] for e in events if 'sequence_number' in e]
        assert numbers == list(range(len(numbers)))
        done = items(events)
        assert [i['type'] for i in done] == ([] if pace.get('at') else ['reasoning'])
        if account == 'a':
            assert steered['output'] == done
        successor = peer.events()
        assert types(successor)[-1] == 'response.completed' and {e['stream_id'] for e in successor + events} == {'l'}
        assert response(successor)['id'] != name and response(successor)['previous_response_id'] == name
        assert text_of(successor) == fake.expected_text(['user:one', 'user:other way'])
        peer.send({'type': 'response.steer', 'previous_response_id': response(successor)['id'], 'input': 'x'})
        assert error([peer.recv()]) == (400, 'invalid_value')
        up.account(account, do={'steer': 'accepted'})
        for other, code in ((response(successor)['id'], 'response_already_completed'), ('resp_x', 'response_not_found')):
            peer.send({'type': 'response.steer', 'previous_response_id': other, 'input': 'x'})
            assert peer.recv()['error']['code'] == code
        chained = turn(peer, account, 'three', previous_response_id=response(successor)['id'])
        assert text_of(chained).startswith('seen 4 ')
    assert [r['successor'] for r in up.requests(account)] == [False, False, True, False]


def test_steering_fails(up):
    up.script('a', {'steer': 'failed', 'deltas': 4, 'delay_ms': 50})
    with connect(up, 'a') as peer:
        peer.create('one')
        name = peer.recv()['response']['id']
        steer = {'previous_response_id': name, 'input': user('x')}
        peer.send({'type': 'response.steer', **steer})
        events = peer.events()
        failed = [e for e in events if e['type'] == 'response.steer.failed'][0]
        assert failed['error']['code'] == 'steering_not_supported' and failed['steer'] == steer
        assert types(events)[-1] == 'response.completed' and text_of(events).endswith(': one')
        up.script('a', {'steer': 'accepted', 'fault': 'silence', 'at': 'created'})
        peer.create('two')
        name = peer.recv()['response']['id']
        peer.send({'type': 'response.steer', 'previous_response_id': name})
        assert peer.recv()['type'] == 'response.in_progress'
        assert peer.recv()['error']['code'] == 'invalid_input'


def test_without_records_nothing_is_different(up):
    assert up.requests('a') == []
    with fake.FakeUpstream(['a:platform'], '--no-record') as other, connect(other, 'a') as peer:
        events = turn(peer, 'a', 'one', tools=[], store=False)
        other.script('a', {'steer': 'accepted', 'fault': 'silence', 'at': 'created', 'items': [
            {'type': 'function_call', 'call_id': 'c', 'name': 'n', 'arguments': '{}'}]})
        peer.create('two', previous_response_id=response(events)['id'], stream_id='l')
        name = [peer.recv() for _ in range(2)][0]['response']['id']
        assert types(turn(peer, 'a', 'x' * 9000))[-1] == 'response.completed'
        peer.send({'type': 'response.steer', 'previous_response_id': name, 'input': [{'role': 'user', 'content': 'three'}]})
        history = ['user:one'] + fake.entries(items(events)) + ['user:two', 'user:three']
        assert response(peer.events(lane='l'))['incomplete_details']['reason'] == 'steered'
        assert text_of(peer.events(lane='l')) == fake.expected_text(history)
        assert other.requests() == []
