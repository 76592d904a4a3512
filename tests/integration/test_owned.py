# SPDX-License-Identifier: Apache-2.0
"""What upstreams keep for a key: files, conversations, batches ... each at one account, reached from any node, and by no
other key."""
import itertools
import json

import pytest

import client as http
from harness import FakeUpstream, seeded
from wsclient import Socket

COLLECTIONS = {
    'files': None, 'batches': {'endpoint': '/v1/responses'}, 'vector_stores': {'name': 'v'}, 'containers': {'name': 'c'},
    'conversations': {'metadata': {'topic': 'x'}}, 'uploads': {'filename': 'f', 'bytes': 3, 'purpose': 'assistants'},
    'evals': {'name': 'e'}, 'fine_tuning/jobs': {'model': 'gpt-fake'},
}
LISTED = [name for name in COLLECTIONS if name not in ('conversations', 'uploads')]
BOUNDARY = 'form-Boundary-7x'


def form(fields, content=b'some bytes', filename='a.txt', name='file'):
    """(body, headers) of a form with one file behind its fields."""
    parts = [b'--%s\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (
        BOUNDARY.encode(), key.encode(), value.encode()) for key, value in fields.items()]
    if content is not None:
        parts.append(b'--%s\r\nContent-Disposition: form-data; name="%s"; filename="%s"\r\nContent-Type: text/plain\r\n\r\n'
                     b'%s\r\n' % (BOUNDARY.encode(), name.encode(), filename.encode(), content))
    return b''.join(parts) + b'--%s--\r\n' % BOUNDARY.encode(), {'Content-Type': 'multipart/form-data; boundary=' + BOUNDARY}


class World:
    """Three nodes, two platform accounts that all keys share, and one of each other kind."""

    def __init__(self, make_cluster):
        self.cluster = make_cluster({'POSTHOUSE_POLL_INTERVAL': '250ms'})
        kinds = [('p1', 'platform'), ('p2', 'platform'), ('x', 'codex'), ('s', 'stateless')]
        self.upstream = self.cluster.own(FakeUpstream(kinds))
        for name, kind in kinds:
            self.cluster.account(name, kind, self.upstream.base(name), *(
                ['--model', 'demo'] if kind == 'platform' else ['--model', 'other']))
        self.serial = itertools.count(1)
        self.nodes = [self.cluster.node() for _ in range(3)]
        self.turns = itertools.cycle(self.nodes)

    def key(self, *options):
        return self.cluster.key('key-%d' % next(self.serial), *options)

    def call(self, key, method, path, body=None, headers=None):
        """Each call on another node, on a connection of its own."""
        return http.once(next(self.turns).url, key, method, '/v1/' + path, body, headers)

    def good(self, *args, **kwargs):
        answer = self.call(*args, **kwargs)
        assert answer.status == 200, answer
        return answer.json

    def make(self, key, kind='files', **more):
        if kind == 'files':
            body, headers = form({'purpose': more.get('purpose', 'user_data')}, more.get('content', b'some bytes'))
            return self.good(key, 'POST', 'files', body, headers)
        body = dict(COLLECTIONS[kind], **more)
        if kind == 'batches' and 'input_file_id' not in body:
            body['input_file_id'] = self.make(key)['id']
        if kind == 'fine_tuning/jobs':
            body.setdefault('training_file', self.make(key)['id'])
        return self.good(key, 'POST', kind, body)

    def received(self):
        return self.upstream.requests(last=100000)

    def foreign(self):
        return sum(account['foreign'] for account in self.upstream.accounts().values())

    def rows(self, rid):
        return self.cluster.sql('SELECT count(*) FROM posthouse.resource_owners WHERE id = %s', rid)[0][0]


@pytest.fixture(scope='module')
def world(make_cluster):
    return World(make_cluster)


def unknown_like(rid):
    letters = '0123456789abcdef'
    return rid[:-6] + ''.join(letters[(letters.index(c) + 7) % 16] if c in letters else c for c in rid[-6:])


def shape(answer, rid):
    request = answer.header('x-request-id')
    headers = sorted((name, value) for name, value in answer.headers
                     if name not in ('x-request-id', 'date', 'x-posthouse-node', 'content-length'))
    return answer.status, headers, answer.body.replace(rid.encode(), b'ID').replace(request.encode(), b'REQUEST')


def account_of(rid):
    return rid.replace('-', '_').split('_')[1]


# ---- reached from any node, remembered, forgotten ----

@pytest.mark.parametrize('kind', COLLECTIONS)
def test_made_read_changed_and_deleted_on_other_nodes(world, kind):
    key = world.key()
    made = world.make(key, kind)
    assert world.rows(made['id']) == 1, 'it was remembered before the client had the id'
    for _ in range(3):
        assert world.good(key, 'GET', '%s/%s' % (kind, made['id'])) == made
    assert world.good(key, 'POST', '%s/%s' % (kind, made['id']), {'metadata': {'a': 'b'}})['id'] == made['id']
    assert {r['account'] for r in world.received() if made['id'] in r['path']} == {account_of(made['id'])}
    assert world.good(key, 'DELETE', '%s/%s' % (kind, made['id']))['deleted'] is True
    assert world.rows(made['id']) == 0
    gone = world.call(key, 'GET', '%s/%s' % (kind, made['id']))
    never = unknown_like(made['id'])
    assert gone.status == 404
    assert shape(gone, made['id']) == shape(world.call(key, 'GET', '%s/%s' % (kind, never)), never)
    assert world.foreign() == 0


@pytest.mark.parametrize('kind', COLLECTIONS)
def test_foreign_is_unknown(world, kind):
    """By path, with every method, and what stands behind it."""
    owner, thief = world.key(), world.key()
    mine = world.make(owner, kind)['id']
    never = unknown_like(mine)
    sent = len(world.received())
    for method, tail in (('GET', ''), ('DELETE', ''), ('POST', ''), ('GET', '/content'), ('GET', '/items'), ('GET', '/files'),
                         ('POST', '/cancel'), ('POST', '/complete'), ('DELETE', '/files/x')):
        body = {} if method == 'POST' else None
        foreign = world.call(thief, method, '%s/%s%s' % (kind, mine, tail), body)
        unknown = world.call(thief, method, '%s/%s%s' % (kind, never, tail), body)
        assert foreign.status == 404 and shape(foreign, mine) == shape(unknown, never), (method, tail)
        error = foreign.error
        assert error['type'] == 'invalid_request_error' and error['code'] is None and mine in error['message']
    assert len(world.received()) == sent, 'nothing reached an upstream'
    assert world.good(owner, 'GET', '%s/%s' % (kind, mine))['id'] == mine


def test_ids_in_bodies_queries_and_forms(world):
    owner, thief = world.key(), world.key()
    mine = world.make(owner)['id']
    own_store, store, container = (world.make(thief if kind == 'own' else owner, name)['id'] for kind, name in (
        ('own', 'vector_stores'), ('', 'vector_stores'), ('', 'containers')))
    box = world.make(thief, 'containers')['id']
    never = unknown_like(mine)
    sent = len(world.received())

    def both(call, rid=mine, other=never):
        foreign, unknown = call(rid), call(other)
        assert foreign.status == 404 and shape(foreign, rid) == shape(unknown, other), foreign

    def as_form(rid):
        body, headers = form({'file_id': rid}, None)
        return world.call(thief, 'POST', 'containers/%s/files' % box, body, headers)

    both(lambda rid: world.call(thief, 'POST', 'batches', {'input_file_id': rid, 'endpoint': '/v1/responses'}))
    both(lambda rid: world.call(thief, 'POST', 'vector_stores', {'name': 'v', 'file_ids': [rid]}))
    both(lambda rid: world.call(thief, 'POST', 'vector_stores/%s/files' % own_store, {'file_id': rid}))
    both(lambda rid: world.call(thief, 'POST', 'fine_tuning/jobs', {'model': 'm', 'training_file': rid}))
    both(lambda rid: world.call(thief, 'POST', 'fine_tuning/jobs', b'{"model":"m","training\\u005ffile":"%s"}' % rid.encode()))
    both(lambda rid: world.call(thief, 'POST', 'images/edits', {'model': 'demo', 'images': [{'file_id': rid}]}))
    both(lambda rid: world.call(thief, 'POST', 'anything/new', {'deep': [{'in': {'container': rid}}]}), container,
         unknown_like(container))
    both(lambda rid: world.call(thief, 'POST', 'anything/new?vector_store_id=' + rid, {}), store, unknown_like(store))
    both(as_form)
    assert len(world.received()) == sent, 'nothing reached an upstream'
    # what is one's own is no hindrance
    file = world.make(thief)['id']
    assert world.good(thief, 'POST', 'vector_stores/%s/files' % own_store, {'file_id': file})['file_id'] == file
    assert as_form(file).status == 200
    assert world.foreign() == 0


def test_what_shows_all_that_an_account_stored(world):
    key = world.key()
    for source in ('responses', 'stored_completions', 'logs'):
        answer = world.call(key, 'POST', 'evals', {'data_source': {'type': 'x', 'source': {'type': source}}})
        assert answer.status == 400, answer


def test_files_of_a_batch(world):
    """Upstream mints ids of its own accord: whoever owns the batch owns its output."""
    owner, thief = world.key(), world.key()
    batch = world.make(owner, 'batches')
    output = batch['output_file_id']
    content = world.call(owner, 'GET', 'files/%s/content' % output)
    assert content.status == 200 and content.body == b'{"fake":"batch"}\n'
    assert world.call(thief, 'GET', 'files/%s/content' % output).status == 404
    assert output in [f['id'] for f in world.good(owner, 'GET', 'files')['data']]


def test_an_upload_in_parts(world):
    key = world.key()
    upload = world.make(key, 'uploads')['id']
    for part in (b'one', b'two'):
        body, headers = form({}, part, name='data')
        world.good(key, 'POST', 'uploads/%s/parts' % upload, body, headers)
    done = world.good(key, 'POST', 'uploads/%s/complete' % upload, {'part_ids': ['part_1', 'part_2']})
    content = world.call(key, 'GET', 'files/%s/content' % done['file']['id'])
    assert content.body == b'onetwo'


# ---- which account ----

def test_a_keys_resources_stand_together(world):
    """Also where they are made at once on three nodes: what is at two accounts could not be used together."""
    for _ in range(4):
        key = world.key()
        made = [world.make(key, kind)['id'] for kind in COLLECTIONS]
        assert len({account_of(rid) for rid in made}) == 1, made
    keys = [world.key() for _ in range(12)]
    assert {account_of(world.make(key)['id']) for key in keys} == {'p1', 'p2'}, 'keys spread over the accounts'


def test_allowed_accounts(world):
    for name in ('p1', 'p2'):
        key = world.key('--account', name)
        assert {account_of(world.make(key, kind)['id']) for kind in COLLECTIONS} == {name}
    key = world.key('--account', 'x')
    for method, path in (('POST', 'vector_stores'), ('POST', 'embeddings')):
        answer = world.call(key, method, path, {})
        assert answer.status == 404 and answer.error['code'] == 'unsupported_endpoint', answer
    body, headers = form({'purpose': 'user_data'})
    assert world.call(key, 'POST', 'files', body, headers).error['code'] == 'unsupported_endpoint'
    assert world.good(key, 'GET', 'files') == {'object': 'list', 'data': [], 'first_id': None, 'last_id': None,
                                               'has_more': False}


ODD = [{'status': 404, 'body': '404 page not found', 'content_type': 'text/plain'}, {'status': 404, 'body': {'detail': 'Not Found'}},
       {'status': 405, 'body': {'detail': 'Method Not Allowed'}}, {'status': 501, 'body': ''},
       {'status': 404, 'body': {'error': {'code': 404, 'message': 'File Not Found', 'type': 'not_found_error'}}}]
PATHS = [('files', *form({'purpose': 'user_data'})), ('files', *form({'purpose': 'user_data'}, b'x' * 500000)),
         ('conversations', {}, None), ('vector_stores', {'name': 'v'}, None), ('images/generations', {'model': 'other', 'prompt': 'x'}, None),
         ('audio/speech', {'model': 'other', 'input': 'x'}, None), ('something/else', {'model': 'other'}, None)]


@pytest.mark.parametrize('path,body,headers', PATHS, ids=['%d-%s' % (n, path) for n, (path, _, _) in enumerate(PATHS)])
@pytest.mark.parametrize('odd', ODD, ids=['text', 'fastapi', 'method', 'empty', 'llama'])
def test_servers_without_the_path(world, odd, path, body, headers):
    """What a server says that has no such path is not shown: it is said that no account serves it, whose fault that is not."""
    key = world.key('--account', 's', '--account', 'x')
    world.upstream.script('s', odd, any_request=True)
    answer = world.call(key, 'POST', path, body, headers)
    assert answer.status == 404 and answer.error['code'] == 'unsupported_endpoint', answer
    assert 'No upstream account' in answer.error['message'] and 'ot Found' not in answer.error['message']
    assert world.cluster.sql("SELECT state, health FROM posthouse_admin.accounts WHERE name = 's'") == [('active', 'active')]


def test_what_a_server_itself_does_not_find(world):
    """A path that is there: its answer is the client's, word for word."""
    key = world.key('--account', 's')
    for body in ({'error': "model 'x' not found, try pulling it first"},
                 {'error': {'message': 'No such voice.', 'type': 'invalid_request_error', 'param': 'voice', 'code': None}}):
        world.upstream.script('s', {'status': 404, 'body': body}, any_request=True)
        answer = world.call(key, 'POST', 'audio/speech', {'model': 'other', 'input': 'x'})
        assert (answer.status, answer.json) == (404, body)
    answer = world.call(key, 'GET', 'files/file-nobody')
    assert answer.status == 404 and answer.error['code'] is None and 'file-nobody' in answer.error['message']


def test_the_account_that_has_the_path_is_away(world):
    """Then it is not said that there is none."""
    key = world.key('--account', 's', '--account', 'p1')
    world.upstream.script('s', ODD[1], any_request=True)
    world.cluster.use('s')
    answer = world.call(key, 'POST', 'vector_stores', {'name': 'v'})
    world.cluster.use('p1', 'p2', 'x', 's')
    assert answer.status == 503 and answer.error['code'] == 'no_accounts', answer


def test_allowed_models(world):
    """What a batch runs stands in a file: it is for keys that may use any model."""
    key = world.key('--model', 'demo')
    file = world.make(key)['id']
    for path, body in (('batches', {'input_file_id': file}), ('evals', {'name': 'e'}),
                       ('fine_tuning/jobs', {'model': 'gpt-fake', 'training_file': file}), ('embeddings', {'model': 'other'})):
        answer = world.call(key, 'POST', path, body)
        assert answer.status == 403 and answer.error['code'] == 'model_not_allowed', (path, answer)
    assert world.good(key, 'POST', 'fine_tuning/jobs', {'model': 'demo', 'training_file': file})['id']
    assert world.good(key, 'GET', 'batches')['data'] == []
    twice = world.call(key, 'POST', 'embeddings', b'{"model":"other","model":"demo"}')
    assert twice.status == 400, twice


def move(world, rid, key_name):
    """As if it had been made at the other account."""
    other = {'p1': 'p2', 'p2': 'p1'}[account_of(rid)]
    world.cluster.sql('UPDATE posthouse.resource_owners SET account_id = (SELECT a.account_id FROM posthouse.accounts a '
                      'WHERE a.name = %s) WHERE id = %s', other, rid)
    return key_name


def test_ids_of_two_accounts(world):
    key = world.key()
    one, two = world.make(key)['id'], world.make(key)['id']
    move(world, two, key)
    sent = len(world.received())
    for path, body in (('vector_stores', {'file_ids': [one, two]}), ('files/%s?file_id=%s' % (one, two), {}),
                       ('responses', {'model': 'demo', 'input': [{'role': 'user', 'content': [
                           {'type': 'input_file', 'file_id': one}, {'type': 'input_file', 'file_id': two}]}]})):
        answer = world.call(key, 'POST', path, body)
        assert answer.status == 400 and answer.error['code'] == 'resources_of_two_accounts', answer
    assert len(world.received()) == sent


def test_the_account_is_away(world):
    key = world.key()
    rid = world.make(key)['id']
    account = account_of(rid)
    world.cluster.cli('account', 'pause', account)
    try:
        http.eventually(lambda: all(http.once(node.url, key, 'GET', '/v1/files/' + rid).status == 503
                                    for node in world.nodes), what='all nodes know')
        sent = len(world.received())
        for method, path, body in (('GET', 'files/' + rid, None), ('DELETE', 'files/' + rid, None), ('GET', 'files', None),
                                   ('POST', 'vector_stores', {'file_ids': [rid]}),
                                   ('POST', 'responses', {'model': 'demo', 'input': [{'role': 'user', 'content': [
                                       {'type': 'input_file', 'file_id': rid}]}]})):
            answer = world.call(key, method, path, body)
            assert answer.status == 503 and answer.header('retry-after'), (path, answer)
            assert answer.error['code'] == 'account_unavailable'
        assert len(world.received()) == sent
        assert account_of(world.make(key, 'conversations')['id']) != account, 'what is new goes elsewhere'
    finally:
        world.cluster.cli('account', 'resume', account)
    http.eventually(lambda: all(http.once(node.url, key, 'GET', '/v1/files/' + rid).status == 200 for node in world.nodes),
                    what='all nodes know')


# ---- lists ----

@pytest.mark.parametrize('kind', LISTED)
def test_lists_show_ones_own(world, kind):
    one, two = world.key(), world.key()
    mine = [world.make(one, kind)['id'] for _ in range(3)]
    theirs = [world.make(two, kind)['id'] for _ in range(2)]
    for key, ids in ((one, mine), (two, theirs)):
        page = world.good(key, 'GET', kind + '?limit=100')
        found = [r['id'] for r in page['data'] if r.get('purpose') != 'batch_output']
        if kind == 'files':
            assert found == ids[::-1]
        else:
            assert found == ids[::-1] and page['first_id'] == ids[-1] and page['last_id'] == ids[0]
        assert page['object'] == 'list' and page['has_more'] is False
        assert page['data'][-1] == world.good(key, 'GET', '%s/%s' % (kind, ids[0]))


def test_pages(world):
    key, draw = world.key(), seeded('pages')
    ids = [world.make(key, 'vector_stores', name=str(n))['id'] for n in range(17)]
    others = world.key()
    world.make(others, 'vector_stores')
    for order, expected in (('asc', ids), ('desc', ids[::-1])):
        for limit in (1, 4, 16, 17, draw.randint(2, 15)):
            found, after = [], None
            while True:
                page = world.good(key, 'GET', 'vector_stores?limit=%d&order=%s%s' % (
                    limit, order, '&after=' + after if after else ''))
                found += [r['id'] for r in page['data']]
                assert len(page['data']) == min(limit, len(ids) - len(found) + len(page['data']))
                assert (page['first_id'], page['last_id']) == (page['data'][0]['id'], page['data'][-1]['id'])
                assert page['has_more'] is (len(found) < len(ids))
                if not page['has_more']:
                    break
                after = page['last_id']
            assert found == expected
        page = world.good(key, 'GET', 'vector_stores?limit=5&order=%s&before=%s' % (order, expected[9]))
        assert [r['id'] for r in page['data']] == expected[4:9] and page['has_more'] is True
    for query, param in (('limit=0', 'limit'), ('limit=x', 'limit'), ('order=up', 'order'), ('after=vs_no', 'after'),
                         ('after=' + world.make(others, 'vector_stores')['id'], 'after')):
        answer = world.call(key, 'GET', 'vector_stores?' + query)
        assert answer.status == 400 and answer.error['param'] == param, answer


def test_a_list_of_some(world):
    """Rows that are not to be shown are read past."""
    key = world.key()
    ids = [world.make(key, 'files', purpose='batch' if n % 3 == 0 else 'user_data')['id'] for n in range(12)]
    page = world.good(key, 'GET', 'files?purpose=batch&limit=3')
    assert [r['id'] for r in page['data']] == ids[9::-3][:3] and page['has_more'] is True
    page = world.good(key, 'GET', 'files?purpose=batch&limit=3&after=' + page['last_id'])
    assert [r['id'] for r in page['data']] == [ids[0]] and page['has_more'] is False


def test_what_is_gone_upstream_is_listed_no_more(world):
    key = world.key()
    ids = [world.make(key, 'containers')['id'] for _ in range(3)]
    # it expired there, which nobody was told
    http.once('http://' + world.upstream.address, None, 'DELETE', '/a/%s/v1/containers/%s' % (account_of(ids[1]), ids[1]))
    assert [r['id'] for r in world.good(key, 'GET', 'containers')['data']] == [ids[2], ids[0]]
    assert world.rows(ids[1]) == 0


# ---- conversations ----

def say(world, key, conversation, text, **more):
    answer = world.call(key, 'POST', 'responses', dict({'model': 'demo', 'input': text, 'conversation': conversation}, **more))
    return http.Turn(answer, more.get('stream', False)) if answer.status == 200 else answer


def test_a_conversation_on_all_nodes(world):
    """Its account keeps what was said; every turn of it goes there."""
    key = world.key()
    conversation = world.make(key, 'conversations', items=[{'type': 'message', 'role': 'user', 'content': 'before'}])['id']
    seen = 1
    for n in range(6):
        turn = say(world, key, conversation if n % 2 else {'id': conversation}, 'turn %d' % n, stream=n % 3 == 0)
        assert turn.text.startswith('seen %d ' % (seen + 1)), turn.text
        assert account_of(turn.id) == account_of(conversation)
        seen += 2
    items = world.good(key, 'GET', 'conversations/%s/items?limit=100&order=asc' % conversation)
    assert len(items['data']) == seen
    first = items['data'][0]['id']
    assert world.good(key, 'GET', 'conversations/%s/items/%s' % (conversation, first))['id'] == first
    added = world.good(key, 'POST', 'conversations/%s/items' % conversation, {'items': [
        {'type': 'message', 'role': 'user', 'content': 'added'}]})
    assert added['object'] == 'list'
    assert say(world, key, conversation, 'last').text.startswith('seen %d ' % (seen + 2))
    assert world.good(key, 'DELETE', 'conversations/' + conversation)['deleted'] is True
    answer = say(world, key, conversation, 'gone')
    assert answer.status == 404


def test_foreign_conversations_in_turns(world):
    owner, thief = world.key(), world.key()
    mine = world.make(owner, 'conversations')['id']
    never = unknown_like(mine)
    sent = len(world.received())
    for body in ({}, {'stream': True}, {'store': False}):
        foreign, unknown = say(world, thief, mine, 'x', **body), say(world, thief, never, 'x', **body)
        assert foreign.status == 404 and shape(foreign, mine) == shape(unknown, never)
        assert foreign.error['message'] == "Conversation with id '%s' not found." % mine
    both = say(world, owner, mine, 'x', previous_response_id='resp_x')
    assert both.status == 400 and both.error['param'] == 'previous_response_id'
    for odd in (5, [], {'id': 5}, {'no': 'id'}):
        answer = say(world, owner, odd, 'x')
        assert answer.status == 400 and answer.error['param'] == 'conversation', answer
    assert len(world.received()) == sent
    for blank in (None, '', ' '):
        assert say(world, owner, blank, 'x').status == 'completed'


def test_on_sockets(world):
    """The same for a turn that comes as a frame; the socket stays."""
    key, thief = world.key(), world.key()
    conversation, file = world.make(key, 'conversations')['id'], world.make(key)['id']
    account = account_of(conversation)
    bodies = [{'input': 'x', 'conversation': conversation}, {'input': with_file(file)}]
    with Socket(next(world.turns).url, key) as ws:
        for body in bodies * 2:
            assert account_of(ws.turn(dict(body, model='demo')).id) == account
        assert ws.turn({'model': 'demo', 'input': 'anywhere'}).status == 'completed'
    assert len(world.good(key, 'GET', 'conversations/%s/items' % conversation)['data']) == 4
    sent = len(world.received())
    with Socket(next(world.turns).url, thief) as ws:
        for body in bodies:
            ws.send(dict(body, model='demo', type='response.create'))
            refusal = ws.receive().data
            assert (refusal['type'], refusal['status']) == ('error', 404), refusal
        assert len(world.received()) == sent
        assert ws.turn({'model': 'demo', 'input': 'mine'}).status == 'completed'
    assert world.foreign() == 0


def test_a_conversations_turn_can_be_gone_on_from_at_its_account_only(world):
    """What the conversation held is not known here: such a turn is never replayed elsewhere."""
    key = world.key()
    conversation = world.make(key, 'conversations')['id']
    turn = say(world, key, conversation, 'one')
    account = account_of(conversation)
    follow = {'model': 'demo', 'input': 'two', 'previous_response_id': turn.id}
    answer = world.call(key, 'POST', 'responses', follow)
    assert answer.status == 200 and answer.header('x-posthouse-continuity') == 'forwarded'
    world.cluster.cli('account', 'pause', account)
    try:
        http.eventually(lambda: all(http.once(node.url, key, 'GET', '/v1/conversations/' + conversation).status == 503
                                    for node in world.nodes), what='all nodes know')
        sent = len(world.received())
        for body in (follow, {'model': 'demo', 'input': 'x', 'conversation': conversation}):
            answer = world.call(key, 'POST', 'responses', body)
            assert answer.status == 503 and answer.error['code'] == 'account_unavailable', answer
        assert len(world.received()) == sent
    finally:
        world.cluster.cli('account', 'resume', account)
    http.eventually(lambda: all(http.once(node.url, key, 'GET', '/v1/conversations/' + conversation).status == 200
                                for node in world.nodes), what='all nodes know')


# ---- files and containers in turns ----

def with_file(rid, text='read it'):
    return [{'role': 'user', 'content': [{'type': 'input_file', 'file_id': rid}, {'type': 'input_text', 'text': text}]}]


def test_turns_go_to_what_they_name(world):
    key = world.key()
    file, store, box = (world.make(key, kind)['id'] for kind in ('files', 'vector_stores', 'containers'))
    account = account_of(file)
    bodies = [{'input': with_file(file)},
              {'input': 'x', 'tools': [{'type': 'file_search', 'vector_store_ids': [store]}]},
              {'input': 'x', 'tools': [{'type': 'code_interpreter', 'container': box}]},
              {'input': 'x', 'tools': [{'type': 'code_interpreter', 'container': {'type': 'auto', 'file_ids': [file]}}]}]
    for body, stream in itertools.product(bodies, (False, True)):
        for _ in range(2):
            answer = world.call(key, 'POST', 'responses', dict(body, model='demo', stream=stream))
            assert answer.status == 200 and account_of(http.Turn(answer, stream).id) == account, answer
    thief = world.key()
    sent = len(world.received())
    for body in bodies:
        text = json.dumps(dict(body, model='demo'))
        for rid in (file, store, box):
            text = text.replace(rid, rid)
        foreign = world.call(thief, 'POST', 'responses', text.encode())
        named = next(rid for rid in (file, store, box) if rid in text)
        unknown = world.call(thief, 'POST', 'responses', text.replace(named, unknown_like(named)).encode())
        assert foreign.status == 404 and shape(foreign, named) == shape(unknown, unknown_like(named)), foreign
    hidden = world.call(thief, 'POST', 'responses', json.dumps({'model': 'demo', 'input': with_file(file)}).replace(
        'file_id', 'f\\u0069le_id').encode())
    assert hidden.status == 404, hidden
    assert len(world.received()) == sent
    assert world.foreign() == 0


def test_a_file_takes_a_conversation_to_its_account(world):
    """The chain's owner is another account: the chain is replayed where the file is."""
    key = world.key()
    file = world.make(key)['id']
    account = account_of(file)
    other = {'p1': 'p2', 'p2': 'p1'}[account]
    world.cluster.cli('account', 'pause', account)
    try:
        http.eventually(lambda: all(http.once(node.url, key, 'GET', '/v1/files/' + file).status == 503
                                    for node in world.nodes), what='all nodes know')
        turn = http.Turn(world.call(key, 'POST', 'responses', {'model': 'demo', 'input': 'hello'}), False)
        assert account_of(turn.id) == other
    finally:
        world.cluster.cli('account', 'resume', account)
    http.eventually(lambda: all(http.once(node.url, key, 'GET', '/v1/files/' + file).status == 200 for node in world.nodes),
                    what='all nodes know')
    answer = world.call(key, 'POST', 'responses', {'model': 'demo', 'input': with_file(file), 'previous_response_id': turn.id})
    assert answer.status == 200 and answer.header('x-posthouse-continuity') == 'replayed', answer
    second = http.Turn(answer, False)
    assert account_of(second.id) == account and second.text.startswith('seen 3 ')
    assert world.foreign() == 0


def test_a_history_is_no_use_of_what_it_tells(world):
    """Citations and calls name files that nobody opens any more."""
    key = world.key()
    turn = world.call(key, 'POST', 'responses', {'model': 'demo', 'input': [
        {'type': 'message', 'role': 'assistant', 'content': [{'type': 'output_text', 'text': 't', 'annotations': [
            {'type': 'file_citation', 'file_id': 'file-elsewhere-1', 'index': 0, 'filename': 'f'}]}]},
        {'role': 'user', 'content': 'go on'}], 'metadata': {'file_id': 'a note of mine'},
        'tools': [{'type': 'function', 'name': 'f', 'parameters': {'properties': {'file_id': {'type': 'string'}}}}]})
    assert turn.status == 200, turn


def test_containers_that_a_turn_made(world):
    """Upstream makes a container for the tool: what is in it is fetched by the id that the answer tells."""
    key, thief = world.key(), world.key()
    box = world.make(key, 'containers')['id']  # stands for the one that upstream made
    world.cluster.sql('DELETE FROM posthouse.resource_owners WHERE id = %s', box)
    assert world.call(key, 'GET', 'containers/' + box).status == 404
    account = account_of(box)
    only = world.key('--account', account)
    world.upstream.script(account, {'items': [{'type': 'code_interpreter_call', 'id': 'ci_1', 'container_id': box,
                                               'status': 'completed', 'code': 'x', 'outputs': None}]})
    turn = world.call(only, 'POST', 'responses', {'model': 'demo', 'input': 'count', 'tools': [
        {'type': 'code_interpreter', 'container': {'type': 'auto'}}]})
    assert turn.status == 200, turn
    assert world.good(only, 'GET', 'containers/' + box)['id'] == box
    assert world.call(thief, 'GET', 'containers/' + box).status == 404


# ---- what else there is ----

def test_other_paths(world):
    key = world.key()
    echo = world.good(key, 'POST', 'things/new?x=1', {'model': 'demo'})
    assert echo['object'] == 'fake.echo' and echo['path'].endswith('/v1/things/new?x=1')
    for method, path in (('GET', 'things'), ('POST', 'things/abc1'), ('GET', 'organization/usage'),
                         ('POST', 'organization/invites'), ('POST', 'realtime/client_secrets'), ('POST', 'threads'),
                         ('POST', 'chatkit/sessions'), ('GET', 'threads/t_1')):
        answer = world.call(key, method, path, {} if method == 'POST' else None)
        assert answer.status == 404 and answer.error['code'] == 'unknown_url', (path, answer)
    for method, path in (('PUT', 'files'), ('GET', 'conversations'), ('PATCH', 'files/x')):
        assert world.call(key, method, path).status == 405, path


def test_no_database(make_cluster):
    """Nothing is sent of what would need to be known, or to be remembered; and nothing is 'not found'."""
    world = World(make_cluster)
    key = world.key()
    conversation = world.make(key, 'conversations')['id']
    for node in world.nodes:
        http.once(node.url, key, 'GET', '/v1/files')  # each knows the key
    sent = len(world.received())
    world.cluster.postgres.sql('postgres', 'ALTER DATABASE %s ALLOW_CONNECTIONS false' % world.cluster.database)
    world.cluster.postgres.sql('postgres', 'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s',
                               world.cluster.database)
    try:
        for method, path, body in (('GET', 'conversations/' + conversation, None), ('POST', 'conversations', {}),
                                   ('GET', 'files', None),
                                   ('POST', 'responses', {'model': 'demo', 'input': 'x', 'conversation': conversation})):
            answer = world.call(key, method, path, body)
            assert answer.status == 503 and answer.error['code'] == 'service_unavailable', (path, answer)
        assert len(world.received()) == sent
    finally:
        world.cluster.postgres.sql('postgres', 'ALTER DATABASE %s ALLOW_CONNECTIONS true' % world.cluster.database)
    http.eventually(lambda: world.call(key, 'GET', 'conversations/' + conversation).status == 200, within=30,
                    what='the database is back')
