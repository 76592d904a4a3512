# SPDX-License-Identifier: Apache-2.0
"""The Codex CLI, as released: a prompt with a tool call, then `resume` on the other node; what it does at each fault, counted
in upstream turns, for its retries are many. Codex sends `store:false` always; over HTTP its whole history and never an id,
over a WebSocket a warm-up (`generate:false`) with the base prompt, then each time the id and what is new."""
import pytest

from fake_upstream import marker
from peers import KINDS, Codex, shell_call

TRANSPORTS = ('http', 'websocket')
ECHO = 'echo as the courier said'
SAID = 'as the courier said'

# Upstream turns of (a prompt with one tool call, its resume). Over a WebSocket each run begins with a warm-up, which is a turn
# of its own where upstream has WebSockets; for an account that has none the node answers it.
UPSTREAM_TURNS = {
    ('http', 'platform'): (2, 1), ('http', 'codex'): (2, 1), ('http', 'stateless'): (2, 1),
    ('websocket', 'platform'): (3, 2), ('websocket', 'codex'): (3, 2), ('websocket', 'stateless'): (2, 1),
}


@pytest.fixture
def transport(request):
    if request.param == 'websocket':
        request.getfixturevalue('websocket')
    return request.param


def transports():
    return pytest.mark.parametrize('transport', TRANSPORTS, indirect=True)


def said_by(history):
    """The roles and kinds of what is no preamble."""
    kinds = [item['type'] if item['type'] != 'message' else item['role'] for item in history]
    return [kind for kind in kinds if kind not in ('developer', 'reasoning')][1:]  # [0] is its environment


@pytest.mark.proves('stream', 'tools', 'chain')
@transports()
@pytest.mark.parametrize('kind', KINDS)
def test_tool_call_and_resume_on_the_other_node(fresh, transport, kind):
    codex, one, two = Codex(fresh, kind, transport == 'websocket'), *fresh.nodes
    first = codex.exec(one, 'go and look ' + shell_call(ECHO))
    history = first.check()
    command, = first.items('command_execution')
    assert (command['exit_code'], command['aggregated_output']) == (0, SAID + '\n')
    assert said_by(history) == ['user', 'function_call', 'function_call_output', 'assistant']
    turns = fresh.turns()

    history = codex.exec(two, 'and then?', resume=True).check()
    assert said_by(history) == ['user', 'function_call', 'function_call_output', 'assistant', 'user', 'assistant']
    assert (turns, fresh.turns() - turns) == UPSTREAM_TURNS[transport, kind]
    assert fresh.turns(KINDS[kind]) == fresh.turns()
    fresh.check()


@pytest.mark.proves('lost')
@transports()
@pytest.mark.parametrize('kind', KINDS)
def test_resume_when_the_account_is_gone(fresh, transport, kind):
    """Another account goes on with all that Codex has, without its predecessor's ciphertext."""
    codex, (one, two), owner = Codex(fresh, 'any', transport == 'websocket'), fresh.nodes, KINDS[kind]
    with fresh.only(kind):
        codex.exec(one, 'go and look ' + shell_call(ECHO)).check()
    before = fresh.turns()
    assert fresh.turns(owner) == before
    fresh.upstream.account(owner, mode='quota')
    codex.exec(two, 'and then?', resume=True).check()
    assert fresh.turns(owner) <= before + 2  # it was asked at most by the warm-up and the turn, once each
    fresh.check()


@transports()
@pytest.mark.parametrize('kind', KINDS)
def test_break_before_the_first_item(fresh, transport, kind):
    """Codex hears nothing of it, and sends nothing twice."""
    codex = Codex(fresh, kind, transport == 'websocket')
    before = fresh.requests()
    codex.exec(fresh.nodes[0], 'hello ' + marker(fault='eof', at='created', times=1)).check()
    warm_ups = UPSTREAM_TURNS[transport, kind][1] - 1
    assert (fresh.turns(), fresh.faulted()) == (2 + warm_ups, 1)
    assert transport == 'websocket' or fresh.requests() - before == 1


@transports()
@pytest.mark.parametrize('kind', KINDS)
def test_break_behind_an_item(fresh, transport, kind):
    """It is told, and repeats the turn once: response.failed with `server_error`."""
    codex = Codex(fresh, kind, transport == 'websocket')
    before = fresh.requests()
    run = codex.exec(fresh.nodes[0], 'hello ' + marker(fault='eof', at='item', times=1))
    assert run.status == 0 and said_by(codex.history())[-1] == 'assistant', run.events
    warm_ups = UPSTREAM_TURNS[transport, kind][1] - 1
    assert (fresh.turns(), fresh.faulted()) == (2 + warm_ups, 1)
    assert transport == 'websocket' or fresh.requests() - before == 2


@transports()
def test_all_are_exhausted(fresh, transport):
    """The turn fails at once, with the pool's words, and nobody is asked twice."""
    fresh.upstream.account('s', mode='quota')
    before = fresh.requests()
    run = Codex(fresh, 'stateless', transport == 'websocket').exec(fresh.nodes[0], 'hello')
    assert run.status == 1 and 'usage limit' in ' '.join(run.failures()), run.events
    assert fresh.turns() == 1
    assert transport == 'websocket' or fresh.requests() - before == 1


@transports()
def test_silence_is_bridged(fresh, transport):
    """Four seconds of silence under an idle limit of two: keepalive events hold Codex, comments and pings would not."""
    codex = Codex(fresh, 'platform', transport == 'websocket', stream_idle_timeout_ms=2000)
    codex.exec(fresh.nodes[0], 'hello ' + marker(fault='silence', at='item', for_ms=4000)).check()
    assert fresh.turns() == UPSTREAM_TURNS[transport, 'platform'][1]
