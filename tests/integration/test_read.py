# SPDX-License-Identifier: Apache-2.0
"""Reading back: a response, its input items and its deletion on any node; models; paths that are relayed as they are."""
import json
import threading
import time

import pytest

import client as http
import rawupstream as raw


@pytest.fixture(scope='module')
def world(make_cluster, make_upstream):
    class World:
        cluster = make_cluster()
        upstream = make_upstream()

    World.cluster.account('s1', 'stateless', World.upstream.url)
    World.key = World.cluster.key('k1')
    World.a, World.b = World.cluster.node(), World.cluster.node()
    return World


@pytest.fixture
def a(world):
    world.upstream.clear()
    with http.Client(world.a.url, world.key) as client:
        yield client


@pytest.fixture
def b(world):
    with http.Client(world.b.url, world.key) as client:
        yield client


@pytest.mark.parametrize('streamed', [True, False])
def test_get_on_another_node(a, b, streamed):
    """What GET shows is the object that the turn ended with; at once, on every node."""
    turn = a.turn({'model': 'demo', 'input': 'x', 'stream': streamed})
    for node in (b, a):
        answer = node.get('/v1/responses/' + turn.id)
        assert answer.status == 200 and answer.json == turn.response
    assert answer.header('x-request-id') and answer.header('content-type').startswith('application/json')


def test_get_keeps_bytes(world, a, b):
    """Items come back as the bytes that they were."""
    rid = raw.new_id()
    item = b'{"type":"message","id":"m","role":"assistant","status":"completed","content":[],"n":1e400,"x":1,"x":2}'
    world.upstream.then(lambda x: x.answer(200, b'{"id":"%s","object":"response","status":"completed","model":"demo",'
                                           b'"output":[%s],"usage":null,"big":12345678901234567890123}'
                                           % (rid.encode(), item)))
    assert a.post({'model': 'demo', 'input': 'x'}).status == 200
    body = b.get('/v1/responses/' + rid).body
    assert item in body and b'"big":12345678901234567890123' in body


def test_get_ignores_query(a, b):
    turn = a.turn({'model': 'demo', 'input': 'x'})
    assert b.get('/v1/responses/%s?include[]=reasoning.encrypted_content&include_obfuscation=false' % turn.id).status == 200


def test_unstored_responses_can_be_continued_but_not_read(a, b):
    turn = a.turn({'model': 'demo', 'input': 'x', 'store': False})
    assert b.get('/v1/responses/' + turn.id).status == 404
    assert b.get('/v1/responses/%s/input_items' % turn.id).status == 404
    assert b.turn({'model': 'demo', 'input': 'y', 'previous_response_id': turn.id}).continuity == 'replayed'


def test_delete_hides_a_response(world, a, b):
    first = a.turn({'model': 'demo', 'input': 'one'})
    second = b.turn({'model': 'demo', 'input': 'two', 'previous_response_id': first.id})
    answer = b.delete('/v1/responses/' + first.id)
    assert answer.status == 200 and answer.json == {'id': first.id, 'object': 'response', 'deleted': True}
    gone = a.get('/v1/responses/' + first.id)
    assert gone.status == 404 and gone.error['message'] == "Response with id '%s' not found." % first.id
    assert a.get('/v1/responses/%s/input_items' % first.id).status == 404
    assert a.delete('/v1/responses/' + first.id).status == 404
    refused = a.post({'model': 'demo', 'input': 'x', 'previous_response_id': first.id})
    assert refused.status == 400 and refused.error['code'] == 'previous_response_not_found'
    # what was built on it keeps its items
    assert a.turn({'model': 'demo', 'input': 'three', 'previous_response_id': second.id}).continuity == 'replayed'
    assert [i.get('content') for i in world.upstream.turns()[-1].json['input'] if i.get('role') == 'user'] == [
        'one', 'two', 'three']


def items_of(client, rid, **query):
    answer = client.get('/v1/responses/%s/input_items?%s' % (rid, '&'.join('%s=%s' % pair for pair in query.items())))
    assert answer.status == 200, answer
    assert answer.json['object'] == 'list'
    return answer.json


def test_input_items(a, b):
    """That turn's own items, newest first by default, every one with an id that stays the same on every node."""
    first = a.turn({'model': 'demo', 'input': 'before'})
    given = [{'role': 'user', 'content': 'item %d' % n} for n in range(45)]
    given[7]['id'], given[7]['type'] = 'msg_client', 'message'
    turn = b.turn({'model': 'demo', 'input': given, 'previous_response_id': first.id})

    page = items_of(a, turn.id)
    assert len(page['data']) == 20 and page['has_more'] is True
    assert page['data'][0]['content'] == [{'type': 'input_text', 'text': 'item 44'}]
    assert page['first_id'] == page['data'][0]['id'] and page['last_id'] == page['data'][-1]['id']

    for order in ('asc', 'desc'):
        found, after = [], None
        while True:
            page = items_of(b, turn.id, order=order, limit=7, **({'after': after} if after else {}))
            found += page['data']
            if not page['has_more']:
                break
            after = page['last_id']
        texts = [str(item['content']) for item in found]
        expected = ['item %d' % n for n in range(45)]
        assert len(found) == 45
        for text, want in zip(texts, expected if order == 'asc' else expected[::-1]):
            assert want in text
        ids = [item['id'] for item in found]
        assert len(set(ids)) == 45 and 'msg_client' in ids
    assert items_of(a, turn.id, limit=100)['data'] == found
    assert items_of(a, turn.id, limit=100)['has_more'] is False
    assert items_of(a, turn.id, after=found[-1]['id'])['data'] == []


def test_string_input_is_one_item(a, b):
    turn = a.turn({'model': 'demo', 'input': 'hello \u2603'})
    page = items_of(b, turn.id)
    assert len(page['data']) == 1 and page['has_more'] is False
    item = page['data'][0]
    assert (item['type'], item['role'], item['content']) == ('message', 'user', [{'type': 'input_text', 'text': 'hello \u2603'}])


def test_contents_that_came_as_strings_are_lists(a, b):
    """Whoever said it, with an id of its own or without; what came as a list stays as it was."""
    parts = [{'type': 'input_text', 'text': 'listed'}]
    given = [{'role': 'user', 'content': 'asked "x"'}, {'id': 'msg_1', 'role': 'assistant', 'content': 'said', 'type': 'message'},
             {'role': 'developer', 'content': parts}]
    turn = a.turn({'model': 'demo', 'input': given})
    found = items_of(b, turn.id, order='asc')['data']
    assert [item['content'] for item in found] == [[{'type': 'input_text', 'text': 'asked "x"'}],
                                                   [{'type': 'output_text', 'annotations': [], 'text': 'said'}], parts]
    assert [item['type'] for item in found[:2]] == ['message', 'message']
    assert found[1]['id'] == 'msg_1' and [item['role'] for item in found] == ['user', 'assistant', 'developer']


@pytest.mark.parametrize('path, kind', [('embeddings', 'application/json'), ('moderations', 'application/json'),
                                        ('audio/speech', 'application/json'),
                                        ('audio/transcriptions', 'multipart/form-data; boundary=xx')])
def test_other_paths_are_relayed(world, a, path, kind):
    """Where nothing owned can be named, bytes go there and back."""
    body = b'{ "model":"demo", "input" : "\\u0041", "n": 1e400 }'
    if kind.startswith('multipart'):
        body = (b'--xx\r\nContent-Disposition: form-data; name="model"\r\n\r\ndemo\r\n--xx\r\nContent-Disposition: '
                b'form-data; name="file"; filename="a"\r\n\r\n' + bytes(range(256)) * 400 + b'\r\n--xx--\r\n')
    reply = bytes(range(256)) * 300
    world.upstream.handler = lambda x: x.answer(200, reply, [('X-Extra', '1'), ('Set-Cookie', 'no=1')], 'audio/x')
    try:
        answer = a.request('POST', '/v1/%s?a=b%%20c' % path, body, headers={'Content-Type': kind})
    finally:
        world.upstream.handler = raw.plain
    assert answer.status == 200 and answer.body == reply and answer.header('content-type') == 'audio/x'
    assert answer.header('set-cookie') is None
    sent = world.upstream.requests[-1]
    assert sent.target == '/v1/%s?a=b%%20c' % path and sent.body == body and sent.header('content-type') == kind
    assert sent.header('authorization') == 'Bearer ' + world.cluster.UPSTREAM_SECRET


def test_relayed_errors_are_relayed(world, a):
    world.upstream.handler = lambda x: x.answer(422, b'{"error":{"message":"m","type":"t","param":null,"code":null}}')
    try:
        answer = a.request('POST', '/v1/embeddings', {'model': 'demo', 'input': 'x'})
    finally:
        world.upstream.handler = raw.plain
    assert answer.status == 422 and answer.error['message'] == 'm'
