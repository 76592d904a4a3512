# SPDX-License-Identifier: Apache-2.0
"""TLS for clients: what they may speak, sessions over all workers, a certificate that is renewed under load, bad peers.

The real clients are curl, openssl s_client and Python's ssl.
"""
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest

import client as http
import rawupstream as raw
from authority import Authority, openssl
from harness import BINARY, count, figure, free_port
from netproxy import reset
from test_bytes import odd_stream, stream

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
BODY = {'model': 'demo', 'input': 'x'}


@pytest.fixture(scope='module')
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp('ca'))


class World:
    """A node with TLS, one account, one key; its pair of files can be replaced."""

    def __init__(self, make_cluster, make_upstream, authority, directory, args=()):
        self.authority = authority
        self.cert, self.key_file = directory / 'tls.crt', directory / 'tls.key'
        self.renew('first')
        self.cluster = make_cluster()
        self.upstream = make_upstream()
        self.cluster.account('s1', 'stateless', self.upstream.url)
        self.key = self.cluster.key('k1')
        self.env = {'POSTHOUSE_TLS_CERT_FILE': str(self.cert), 'POSTHOUSE_TLS_KEY_FILE': str(self.key_file)}
        self.node = self.cluster.node(env=self.env, args=args)

    def renew(self, name):
        """A new certificate of this name, in place of the old one."""
        for made, used in zip(self.authority.issue(name, 'DNS:localhost,IP:127.0.0.1'), (self.cert, self.key_file)):
            shutil.copy(made, str(used) + '.new')
            os.replace(str(used) + '.new', used)

    def hup(self, found):
        """SIGHUP, until every worker has said this once more."""
        lines = self.node.text().count(found) + len(self.node.workers())
        self.node.signal(signal.SIGHUP)
        http.eventually(lambda: self.node.text().count(found) == lines, what=found)

    def client(self, version=None):
        return http.Client(self.node.url, self.key, context=self.authority.client(version))

    def connect(self, context=None, session=None):
        """A socket after its handshake."""
        sock = socket.create_connection(('127.0.0.1', self.node.port), timeout=15)
        try:
            context = context or self.authority.client()
            return context.wrap_socket(sock, server_hostname='localhost', session=session)
        except BaseException:
            sock.close()
            raise

    def name(self):
        """Of the certificate that a new connection is shown."""
        with self.connect() as sock:
            return dict(pair[0] for pair in sock.getpeercert()['subject'])['commonName']

    def ask(self, sock, close=False):
        """One request on this socket; returns the worker that answered."""
        sock.sendall(b'GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n%s\r\n'
                     % (self.key.encode(), b'Connection: close\r\n' if close else b''))
        found = b''
        while b'\r\n\r\n' not in found or len(found.split(b'\r\n\r\n', 1)[1]) < int(self.field(found, b'content-length')):
            piece = sock.recv(65536)
            assert piece, found
            found += piece
        assert found.startswith(b'HTTP/1.1 200'), found
        return self.field(found, b'x-posthouse-node').decode()

    @staticmethod
    def field(found, name):
        return next(line.split(b': ')[1] for line in found.split(b'\r\n') if line.startswith(name))


@pytest.fixture(scope='module')
def world(make_cluster, make_upstream, authority, tmp_path_factory):
    return World(make_cluster, make_upstream, authority, tmp_path_factory.mktemp('tls'))


@pytest.fixture(scope='module')
def pair(make_cluster, make_upstream, authority, tmp_path_factory):
    """Two workers."""
    return World(make_cluster, make_upstream, authority, tmp_path_factory.mktemp('tls2'), ['--workers', '2'])


# ---- what clients may speak ----

@pytest.mark.parametrize('version', VERSIONS)
def test_turns(world, version):
    with world.client(version) as api:
        assert api.turn(BODY).status == 'completed'
        assert api.turn(dict(BODY, stream=True)).status == 'completed'
        assert api.turn({'model': 'demo', 'input': 'x' * 3000000, 'stream': True}).status == 'completed'
        assert api.connection.sock.version() == version.name.replace('_', '.')


@pytest.mark.parametrize('size', [1, 7, 1000, 10 ** 9])
def test_the_same_bytes(world, size):
    """A stream over TLS is what upstream sent, and so what a plain listener shows (test_bytes.py)."""
    data, _ = odd_stream()
    data += raw.DONE
    world.upstream.then(lambda x: stream(x, data, [size] * (len(data) // size + 1)))
    with world.client() as api:
        assert api.post(dict(BODY, stream=True)).body == data


def test_a_slow_reader(world):
    """More than all buffers on the way hold, to a client that pauses."""
    pieces = raw.events(raw.new_id(), 'y' * (3 << 20), pieces=50)
    world.upstream.then(lambda x: x.stream(pieces + [raw.DONE]))
    with world.client() as api:
        answer = api.open('POST', '/v1/responses', dict(BODY, stream=True))
        found = []
        while not found or found[-1]:
            found.append(answer.read1(1 << 18))
            time.sleep(0.001)
    assert b''.join(found) == b''.join(pieces) + raw.DONE


@pytest.mark.parametrize('options', [[], ['--tlsv1.2', '--tls-max', '1.2'], ['--tlsv1.3'], ['--no-alpn'], ['--http1.0']])
def test_curl(world, options):
    done = subprocess.run(['curl', '-sS', '-N', '--fail', *options, '--cacert', str(world.authority.cert),
                           '-H', 'Authorization: Bearer ' + world.key, '-d', json.dumps(dict(BODY, stream=True)),
                           'https://localhost:%d/v1/responses' % world.node.port],
                          capture_output=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    events, ended = http.parse_stream(done.stdout)
    http.check_stream(events, ended)
    assert events[-1].type == 'response.completed'


@pytest.mark.parametrize('offer, chosen', [(['h2', 'http/1.1'], 'http/1.1'), (['http/1.1'], 'http/1.1'), ([], None),
                                           (['h2'], 'refused')])
def test_alpn(world, offer, chosen):
    context = world.authority.client()
    if offer:
        context.set_alpn_protocols(offer)
    if chosen == 'refused':
        with pytest.raises(ssl.SSLError, match='(?i)no.application.protocol'):
            world.connect(context)
        return
    with world.connect(context) as sock:
        assert sock.selected_alpn_protocol() == chosen
        world.ask(sock)


@pytest.mark.filterwarnings('ignore:ssl.TLSVersion')
def test_old_versions(world):
    context = world.authority.client()
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers('ALL:@SECLEVEL=0')
    with pytest.raises(ssl.SSLError):
        world.connect(context)


def test_the_whole_chain_is_shown(world, tmp_path):
    """A client that trusts the root alone needs the certificate in between."""
    between = Authority(tmp_path)
    request, extra = tmp_path / 'ca.csr', tmp_path / 'ca.ext'
    extra.write_text('basicConstraints=critical,CA:TRUE\n', encoding='ascii')
    openssl('req', '-new', '-key', between.key, '-subj', '/CN=between', '-out', request)
    openssl('x509', '-req', '-in', request, '-CA', world.authority.cert, '-CAkey', world.authority.key, '-CAcreateserial',
            '-days', '3', '-extfile', extra, '-out', between.cert)
    cert, key = between.issue('leaf', 'DNS:localhost')
    chain = tmp_path / 'chain.pem'
    chain.write_bytes(cert.read_bytes() + between.cert.read_bytes())
    node = world.cluster.node(env={'POSTHOUSE_TLS_CERT_FILE': str(chain), 'POSTHOUSE_TLS_KEY_FILE': str(key)})
    with socket.create_connection(('127.0.0.1', node.port)) as sock, \
            world.authority.client().wrap_socket(sock, server_hostname='localhost') as tls:
        assert tls.version()


# ---- bad peers ----

@pytest.mark.parametrize('request_line', [b'GET / HTTP/1.1', b'POST /v1/responses HTTP/1.1'])
def test_plain_http(world, request_line):
    found, closed = http.raw(world.node.url, request_line + b'\r\nHost: x\r\nContent-Length: 0\r\n\r\n')
    answer, = http.split_answers(found)
    assert closed and answer.status == 400 and b'https://' in answer.body
    assert int(answer.header('content-length')) == len(answer.body)


@pytest.mark.parametrize('data', [b'\x00' * 100, b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' + b'a' * 600,
                                  b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', b'\x80\x2e\x01\x00\x02' + b'a' * 60])
def test_rubbish(world, data):
    found, closed = http.raw(world.node.url, data)
    assert closed and len(found) < 100 and b'HTTP/1.1 2' not in found


def test_a_client_that_does_not_trust_us(world):
    before = world.node.metric('posthouse_tls_handshakes_total', result='failed')
    with pytest.raises(ssl.SSLError, match='(?i)certificate.verify.failed'):
        world.connect(ssl.create_default_context())
    http.eventually(lambda: world.node.metric('posthouse_tls_handshakes_total', result='failed') == before + 1)
    assert b'unknown ca' in world.node.text()


def test_slow_handshakes(world):
    """Silence, half a hello, and a handshake without a request: ten seconds each, and others are served meanwhile."""
    silent = socket.create_connection(('127.0.0.1', world.node.port), timeout=20)
    half = socket.create_connection(('127.0.0.1', world.node.port), timeout=20)
    half.sendall(b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' + b'a' * 64)
    shaken = world.connect()
    start = time.monotonic()
    with world.client() as api:
        assert api.turn(BODY).status == 'completed'
    for sock in (silent, half, shaken):
        try:
            assert sock.recv(1) == b''
        except ConnectionResetError:
            pass
        assert 5 < time.monotonic() - start < 20
        sock.close()
    http.eventually(lambda: world.node.metric('posthouse_client_connections') == 0)


@pytest.mark.parametrize('how', ['close_notify', 'fin', 'reset'])
def test_a_client_that_leaves_cancels_upstream(world, how):
    """Within 100 ms; asserted at ten times that."""
    ready, early, noticed = threading.Event(), [], []

    def handler(x):
        x.start_stream()
        for piece in raw.events(raw.new_id())[:5]:
            x.chunk(piece)
        early.append(x.hang(0.2))
        ready.set()
        if x.hang(5) is not None:
            noticed.append(time.monotonic())
    world.upstream.then(handler)
    body = json.dumps(dict(BODY, stream=True)).encode()
    sock = world.connect()
    sock.sendall(b'POST /v1/responses HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n'
                 % (world.key.encode(), len(body)) + body)
    assert ready.wait(5) and early == [None], 'the gateway left by itself'
    assert sock.recv(10)
    start = time.monotonic()
    if how == 'close_notify':
        sock.setblocking(False)
        with pytest.raises(ssl.SSLError):  # it is sent; the peer's own was not read yet
            while sock.unwrap():
                pass
    elif how == 'fin':
        sock.shutdown(socket.SHUT_WR)
    else:
        reset(sock)
    http.eventually(lambda: noticed, within=10)
    assert noticed[0] - start < 1.0
    figure('cancelled upstream after %.1f ms (TLS, %s)' % ((noticed[0] - start) * 1000, how))
    sock.close()


def test_an_answer_to_a_large_body_arrives(world):
    """Refused before it was read: the answer is there, and behind it the end of the connection."""
    with world.connect() as sock:
        sock.sendall(b'POST /v1/responses HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer wrong\r\nContent-Length: 9000000\r\n\r\n')
        for _ in range(90):
            sock.sendall(b'x' * 100000)
        found = b''
        while True:
            piece = sock.recv(65536)
            if not piece:
                break
            found += piece
    answer, = http.split_answers(found)
    assert answer.status == 401


# ---- sessions ----

@pytest.mark.parametrize('version', VERSIONS)
def test_sessions_over_all_workers(pair, version):
    """A session of one worker is resumed at either, also after a reload."""
    context, workers = pair.authority.client(version), set()
    with pair.connect(context) as sock:
        pair.ask(sock)
        assert not sock.session_reused
        session = sock.session
    before = pair.node.metric('posthouse_tls_handshakes_total', result='resumed')
    for n in range(40):
        if n == 20:
            pair.hup(b'TLS: certificate read')
        with pair.connect(context, session) as sock:
            workers.add(pair.ask(sock))
            assert sock.session_reused, n
            session = sock.session  # TLS 1.3: a ticket is for one use
    assert workers == {pair.node.name + '/0', pair.node.name + '/1'}
    assert pair.node.metric('posthouse_tls_handshakes_total', result='resumed') == before + 40


@pytest.mark.parametrize('version', ['-tls1_2', '-tls1_3'])
def test_s_client(pair, tmp_path, version):
    """openssl s_client: a session in a file, and -reconnect (five connections with one session)."""
    session = tmp_path / 'session'

    def s_client(*options):
        command = ['openssl', 's_client', '-connect', '127.0.0.1:%d' % pair.node.port, version, '-CAfile',
                   str(pair.authority.cert), *options]
        request = b'GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer %s\r\n\r\n'
        done = subprocess.run(command + ['-ign_eof'], input=request % pair.key.encode(), capture_output=True, timeout=30,
                              check=False)
        assert b'HTTP/1.1 200' in done.stdout, done
        assert b'Verify return code: 0' in done.stdout
        return done.stdout
    assert b'Reused' not in s_client('-sess_out', str(session))
    for _ in range(6):
        assert b'Reused' in s_client('-sess_in', str(session))
    found = s_client('-reconnect')
    assert found.count(b'Reused') == 5 or version == '-tls1_3', found


def test_restart(pair):
    """Sessions end with the process that served them; a client notices nothing but a whole handshake."""
    context = pair.authority.client()
    with pair.connect(context) as sock:
        pair.ask(sock)
        session = sock.session
    pair.node.stop()
    pair.node.start()
    with pair.connect(context, session) as sock:
        pair.ask(sock)
        assert not sock.session_reused


# ---- renewal ----

class Load:
    """Clients that turn and turn: some on a connection of their own for each turn, some on one for all."""

    def __init__(self, world, clients):
        self.world = world
        self.done, self.faults, self.stop = 0, [], threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(n % 2 == 0,)) for n in range(clients)]
        for thread in self.threads:
            thread.start()

    def run(self, keep):
        api = self.world.client()
        try:
            while not self.stop.is_set():
                assert api.turn(dict(BODY, stream=True)).status == 'completed'
                self.done += 1
                if not keep:
                    api.close()
        except BaseException as fault:  # pylint: disable=broad-except
            self.faults.append(fault)
        api.close()

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(30)
        assert not self.faults, self.faults


def test_renewal_under_load(pair):
    """Every reload shows the new certificate to new connections; no turn fails, and old connections go on."""
    load = Load(pair, 6)
    with pair.connect() as old:
        pair.ask(old)
        for n in range(count(100)):
            pair.renew('renewed%d' % n)
            pair.hup(b'TLS: certificate read')
            assert {pair.name() for _ in range(6)} == {'renewed%d' % n}
            before = load.done
            http.eventually(lambda b=before: load.done > b + 5 or load.faults, within=20)
        pair.ask(old)
    load.end()
    figure('%d turns over %d renewals of the certificate' % (load.done, count(100)))


def test_a_pair_that_does_not_fit(pair):
    """It is an error in the log, and nothing else; also for a worker that starts meanwhile."""
    pair.renew('fits')
    pair.hup(b'TLS: certificate read')
    pair.key_file.write_bytes(pair.authority.key.read_bytes())
    pair.hup(b'does not belong to the certificate')
    assert pair.node.metric('posthouse_config_reload_failures_total') == len(pair.node.workers())
    assert pair.name() == 'fits'
    line = next(line for line in pair.node.text().splitlines() if b'does not belong' in line)
    assert json.loads(line)['level'] == 'error'
    dead = pair.node.workers()[0]
    os.kill(dead, signal.SIGKILL)
    http.eventually(lambda: dead not in pair.node.workers() and len(pair.node.workers()) == 2 and pair.node.ready(), within=30)
    for _ in range(10):
        with pair.client() as api:
            assert api.turn(BODY).status == 'completed'
    pair.renew('again')
    pair.hup(b'TLS: certificate read')
    assert {pair.name() for _ in range(6)} == {'again'}


def test_drain(world):
    """SIGTERM in the middle of a stream over TLS: it ends whole, with close_notify."""
    go = threading.Event()
    pieces = raw.events(raw.new_id())

    def handler(x):
        x.start_stream()
        for piece in pieces[:5]:
            x.chunk(piece)
        go.wait(20)
        for piece in pieces[5:]:
            x.chunk(piece)
        x.chunk(raw.DONE)
        x.end_stream()
    world.upstream.then(handler)
    with world.client() as api:
        answer = api.open('POST', '/v1/responses', dict(BODY, stream=True))
        found = answer.read1(10)
        world.node.signal(signal.SIGTERM)
        time.sleep(0.5)
        assert world.node.admin('/readyz').status == 503
        go.set()
        while True:
            piece = answer.read1(65536)
            if not piece:
                break
            found += piece
    assert found == b''.join(pieces) + raw.DONE
    assert world.node.wait(15) == 0
    world.node.start()


# ---- starting ----

def test_start_refusals(world, tmp_path):
    """One line that names the file and what would be right; check-config says the same."""
    sealed, rubbish, expired = tmp_path / 'sealed.key', tmp_path / 'rubbish', tmp_path / 'weak.key'
    openssl('pkey', '-in', world.key_file, '-aes256', '-passout', 'pass:secret', '-out', sealed)
    rubbish.write_text('x', encoding='ascii')
    openssl('genrsa', '-out', expired, '2048')
    cases = [(world.cert, sealed, 'passphrase', sealed), (world.cert, world.authority.key, 'does not belong', world.cert),
             (world.cert, expired, 'does not belong', expired), (rubbish, world.key_file, 'PEM', rubbish),
             (world.cert, rubbish, 'PEM', rubbish), (world.cert, '/nonexistent/key', 'cannot be read', '/nonexistent/key')]
    for cert, key, words, file in cases:
        env = dict(world.cluster.node_env, POSTHOUSE_LISTEN='127.0.0.1:%d' % free_port(),
                   POSTHOUSE_ADMIN_LISTEN='127.0.0.1:%d' % free_port(),
                   POSTHOUSE_TLS_CERT_FILE=str(cert), POSTHOUSE_TLS_KEY_FILE=str(key))
        for command in ('serve', 'check-config'):
            done = subprocess.run([str(BINARY), command], env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=20,
                                  check=False)
            lines = done.stderr.decode().splitlines()
            assert done.returncode == 1 and len(lines) == 1, (command, lines)
            assert words in lines[0] and str(file) in lines[0] and 'POSTHOUSE_TLS_KEY_FILE' in lines[0], lines


def test_an_expired_certificate_is_said(world, authority):
    cert, key = authority.issue('old', 'DNS:localhost', clock=-9)
    node = world.cluster.node(env={'POSTHOUSE_TLS_CERT_FILE': str(cert), 'POSTHOUSE_TLS_KEY_FILE': str(key)})
    line = next(json.loads(line) for line in node.text().splitlines() if b'has expired' in line)
    assert line['level'] == 'warn' and line['file'] == str(cert)
