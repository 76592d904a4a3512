# SPDX-License-Identifier: Apache-2.0
"""The WebSocket without an SDK: npm's ws and Python's websockets, which both refuse a peer that breaks the protocol."""
import asyncio
import json

import pytest
import websockets

from fake_upstream import marker
from peers import KINDS, Talk

pytestmark = pytest.mark.usefixtures('websocket')
TERMINAL = ('response.completed', 'response.failed', 'response.incomplete', 'error')
HEADERS = 'additional_headers' if int(websockets.__version__.split('.', maxsplit=1)[0]) >= 14 else 'extra_headers'


def create(text, **members):
    return json.dumps(dict({'type': 'response.create', 'model': 'demo', 'input': text}, **members), ensure_ascii=False)


def check_frames(frames):
    """The promises of every turn: created first, numbers without a gap, one id, one terminal event."""
    assert frames[0]['type'] == 'response.created', frames[0]
    assert [frame['sequence_number'] for frame in frames] == list(range(len(frames)))
    assert [frame['type'] in TERMINAL for frame in frames] == [False] * (len(frames) - 1) + [True]
    assert len({frame['response']['id'] for frame in frames if 'response' in frame}) == 1


def check_error(frame, status, **members):
    """A wrapped error: whatever else it says, never a flat one."""
    assert (frame['type'], frame['status']) == ('error', status), frame
    assert set(frame['error']) >= {'type', 'code', 'message', 'param'}, frame
    for name, value in members.items():
        assert frame['error'][name] == value, frame


# ---- npm's ws ----

@pytest.mark.parametrize('kind', KINDS)
def test_ws_turns_on_two_nodes(fresh, kind):
    """Six turns, one socket on each node, by turns: no turn on the socket of the one before."""
    said, talk = ['turn %d' % n for n in range(6)], Talk()
    for text, turn in zip(said, fresh.play('ws', kind, [{'text': text, 'how': 'turn'} for text in said])):
        check_frames(turn['frames'])
        assert not any(message['binary'] or '\n' in message['text'] for message in turn['messages'])
        assert turn['extensions'] == '' and turn['close'] is None
        talk.hear(text, turn)
    assert fresh.turns() == len(said)
    fresh.check()


def test_ws_refusals_before_the_upgrade(fresh):
    """A plain HTTP answer with a JSON error, no socket that closes at once."""
    turns = [{'how': 'upgrade', 'key': 'ph_nobody'}, {'how': 'upgrade', 'path': '/v1/nothing'}, {'how': 'upgrade'},
             {'how': 'upgrade', 'path': '/backend-api/codex/responses',
              'headers': {'openai-beta': 'responses_websockets=2026-02-06'}}]
    bad_key, bad_path, good, codex = fresh.play('ws', 'any', turns)
    assert bad_key['status'] == 401 and json.loads(bad_key['body'])['error']['code'] == 'invalid_api_key'
    assert 400 <= bad_path['status'] < 500, bad_path
    assert (good['status'], good['extensions'], codex['status']) == (101, '', 101)


def misuse(world, frames, **step):
    answer, = world.play('ws', 'any', [dict({'how': 'frames', 'frames': frames}, **step)])
    assert 'error' not in answer, answer
    return answer


@pytest.mark.parametrize('frames,code', [
    ([{'text': create('hello'), 'mask': False}], 1002),
    ([{'hex': '00ff', 'binary': True}], 1003),
    ([{'hex': 'c328', 'binary': False}], 1007),
    ([{'text': '{"type":"response', 'fin': False}, {'text': 'create', 'fin': False, 'binary': True},
      {'hex': 'e282', 'fin': True}], 1007),
], ids=['unmasked', 'binary', 'not-utf8', 'cut-character'])
def test_ws_breach_is_closed(fresh, frames, code):
    answer = misuse(fresh, frames)
    assert answer['close'] and answer['close']['code'] == code, answer
    assert fresh.turns() == 0


@pytest.mark.parametrize('text', ['{', '[]', '"x"', '{}', '{"type":7}', '{"type":"response.interrupt"}'])
def test_ws_nonsense_is_answered(fresh, text):
    """A wrapped 400, and the socket goes on."""
    answer = misuse(fresh, [{'text': text}, {'text': create('hello', stream_id='on')}], until=2)
    frames = [json.loads(message['text']) for message in answer['messages']]
    check_error(frames[0], 400, type='invalid_request_error')
    assert (frames[1]['type'], frames[1]['stream_id']) == ('response.created', 'on')


def test_ws_fragments_and_pings(fresh):
    """A message in pieces, cut inside a character, with pings between them."""
    text = create('grüße').encode()
    cut = text.index(b'\xc3') + 1
    frames = [{'hex': text[:cut].hex(), 'fin': False, 'binary': False}, {'ping': 'here?'},
              {'hex': text[cut:-1].hex(), 'fin': False, 'binary': False}, {'hex': text[-1:].hex(), 'fin': True, 'binary': False}]
    answer = misuse(fresh, frames, until=1)
    assert json.loads(answer['messages'][0]['text'])['type'] == 'response.created'
    assert answer['pongs'] == ['here?']


# ---- Python's websockets ----

class Socket:
    """One socket of python3-websockets."""

    def __init__(self, world, node=0, key='any'):
        self.url = world.nodes[node].url.replace('http', 'ws') + '/v1/responses'
        self.headers = {'Authorization': 'Bearer ' + world.keys[key]}
        self.socket = None

    async def __aenter__(self):
        self.socket = await websockets.connect(self.url, max_size=None, **{HEADERS: self.headers})
        return self

    async def __aexit__(self, *_):
        await self.socket.close()

    async def read(self):
        message = await asyncio.wait_for(self.socket.recv(), 20)
        assert isinstance(message, str)
        return json.loads(message)

    async def send(self, text, **members):
        await self.socket.send(create(text, **members))

    async def frames(self):
        frames = [await self.read()]
        while frames[-1]['type'] not in TERMINAL:
            frames.append(await self.read())
        return frames

    async def turn(self, talk, text, **members):
        """A turn that must be answered; its response."""
        await self.send(text, **members)
        frames = await self.frames()
        check_frames(frames)
        heard(talk, text, frames)
        return frames[-1]['response']


def heard(talk, text, frames):
    parts = [part for item in frames[-1]['response']['output'] if item['type'] == 'message' for part in item['content']]
    talk.hear(text, {'calls': [], 'text': ''.join(part['text'] for part in parts)})


@pytest.mark.parametrize('kind', KINDS)
def test_warm_up_is_continued(fresh, kind):
    """`generate:false` gives an id without an answer; the next turn continues it, also on the other node."""
    async def go(other):
        prompt = [{'type': 'message', 'role': 'developer', 'content': [{'type': 'input_text', 'text': 'Be brief.'}]}]
        talk = Talk()
        talk.context = talk.context.add('developer:Be brief.')
        async with Socket(fresh, 0, kind) as one, Socket(fresh, 1, kind) as two:
            await one.send(prompt, generate=False, store=False)
            frames = await one.frames()
            check_frames(frames)
            assert frames[-1]['type'] == 'response.completed' and frames[-1]['response']['output'] == [], frames[-1]
            await (two if other else one).turn(talk, 'hello', store=False, previous_response_id=frames[-1]['response']['id'])
    asyncio.run(go(False))
    asyncio.run(go(True))
    fresh.check()


def test_members_for_http_are_ignored(fresh):
    """Codex and the Agents SDK send `stream`, although nobody should."""
    async def go():
        async with Socket(fresh) as socket:
            await socket.turn(Talk(), 'hello', stream=True)
            await socket.turn(Talk(), 'hello', stream=False, background=True)
    asyncio.run(go())


def test_turns_wait_in_line(fresh):
    """Three turns sent at once on the default lane: one after another, in order."""
    async def go():
        async with Socket(fresh) as socket:
            for n in range(3):
                await socket.send('turn %d' % n)
            for n in range(3):
                frames = await socket.frames()
                check_frames(frames)
                heard(Talk(), 'turn %d' % n, frames)
    asyncio.run(go())


def test_lanes_run_side_by_side(fresh):
    """A lane does not wait for another; every frame of it says which it is."""
    async def go():
        async with Socket(fresh) as socket:
            slow = 'slow ' + marker(first_delay_ms=1500)
            await socket.send(slow, stream_id='slow')
            await socket.send('quick', stream_id='quick')
            found = {'slow': [], 'quick': []}
            ended = []
            while len(ended) < 2:
                frame = await socket.read()
                found[frame['stream_id']].append(frame)
                if frame['type'] in TERMINAL:
                    ended.append(frame['stream_id'])
            assert ended == ['quick', 'slow']
            for name, text in (('slow', slow), ('quick', 'quick')):
                check_frames(found[name])
                heard(Talk(), text, found[name])
    asyncio.run(go())


def test_unknown_anchor(fresh):
    """A wrapped 400, in the code that lets clients recover, and the socket goes on."""
    async def go():
        async with Socket(fresh) as socket:
            await socket.send('hello', previous_response_id='resp_nobody')
            check_error(await socket.read(), 400, code='previous_response_not_found', param='previous_response_id')
            await socket.turn(Talk(), 'hello')
    asyncio.run(go())


def test_all_are_exhausted(fresh):
    """429 with the time, at the place where Codex reads it, and where the SDK's type has it."""
    async def go():
        async with Socket(fresh, key='stateless') as socket:
            await socket.send('hello')
            frame = await socket.read()
            check_error(frame, 429, code='usage_limit_reached')
            assert int(frame['headers']['retry-after']) > 0, frame
    fresh.upstream.account('s', mode='quota')
    asyncio.run(go())
    assert fresh.turns() == 1


def test_breaks(fresh):
    """Before the first item: invisible, and the next turns on the same socket go on. Behind it: response.failed, and so do
    the turns that continue the one before."""
    async def go():
        talk = Talk()
        async with Socket(fresh) as socket:
            last = await socket.turn(talk, 'one')
            last = await socket.turn(talk, 'two ' + marker(fault='eof', at='created', times=1), previous_response_id=last['id'])
            for n in range(3):
                last = await socket.turn(talk, 'turn %d' % n, previous_response_id=last['id'])
            await socket.send('broken ' + marker(fault='eof', at='item', times=1), previous_response_id=last['id'])
            frames = await socket.frames()
            check_frames(frames)
            assert frames[-1]['type'] == 'response.failed', frames[-1]
            assert frames[-1]['response']['error']['code'] == 'server_error'
            for n in range(3):
                last = await socket.turn(talk, 'turn %d' % n, previous_response_id=last['id'])
    asyncio.run(go())
    fresh.check()


def test_client_that_goes_away(fresh):
    """No close frame, as Codex ends: upstream is cancelled."""
    async def go():
        socket = Socket(fresh)
        async with socket:
            await socket.send('hello ' + marker(fault='silence', at='item'))
            while (await socket.read())['type'] != 'response.output_item.added':
                pass
            socket.socket.transport.abort()
    asyncio.run(go())
    until(lambda: sum(each['cancelled'] for each in fresh.upstream.accounts().values()) == 1)


def until(check):
    async def wait():
        while not check():
            await asyncio.sleep(0.02)
    asyncio.run(asyncio.wait_for(wait(), 10))
