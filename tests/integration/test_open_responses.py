# SPDX-License-Identifier: Apache-2.0
"""What the public suite of the Open Responses specification asserts, restated, with a key of policy `stored`: with `store:false`
an id is known to its own socket alone, and no longer once a continuation of it has failed."""
import itertools

import pytest

from conversation import Conversation
from fake_upstream import marker
from test_schema import check
from wsworld import World

NAMES = ['p1', 'x1', 's1']
PIXEL = ('data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==')
TOOL = {'type': 'function', 'name': 'look', 'description': 'Looks.', 'parameters': {'type': 'object', 'properties': {}}, 'strict': False}
UNKNOWN = 'previous_response_not_found'
KEYS = {'id', 'object', 'created_at', 'completed_at', 'status', 'incomplete_details', 'model', 'previous_response_id', 'instructions',
        'output', 'error', 'tools', 'tool_choice', 'truncation', 'parallel_tool_calls', 'text', 'top_p', 'presence_penalty',
        'frequency_penalty', 'top_logprobs', 'temperature', 'reasoning', 'usage', 'max_output_tokens', 'max_tool_calls', 'store',
        'background', 'service_tier', 'metadata', 'safety_identifier', 'prompt_cache_key'}


def says(role, *parts):
    kind = 'output_text' if role == 'assistant' else 'input_text'
    return {'type': 'message', 'role': role, 'content': [{'type': kind, 'text': part} if isinstance(part, str) else part for part in parts]}


PROMPTS = {
    'text': {'input': [says('user', 'Say hello.')]},
    'system': {'input': [says('system', 'You are a pirate.'), says('user', 'Say hello.')]},
    'tool': {'input': [says('user', 'Look. ' + marker(calls=[{'name': 'look', 'arguments': '{}'}]))], 'tools': [TOOL]},
    'image': {'input': [says('user', 'What is it?', {'type': 'input_image', 'image_url': PIXEL, 'detail': 'auto'})]},
    'history': {'input': [says('user', 'I am Alice.'), dict(says('assistant', 'Hello Alice.'), phase='final_answer'),
                          says('user', 'Who am I?')]},
}


@pytest.fixture(scope='module')
def shared(make_cluster):
    return World(make_cluster())


@pytest.fixture
def world(shared):
    shared.reset()
    yield shared
    shared.check()


def http(world, name, node=0):
    return world.http(name, node=node, policy='stored')


def socket(world, name, node=0):
    return world.socket(name, node=node, policy='stored')


def create(text='hello', **members):
    return dict({'model': 'demo', 'input': text, 'store': False}, **members)


def unknown(turn, status=400):
    """The frame that says so, in the shape of every other error."""
    check('socket_error', turn.answer)
    assert (turn.error['status'], turn.error['error']['code']) == (status, UNKNOWN), turn.error


def talk(ws, turns, said=None, **members):
    """So many turns, each the continuation of the one before."""
    said = said or Conversation()
    for n in range(turns):
        said = said.say(ws, 'turn %d' % n, **dict({'store': False}, **members))
    return said


# ---- over HTTP ----

@pytest.mark.parametrize('stream', [False, True], ids=['whole', 'stream'])
@pytest.mark.parametrize('prompt', PROMPTS)
@pytest.mark.parametrize('name', NAMES)
def test_prompts(world, name, prompt, stream):
    """Each member of the specification stands in the answer, and each event is one of its events."""
    with http(world, name) as api:
        turn = api.turn(dict(PROMPTS[prompt], model='demo', stream=stream))
    for event in turn.events:
        check('event', event.data)
    check('response', turn.response)
    assert set(turn.response) >= KEYS, KEYS - set(turn.response)
    assert turn.status == 'completed' and turn.response['completed_at']
    assert {item['type'] for item in turn.response['output']} & {'function_call' if prompt == 'tool' else 'message'}


@pytest.mark.parametrize('name', NAMES)
def test_stored_and_unstored_ids(world, name):
    """What is stored is known on every node; what is not, on none."""
    with http(world, name) as one, http(world, name, node=1) as two:
        kept, lost = one.turn(create(store=True)), one.turn(create())
        assert two.turn(create('go on', previous_response_id=kept.id)).status == 'completed'
        for api, stream in itertools.product((one, two), (False, True)):
            answer = api.post(create('go on', previous_response_id=lost.id, stream=stream))
            assert (answer.status, answer.error['code'], answer.error['param']) == (400, UNKNOWN, 'previous_response_id')
        assert [api.get('/v1/responses/' + lost.id).status for api in (one, two)] == [404, 404]


@pytest.mark.parametrize('name', NAMES)
def test_compaction(world, name):
    """One compaction item, which begins a new chain over HTTP and on a socket; without a model it is refused."""
    with http(world, name) as api:
        answer = api.request('POST', '/v1/responses/compact', {'model': 'demo', 'input': [says('user', 'a long story')]})
        if name == 's1':
            assert answer.status in (400, 404, 501, 503), answer  # such accounts have no compaction
            return
        assert [item['type'] for item in answer.json['output']].count('compaction') == 1
        shorter = answer.json['output'] + [says('user', 'and then?')]
        assert api.turn(create(shorter)).status == 'completed'
        refused = api.request('POST', '/v1/responses/compact', {'input': [says('user', 'x')]})
        assert refused.status in (400, 422), refused
    with socket(world, name, node=1) as ws:
        first = ws.turn(create(shorter))
        assert ws.turn(create('go on', previous_response_id=first.id)).status == 'completed'


# ---- on a socket ----

@pytest.mark.parametrize('name', NAMES)
def test_unstored_turns_of_one_socket(world, name):
    with socket(world, name) as ws:
        talk(ws, 3)
        for event in ws.heard:
            check('event', event.data)
        assert set(ws.heard[-1].data['response']) >= KEYS


@pytest.mark.parametrize('node', [0, 1], ids=['same-node', 'other-node'])
@pytest.mark.parametrize('name', NAMES)
def test_an_unstored_id_on_a_new_socket(world, name, node):
    """Unknown, while the first socket lives and when it is gone; the new one takes fresh turns."""
    with socket(world, name) as ws:
        said = talk(ws, 2)
        with socket(world, name, node) as other:
            unknown(other.ask(create('go on', previous_response_id=said.anchor)))
            talk(other, 2)
        talk(ws, 1, said)
    with socket(world, name, node) as other:
        unknown(other.ask(create('go on', previous_response_id=said.anchor)))
        talk(other, 1)


@pytest.mark.parametrize('name', NAMES)
def test_an_id_that_never_was(world, name):
    with socket(world, name) as ws:
        unknown(ws.ask(create(previous_response_id='resp_never')))
        talk(ws, 2)
        assert len(world.asked(name)) == 2 + (name == 'p1')  # an account that stores is asked whether it knows the id


@pytest.mark.parametrize('name', NAMES)
def test_a_failed_continuation_evicts_its_anchor(world, name):
    """The output of a call that does not exist: refused, and the id that it named is gone; the socket goes on."""
    with socket(world, name) as ws:
        said = talk(ws, 2)
        stray = [{'type': 'function_call_output', 'call_id': 'call_never', 'output': 'x'}]
        failed = ws.ask(create(stray, previous_response_id=said.anchor))
        check('socket_error', failed.answer)
        assert failed.error['status'] == 400 and failed.error['error']['code'] != UNKNOWN, failed.error
        unknown(ws.ask(create('go on', previous_response_id=said.anchor)))
        talk(ws, 2)


@pytest.mark.parametrize('name', NAMES)
def test_a_failed_continuation_of_what_is_stored(world, name):
    """It is in storage: still an anchor, on any socket."""
    with socket(world, name) as ws, socket(world, name, 1) as other:
        said = talk(ws, 1, store=True)
        stray = [{'type': 'function_call_output', 'call_id': 'call_never', 'output': 'x'}]
        assert ws.ask(create(stray, previous_response_id=said.anchor)).error['status'] == 400
        talk(other, 1, said)
