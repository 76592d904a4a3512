# SPDX-License-Identifier: Apache-2.0
"""Accounts of kind codex: what they are sent, what their answers become, and what never leaves them. The fake upstream
refuses what that backend refuses, so every turn that is answered proves much of this; here each rule has a test by itself.
"""
import base64
import contextlib
import itertools
import json
import time

import pytest

import client as http
import rawupstream as raw
from conversation import Conversation
from dialogue import Dialogue, REASONING, asking_for, ciphertexts, sent, user
from fake_upstream import entries, expected_text
from harness import FakeUpstream, KNOWN

CODEX = {  # what Codex 0.169 sends
    'originator': 'codex_cli_rs', 'user-agent': 'codex_cli_rs/0.169.0 (Debian 12; x86_64)', 'version': '0.169.0',
    'session-id': '0199aa00-1111-7000-8000-000000000001', 'thread-id': '0199aa00-1111-7000-8000-000000000002',
    'x-client-request-id': '0199aa00-1111-7000-8000-000000000002',
    'x-codex-window-id': '0199aa00-1111-7000-8000-000000000002:0', 'x-codex-beta-features': 'a,b',
    'x-codex-turn-metadata': '{"request_kind":"turn"}'}
BOUND = ('session_id', 'session-id', 'thread-id', 'x-codex-conversation-id', 'x-codex-session-id', 'x-codex-turn-state')


class World:
    def __init__(self, make_cluster, kinds):
        self.cluster = make_cluster()
        self.names = ['%s%d' % (kind[0], n) for n, kind in enumerate(kinds, 1)]
        self.upstream = self.cluster.own(FakeUpstream(list(zip(self.names, kinds))))
        for name, kind in zip(self.names, kinds):
            self.cluster.account(name, kind, self.upstream.base(name))
        self.key = self.cluster.key('k1')
        self.only = {name: self.cluster.key('only-' + name, '--account', name) for name in self.names}
        self.nodes = [self.cluster.node() for _ in range(2)]

    @contextlib.contextmanager
    def clients(self, key=None):
        with contextlib.ExitStack() as stack:
            yield [stack.enter_context(http.Client(node.url, key or self.key)) for node in self.nodes]

    def last(self, name):
        """The last turn that it was sent: (head as a dictionary, body, what it saw)."""
        request = [r for r in self.upstream.requests(name) if r['path'].endswith('/responses')][-1]
        return {n.lower(): v for n, v in request['headers']}, json.loads(request['body']), request['seen']

    def check(self):
        for name in self.names:
            stats = self.upstream.stats(name)
            assert stats['foreign'] == 0, (name, stats['found'])


@pytest.fixture(scope='module')
def worlds(make_cluster):
    made = {}

    def world(*kinds):
        if kinds not in made:
            made[kinds] = World(make_cluster, kinds)
        made[kinds].cluster.fresh()
        return made[kinds]
    return world


@pytest.fixture
def one(worlds):
    """One codex account."""
    return worlds('codex')


# ---- what it is sent ----

def test_forced_members(one):
    """Stream and no store, whatever the client asked for; the request's own bytes besides."""
    for asked in ({}, {'stream': False, 'store': True}, {'stream': None, 'store': None}, {'stream': True, 'store': False}):
        body = {'model': 'demo', 'input': [user('x')], 'instructions': 'be brief', 'prompt_cache_key': 'k'}
        with one.clients() as (api, _):
            api.turn(dict(body, **asked))
        head, got, _ = one.last('c1')
        assert got == dict(body, stream=True, store=False)
        assert head['accept'] == 'text/event-stream' and head['content-type'].startswith('application/json')
        assert 'openai-beta' not in head
        text = one.upstream.requests('c1')[-1]['body']
        assert text.count('"stream"') == 1 and text.count('"store"') == 1


DROPPED = {'max_output_tokens': 100, 'metadata': {'a': 'b'}, 'prompt_cache_retention': '24h',
           'prompt_cache_options': {'mode': 'implicit'}, 'safety_identifier': 's', 'temperature': 0.5, 'top_p': 0.9,
           'truncation': 'auto', 'user': 'u', 'background': False}
KEPT = {'instructions': 'be brief', 'tools': [], 'tool_choice': 'auto', 'parallel_tool_calls': True, 'include': [],
        'prompt_cache_key': 'k', 'text': {'verbosity': 'low'}, 'reasoning': {'effort': 'low'},
        'client_metadata': {'turn': '1'}, 'x_unknown': {'a': [1, 2.5]}}


@pytest.mark.parametrize('anchored', [False, True])
def test_dropped_and_kept_members(one, anchored):
    with one.clients() as (api, other):
        more = {'previous_response_id': api.turn({'model': 'demo', 'input': 'before'}).id} if anchored else {}
        body = json.dumps({'model': 'demo', 'input': 'x', **DROPPED, **KEPT, **more}).replace('2.5', '2.50')
        other.turn(body.encode())
    _, got, _ = one.last('c1')
    assert set(got) == {'model', 'input', 'stream', 'store'} | set(KEPT)
    assert {name: got[name] for name in KEPT} == KEPT
    assert '2.50' in one.upstream.requests('c1')[-1]['body'], 'numbers are not written anew'


@pytest.mark.parametrize('name', DROPPED)
def test_each_dropped_member_alone(one, name):
    """First, last and only one of its kind: no comma is left over."""
    with one.clients() as (api, _):
        api.turn({name: DROPPED[name], 'model': 'demo', 'input': 'x'})
        assert set(one.last('c1')[1]) == {'model', 'input', 'stream', 'store'}
        api.turn({'model': 'demo', 'input': 'x', name: DROPPED[name]})
        assert set(one.last('c1')[1]) == {'model', 'input', 'stream', 'store'}


def test_members_that_were_not_sent_are_not_made_up(one):
    with one.clients() as (api, _):
        api.turn({'model': 'demo', 'input': [user('x')]})
    assert set(one.last('c1')[1]) == {'model', 'input', 'stream', 'store'}


@pytest.mark.parametrize('text', ['x', '', 'quoted "text" \\ \u00e9 \U0001f40e \n'])
def test_a_string_becomes_a_message(one, text):
    with one.clients() as (api, _):
        turn = api.turn({'model': 'demo', 'input': text})
    item, = one.last('c1')[1]['input']
    assert item['role'] == 'user' and item.get('type', 'message') == 'message'
    assert item['content'] == text or item['content'] == [{'type': 'input_text', 'text': text}]
    assert turn.text == expected_text(['user:' + text])


@pytest.mark.parametrize('tier, becomes', [('fast', 'priority'), ('priority', 'priority'), ('flex', 'flex')])
def test_service_tier(one, tier, becomes):
    with one.clients() as (api, _):
        api.turn({'service_tier': tier, 'model': 'demo', 'input': 'x'})
    assert one.last('c1')[1]['service_tier'] == becomes


def test_the_clients_own_identity_is_passed_on(one):
    """Its headers as they came, its credentials never."""
    unwanted = {'chatgpt-account-id': 'mine', 'cookie': 'a=b', 'forwarded': 'for=1.2.3.4', 'x-forwarded-for': '1.2.3.4',
                'x-real-ip': '1.2.3.4', 'true-client-ip': '1.2.3.4', 'cf-ray': 'x', 'x-stainless-lang': 'js',
                'sec-fetch-mode': 'cors', 'OpenAI-Organization': 'org-mine'}
    with one.clients() as (api, _):
        api.turn({'model': 'demo', 'input': 'x'}, headers=dict(CODEX, **unwanted))
    head = one.last('c1')[0]
    for name, value in CODEX.items():
        assert head.get(name) == value, name
    for name in unwanted:
        assert name.lower() not in head, name
    assert head['authorization'] == 'Bearer ' + one.cluster.UPSTREAM_SECRET
    assert one.key not in json.dumps(one.upstream.requests('c1')[-1])


@pytest.mark.parametrize('kind, sees', [('codex', True), ('platform', False), ('stateless', False)])
def test_client_metadata_goes_to_codex_accounts_only(worlds, kind, sees):
    world = worlds(kind)
    with world.clients() as clients:
        before = None
        for number, stream in enumerate((False, True)):
            more = {'previous_response_id': before} if before else {}
            turn = clients[number].turn({'model': 'demo', 'client_metadata': {'turn': 'secret-words'}, 'input': 'x',
                                         'stream': stream, **more}, headers=CODEX)
            before = turn.id
            request = world.upstream.requests(world.names[0])[-1]
            assert ('client_metadata' in json.loads(request['body'])) is sees
            assert ('secret-words' in request['body']) is sees


# ---- its answers ----

def test_a_collected_answer_has_the_shape_of_any_other(worlds):
    """A client that does not stream cannot tell the kinds apart."""
    world = worlds('codex', 'platform')
    answers = {}
    for name in world.names:
        with world.clients(world.only[name]) as (api, _):
            text = 'look ' + asking_for({'name': 'look', 'arguments': '{}'}, {'name': 'raw', 'input': 'free'}, say=True)
            answer = api.post({'model': 'demo', 'input': text, **REASONING, 'store': False})
        assert answer.status == 200 and answer.header('content-type').startswith('application/json'), answer
        assert answer.header('content-length') == str(len(answer.body))
        answers[name] = http.Turn(answer, False)
    codex, platform = (answers[name] for name in world.names)
    assert set(codex.response) == set(platform.response)
    for member in set(codex.response) - {'id', 'output', 'usage', 'created_at', 'completed_at'}:
        assert codex.response[member] == platform.response[member], member
    assert codex.response['object'] == 'response' and codex.status == 'completed'
    assert set(codex.response['usage']) == set(platform.response['usage']) and codex.response['usage']['total_tokens'] > 0
    shapes = [[(item['type'], sorted(item)) for item in turn.response['output']] for turn in (codex, platform)]
    assert shapes[0] == shapes[1] and len(shapes[0]) >= 4
    assert codex.text == platform.text
    world.check()


@pytest.mark.parametrize('output', ['empty', 'null', 'absent', 'full'])
def test_an_output_that_is_left_out_is_filled(one, output):
    """In what is relayed, in what is collected, in what GET gives, and in what is replayed."""
    for stream in (True, False):
        dialogue = Dialogue()
        with one.clients() as (api, other):
            new = 'look ' + asking_for({'name': 'look', 'arguments': '{"deep":true}'}, say=True, output=output,
                                       reasoning=True)
            turn = dialogue.say(api, new, stream=stream)
            types = [item['type'] for item in turn.response['output']]
            assert 'message' in types and 'function_call' in types and 'reasoning' in types
            if stream:
                done = [e.data['item'] for e in sorted((e for e in turn.events if e.type == 'response.output_item.done'),
                                                       key=lambda e: e.data['output_index'])]
                assert turn.response['output'] == done
            found = other.get('/v1/responses/' + turn.id)
            assert found.status == 200 and found.json['output'] == turn.response['output']
            assert found.json['id'] == turn.id and found.json['status'] == 'completed'
            items = other.get('/v1/responses/%s/input_items' % turn.id)
            assert items.status == 200 and len(items.json['data']) == 1
            dialogue.say(other, dialogue.outputs())
            dialogue.say(api, 'and on', stream=True)
    one.check()


def test_store_false_is_not_for_reading(one):
    with one.clients() as (api, other):
        turn = api.turn({'model': 'demo', 'input': 'x', 'store': False})
        assert other.get('/v1/responses/' + turn.id).status == 404
        assert other.turn({'model': 'demo', 'input': 'y', 'previous_response_id': turn.id}).continuity == 'replayed'


@pytest.mark.parametrize('stream', [False, True])
def test_an_incomplete_answer(one, stream):
    one.upstream.script('c1', {'fault': 'incomplete', 'reason': 'max_output_tokens'})
    with one.clients() as (api, other):
        turn = api.turn({'model': 'demo', 'input': 'x', 'stream': stream})
        assert turn.status == 'incomplete' and turn.response['incomplete_details'] == {'reason': 'max_output_tokens'}
        assert [item['type'] for item in turn.response['output']] == ['message']
        assert other.turn({'model': 'demo', 'input': 'y', 'previous_response_id': turn.id}).status == 'completed'


@pytest.mark.parametrize('fault, at', [(f, at) for f, at in itertools.product(
    ('eof', 'reset', 'end', 'failed', 'failed_bare', 'error', 'error_nested'),
    ('open', 'created', 'added', 'item', 'item_done', 'output')) if (f, at) != ('failed', 'open')] + [('eof', 'cut')])
def test_a_collected_answer_is_whole_or_another_accounts(worlds, fault, at):
    """Nothing of it is shown before its end, so a failure anywhere in it is invisible."""
    world = worlds('codex', 'codex')
    with world.clients() as (api, other):
        first = Conversation().say(api, 'one')
        text = 'two ' + asking_fault(fault, at)
        second = first.say(other, text)
        second.say(api, 'three')
    assert sum(stats['faulted'] for stats in world.upstream.accounts().values()) == 1
    world.check()


def asking_fault(fault, at):
    """Words that make the first account that gets them fail."""
    return '{{fake: %s}}' % json.dumps({'fault': fault, 'at': at, 'times': 1, 'code': 'server_error'})


def test_what_describes_the_account_stays_here(one):
    """Quota, cookies, routing: of one account, so not for clients that take the pool for one upstream."""
    one.upstream.script('c1', {'headers': {'openai-model': 'other', 'openai-organization': 'org-c1', 'set-cookie': 'a=b'},
                               'before': [{'type': 'codex.rate_limits', 'sequence_number': 0, 'rate_limits': {
                                   'allowed': True, 'limit_reached': False,
                                   'primary': {'used_percent': 12, 'window_minutes': 300, 'reset_at': 4000000000},
                                   'secondary': None}}],
                               'events': [{'type': 'response.metadata', 'sequence_number': 3,
                                           'headers': {'x-codex-turn-state': 'ts:c1:9'}}]}, 2)
    with one.clients() as (api, _):
        for stream in (True, False):
            turn = api.turn({'model': 'demo', 'input': 'x', 'stream': stream})  # its numbers have no gap either
            names = {name for name, _ in turn.answer.headers}
            assert not [n for n in names if n.startswith(('x-codex-', 'x-ratelimit-', 'chatgpt-', 'openai-org'))], names
            assert not {'set-cookie', 'openai-model'} & names
            assert b'codex.rate_limits' not in turn.answer.body and b'response.metadata' not in turn.answer.body
            assert b'ts:c1' not in turn.answer.body


# ---- auth.json ----

def token(**claims):
    def part(data):
        return base64.urlsafe_b64encode(json.dumps(data).encode()).rstrip(b'=').decode()
    return '.'.join([part({'alg': 'none'}), part(claims), 'c2ln'])


def auth_json(account, **more):
    auth = {'chatgpt_account_id': account, 'chatgpt_user_id': 'user-1', 'chatgpt_plan_type': 'pro'}
    claims = {'email': 'rider@example.org', 'sub': 'auth0|1', 'exp': int(time.time()) + 86400,
              'https://api.openai.com/auth': auth}
    return dict({'auth_mode': 'chatgpt', 'OPENAI_API_KEY': None, 'tokens': {
        'id_token': token(**claims), 'access_token': token(**claims, kind='access'), 'refresh_token': 'rt-canary-1',
        'account_id': account}, 'last_refresh': '2026-11-22T10:00:00.123456Z'}, **more)


def test_an_account_of_auth_json(make_cluster, tmp_path):
    """Its access token is the bearer, its account id goes along, its refresh token goes nowhere."""
    cluster = make_cluster()
    upstream = cluster.own(FakeUpstream([('c1', 'codex'), ('c2', 'codex')]))
    file = tmp_path / 'auth.json'
    found = auth_json('11111111-2222-3333-4444-555555555555')
    file.write_text(json.dumps(found))
    cluster.secrets |= {found['tokens'][name] for name in ('id_token', 'access_token', 'refresh_token')}
    cluster.cli('account', 'add', 'login', '--kind', 'codex', '--base-url', upstream.base('c1'), '--auth-json', file)
    cluster.account('static', 'codex', upstream.base('c2'))
    key, node = cluster.key('k1', '--account', 'login'), cluster.node()
    with http.Client(node.url, key) as api:
        for stream in (False, True):
            assert api.turn({'model': 'demo', 'input': 'x', 'stream': stream},
                            headers={'chatgpt-account-id': 'the-clients'}).status == 'completed'
    for request in upstream.requests('c1'):
        names = [n.lower() for n, _ in request['headers']]
        head = {n.lower(): v for n, v in request['headers']}
        assert head['authorization'] == 'Bearer ' + found['tokens']['access_token']
        assert head['chatgpt-account-id'] == found['tokens']['account_id'] and names.count('chatgpt-account-id') == 1
        assert 'rt-canary-1' not in json.dumps(request)
    with http.Client(node.url, cluster.key('k2', '--account', 'static')) as api:
        api.turn({'model': 'demo', 'input': 'x'}, headers={'chatgpt-account-id': 'the-clients'})
    head = {n.lower(): v for n, v in upstream.requests('c2')[-1]['headers']}
    assert 'chatgpt-account-id' not in head and head['authorization'] == 'Bearer ' + cluster.UPSTREAM_SECRET


# ---- what never leaves an account ----

@pytest.mark.parametrize('how', ['anchored', 'whole'])
def test_turn_state_never_reaches_another_account(worlds, how):
    """Neither in the header nor in client_metadata, and not when it was kept by the client from an earlier account."""
    world = worlds('codex', 'codex')
    dialogue = Dialogue()
    with world.clients() as clients:
        world.cluster.use('c1')
        dialogue.say(clients[0], 'one', headers=CODEX)
        state = {'x-codex-turn-state': 'ts:c1:1'}
        world.cluster.use('c2')
        for number, stream in enumerate((False, True)):
            dialogue.say(clients[number], 'turn %d' % number, how, headers=dict(CODEX, **state), stream=stream,
                         client_metadata={'x-codex-turn-state': 'ts:c1:1', 'kept': 'yes'})
            head, body, _ = world.last('c2')
            assert 'x-codex-turn-state' not in head
            assert body['client_metadata'] == {'kept': 'yes'}
    world.check()


@pytest.mark.parametrize('how', ['anchored', 'whole'])
def test_session_headers_are_not_carried_to_another_account(worlds, how):
    """They stay as long as the conversation stays; what does not name a session goes on."""
    world = worlds('codex', 'codex')
    dialogue = Dialogue()
    with world.clients() as clients:
        world.cluster.use('c1')
        dialogue.say(clients[0], 'one', headers=CODEX)
        dialogue.say(clients[1], 'two', how, headers=CODEX)
        head = world.last('c1')[0]
        assert head['session-id'] == CODEX['session-id'] and head['thread-id'] == CODEX['thread-id']
        world.cluster.use('c2')
        dialogue.say(clients[0], 'three', how, headers=dict(CODEX, **{
            'session_id': 's', 'x-codex-conversation-id': 'c', 'x-codex-session-id': 's'}))
        head = world.last('c2')[0]
        assert not [name for name in BOUND if name in head], head
        for name in ('originator', 'user-agent', 'version', 'x-codex-window-id', 'x-codex-turn-metadata'):
            assert head.get(name) == CODEX[name], name
    world.check()


# ---- parameters that it refuses ----

@pytest.fixture(scope='module')
def strict(make_cluster, make_upstream):
    class Strict:
        cluster, upstream = make_cluster(), make_upstream()

    for name in ('a', 'b'):
        Strict.cluster.account(name, 'codex', Strict.upstream.url.replace('/v1', '/%s/v1' % name))
    Strict.key, Strict.node = Strict.cluster.key('k1'), Strict.cluster.node()
    return Strict


def refusing(*names, always=False):
    """As the Codex backend: one at a time."""
    def handler(x):
        for name in names:
            if always or name in x.request.json:
                x.answer(400, {'detail': 'Unsupported parameter: ' + name})
                return
        raw.plain(x)
    return handler


@pytest.mark.parametrize('stream', [False, True])
def test_an_unsupported_parameter_is_dropped_once(strict, stream):
    strict.upstream.clear()
    strict.upstream.handler = refusing('novelty')
    body = {'model': 'demo', 'input': [user('x')], 'novelty': {'a': [1, 2]}, 'other': 1.50, 'stream': stream}
    with http.Client(strict.node.url, strict.key) as api:
        assert api.turn(body).status == 'completed'
    first, second = strict.upstream.turns()
    assert first.account == second.account, 'the same account once more'
    assert 'novelty' in first.json and second.json == {k: v for k, v in first.json.items() if k != 'novelty'}
    assert strict.cluster.sql('SELECT DISTINCT health FROM posthouse_admin.accounts') == [('active',)]


def test_several_unsupported_parameters_are_dropped_one_by_one(strict):
    strict.upstream.clear()
    strict.upstream.handler = refusing('first', 'second', 'third')
    with http.Client(strict.node.url, strict.key) as api:
        assert api.turn({'first': 1, 'model': 'demo', 'second': 2, 'input': 'x', 'third': 3}).status == 'completed'
    assert len(strict.upstream.turns()) == 4 and len({r.account for r in strict.upstream.turns()}) == 1
    assert set(strict.upstream.turns()[-1].json) == {'model', 'input', 'stream', 'store'}


@pytest.mark.parametrize('name', ['novelty', 'model', 'absent'])
def test_a_parameter_that_stays_unsupported_is_told(strict, name):
    """Once it was dropped and is still refused, or was never there: the client's to mend."""
    strict.upstream.clear()
    strict.upstream.handler = refusing(name, always=True)
    with http.Client(strict.node.url, strict.key) as api:
        answer = api.post({'model': 'demo', 'input': 'x', 'novelty': 1, 'stream': True})
    assert answer.status == 400 and answer.error['param'] == name, answer
    assert answer.error['type'] == 'invalid_request_error'
    assert len(strict.upstream.turns()) <= 2
    assert strict.cluster.sql('SELECT DISTINCT health FROM posthouse_admin.accounts') == [('active',)]


# ---- the whole history, as Codex sends it ----

MOVES = [('codex', 'codex'), ('codex', 'platform'), ('platform', 'codex'), ('codex', 'stateless'), ('stateless', 'codex')]


@pytest.mark.parametrize('stream', [False, True])
@pytest.mark.parametrize('kinds', MOVES, ids='+'.join)
def test_whole_histories_cross_accounts(worlds, kinds, stream):
    """Without an anchor, with ids, reasoning and ciphertext of whoever made them, written anew by the client: each account
    gets its own items as they were and nothing of another's, there and back again."""
    world = worlds(*kinds)
    first, second = world.names
    dialogue = Dialogue()
    more = dict(REASONING, stream=stream, store=False)

    def say(number, new, **changes):
        return dialogue.say(clients[number % 2], new, 'whole', codex=True, headers=CODEX, **dict(more, **changes))
    with world.clients() as clients:
        world.cluster.use(first)
        say(0, [user('one', id='msg_0199aa00-0000-7000-8000-000000000009')])
        say(1, 'look ' + asking_for({'name': 'look', 'arguments': '{}'}))
        say(0, dialogue.outputs() + [user('well?')])
        mine = list(dialogue.items)
        world.cluster.use(second)
        say(1, 'moved')
        items = sent(world.upstream.requests(second)[-1])
        assert not ciphertexts(items)
        assert not [item for item in items if '_%s_' % first in item.get('id', '')], 'an id of the other account'
        say(0, 'look again ' + asking_for({'name': 'look', 'arguments': '{}'}))
        say(1, dialogue.outputs())
        world.cluster.use(first)
        say(0, 'back')
        items = sent(world.upstream.requests(first)[-1])
        assert ciphertexts(items) == ciphertexts(mine), 'its own come back to it, the others stay away'
        assert not [item for item in items if '_%s_' % second in item.get('id', '')]
    world.check()


@pytest.mark.parametrize('kinds', MOVES, ids='+'.join)
def test_a_failure_moves_a_whole_history(worlds, kinds):
    """The same within one turn: the second attempt is written for its own account."""
    world = worlds(*kinds)
    dialogue = Dialogue()
    with world.clients() as clients:
        world.cluster.use(world.names[0])
        dialogue.say(clients[0], 'one', 'whole', headers=CODEX, store=False, **REASONING)
        world.cluster.fresh()
        world.upstream.account(world.names[0], mode='limited')
        dialogue.say(clients[1], 'two', 'whole', codex=True, headers=CODEX, store=False, stream=True, **REASONING)
        dialogue.say(clients[0], 'three', 'whole', codex=True, headers=CODEX, store=False, **REASONING)
    stats = world.upstream.accounts()
    assert stats[world.names[1]]['turns'] == 2
    world.check()


@pytest.mark.parametrize('kinds', MOVES, ids='+'.join)
def test_a_whole_history_is_replayed_elsewhere(worlds, kinds):
    """What a client carried along is stored as that turn's input. When the next turn is anchored on it and goes to another
    account, the items in it are still of whoever made them, not the client's own."""
    world = worlds(*kinds)
    dialogue = Dialogue()
    with world.clients() as clients:
        world.cluster.use(world.names[0])
        for number in range(2):
            dialogue.say(clients[number], 'turn %d' % number, 'whole', store=False, **REASONING)
        dialogue.say(clients[0], [user('mine', id='msg_mine_1')], 'whole', store=False, **REASONING)
        world.cluster.use(world.names[1])
        assert dialogue.say(clients[1], 'moved', store=False, **REASONING).continuity == 'replayed'
        items = sent(world.upstream.requests(world.names[1])[-1])
        assert [item['id'] for item in items if 'id' in item] == (['msg_mine_1'] if kinds[1] == 'codex' else [])
        dialogue.say(clients[0], 'again', 'whole', store=False, **REASONING)
        world.cluster.use(world.names[0])
        dialogue.say(clients[1], 'back', stream=True, **REASONING)
    world.check()


@pytest.mark.parametrize('how', ['anchored', 'whole'])
@pytest.mark.parametrize('kind, store, kept', [('codex', True, False), ('codex', False, False), ('platform', False, False),
                                               ('platform', True, True)])
def test_reasoning_without_ciphertext(worlds, kind, store, kept, how):
    """It is no more than an id: of use only to an upstream that stores it. Any other one would refuse it, so it is not sent
    there in the first place."""
    world = worlds(kind)
    name = world.names[0]
    dialogue = Dialogue()
    with world.clients() as (api, other):
        dialogue.say(api, 'one', store=store, reasoning={'effort': 'low'})
        assert 'reasoning' in [item['type'] for item in dialogue.items] and not ciphertexts(dialogue.items)
        dialogue.say(other, 'two', how, store=store)
    stats = world.upstream.stats(name)
    assert stats['turns'] == 2 and stats['found']['unknown_item'] == 0, stats
    if how == 'whole':
        assert ('reasoning' in [item['type'] for item in sent(world.upstream.requests(name)[-1])]) is kept


def test_somebody_elses_history(worlds):
    """Items that no turn of this key made: reasoning of unknown origin cannot be sent to anyone, ids neither; the rest
    is the conversation."""
    world = worlds('codex', 'codex')
    history = [user('before'),
               {'type': 'reasoning', 'id': 'rs_elsewhere_1', 'summary': [], 'encrypted_content': 'gAAAAelsewhere'},
               {'type': 'message', 'id': 'msg_elsewhere_1', 'role': 'assistant', 'status': 'completed',
                'content': [{'type': 'output_text', 'text': 'so it was', 'annotations': []}]}]
    with world.clients() as (api, _):
        turn = api.turn({'model': 'demo', 'input': history + [user('and now?')]})
    assert turn.text == expected_text(entries(history + [user('and now?')]))
    world.check()


# ---- compaction ----

def compacted(world, api, dialogue, name):
    """A turn that ends in a compaction trigger, whose answer is one compaction item sealed by that account."""
    sealed = ciphertexts(dialogue.items)[-1]
    tag = sealed.split(':')[2]
    item = {'type': 'compaction', 'id': 'cmp_%s_7' % (tag if tag.startswith(name + '_') else '%s_%s' % (name, tag)),
            'encrypted_content': sealed}
    world.upstream.script(name, {'items': [item], 'say': False, 'reasoning': False})
    turn = api.turn({'model': 'demo', 'input': dialogue.items + [{'type': 'compaction_trigger'}], 'store': False,
                     'parallel_tool_calls': False})
    assert turn.response['output'] == [item]
    return turn, item


@pytest.fixture
def compacting(worlds):
    """A conversation that c1 compacted: (world, its dialogue, the turn, the item)."""
    world = worlds('codex', 'codex')
    world.cluster.use('c1')
    dialogue = Dialogue()
    with world.clients() as (api, other):
        dialogue.say(api, 'one', store=False, **REASONING)
        dialogue.say(other, 'look ' + asking_for({'name': 'look', 'arguments': '{}'}), 'whole', store=False, **REASONING)
        dialogue.say(api, dialogue.outputs() + [user('well?')], 'whole', store=False, **REASONING)
        turn, item = compacted(world, api, dialogue, 'c1')
    return world, dialogue, turn, item


def test_compaction_on_its_own_account(compacting):
    """Untouched, with its id: both are bound to each other."""
    world, _, turn, item = compacting
    with world.clients() as (api, other):
        api.turn({'model': 'demo', 'input': [item, user('and on')], 'store': False})
        assert sent(world.upstream.requests('c1')[-1])[0] == item
        other.turn({'model': 'demo', 'input': 'and on', 'previous_response_id': turn.id, 'store': False})
        items = sent(world.upstream.requests('c1')[-1])
        assert item in items and items[-1]['role'] == 'user'
    world.check()


@pytest.mark.parametrize('anchored', [False, True])
def test_compaction_elsewhere_is_what_it_replaced(compacting, anchored):
    """Another account cannot read it, and dropping it would lose the conversation: it gets the items from before."""
    world, dialogue, turn, item = compacting
    world.cluster.use('c2')
    new = user('and on')
    with world.clients() as (api, other):
        if anchored:
            found = api.turn({'model': 'demo', 'input': [new], 'previous_response_id': turn.id, 'store': False})
        else:
            found = api.turn({'model': 'demo', 'input': [item, new], 'store': False})
        assert found.text == expected_text(entries(dialogue.items + [new]))
        # and so the conversation goes on there
        after = other.turn({'model': 'demo', 'input': 'further', 'previous_response_id': found.id, 'store': False})
        assert after.text == expected_text(entries(dialogue.items + [new] + found.response['output'] + [user('further')]))
    world.check()


def test_compaction_that_nobody_can_read(worlds):
    """An item that this key never got from us: nobody here can expand it, and no account that is asked can read it. One
    clear refusal, and no account is blamed."""
    world = worlds('codex', 'codex')
    item = {'type': 'compaction', 'id': 'cmp_elsewhere_1', 'encrypted_content': 'gAAAAelsewhere'}
    with world.clients() as (api, _):
        answer = api.post({'model': 'demo', 'input': [item, user('and on')]})
    assert answer.status == 400 and answer.error['type'] == 'invalid_request_error', answer
    assert answer.error['code'] in ('account_bound_input', 'invalid_encrypted_content'), answer
    assert world.cluster.sql('SELECT DISTINCT health FROM posthouse_admin.accounts') == [('active',)]
    assert len([name for name, stats in world.upstream.accounts().items() if stats['turns']]) <= 1


# ---- warm-ups ----

@pytest.mark.parametrize('stream', [False, True])
@pytest.mark.parametrize('kind', ['codex', 'platform', 'stateless'])
def test_a_warm_up_is_answered_here(worlds, kind, stream):
    """`generate:false` over HTTP: no upstream hears of it, and it is a turn that can be continued, on any node."""
    world = worlds(kind)
    name = world.names[0]
    with world.clients() as (api, other):
        warm = api.turn({'model': 'demo', 'generate': False, 'stream': stream, 'instructions': 'x', 'store': False,
                         'input': [user('who you are'), {'role': 'developer', 'content': 'be kind'}]})
        assert warm.status == 'completed' and warm.response['output'] == [] and warm.response['object'] == 'response'
        assert warm.id.startswith('resp_') and warm.response['model'] == 'demo'
        assert warm.response['usage']['total_tokens'] == 0
        if stream:
            assert warm.types[0] == 'response.created' and set(warm.types) <= {
                'response.created', 'response.in_progress', 'response.completed'}
        assert world.upstream.stats(name)['requests'] == 0
        first = other.turn({'model': 'demo', 'input': 'hello', 'previous_response_id': warm.id, 'store': False})
        assert first.text == expected_text(['user:who you are', 'developer:be kind', 'user:hello'])
        assert first.continuity == 'replayed' and 'generate' not in world.last(name)[1]
        second = api.turn({'model': 'demo', 'input': 'again', 'previous_response_id': warm.id, 'generate': True})
        assert second.text == expected_text(['user:who you are', 'developer:be kind', 'user:again'])
        assert 'generate' not in world.last(name)[1]


def test_a_warm_up_in_the_middle(one):
    """Anchored on a turn, and anchored on by the next: its input stands between them."""
    with one.clients() as (api, other):
        first = Conversation().say(api, 'one', store=False)
        warm = other.turn({'model': 'demo', 'generate': False, 'input': 'two', 'previous_response_id': first.anchor,
                           'store': False})
        assert one.upstream.stats('c1')['turns'] == 1
        turn = api.turn({'model': 'demo', 'input': 'three', 'previous_response_id': warm.id})
        assert turn.text.startswith(first.context.add('user:two').add('user:three').words), turn.text


def test_a_warm_up_on_nothing_is_unknown(one):
    with one.clients() as (api, _):
        answer = api.post({'model': 'demo', 'generate': False, 'input': 'x', 'previous_response_id': 'resp_never'})
    assert answer.status == 400 and answer.error['code'] == 'previous_response_not_found', answer


def test_a_warm_up_needs_no_account(worlds):
    """It holds no slot and waits for nobody."""
    world = worlds('codex', 'codex')
    for name in world.names:
        world.cluster.cli('account', 'pause', name)
    time.sleep(KNOWN)
    with world.clients() as (api, other):
        warm = api.turn({'model': 'demo', 'generate': False, 'input': 'one', 'store': False})
        assert other.post({'model': 'demo', 'input': 'two', 'previous_response_id': warm.id}).status == 503
        world.cluster.use('c2')
        turn = other.turn({'model': 'demo', 'input': 'two', 'previous_response_id': warm.id})
        assert turn.text == expected_text(['user:one', 'user:two'])
