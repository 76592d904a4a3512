# SPDX-License-Identifier: Apache-2.0
"""Turns on upstream WebSockets: the live conversation, and what becomes of it when the socket, the account, the id or the
database is gone. The client never notices, but where something of an answer had been shown."""
import concurrent.futures
import json
import time

import pytest

import client as http
from conversation import Context, Conversation
from dialogue import REASONING, Dialogue, asking_for
from fake_upstream import marker
from harness import Cluster, Postgres
from wsclient import Socket
from wsworld import World

PLAIN = {'model': 'demo', 'input': 'hello'}
SOCKETS = ['p1', 'x1']  # accounts that have WebSockets
SHAPES = ['wrapped', 'alias', 'flat', 'typed', 'untyped', 'bare']


@pytest.fixture(scope='module')
def shared(make_cluster):
    return World(make_cluster())


@pytest.fixture
def world(shared):
    shared.reset()
    yield shared
    shared.check()


def body(request):
    return json.loads(request['body'])


def is_live(before, after, anchor):
    """Whether the turn went on where the one before it was: on its socket, its id unchanged, what is new alone."""
    sent = body(after)
    return (after['transport'] == 'websocket' and after['connection'] == before['connection'] and
            sent.get('previous_response_id') == anchor and 'assistant' not in json.dumps(sent['input']))


def is_replay(request):
    sent = body(request)
    return 'previous_response_id' not in sent and 'assistant' in json.dumps(sent['input'])


def side_by_side(work, things):
    """work(thing) for each, all at once."""
    with concurrent.futures.ThreadPoolExecutor(len(things)) as pool:
        for done in [pool.submit(work, thing) for thing in things]:
            done.result()


def talk(client, turns, conversation=None, **members):
    conversation = conversation or Conversation()
    for turn in range(turns):
        conversation = conversation.say(client, 'turn %d' % turn, **dict({'store': False}, **members))
    return conversation


# ---- the seed's review findings ----

@pytest.mark.parametrize('store', [False, True])
@pytest.mark.parametrize('policy', [None, 'stored', 'none'])
@pytest.mark.parametrize('name', SOCKETS)
def test_live_continuity_is_used(world, name, policy, store):
    """R-2: what the upstream socket has as its latest response is named, not replayed; its caches are worth it."""
    with world.socket(name, policy=policy) as ws:
        conversation, anchors = Conversation(), []
        for turn in range(4):
            conversation = conversation.say(ws, 'turn %d' % turn, store=store, metadata={'n': str(turn)})
            anchors.append(conversation.anchor)
    asked = world.asked(name)
    assert [is_live(*pair) for pair in zip(asked, asked[1:], anchors)] == [True] * 3, [r['body'] for r in asked]
    assert world.upstream.stats(name)['upgrades'] == 1
    first = body(asked[0])
    assert first['type'] == 'response.create' and not {'stream', 'background', 'stream_id'} & set(first)


def test_live_goes_on_without_a_snapshot(world):
    """The socket is all that it needs: not even the row of its own parent."""
    with world.socket('x1') as ws:
        conversation = talk(ws, 2)
        conversation.say(ws, 'and on', store=False)
    assert is_live(*world.asked('x1')[-2:], conversation.anchor)


def known_upstream(world, name, text='hello'):
    """A response that only the account knows."""
    with http.Client(world.upstream.base(name)[:-len('/v1')]) as api:
        answer = api.request('POST', '/a/%s/v1/responses' % name, {'model': 'demo', 'input': text})
    assert answer.status == 200, answer
    said = answer.json['output'][-1]['content'][0]['text']
    return Conversation(Context().add('user:' + text).add('assistant:' + said), answer.json['id'], 1)


def test_a_missing_snapshot_passes_through_where_it_may(world):
    """R-3: an id that nobody knows here may be known upstream. Asked once, unchanged; then it is live."""
    conversation = known_upstream(world, 'p1')
    with world.socket('p1') as ws:
        talk(ws, 2, conversation)
    asked = world.asked('p1')[1:]
    assert len(asked) == 2 and body(asked[0])['previous_response_id'] == conversation.anchor
    assert is_live(*asked, body(asked[1])['previous_response_id'])
    with world.socket('p1') as ws:
        turn = ws.ask(dict(PLAIN, previous_response_id='resp_p1_nobody'))
        assert turn.error['error']['code'] == 'previous_response_not_found' and turn.error['status'] == 400
        assert len(world.asked('p1')) == 4
        talk(ws, 1)


@pytest.mark.parametrize('name', ['x1', 's1'])
def test_a_missing_snapshot_does_not_pass_through_where_it_may_not(world, name):
    with world.socket(name) as ws:
        turn = ws.ask(dict(PLAIN, previous_response_id='resp_%s_nobody' % name))
        assert turn.error['error']['code'] == 'previous_response_not_found'
        assert not world.asked(name)
        talk(ws, 1)


BREAKS = {'eof before the first byte': {'fault': 'eof', 'at': 'head'},
          'reset before the first byte': {'fault': 'reset', 'at': 'head'},
          'closed before the first byte': {'fault': 'close', 'at': 'head', 'close_code': 1011},
          'closed normally': {'fault': 'close', 'at': 'head', 'close_code': 1000},
          'behind telemetry': {'fault': 'eof', 'at': 'open'},
          'behind created': {'fault': 'reset', 'at': 'created'},
          'an error behind created': {'fault': 'error_wrapped', 'at': 'created', 'code': 'server_error'},
          'failed behind created': {'fault': 'failed', 'at': 'created', 'code': 'server_error'},
          'an error before created': {'status': 500, 'code': 'server_error'}}


@pytest.mark.parametrize('how', BREAKS)
@pytest.mark.parametrize('names', [('p1',), ('x1',), ('p1', 'p2'), ('x1', 'x2')])
def test_after_a_retried_break_the_next_three_turns_succeed(world, names, how):
    """R-24: the new socket and account are what the next message uses, on the client's one socket."""
    with world.socket(*names) as ws:
        conversation = talk(ws, 1)
        owner = next(n for n in names if world.asked(n))
        world.upstream.script(owner, BREAKS[how])
        conversation = conversation.say(ws, 'breaks', store=False)
        used = next(n for n in names if any(s['turns'] for s in world.upstream.sockets(n)))
        retried = world.asked(used)[-1]
        assert is_replay(retried)
        for turn in range(3):
            anchor, before = conversation.anchor, world.asked(used)[-1]
            conversation = conversation.say(ws, 'after %d' % turn, store=False)
            assert is_live(before, world.asked(used)[-1], anchor)
            assert world.asked(used)[-1]['connection'] == retried['connection']
        assert sum(world.turns().values()) == 6  # one of them twice
        assert len(world.upstream.sockets()) == 1
    http.eventually(lambda: not world.upstream.sockets(), what='all sockets closed')


# ---- the seed's tests of WebSockets, by name ----

@pytest.mark.parametrize('how', ['stopped', 'killed'])
def test_replay_after_restart(world, how):
    node = world.cluster.node()
    conversations = {}
    for name in ('p1', 'x1', 's1'):
        with Socket(node.url, world.key(name)) as ws:
            conversations[name] = talk(ws, 2)
    if how == 'stopped':
        node.stop()
    else:
        node.kill9()
    node.start()
    for name, conversation in conversations.items():
        with Socket(node.url, world.key(name)) as ws:
            talk(ws, 2, conversation)


@pytest.mark.parametrize('name', ['p1', 'x1', 's1'])
def test_replay_is_scoped_by_key(world, name):
    """Also where the thief has a socket to the very account."""
    thief = world.cluster.key('thief-' + name + str(time.monotonic_ns()), '--account', name)
    with world.socket(name) as ws, Socket(world.node.url, thief) as other:
        mine = talk(ws, 1, store=name == 'p1')
        talk(other, 1)
        found = []
        for anchor in (mine.anchor, mine.anchor[:-4] + 'ffff'):
            error = other.ask(dict(PLAIN, previous_response_id=anchor)).error
            error.pop('headers')
            found.append(json.dumps(error).replace(anchor, 'ID'))
        assert found[0] == found[1] and 'previous_response_not_found' in found[0]
        mine.say(ws, 'and on')
    assert not [r for r in world.asked(name) if mine.anchor in r['body'] and '"and on"' not in r['body']]


@pytest.mark.parametrize('names', [('p1', 'p2'), ('x1', 'x2'), ('p1',), ('x1',)])
def test_retry_once_after_an_upstream_end_before_created(world, names):
    """The very first turn of a socket, and an anchored one: asked twice in all, seen once by the client."""
    for number in range(2):
        with world.socket(*names) as ws:
            conversation = talk(ws, number)
            before = sum(world.turns().values())
            text = 'ends %d ' % number + marker(fault='close', at='head', close_code=1011, times=1)
            conversation.say(ws, text, store=False)
            assert sum(world.turns().values()) == before + 2


# ---- denials ----

DENIALS = {shape: {'status': 400, 'code': 'previous_response_not_found', 'param': 'previous_response_id',
                   'message': "Previous response with id 'resp_x' not found.", 'shape': shape} for shape in SHAPES}
DENIALS.update({
    'pretty': dict(DENIALS['wrapped'], pretty=True),
    '404': dict(DENIALS['wrapped'], status=404),
    'message alone': {'status': 400, 'message': "Previous response with id 'resp_x' not found."},
    'message of 2026': {'status': 400, 'message': 'Invalid `previous_response_id`'},
    'param alone': {'status': 400, 'message': 'No.', 'param': 'previous_response_id'},
    'failed': {'fault': 'failed', 'at': 'created', 'code': 'previous_response_not_found', 'message': 'Not found.'},
    'failed_bare': {'fault': 'failed_bare', 'at': 'created', 'code': 'previous_response_not_found', 'message': 'x'},
    'error behind created': {'fault': 'error', 'at': 'created', 'code': 'previous_response_not_found', 'message': 'x'},
    'wrapped behind created': {'fault': 'error_wrapped', 'at': 'created', 'error_status': 400,
                               'code': 'previous_response_not_found', 'message': 'x'},
})


@pytest.mark.parametrize('shape', DENIALS)
@pytest.mark.parametrize('name', SOCKETS)
def test_a_denied_live_id_is_replayed(world, name, shape):
    with world.socket(name) as ws:
        conversation = talk(ws, 2)
        world.upstream.script(name, DENIALS[shape])
        conversation = conversation.say(ws, 'denied', store=False)
        asked = world.asked(name)
        assert len(asked) == 4 and is_live(asked[1], asked[2], body(asked[2])['previous_response_id'])
        assert is_replay(asked[3])
        conversation.say(ws, 'and on', store=False)
        assert is_live(asked[3], world.asked(name)[-1], conversation.anchor)
    assert name not in world.blocked()


@pytest.mark.parametrize('name', SOCKETS)
def test_open_calls_are_the_clients(world, name):
    """A live turn that forgets a call's output gets upstream's own words, once; with the output it goes on."""
    with world.socket(name) as ws:
        dialogue = Dialogue()
        dialogue.say(ws, asking_for({'name': 'look', 'arguments': {}}), store=False)
        error = ws.ask(dialogue.body('never mind', store=False)).error
        assert error['status'] == 400 and 'No tool output found' in error['error']['message'], error
        assert len(world.asked(name)) == 2 and name not in world.blocked()
        dialogue.say(ws, dialogue.outputs(), store=False)
        dialogue.say(ws, 'and on', store=False)


@pytest.mark.parametrize('shape', SHAPES)
def test_refused_ciphertext_is_left_out(world, shape):
    """Once, on the same account, and in a live turn as in any."""
    with world.socket('x1') as ws:
        dialogue = Dialogue()
        for number in range(2):
            dialogue.say(ws, 'think %d' % number, store=False, **REASONING)
        for how in ('anchored', 'whole'):
            world.upstream.script('x1', {'status': 400, 'code': 'invalid_encrypted_content', 'shape': shape,
                                         'message': 'The encrypted content could not be verified.'})
            dialogue.say(ws, 'refused', how=how, store=False, **REASONING)
            assert 'encrypted_content":' not in world.asked('x1')[-1]['body'].replace(' ', '')
        dialogue.say(ws, 'and on', store=False, **REASONING)


def test_what_is_too_large_for_a_frame_goes_over_http(world):
    """Upstreams take frames of 16 MiB at most. A live conversation moves over; so does a replay."""
    with world.socket('x1') as ws:
        conversation = talk(ws, 2)
        conversation = conversation.say(ws, 'x' * (16 << 20), store=False)
        conversation.say(ws, 'all of it again', store=False)
        assert [r['transport'] for r in world.asked('x1')] == ['websocket'] * 2 + ['http'] * 2
        talk(ws, 1)
        assert world.asked('x1')[-1]['transport'] == 'websocket'
    assert not world.blocked()


# ---- sockets that are lost ----

@pytest.mark.parametrize('order', [{'close': 1000}, {'close': 1001}, {'close': 1011}, {'close': 1012}, {'close': 0},
                                   {'close': 4000}, {'eof': True}, {'abort': True}])
@pytest.mark.parametrize('name', SOCKETS)
def test_cut_between_turns(world, name, order):
    """It is no failure of anybody."""
    with world.socket(name) as ws:
        conversation = talk(ws, 2)
        world.upstream.socket(name, **order)
        talk(ws, 2, conversation)
        asked = world.asked(name)
        assert len(asked) == 4 and is_replay(asked[2])
        assert is_live(asked[2], asked[3], body(asked[3])['previous_response_id'])
    assert name not in world.blocked()
    assert world.upstream.stats(name)['upgrades'] == 2


BROKEN = [(at, fault) for at in ('added', 'item', 'item_done', 'output', 'cut') for fault in ('eof', 'reset', 'close')]
BROKEN += [(at, fault) for at in ('added', 'item_done', 'output') for fault in ('error_wrapped', 'failed')]


@pytest.mark.parametrize('at, fault', BROKEN)
@pytest.mark.parametrize('name', SOCKETS)
def test_broken_behind_the_first_item(world, name, at, fault):
    """What was shown is final: the turn fails under its own id, nothing is asked again, its parent can be continued."""
    with world.socket(name) as ws:
        conversation = talk(ws, 1)
        limit = at == 'output'  # one account's limit is told as server_error
        world.upstream.script(name, {'fault': fault, 'at': at, 'code': 'usage_limit_reached' if limit else 'server_error',
                                     'error_status': 429 if limit else 500, 'close_code': 1011})
        turn = ws.ask(dict(PLAIN, previous_response_id=conversation.anchor, store=False))
        assert turn.status == 'failed' and turn.response['error']['code'] == 'server_error', turn.answer
        assert len(world.asked(name)) == 2
        if limit and fault in ('error_wrapped', 'failed'):
            http.eventually(world.blocked, what='the limit in the database')
        world.reset()
        conversation = conversation.say(ws, 'again', store=False)
        assert is_replay(world.asked(name)[0])
        conversation.say(ws, 'and on', store=False)
        assert is_live(*world.asked(name), conversation.anchor)


@pytest.mark.parametrize('code', [1000, 1001, 1003, 1008, 1009, 1011, 1012, 1013, 4000, 0])
def test_close_codes_in_a_turn(world, code):
    """While nothing was shown every end is the same: the turn is asked elsewhere."""
    with world.socket('x1', 'x2') as ws:
        conversation = talk(ws, 1)
        owner = 'x1' if world.asked('x1') else 'x2'
        world.upstream.script(owner, {'fault': 'close', 'at': 'created', 'close_code': code})
        talk(ws, 2, conversation)
    assert not world.blocked()


def test_one_lane_breaks_alone(world):
    with world.socket('p1') as ws:
        ws.send({'type': 'response.create', 'model': 'demo', 'stream_id': 'breaks',
                 'input': 'breaks ' + marker(fault='reset', at='item', times=1)})
        ws.send({'type': 'response.create', 'model': 'demo', 'stream_id': 'goes-on',
                 'input': 'goes on ' + marker(deltas=5, delay_ms=50)})
        ends = {}
        while len(ends) < 2:
            event = ws.receive()
            if event.type in http.TERMINAL:
                ends[event.data['stream_id']] = event.type
        assert ends == {'breaks': 'response.failed', 'goes-on': 'response.completed'}


def test_the_connection_limit_of_upstream(world):
    """After so many turns a socket answers websocket_connection_limit_reached: nobody notices."""
    for name in SOCKETS:
        world.upstream.account(name, do={'max_turns': 2})
        with world.socket(name) as ws:
            talk(ws, 7)
        assert world.upstream.stats(name)['upgrades'] == 4
        assert name not in world.blocked()


# ---- upgrades ----

@pytest.mark.parametrize('status', [426, 404])
def test_an_account_without_websockets_is_asked_over_http(world, status):
    """Once: then it is known."""
    node = world.cluster.node()
    for name in SOCKETS:
        world.upstream.account(name, upgrade={'status': status})
        for _ in range(2):
            with Socket(node.url, world.key(name)) as ws:
                talk(ws, 3)
        requests = world.upstream.requests(name)
        assert [r['transport'] for r in requests if r['seen']] == ['http'] * 6
        assert len([r for r in requests if not r['seen']]) == 1
        world.upstream.account(name, upgrade=None)


def test_a_conversation_outlives_the_end_of_websockets(world):
    """An account that takes no upgrades any more: what is open goes on, what is lost goes on over HTTP."""
    node = world.cluster.node()
    with Socket(node.url, world.key('x1')) as ws, Socket(node.url, world.key('x1')) as other:
        conversation = talk(ws, 2)
        world.upstream.account('x1', upgrade={'status': 426})
        talk(other, 1)
        conversation = talk(ws, 1, conversation)
        assert is_live(world.asked('x1')[1], world.asked('x1')[-1], body(world.asked('x1')[-1])['previous_response_id'])
        world.upstream.socket('x1', abort=True)
        talk(ws, 2, conversation)
        assert [r['transport'] for r in world.asked('x1')[-2:]] == ['http'] * 2
    world.upstream.account('x1', upgrade=None)


@pytest.mark.parametrize('do, blocked', [
    ({'status': 429, 'code': 'rate_limit_exceeded', 'retry_after': 60}, True),
    ({'status': 401, 'code': 'account_deactivated'}, True),
    ({'status': 503, 'code': 'server_error'}, False),
    ({'status': 500, 'html': True}, False),
    ({'fault': 'reset', 'at': 'head'}, False),
    ({'fault': 'eof', 'at': 'head'}, False)])
@pytest.mark.parametrize('names', [('p1', 'p2'), ('x1', 'x2')])
def test_refused_upgrades(world, names, do, blocked):
    """As a refused turn: another account, unseen; and the account's health as over HTTP."""
    with world.socket(*names) as ws:
        conversation = talk(ws, 1)
        owner = next(n for n in names if world.asked(n))
        world.upstream.account(owner, upgrade=do)
        world.upstream.socket(owner, abort=True)
        conversation = talk(ws, 2, conversation)
        other = next(n for n in names if n != owner)
        assert len(world.asked(other)) == 2 and is_replay(world.asked(other)[0])
        assert is_live(*world.asked(other), body(world.asked(other)[1])['previous_response_id'])
    assert (owner in world.blocked()) == blocked


@pytest.mark.parametrize('do', [{'fault': 'eof'}, {'fault': 'reset'}, {'fault': 'close', 'close_code': 1013}])
def test_sockets_that_end_as_soon_as_they_are_open(world, do):
    with world.socket('p1', 'p2') as ws:
        world.upstream.script('p1', do, count=3, upgrade=True)
        world.upstream.script('p2', do, count=1, upgrade=True)
        talk(ws, 3)


# ---- accounts ----

PAIRS = [('p1', 'p2'), ('x1', 'x2'), ('p1', 'x1'), ('x1', 's1'), ('p1', 's1')]
DROPS = [(names, how) for how in ('limited', 'paused') for names in PAIRS]
DROPS += [(names, how) for how in ('quota', 'deactivated', 'refuse') for names in PAIRS[:2]]


@pytest.mark.parametrize('names, how', DROPS)
def test_an_account_that_drops_out(world, names, how):
    """In the middle of a conversation with tools and reasoning: the other account gets it whole and nothing of the
    first one's, and keeps it. Back on the first one its own things go out again."""
    with world.socket(*names) as ws:
        dialogue = Dialogue()
        dialogue.say(ws, 'begin ' + asking_for({'name': 'look', 'arguments': {}}), store=False, **REASONING)
        dialogue.say(ws, dialogue.outputs(), store=False, **REASONING)
        owner = next(n for n in names if world.asked(n))
        other = next(n for n in names if n != owner)
        if how == 'paused':
            world.pause(owner)
        else:
            world.upstream.account(owner, mode=how)
        dialogue.say(ws, 'moved', store=False, **REASONING)
        dialogue.say(ws, 'and on', store=False, **REASONING)
        dialogue.say(ws, 'the whole', how='whole', codex=True, store=False, **REASONING)
        assert len(world.asked(other)) == 3
        if how != 'paused':
            return
        world.resume(owner)
        world.pause(other)
        dialogue.say(ws, 'back', store=False, **REASONING)
        dialogue.say(ws, 'and on', store=False, **REASONING)
        assert len(world.asked(owner)) >= 4


def test_turn_state_stays_with_its_account(world):
    """What a codex account tells of itself in frames reaches no other account, and Codex alone, with its issuer in front."""
    with world.socket('x2') as ws:
        assert talk(ws, 1).turn.turn_state is None, 'others than Codex are not told'
    world.upstream.reset()
    with world.socket('x1', 'x2', headers=[('originator', 'codex_cli_rs')]) as ws:
        conversation = talk(ws, 2)
        owner = 'x1' if world.asked('x1') else 'x2'
        (number,), = world.cluster.sql('SELECT account_id FROM posthouse.accounts WHERE name = %s', owner)
        state = conversation.turn.turn_state
        assert state.startswith('%d.ts:%s:' % (number, owner)), state
        conversation = conversation.say(ws, 'back to it', store=False,
                                        client_metadata={'x-codex-turn-state': state, 'kept': 'yes'})
        assert body(world.asked(owner)[-1])['client_metadata'] == {
            'x-codex-turn-state': state.partition('.')[2], 'kept': 'yes'}
        world.upstream.account(owner, mode='limited')
        turn = ws.turn({'model': 'demo', 'input': 'moved', 'previous_response_id': conversation.anchor, 'store': False,
                        'client_metadata': {'x-codex-turn-state': state, 'kept': 'yes'}})
        assert 'ts:%s' % owner not in ''.join(e.raw.decode() for e in turn.events)
        assert turn.figures is None or 'plan_type' not in turn.figures, 'only the pool\'s'
    other = 'x2' if owner == 'x1' else 'x1'
    assert body(world.asked(other)[-1])['client_metadata'] == {'kept': 'yes'}


# ---- what nobody asked for ----

def test_telemetry_between_turns_is_let_be(world):
    with world.socket('x1') as ws:
        conversation = talk(ws, 1)
        world.upstream.socket('x1', send={'type': 'codex.rate_limits', 'plan_type': 'pro', 'rate_limits': {}})
        world.upstream.socket('x1', send={'type': 'response.metadata', 'headers': {}}, ping=True)
        conversation.say(ws, 'and on', store=False)
    assert is_live(*world.asked('x1'), conversation.anchor)


@pytest.mark.parametrize('frame', [
    {'type': 'error', 'status': 500, 'error': {'type': 'server_error', 'code': 'server_error', 'message': 'x'}},
    {'type': 'response.output_text.delta', 'delta': 'stray', 'sequence_number': 7},
    {'type': 'response.created', 'response': {'id': 'resp_stray'}, 'sequence_number': 0}, 'nonsense'])
@pytest.mark.parametrize('name', SOCKETS)
def test_stray_frames_between_turns_are_booked_to_nobody(world, name, frame):
    with world.socket(name) as ws:
        conversation = talk(ws, 1)
        world.upstream.socket(name, send=frame)
        http.eventually(lambda: not world.upstream.sockets(name), what='the socket retired')
        talk(ws, 2, conversation)
    assert name not in world.blocked()


@pytest.mark.parametrize('frame', [
    {'type': 'error', 'status': 400, 'error': {'type': 'invalid_request_error', 'code': 'stray', 'message': 'x'}},
    {'type': 'response.output_text.delta', 'delta': 'stray', 'sequence_number': 7}])
def test_stray_frames_behind_an_answer_are_booked_to_nobody(world, frame):
    """Also where the next turn had been waiting already."""
    with world.socket('p1') as ws:
        for _ in range(10):
            world.upstream.script('p1', {'after': [frame]})
            for number in range(2):
                ws.send({'type': 'response.create', 'model': 'demo', 'input': 'turn %d' % number, 'store': False})
            for number in range(2):
                turn = ws.hear()
                assert turn.status == 'completed' and 'stray' not in json.dumps([e.data for e in turn.events])


# ---- how upstream writes ----

@pytest.mark.parametrize('do', [{'pretty': True}, {'fragment': 5}, {'fragment': 64, 'pings': True},
                                {'slice': 1, 'deltas': 2}, {'slice': 997, 'pings': True, 'fragment': 300},
                                {'queued': True, 'obfuscation': True}, {'odd': True}, {'sequence': 5},
                                {'output': 'empty'}, {'output': 'absent'}, {'output': 'null'}])
@pytest.mark.parametrize('name', SOCKETS)
def test_how_upstream_writes_is_no_matter(world, name, do):
    world.upstream.account(name, do=do)
    with world.socket(name) as ws:
        first = ws.turn({'model': 'demo', 'input': 'one', 'store': False})
        second = ws.turn({'model': 'demo', 'input': 'two', 'previous_response_id': first.id, 'store': False})
        if 'odd' not in do:
            context = Context().add('user:one').add('assistant:' + first.text).add('user:two')
            assert second.text.startswith(context.words)
        assert len(first.response['output']) >= 1
    with world.http(name) as api:
        third = api.turn({'model': 'demo', 'input': 'three', 'previous_response_id': second.id, 'stream': True})
        assert third.status == 'completed'


# ---- policies that keep nothing ----

@pytest.mark.parametrize('policy', ['none', 'stored'])
@pytest.mark.parametrize('name', ['p1', 'x1', 's1'])
def test_the_lane_remembers_what_is_not_kept(world, name, policy):
    """Without a row the lane's memory is what its next turn is replayed from; nobody else has it."""
    with world.socket(name, policy=policy) as ws:
        conversation = talk(ws, 3)
        for _ in range(2):
            world.upstream.socket(name, abort=True)
            conversation = talk(ws, 2, conversation)
        for node in (0, 1):
            with world.socket(name, policy=policy, node=node) as other:
                turn = other.ask(dict(PLAIN, previous_response_id=conversation.anchor, store=False))
                assert turn.error['error']['code'] == 'previous_response_not_found'
        talk(ws, 1, conversation)
    assert world.cluster.sql('SELECT count(*) FROM posthouse_admin.accounts')  # the database was there all the time


@pytest.mark.parametrize('name', ['p1', 'x1', 's1'])
def test_a_failed_continuation_drops_what_the_lane_remembered(world, name):
    with world.socket(name, policy='none') as ws:
        conversation = talk(ws, 2)
        text = 'no ' + marker(status=400, code='context_length_exceeded', message='Too long.')
        asked = dict(PLAIN, previous_response_id=conversation.anchor, store=False)
        assert ws.ask(dict(asked, input=text)).error['error']['code'] == 'context_length_exceeded'
        assert ws.ask(asked).error['error']['code'] == 'previous_response_not_found'
        talk(ws, 2)


@pytest.mark.parametrize('name', ['p1', 'x1', 's1'])
def test_a_failed_continuation_leaves_its_parent(world, name):
    """Whatever upstream evicts: what is kept can be continued."""
    with world.socket(name) as ws:
        conversation = talk(ws, 2)
        text = 'no ' + marker(status=400, code='context_length_exceeded', message='Too long.')
        turn = ws.ask({'model': 'demo', 'input': text, 'previous_response_id': conversation.anchor, 'store': False})
        assert turn.error['error']['code'] == 'context_length_exceeded'
        assert len(world.asked(name)) == 3
        talk(ws, 2, conversation)


def test_stored_and_unstored_turns_of_one_lane(world):
    """Policy `stored`: an unstored turn that continues a stored one is remembered with all that is behind it."""
    with world.socket('p1', policy='stored') as ws:
        conversation = talk(ws, 2, store=True)
        conversation = talk(ws, 2, conversation, store=False)
        world.upstream.socket('p1', abort=True)
        talk(ws, 2, conversation, store=False)


# ---- HTTP clients on upstream sockets ----

@pytest.fixture(scope='module')
def bridge(shared):
    return shared.cluster.node(env={'POSTHOUSE_UPSTREAM_TRANSPORT': 'websocket'})


@pytest.mark.parametrize('stream', [True, False])
@pytest.mark.parametrize('name', SOCKETS)
def test_http_clients_ride_a_kept_socket(world, bridge, name, stream):
    with http.Client(bridge.url, world.key(name)) as api:
        conversation = Conversation()
        for turn in range(4):
            conversation = conversation.say(api, 'turn %d' % turn, store=False, stream=stream)
            assert conversation.turn.continuity == ('live' if turn else 'none')
        asked = world.asked(name)
        assert {r['transport'] for r in asked} == {'websocket'} and len({r['connection'] for r in asked}) == 1
        world.upstream.socket(name, abort=True)
        conversation = conversation.say(api, 'lost', store=False, stream=stream)
        assert conversation.turn.continuity == 'replayed'
        left = conversation.say(api, 'a branch', store=False, stream=not stream)
        right = conversation.say(api, 'another', store=False, stream=stream)
        assert (left.turn.continuity, right.turn.continuity) == ('live', 'replayed')
        for branch in (left, right):
            assert branch.say(api, 'and on', store=False).turn.continuity == 'live'
    with world.http(name, node=1) as api:
        left.say(api, 'elsewhere', store=False)


def test_http_clients_without_sockets_upstream(world, bridge):
    with http.Client(bridge.url, world.key('s1')) as api:
        talk(api, 3)
    assert {r['transport'] for r in world.asked('s1')} == {'http'}


@pytest.mark.parametrize('how', BREAKS)
@pytest.mark.parametrize('stream', [True, False])
def test_breaks_under_http_clients(world, bridge, how, stream):
    with http.Client(bridge.url, world.key('p1', 'p2')) as api:
        conversation = talk(api, 1)
        owner = 'p1' if world.asked('p1') else 'p2'
        world.upstream.script(owner, BREAKS[how])
        conversation = conversation.say(api, 'breaks', store=False, stream=stream)
        assert conversation.turn.continuity == 'replayed'
        assert conversation.say(api, 'and on', store=False, stream=stream).turn.continuity == 'live'


def test_kept_sockets_belong_to_their_key(world, bridge):
    thief = world.cluster.key('thief-of-sockets', '--account', 'p1')
    with http.Client(bridge.url, world.key('p1')) as api, http.Client(bridge.url, thief) as other:
        mine = talk(api, 2)
        answer = other.post(dict(PLAIN, previous_response_id=mine.anchor, store=False))
        assert answer.status == 400 and answer.error['code'] == 'previous_response_not_found'
        assert mine.say(api, 'and on', store=False).turn.continuity == 'live'


def test_background_turns_go_over_http(world, bridge):
    """They outlive the connection, so no socket takes them."""
    with http.Client(bridge.url, world.key('p1')) as api:
        conversation = talk(api, 2, store=True)
        conversation = talk(api, 1, conversation, store=True, background=True, stream=True)
        talk(api, 2, conversation, store=True)
    asked = world.asked('p1')
    assert [r['transport'] for r in asked] == ['websocket'] * 2 + ['http'] + ['websocket'] * 2
    assert not [r for r in asked if r['transport'] == 'websocket' and 'background' in r['body']]


@pytest.mark.parametrize('stream', [True, False])
def test_an_http_client_that_leaves_takes_its_socket_along(world, bridge, stream):
    api = http.Client(bridge.url, world.key('p1'))
    conversation = talk(api, 1)
    used = world.asked('p1')[-1]['connection']
    text = 'long ' + marker(fault='silence', at='item')
    request = {'model': 'demo', 'input': text, 'stream': stream, 'previous_response_id': conversation.anchor}
    sent = json.dumps(request).encode()
    api.connection.sock.sendall(b'POST /v1/responses HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d'
                                b'\r\n\r\n%s' % (world.key('p1').encode(), len(sent), sent))
    http.eventually(lambda: world.upstream.stats('p1')['running'] == 1, what='the turn')
    api.close()
    world.quiet('p1')
    assert used not in [s['socket'] for s in world.upstream.sockets('p1')]
    with http.Client(bridge.url, world.key('p1')) as other:
        talk(other, 2, conversation)


def test_transport_http(world):
    node = world.cluster.node(env={'POSTHOUSE_UPSTREAM_TRANSPORT': 'http'})
    for name in ('p1', 'x1', 's1'):
        with Socket(node.url, world.key(name)) as ws:
            talk(ws, 3)
        assert {r['transport'] for r in world.asked(name)} == {'http'}


@pytest.mark.parametrize('name', ['p1', 'x1', 's1'])
def test_a_client_stays_on_its_own_transport(world, name):
    """`auto`: over HTTP there is no socket upstream, unless told."""
    with world.http(name) as api:
        talk(api, 2)
    assert {r['transport'] for r in world.asked(name)} == {'http'}


# ---- without a database ----

def test_a_live_conversation_needs_no_database(tmp_path):
    """A1: nothing is asked of the store. What is not live gets a 503, which names no id lost; later all is written."""
    postgres = Postgres()
    try:
        cluster = Cluster(postgres, tmp_path, None, {'POSTHOUSE_POLL_INTERVAL': '1s'})
        cluster.cli('migrate')
        world = World(cluster, names=('p1', 'x1'))
        for name in SOCKETS:
            world.key(name)
        sockets = {name: world.socket(name) for name in SOCKETS}
        conversations = {name: talk(ws, 2) for name, ws in sockets.items()}
        with world.socket('x1') as ws:
            other = talk(ws, 1)
        postgres.stop('immediate')
        try:
            side_by_side(lambda name: conversations.update({name: talk(sockets[name], 2, conversations[name])}), SOCKETS)
            for name in SOCKETS:
                asked = world.asked(name)[-2:]
                assert len({r['connection'] for r in asked}) == 1 and not any(is_replay(r) for r in asked)
            with world.socket('x1') as ws:
                error = ws.ask(dict(PLAIN, previous_response_id=other.anchor)).error
                assert error['status'] == 503 and error['error']['code'] == 'service_unavailable', error
                assert int(error['headers']['retry-after']) >= 1
        finally:
            postgres.start()
        for name, ws in sockets.items():
            talk(ws, 1, conversations[name])
            ws.close()
        for name in SOCKETS:
            with world.socket(name, node=1) as ws:
                http.eventually(lambda n=name, w=ws: w.ask(dict(PLAIN, previous_response_id=conversations[n].anchor,
                                                                store=False)).error is None, within=20, every=0.2)
                talk(ws, 1, conversations[name])
        world.check()
        cluster.close()
    finally:
        postgres.close()
