# SPDX-License-Identifier: Apache-2.0
"""openai-node, the Agents SDK and the AI SDK: a conversation with a tool round over two nodes, for each kind of account, and
what each library does at a fault. The strict accumulator of openai-node throws at whatever is out of order in a stream."""
import pytest

from conftest import WEBSOCKET_SERVED
from fake_upstream import marker
from peers import KINDS, NODE_VERSION, TOOL_CALL, Talk, account_of

WAYS = {  # (program, how) -> whether its turns are streamed
    ('openai', 'create'): False, ('openai', 'raw'): True, ('openai', 'stream'): True, ('openai', 'socket'): True,
    ('agents', 'run'): False, ('agents', 'stream'): True, ('agents', 'socket'): True,
    ('ai', 'generate'): False, ('ai', 'stream'): True, ('ai', 'history'): False}
STREAMED = [way for way, streamed in WAYS.items() if streamed]
RETRIES = 2  # of every library, unless it was told
CALL = marker(calls=[TOOL_CALL], reasoning=True)


def ways(chosen=WAYS):
    return pytest.mark.parametrize('program,how', list(chosen), ids='-'.join)


@pytest.fixture(autouse=True)
def transport(request):
    """Ways over a WebSocket need one."""
    if hasattr(request.node, 'callspec') and request.node.callspec.params.get('how') == 'socket':
        request.getfixturevalue('websocket')


def texts(how, *said, **members):
    return [dict({'text': text, 'how': how}, **members) for text in said]


def test_packages_are_those_of_the_lock_file(clients):
    assert clients.version('openai') == '7.57.0' and clients.version('@openai/agents') == '0.20.0'
    assert clients.version('ai').startswith('7.') and clients.version('@ai-sdk/openai').startswith('4.')
    assert clients.version('ws') == '8.23.0' and clients.version('@openai/codex') == '0.169.0'
    assert clients.node('version', {})['node'].startswith('v%d.' % NODE_VERSION)


def test_upgrade_is_answered(world):
    """Turn WEBSOCKET_SERVED over in conftest.py when this fails."""
    assert world.upgrade() == (101 if WEBSOCKET_SERVED else 426)


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


@ways([way for way in STREAMED if way != ('openai', 'socket')])
def test_break_behind_an_item(fresh, program, how):
    """A stream that broke ends as response.failed. No library repeats it by itself; each says that it failed, and the turn
    before it can be continued."""
    said = ['one', 'two ' + marker(fault='eof', at='item', times=1)]
    first, broken = fresh.play(program, 'any', texts(how, *said))
    if program == 'openai':
        assert broken['status'] == 'failed' and broken['failure']['code'] == 'server_error', broken
        assert broken['events'][0] == 'response.created' and broken['events'][-1] == 'response.failed', broken
    else:
        told = {'agents': 'response.failed', 'ai': 'The upstream failed while it answered'}[program]
        assert told in broken['error']['message'], broken
    assert fresh.turns() == 2
    talk = Talk()
    talk.hear('one', first)
    again, = fresh.play(program, 'any', texts(how, said[1], anchor=first['id']))
    talk.hear(said[1], again)


@ways([way for way, streamed in WAYS.items() if not streamed])
def test_break_of_an_answer_that_is_not_streamed(fresh, program, how):
    """Nothing was shown: made good within the same request."""
    said = ['one', 'two ' + marker(fault='eof', at='item', times=1), 'three']
    before, talk = fresh.requests(), Talk()
    for text, turn in zip(said, fresh.play(program, 'any', texts(how, *said))):
        talk.hear(text, turn)
    assert fresh.requests() - before == 3


@ways([way for way in WAYS if way[1] != 'socket'])
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


@ways([way for way in WAYS if way[0] == 'openai' and way[1] != 'socket'])
def test_short_limit_is_waited_for(fresh, program, how):
    """`Retry-After` under a minute: the library waits that long and is served."""
    fresh.upstream.script('s', {'status': 429, 'code': 'rate_limit_exceeded', 'retry_after': 1})
    turn, = fresh.play(program, 'stateless', texts(how, 'one'))
    Talk().hear('one', turn)
    assert fresh.turns('s') == 2


@ways(STREAMED)
def test_silence_is_bridged(fresh, program, how):
    """Two seconds without a word of the model: keepalive events, which no library minds."""
    said = ['one ' + marker(fault='silence', at='item', for_ms=2000), 'two']
    talk, turns = Talk(), fresh.play(program, 'any', texts(how, *said))
    for text, turn in zip(said, turns):
        talk.hear(text, turn)
    if program == 'openai':
        assert turns[0]['events'].count('keepalive') >= 2, turns[0]['events']
    assert fresh.turns() == 2


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
