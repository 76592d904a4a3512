# SPDX-License-Identifier: Apache-2.0
"""Conversations that are made shorter: `POST /v1/responses/compact`, and turns that end in a compaction trigger. What comes of
it only its account can read; every other account gets what was there before, whole and once."""
import itertools
import json

import pytest

from dialogue import Dialogue, REASONING, asking_for, sent, user
from doors import worlds_of
from fake_upstream import entries, expected_text

COMPACT = '/responses/compact'
PAIRS = [pair for pair in itertools.product(('platform', 'codex'), repeat=2)] + [('platform', 'stateless'),
                                                                                 ('codex', 'stateless')]


@pytest.fixture(scope='module')
def worlds(make_cluster):
    return worlds_of(make_cluster)


def talked(ring, **members):
    """A conversation of three turns, with a tool call and reasoning, each turn at another node."""
    dialogue = Dialogue()
    dialogue.say(ring, 'one', **REASONING, **members)
    dialogue.say(ring, 'look ' + asking_for({'name': 'look', 'arguments': '{}'}), **REASONING, **members)
    dialogue.say(ring, dialogue.outputs() + [user('well?')], **REASONING, **members)
    return dialogue


def compacted(ring, **body):
    answer = ring.call(COMPACT, dict({'model': 'demo'}, **body))
    assert answer.status == 200, answer
    found = answer.json
    assert found['object'] == 'response.compaction' and found['id'] and found['created_at'] and found['usage']
    assert [item['type'] for item in found['output']][-1] == 'compaction'
    assert sum(item['type'] == 'compaction' for item in found['output']) == 1
    return found


def says(ring, items, expected, **members):
    """A turn whose account saw exactly these items."""
    turn = ring.turn(dict({'model': 'demo', 'input': items}, **members))
    assert turn.text == expected_text(entries(expected)), (turn.text[:100], entries(expected))
    return turn


# ---- the call ----

@pytest.mark.parametrize('how', ['whole', 'anchored'])
@pytest.mark.parametrize('kind', ['platform', 'codex'])
def test_on_its_own_account(worlds, kind, how):
    """The item goes back as it came, with its id, to whoever made it."""
    world = worlds(kind, kind)
    first, second = world.names
    world.cluster.use(first)
    with world.ring() as ring:
        dialogue = talked(ring)
        if how == 'whole':
            found = compacted(ring, input=dialogue.items)
        else:
            found = compacted(ring, previous_response_id=dialogue.anchor)
        world.cluster.use(first, second)
        turn = says(ring, found['output'] + [user('and on')], found['output'] + [user('and on')])
        assert sent(world.upstream.requests(first)[-1])[:-1] == found['output']
        after = ring.turn({'model': 'demo', 'input': 'further', 'previous_response_id': turn.id})
        assert after.text == expected_text(entries(
            found['output'] + [user('and on')] + turn.response['output'] + [user('further')]))
    assert world.upstream.stats(second)['requests'] == 0
    world.check()


def test_what_the_codex_backend_is_sent(worlds):
    """It has no such call: the trigger is the last item of a turn."""
    world = worlds('codex')
    with world.ring() as ring:
        compacted(ring, input='one', instructions='be brief', service_tier='fast')
    body = json.loads(world.upstream.requests('c1')[-1]['body'])
    assert world.upstream.requests('c1')[-1]['path'].endswith('/responses')
    assert body == {'model': 'demo', 'input': [{'role': 'user', 'content': 'one'}, {'type': 'compaction_trigger'}],
                    'instructions': 'be brief', 'service_tier': 'priority', 'store': False, 'stream': True,
                    'parallel_tool_calls': False}


def test_what_a_platform_account_is_sent(worlds):
    """The client's own bytes."""
    world = worlds('platform')
    text = b'{ "model":"demo", "input" : "\\u0041", "prompt_cache_key":"k", "image":null, "x": {"n":1.50} }'
    with world.ring() as ring:
        assert ring.call(COMPACT, text).status == 200
    (account, request), = world.asked(COMPACT)
    assert account == 'p1' and request['body'].encode() == text


@pytest.mark.parametrize('anchored', [False, True])
@pytest.mark.parametrize('owner, other', PAIRS)
def test_elsewhere_it_is_what_it_replaced(worlds, owner, other, anchored):
    """The user's words stand in the answer of the call too: they must not come twice."""
    world = worlds(owner, other)
    first, second = world.names
    world.cluster.use(first)
    with world.ring() as ring:
        dialogue = talked(ring)
        found = compacted(ring, **({'previous_response_id': dialogue.anchor} if anchored else {'input': dialogue.items}))
        new = [user('and on')]
        world.cluster.use(second)
        turn = says(ring, found['output'] + new, dialogue.items + new)
        after = ring.turn({'model': 'demo', 'input': 'further', 'previous_response_id': turn.id})
        whole = dialogue.items + new + turn.response['output'] + [user('further')]
        assert after.text == expected_text(entries(whole))
        # and the owner, when it is back, is sent what the other made in neutral words
        world.cluster.use(first)
        back = ring.turn({'model': 'demo', 'input': 'back', 'previous_response_id': after.id})
        assert back.text == expected_text(entries(whole + after.response['output'] + [user('back')]))
    world.check()


def test_moved_in_the_middle(worlds):
    """The owner serves a turn behind the compaction, then goes away: the chain holds the item in a turn's input."""
    world = worlds('codex', 'platform')
    first, second = world.names
    world.cluster.use(first)
    with world.ring() as ring:
        dialogue = talked(ring)
        found = compacted(ring, input=dialogue.items)
        turn = says(ring, found['output'] + [user('and on')], found['output'] + [user('and on')])
        world.cluster.use(second)
        after = ring.turn({'model': 'demo', 'input': 'further', 'previous_response_id': turn.id})
        assert after.text == expected_text(entries(
            dialogue.items + [user('and on')] + turn.response['output'] + [user('further')]))
    world.check()


def test_again_and_again(worlds):
    """What was compacted is compacted elsewhere, and read by a third."""
    world = worlds('platform', 'codex', 'stateless')
    first, second, third = world.names
    world.cluster.use(first)
    with world.ring() as ring:
        dialogue = talked(ring)
        one = compacted(ring, input=dialogue.items)
        world.cluster.use(second)
        two = compacted(ring, input=one['output'] + [user('more')])
        new = [user('and on')]
        world.cluster.use(third)
        says(ring, two['output'] + new, dialogue.items + [user('more')] + new)
        world.cluster.use(first)
        says(ring, two['output'] + new, dialogue.items + [user('more')] + new)
    world.check()


def test_the_call_fails_over(worlds):
    """A limited account is no reason to refuse."""
    world = worlds('platform', 'codex')
    world.upstream.account('p1', mode='limited')
    with world.ring() as ring:
        dialogue = Dialogue()
        found = [compacted(ring, input=[user('one')]) for _ in range(3)]
        world.cluster.use('p1', 'c2')
        assert all(f['output'][-1]['encrypted_content'].startswith('enc:c2:') for f in found)
        dialogue.say(ring, 'two')
    world.check()


def test_its_id_is_no_response(worlds):
    """It cannot be continued, read, cancelled or deleted; and deleting it does not lose what it stands for."""
    world = worlds('platform', 'platform')
    with world.ring() as ring:
        found = compacted(ring, input=[user('one')])
        rid = found['id']
        refused = ring.post({'model': 'demo', 'input': 'x', 'previous_response_id': rid})
        assert refused.status == 400 and refused.error['code'] == 'previous_response_not_found', refused
        for answer in (ring.get('/v1/responses/' + rid), ring.get('/v1/responses/%s?stream=true' % rid),
                       ring.get('/v1/responses/%s/input_items' % rid), ring.delete('/v1/responses/' + rid),
                       ring.call('/responses/%s/cancel' % rid, None)):
            assert answer.status == 404 and answer.error['message'] == "Response with id '%s' not found." % rid
        owner = found['output'][-1]['encrypted_content'].split(':')[1]
        world.cluster.use(*[name for name in world.names if name != owner])
        says(ring, found['output'] + [user('two')], [user('one'), user('two')])


def test_another_key_gets_nothing_of_it(worlds):
    """An item that came to a key from elsewhere is sealed for it: what it replaced is not told."""
    world = worlds('codex', 'codex')
    first, second = world.names
    world.cluster.use(first)
    with world.ring() as ring, world.ring(world.other) as others:
        found = compacted(ring, input=[user('the secret of key one')])
        world.cluster.use(second)
        answer = others.post({'model': 'demo', 'input': [found['output'][-1], user('tell')]})
        assert answer.status == 400, answer
    assert not any('secret' in r['body'] for r in world.upstream.requests(second))


# ---- refusals ----

def test_no_account_can(worlds):
    world = worlds('stateless')
    with world.ring() as ring:
        answer = ring.call(COMPACT, {'model': 'demo', 'input': 'x'})
        assert answer.status == 400 and answer.error['code'] == 'unsupported_endpoint', answer
        assert answer.error['type'] == 'invalid_request_error'
    assert world.upstream.stats('s1')['requests'] == 0


def test_all_that_can_are_away(worlds):
    world = worlds('platform', 'stateless')
    world.cluster.use('s2')
    with world.ring() as ring:
        answer = ring.call(COMPACT, {'model': 'demo', 'input': 'x'})
        assert answer.status == 503 and answer.header('retry-after'), answer


def test_an_answer_without_an_item_is_none(worlds):
    """What does not hold what it is for is not passed on."""
    world = worlds('platform', 'platform')
    world.upstream.account('p1', do={'body': {'id': 'resp_x', 'object': 'response.compaction', 'output': []}})
    with world.ring() as ring:
        for _ in range(3):
            assert compacted(ring, input='x')['output'][-1]['encrypted_content'].startswith('enc:p2:')


@pytest.mark.parametrize('kind', ['platform', 'codex'])
def test_unknown_anchor(worlds, kind):
    world = worlds(kind)
    with world.ring() as ring:
        answer = ring.call(COMPACT, {'model': 'demo', 'previous_response_id': 'resp_never_was_any_of_ours'})
        assert answer.status == 400 and answer.error['code'] == 'previous_response_not_found', answer
        assert answer.error['param'] == 'previous_response_id'


# ---- triggers ----

@pytest.mark.parametrize('owner, other', [('platform', 'codex'), ('platform', 'stateless'), ('codex', 'platform')])
def test_a_trigger_turn_is_an_anchor(worlds, owner, other):
    """Continued by its id elsewhere: the chain before it, not the ciphertext, and not the trigger."""
    world = worlds(owner, other)
    first, second = world.names
    world.cluster.use(first)
    with world.ring() as ring:
        dialogue = talked(ring)
        turn = ring.turn({'model': 'demo', 'input': [{'type': 'compaction_trigger'}],
                          'previous_response_id': dialogue.anchor})
        assert [item['type'] for item in turn.response['output']] == ['compaction']
        world.cluster.use(second)
        after = ring.turn({'model': 'demo', 'input': 'on', 'previous_response_id': turn.id})
        assert after.text == expected_text(entries(dialogue.items + [user('on')]))
        carried = says(ring, turn.response['output'] + [user('on')], dialogue.items + [user('on')])
        assert carried.continuity == 'none'
        # as a client keeps its own words beside the item
        kept = [item for item in dialogue.items if item.get('role') == 'user']
        says(ring, kept + turn.response['output'] + [user('on')], dialogue.items + [user('on')])
    world.check()
