# SPDX-License-Identifier: Apache-2.0
"""openai-node and openai-python, the Agents SDKs and the AI SDK: conversations with a tool round over two nodes, for each kind of account. The
strict accumulator of openai-node throws at whatever is out of order in a stream."""
import pytest

from fake_upstream import marker
from peers import KINDS, PLAIN, TOOL_CALL, Talk, account_of, texts, ways

CALL = marker(calls=[TOOL_CALL], reasoning=True)


def test_packages_are_those_of_the_lock_file(clients):
    assert clients.version('openai') == '7.57.0' and clients.version('@openai/agents') == '0.20.0'
    assert clients.version('ai').startswith('7.') and clients.version('@ai-sdk/openai').startswith('4.')
    assert clients.version('ws') == '8.23.0' and clients.version('@openai/codex') == '0.169.0'
    assert clients.play('version', {})['node'].startswith('v22.')


@pytest.mark.proves('turn', 'tools', 'chain')
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


@pytest.mark.proves('lost')
@ways()
@pytest.mark.parametrize('kind', KINDS)
def test_owner_is_limited(fresh, program, how, kind):
    """The account that has the conversation is out of quota, wherever that leaves it: the client hears nothing of it."""
    said, owner = ['one ' + CALL, 'two', 'three'], KINDS[kind]
    with fresh.only(kind):
        first, = fresh.play(program, 'any', texts(how, said[0]))
    fresh.upstream.account(owner, mode='quota')
    rest = fresh.play(program, 'any', texts(how, said[1], anchor=first['id'], messages=first.get('messages')) + texts(how, said[2]))
    talk = Talk()
    for text, turn in zip(said, [first, *rest]):
        talk.hear(text, turn)
    assert [account_of(turn['id']) == owner for turn in [first, *rest]] == [True, False, False]
    fresh.check()


@pytest.mark.proves('retrieve')
@ways(*PLAIN)
@pytest.mark.parametrize('kind', KINDS)
def test_response_is_read_back(fresh, program, how, kind):
    """The response and what it was asked, from the other node."""
    turn, read = fresh.play(program, kind, texts(how, 'remember this') + [{'how': 'retrieve'}])
    Talk().hear('remember this', turn)
    assert (read['id'], read['status'], read['text']) == (turn['id'], 'completed', turn['text'])
    item, = read['items']
    assert (item['role'], item['content']) == ('user', [{'type': 'input_text', 'text': 'remember this'}])
    assert fresh.turns() == 1


@ways(*PLAIN)
@pytest.mark.proves('files')
@pytest.mark.parametrize('kind', ['platform'])
def test_file_is_used(fresh, program, how, kind):
    """Uploaded, named by a turn, listed and deleted, each on another node; with a key that may use every account."""
    turn, = fresh.play(program, 'any', [{'text': 'read it', 'how': 'files', 'via': how}])
    assert turn.get('status') == 'completed' and account_of(turn['id']) == KINDS[kind], turn
    assert turn['file'] in turn['listed'] and turn['deleted'] is True and turn['file'] not in turn['left'], turn
    asked, = [request for request in fresh.upstream.requests(KINDS[kind]) if request['seen']]
    assert turn['file'] in asked['body']
    assert fresh.turns() == 1
    fresh.check()


@ways(*PLAIN)
@pytest.mark.parametrize('kind', ['codex', 'stateless'])
def test_file_is_refused(fresh, program, how, kind):
    """Where no account keeps files the library says so, and not what some server says that knows no such path."""
    fresh.upstream.script('s', {'status': 404, 'body': {'detail': 'Not Found'}}, any_request=True)
    turn, = fresh.play(program, kind, [{'text': 'read it', 'how': 'files', 'via': how}])
    assert turn['error']['code'] == 'unsupported_endpoint', turn
    assert fresh.turns() == 0


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
