# SPDX-License-Identifier: Apache-2.0
"""Chat completions with openai-node (its strict accumulator and its tool runner, too) and the AI SDK: conversations with a
tool round over two nodes, for each kind of account, and what they make of failures."""
import json

import pytest

from fake_upstream import marker
from peers import KINDS, TOOL_CALL, Talk, texts

CALL = marker(calls=[TOOL_CALL])
HOWS = ['create', 'raw', 'stream', 'tools', 'toolStream', 'generate', 'text']
STREAMED = ['raw', 'stream', 'toolStream', 'text']
EVERY = pytest.mark.parametrize('how', HOWS)
KIND = pytest.mark.parametrize('kind', KINDS)


@EVERY
@KIND
def test_conversation_over_two_nodes(fresh, how, kind):
    said = ['one', 'two ' + CALL, 'three']
    turns, talk = fresh.play('chat', kind, texts(how, *said)), Talk()
    for text, turn in zip(said, turns):
        talk.hear(text, turn)
        assert turn['finish'] == 'stop' and turn['id'].startswith('chatcmpl-')
    assert [len(turn['calls']) for turn in turns] == [0, 1, 0]
    assert fresh.turns(KINDS[kind]) == fresh.turns() == 4
    fresh.check()


@KIND
def test_parallel_calls(fresh, kind):
    calls = [dict(TOOL_CALL, call_id='call_%d' % i) for i in range(3)]
    for how in ('raw', 'stream', 'toolStream', 'text'):
        text, talk = 'look ' + marker(calls=calls, delta_bytes=3), Talk()
        turn, = fresh.play('chat', kind, texts(how, text))
        talk.hear(text, turn)
        assert [call['call_id'] for call in turn['calls']] == ['call_0', 'call_1', 'call_2']


@KIND
@pytest.mark.parametrize('how', ['create', 'raw', 'stream', 'text'])
def test_usage(fresh, kind, how):
    members = {'stream_options': {'include_usage': True}} if how in ('raw', 'stream') else {}
    turn, = fresh.play('chat', kind, texts(how, 'count', members=members))
    assert turn['usage']['prompt_tokens'] > 0 and turn['usage']['completion_tokens'] > 0
    assert how != 'raw' or turn['events'][-1] == 'usage'


@KIND
def test_schema(fresh, kind):
    place = {'at': 'the sea'}
    turn, = fresh.play('chat', kind, texts('parse', 'where ' + marker(text=json.dumps(place))))
    assert turn['parsed'] == place
    if kind == 'codex':
        sent = json.loads(fresh.upstream.requests('c')[-1]['body'])
        assert sent['text']['format']['name'] == 'place' and sent['text']['format']['strict'] is True


@KIND
@pytest.mark.parametrize('how', ['create', 'stream', 'generate', 'text'])
def test_refused_request(fresh, kind, how):
    """No client asks twice for what cannot be had."""
    refusal = marker(status=400, code='context_length_exceeded', message='Too long.', type='invalid_request_error')
    turn, = fresh.play('chat', kind, texts(how, 'x ' + refusal))
    assert 'Too long.' in str(turn['error'])
    assert fresh.turns() == 1


@KIND
@pytest.mark.parametrize('how', STREAMED)
@pytest.mark.parametrize('fault', ['eof', 'end', 'failed'])
def test_broken_stream_never_looks_complete(fresh, kind, how, fault):
    turn, = fresh.play('chat', kind, texts(how, 'x ' + marker(fault=fault, at='item', delta_bytes=4), retries=0))
    assert turn.get('error'), turn


@EVERY
def test_an_account_is_lost(fresh, how):
    """Whichever account had the chat so far: the next one has all of it, for the client sends it."""
    said, talk = ['one', 'two', 'three'], Talk()
    fresh.upstream.account('p', mode='quota')
    fresh.upstream.account('s', mode='down')
    for text, turn in zip(said, fresh.play('chat', 'any', texts(how, *said))):
        talk.hear(text, turn)
    assert fresh.upstream.accounts()['c']['completed'] == 3
