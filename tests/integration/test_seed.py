# SPDX-License-Identifier: Apache-2.0
"""What the seed of this project asserted of its HTTP side, as black-box tests: a conversation is rebuilt from what was
stored, on whatever survives.

Its bridge between HTTP and one upstream WebSocket does not exist here; what it was there for does: an upstream that has
lost a response which only it could continue, and a connection that has died under a conversation.
"""
import contextlib
import json
import pathlib
import signal
import time

import pytest

import client as http
import rawupstream as raw
from conversation import Conversation
from dialogue import Dialogue, REASONING
from fake_upstream import marker
from harness import ROOT, FakeUpstream

KINDS = ['platform', 'codex', 'stateless']
DATA = pathlib.Path(__file__).parent / 'data'


class World:
    def __init__(self, make_cluster, kinds, nodes=2, env=None):
        self.cluster = make_cluster(env)
        self.names = ['%s%d' % (kind[0], n) for n, kind in enumerate(kinds, 1)]
        self.kinds = dict(zip(self.names, kinds))
        self.upstream = self.cluster.own(FakeUpstream(list(zip(self.names, kinds))))
        for name, kind in zip(self.names, kinds):
            self.cluster.account(name, kind, self.upstream.base(name))
        self.key = self.cluster.key('k1')
        self.nodes = [self.cluster.node() for _ in range(nodes)]

    @contextlib.contextmanager
    def clients(self):
        with contextlib.ExitStack() as stack:
            yield [stack.enter_context(http.Client(node.url, self.key)) for node in self.nodes]

    def turns(self):
        return {name: self.upstream.stats(name)['turns'] for name in self.names}

    def served(self, before):
        """The accounts that were asked since."""
        return {name for name, turns in self.turns().items() if turns > before[name]}

    def pause(self, name):
        self.cluster.cli('account', 'pause', name)
        time.sleep(0.5)  # ten times what a notification may take

    def resume(self, name):
        self.cluster.cli('account', 'resume', name)
        time.sleep(0.5)

    def restart(self, how='stopped'):
        for node in self.nodes:
            if how == 'stopped':
                node.signal(signal.SIGTERM)  # all drain at once
            else:
                node.kill9()
        for node in self.nodes:
            node.stop(asked=True)
            node.start()

    def check(self):
        for name in self.names:
            stats = self.upstream.stats(name)
            assert stats['foreign'] == 0, (name, stats['found'])


@pytest.fixture(scope='module')
def worlds(make_cluster):
    """worlds(kinds): made when first asked for; later every account of it is up again, and the counts start anew."""
    made = {}

    def world(*kinds):
        if kinds not in made:
            made[kinds] = World(make_cluster, kinds)
        found = made[kinds]
        found.upstream.reset()
        blocked = found.cluster.sql(
            "SELECT name FROM posthouse_admin.accounts WHERE state <> 'active' OR health <> 'active'")
        for name, in blocked:
            found.resume(name)
        return found
    return world


# ---- replay after restart ----

@pytest.mark.parametrize('how', ['stopped', 'killed'])
@pytest.mark.parametrize('kind', KINDS)
def test_replay_after_restart(worlds, kind, how):
    """No node remembers anything that matters: all of them are replaced between two turns."""
    world = worlds(kind)
    conversation = Conversation()
    for turn in range(3):
        with world.clients() as clients:
            conversation = conversation.say(clients[turn % 2], 'turn %d' % turn, stream=turn == 1, store=False)
            if turn:
                assert conversation.turn.continuity == 'replayed'
        world.restart(how)
    with world.clients() as clients:
        conversation.say(clients[1], 'and on', stream=True)
    world.check()


# ---- scoped by key ----

@pytest.mark.parametrize('kind', KINDS)
def test_replay_is_scoped_by_key(worlds, kind):
    """Another key's id is as good as none: one answer for both, and nothing is asked of an upstream for it. A restart
    does not open it either."""
    world = worlds(kind)
    thief = world.cluster.key('thief')
    with world.clients() as clients:
        mine = Conversation().say(clients[0], 'a secret', store=False)
    for restart in (False, True):
        if restart:
            world.restart()
        with http.Client(world.nodes[1].url, thief) as api:
            before = len(world.upstream.requests(last=10000))
            answers = [api.post({'model': 'demo', 'input': 'mine?', 'previous_response_id': rid})
                       for rid in (mine.anchor, mine.anchor[:-4] + 'ffff')]
            asked = world.upstream.requests(last=10000)[before:]
        for answer in answers:
            assert answer.status == 400 and answer.error['code'] == 'previous_response_not_found', answer
            assert b'secret' not in answer.body
        assert not [r for r in asked if mine.anchor in r['body']], 'a foreign id reached upstream'
    with world.clients() as clients:
        mine.say(clients[1], 'and mine it is')


# ---- preferred account and fallback ----

@pytest.mark.parametrize('kind', KINDS)
def test_replay_prefers_the_account_of_the_chain(worlds, kind):
    """Whoever served the conversation last serves it again, however little the others have to do."""
    world = worlds(kind, kind, kind)
    with world.clients() as clients:
        before = world.turns()
        conversation = Conversation().say(clients[0], 'one', store=False)
        owner, = world.served(before)
        for turn in range(6):
            before = world.turns()
            conversation = conversation.say(clients[turn % 2], 'turn %d' % turn, store=False, stream=turn % 2 == 0)
            assert world.served(before) == {owner}


@pytest.mark.parametrize('kinds', [('codex', 'codex'), ('platform', 'codex'), ('codex', 'stateless'),
                                   ('stateless', 'platform')], ids='+'.join)
def test_replay_falls_back_when_the_account_is_away(worlds, kinds):
    """The preferred account is paused: another one takes over with the same context, and keeps the conversation when the
    first returns."""
    world = worlds(*kinds)
    with world.clients() as clients:
        before = world.turns()
        dialogue = Dialogue()
        dialogue.say(clients[0], 'one', **REASONING)
        owner, = world.served(before)
        world.pause(owner)
        before = world.turns()
        assert dialogue.say(clients[1], 'two', **REASONING).continuity == 'replayed'
        second, = world.served(before)
        assert second != owner
        world.resume(owner)
        before = world.turns()
        dialogue.say(clients[0], 'three', stream=True, **REASONING)
        assert world.served(before) == {second}
    world.check()


@pytest.mark.parametrize('kind', KINDS)
def test_replay_falls_back_when_the_account_is_removed(make_cluster, kind):
    world = World(make_cluster, [kind, kind])
    with world.clients() as clients:
        before = world.turns()
        conversation = Conversation().say(clients[0], 'one')
        owner, = world.served(before)
        world.cluster.cli('account', 'remove', owner)
        time.sleep(0.5)
        before = world.turns()
        assert conversation.say(clients[1], 'two').turn.continuity == 'replayed'
        assert world.served(before) == set(world.names) - {owner}
    world.check()


# ---- bridge loss ----

DENIALS = {
    'as OpenAI': (400, {'error': {'message': "Previous response with id 'ID' not found.", 'type': 'invalid_request_error',
                                  'param': 'previous_response_id', 'code': 'previous_response_not_found'}}),
    'without param': (400, {'error': {'message': 'Previous response with id ID not found.',
                                      'type': 'invalid_request_error', 'code': 'previous_response_not_found'}}),
    'code as type': (404, {'error': {'message': 'gone', 'type': 'previous_response_not_found'}}),
    'message alone': (400, {'error': {'message': 'Invalid `previous_response_id`.'}}),
    'param alone': (404, {'error': {'message': 'no such thing', 'param': 'previous_response_id'}}),
    'flat': (400, {'type': 'error', 'status_code': 400, 'error_type': 'invalid_request_error',
                   'code': 'previous_response_not_found', 'message': 'not found'}),
    'expired': (400, {'error': {'message': 'The previous response has expired.', 'type': 'invalid_request_error'}}),
}


@pytest.fixture(scope='module')
def bridge(make_cluster, make_upstream):
    """One platform account, which could go on by itself."""
    class Bridge:
        cluster, upstream = make_cluster(), make_upstream()

    Bridge.cluster.account('p1', 'platform', Bridge.upstream.url)
    Bridge.key, Bridge.node = Bridge.cluster.key('k1'), Bridge.cluster.node()
    return Bridge


@pytest.mark.parametrize('stream', [False, True])
@pytest.mark.parametrize('shape', DENIALS)
def test_bridge_loss(bridge, shape, stream):
    """Upstream has lost what it was to continue: it says so in one of many ways, and is told the whole instead."""
    status, body = DENIALS[shape]
    with http.Client(bridge.node.url, bridge.key) as api:
        first = api.turn({'model': 'demo', 'input': 'one', 'store': True})
        bridge.upstream.clear()
        bridge.upstream.then(lambda x: x.answer(status, json.loads(json.dumps(body).replace('ID', first.id))))
        turn = api.turn({'model': 'demo', 'input': 'two', 'previous_response_id': first.id, 'stream': stream})
    assert turn.status == 'completed' and turn.continuity == 'replayed'
    asked = bridge.upstream.turns()
    assert [r.json.get('previous_response_id') for r in asked] == [first.id, None]
    assert [item.get('role') for item in asked[1].json['input']] == ['user', 'assistant', 'user']


@pytest.mark.parametrize('at', ['before created', 'after created'])
def test_bridge_loss_within_the_stream(bridge, at):
    """The same, said when the stream has begun but nothing was shown."""
    def lost(x):
        rid = raw.new_id()
        error = {'code': 'previous_response_not_found', 'message': 'Previous response not found.'}
        if at == 'before created':
            x.stream([raw.event(0, 'error', error=error)])
        else:
            x.stream(raw.events(rid)[:2] + [raw.event(2, 'response.failed', response=raw.response(
                rid, 'failed', error=error))])
    with http.Client(bridge.node.url, bridge.key) as api:
        first = api.turn({'model': 'demo', 'input': 'one', 'store': True})
        bridge.upstream.clear()
        bridge.upstream.then(lost)
        turn = api.turn({'model': 'demo', 'input': 'two', 'previous_response_id': first.id, 'stream': True})
    assert turn.status == 'completed' and turn.continuity == 'replayed' and len(bridge.upstream.turns()) == 2


def test_bridge_loss_of_everything(worlds):
    """The upstream forgets all that it stored while conversations run."""
    world = worlds('platform', 'platform')
    with world.clients() as clients:
        branches = [Conversation().say(clients[n % 2], 'one of %d' % n) for n in range(4)]
        branches = [branch.say(clients[n % 2], 'two of %d' % n) for n, branch in enumerate(branches)]
        assert {branch.turn.continuity for branch in branches} == {'forwarded'}
        world.upstream.reset(forget=True)
        branches = [branch.say(clients[n % 2], 'three of %d' % n, stream=n < 2) for n, branch in enumerate(branches)]
        assert {branch.turn.continuity for branch in branches} == {'replayed'}
        branches = [branch.say(clients[1 - n % 2], 'four of %d' % n) for n, branch in enumerate(branches)]
        assert {branch.turn.continuity for branch in branches} == {'forwarded'}, 'upstream knows the new turn again'
    world.check()


@pytest.mark.parametrize('abort', [False, True])
@pytest.mark.parametrize('kind', KINDS)
def test_bridge_loss_of_the_connection(worlds, kind, abort):
    """Kept connections die between two turns; nobody notices, no account is blamed."""
    world = worlds(kind)
    with world.clients() as clients:
        conversation = Conversation()
        for turn in range(4):
            conversation = conversation.say(clients[0], 'turn %d' % turn, store=False)
            world.upstream.close_idle(abort=abort)
    assert world.cluster.sql('SELECT health FROM posthouse_admin.accounts') == [('active',)]
    world.check()


# ---- send failure ----

@pytest.mark.parametrize('stream', [False, True])
@pytest.mark.parametrize('kind', KINDS)
def test_send_failure(make_cluster, make_upstream, kind, stream):
    """The connection dies while a large turn is being sent: half a request is no request, and the whole one goes out
    again, to the other account."""
    cluster, upstream = make_cluster(), make_upstream()
    for name in ('a', 'b'):
        cluster.account(name, kind, upstream.url.replace('/v1', '/%s/v1' % name))
    key, node = cluster.key('k1'), cluster.node()
    text = 'x' * (4 << 20)
    with http.Client(node.url, key) as api:
        torn = TornUpstream(upstream)
        first = api.turn({'model': 'demo', 'input': 'one', 'store': False})
        upstream.clear()
        turn = api.turn({'model': 'demo', 'input': text, 'previous_response_id': first.id, 'stream': stream,
                         'store': False})
    assert torn.torn == 1, 'the first request was cut while it was sent'
    assert turn.status == 'completed' and turn.continuity == 'replayed'
    whole, = upstream.turns()
    last = whole.json['input'][-1]['content']
    assert (last if isinstance(last, str) else last[0]['text']) == text
    assert [item['role'] for item in whole.json['input']] == ['user', 'assistant', 'user']


class TornUpstream:
    """Resets the next connection on which a large request arrives, after its first 64 KiB."""

    def __init__(self, upstream):
        self.upstream, self.torn, self.read = upstream, 0, upstream.read
        upstream.read = self.once

    def once(self, sock, data, connection):
        head = data
        while b'\r\n\r\n' not in head:
            piece = sock.recv(65536)
            if not piece:
                return None, b''
            head += piece
        length = [int(line.split(b':')[1]) for line in head.split(b'\r\n\r\n')[0].split(b'\r\n')
                  if line.lower().startswith(b'content-length:')]
        if self.torn == 0 and length and length[0] > 1 << 20:
            self.torn += 1
            raw.reset(sock)
            return None, b''
        return self.read(sock, head, connection)


# ---- pre-created disconnect ----

DISCONNECTS = {
    'before the head': {'fault': 'eof', 'at': 'head'},
    'reset before the head': {'fault': 'reset', 'at': 'head'},
    'behind the head': {'fault': 'eof', 'at': 'open'},
    'reset behind the head': {'fault': 'reset', 'at': 'open'},
    'end behind the head': {'fault': 'end', 'at': 'open'},
}


@pytest.mark.parametrize('name, stream', [(name, True) for name in DISCONNECTS] + [
    (name, False) for name in DISCONNECTS if not name.startswith('end')])
@pytest.mark.parametrize('kind', KINDS)
def test_pre_created_disconnect(worlds, kind, name, stream):
    """Upstream leaves before `response.created`, on an anchored turn: exactly one retry, the same context, no blame. The
    client sees one stream from its start; the next turn goes on from it."""
    world = worlds(kind, kind)
    with world.clients() as clients:
        conversation = Conversation().say(clients[0], 'one', store=False)
        text = 'two ' + marker(times=1, **DISCONNECTS[name])  # the first account that gets it fails, whichever it is
        conversation = conversation.say(clients[1], text, stream=stream, store=False)
        conversation.say(clients[0], 'three', stream=stream, store=False)
    assert sum(stats['faulted'] for stats in world.upstream.accounts().values()) == 1
    assert sum(world.turns().values()) == 4
    assert world.cluster.sql("SELECT DISTINCT health FROM posthouse_admin.accounts") == [('active',)]
    world.check()


# ---- migration repair ----

KEYS = {'only-s1': 'ph_ei5hmKmbXZcylr0t53wIrZaPH4VQihxWqgOf8npD16C3nehMC',
        'only-p1': 'ph_NSf4OCNRUrlPPCAMIehEAaFGHG7zNME0xdwElDPyKDf2Ecjak'}
STORED = {'only-s1': 'resp_s1_v10000000', 'only-p1': 'resp_p1_v10000000'}
TEXTS = ['one', 'two', 'three ' + 'long ' * 400]


def load_v1(cluster, upstream):
    text = (DATA / 'schema_v1.sql').read_text(encoding='utf-8')
    cluster.sql(text.replace('http://127.0.0.1:9', 'http://' + upstream.address))


@pytest.fixture(scope='module')
def old(make_cluster):
    """A database that a node of schema version 1 left behind, brought up to date."""
    class Old:
        cluster = make_cluster(migrated=False)

    Old.upstream = Old.cluster.own(FakeUpstream([('s1', 'stateless'), ('p1', 'platform')], '--run', 'v2'))
    load_v1(Old.cluster, Old.upstream)
    Old.before = Old.cluster.sql('SELECT count(*) FROM posthouse.snapshots')
    Old.cluster.cli('migrate')
    Old.nodes = [Old.cluster.node() for _ in range(2)]
    return Old


def test_migration_repair(old):
    """An older schema is brought up, every row in it is still there, and a second run finds nothing to do."""
    assert old.before == [(6,)]
    assert old.cluster.sql('SELECT count(*) FROM posthouse.snapshots') == [(6,)]
    versions = [row[0] for row in old.cluster.sql('SELECT version FROM posthouse.schema_migrations ORDER BY version')]
    assert versions == sorted(int(p.name[:4]) for p in (ROOT / 'sql').glob('[0-9]*.sql')) and len(versions) > 1
    assert old.cluster.sql('SELECT name, state, reason FROM posthouse_admin.account_health ORDER BY name') == [
        ('p1', 'active', None), ('s1', 'active', None)]
    old.cluster.cli('migrate')
    assert len(old.cluster.sql('SELECT version FROM posthouse.schema_migrations')) == len(versions)


@pytest.mark.parametrize('name', KEYS)
def test_migration_repair_and_replay(old, name):
    """Conversations that the older version stored go on, from every turn of them, on every node. The platform account's
    upstream has forgotten them since."""
    conversation = Conversation()
    context = conversation.context
    for number, text in enumerate(TEXTS, 1):
        context = context.add('user:' + text)
        context = context.add('assistant:' + context.words + text[:1024])
        branch = Conversation(context, STORED[name] + str(number), number)
        for node in old.nodes:
            with http.Client(node.url, KEYS[name]) as api:
                found = api.get('/v1/responses/' + branch.anchor)
                assert found.status == 200 and found.json['id'] == branch.anchor
                follow = branch.say(api, 'and on', stream=number == 2)
                assert follow.turn.continuity == 'replayed'
                follow.say(api, 'and further')


def test_migration_repair_keeps_secrets(old):
    """A secret that the older version sealed still opens."""
    with http.Client(old.nodes[0].url, KEYS['only-p1']) as api:
        api.turn({'model': 'demo', 'input': 'hello'})
    request = old.upstream.requests('p1')[-1]
    assert dict(request['headers'])['authorization'] == 'Bearer ' + old.cluster.UPSTREAM_SECRET


def test_a_node_waits_for_the_migration(make_cluster, old):
    """A new node on the older schema says so and serves nothing until it is brought up, then starts by itself."""
    cluster = make_cluster(migrated=False)
    load_v1(cluster, old.upstream)
    node = cluster.node(ready=False)
    http.eventually(lambda: b'migrate' in node.text(), within=20, what='the node asks for posthouse migrate')
    assert not node.ready()
    cluster.cli('migrate')
    node.wait_ready(60)
    with http.Client(node.url, KEYS['only-s1']) as api:
        assert api.get('/v1/responses/' + STORED['only-s1'] + '1').status == 200
