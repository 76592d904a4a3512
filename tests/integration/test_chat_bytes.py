# SPDX-License-Identifier: Apache-2.0
"""Chats of an account that answers them itself, byte for byte: what comes is what is shown, however it is cut, and what is no
stream of chunks never looks like one."""
import json

import pytest

KIND = 'platform'
PATH = '/v1/chat/completions'
ASK = {'model': 'demo', 'stream': True, 'messages': [{'role': 'user', 'content': 'x'}]}
DONE = b'data: [DONE]\n\n'


def chunk(delta, finish=None, index=0, **more):
    data = dict({'id': 'chatcmpl-1', 'object': 'chat.completion.chunk', 'created': 1, 'model': 'demo',
                 'choices': [{'index': index, 'delta': delta, 'finish_reason': finish}]}, **more)
    return b'data: ' + json.dumps(data).encode() + b'\n\n'


ROLE, HELLO, STOP = chunk({'role': 'assistant', 'content': ''}), chunk({'content': 'héllo'}), chunk({}, 'stop')
USAGE = chunk({}, choices=[], usage={'prompt_tokens': 7, 'completion_tokens': 2, 'total_tokens': 9})
FILTER = chunk({}, choices=[], prompt_filter_results=[])  # as some vendors begin


def ask(api, body=None):
    return api.request('POST', PATH, body or ASK)


STREAMS = {
    'plain': [ROLE, HELLO, STOP, DONE],
    'usage': [ROLE, HELLO, STOP, USAGE, DONE],
    'no-role': [HELLO, STOP, DONE],
    'nothing-said': [ROLE, STOP, DONE],
    'filter': [FILTER, ROLE, HELLO, STOP, DONE],
    'named': [b'event: chunk\n' + ROLE, b'id: 5\n' + HELLO, STOP, DONE],
    'crlf': [part.replace(b'\n', b'\r\n') for part in (ROLE, HELLO, STOP)] + [DONE],
    'choices': [ROLE, chunk({'content': 'b'}, index=1), chunk({'content': 'a'}), STOP, chunk({}, 'length', index=1), DONE],
    'tools': [ROLE, chunk({'tool_calls': [{'index': 0, 'id': 'c', 'function': {'name': 'f', 'arguments': ''}}]}),
              chunk({}, 'tool_calls'), DONE],
    'thoughts': [ROLE, chunk({'reasoning_content': 'hm'}), HELLO, STOP, DONE],
    'odd': [b'data: {"choices":[{"delta":{"content":"x"},"n":1e400}],"twice":1,"twice":0.10}\n\n', STOP, DONE],
}


@pytest.mark.parametrize('name', STREAMS)
def test_bytes_pass(world, api, name):
    data = b''.join(STREAMS[name])
    for size in (len(data), 64, 1):
        world.upstream.then(lambda x, n=size: x.stream([data[i:i + n] for i in range(0, len(data), n)]))
        answer = ask(api)
        assert answer.status == 200 and answer.body == data, size


def test_what_follows_the_end_is_dropped(world, api):
    world.upstream.then(lambda x: x.stream([ROLE + HELLO + STOP + DONE + HELLO + DONE]))
    assert ask(api).body == ROLE + HELLO + STOP + DONE


@pytest.mark.parametrize('other', [b': processing\n\n', b'data: {"type":"ping"}\n\n'], ids=['comment', 'event'])
def test_what_is_no_chunk(world, api, other):
    """Before the first chunk it tells nothing; behind it it passes."""
    world.upstream.then(lambda x: x.stream([other + ROLE + HELLO + other + STOP + DONE]))
    assert ask(api).body == ROLE + HELLO + other + STOP + DONE


def test_what_finishes_is_shown_last(world, api):
    """Another choice still speaks: it is not kept waiting, and the order of what finishes stays."""
    late = chunk({'content': 'late'}, index=1)
    end = chunk({}, 'stop', index=1)
    world.upstream.then(lambda x: x.stream([ROLE + HELLO + STOP + late + end + USAGE + DONE]))
    assert ask(api).body == ROLE + HELLO + late + STOP + end + USAGE + DONE


@pytest.mark.parametrize('pieces', [
    [b'data: {"choices":\n\n'], [b'data: [1]\n\n'], [DONE], [], [b'data: {"type":"ping"}\n\n', DONE], [b'data: {"error":{"message":"m","type":"server_error"}}\n\n'],
    [ROLE], [ROLE, STOP], [ROLE, STOP, USAGE], [ROLE, b'data: {"error":"gone"}\n\n']],
    ids=['json', 'list', 'done', 'empty', 'ping', 'error', 'role', 'finish', 'usage', 'text'])
def test_a_broken_stream_is_tried_again(world, api, pieces):
    """Nothing of it was shown."""
    world.upstream.then(lambda x: x.stream(pieces), lambda x: x.stream([ROLE, HELLO, STOP, DONE]))
    answer = ask(api)
    assert answer.status == 200 and answer.body == ROLE + HELLO + STOP + DONE
    assert len([r for r in world.upstream.requests if r.target.endswith('/chat/completions')]) == 2


@pytest.mark.parametrize('body', [b'{"id":"x"}', b'[]', b'nonsense', b'{"error":{"message":"m","type":"server_error"}}'])
def test_a_broken_answer_is_tried_again(world, api, body):
    whole = {'object': 'chat.completion', 'choices': [{'message': {'content': 'x'}}], 'n': 1}
    world.upstream.then(lambda x: x.answer(200, body), lambda x: x.answer(200, whole))
    answer = ask(api, dict(ASK, stream=False))
    assert answer.status == 200 and answer.json == whole
