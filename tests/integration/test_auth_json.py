# SPDX-License-Identifier: Apache-2.0
"""Codex accounts from auth.json: what is added, what is recognised again, what is refused, and that no token shows."""
import base64
import itertools
import json
import re
import threading

import pytest

from test_cli import refused, table

URL = 'http://127.0.0.1:9/backend-api/codex'
TOKENS = itertools.count(1)


@pytest.fixture
def cluster(make_cluster):
    return make_cluster()


def jwt(claims):
    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b'=').decode()
    return '%s.%s.c2lnbmF0dXJl' % (part({'alg': 'RS256'}), part(claims))


def claims_of(email, account, plan='plus', **more):
    return {'email': email, 'sub': 'google-oauth2|1', 'exp': 1,
            'https://api.openai.com/auth': {'chatgpt_account_id': account, 'chatgpt_plan_type': plan, **more}}


@pytest.fixture
def login(cluster, tmp_path):
    """login(email, account) -> an auth.json on disk with tokens of its own, none of which may be shown again."""
    def make(email, account, plan='plus', **more):
        n = next(TOKENS)
        tokens = {'id_token': jwt(claims_of(email, account, plan, **more)), 'access_token': 'canary-access-%d' % n,
                  'refresh_token': 'canary-refresh-%d' % n, 'account_id': account}
        cluster.secrets.update(tokens[name] for name in ('id_token', 'access_token', 'refresh_token'))
        path = tmp_path / ('auth-%d.json' % n)
        path.write_text(json.dumps({'auth_mode': 'chatgpt', 'OPENAI_API_KEY': None, 'tokens': tokens,
                                    'last_refresh': '2026-11-22T10:00:00.123456Z'}), encoding='utf-8')
        return path
    return make


def add(cluster, name, *files, check=True, stdin=None, options=(), kind='codex'):
    paths = [word for file in files for word in ('--auth-json', str(file))]
    done = cluster.cli('account', 'add', name, '--kind', kind, '--base-url', URL, *paths, *options, check=check, stdin=stdin)
    cluster.scan('what account add prints', done.stdout)
    return done


def lines(done):
    return done.stdout.decode().splitlines()


def accounts(cluster):
    done = cluster.cli('account', 'list', '--json')
    cluster.scan('account list', done.stdout)
    return {row['name']: row for row in json.loads(done.stdout)}


def sealed(cluster, name):
    return cluster.sql('SELECT s.sealed FROM posthouse.account_secrets s JOIN posthouse.accounts a USING (account_id) '
                       "WHERE a.name = %s AND a.state <> 'removed'", name)[0][0]


# ---- adding ----

def test_one_login(cluster, login):
    done = add(cluster, 'main', login('ann@example.com', 'acc-1'), options=('--token-url', 'http://127.0.0.1:9/oauth/token'))
    assert lines(done) == ['account "main" added: codex, %s, ann@example.com, plus' % URL] and done.stderr == b''
    row = accounts(cluster)['main']
    assert (row['kind'], row['identity'], row['plan'], row['state']) == ('codex', 'acc-1 ann@example.com', 'plus', 'active')
    assert row['secret_key'] and b'canary' not in sealed(cluster, 'main')
    card = cluster.cli('account', 'show', 'main')
    cluster.scan('account show', card.stdout)
    assert ['identity', 'acc-1 ann@example.com'] in table(card) and ['plan', 'plus'] in table(card)
    assert cluster.sql("SELECT token_url FROM posthouse.accounts WHERE name = 'main'") == [('http://127.0.0.1:9/oauth/token',)]


def test_standard_input_and_other_spellings(cluster):
    text = json.dumps({'accessToken': 'canary-spelled', 'accountId': 'acc', 'idToken': jwt(claims_of('ann@example.com', 'acc'))})
    cluster.secrets.add('canary-spelled')
    add(cluster, 'main', '-', stdin=text.encode() + b'\n')
    assert accounts(cluster)['main']['identity'] == 'acc ann@example.com'
    assert lines(add(cluster, 'other', '-', stdin=text.encode())) == ['account "main" updated: it is the same login']


def test_account_of_the_claims(cluster):
    """Where the file names no account its tokens may; unreadable ones harm nothing as long as the file does."""
    tokens = {'access_token': 'canary-opaque', 'id_token': jwt(claims_of('ann@example.com', 'acc', 'team'))}
    cluster.secrets.update(tokens.values())
    add(cluster, 'claimed', '-', stdin=json.dumps({'tokens': tokens}).encode())
    tokens = {'access_token': 'canary-opaque', 'id_token': 'unreadable', 'account_id': 'acc-2'}
    add(cluster, 'opaque', '-', stdin=json.dumps({'tokens': tokens}).encode())
    rows = accounts(cluster)
    assert [(rows[n]['identity'], rows[n]['plan']) for n in ('claimed', 'opaque')] == [('acc ann@example.com', 'team'),
                                                                                    ('acc-2', None)]


def test_a_login_of_nobody_is_added_with_a_warning(cluster):
    text = b'{"tokens":{"access_token":"canary-nameless"}}'
    cluster.secrets.add('canary-nameless')
    for result in ('added', 'updated'):
        done = add(cluster, 'main', '-', stdin=text)
        assert lines(done) == ['account "main" %s: codex, %s' % (result, URL)]
        assert re.fullmatch(r'posthouse: warning: standard input names no account: .+\n', done.stderr.decode())
    assert accounts(cluster)['main']['identity'] is None


# ---- the same login ----

def test_the_same_login_is_updated(cluster, login):
    add(cluster, 'main', login('ann@example.com', 'acc'))
    before, row = sealed(cluster, 'main'), accounts(cluster)['main']
    done = add(cluster, 'other', login('Ann@Example.com', 'acc', 'pro'), options=('--weight', '7'))
    assert lines(done) == ['account "main" updated: it is the same login']
    rows = accounts(cluster)
    assert list(rows) == ['main'] and rows['main']['account_id'] == row['account_id']
    assert (rows['main']['plan'], rows['main']['weight']) == ('pro', 7) and sealed(cluster, 'main') != before
    done = add(cluster, 'main', login('ann@example.com', 'acc', 'pro'))
    assert lines(done) == ['account "main" updated: codex, %s, ann@example.com, pro' % URL], 'its own name: nothing to explain'


def test_what_makes_a_login(cluster, login):
    """One person in two workspaces, two persons in one: four logins."""
    add(cluster, 'one', login('ann@example.com', 'acc-1'))
    add(cluster, 'two', login('ann@example.com', 'acc-2'))
    add(cluster, 'three', login('bob@example.com', 'acc-1'))
    add(cluster, 'four', login('ann@example.com', 'acc-1', workspace_id='w-1'))
    assert {name: row['identity'] for name, row in accounts(cluster).items()} == {
        'one': 'acc-1 ann@example.com', 'two': 'acc-2 ann@example.com', 'three': 'acc-1 bob@example.com',
        'four': 'acc-1 w-1 ann@example.com'}


def test_a_name_takes_another_login(cluster, login):
    add(cluster, 'main', login('ann@example.com', 'acc'))
    account = accounts(cluster)['main']['account_id']
    assert b'updated: codex' in add(cluster, 'main', login('bob@example.com', 'acc')).stdout
    row = accounts(cluster)['main']
    assert (row['account_id'], row['identity']) == (account, 'acc bob@example.com')
    add(cluster, 'second', login('ann@example.com', 'acc'))
    done = add(cluster, 'main', login('ann@example.com', 'acc'))
    assert lines(done) == ['account "second" updated: it is the same login'], 'another account has it already'
    assert accounts(cluster)['main']['identity'] == 'acc bob@example.com'


def test_a_key_file_is_nobodys_login(cluster, login):
    file = login('ann@example.com', 'acc')
    add(cluster, 'main', file)
    cluster.account('main', 'codex', URL)
    row = accounts(cluster)['main']
    assert (row['identity'], row['plan']) == (None, None)
    assert b'"second" added' in add(cluster, 'second', file).stdout
    cluster.cli('account', 'remove', 'second')
    assert b'"third" added' in add(cluster, 'third', file).stdout, 'a removed account keeps no login'


def test_health_is_cleared(cluster, login):
    file = login('ann@example.com', 'acc')
    add(cluster, 'main', file)
    cluster.sql("UPDATE posthouse.account_health SET state = 'reauth', reason = 'token_revoked', version = version + 1 "
                "WHERE account_id = (SELECT account_id FROM posthouse.accounts WHERE name = 'main')")
    assert accounts(cluster)['main']['health'] == 'reauth'
    add(cluster, 'elsewhere', file)
    assert accounts(cluster)['main']['health'] == 'active'


# ---- several ----

def test_several_logins(cluster, login):
    files = [login('%s@example.com' % who, 'acc') for who in ('ann', 'bob', 'eve')]
    assert [line.split(':')[0] for line in lines(add(cluster, 'pool', *files))] == [
        'account "pool" added', 'account "pool-2" added', 'account "pool-3" added']
    new = login('zoe@example.com', 'acc')
    assert lines(add(cluster, 'pool', files[0], new, files[2]))[1:] == [
        'account "pool-4" added: codex, %s, zoe@example.com, plus' % URL, 'account "pool-3" updated: codex, %s, '
        'eve@example.com, plus' % URL], 'no login gives way to a number'
    assert lines(add(cluster, 'else', *files)) == ['account "%s" updated: it is the same login' % name
                                                  for name in ('pool', 'pool-2', 'pool-3')]
    assert lines(add(cluster, 'twice', new, new)) == ['account "pool-4" updated: it is the same login'] * 2
    assert {name: row['identity'] for name, row in accounts(cluster).items()} == {
        'pool': 'acc ann@example.com', 'pool-2': 'acc bob@example.com', 'pool-3': 'acc eve@example.com',
        'pool-4': 'acc zoe@example.com'}


def test_one_bad_file_and_nothing_is_written(cluster, login, tmp_path):
    bad = tmp_path / 'bad.json'
    bad.write_text('{"tokens":', encoding='ascii')
    refused(add(cluster, 'pool', login('ann@example.com', 'acc'), bad, check=False), 1, str(bad))
    assert not accounts(cluster)


def test_two_at_the_same_moment(cluster, login):
    """However the calls meet, one account has the login; who loses is told to try again."""
    files = [login('ann@example.com', 'acc') for _ in range(4)]
    done = []

    def run(i):
        done.append(cluster.cli('account', 'add', 'racer-%d' % i, '--kind', 'codex', '--base-url', URL, '--auth-json', files[i],
                                check=False))
    threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 4 and any(one.returncode == 0 for one in done)
    for one in done:
        if one.returncode != 0:
            refused(one, 1, 'same moment', 'try again')
    assert [row['identity'] for row in accounts(cluster).values()] == ['acc ann@example.com']


# ---- refusals ----

def test_refused_files(cluster, tmp_path):
    file = tmp_path / 'auth.json'
    cluster.secrets.add('canary-refused')
    for text, words in (
            (b'', ('no JSON object', 'codex login')),
            (b'{"tokens":{"access_token":"canary-refused"', ('no JSON object',)),
            (b'["canary-refused"]', ('no JSON object',)),
            (b'{"tokens":{"access_token":"canary-refused\xff"}}', ('no JSON object',)),
            (b'{"OPENAI_API_KEY":"canary-refused","tokens":null}', ('API key', '--kind platform', '--api-key-file')),
            (b'{"tokens":{"refresh_token":"canary-refused"}}', ('no access token', 'codex login')),
            (b'{"tokens":{"access_token":"canary-refused two"}}', ('one word', 'codex login'))):
        file.write_bytes(text)
        refused(add(cluster, 'bad', file, check=False), 1, str(file), *words)
        refused(add(cluster, 'bad', '-', check=False, stdin=text), 1, 'standard input', *words)
    refused(add(cluster, 'bad', '/nowhere', check=False), 1, '/nowhere', 'No such file', 'auth.json')
    refused(add(cluster, 'bad', tmp_path, check=False), 1, str(tmp_path), 'directory')
    assert not accounts(cluster)


def test_largest_file(cluster):
    def padded(size):
        text = b'{"tokens":{"access_token":"canary-large","account_id":"acc"},"pad":"%s"}'
        return text % (b'x' * (size - len(text) + 2))
    assert len(padded(1 << 20)) == 1 << 20
    cluster.secrets.add('canary-large')
    add(cluster, 'main', '-', stdin=padded(1 << 20))
    refused(add(cluster, 'bad', '-', check=False, stdin=padded((1 << 20) + 1)), 1, 'too large', '1 MiB')
    assert list(accounts(cluster)) == ['main']


def test_bad_usage(cluster, login):
    file = login('ann@example.com', 'acc')
    for kind in ('platform', 'stateless'):
        refused(add(cluster, 'bad', file, kind=kind, check=False), 2, '--auth-json', '--kind codex')
    refused(add(cluster, 'bad', file, options=('--api-key-file', '-'), check=False), 2, '--api-key-file', '--auth-json')
    refused(add(cluster, 'bad', check=False), 2, 'codex', '--auth-json')
    refused(add(cluster, 'bad', '-', '-', check=False), 2, 'standard input', 'once')
    refused(add(cluster, 'n' * 121, file, file, check=False), 2, '120')
    refused(add(cluster, 'bad', *[file] * 100, check=False), 2, '99')
    assert not accounts(cluster)
    cluster.account('taken', 'platform', URL)
    refused(add(cluster, 'taken', file, check=False), 1, 'taken', 'platform')
    assert list(accounts(cluster)) == ['taken']
