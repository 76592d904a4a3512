# SPDX-License-Identifier: Apache-2.0
"""The smaller doors of the Responses API: counting tokens, stored responses as streams, what may be included, and members that
are upstream's business. Each second call goes to another node."""
import json

import pytest

import client as http
from dialogue import Dialogue, REASONING, asking_for, user
from doors import worlds_of

TOKENS = '/responses/input_tokens'


@pytest.fixture(scope='module')
def worlds(make_cluster):
    return worlds_of(make_cluster)


def counted(ring, **body):
    answer = ring.call(TOKENS, dict({'model': 'demo'}, **body))
    assert answer.status == 200, answer
    assert answer.json['object'] == 'response.input_tokens' and answer.json['input_tokens'] > 0
    return answer.json['input_tokens']


# ---- input_tokens ----

@pytest.mark.parametrize('owner', ['platform', 'codex', 'stateless'])
def test_tokens_of_the_whole_context(worlds, owner):
    """What stands before the anchor counts, wherever it came from."""
    world = worlds(owner, 'platform')
    world.cluster.use(world.names[0])
    with world.ring() as ring:
        dialogue = Dialogue()
        dialogue.say(ring, 'one ' * 50)
        dialogue.say(ring, 'two ' * 50)
        world.cluster.use(*world.names)
        alone = counted(ring, input='three')
        whole = counted(ring, input=dialogue.items + [user('three')])
        assert whole > alone + 90
        assert counted(ring, input='three', previous_response_id=dialogue.anchor) == whole
        # the anchor's account is away: the other one is sent it all
        world.cluster.use('p2')
        assert counted(ring, input='three', previous_response_id=dialogue.anchor) == whole
    world.check()


def test_tokens_leave_nothing_behind(worlds):
    """No snapshot, no id, one line in the log."""
    world = worlds('platform')
    before = world.cluster.sql('SELECT count(*) FROM posthouse.snapshots')
    with world.ring() as ring:
        answer = ring.call(TOKENS, {'model': 'demo', 'input': 'x'})
        http.eventually(lambda: world.cluster.sql(
            "SELECT 1 FROM posthouse.request_log WHERE request_id = %s AND route = 'input_tokens'",
            answer.header('x-request-id')), what='its line in the request log')
    assert world.cluster.sql('SELECT count(*) FROM posthouse.snapshots') == before


def test_tokens_where_no_account_can(worlds):
    world = worlds('codex', 'stateless')
    with world.ring() as ring:
        answer = ring.call(TOKENS, {'model': 'demo', 'input': 'x'})
        assert answer.status == 400 and answer.error['code'] == 'unsupported_endpoint', answer
    assert not world.upstream.requests()


def test_tokens_fail_over(worlds):
    world = worlds('platform', 'platform')
    world.upstream.account('p1', mode='down')
    with world.ring() as ring:
        assert len({counted(ring, input='x') for _ in range(4)}) == 1


# ---- a stored response as a stream ----

def stream_of(ring, rid, after=None):
    answer = ring.get('/v1/responses/%s?stream=true%s' % (rid, '' if after is None else '&starting_after=%d' % after))
    assert answer.status == 200 and answer.header('content-type').startswith('text/event-stream'), answer
    events, done = http.parse_stream(answer.body)
    assert done
    return events


@pytest.mark.parametrize('kind', ['platform', 'codex', 'stateless'])
@pytest.mark.parametrize('streamed', [False, True])
def test_a_stored_response_as_a_stream(worlds, kind, streamed):
    """Well-formed, with all that the response holds; from any event on."""
    world = worlds(kind)
    with world.ring() as ring:
        turn = ring.turn({'model': 'demo', 'input': 'say ' + asking_for({'name': 'look', 'arguments': '{"a":1}'}, say=True),
                          'stream': streamed, **REASONING})
        events = stream_of(ring, turn.id)
        http.check_stream(events, True)
        assert events[-1].type == 'response.completed' and events[-1].data['response'] == turn.response
        assert events[0].data['response']['status'] == 'in_progress' and events[0].data['response']['output'] == []
        text = ''.join(e.data['delta'] for e in events if e.type == 'response.output_text.delta')
        assert text == turn.text
        assert [e.data['delta'] for e in events if e.type == 'response.function_call_arguments.delta'] == ['{"a":1}']
        done = [e.data['item'] for e in events if e.type == 'response.output_item.done']
        assert done == turn.response['output']
        added = [e.data['item'] for e in events if e.type == 'response.output_item.added']
        assert [(i['type'], i['id']) for i in added] == [(i['type'], i['id']) for i in done]
        for after in (0, 3, len(events) - 2):
            assert [e.raw for e in stream_of(ring, turn.id, after)] == [e.raw for e in events[after + 1:]]
        assert stream_of(ring, turn.id, len(events) + 5) == []


def test_streams_are_the_keys_own(worlds):
    world = worlds('stateless')
    with world.ring() as ring, world.ring(world.other) as others:
        rid = ring.turn({'model': 'demo', 'input': 'x'}).id
        unstored = ring.turn({'model': 'demo', 'input': 'x', 'store': False}).id
        for api, name in ((others, rid), (ring, unstored), (ring, 'resp_never')):
            answer = api.get('/v1/responses/%s?stream=true' % name)
            assert answer.status == 404 and answer.error['message'] == "Response with id '%s' not found." % name


# ---- include ----

def test_include_is_asked_of_the_account_that_keeps_it(worlds):
    """What a turn did not ask for is not stored here; its account may have it. Where it cannot be asked: what is stored."""
    world = worlds('platform')
    with world.ring() as ring:
        turn = ring.turn({'model': 'demo', 'input': 'x'})
        more = dict(turn.response, metadata={'included': 'yes'})
        path = '/v1/responses/%s?include[]=reasoning.encrypted_content' % turn.id
        world.upstream.script('p1', {'body': more}, any_request=True)
        assert ring.get(path).json == more
        asked, = world.asked('/responses/' + turn.id)
        assert asked[1]['path'].endswith('?include[]=reasoning.encrypted_content')
        world.upstream.script('p1', {'status': 404}, any_request=True)
        assert ring.get(path).json == turn.response
        world.cluster.use()
        assert ring.get(path).json == turn.response
        assert ring.get('/v1/responses/' + turn.id).json == turn.response


# ---- members that are upstream's ----

@pytest.mark.parametrize('kind', ['platform', 'stateless'])
def test_members_pass(worlds, kind):
    """prompt, include, metadata, and members that nobody knows, byte for byte; anchored or not."""
    world = worlds(kind)
    members = {'prompt': {'id': 'pmpt_1', 'version': '2', 'variables': {'a': 'b'}}, 'metadata': {'k': 'v' * 512},
               'include': ['message.output_text.logprobs'], 'x_new': {'deep': [1, {'n': None}]}, 'service_tier': 'flex'}
    with world.ring() as ring:
        rid = None
        for _ in range(3):
            body = {'model': 'demo', 'input': 'x', **members, **({'previous_response_id': rid} if rid else {})}
            text = json.dumps(body).replace('"deep": [1', '"deep": [1.50e0')
            rid = ring.turn(text.encode()).id
            sent = world.upstream.requests(world.names[0])[-1]['body']
            assert '1.50e0' in sent
            assert {name: json.loads(sent)[name] for name in members} == {
                **members, 'x_new': {'deep': [1.5, {'n': None}]}}


# ---- cancel ----

def test_cancel_is_for_background_responses(worlds):
    world = worlds('platform', 'stateless')
    with world.ring() as ring, world.ring(world.other) as others:
        rid = ring.turn({'model': 'demo', 'input': 'x'}).id
        answer = ring.call('/responses/%s/cancel' % rid, None)
        assert answer.status == 400 and answer.error == {
            'message': answer.error['message'], 'type': 'invalid_request_error', 'param': None, 'code': None}
        assert answer.error['message'].startswith('Cannot cancel a synchronous response.')
        foreign, unknown = others.call('/responses/%s/cancel' % rid, None), others.call('/responses/resp_no/cancel', None)
        assert foreign.status == unknown.status == 404
        assert foreign.body.replace(rid.encode(), b'') == unknown.body.replace(b'resp_no', b'')
    assert not world.asked('/cancel')
