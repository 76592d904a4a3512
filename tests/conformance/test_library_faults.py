# SPDX-License-Identifier: Apache-2.0
"""What openai-node and openai-python, the Agents SDKs, the AI SDK and curl do at a fault, counted in requests and in upstream turns."""
import json

import pytest

from fake_upstream import marker
from peers import PLAIN, Talk, account_of, texts, ways

RETRIES = 2  # of every library, unless it was told
TRIES = {'curl': 1}  # how often a program asks for what may pass
MUTE = {('agents', 'socket'): 'terminal state "error"'}  # it drops the words of an error that comes on its socket
CONTENT = {'type': 'invalid_request_error', 'message': 'It is too much.'}
FLAT_ERROR = 'data: %s\n\n' % json.dumps({'error': {'message': 'Not now.', 'type': 'server_error', 'param': None, 'code': None}})
ONE_ACCOUNT = {  # what one account alone refuses
    'its quota': marker(status=429, code='insufficient_quota', type='insufficient_quota', times=1),
    'its plan': marker(fault='failed', code='usage_not_included', at='created', times=1),
    'an error in place of a stream': marker(body=FLAT_ERROR, content_type='text/event-stream', times=1),
}
REFUSED = {  # what no retry mends -> what a client reads
    'a long context': (marker(status=400, code='context_length_exceeded', **CONTENT), 'It is too much.'),
    'a large body': (marker(status=413, **CONTENT), 'The request is too large.'),
}
FAILED = {  # (program, how) -> what it says of a response that failed, and how often it asks
    ('agents', 'run'): ('response.failed', 1), ('agents', 'stream'): ('response.failed', 1), ('agents', 'socket'): ('response.failed', 1),
    ('ai', 'generate'): ('Invalid JSON response', 1), ('ai', 'history'): ('Invalid JSON response', 1),
    ('ai', 'stream'): ('It is too much.', 1 + RETRIES)}


@ways()
def test_break_before_the_first_item(fresh, program, how):
    """Invisible: one request of the client, a second one upstream."""
    said = ['one', 'two ' + marker(fault='eof', at='created', times=1), 'three']
    before, talk = fresh.requests(), Talk()
    for text, turn in zip(said, fresh.play(program, 'any', texts(how, *said))):
        talk.hear(text, turn)
    assert (fresh.turns(), fresh.faulted()) == (4, 1)
    assert how == 'socket' or fresh.requests() - before == 3
    fresh.check()


@ways(streamed=True)
@pytest.mark.parametrize('fault', ['eof', 'error', 'failed'])
def test_break_behind_an_item(fresh, program, how, fault):
    """A stream that broke ends as response.failed. No library repeats it by itself; each says that it failed, and the turn
    before it can be continued."""
    said = ['one', 'two ' + marker(fault=fault, code='server_error', at='item', times=1)]
    first, broken = fresh.play(program, 'any', texts(how, *said))
    if program in PLAIN:
        assert broken['status'] == 'failed' and broken['failure']['code'] == 'server_error', broken
        assert broken['events'][0] == 'response.created' and broken['events'][-1] == 'response.failed', broken
    else:
        told = {'ai': 'The upstream failed while it answered'}.get(program, 'response.failed')
        assert told in broken['error']['message'], broken
    assert fresh.turns() == 2
    talk = Talk()
    talk.hear('one', first)
    again, = fresh.play(program, 'any', texts(how, said[1], anchor=first['id']))
    talk.hear(said[1], again)


@ways(streamed=False)
def test_break_of_an_answer_that_is_not_streamed(fresh, program, how):
    """Nothing was shown: made good within the same request."""
    said = ['one', 'two ' + marker(fault='eof', at='item', times=1), 'three']
    before, talk = fresh.requests(), Talk()
    for text, turn in zip(said, fresh.play(program, 'any', texts(how, *said))):
        talk.hear(text, turn)
    assert fresh.requests() - before == 3


@ways(http=True)
def test_all_are_exhausted(fresh, program, how):
    """openai-node and the Agents SDK obey `x-should-retry: false`, the AI SDK tries as often as it always does; upstream is
    asked once."""
    fresh.upstream.account('s', mode='quota')
    before = fresh.requests()
    turn, = fresh.play(program, 'stateless', texts(how, 'one'))
    assert 'has reached its usage limit' in turn['error']['message'], turn
    if program != 'ai':
        assert (turn['error']['status'], turn['error']['code']) == (429, 'usage_limit_reached')
    assert fresh.requests() - before == (1 + RETRIES if program == 'ai' else 1)
    assert fresh.turns('s') == 1


@ways()
@pytest.mark.parametrize('what', ONE_ACCOUNT)
def test_another_account_serves(fresh, program, how, what):
    """What one account refuses no client hears of."""
    before, text = fresh.requests(), 'hello ' + ONE_ACCOUNT[what]
    turn, = fresh.play(program, 'any', texts(how, text))
    Talk().hear(text, turn)
    first, second = fresh.asked('hello')
    assert first != second
    assert how == 'socket' or fresh.requests() - before == 1


@ways(http=True)
def test_nobody_can_be_reached(fresh, program, how):
    """A request is four attempts upstream, and the third that fails in a row lets the account rest at once; a library comes back as
    often as it always does, and says so."""
    fresh.well('stateless')
    before = fresh.requests()
    turn, = fresh.play(program, 'stateless', texts(how, 'one ' + marker(status=500, code='server_error')))
    assert 'The upstream failed' in turn['error']['message'], turn
    tries = TRIES.get(program, 1 + RETRIES)
    assert (fresh.requests() - before, fresh.turns('s')) == (tries, {1: 4, 3: 4 + 4 + 1}[tries])


@ways('openai', 'openai_python', 'agents', 'agents_python', 'ai', http=True)
def test_short_limit_is_waited_for(fresh, program, how):
    """`Retry-After` under a minute: the library waits that long and is served."""
    fresh.upstream.script('s', {'status': 429, 'code': 'rate_limit_exceeded', 'retry_after': 1})
    turn, = fresh.play(program, 'stateless', texts(how, 'one'))
    Talk().hear('one', turn)
    assert fresh.turns('s') == 2


@ways(streamed=True)
def test_silence_is_bridged(fresh, program, how):
    """Two seconds without a word of the model: keepalive events, which no library minds."""
    said = ['one ' + marker(fault='silence', at='item', for_ms=2000), 'two']
    talk, turns = Talk(), fresh.play(program, 'any', texts(how, *said))
    for text, turn in zip(said, turns):
        talk.hear(text, turn)
    if program == 'openai':
        assert turns[0]['events'].count('keepalive') >= 2, turns[0]['events']
    assert fresh.turns() == 2


@ways()
@pytest.mark.parametrize('what', REFUSED)
def test_refused_request(fresh, program, how, what):
    """What no retry mends: asked once, and told as upstream said it."""
    before, (script, words) = fresh.requests(), REFUSED[what]
    turn, = fresh.play(program, 'stateless', texts(how, 'one ' + script))
    assert MUTE.get((program, how), words) in turn['error']['message'], turn
    assert fresh.turns() == 1
    assert how == 'socket' or fresh.requests() - before == 1


@ways()
def test_failed_response(fresh, program, how):
    """A failure that upstream tells in its answer and that nobody else would mend: the response says so, and the AI SDK repeats streams."""
    script = marker(fault='failed', code='cyber_policy', message='It is too much.', at='created')
    turn, = fresh.play(program, 'stateless', texts(how, 'one ' + script))
    words, turns = FAILED.get((program, how), ('It is too much.', 1))
    assert words in (turn['error'] if 'error' in turn else turn['failure'])['message'], turn
    assert fresh.turns() == turns


@ways(without=('history',))  # which never names one
def test_unknown_anchor(fresh, program, how):
    """The one error that says: begin anew. No library asks twice, and nobody upstream is asked."""
    turn, = fresh.play(program, 'stateless', texts(how, 'one', anchor='resp_nobody'))
    assert MUTE.get((program, how), 'resp_nobody') in turn['error']['message'], turn
    assert fresh.turns() == 0


@ways(http=True)
def test_wrong_key(fresh, program, how):
    fresh.keys['wrong'] = 'ph_nobody'
    turn, = fresh.play(program, 'wrong', texts(how, 'one'))
    assert 'API key' in turn['error']['message'], turn
    assert fresh.turns() == 0


@ways(http=True)
@pytest.mark.parametrize('key,status,code', [('other-model', 403, 'model_not_allowed'), ('no-model', 404, 'model_not_found')])
def test_model_that_the_key_may_not_use(fresh, keys, program, how, key, status, code):
    before = fresh.requests()
    turn, = fresh.play(program, key, texts(how, 'one'))
    assert turn['error']['code'] == code or program == 'ai' and turn['error']['status'] == status, turn
    assert (fresh.requests() - before, fresh.turns()) == (1, 0)


@ways(http=True)
def test_error_of_the_server(fresh, program, how):
    """Twice in a row: made good by the node, within one request."""
    before = fresh.requests()
    text = 'one ' + marker(status=500, code='server_error', times=2)
    turn, = fresh.play(program, 'stateless', texts(how, text))
    Talk().hear(text, turn)
    assert (fresh.turns(), fresh.requests() - before) == (3, 1)


@ways(*PLAIN)
def test_incomplete(fresh, program, how):
    """An answer that is cut short is no failure: the library gives what there is, and it can be continued."""
    said = ['one ' + marker(fault='incomplete', reason='max_output_tokens', at='output'), 'two']
    cut, turn = fresh.play(program, 'platform', texts(how, *said))
    assert cut['status'] == 'incomplete' and cut['text'], cut
    assert turn['status'] == 'completed', turn
    assert fresh.turns() == 2


@ways(streamed=True)
def test_events_for_codex_alone(fresh, program, how):
    """What the Codex backend says beside the answer would end the strict accumulator: it goes to Codex alone."""
    fresh.upstream.account('c', do={'before': [{'type': 'codex.rate_limits', 'rate_limits': {}}, {'type': 'response.metadata'}]})
    said = ['one', 'two']
    talk, turns = Talk(), fresh.play(program, 'codex', texts(how, *said))
    for text, turn in zip(said, turns):
        talk.hear(text, turn)
        assert not {'codex.rate_limits', 'response.metadata'} & set(turn['events']), turn['events']
