# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a frame, and who says so: the session, where the frame cannot be read or belongs to no lane; the turn, in
its lane, where one of its members is wrong. A frame that waited for its lane is read like one that did not."""
import json

import pytest

from fake_upstream import marker
from wsworld import World

PLAIN = {'model': 'demo', 'input': 'hello'}


@pytest.fixture(scope='module')
def world(make_cluster):
    return World(make_cluster(), nodes=1, names=('s1',))


def create(members, lane='a'):
    """Members as text, in front of those of a whole create."""
    return '{%s,"type":"response.create","stream_id":"%s","model":"demo","input":"hello"}' % (members, lane)


# text, the lane that the answer names (None: none), its code, the member that it names
WRONG = {
    'no JSON': ('{"type":"response.create",', None, 'invalid_json', None),
    'no object': ('[]', None, 'invalid_json', None),
    'a string without end': ('{"type":"response.create","stream_id":"a","input":"x}', None, 'invalid_json', None),
    'two types': (create('"type":"response.create"'), None, 'invalid_json', 'type'),
    'two lanes': (create('"stream_id":"b"'), None, 'invalid_json', 'stream_id'),
    'a lane that is none': ('{"type":"response.create","stream_id":7}', None, 'invalid_stream_id', 'stream_id'),
    'two models': (create('"model":"demo"'), 'a', 'invalid_json', 'model'),
    'two inputs': (create('"input":[]'), 'a', 'invalid_json', 'input'),
    'two models, one of them escaped': (create('"\\u006dodel":"demo"'), 'a', 'invalid_json', 'model'),
    'a number that is none': (create('"temperature":01'), 'a', 'invalid_json', None),
    'a member of another type': (create('"store":"no"'), 'a', 'invalid_type', 'store'),
    'no such type': ('{"type":"response.make","stream_id":"a","model":"demo","model":"demo"}', 'a', None, 'type'),
}


def refused(event, lane, code, param):
    assert event.type == 'error' and event.data['status'] == 400, event.data
    assert event.data.get('stream_id') == lane, event.data
    assert code is None or event.data['error']['code'] == code, event.data
    assert event.data['error']['param'] == param, event.data


@pytest.mark.parametrize('name', WRONG)
def test_what_is_wrong(world, name):
    text, lane, code, param = WRONG[name]
    with world.socket('s1') as ws:
        ws.send(text)
        refused(ws.receive(), lane, code, param)
        assert ws.turn(PLAIN, 'a').status == 'completed'


@pytest.mark.parametrize('name', [name for name, (_, lane, *_) in WRONG.items() if lane])
def test_behind_a_turn(world, name):
    """In a lane that is busy: the session answers at once, the turn behind the one before it."""
    text, lane, code, param = WRONG[name]
    with world.socket('s1') as ws:
        ws.send(json.dumps({**PLAIN, 'type': 'response.create', 'stream_id': 'a',
                            'input': 'hello' + marker(first_delay_ms=300)}))
        ws.send(text)
        events = []
        while not {'error', 'response.completed'} <= {event.type for event in events}:
            events.append(ws.receive())
        refused(next(event for event in events if event.type == 'error'), lane, code, param)
        first = next(event.type for event in events if event.type in ('error', 'response.completed'))
        assert first == ('error' if param == 'type' else 'response.completed')
        assert ws.turn(PLAIN, 'a').status == 'completed'


def test_a_steer_is_no_turn(world):
    """Its members are not judged as a turn's are."""
    with world.socket('s1') as ws:
        ws.send('{"type":"response.steer","stream_id":"a","input":"one","input":"two","model":1,"model":2}')
        event = ws.receive()
        assert event.type == 'response.steer.failed' and event.data['stream_id'] == 'a', event.data


def test_frames_that_wait_keep_their_order(world):
    """More than one of them, and each with its own words."""
    with world.socket('s1') as ws:
        for number in range(4):
            ws.send(json.dumps({**PLAIN, 'type': 'response.create', 'stream_id': 'a', 'metadata': {'n': str(number)},
                                'input': 'hello' + marker(first_delay_ms=100)}))
        ends = []
        while len(ends) < 4:
            event = ws.receive()
            if event.type in ('response.completed', 'error'):
                ends.append(event.data['response']['metadata']['n'])
        assert ends == ['0', '1', '2', '3']


def test_large_frames_arrive_whole(world):
    """Of sizes about those of a read and of a length's fields, ASCII and not."""
    with world.socket('s1') as ws:
        for size in (125, 126, 65400, 65535, 65536, 131072, 300000):
            text = ('x' * (size % 7) + 'ä€😀' * (size // 9))[:size]
            done = ws.turn({**PLAIN, 'input': [{'role': 'user', 'content': text}]}, 'a')
            assert done.status == 'completed'
            assert json.loads(world.asked('s1')[-1]['body'])['input'][0]['content'] == text
