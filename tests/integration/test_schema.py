# SPDX-License-Identifier: Apache-2.0
"""Everything that clients are sent against a JSON schema of the Responses API (data/responses.schema.json): what passes by
and what the gateway makes itself (failures, collected answers, stored responses, warm-ups, errors), over each transport."""
import json
import pathlib

import pytest

import client as http
import wsclient
from fake_upstream import marker
from harness import FakeUpstream

jsonschema = pytest.importorskip('jsonschema', reason='needs python3-jsonschema')
SCHEMA = json.loads((pathlib.Path(__file__).parent / 'data' / 'responses.schema.json').read_text(encoding='utf-8'))
KINDS = {'platform': 'p', 'codex': 'c', 'stateless': 's'}
TOOL = {'type': 'function', 'name': 'look', 'description': 'Looks.', 'parameters': {'type': 'object', 'properties': {}}, 'strict': False}


def validator(name):
    return jsonschema.Draft202012Validator(dict(SCHEMA, **{'$ref': '#/$defs/' + name}))


VALID = {name: validator(name) for name in SCHEMA['$defs']}


def check(name, thing):
    fault = jsonschema.exceptions.best_match(VALID[name].iter_errors(thing))
    assert fault is None, '%s: %s at %s in %s' % (name, fault.message[:300], '/'.join(map(str, fault.absolute_path)), json.dumps(thing)[:600])


def test_the_schema_itself():
    """It is one, and it refuses what it should."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    for event in ({'type': 'response.output_text.delta', 'sequence_number': 1, 'delta': 'x'}, {'type': 'response.nothing', 'sequence_number': 1},
                  {'type': 'keepalive'}, {'type': 'response.completed', 'sequence_number': 3, 'response': {'id': 'resp_1'}}):
        with pytest.raises(AssertionError):
            check('event', event)
    check('event', {'type': 'keepalive', 'sequence_number': 4})
    with pytest.raises(AssertionError):
        check('envelope', {'error': {'message': 'x', 'type': 'y', 'code': None}})


@pytest.fixture(scope='module')
def world(make_cluster):
    class World:
        cluster = make_cluster({'POSTHOUSE_KEEPALIVE_INTERVAL': '200ms', 'POSTHOUSE_HOLD_TIMEOUT': '300ms'})
    World.upstream = World.cluster.own(FakeUpstream([(name, kind) for kind, name in KINDS.items()]))
    World.keys = {}
    for kind, name in KINDS.items():
        World.cluster.account(name, kind, World.upstream.base(name))
        World.keys[kind] = World.cluster.key('only-' + kind, '--account', name)
    World.nodes = [World.cluster.node() for _ in range(2)]
    return World


def say(text, **more):
    return dict({'model': 'demo', 'input': [{'type': 'message', 'role': 'user', 'content': [{'type': 'input_text', 'text': text}]}]}, **more)


TURNS = {
    'plain': say('hello'),
    'unstored': say('hello', store=False),
    'tool': say('look ' + marker(calls=[{'name': 'look', 'arguments': '{}'}]), tools=[TOOL]),
    'incomplete': say('much ' + marker(fault='incomplete', at='output')),
    'failed at once': say('no ' + marker(fault='failed', at='created', times=9)),
    'failed in the middle': say('half ' + marker(fault='failed', at='output')),
    'ended in the middle': say('half ' + marker(fault='eof', at='output')),
    'slow': say('slow ' + marker(fault='silence', for_ms=700, at='created')),
}


def check_whole(turn):
    if turn.response is not None:
        check('response', turn.response)


@pytest.mark.parametrize('how', ['stream', 'whole', 'socket'])
@pytest.mark.parametrize('turn', TURNS)
@pytest.mark.parametrize('kind', KINDS)
def test_turns(world, kind, turn, how):
    body = dict(TURNS[turn])
    if how == 'socket':
        with wsclient.Socket(world.nodes[0].url, world.keys[kind]) as socket:
            socket.ask(body)
            heard = socket.heard
        for event in heard:
            check('socket_error' if event.type == 'error' and 'status' in event.data else 'event', event.data)
        return
    with http.Client(world.nodes[0].url, world.keys[kind]) as api:
        answer = api.post(dict(body, stream=how == 'stream'))
    if answer.status != 200:
        check('envelope', answer.json)
    elif how == 'whole':
        check('response', answer.json)
    else:
        for event in http.parse_stream(answer.body)[0]:
            check('event', event.data)


@pytest.fixture
def well(world):
    """That world, with every account as if nothing had happened to it."""
    for name in KINDS.values():
        world.cluster.sql('SELECT posthouse_admin.resume_account(%s)', name)
    for node, key in ((node, key) for node in world.nodes for key in world.keys.values()):
        http.eventually(lambda n=node, k=key: http.once(n.url, k, 'POST', '/v1/responses', json.dumps(say('well?')).encode()).status == 200)
    return world


@pytest.mark.parametrize('kind', KINDS)
def test_what_is_stored(well, kind):
    """Continued and read on the other node."""
    first, second = (http.Client(node.url, well.keys[kind]) for node in well.nodes)
    with first, second:
        one = first.turn(say('one'))
        two = second.turn(say('two', previous_response_id=one.id, stream=True))
        for event in two.events:
            check('event', event.data)
        for each, api in ((one, second), (two, first)):
            check('response', api.get('/v1/responses/' + each.id).json)
            check('input_items', api.get('/v1/responses/%s/input_items' % each.id).json)
        check('deleted', first.delete('/v1/responses/' + two.id).json)
        check('models', first.get('/v1/models').json)


@pytest.mark.parametrize('kind', KINDS)
def test_a_warm_up(well, kind):
    with wsclient.Socket(well.nodes[0].url, well.keys[kind]) as socket:
        warm = socket.ask(say('later', generate=False))
        for event in socket.heard:
            check('event', event.data)
        socket.ask(say('now', previous_response_id=warm.id))
        for event in socket.heard:
            check('event', event.data)


def test_errors(world):
    key = world.keys['platform']
    with http.Client(world.nodes[0].url, key) as api:
        answers = [api.post(b'{'), api.post({'input': 'x'}), api.post(say('x', previous_response_id='resp_0')),
                   api.post(say('x', store='yes')), api.get('/v1/responses/resp_0'), api.get('/v1/responses/resp_0/input_items'),
                   api.get('/v1/models/none'), api.get('/v1/nothing'), api.request('PUT', '/v1/responses', {}),
                   http.once(world.nodes[0].url, 'ph_wrong', 'POST', '/v1/responses', b'{}'),
                   http.once(world.nodes[0].url, None, 'POST', '/v1/responses', b'{}')]
    for answer in answers:
        assert 400 <= answer.status < 500, answer
        check('envelope', answer.json)
    with wsclient.Socket(world.nodes[0].url, key) as socket:
        for frame in ({'type': 'response.create', 'model': 7}, {'type': 'response.nothing'},
                      dict(say('x'), type='response.create', previous_response_id='resp_0')):
            socket.send(frame)
            check('socket_error', socket.receive().data)
