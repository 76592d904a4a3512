# SPDX-License-Identifier: Apache-2.0
"""posthouse account login: in a browser, with a device code, completed by whichever run of the command comes to it."""
import contextlib
import re
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest

import client as http
from harness import BINARY, FakeUpstream, SANITIZER, free_port

WITHIN = 30


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args):
        return None


BROWSER = urllib.request.build_opener(NoRedirect)


def get(url):
    """(status, headers, body), no redirect followed."""
    try:
        answer = BROWSER.open(url, timeout=WITHIN)
    except urllib.error.HTTPError as fault:
        answer = fault
    with answer:
        return answer.status, dict(answer.headers), answer.read()


class Run:
    """The command, as a person sees it: lines on standard output, lines to paste."""

    def __init__(self, world, *args, stdin=subprocess.PIPE):
        self.world = world
        env = dict(world.cluster.cli_env)
        self.popen = subprocess.Popen([str(BINARY), 'account', 'login', *args], env=env, stdin=stdin,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.err = b''
        self.reader = threading.Thread(target=self.read_err, daemon=True)
        self.reader.start()

    def read_err(self):
        for line in self.popen.stderr:
            self.err += line

    def line(self):
        return self.popen.stdout.readline().decode().rstrip('\n')

    def paste(self, text):
        self.popen.stdin.write(text.encode() + b'\n')
        self.popen.stdin.flush()

    def end(self):
        """(exit status, the rest of standard output, standard error)"""
        status = self.popen.wait(WITHIN)
        self.reader.join(WITHIN)
        out = self.popen.stdout.read().decode()
        assert not SANITIZER.search(self.err), self.err.decode()
        assert b'canary' not in self.err and 'canary' not in out, 'a code or a token on the terminal'
        return status, out, self.err.decode()


class World:
    def __init__(self, make_cluster):
        self.cluster = make_cluster()
        self.upstream = self.cluster.own(FakeUpstream([('me', 'codex'), ('you', 'codex')]))
        self.key = self.cluster.key('k1')
        self.runs = []

    def issuer(self, name='me'):
        return 'http://%s/a/%s' % (self.upstream.address, name)

    def run(self, name='me', *more, issuer=None, port=None, **kwargs):
        where = ['--issuer', issuer or self.issuer(), '--base-url', self.upstream.base('me')]
        run = Run(self, name, *where, '--port', str(port or free_port()), *more, **kwargs)
        self.runs.append(run)
        return run

    def accounts(self):
        return self.cluster.sql('SELECT name, kind, identity, plan, base_url FROM posthouse_admin.accounts ORDER BY name')

    def exchanges(self, name='me'):
        return [r for r in self.upstream.requests(name) if r['path'].endswith('/oauth/token')]

    def serves(self, node):
        answer = http.once(node.url, self.key, 'POST', '/v1/responses', {'model': 'demo', 'input': 'x'}, timeout=60)
        return answer.status == 200

    def close(self):
        for run in self.runs:
            if run.popen.poll() is None:
                run.popen.kill()
                run.popen.wait(10)


@pytest.fixture
def world(make_cluster):
    made = World(make_cluster)
    yield made
    made.close()


def approve(url):
    """What a browser does: opens the page, and is sent to the callback's address, which this returns."""
    status, headers, body = get(url)
    assert status == 302, (status, body)
    return headers['location']


def test_in_a_browser(world):
    """The page has what OAuth with PKCE asks for; the redirect completes it; the account serves on a running node."""
    node = world.cluster.node()
    port = free_port()
    run = world.run(port=port)
    url = run.line()
    parts = urllib.parse.urlsplit(url)
    query = dict(urllib.parse.parse_qsl(parts.query))
    assert parts.path == '/a/me/oauth/authorize' and query['redirect_uri'] == 'http://localhost:%d/auth/callback' % port
    assert query['response_type'] == 'code' and query['code_challenge_method'] == 'S256'
    assert query['scope'] == 'openid profile email offline_access' and len(query['state']) >= 40
    assert query['id_token_add_organizations'] == 'true' and query['codex_cli_simplified_flow'] == 'true'
    status, _, body = get(approve(url))
    assert status == 200 and b'logged in' in body
    status, out, err = run.end()
    assert status == 0 and 'added' in out and 'me@example.com' in out, (out, err)
    assert world.accounts() == [('me', 'codex', 'acc-me me@example.com', 'plus', world.upstream.base('me'))]
    http.eventually(lambda: world.serves(node), within=WITHIN, what='the new account serves')
    turn = [r for r in world.upstream.requests('me') if r['path'].endswith('/responses')][-1]
    head = {name.lower(): value for name, value in turn['headers']}
    assert head['chatgpt-account-id'] == 'acc-me' and head['authorization'] == 'Bearer ' + world.upstream.login('me')['access_token']
    form = dict(urllib.parse.parse_qsl(world.exchanges()[0]['body']))
    assert form['grant_type'] == 'authorization_code' and 43 <= len(form['code_verifier']) <= 128
    sealed, = world.cluster.sql('SELECT sealed FROM posthouse.account_secrets')[0]
    assert b'canary' not in bytes(sealed)


def test_the_login_is_renewed_later(world):
    """Its token URL is the issuer's, and it brought a refresh token."""
    run = world.run()
    get(approve(run.line()))
    assert run.end()[0] == 0
    node = world.cluster.node()
    world.upstream.login('me', expire=True)
    assert world.serves(node)
    assert world.upstream.login('me')['renewed'] == 1


def test_pasted(world):
    """The browser is elsewhere; what is no redirect, or another login's, is said and waited on."""
    run = world.run()
    callback = approve(run.line())
    run.paste('what?')
    run.paste(re.sub('state=[^&]*', 'state=foreign', callback))
    run.paste(callback)
    status, out, err = run.end()
    assert status == 0 and 'added' in out
    assert 'no redirected URL' in err and 'another login' in err
    assert len(world.exchanges()) == 1


def test_the_port_is_taken(world):
    with socket.create_server(('127.0.0.1', free_port())) as taken:
        run = world.run(port=taken.getsockname()[1])
        callback = approve(run.line())
        http.eventually(lambda: b'is taken' in run.err, within=WITHIN)
        run.paste(callback)
        assert run.end()[0] == 0


def test_strangers_at_the_callback(world):
    """Another path, another state, half a request, rubbish: answered or ignored; the login goes on."""
    port = free_port()
    run = world.run(port=port)
    callback = approve(run.line())
    local = 'http://localhost:%d' % port
    assert get(local + '/')[0] == 404
    assert get(local + '/auth/callback?code=x&state=guessed')[0] == 400
    assert get(local + '/auth/callback')[0] == 400
    with socket.create_connection(('127.0.0.1', port)) as idle, socket.create_connection(('127.0.0.1', port)) as rubbish:
        idle.sendall(b'GET /auth/call')
        rubbish.sendall(b'\x16\x03\x01\r\n\r\n')
        assert get(callback)[0] == 200
    assert run.end()[0] == 0 and len(world.exchanges()) == 1


def test_refused(world):
    run = world.run()
    state = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(run.line()).query))['state']
    run.paste('http://localhost/auth/callback?error=access_denied&error_description=not%20you%1b&state=' + state)
    status, _, err = run.end()
    assert status == 1 and 'access_denied' in err and 'not you' in err and '\x1b' not in err
    assert world.accounts() == []


def test_the_code_is_refused(world):
    """Nothing is stored; the next run begins anew."""
    run = world.run()
    first = run.line()
    world.upstream.account('me', token={'status': 400, 'code': 'invalid_grant'})
    run.paste(approve(first))
    status, _, err = run.end()
    assert status == 1 and 'refused the code (status 400)' in err
    world.upstream.account('me', token=None)
    again = world.run()
    second = again.line()
    assert second != first
    again.paste(approve(second))
    assert again.end()[0] == 0


def test_a_second_run_completes_it(world):
    """The same page, as long as it waits; both end, one exchange."""
    one = world.run()
    url = one.line()
    two = world.run()
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
    assert dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(two.line()).query)) == query
    two.paste(approve(url))
    assert two.end()[0] == 0
    status, out, _ = one.end()
    assert status == 0 and 'completed by another run' in out
    assert len(world.exchanges()) == 1 and len(world.accounts()) == 1


def test_a_run_that_was_killed(world):
    """What it began is kept, sealed; another run goes on with it."""
    one = world.run()
    url = one.line()
    one.popen.kill()
    one.popen.wait(10)
    flow, = world.cluster.sql('SELECT state, sealed FROM posthouse.login_flows')
    assert flow[0] == 'open' and b'verifier' not in bytes(flow[1])
    two = world.run()
    assert two.line() == url
    two.paste(approve(url))
    assert two.end()[0] == 0


def test_nobody_comes(world):
    run = world.run()
    run.line()
    world.cluster.sql('UPDATE posthouse.login_flows SET expires = now()')
    status, _, err = run.end()
    assert status == 1 and '15 minutes' in err


def test_with_a_device_code(world):
    run = world.run('me', '--device')
    assert run.line() == world.issuer() + '/codex/device'
    code = run.line()
    assert re.fullmatch('CODE-[0-9]{4}', code)
    second = world.run('me', '--device')
    assert (second.line(), second.line()) == (world.issuer() + '/codex/device', code), 'no second code is asked for'
    time.sleep(2)
    assert run.popen.poll() is None and world.accounts() == []
    assert get('%s/codex/device?user_code=%s' % (world.issuer(), code))[0] == 200
    ends = [run.end(), second.end()]
    assert [status for status, _, _ in ends] == [0, 0], ends
    assert len(world.exchanges()) == 1
    form = dict(urllib.parse.parse_qsl(world.exchanges()[0]['body']))
    assert form['redirect_uri'] == world.issuer() + '/deviceauth/callback'
    assert world.accounts()[0][:4] == ('me', 'codex', 'acc-me me@example.com', 'plus')


def test_the_issuer_has_no_device_codes(world):
    run = world.run('me', '--device', issuer='http://%s/a/nobody' % world.upstream.address)
    status, out, err = run.end()
    assert status == 1 and out == '' and 'without --device' in err


def test_the_issuer_is_away(world):
    run = world.run('me', '--device', issuer='http://127.0.0.1:%d' % free_port())
    status, _, err = run.end()
    assert status == 1 and 'does not answer' in err


def test_an_account_logs_in_again(world):
    """Of an account that is there the URLs are known; its settings stay, its health is cleared. Under whatever name."""
    run = world.run()
    run.paste(approve(run.line()))
    assert run.end()[0] == 0
    world.cluster.sql("UPDATE posthouse.accounts SET weight = 7")
    world.cluster.sql("UPDATE posthouse.account_health SET state = 'reauth', reason = 'invalid_grant'")
    before = world.cluster.sql('SELECT version FROM posthouse.account_secrets')[0][0]
    again = Run(world, 'me', '--port', str(free_port()))
    world.runs.append(again)
    url = again.line()
    assert url.startswith(world.issuer())
    again.paste(approve(url))
    status, out, _ = again.end()
    assert status == 0 and 'updated' in out
    assert world.cluster.sql('SELECT weight, token_url FROM posthouse.accounts') == [(7, world.issuer() + '/oauth/token')]
    assert world.cluster.sql('SELECT health FROM posthouse_admin.accounts') == [('active',)]
    assert world.cluster.sql('SELECT version FROM posthouse.account_secrets')[0][0] == before + 1
    other = world.run('else')
    other.paste(approve(other.line()))
    status, out, _ = other.end()
    assert status == 0 and '"me" updated: it is the same login' in out and len(world.accounts()) == 1


def test_an_account_of_another_kind(world):
    world.cluster.account('p', 'platform', world.upstream.base('me'))
    run = world.run('p')
    status, _, err = run.end()
    assert status == 1 and 'kind platform' in err


@pytest.mark.parametrize('args', [['--port', '0'], ['--issuer', 'ftp://x'], ['--base-url', 'x'], ['more'], []])
def test_bad_usage(world, args):
    name = [] if args == [] else ['me']
    done = subprocess.run([str(BINARY), 'account', 'login', *name, *args], env=world.cluster.cli_env, capture_output=True,
                          stdin=subprocess.DEVNULL, timeout=60, check=False)
    assert done.returncode == 2 and done.stderr.count(b'\n') == 1, done.stderr


def test_no_way_in(world):
    """The port is taken and standard input has ended: it does not wait for nothing."""
    with socket.create_server(('127.0.0.1', free_port())) as four, socket.socket(socket.AF_INET6) as six:
        port = four.getsockname()[1]
        six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        with contextlib.suppress(OSError):  # a machine without it
            six.bind(('::1', port))
            six.listen()
        run = world.run(port=port, stdin=subprocess.DEVNULL)
        run.line()
        status, _, err = run.end()
        assert status == 1 and 'no redirect can arrive' in err
