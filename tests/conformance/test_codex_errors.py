# SPDX-License-Identifier: Apache-2.0
"""What Codex makes of the errors that reach it: it recovers by itself, or stops with the words of whoever refused, and upstream is
asked exactly so often. Mostly on a `stateless` account, for whose warm-ups nobody upstream is asked. The rows are those of the
handbook's tables: statuses, codes of response.failed, faults of a stream."""
import json

import pytest

from fake_upstream import marker
from peers import Codex, shell_call
from test_codex_cli import transport, transports  # noqa: F401 pylint: disable=unused-import

CONTENT = {'type': 'invalid_request_error', 'message': 'It is too much.'}
FLAT_ERROR = 'data: %s\n\n' % json.dumps({'error': {'message': 'Not now.', 'type': 'server_error', 'param': None, 'code': None}})
MONEY = ['insufficient_quota', 'credit_balance_exhausted', 'organization_spend_limit_exceeded', 'usage_limit_reached', 'usage_not_included']


FEW = {'request_max_retries': 0, 'stream_max_retries': 0}  # of Codex's tries: it has up to thirty for a turn
TRIES = {'http': 1, 'websocket': 2}  # that leaves: over a WebSocket, and then as often over HTTP


def failed(code, at='created', **members):
    return marker(fault='failed', code=code, at=at, **members)


RECOVERS = {  # what happens upstream -> how often a turn of Codex is then seen there
    'an error of the server': (marker(status=500, code='server_error', times=1), 2),
    'two errors of the server': (marker(status=500, code='server_error', times=2), 3),
    'a bad gateway in HTML': (marker(status=502, html=True, times=1), 2),
    'an overload': (marker(status=503, code='server_is_overloaded', times=1), 2),
    'a short limit': (marker(status=429, code='rate_limit_exceeded', retry_after=1, times=1), 2),
    'a conflict': (marker(status=409, code='conflict', times=1), 2),
    'a failure before an item': (failed('server_error', times=1), 2),
    'a failure behind an item': (failed('server_error', 'item', times=1), 2),
    'an unknown failure behind an item': (failed('something_new', 'item', times=1), 2),
    'an overload in the stream': (failed('server_is_overloaded', times=1), 2),
    'an overload behind an item': (failed('server_is_overloaded', 'item', times=1), 2),
    'a short limit in the stream': (failed('rate_limit_exceeded', message='Please try again in 1s.', times=1), 2),
    'a short limit behind an item': (failed('rate_limit_exceeded', 'item', message='Please try again in 1s.', times=1), 2),
    'a request to slow down': (failed('slow_down', message='Please try again in 1s.', times=1), 2),
    'an error in place of a stream': (marker(body=FLAT_ERROR, content_type='text/event-stream', times=1), 2),
    'an error behind an item': (marker(fault='error', code='server_error', at='item', times=1), 2),
    'a reset behind an item': (marker(fault='reset', at='item', times=1), 2),
    'two ends behind an item': (marker(fault='end', at='item', times=2), 3),
    'an answer that is filtered': (marker(fault='incomplete', reason='content_filter', at='output', times=1), 2),
    'an end before the terminal event': (marker(fault='end', at='output', times=1), 2),
    'an event that nobody knows': (marker(events=[{'type': 'response.unheard_of', 'at': 1}]), 1),
    'lines that end with CRLF, and no event lines': (marker(line_end='crlf', no_event=True), 1),
}

STOPS = {  # what happens upstream -> what Codex tells
    'a context that is too long': (marker(status=400, code='context_length_exceeded', **CONTENT), 'context window'),
    'a bad prompt': (marker(status=400, code='invalid_prompt', **CONTENT), 'It is too much.'),
    'a policy': (marker(status=400, code='cyber_policy', **CONTENT), 'It is too much.'),
    'a body that is too large': (marker(status=413, **CONTENT), 'payload_too_large'),
    'a model that is not for such accounts': (marker(status=400, type='invalid_request_error', message=(
        "The 'demo' model is not supported when using Codex with a ChatGPT account.")), 'not supported when using Codex'),
    'a context that is too long, in the stream': (failed('context_length_exceeded'), 'context window'),
    'a context that is too long, behind an item': (failed('context_length_exceeded', 'item'), 'context window'),
    'a bad prompt, in the stream': (failed('invalid_prompt', 'item', message='It is too much.'), 'It is too much.'),
    'a policy, in the stream': (failed('cyber_policy', message='It is too much.'), 'It is too much.'),
    'a policy, behind an item': (failed('bio_policy', 'item', message='It is too much.'), 'It is too much.'),
    'another policy, behind an item': (failed('misalignment_policy_violation', 'item', message='It is too much.'), 'It is too much.'),
    'an answer that is cut short': (marker(fault='incomplete', reason='max_output_tokens', at='output'), 'max_output_tokens'),
    'a model that nobody knows': (marker(status=404, code='model_not_found', type='invalid_request_error', message='No such model.'),
                                  'No such model.'),
    'a model that is not for all': (marker(status=403, code='access_program_not_enabled', message='Not for this model.'),
                                    'Not for this model.'),
}

ELSEWHERE = {  # what one account alone refuses
    'a wrong key': marker(status=401, code='invalid_api_key', times=1),
    'an account that was closed': marker(status=403, code='account_deactivated', times=1),
    'a workspace that was closed': marker(status=402, body={'detail': {'code': 'deactivated_workspace'}}, times=1),
    'a challenge': marker(status=403, html=True, times=1),
    'a model that it has not': marker(status=404, code='model_not_found', message='No such model.', times=1),
    'a model that is not for its plan': marker(status=400, type='invalid_request_error', times=1, message=(
        "The 'demo' model is not supported when using Codex with a ChatGPT account.")),
    'a long limit': marker(status=429, code='rate_limit_exceeded', retry_after=3600, times=1),
    **{code: marker(status=429, code=code, type=code, times=1) for code in MONEY},
    **{code + ', in the stream': failed(code, times=1) for code in MONEY},
}


def run_on(world, transport, text, key='stateless', **settings):  # noqa: F811 pylint: disable=redefined-outer-name
    return Codex(world, key, transport == 'websocket', **settings).exec(world.nodes[0], text)


def check_stopped(run, words):
    told = ' '.join(run.failures())
    assert run.status == 1 and words in told, (run.events, run.stderr)
    return told


@transports()
@pytest.mark.parametrize('what', RECOVERS)
def test_recovers(fresh, transport, what):  # noqa: F811 pylint: disable=redefined-outer-name
    script, turns = RECOVERS[what]
    run = run_on(fresh, transport, 'hello ' + script)
    assert run.status == 0 and run.items('agent_message'), (run.events, run.stderr)
    assert fresh.turns() == turns
    fresh.check()


@transports()
@pytest.mark.parametrize('what', STOPS)
def test_stops(fresh, transport, what):  # noqa: F811 pylint: disable=redefined-outer-name
    script, words = STOPS[what]
    check_stopped(run_on(fresh, transport, 'hello ' + script), words)
    assert fresh.turns() == 1


@transports()
def test_repeats_and_stops(fresh, transport):  # noqa: F811 pylint: disable=redefined-outer-name
    """A status that Codex takes for something that may pass: upstream is asked once for each of its tries."""
    run = run_on(fresh, transport, 'hello ' + marker(status=422, **CONTENT), **FEW)
    check_stopped(run, 'It is too much.')
    assert fresh.turns() == TRIES[transport]


@transports()
@pytest.mark.parametrize('what', ELSEWHERE)
def test_another_account_serves(fresh, transport, what):  # noqa: F811 pylint: disable=redefined-outer-name
    """Codex would stop at most of these: it hears nothing of them."""
    run = run_on(fresh, transport, 'hello ' + ELSEWHERE[what], 'any')
    run.check()
    first, second = fresh.asked('hello')
    assert first != second
    fresh.check()


@transports()
@pytest.mark.parametrize('code', MONEY)
def test_money_runs_out_behind_an_item(fresh, transport, code):  # noqa: F811 pylint: disable=redefined-outer-name
    """Codex would stop at one account's code: it is told `server_error`, repeats the turn, and another account serves it."""
    run = run_on(fresh, transport, 'hello ' + failed(code, 'item', times=1), 'any')
    assert run.status == 0 and run.items('agent_message'), (run.events, run.stderr)
    first, second = fresh.asked('hello')
    assert first != second


@transports()
@pytest.mark.parametrize('at', ['created', 'item'])
@pytest.mark.parametrize('code', MONEY)
def test_nobody_has_money(fresh, transport, code, at):  # noqa: F811 pylint: disable=redefined-outer-name
    """It stops with the pool's words, which name no code of an account, and nobody is asked twice."""
    told = check_stopped(run_on(fresh, transport, 'hello ' + failed(code, at)), 'usage limit')
    assert code == 'usage_limit_reached' or code not in told
    assert fresh.turns() == 1


@transports()
def test_nobody_can_be_reached(fresh, transport):  # noqa: F811 pylint: disable=redefined-outer-name
    """Every try of Codex is four attempts upstream, with waits between them; then it says so."""
    fresh.well('stateless')
    run = run_on(fresh, transport, 'hello ' + marker(status=500, code='server_error'), **FEW)
    check_stopped(run, 'The upstream failed')
    assert fresh.turns() == 4 * TRIES[transport]


@transports()
def test_refused_ciphertext(fresh, transport):  # noqa: F811 pylint: disable=redefined-outer-name
    """Codex would stop with the error: it never hears of it, for its turn is sent again without what was refused."""
    codex, (one, two) = Codex(fresh, 'stateless', transport == 'websocket'), fresh.nodes
    codex.exec(one, 'go and look ' + shell_call('echo here')).check()
    before = fresh.turns()
    refusal = marker(status=400, code='invalid_encrypted_content', type='invalid_request_error', times=1)
    run = codex.exec(two, 'and then? ' + refusal, resume=True)
    assert run.status == 0 and not run.failures(), (run.events, run.stderr)
    assert fresh.turns() - before == 2


# ---- what the key may not ----

@transports()
def test_a_wrong_key(fresh, transport):  # noqa: F811 pylint: disable=redefined-outer-name
    """It tries again, as with any 401, and says what is wrong; no account is bothered."""
    codex = Codex(fresh, 'any', transport == 'websocket', request_max_retries=1, stream_max_retries=1)
    codex.key = 'ph_nobody'
    check_stopped(codex.exec(fresh.nodes[0], 'hello'), '401')
    assert fresh.turns() == 0


@transports()
@pytest.mark.parametrize('key,words', [('other-model', 'may not use that model'), ('no-model', 'does not exist')])
def test_a_model_that_the_key_may_not_use(fresh, keys, transport, key, words):  # noqa: F811 pylint: disable=redefined-outer-name,unused-argument
    """403 and 404: tried again as all of these, without an account being asked."""
    check_stopped(run_on(fresh, transport, 'hello', key, request_max_retries=1, stream_max_retries=1), words)
    assert fresh.turns() == 0


@pytest.mark.parametrize('key,words', [('day', 'Quota exceeded'), ('hour', '429')])
def test_a_key_that_has_had_enough(fresh, keys, key, words):  # pylint: disable=redefined-outer-name,unused-argument
    """A day's limit is a quota, which ends the turn at once."""
    run_on(fresh, 'http', 'hello', key).check()
    check_stopped(run_on(fresh, 'http', 'hello', key, request_max_retries=0, stream_max_retries=0), words)
    assert fresh.turns() == 1
