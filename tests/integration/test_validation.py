# SPDX-License-Identifier: Apache-2.0
"""What a client gets wrong is told in OpenAI's manner: type, code and param, the same over HTTP and on a WebSocket. Nothing of it
reaches an account."""
import json

import pytest

import client as http
from doors import World
from wsclient import Socket

TYPE = 'invalid_type'
LONG = 'r' * 300
NEVER = 'resp_00000000000000000000000000'

# members of the body, status, code, param; None as a value: the member is left out
TURNS = [
    ({'model': 5}, 400, TYPE, 'model'),
    ({'model': ['demo']}, 400, TYPE, 'model'),
    ({'model': True}, 400, TYPE, 'model'),
    ({'model': 'm' * 600}, 400, 'invalid_value', 'model'),
    ({'model': 'nobody-has-it'}, 404, 'model_not_found', 'model'),
    ({'input': 5}, 400, TYPE, 'input'),
    ({'input': {'role': 'user'}}, 400, TYPE, 'input'),
    ({'input': False}, 400, TYPE, 'input'),
    ({'input': [{'type': 'item_reference'}]}, 400, 'invalid_value', 'input'),
    ({'input': [{'type': 'item_reference', 'id': 5}]}, 400, 'invalid_value', 'input'),
    ({'input': [{'type': 'item_reference', 'id': 'rs_never'}]}, 404, None, 'input'),
    ({'stream': 'yes'}, 400, TYPE, 'stream'),
    ({'stream': 1}, 400, TYPE, 'stream'),
    ({'store': 'no'}, 400, TYPE, 'store'),
    ({'store': []}, 400, TYPE, 'store'),
    ({'background': 'true'}, 400, TYPE, 'background'),
    ({'background': {}}, 400, TYPE, 'background'),
    ({'generate': 0}, 400, TYPE, 'generate'),
    ({'prompt_cache_key': 5}, 400, TYPE, 'prompt_cache_key'),
    ({'prompt_cache_key': {'a': 1}}, 400, TYPE, 'prompt_cache_key'),
    ({'include': 'reasoning.encrypted_content'}, 400, TYPE, 'include'),
    ({'include': [5]}, 400, TYPE, 'include'),
    ({'include': {'a': 1}}, 400, TYPE, 'include'),
    ({'previous_response_id': 5}, 400, None, 'previous_response_id'),
    ({'previous_response_id': {'id': NEVER}}, 400, None, 'previous_response_id'),
    ({'previous_response_id': LONG}, 400, None, 'previous_response_id'),
    ({'previous_response_id': 'a\0b'}, 400, None, 'previous_response_id'),
    ({'previous_response_id': NEVER}, 400, 'previous_response_not_found', 'previous_response_id'),
    ({'previous_response_id': NEVER, 'conversation': 'conv_1'}, 400, None, 'previous_response_id'),
    ({'previous_response_id': NEVER, 'conversation': {'id': 'conv_1'}}, 400, None, 'previous_response_id'),
    ({'prompt_cache_options': {'comparison_response_id': 5}}, 400, 'invalid_value', 'prompt_cache_options'),
    ({'prompt_cache_options': {'comparison_response_id': NEVER}}, 404, None, 'prompt_cache_options'),
]
HTTP_ONLY = [
    ({'background': True}, 400, 'unsupported_parameter', 'background'),
    ({'background': True, 'store': False}, 400, 'invalid_value', 'background'),
]
# what else reads a body; 'model' of the turn is there
CALLS = [
    ('/responses/compact', {'model': None}, 400, 'missing_required_parameter', 'model'),
    ('/responses/compact', {'model': ''}, 400, 'missing_required_parameter', 'model'),
    ('/responses/compact', {'model': 5}, 400, TYPE, 'model'),
    ('/responses/compact', {'input': 5}, 400, TYPE, 'input'),
    ('/responses/compact', {'previous_response_id': 5}, 400, None, 'previous_response_id'),
    ('/responses/compact', {}, 400, 'unsupported_endpoint', None),
    ('/responses/input_tokens', {'model': 5}, 400, TYPE, 'model'),
    ('/responses/input_tokens', {'input': {}}, 400, TYPE, 'input'),
    ('/responses/input_tokens', {'previous_response_id': NEVER, 'conversation': 'c'}, 400, None, 'previous_response_id'),
    ('/responses/input_tokens', {}, 400, 'unsupported_endpoint', None),
]
PAGES = [
    ('limit=0', 400, 'integer_below_min_value', 'limit'),
    ('limit=-1', 400, 'integer_below_min_value', 'limit'),
    ('limit=101', 400, 'integer_above_max_value', 'limit'),
    ('limit=99999999999', 400, 'integer_above_max_value', 'limit'),
    ('limit=ten', 400, TYPE, 'limit'),
    ('limit=', 400, TYPE, 'limit'),
    ('limit=1.5', 400, TYPE, 'limit'),
    ('order=up', 400, 'invalid_value', 'order'),
    ('order=', 400, 'invalid_value', 'order'),
    ('order=ASC', 400, 'invalid_value', 'order'),
    ('after=msg_never', 404, None, 'after'),
    ('after=%00', 400, 'invalid_value', 'after'),
    ('after=%zz', 400, 'invalid_value', 'after'),
]


def named(case):
    return json.dumps(case)[:70] if isinstance(case, dict) else str(case)[:70]


@pytest.fixture(scope='module')
def world(make_cluster):
    """An account that serves one model and keeps nothing."""
    found = World(make_cluster, ['stateless'], nodes=2)
    found.cluster.account('s1', 'stateless', found.upstream.base('s1'), '--model', 'demo')
    with found.ring() as ring:
        http.eventually(lambda: ring.post({'model': 'nobody-has-it', 'input': 'x'}).status == 404, what='its list of models')
        found.stored = ring.turn({'model': 'demo', 'input': 'x'})
    return found


@pytest.fixture
def quiet(world):
    """Nothing reaches an account."""
    asked = world.upstream.stats('s1')['requests']
    yield world
    assert world.upstream.stats('s1')['requests'] == asked
    with world.ring() as ring:
        assert ring.turn({'model': 'demo', 'input': 'x'}).status == 'completed'


def body_of(members):
    body = dict({'model': 'demo', 'input': 'x'}, **members)
    return {name: value for name, value in body.items() if value is not None}


def judge(error, code, param):
    assert error['type'] == 'invalid_request_error', error
    assert error['code'] == code and error['param'] == param, error
    assert error['message'] and 's1' not in error['message'].split(' (request ')[0]


@pytest.mark.parametrize('members, status, code, param', TURNS + HTTP_ONLY, ids=named)
def test_over_http(quiet, members, status, code, param):
    with quiet.ring() as ring:
        for _ in quiet.nodes:
            answer = ring.post(body_of(members))
            assert answer.status == status, answer
            judge(answer.error, code, param)


@pytest.mark.parametrize('members, status, code, param', TURNS, ids=named)
def test_on_a_websocket(quiet, members, status, code, param):
    """A wrapped frame; the socket stays, and serves what comes next."""
    with Socket(quiet.nodes[0].url, quiet.key) as ws:
        for stream_id in (None, 'lane'):
            error = ws.ask(body_of(members), stream_id).error
            assert error is not None and error['status'] == status, error
            assert set(error['error']) >= {'message', 'type', 'param', 'code'}
            judge(error['error'], code, param)


@pytest.mark.parametrize('path, members, status, code, param', CALLS, ids=named)
def test_other_calls(quiet, path, members, status, code, param):
    with quiet.ring() as ring:
        answer = ring.call(path, body_of(members))
        assert answer.status == status, answer
        judge(answer.error, code, param)


@pytest.mark.parametrize('query, status, code, param', PAGES, ids=named)
def test_pages(quiet, query, status, code, param):
    with quiet.ring() as ring:
        answer = ring.get('/v1/responses/%s/input_items?%s' % (quiet.stored.id, query))
        assert answer.status == status, answer
        judge(answer.error, code, param)


@pytest.mark.parametrize('query', ['starting_after=x', 'starting_after=-1', 'starting_after='])
def test_where_a_stream_starts(quiet, query):
    with quiet.ring() as ring:
        answer = ring.get('/v1/responses/%s?stream=true&%s' % (quiet.stored.id, query))
        assert answer.status == 400, answer
        judge(answer.error, TYPE, 'starting_after')


def test_a_model_whose_account_is_away(world):
    """It exists: the client is to come back."""
    world.cluster.use()
    try:
        with world.ring() as ring:
            answer = ring.post({'model': 'demo', 'input': 'x'})
            assert answer.status == 503 and answer.error['code'] == 'no_accounts', answer
    finally:
        world.cluster.use('s1')


def test_models_beside_an_idle_account(make_cluster):
    """An account that serves another model does not make this one unknown while its own is away."""
    world = World(make_cluster, ['stateless', 'stateless'], nodes=1)
    world.cluster.account('s1', 'stateless', world.upstream.base('s1'), '--model', 'one')
    world.cluster.account('s2', 'stateless', world.upstream.base('s2'), '--model', 'two')
    with world.ring() as ring:
        http.eventually(lambda: ring.post({'model': 'three', 'input': 'x'}).status == 404, what='their lists of models')
        world.cluster.use('s1')
        assert ring.post({'model': 'two', 'input': 'x'}).status == 503
        answer = ring.post({'model': 'three', 'input': 'x'})
        assert answer.status == 404 and answer.error['code'] == 'model_not_found' and answer.error['param'] == 'model'
