# SPDX-License-Identifier: Apache-2.0
"""openai-node, the Agents SDK and the AI SDK: conversations with a tool round over two nodes, for each kind of account. The
strict accumulator of openai-node throws at whatever is out of order in a stream."""
import pytest

from fake_upstream import marker
from peers import KINDS, TOOL_CALL, Talk, account_of, texts, ways

CALL = marker(calls=[TOOL_CALL], reasoning=True)


def test_packages_are_those_of_the_lock_file(clients):
    assert clients.version('openai') == '7.57.0' and clients.version('@openai/agents') == '0.20.0'
    assert clients.version('ai').startswith('7.') and clients.version('@ai-sdk/openai').startswith('4.')
    assert clients.version('ws') == '8.23.0' and clients.version('@openai/codex') == '0.169.0'
    assert clients.node('version', {})['node'].startswith('v22.')


@ways()
@pytest.mark.parametrize('kind', KINDS)
def test_conversation_over_two_nodes(fresh, program, how, kind):
    """Three turns, the second with a tool round; no request on the node of the one before. Four upstream turns, each with
    the exact context."""
    said = ['one', 'two ' + CALL, 'three']
    turns, talk = fresh.play(program, kind, texts(how, *said)), Talk()
    for text, turn in zip(said, turns):
        talk.hear(text, turn)
        assert account_of(turn['id']) == KINDS[kind]
    assert [len(turn['calls']) for turn in turns] == [0, 1, 0]
    assert fresh.turns() == 4
    fresh.check()


@ways()
def test_owner_is_limited(fresh, program, how):
    """The account that has the conversation is out of quota, wherever that leaves it: the client hears nothing of it."""
    said = ['one ' + CALL, 'two', 'three']
    first, = fresh.play(program, 'any', texts(how, said[0]))
    owner = account_of(first['id'])
    fresh.upstream.account(owner, mode='quota')
    if how == 'history':  # it keeps its messages: one process must play all
        first, *rest = fresh.play(program, 'any', texts(how, *said))
    else:
        rest = fresh.play(program, 'any', texts(how, said[1], anchor=first['id']) + texts(how, said[2]))
    talk = Talk()
    for text, turn in zip(said, [first, *rest]):
        talk.hear(text, turn)
    assert owner not in [account_of(turn['id']) for turn in rest]
    fresh.check()


def test_conversation_changes_its_way(fresh):
    """Each turn in another way, on another node."""
    order = ['create', 'stream', 'raw', 'create', 'raw', 'stream']
    said = ['turn %d' % n for n in range(len(order))]
    talk = Talk()
    for text, turn in zip(said, fresh.play('openai', 'any', [{'text': t, 'how': how} for t, how in zip(said, order)])):
        talk.hear(text, turn)


def test_conversation_changes_its_transport(fresh, websocket):  # pylint: disable=unused-argument
    """HTTP and WebSocket by turns, each on the other node than the one before."""
    order = ['create', 'socket', 'stream', 'socket', 'socket', 'raw', 'socket']
    for kind in KINDS:
        said, talk = ['turn %d' % n for n in range(len(order))], Talk()
        plan = [{'text': text, 'how': how} for text, how in zip(said, order)]
        for text, turn in zip(said, fresh.play('openai', kind, plan)):
            talk.hear(text, turn)
    fresh.check()
