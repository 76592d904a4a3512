# SPDX-License-Identifier: Apache-2.0
"""`background:true`: an account runs the response by itself. Whose it is is known on every node before the client hears of it;
whoever hears first that it has finished writes the snapshot; from then on any account can carry on."""
import threading
import time

import psycopg
import pytest

import client as http
from conversation import Conversation
from dialogue import user
from doors import worlds_of
from fake_upstream import entries, expected_text

SOON = 3000  # ms that a response takes which is to be met while it runs


@pytest.fixture(scope='module')
def worlds(make_cluster):
    return worlds_of(make_cluster, env={'POSTHOUSE_KEEPALIVE_INTERVAL': '200ms'})


def begin(world, ring, text='hello', work_ms=0, account=None, **members):
    """The response as it was when it began, from whichever account, which will take so long."""
    for name in world.names:
        if account in (None, name):
            world.upstream.account(name, do={'work_ms': work_ms})
    answer = ring.post(dict({'model': 'demo', 'input': text, 'background': True}, **members))
    assert answer.status == 200, answer
    assert answer.json['background'] is True
    return answer.json


def state(ring, rid):
    answer = ring.get('/v1/responses/' + rid)
    assert answer.status == 200, answer
    return answer.json


def finished(ring, rid):
    """The response, once some node has said that it is over."""
    def look():
        found = state(ring, rid)
        return found if found['status'] not in ('queued', 'in_progress') else None
    return http.eventually(look, 20, 0.1, 'the end of ' + rid)


def owner_of(rid):
    return rid.split('_')[1]


def text_of(response):
    return ''.join(part['text'] for item in response['output'] if item['type'] == 'message' for part in item['content'])


def unknown(answer, rid):
    return answer.status == 404 and answer.error['message'] == "Response with id '%s' not found." % rid


# ---- its life ----

def test_from_any_node(worlds):
    """Begun on one node, watched on the next, shown by the third without its account, and continued elsewhere."""
    world = worlds('platform', 'platform')
    with world.ring() as ring:
        begun = begin(world, ring, work_ms=SOON)
        rid = begun['id']
        assert begun['status'] == 'queued' and begun['output'] == []
        assert state(ring, rid)['status'] == 'in_progress'
        items = ring.get('/v1/responses/%s/input_items' % rid)
        assert items.status == 200 and items.json['data'][0]['content'] == [{'type': 'input_text', 'text': 'hello'}]
        done = finished(ring, rid)
        assert done['status'] == 'completed' and text_of(done) == expected_text(['user:hello'])
        other, = set(world.names) - {owner_of(rid)}
        world.cluster.use(other)
        for _ in range(3):
            assert state(ring, rid) == done
        after = ring.turn({'model': 'demo', 'input': 'on', 'previous_response_id': rid})
        assert after.text == expected_text(entries([user('hello')] + done['output'] + [user('on')]))
        assert after.continuity == 'replayed'
    world.check()


def test_in_the_middle_of_a_conversation(worlds):
    """A link like any other of the chain before it and behind it."""
    world = worlds('platform', 'platform')
    with world.ring() as ring:
        first = Conversation().say(ring, 'one')
        rid = begin(world, ring, 'two', previous_response_id=first.anchor)['id']
        context = first.context.add('user:two')
        done = finished(ring, rid)
        assert text_of(done) == context.words + 'two'
        middle = Conversation(context.add('assistant:' + text_of(done)), rid, 2)
        third = middle.say(ring, 'three')
        world.cluster.use(*[name for name in world.names if name != owner_of(rid)])
        third.say(ring, 'four').say(ring, 'five')
        middle.say(ring, 'instead')
    world.check()


@pytest.mark.parametrize('streamed', [False, True])
def test_continued_before_anybody_looked(worlds, streamed):
    """The turn that continues it asks its account first, so that it is no loose end."""
    world = worlds('platform', 'platform')
    with world.ring() as ring:
        rid = begin(world, ring, 'one')['id']
        http.eventually(lambda: True, every=0.05)
        context = Conversation().context.add('user:one')
        middle = Conversation(context.add('assistant:' + context.words + 'one'), rid, 1)
        second = middle.say(ring, 'two', stream=streamed)
        world.cluster.use(*[name for name in world.names if name != owner_of(rid)])
        second.say(ring, 'three')
        assert state(ring, rid)['status'] == 'completed'
    world.check()


def test_no_anchor_while_it_runs(worlds):
    """Nor once it was cancelled, or has failed."""
    world = worlds('platform')
    with world.ring() as ring:
        running = begin(world, ring, work_ms=SOON)['id']
        cancelled = begin(world, ring, work_ms=SOON)['id']
        assert ring.call('/responses/%s/cancel' % cancelled, None).json['status'] == 'cancelled'
        world.upstream.account('p1', do={'fault': 'failed'})
        failed = ring.post({'model': 'demo', 'input': 'x', 'background': True}).json['id']
        assert state(ring, failed)['status'] == 'failed'
        world.upstream.account('p1', do=None)
        for rid in (running, cancelled, failed):
            answer = ring.post({'model': 'demo', 'input': 'on', 'previous_response_id': rid})
            assert answer.status == 400 and answer.error['code'] == 'previous_response_not_found', answer
        finished(ring, running)
        ring.turn({'model': 'demo', 'input': 'on', 'previous_response_id': running})


def test_known_before_it_is_told(worlds):
    """While it cannot be written whose it is, the client does not hear of it; streamed or not."""
    world = worlds('platform')
    for streamed in (False, True):
        with psycopg.connect(world.cluster.postgres.dsn(world.cluster.database)) as db, world.ring() as ring:
            db.execute('LOCK TABLE posthouse.background_turns IN ACCESS EXCLUSIVE MODE')
            told = []
            thread = threading.Thread(target=lambda s=streamed: told.append(
                ring.post({'model': 'demo', 'input': 'x', 'background': True, 'stream': s})))
            thread.start()
            time.sleep(1)
            assert not told
            db.rollback()
            thread.join(20)
            assert told[0].status == 200


def test_its_node_is_killed(worlds):
    """Nothing of it is the node's."""
    world = worlds('platform', 'platform')
    node = world.cluster.node()
    answer = http.once(node.url, world.key, 'POST', '/v1/responses', {
        'model': 'demo', 'input': 'hello', 'background': True})
    node.kill9()
    rid = answer.json['id']
    with world.ring() as ring:
        assert finished(ring, rid)['status'] == 'completed'
        world.cluster.use(*[name for name in world.names if name != owner_of(rid)])
        turn = ring.turn({'model': 'demo', 'input': 'on', 'previous_response_id': rid})
        assert turn.text.startswith('seen 3 ')


def test_many_hear_of_its_end_at_once(worlds):
    """One snapshot, which is nobody else's: no conflict, no ambiguity."""
    world = worlds('platform', 'platform')
    with world.ring() as ring:
        rids = [begin(world, ring, 'number %d' % n)['id'] for n in range(8)]
    with world.ring() as one, world.ring() as two, world.ring() as three:
        for rid in rids:
            found = []
            threads = [threading.Thread(target=lambda api=api, rid=rid: found.append(finished(api, rid)['status']))
                       for api in (one, two, three)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert found == ['completed'] * 3
            assert world.cluster.sql('SELECT count(*), max(flags & 16) FROM posthouse.snapshots WHERE response_id = %s',
                                     rid) == [(1, 0)]
            one.turn({'model': 'demo', 'input': 'on', 'previous_response_id': rid})
    http.eventually(lambda: world.cluster.sql(
        'SELECT count(*) FROM posthouse.background_turns WHERE id = ANY (%s) AND (NOT ended OR input IS NOT NULL)',
        rids) == [(0,)], what='rows of turns that are over')


# ---- streams ----

def streamed(ring, **members):
    answer = ring.post(dict({'model': 'demo', 'input': 'hello', 'background': True, 'stream': True}, **members))
    assert answer.status == 200, answer
    return http.Turn(answer, True)


def resumed(ring, rid, after=None):
    answer = ring.get('/v1/responses/%s?stream=true%s' % (rid, '' if after is None else '&starting_after=%d' % after))
    assert answer.status == 200 and answer.header('content-type').startswith('text/event-stream'), answer
    events, done = http.parse_stream(answer.body)
    assert done
    return events


def test_a_stream_to_its_end(worlds):
    """Upstream's numbers, with nothing of ours between them, however long it is silent; then a turn like any other."""
    world = worlds('platform', 'platform')
    for name in world.names:
        world.upstream.account(name, do={'work_ms': 1000})
    with world.ring() as ring:
        turn = streamed(ring)
        assert turn.status == 'completed' and 'keepalive' not in turn.types
        assert turn.events[0].data['sequence_number'] == 0
        http.eventually(lambda: world.cluster.sql('SELECT ended, input FROM posthouse.background_turns WHERE id = %s',
                                                  turn.id) == [(True, None)], what='its row to be over')
        world.cluster.use(*[name for name in world.names if name != owner_of(turn.id)])
        after = ring.turn({'model': 'demo', 'input': 'on', 'previous_response_id': turn.id})
        assert after.text == expected_text(entries([user('hello')] + turn.response['output'] + [user('on')]))
    world.check()


def test_a_client_that_left_comes_back_elsewhere(worlds):
    """The rest of the stream, from behind the last event that it saw, on another node; and then the snapshot is there."""
    world = worlds('platform', 'platform')
    for name in world.names:
        world.upstream.account(name, do={'work_ms': 1500, 'deltas': 5})
    with world.ring() as ring:
        with http.Client(world.nodes[0].url, world.key) as leaving:
            found = leaving.open('POST', '/v1/responses', {'model': 'demo', 'input': 'hello', 'background': True,
                                                           'stream': True})
            assert found.status == 200
            seen = b''
            while seen.count(b'\n\n') < 4:
                seen += found.read1(200)
        blocks, _ = http.split_events(seen)
        first, _ = http.parse_stream(b''.join(blocks))
        rid, last = first[0].data['response']['id'], first[-1].data['sequence_number']
        rest = resumed(ring, rid, last)
        http.check_stream(first + rest, True)
        whole = rest[-1].data['response']
        assert rest[-1].type == 'response.completed' and text_of(whole) == expected_text(['user:hello'])
        # at once, on the next node, without its account
        world.cluster.use(*[name for name in world.names if name != owner_of(rid)])
        after = ring.turn({'model': 'demo', 'input': 'on', 'previous_response_id': rid})
        assert after.text == expected_text(entries([user('hello')] + whole['output'] + [user('on')]))
        # and told again: from the store
        told = resumed(ring, rid)
        http.check_stream(told, True)
        assert told[-1].data['response'] == whole
    world.check()


def test_a_finished_stream_is_its_accounts_own(worlds):
    """As long as that keeps it: the same bytes, from wherever the client wants them."""
    world = worlds('platform')
    with world.ring() as ring:
        turn = streamed(ring)
        assert [e.raw for e in resumed(ring, turn.id)] == [e.raw for e in turn.events]
        assert [e.raw for e in resumed(ring, turn.id, 4)] == [e.raw for e in turn.events[5:]]
        assert resumed(ring, turn.id, 1000) == []
        # its account refuses: then it is told from the store
        world.upstream.script('p1', {'status': 500}, any_request=True)
        told = resumed(ring, turn.id)
        http.check_stream(told, True)
        assert told[-1].data['response'] == turn.response


def test_a_stream_that_breaks_is_cut(worlds):
    """No end that was none: the client comes back for the rest."""
    world = worlds('platform')
    with world.ring() as ring:
        turn = streamed(ring)
        world.upstream.script('p1', {'fault': 'eof', 'at': 'body'}, any_request=True)
        with pytest.raises(Exception):
            resumed(ring, turn.id)
        assert [e.raw for e in resumed(ring, turn.id)] == [e.raw for e in turn.events]


# ---- cancel ----

def test_cancel(worlds):
    """On any node, more than once; what has finished is shown as it finished."""
    world = worlds('platform', 'platform')
    with world.ring() as ring:
        rid = begin(world, ring, work_ms=SOON)['id']
        answer = ring.call('/responses/%s/cancel' % rid, None)
        assert answer.status == 200 and answer.json['id'] == rid and answer.json['status'] == 'cancelled'
        assert ring.call('/responses/%s/cancel' % rid, None).json == answer.json
        assert state(ring, rid) == answer.json
        done = begin(world, ring)['id']
        shown = finished(ring, done)
        assert ring.call('/responses/%s/cancel' % done, None).json == shown
        late = begin(world, ring)['id']
        assert ring.call('/responses/%s/cancel' % late, None).json['status'] == 'completed'
        ring.turn({'model': 'demo', 'input': 'on', 'previous_response_id': late})


# ---- refusals ----

@pytest.mark.parametrize('kinds', [('codex',), ('stateless',), ('codex', 'stateless')])
def test_other_kinds_have_no_background(worlds, kinds):
    world = worlds(*kinds)
    with world.ring() as ring:
        for stream in (False, True):
            answer = ring.post({'model': 'demo', 'input': 'x', 'background': True, 'stream': stream})
            assert answer.status == 400 and answer.error['param'] == 'background', answer
            assert answer.error['type'] == 'invalid_request_error' and answer.error['code'] == 'unsupported_parameter'
        ring.turn({'model': 'demo', 'input': 'x', 'background': False})
    assert all(not r['body'] or '"background": true' not in r['body'] for r in world.upstream.requests())


def test_only_a_platform_account_gets_it(worlds):
    """Though a conversation lives elsewhere: it is replayed there."""
    world = worlds('codex', 'platform')
    world.cluster.use('c1')
    with world.ring() as ring:
        first = Conversation().say(ring, 'one')
        world.cluster.use('c1', 'p2')
        rid = begin(world, ring, 'two', previous_response_id=first.anchor)['id']
        assert owner_of(rid) == 'p2'
        assert text_of(finished(ring, rid)) == first.context.add('user:two').words + 'two'
    world.check()


def test_it_needs_to_be_stored(worlds):
    world = worlds('platform')
    with world.ring() as ring:
        answer = ring.post({'model': 'demo', 'input': 'x', 'background': True, 'store': False})
        assert answer.status == 400 and answer.error['param'] == 'background', answer
    assert not world.upstream.requests()


def test_its_account_is_away(worlds):
    """It may come back: then everything goes on."""
    world = worlds('platform', 'platform')
    with world.ring() as ring:
        rid = begin(world, ring, work_ms=SOON)['id']
        world.cluster.use(*[name for name in world.names if name != owner_of(rid)])
        for answer in (ring.get('/v1/responses/' + rid), ring.get('/v1/responses/%s?stream=true' % rid),
                       ring.call('/responses/%s/cancel' % rid, None),
                       ring.post({'model': 'demo', 'input': 'on', 'previous_response_id': rid})):
            assert answer.status == 503 and answer.error['code'] == 'account_unavailable', answer
            assert int(answer.header('retry-after')) > 0
        world.cluster.use(*world.names)
        assert finished(ring, rid)['status'] == 'completed'


def test_it_is_the_keys_own(worlds):
    """Another key's question and one about nothing get the same answer, and no account hears of either."""
    world = worlds('platform')
    with world.ring() as ring, world.ring(world.other) as others:
        rid = begin(world, ring, work_ms=SOON)['id']
        asked = len(world.upstream.requests())
        for method, path in (('GET', '/v1/responses/%s'), ('GET', '/v1/responses/%s?stream=true'),
                             ('POST', '/v1/responses/%s/cancel'), ('GET', '/v1/responses/%s/input_items'),
                             ('DELETE', '/v1/responses/%s')):
            foreign, nothing = (others.request(method, path % name) for name in (rid, 'resp_p1_ffffffff'))
            assert unknown(foreign, rid), foreign
            assert foreign.body.replace(rid.encode(), b'') == nothing.body.replace(b'resp_p1_ffffffff', b'')
        refused = others.post({'model': 'demo', 'input': 'x', 'previous_response_id': rid})
        assert refused.status == 400 and refused.error['code'] == 'previous_response_not_found'
        assert len(world.upstream.requests()) == asked
        assert state(ring, rid)['status'] == 'in_progress'


def test_deleted_while_it_runs(worlds):
    world = worlds('platform')
    with world.ring() as ring:
        rid = begin(world, ring, work_ms=SOON)['id']
        assert ring.delete('/v1/responses/' + rid).status == 200
        assert unknown(ring.get('/v1/responses/' + rid), rid)
        assert unknown(ring.get('/v1/responses/%s?stream=true' % rid), rid)
        answer = ring.post({'model': 'demo', 'input': 'x', 'previous_response_id': rid})
        assert answer.status == 400 and answer.error['code'] == 'previous_response_not_found'


def test_a_key_that_keeps_nothing(worlds):
    """Its account is asked each time, and alone can go on with it."""
    world = worlds('platform', 'platform')
    key = world.cluster.key('nothing', '--snapshots', 'none')
    with world.ring(key) as ring:
        rid = begin(world, ring)['id']
        for _ in range(3):
            assert finished(ring, rid)['status'] == 'completed'
        turn = ring.turn({'model': 'demo', 'input': 'on', 'previous_response_id': rid})
        assert turn.continuity == 'forwarded' and turn.text.startswith('seen 3 ')
        assert ring.get('/v1/responses/%s/input_items' % rid).status == 404
        world.cluster.use(*[name for name in world.names if name != owner_of(rid)])
        assert ring.get('/v1/responses/' + rid).status == 503
    assert world.cluster.sql('SELECT count(*) FROM posthouse.snapshots WHERE response_id = %s', rid) == [(0,)]
