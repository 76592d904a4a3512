# SPDX-License-Identifier: Apache-2.0
"""Promise 4: one key never reads another's conversation, and cannot tell a foreign id from one that never existed."""
import re

import pytest

import client as http
from conversation import Conversation
from harness import FakeUpstream

POLICIES = ['all', 'stored', 'none']


class World:
    def __init__(self, make_cluster, kinds):
        self.cluster = make_cluster()
        self.names = ['acc%d' % n for n, _ in enumerate(kinds, 1)]
        self.kinds = dict(zip(self.names, kinds))
        self.upstream = self.cluster.own(FakeUpstream(list(zip(self.names, kinds))))
        for name, kind in zip(self.names, kinds):
            self.cluster.account(name, kind, self.upstream.base(name))
        self.keys = {policy: self.cluster.key('owner-' + policy, '--snapshots', policy) for policy in POLICIES}
        self.thief = self.cluster.key('thief')
        self.node = self.cluster.node()
        self.other = self.cluster.node()


@pytest.fixture(scope='module', params=[['platform'], ['stateless'], ['platform', 'stateless']],
                ids=lambda kinds: '+'.join(kinds))
def world(request, make_cluster):
    return World(make_cluster, request.param)


def unknown_like(rid):
    """An id of the same shape that nobody ever had."""
    letters = 'abcdef0123456789'
    return rid[:-8] + ''.join(letters[(letters.index(c) + 7) % 16] if c in letters else c for c in rid[-8:])


def shape(answer, rid):
    """Everything a client sees, without what differs between any two answers and without the id that it sent."""
    request = answer.header('x-request-id')
    headers = sorted((name, value) for name, value in answer.headers if name not in ('x-request-id', 'date'))
    return answer.status, headers, answer.body.replace(rid.encode(), b'ID').replace(request.encode(), b'REQUEST')


def ask(api, rid, how):
    body = {'model': 'demo', 'input': 'mine?', 'previous_response_id': rid}
    if how == 'create':
        return api.post(body)
    if how == 'create streamed':
        return api.post(dict(body, stream=True))
    if how == 'create unstored':
        return api.post(dict(body, store=False))
    if how == 'get':
        return api.get('/v1/responses/' + rid)
    if how == 'get streamed':
        return api.get('/v1/responses/%s?stream=true' % rid)
    if how == 'input items':
        return api.get('/v1/responses/%s/input_items' % rid)
    if how == 'cancel':
        return api.request('POST', '/v1/responses/%s/cancel' % rid)
    return api.delete('/v1/responses/' + rid)


HOW = ['create', 'create streamed', 'create unstored', 'get', 'get streamed', 'input items', 'cancel', 'delete']


@pytest.mark.parametrize('how', HOW)
@pytest.mark.parametrize('store', [True, False])
@pytest.mark.parametrize('policy', POLICIES)
def test_foreign_is_unknown(world, policy, store, how):
    with http.Client(world.node.url, world.keys[policy]) as owner:
        mine = owner.turn({'model': 'demo', 'input': 'a secret of the owner', 'store': store})
    with http.Client(world.other.url, world.thief) as thief:
        never = unknown_like(mine.id)
        sent = len(world.upstream.requests(last=100000))
        foreign = ask(thief, mine.id, how)
        unknown = ask(thief, never, how)
        assert shape(foreign, mine.id) == shape(unknown, never)
        assert foreign.status in (400, 404), foreign
        assert b'secret of the owner' not in foreign.body
        if how.startswith('create'):
            error = foreign.error
            assert (foreign.status, error['code'], error['param'], error['type']) == (
                400, 'previous_response_not_found', 'previous_response_id', 'invalid_request_error')
            assert error['message'] == "Previous response with id '%s' not found." % mine.id
    # A turn that is kept, or that an upstream keeps, is known to be somebody's before the client has its id. The others
    # are a moment later, and no upstream could answer for them.
    upstream_keeps = store and world.kinds[mine.id.split('_')[1]] == 'platform'
    if upstream_keeps or policy == 'all' or (policy == 'stored' and store):
        later = world.upstream.requests(last=100000)[sent:]
        assert not [r for r in later if mine.id in r['body'] or mine.id in r['path']], 'a foreign id reached upstream'
    # the owner's response survived the thief's DELETE
    if policy != 'none' and store:
        with http.Client(world.other.url, world.keys[policy]) as owner:
            assert owner.get('/v1/responses/' + mine.id).status == 200


@pytest.mark.parametrize('anchored', [False, True])
def test_foreign_items_are_unknown(world, anchored):
    """item_reference to an item of another key: the same 404 as for an item that never existed, nothing sent."""
    with http.Client(world.node.url, world.keys['all']) as owner:
        mine = owner.turn({'model': 'demo', 'input': [{'type': 'message', 'role': 'user', 'id': 'msg_owner_1',
                                                       'content': 'a secret of the owner'}]})
    item = mine.response['output'][-1]['id']
    with http.Client(world.node.url, world.thief) as thief:
        anchor = thief.turn({'model': 'demo', 'input': 'my own'}).id if anchored else None
        answers = []
        for name in (item, unknown_like(item)):
            sent = len(world.upstream.requests(last=100000))
            body = {'model': 'demo', 'input': [{'type': 'item_reference', 'id': name}, {'role': 'user', 'content': 'x'}]}
            if anchor:
                body['previous_response_id'] = anchor
            answers.append(shape(thief.post(body), name))
            assert len(world.upstream.requests(last=100000)) == sent, 'it was sent upstream'
        assert answers[0] == answers[1]
        assert answers[0][0] == 404 and b'Item with id' in answers[0][2], answers[0]
    # the owner may refer to it, from any node
    with http.Client(world.other.url, world.keys['all']) as owner:
        assert owner.turn({'model': 'demo', 'input': [{'type': 'item_reference', 'id': item},
                                                      {'role': 'user', 'content': 'x'}]}).status == 'completed'


def test_ids_that_upstream_may_know(world):
    """An id that was never issued through us is passed on once, to a platform account only, and its "not found" is ours."""
    with http.Client(world.node.url, world.thief) as api:
        before = len(world.upstream.requests(last=100000))
        answer = api.post({'model': 'demo', 'input': 'x', 'previous_response_id': 'resp_made_elsewhere'})
        assert answer.status == 400 and answer.error['code'] == 'previous_response_not_found', answer
        sent = world.upstream.requests(last=100000)[before:]
        platform = [name for name in world.names if world.kinds[name] == 'platform']
        assert len(sent) == len(platform), sent
        assert all(request['account'] in platform for request in sent)


def test_two_keys_with_the_same_conversation(world):
    """Each key continues its own, however alike they are."""
    with http.Client(world.node.url, world.keys['all']) as one, http.Client(world.other.url, world.keys['stored']) as two:
        first, second = Conversation().say(one, 'same words'), Conversation().say(two, 'same words')
        first.say(one, 'of one')
        second.say(two, 'of two')
        for api, anchor in ((one, second.anchor), (two, first.anchor)):
            assert api.post({'model': 'demo', 'input': 'x', 'previous_response_id': anchor}).status == 400


def test_policies_of_keeping(world):
    """all: every turn goes on; stored: store:false does not, unless upstream's own memory serves; none: neither."""
    platform = 'platform' in world.kinds.values()
    for policy, store, goes_on in (('all', True, True), ('all', False, True), ('stored', True, True),
                                   ('stored', False, False), ('none', False, False)):
        with http.Client(world.node.url, world.keys[policy]) as here, \
                http.Client(world.other.url, world.keys[policy]) as there:
            turn = here.turn({'model': 'demo', 'input': 'x', 'store': store})
            answer = there.post({'model': 'demo', 'input': 'y', 'previous_response_id': turn.id})
            assert (answer.status == 200) is goes_on, (policy, store, answer)
    with http.Client(world.node.url, world.keys['none']) as api:
        turn = api.turn({'model': 'demo', 'input': 'x', 'store': True})
        answer = api.post({'model': 'demo', 'input': 'y', 'previous_response_id': turn.id})
        if platform and len(world.names) == 1:
            assert answer.status == 200 and answer.header('x-posthouse-continuity') == 'forwarded', 'upstream keeps it'
        elif not platform:
            assert answer.status == 400


def test_a_revoked_key_that_is_created_again_owns_nothing(make_cluster):
    world = World(make_cluster, ['stateless'])
    with http.Client(world.node.url, world.keys['all']) as api:
        turn = api.turn({'model': 'demo', 'input': 'x'})
    world.cluster.cli('key', 'revoke', 'owner-all')
    done = world.cluster.cli('key', 'create', 'owner-all', check=False)
    assert done.returncode == 1, 'a name is used once'
    fresh = world.cluster.key('owner-all-2')
    with http.Client(world.node.url, fresh) as api:
        assert api.post({'model': 'demo', 'input': 'y', 'previous_response_id': turn.id}).status == 400
    for name in ('thief', 'nobody'):
        done = world.cluster.cli('snapshot', 'show', turn.id, '--key', name, check=False)
        assert done.returncode == 1
        assert re.search(rb'no (response|key)', done.stderr), done.stderr


def test_row_level_security_is_the_second_wall(world):
    """The node's role sees no row of a scope that it did not name."""
    with http.Client(world.node.url, world.keys['all']) as api:
        api.turn({'model': 'demo', 'input': 'x'})
    import psycopg  # pylint: disable=import-outside-toplevel
    with psycopg.connect(world.cluster.node_env['POSTHOUSE_DATABASE_URL'], autocommit=True) as conn:
        assert conn.execute('SELECT count(*) FROM posthouse.snapshots').fetchone()[0] == 0
    assert world.cluster.sql('SELECT count(*) FROM posthouse.snapshots')[0][0] > 0
