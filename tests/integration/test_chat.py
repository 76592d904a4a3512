# SPDX-License-Identifier: Apache-2.0
"""POST /v1/chat/completions on two nodes: relayed to accounts that have it, translated for those that have not. Whatever the
account, a client sees the same; what an account sees is a context that the client can recompute."""
import http.client
import json
import socket
import threading
import time

import pytest

import client as http_client
from client import Client, eventually
from fake_upstream import expected_text, marker
from harness import FakeUpstream

# account -> its kind, and whether it answers the path itself
ACCOUNTS = {'p': ('platform', True), 'c': ('codex', False), 's': ('stateless', True), 'b': ('stateless', False),
            'last': ('platform', True)}  # chosen after all others
EVERY = pytest.mark.parametrize('name', ['p', 'c', 's', 'b'])
TRANSLATED = pytest.mark.parametrize('name', ['c', 'b'])
NATIVE = pytest.mark.parametrize('name', ['p', 's'])
BOTH = pytest.mark.parametrize('stream', [False, True], ids=['whole', 'stream'])
PATH = '/v1/chat/completions'
TOOL = {'type': 'function', 'function': {'name': 'look', 'description': 'Looks.',
                                         'parameters': {'type': 'object', 'properties': {'at': {'type': 'string'}}}}}


class World:
    def __init__(self, make_cluster):
        self.cluster = make_cluster({'POSTHOUSE_HOLD_TIMEOUT': '500ms', 'POSTHOUSE_KEEPALIVE_INTERVAL': '300ms',
                                     'POSTHOUSE_QUEUE_TIMEOUT': '1s'})
        self.upstream = self.cluster.own(FakeUpstream([(name, kind) for name, (kind, _) in ACCOUNTS.items()]))
        self.keys = {'any': self.cluster.key('any')}
        for name, (kind, _) in ACCOUNTS.items():
            self.cluster.account(name, kind, self.upstream.base(name), '--priority', 900 if name == 'last' else 100)
            self.keys[name] = self.cluster.key('only-' + name, '--account', name)
        self.nodes = [self.cluster.node() for _ in range(2)]
        self.fresh()

    def fresh(self):
        self.cluster.fresh()
        for name, (_, native) in ACCOUNTS.items():
            self.upstream.account(name, chat=native)

    def key(self, *names):
        """A key for these accounts alone."""
        name = '-'.join(names)
        if name not in self.keys:
            options = [option for each in names for option in ('--account', each)]
            self.keys[name] = self.cluster.key('key-' + name, *options)
        return self.keys[name]

    def seen(self, name):
        """The turns that the account saw, by their paths."""
        return [request['path'].rsplit('/v1')[-1].rsplit('/codex')[-1] for request in self.upstream.requests(name)
                if 'models' not in request['path']]

    def turns(self, *names):
        stats = self.upstream.accounts()
        return sum(stats[name]['turns'] for name in names or ACCOUNTS)


@pytest.fixture(scope='module')
def world(make_cluster):
    return World(make_cluster)


@pytest.fixture
def fresh(world):
    world.fresh()
    yield world
    for name, each in world.upstream.accounts().items():
        assert each['foreign'] == 0, (name, each['found'])


# ---- a client that believes nothing ----

class Chat:
    """A completion, or what its chunks amount to."""

    def __init__(self, answer, stream, usage=False):
        assert answer.status == 200, answer
        self.answer = answer
        if stream:
            self.read_chunks(answer.body, usage)
        else:
            whole = answer.json
            assert whole['object'] == 'chat.completion'
            assert len(whole['choices']) == 1 and whole['choices'][0]['index'] == 0
            self.id, self.model, self.usage = whole['id'], whole['model'], whole.get('usage')
            self.message, self.finish = whole['choices'][0]['message'], whole['choices'][0]['finish_reason']

    def read_chunks(self, body, usage):
        chunks, error, done = split_chunks(body)
        assert done and error is None, body[-500:]
        self.id, self.model = chunks[0]['id'], chunks[0]['model']
        assert {(c['id'], c['model'], c['created'], c['object']) for c in chunks} == {
            (self.id, self.model, chunks[0]['created'], 'chat.completion.chunk')}
        self.usage = None
        if usage:
            last = chunks.pop()
            assert last['choices'] == []
            self.usage = last['usage']
            assert all(chunk['usage'] is None for chunk in chunks)
        assert chunks[0]['choices'][0]['delta']['role'] == 'assistant'
        finishes = [chunk['choices'][0]['finish_reason'] for chunk in chunks]
        assert finishes[-1] and not any(finishes[:-1]), finishes
        self.finish, self.message = finishes[-1], {'content': None, 'refusal': None}
        for chunk in chunks:
            self.add(chunk['choices'][0]['delta'])

    def add(self, delta):
        for name in ('content', 'refusal'):
            if delta.get(name):
                self.message[name] = (self.message[name] or '') + delta[name]
        for call in delta.get('tool_calls', []):
            calls = self.message.setdefault('tool_calls', [])
            if call['index'] == len(calls):
                calls.append({'id': call['id'], 'type': call['type'], 'function': dict(call['function'])})
            else:
                assert 'id' not in call
                calls[call['index']]['function']['arguments'] += call['function']['arguments']

    @property
    def text(self):
        return self.message['content']

    @property
    def calls(self):
        return [(call['id'], call['function']['name'], call['function']['arguments'])
                for call in self.message.get('tool_calls', [])]


def split_chunks(body):
    """Chunks, the error that came in their place, and whether [DONE] came."""
    chunks, error, done = [], None, False
    blocks, rest = http_client.split_events(body)
    assert rest == b'', rest
    for block in blocks:
        if block.startswith(b':'):
            continue
        assert block.startswith(b'data: ') and not done and error is None, block
        if block == b'data: [DONE]\n\n':
            done = True
            continue
        data = json.loads(block[6:])
        if 'error' in data:
            error = data['error']
            assert set(error) >= {'message', 'type', 'param', 'code'}
        else:
            chunks.append(data)
    return chunks, error, done


def post(world, key, body, node=0, headers=None):
    with Client(world.nodes[node].url, world.keys.get(key, key)) as client:
        return client.request('POST', PATH, dict({'model': 'demo'}, **body), headers)


def chat(world, key, messages, stream=False, node=0, **members):
    if isinstance(messages, str):
        messages = [{'role': 'user', 'content': messages}]
    body = dict({'messages': messages, 'stream': stream}, **members)
    usage = members.get('stream_options', {}).get('include_usage', False)
    return Chat(post(world, key, body, node), stream, usage)


def heard_whole(world, key, body, node=0):
    """All that comes of a stream that is cut, and whether its last chunk came."""
    url = world.nodes[node]
    with socket.create_connection(('127.0.0.1', url.port), timeout=20) as sock:
        data = json.dumps(dict({'model': 'demo', 'stream': True}, **body)).encode()
        sock.sendall(b'POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n'
                     b'Content-Length: %d\r\n\r\n%s' % (PATH.encode(), world.keys[key].encode(), len(data), data))
        found = b''
        while True:
            piece = sock.recv(65536)
            if not piece:
                break
            found += piece
            if found.endswith(b'0\r\n\r\n'):
                break
    head, _, rest = found.partition(b'\r\n\r\n')
    body = b''
    while rest:
        size, _, rest = rest.partition(b'\r\n')
        if int(size, 16) == 0:
            return head, body, True
        body, rest = body + rest[:int(size, 16)], rest[int(size, 16) + 2:]
    return head, body, False


def role(name, word):
    """How an account hears of a role."""
    return word if ACCOUNTS[name][1] or word != 'system' else 'developer'


# ---- what is said ----

@BOTH
@EVERY
def test_conversation(fresh, name, stream):
    """Two exchanges, the second on another node, each with the exact context."""
    messages = [{'role': 'system', 'content': 'Be short.'}, {'role': 'user', 'content': 'héllo'}]
    first = chat(fresh, name, messages, stream)
    entries = ['%s:Be short.' % role(name, 'system'), 'user:héllo']
    assert first.text == expected_text(entries) and first.finish == 'stop'
    assert first.id.startswith('chatcmpl-') and first.model == 'demo'
    messages += [{'role': 'assistant', 'content': first.text}, {'role': 'user', 'content': 'again'}]
    second = chat(fresh, name, messages, stream, node=1)
    assert second.text == expected_text([*entries, 'assistant:' + first.text, 'user:again'])
    assert second.id != first.id
    assert second.answer.header('x-posthouse-continuity') == 'none'
    assert second.answer.header('x-request-id') and second.answer.header('x-posthouse-node')


@BOTH
@EVERY
def test_tools_in_parallel(fresh, name, stream):
    calls = [{'name': 'look', 'arguments': '{"at":"the sea"}', 'call_id': 'call_1'},
             {'name': 'look', 'arguments': '{"at":"é"}', 'call_id': 'call_2'}]
    ask = 'look ' + marker(calls=calls, delta_bytes=5)
    messages = [{'role': 'user', 'content': ask}]
    first = chat(fresh, name, messages, stream, tools=[TOOL], tool_choice='auto', parallel_tool_calls=True)
    assert first.calls == [('call_1', 'look', '{"at":"the sea"}'), ('call_2', 'look', '{"at":"é"}')]
    assert first.finish == 'tool_calls' and first.text is None
    messages.append({'role': 'assistant', 'content': None, 'tool_calls': first.message['tool_calls']})
    messages += [{'role': 'tool', 'tool_call_id': call[0], 'content': 'seen ' + call[0]} for call in first.calls]
    second = chat(fresh, name, messages, stream, node=1, tools=[TOOL])
    assert second.text == expected_text(['user:' + ask, 'call:call_1:look:{"at":"the sea"}', 'call:call_2:look:{"at":"é"}',
                                         'output:call_1:seen call_1', 'output:call_2:seen call_2'])
    assert second.finish == 'stop'


@EVERY
@pytest.mark.parametrize('slice_bytes', [1, 7, 64])
def test_chunks_in_slices(fresh, name, slice_bytes):
    """However the account's bytes are cut."""
    text = 'héllo ' + marker(slice=slice_bytes)
    found = chat(fresh, name, text, stream=True, stream_options={'include_usage': True})
    assert found.text == expected_text(['user:' + text]) and found.usage['total_tokens'] > 0


@EVERY
def test_images_and_files(fresh, name):
    picture = 'data:image/png;base64,' + 'A' * 5000
    content = [{'type': 'text', 'text': 'what is '}, {'type': 'image_url', 'image_url': {'url': picture, 'detail': 'low'}},
               {'type': 'image_url', 'image_url': {'url': 'https://example.net/a.png'}}]
    found = chat(fresh, name, [{'role': 'user', 'content': content}])
    entry = 'user:what is [input_image %s][input_image https://example.net/a.png]' % picture
    assert found.text.split(':')[0] == expected_text([entry]).split(':')[0]
    if not ACCOUNTS[name][1]:
        sent = json.loads(fresh.upstream.requests(name)[-1]['body'])['input'][0]['content'][1]
        assert sent == {'type': 'input_image', 'image_url': picture, 'detail': 'low'}


@BOTH
@EVERY
def test_usage(fresh, name, stream):
    """In the answer, or in a chunk before [DONE] where it is asked for; and in the request log."""
    more = {'stream_options': {'include_usage': True}} if stream else {}
    found = chat(fresh, name, 'count', stream, **more)
    usage = found.usage
    assert usage['prompt_tokens'] > 0 and usage['completion_tokens'] > 0
    assert usage['total_tokens'] == usage['prompt_tokens'] + usage['completion_tokens']
    request = found.answer.header('x-request-id')
    row = eventually(lambda: fresh.cluster.sql(
        'SELECT route, model, outcome, status, stream, input_tokens, output_tokens, response_id '
        'FROM posthouse.request_log WHERE request_id = %s', request), what='the row of the request log')
    assert row == [('chat', 'demo', 'completed', 200, stream, usage['prompt_tokens'], usage['completion_tokens'], None)]


@BOTH
@EVERY
def test_metrics(fresh, name, stream):
    node, kind = fresh.nodes[0], ACCOUNTS[name][0]
    chat(fresh, name, 'whether it has the path')

    def figures():
        return [node.metric('posthouse_requests_total', route='chat', code='2xx'),
                node.metric('posthouse_upstream_attempts_total', kind=kind, outcome='ok'),
                node.metric('posthouse_turns_total', continuity='none', outcome='completed')]

    before, failed = figures(), node.metric('posthouse_upstream_attempts_total', outcome='failed')
    chat(fresh, name, 'count', stream)
    eventually(lambda: figures() == [n + 1 for n in before], what='the metrics')
    assert node.metric('posthouse_streams_active') == 0
    assert node.metric('posthouse_upstream_attempts_total', outcome='failed') == failed


@EVERY
def test_nothing_is_kept(fresh, name):
    before = fresh.cluster.sql('SELECT count(*) FROM posthouse.snapshots')
    chat(fresh, name, 'keep nothing', stream=True, store=True)
    chat(fresh, name, 'keep nothing')
    time.sleep(0.2)
    assert fresh.cluster.sql('SELECT count(*) FROM posthouse.snapshots') == before


@NATIVE
def test_relayed_as_it_is(fresh, name):
    """Bytes of both ways, members that nobody here knows included."""
    text = ('{"model" : "demo", "messages":[{"role":"user","content":"x"}], "temperature": 0.10, "top_k": 1e2, "n": 2,'
            '"stop":["END"], "logprobs":true, "unheard":{"of":[1.0]}}')
    with Client(fresh.nodes[0].url, fresh.keys[name]) as client:
        answer = client.request('POST', PATH, text.encode())
    assert answer.status == 200 and len(answer.json['choices']) == 2
    assert answer.json['system_fingerprint'] == 'fp_fake'
    request = fresh.upstream.requests(name, answer=True)[-1]
    assert request['body'] == text
    stream = fresh.upstream
    answer = post(fresh, name, {'messages': [{'role': 'user', 'content': 'y'}], 'stream': True, 'n': 2,
                                'stream_options': {'include_usage': True}})
    chunks, error, done = split_chunks(answer.body)
    assert done and error is None
    assert sum(1 for chunk in chunks for choice in chunk['choices'] if choice['finish_reason']) == 2
    assert [chunk['choices'] for chunk in chunks[-3:]][-1] == [] and chunks[-1]['usage']['total_tokens']
    assert stream.stats(name)['turns'] == 2


@TRANSLATED
def test_members_that_are_carried_over(fresh, name):
    schema = {'type': 'json_schema', 'json_schema': {'name': 'n', 'schema': {'type': 'object'}, 'strict': True}}
    chat(fresh, name, 'x', max_completion_tokens=50, temperature=0.1, top_p=0.9, reasoning_effort='low', verbosity='low',
         response_format=schema, metadata={'a': 'b'}, prompt_cache_key='k', service_tier='flex', user='u',
         tools=[TOOL], tool_choice={'type': 'function', 'function': {'name': 'look'}}, parallel_tool_calls=False, seed=4)
    sent = json.loads(fresh.upstream.requests(name)[-1]['body'])
    assert sent['text'] == {'format': {'type': 'json_schema', 'name': 'n', 'schema': {'type': 'object'}, 'strict': True},
                            'verbosity': 'low'}
    assert sent['reasoning'] == {'effort': 'low'} and sent['store'] is False and sent['prompt_cache_key'] == 'k'
    assert sent['tools'] == [dict(TOOL['function'], type='function', strict=False)]
    assert sent['tool_choice'] == {'type': 'function', 'name': 'look'} and sent['parallel_tool_calls'] is False
    assert sent['service_tier'] == 'flex' and 'seed' not in sent and 'messages' not in sent
    kept = {'max_output_tokens': 50, 'temperature': 0.1, 'top_p': 0.9, 'metadata': {'a': 'b'}, 'user': 'u'}
    assert {k: sent.get(k) for k in kept} == (kept if name == 'b' else dict.fromkeys(kept))


# ---- what is refused ----

REFUSED = [({'n': 2}, 'n'), ({'stop': 'END'}, 'stop'), ({'logprobs': True}, 'logprobs'), ({'top_k': 3}, 'top_k'),
           ({'frequency_penalty': 1}, 'frequency_penalty'),
           ({'messages': [{'role': 'user', 'content': [{'type': 'input_audio', 'input_audio': {}}]}]},
            'messages[0].content[0]')]


@TRANSLATED
@pytest.mark.parametrize('members,param', REFUSED, ids=[param for _, param in REFUSED])
def test_what_cannot_be_carried_over(fresh, name, members, param):
    answer = post(fresh, name, dict({'messages': [{'role': 'user', 'content': 'x'}]}, **members))
    assert answer.status == 400 and answer.error['param'] == param
    assert answer.error['code'] == 'unsupported_parameter' and answer.error['type'] == 'invalid_request_error'
    assert fresh.upstream.stats(name)['found']['parameter'] == 0
    assert '/responses' not in fresh.seen(name)


def test_what_cannot_be_carried_over_finds_who_needs_no_translation(fresh):
    """In a pool of both, n=2 is served by those that have the path."""
    for i in range(6):
        answer = post(fresh, fresh.key('c', 'p'), {'messages': [{'role': 'user', 'content': 'x'}], 'n': 2}, node=i % 2)
        assert answer.status == 200 and len(answer.json['choices']) == 2, answer
    assert fresh.turns('p') == 6 and fresh.turns('c') == 0


@EVERY
@pytest.mark.parametrize('body,param,code', [
    ({}, 'messages', 'missing_required_parameter'), ({'messages': 'x'}, 'messages', 'invalid_value'),
    ({'messages': []}, 'messages', 'invalid_value'), ({'messages': [{}], 'stream': 'yes'}, 'stream', 'invalid_value'),
    ({'messages': [{}], 'model': 5}, 'model', 'invalid_value')])
def test_what_is_no_request(fresh, name, body, param, code):
    answer = post(fresh, name, body)
    assert (answer.status, answer.error['param'], answer.error['code']) == (400, param, code)
    assert fresh.turns() == 0


def test_door(fresh):
    hi = {'messages': [{'role': 'user', 'content': 'x'}]}
    assert post(fresh, 'ph_wrong', hi).status == 401
    with Client(fresh.nodes[0].url, fresh.keys['any']) as client:
        assert client.request('PUT', PATH).error['code'] == 'method_not_supported'
        assert client.request('POST', PATH, b'{"model":').error['code'] == 'invalid_json'
        assert client.request('POST', '/backend-api/codex/v1/chat/completions', dict(hi, model='demo')).status == 200
    fresh.keys.setdefault('one-model', fresh.cluster.key('one-model', '--model', 'other'))
    time.sleep(0.5)
    answer = post(fresh, 'one-model', hi)
    assert answer.status == 403 and answer.error['code'] == 'model_not_allowed'
    assert fresh.turns() == 1


# ---- failures ----

@BOTH
@EVERY
def test_refusal_of_the_upstream(fresh, name, stream):
    fresh.upstream.script(name, {'status': 400, 'code': 'context_length_exceeded', 'message': 'Too long.',
                                 'type': 'invalid_request_error'}, any_request=True)
    answer = post(fresh, name, {'messages': [{'role': 'user', 'content': 'x'}], 'stream': stream})
    assert answer.status == 400 and answer.error['code'] == 'context_length_exceeded'


@BOTH
@pytest.mark.parametrize('one,other', [('p', 'c'), ('c', 'last'), ('s', 'b'), ('b', 'c')])
@pytest.mark.parametrize('do', [{'status': 500}, {'status': 429, 'retry_after': 2}, {'fault': 'eof', 'at': 'created'},
                                {'fault': 'error', 'at': 'created'}, {'fault': 'reset', 'at': 'head'}],
                         ids=['500', '429', 'eof', 'error', 'reset'])
def test_failover(fresh, one, other, do, stream):
    """Nothing was shown: the other account answers, whichever of the two has the path."""
    for i in range(4):  # whatever rests from the test before
        chat(fresh, (one, other)[i // 2], 'well', node=i % 2)
    fresh.upstream.script(one, do)
    for i in range(4):
        found = chat(fresh, fresh.key(one, other), 'turn %d' % i, stream, node=i % 2)
        assert found.text == expected_text(['user:turn %d' % i])
    assert fresh.upstream.stats(one)['faulted'] == 1 and fresh.upstream.stats(other)['completed'] >= 1


def test_limits_are_learned(fresh):
    """An account out of quota is left alone by chats, too, and by the other node."""
    key = fresh.key('p', 'c')
    fresh.upstream.account('p', mode='quota')
    while fresh.turns('p') == 0:
        chat(fresh, key, 'x')
    eventually(lambda: fresh.cluster.sql("SELECT 1 FROM posthouse_admin.accounts WHERE name = 'p' AND health = 'exhausted'"),
               what='the finding')
    time.sleep(0.5)
    for i in range(4):
        chat(fresh, key, 'x', node=i % 2)
    assert fresh.turns('p') == 1
    fresh.upstream.account('c', mode='quota')
    answer = post(fresh, key, {'messages': [{'role': 'user', 'content': 'x'}]})
    assert answer.status == 429 and answer.error['code'] == 'usage_limit_reached' and answer.header('retry-after')


@EVERY
@pytest.mark.parametrize('fault', ['eof', 'end', 'reset', 'error', 'failed'])
def test_broken_in_the_middle(fresh, name, fault):
    """No finish_reason and no [DONE]: an error, and the connection ends without the last chunk of its framing."""
    text = 'x ' + marker(fault=fault, at='item', delta_bytes=4)
    _, body, complete = heard_whole(fresh, name, {'messages': [{'role': 'user', 'content': text}],
                                                  'stream_options': {'include_usage': True}})
    chunks, error, done = split_chunks(body)
    assert chunks and error and not done and not complete
    assert not any(choice['finish_reason'] for chunk in chunks for choice in chunk['choices'])
    assert all(not chunk.get('usage') for chunk in chunks)


@NATIVE
def test_broken_behind_the_finish(fresh, name):
    """A chunk that finishes is only shown once [DONE] came."""
    text = 'x ' + marker(fault='eof', at='terminal')
    _, body, complete = heard_whole(fresh, name, {'messages': [{'role': 'user', 'content': text}]})
    chunks, error, done = split_chunks(body)
    assert error and not done and not complete
    assert not any(choice['finish_reason'] for chunk in chunks for choice in chunk['choices'])


@BOTH
@EVERY
@pytest.mark.parametrize('reason,finish', [('max_output_tokens', 'length'), ('content_filter', 'content_filter')])
def test_cut_short(fresh, name, reason, finish, stream):
    found = chat(fresh, name, 'x ' + marker(fault='incomplete', reason=reason), stream)
    assert found.finish == finish


@EVERY
def test_client_leaves(fresh, name):
    """The account is told within a moment, and its slot is free."""
    text = 'x ' + marker(delay_ms=100, deltas=100)
    connection = http.client.HTTPConnection('127.0.0.1', fresh.nodes[0].port, timeout=20)
    body = json.dumps({'model': 'demo', 'stream': True, 'messages': [{'role': 'user', 'content': text}]})
    connection.request('POST', PATH, body, {'Authorization': 'Bearer ' + fresh.keys[name]})
    answer = connection.getresponse()
    answer.read(200)
    answer.close()
    connection.close()
    eventually(lambda: fresh.upstream.stats(name)['cancelled'] == 1, within=5, what='the cancelled turn')


@TRANSLATED
def test_silence_is_filled(fresh, name):
    """With comments, which no client takes for a chunk."""
    text = 'x ' + marker(fault='silence', at='item', for_ms=1200, delta_bytes=8)
    found = chat(fresh, name, text, stream=True)
    assert found.answer.body.count(b': keep-alive\n\n') >= 2


@NATIVE
def test_silence_of_chunks_is_filled(fresh, name):
    text = 'x ' + marker(fault='silence', at='item', for_ms=1200, delta_bytes=8)
    found = chat(fresh, name, text, stream=True)
    assert found.answer.body.count(b': keep-alive\n\n') >= 2


@EVERY
def test_silence_before_the_first_words(fresh, name):
    """What tells no more than the role is held, and shown after HOLD_TIMEOUT."""
    text = 'x ' + marker(fault='silence', at='created', for_ms=1200)
    found = chat(fresh, name, text, stream=True)
    assert found.text == expected_text(['user:' + text]) and b': keep-alive' in found.answer.body


@EVERY
def test_slow_client(fresh, name):
    """A client that does not read holds up its account, and loses nothing."""
    size = 4 << 20
    body = {'model': 'demo', 'stream': True,
            'messages': [{'role': 'user', 'content': marker(text_bytes=size, text='a', delta_bytes=20000)}]}
    with Client(fresh.nodes[0].url, fresh.keys[name]) as client:
        answer = client.open('POST', PATH, body)
        time.sleep(1)
        chunks, error, done = split_chunks(answer.read())
    assert done and error is None
    assert sum(len(c['choices'][0]['delta'].get('content') or '') for c in chunks) == size


# ---- who has the path ----

def test_a_missing_path_is_learned(fresh):
    """A node asks once; what it learned holds for a while."""
    node = fresh.cluster.node(env={'POSTHOUSE_QUEUE_TIMEOUT': '1s'})
    fresh.nodes.append(node)
    try:
        for _ in range(3):
            assert chat(fresh, 'b', 'x', node=2).text == expected_text(['user:x'])
        assert fresh.seen('b') == ['/chat/completions', '/responses', '/responses', '/responses']
        answer = post(fresh, 'b', {'messages': [{'role': 'user', 'content': 'x'}], 'n': 2}, node=2)
        assert answer.status == 400 and answer.error['param'] == 'n'
    finally:
        fresh.nodes.pop()
        node.stop()


def test_a_missing_path_of_what_cannot_be_translated(fresh):
    """Nobody knows yet that the account lacks it: then what it lacks is told, with the member."""
    node = fresh.cluster.node(env={'POSTHOUSE_QUEUE_TIMEOUT': '1s'})
    fresh.nodes.append(node)
    try:
        answer = post(fresh, 'b', {'messages': [{'role': 'user', 'content': 'x'}], 'n': 2}, node=2)
        assert answer.status == 400 and answer.error['param'] == 'n'
        assert answer.error['code'] == 'unsupported_parameter'
        assert fresh.seen('b') == ['/chat/completions']
    finally:
        fresh.nodes.pop()
        node.stop()


def test_a_missing_model_is_no_missing_path(fresh):
    fresh.upstream.account('p', models=['other'])
    for _ in range(2):
        answer = post(fresh, 'p', {'messages': [{'role': 'user', 'content': 'x'}]})
        assert answer.status == 404 and answer.error['code'] == 'model_not_found'
    assert '/responses' not in fresh.seen('p')


# ---- slots ----

@pytest.mark.parametrize('name', ['p', 'c'])
def test_slots(fresh, name):
    """Never more at a time than the account takes, over both nodes; who waits too long is told so."""
    fresh.cluster.sql("SELECT posthouse_admin.set_account_limit(%s, 2, 'test')", name)
    time.sleep(0.5)
    found = []

    def one(i):
        text = 'x ' + marker(delay_ms=100, deltas=3)
        found.append(post(fresh, name, {'messages': [{'role': 'user', 'content': text}], 'stream': True}, node=i % 2))

    try:
        threads = [threading.Thread(target=one, args=(i,)) for i in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert fresh.upstream.stats(name)['max_running'] <= 2
        assert sorted({answer.status for answer in found}) in ([200], [200, 429])
        assert sum(answer.status == 200 for answer in found) >= 2
        for answer in found:
            if answer.status == 200:
                Chat(answer, True)
    finally:
        fresh.cluster.sql("SELECT posthouse_admin.set_account_limit(%s, NULL, 'test')", name)


# ---- chats that are kept ----

def stored(text, **members):
    return dict({'model': 'demo', 'messages': [{'role': 'user', 'content': text}], 'store': True}, **members)


@BOTH
def test_a_stored_chat_is_read_changed_and_deleted(fresh, stream):
    """On the other node, as soon as its client has heard its end; and by no other key."""
    key, other = fresh.key('p'), fresh.keys['any']
    one, two = (node.url for node in fresh.nodes)
    body = stored('keep this', metadata={'trip': 'north'}, stream=stream)
    chat = http_client.once(one, key, 'POST', PATH, body)
    assert chat.status == 200, chat
    found = json.loads(chat.body) if not stream else json.loads(chat.body.split(b'data: ')[1])
    mine = '%s/%s' % (PATH, found['id'])
    read = http_client.once(two, key, 'GET', mine)
    assert (read.status, read.json['id'], read.json['metadata']) == (200, found['id'], {'trip': 'north'}), read
    assert http_client.once(two, key, 'GET', mine + '/messages').status == 200
    assert http_client.once(one, key, 'POST', mine, {'metadata': {}}).status == 200
    assert found['id'] in [each['id'] for each in http_client.once(two, key, 'GET', PATH).json['data']]
    assert http_client.once(two, key, 'GET', PATH + '?model=another').json['data'] == []
    for method, path in (('GET', mine), ('DELETE', mine), ('GET', mine + '/messages'), ('GET', mine[:-1] + 'x')):
        answer = http_client.once(two, other, method, path)
        assert answer.status == 404 and answer.error['code'] is None and 'Chat completion' in answer.error['message'], answer
    assert found['id'] not in [each['id'] for each in http_client.once(two, other, 'GET', PATH).json['data']]
    assert http_client.once(two, key, 'DELETE', mine).json['deleted'] is True
    assert http_client.once(one, key, 'GET', mine).status == 404
    assert found['id'] not in [each['id'] for each in http_client.once(one, key, 'GET', PATH).json['data']]


@pytest.mark.parametrize('name,store', [('p', False), ('s', True), ('c', True), ('b', True)])
def test_a_chat_that_nobody_keeps(fresh, name, store):
    chat = http_client.once(fresh.nodes[0].url, fresh.keys[name], 'POST', PATH, stored('go on', store=store))
    assert chat.status == 200, chat
    assert http_client.once(fresh.nodes[1].url, fresh.keys[name], 'GET', '%s/%s' % (PATH, chat.json['id'])).status == 404
    listed = http_client.once(fresh.nodes[1].url, fresh.keys[name], 'GET', PATH).json['data']
    assert chat.json['id'] not in [each['id'] for each in listed]


def test_a_stored_chat_draws_no_files(fresh):
    """Chats are at whichever account was free: what a key keeps besides stays together."""
    key = fresh.key('p', 'last')
    home = http_client.once(fresh.nodes[0].url, key, 'POST', '/v1/vector_stores', {'name': 'v'}).json['id']
    fresh.cluster.use('last' if '_p_' in home else 'p')
    assert http_client.once(fresh.nodes[0].url, key, 'POST', PATH, stored('keep')).status == 200
    fresh.cluster.use(*ACCOUNTS)
    assert http_client.once(fresh.nodes[1].url, key, 'POST', '/v1/vector_stores', {'name': 'w'}).json['id'].split('_')[1] == home.split('_')[1]
