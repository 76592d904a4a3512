# SPDX-License-Identifier: Apache-2.0
"""OpenCode, as released: a prompt with a tool call, then `run --continue` on the other node, and when the account is gone. It
speaks through the AI SDK and sends its whole history; what an account saw last must be what it saw before, and what came of it.
It sends reasoning without its id, so nobody can say whose that is: another account refuses it once, and gets the turn without it."""
import pytest

from fake_upstream import expected_text, marker
from peers import KINDS, OpenCode

SAID = 'as the courier said'
LOOK = 'go and look ' + marker(calls=[{'name': 'bash', 'arguments': {'command': 'echo ' + SAID, 'description': 'says it'}}])
ONE = pytest.mark.parametrize('program,how,kind', [('opencode', 'http', kind) for kind in KINDS], ids=KINDS)


def seen(world, words):
    """What the last turn with these words showed to its account."""
    return [request['seen']['entries'] for request in world.upstream.requests() if request['seen'] and words in request['body']][-1]


def check_history(world, words, before, answer):
    entries = seen(world, words)
    assert entries[:len(before)] == before and entries[len(before)] == 'assistant:' + answer
    assert len(entries) == len(before) + 2 and entries[-1].startswith('user:') and words in entries[-1]
    return entries


@pytest.mark.proves('stream', 'tools', 'chain')
@ONE
def test_tool_call_and_continue_on_the_other_node(fresh, program, how, kind):  # pylint: disable=unused-argument
    code, (one, two) = OpenCode(fresh, kind), fresh.nodes
    answer, outputs = code.run(one, LOOK)
    first = seen(fresh, 'go and look')
    assert [output.strip() for output in outputs] == [SAID] and answer == expected_text(first)
    assert [entry.split(':', maxsplit=1)[0] for entry in first[-3:]] == ['user', 'call', 'output'] and SAID in first[-1]
    after, _ = code.run(two, 'and then?', go_on=True)
    assert after == expected_text(check_history(fresh, 'and then?', first, answer))
    assert fresh.turns() == fresh.turns(KINDS[kind]) == 3
    fresh.check()


@pytest.mark.proves('lost')
@ONE
def test_the_account_is_gone(fresh, program, how, kind):  # pylint: disable=unused-argument
    code, (one, two), owner = OpenCode(fresh, 'any'), fresh.nodes, KINDS[kind]
    with fresh.only(kind):
        answer, _ = code.run(one, 'hello')
    first = seen(fresh, 'hello')
    fresh.upstream.account(owner, mode='quota')
    code.run(two, 'and then?', go_on=True)
    check_history(fresh, 'and then?', first, answer)
    first, *others = fresh.asked('and then?')
    assert first == owner and others and set(others) != {owner} and len(others) <= 2
