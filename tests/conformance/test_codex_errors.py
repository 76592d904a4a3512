# SPDX-License-Identifier: Apache-2.0
"""What Codex makes of the errors that reach it: it recovers by itself, or stops with the words of whoever refused, and upstream is
asked exactly so often. On a `stateless` account, for whose warm-ups nobody upstream is asked."""
import pytest

from fake_upstream import marker
from peers import Codex, shell_call
from test_codex_cli import transport, transports  # noqa: F401 pylint: disable=unused-import

CONTENT = {'type': 'invalid_request_error', 'message': 'It is too much.'}

RECOVERS = {  # what happens upstream -> how often a turn of Codex is then seen there
    'an error of the server': (marker(status=500, code='server_error', times=1), 2),
    'two errors of the server': (marker(status=500, code='server_error', times=2), 3),
    'a bad gateway in HTML': (marker(status=502, html=True, times=1), 2),
    'an overload': (marker(status=503, code='server_is_overloaded', times=1), 2),
    'a short limit': (marker(status=429, code='rate_limit_exceeded', retry_after=1, times=1), 2),
    'a failure before an item': (marker(fault='failed', code='server_error', at='created', times=1), 2),
    'a failure behind an item': (marker(fault='failed', code='server_error', at='item', times=1), 2),
    'an error behind an item': (marker(fault='error', code='server_error', at='item', times=1), 2),
    'a reset behind an item': (marker(fault='reset', at='item', times=1), 2),
    'two ends behind an item': (marker(fault='end', at='item', times=2), 3),
    'an end before the terminal event': (marker(fault='end', at='output', times=1), 2),
}

STOPS = {  # what happens upstream -> what Codex tells
    'a context that is too long': (marker(status=400, code='context_length_exceeded', **CONTENT), 'context window'),
    'a bad prompt': (marker(status=400, code='invalid_prompt', **CONTENT), 'It is too much.'),
    'a policy': (marker(status=400, code='cyber_policy', **CONTENT), 'It is too much.'),
    'a context that is too long, in the stream': (marker(fault='failed', code='context_length_exceeded', at='created'), 'context window'),
    'a bad prompt, in the stream': (marker(fault='failed', code='invalid_prompt', message='It is too much.', at='item'), 'It is too much.'),
    'an answer that is cut short': (marker(fault='incomplete', reason='max_output_tokens', at='output'), 'max_output_tokens'),
}


@transports()
@pytest.mark.parametrize('what', RECOVERS)
def test_recovers(fresh, transport, what):  # noqa: F811 pylint: disable=redefined-outer-name
    script, turns = RECOVERS[what]
    run = Codex(fresh, 'stateless', transport == 'websocket').exec(fresh.nodes[0], 'hello ' + script)
    assert run.status == 0 and run.items('agent_message'), (run.events, run.stderr)
    assert fresh.turns() == turns
    fresh.check()


@transports()
@pytest.mark.parametrize('what', STOPS)
def test_stops(fresh, transport, what):  # noqa: F811 pylint: disable=redefined-outer-name
    script, words = STOPS[what]
    run = Codex(fresh, 'stateless', transport == 'websocket').exec(fresh.nodes[0], 'hello ' + script)
    assert run.status == 1 and words in ' '.join(run.failures()), (run.events, run.stderr)
    assert fresh.turns() == 1


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


@transports()
def test_a_wrong_key(fresh, transport):  # noqa: F811 pylint: disable=redefined-outer-name
    """It tries again, as with any 401, and says what is wrong; no account is bothered."""
    codex = Codex(fresh, 'any', transport == 'websocket', request_max_retries=1, stream_max_retries=1)
    codex.key = 'ph_nobody'
    run = codex.exec(fresh.nodes[0], 'hello')
    assert run.status == 1 and '401' in ' '.join(run.failures()), (run.events, run.stderr)
    assert fresh.turns() == 0
