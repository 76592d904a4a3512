# SPDX-License-Identifier: Apache-2.0
"""Bodies of any size pass by: nothing of them is kept, neither side is faster than the other, and what ends early ends."""
import contextlib
import hashlib
import json
import re
import socket
import threading
import time

import pytest

import client as http
from harness import FakeUpstream, figure
from netproxy import reset

MIB = 1 << 20
BLOCK = bytes(range(256)) * 256  # 64 KiB
BOUNDARY = b'a-Boundary-of-its-own'
TYPE = 'multipart/form-data; boundary=' + BOUNDARY.decode()
BEFORE = (b'--%s\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n--%s\r\n'
          b'Content-Disposition: form-data; name="file"; filename="large"\r\n\r\n' % (BOUNDARY, BOUNDARY))
BEHIND = b'\r\n--%s--\r\n' % BOUNDARY


class Sink:
    """An upstream that reads bodies as a test wants it to, and knows what came of them."""

    def __init__(self):
        self.listener = socket.create_server(('127.0.0.1', 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.url = 'http://127.0.0.1:%d/v1' % self.port
        self.faults = []
        self.clear()
        threading.Thread(target=self.accept, daemon=True).start()

    def clear(self):
        self.heads, self.received, self.left = [], 0, 0
        self.digest = hashlib.sha256()
        self.gate = threading.Event()  # bodies are read only while it is set
        self.gate.set()
        self.answer = lambda sock: self.reply(sock, 200, {'id': 'file-%d' % len(self.heads), 'object': 'file'})
        self.early = None  # an answer before the body

    def reply(self, sock, status, body, headers=''):
        data = json.dumps(body).encode()
        sock.sendall(b'HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n' % (
            status, len(data), headers.encode()) + data)

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        try:
            while self.one(sock):
                pass
        except (ConnectionResetError, BrokenPipeError):
            self.left += 1
        except Exception as fault:  # pylint: disable=broad-except
            self.faults.append(fault)
        finally:
            sock.close()

    def take(self, data):
        self.received += len(data)
        self.digest.update(data)

    def more(self, sock, most=1 << 16):
        self.gate.wait()
        data = sock.recv(most)
        if not data:
            raise ConnectionResetError
        return data

    def one(self, sock):
        data = b''
        while b'\r\n\r\n' not in data:
            piece = sock.recv(65536)
            if not piece:
                return False
            data += piece
        head, _, data = data.partition(b'\r\n\r\n')
        self.heads.append(head.decode())
        if self.early:
            return self.early(sock)
        found = re.search(rb'content-length: (\d+)', head, re.I)
        if found:
            length = int(found.group(1))
            self.take(data)
            left = length - len(data)
            while left:
                data = self.more(sock, min(left, 1 << 16))
                left -= len(data)
                self.take(data)
        elif b'chunked' in head.lower():
            self.chunks(sock, data)
        self.answer(sock)
        return True

    def chunks(self, sock, data):
        while True:
            while b'\r\n' not in data:
                data += self.more(sock)
            line, _, data = data.partition(b'\r\n')
            size = int(line, 16)
            while len(data) < size + 2:
                data += self.more(sock)
            self.take(data[:size])
            data = data[size + 2:]
            if size == 0:
                return

    def close(self):
        self.gate.set()
        self.listener.close()


class World:
    def __init__(self, make_cluster):
        self.cluster = make_cluster({'POSTHOUSE_POLL_INTERVAL': '250ms', 'POSTHOUSE_IDLE_TIMEOUT': '4s',
                                     'POSTHOUSE_MAX_BODY': '1MiB',
                                     # what the sanitizer keeps of freed memory is none of the node's
                                     'ASAN_OPTIONS': 'detect_leaks=1:exitcode=99:quarantine_size_mb=4'})
        self.sink = self.cluster.own(Sink())
        self.cluster.account('p', 'platform', self.sink.url)
        self.key = self.cluster.key('k')
        self.node = self.cluster.node()
        http.once(self.node.url, self.key, 'GET', '/v1/files')

    def head(self, length, path='files', kind=TYPE, more=''):
        framing = 'Transfer-Encoding: chunked' if length is None else 'Content-Length: %d' % length
        return ('POST /v1/%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\n%s\r\n%s\r\n' % (
            path, self.key, kind, framing, more)).encode()

    def connect(self):
        sock = socket.create_connection(('127.0.0.1', self.node.port), timeout=60)
        return contextlib.closing(sock)


@pytest.fixture(scope='module')
def module_world(make_cluster):
    return World(make_cluster)


@pytest.fixture
def world(module_world):
    module_world.sink.clear()
    yield module_world
    assert not module_world.sink.faults, module_world.sink.faults


def read_answer(sock):
    data = b''
    while True:
        piece = sock.recv(65536)
        data += piece
        if not piece or (b'\r\n\r\n' in data and len(data) >= data.index(b'\r\n\r\n') + 4 + int(
                re.search(rb'content-length: (\d+)', data, re.I).group(1))):
            return http.split_answers(data)[0]


@pytest.mark.parametrize('chunked', [False, True])
def test_200_mb_pass_by(world, chunked):
    """Far above MAX_BODY, which is for what is kept. The node's memory does not grow with it."""
    blocks = 200 * MIB // len(BLOCK)
    body = len(BEFORE) + blocks * len(BLOCK) + len(BEHIND)
    digest = hashlib.sha256()
    before, most = world.node.rss_kib(), 0

    def put(sock, data):
        digest.update(data)
        sock.sendall(b'%x\r\n%s\r\n' % (len(data), data) if chunked else data)
    with world.connect() as sock:
        sock.sendall(world.head(None if chunked else body))
        put(sock, BEFORE)
        for n in range(blocks):
            put(sock, BLOCK)
            if n % 200 == 0:
                most = max(most, world.node.rss_kib())
        put(sock, BEHIND)
        if chunked:
            sock.sendall(b'0\r\n\r\n')
        answer = read_answer(sock)
    assert answer.status == 200 and answer.json['id'], answer
    assert world.sink.received == body and world.sink.digest.digest() == digest.digest()
    grown = max(most, world.node.rss_kib()) - before
    figure('upload of 200 MB (%s): the node grew by %d KiB' % ('chunked' if chunked else 'with its length', grown))
    assert grown < 32 * 1024
    lines = world.sink.heads[0].lower()
    assert ('transfer-encoding: chunked' if chunked else 'content-length: %d' % body) in lines
    assert TYPE.lower() in lines


def test_a_slow_upstream_holds_the_client_back(world):
    """What the upstream does not take stays with the client, but for the water marks on the way."""
    world.sink.gate.clear()
    sent = 0
    with world.connect() as sock:
        sock.sendall(world.head(64 * MIB + len(BEFORE) + len(BEHIND)) + BEFORE)
        sock.setblocking(False)
        until, last = time.monotonic() + 2, time.monotonic()
        while time.monotonic() < until and time.monotonic() - last < 1:
            try:
                sent += sock.send(BLOCK[sent % len(BLOCK):])
                last = time.monotonic()
            except BlockingIOError:
                time.sleep(0.01)
        figure('a stuck upstream: %.1f MiB were taken of the client' % (sent / MIB))
        assert sent < 48 * MIB, 'nobody held it back'
        world.sink.gate.set()
        sock.setblocking(True)
        while sent < 64 * MIB:
            piece = BLOCK[sent % len(BLOCK):][:64 * MIB - sent]
            sock.sendall(piece)
            sent += len(piece)
        sock.sendall(BEHIND)
        assert read_answer(sock).status == 200
    assert world.sink.received == 64 * MIB + len(BEFORE) + len(BEHIND)


def test_an_upstream_that_takes_nothing(world):
    """Silence for IDLE_TIMEOUT ends it with a clear error."""
    world.sink.gate.clear()
    with world.connect() as sock:
        sock.sendall(world.head(64 * MIB) + BEFORE)
        threading.Thread(target=lambda: contextlib.suppress(OSError).__enter__() or send_quietly(sock, 64 * MIB),
                         daemon=True).start()
        answer = read_answer(sock)
    assert answer.status == 503 and answer.error['code'] == 'server_error', answer
    world.sink.gate.set()
    http.eventually(lambda: world.sink.left == 1, what='the upstream was left')


def send_quietly(sock, total):
    with contextlib.suppress(OSError):
        for _ in range(total // len(BLOCK)):
            sock.sendall(BLOCK)


def test_a_slow_client(world):
    """Its pieces go on as they come; a pause longer than the upstream's limit of silence is the client's own."""
    with world.connect() as sock:
        sock.sendall(world.head(None))
        for n, data in enumerate((BEFORE, BLOCK * 2, b'x', b'y', BEHIND)):
            sock.sendall(b'%x\r\n%s\r\n' % (len(data), data))
            time.sleep(6 if n == 2 else 0.3)
            if n == 2:
                assert world.sink.received == len(BEFORE) + len(BLOCK) * 2 + 1, 'it waits for nothing'
        sock.sendall(b'0\r\n\r\n')
        assert read_answer(sock).status == 200


def test_the_client_leaves(world):
    for clean in (True, False):
        world.sink.clear()
        sock = socket.create_connection(('127.0.0.1', world.node.port), timeout=60)
        sock.sendall(world.head(64 * MIB) + BEFORE + BLOCK * 4)
        http.eventually(lambda: world.sink.received > len(BLOCK), what='it flows')
        if clean:
            sock.close()
        else:
            reset(sock)
        http.eventually(lambda: world.sink.left == 1, within=5, what='the upstream was told')


@pytest.mark.parametrize('status', [413, 400, 500])
def test_an_upstream_that_answers_early(world, status):
    """The client is told at once; the rest of its body is nobody's."""
    def refuse(sock):
        world.sink.reply(sock, status, {'error': {'message': 'no', 'type': 't', 'param': None, 'code': 'c'}},
                         'Connection: close\r\n')
        sock.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):
            while sock.recv(65536):
                pass
        return False
    world.sink.early = refuse
    with world.connect() as sock:
        sock.sendall(world.head(64 * MIB) + BEFORE + BLOCK)
        threading.Thread(target=send_quietly, args=(sock, 8 * MIB), daemon=True).start()
        answer = read_answer(sock)
    assert answer.status == status and answer.error['message'] == 'no'
    assert answer.header('connection') == 'close'


def test_a_refusal_that_is_the_accounts(make_cluster):
    """A small body goes to the next account; of a large one that has left, the client is told to come again."""
    cluster = make_cluster({'POSTHOUSE_POLL_INTERVAL': '250ms'})
    one, two = cluster.own(Sink()), cluster.own(Sink())
    cluster.account('one', 'platform', one.url)
    cluster.account('two', 'platform', two.url)
    node = cluster.node()
    for number, size in enumerate((1000, 4 * MIB)):
        key = cluster.key('k%d' % number)
        for sink in (one, two):
            sink.clear()

        def limited(sock, sink):
            sink.reply(sock, 429, {'error': {'message': 'slow', 'type': 'requests', 'param': None,
                                             'code': 'rate_limit_exceeded'}}, 'Retry-After: 1\r\n')
        body = BEFORE + b'z' * size + BEHIND
        first = {}

        def choose(sock, sink):
            if not first:
                first['sink'] = sink
                limited(sock, sink)
            else:
                sink.reply(sock, 200, {'id': 'file-x%d' % number, 'object': 'file'})
        for sink in (one, two):
            sink.answer = lambda sock, sink=sink: choose(sock, sink)
        answer = http.once(node.url, key, 'POST', '/v1/files', body, {'Content-Type': TYPE})
        if size < 10000:
            assert answer.status == 200, answer
            assert len(one.heads) == len(two.heads) == 1
        else:
            assert answer.status == 503 and answer.header('retry-after') == '1', answer
            assert answer.error['code'] == 'account_unavailable'
            assert len(one.heads) + len(two.heads) == 1
        time.sleep(1.5)  # the account's rest is over
    assert not one.faults + two.faults


def test_nothing_was_sent(make_cluster):
    """An account that cannot be reached costs nothing: the next one gets the whole body."""
    cluster = make_cluster({'POSTHOUSE_POLL_INTERVAL': '250ms'})
    sink = cluster.own(Sink())
    closed = socket.create_server(('127.0.0.1', 0))
    cluster.account('gone', 'platform', 'http://127.0.0.1:%d/v1' % closed.getsockname()[1])
    cluster.account('here', 'platform', sink.url)
    closed.close()
    node = cluster.node()
    for n in range(8):  # by key, either account is the first
        sink.clear()
        body = BEFORE + bytes([n]) * (3 * MIB) + BEHIND
        answer = http.once(node.url, cluster.key('k%d' % n), 'POST', '/v1/files', body, {'Content-Type': TYPE})
        assert answer.status == 200, answer
        assert sink.received == len(body) and sink.digest.digest() == hashlib.sha256(body).digest()
    assert not sink.faults


def test_downloads_are_held_back_too(world):
    """A client that reads slowly stops the upstream, also for longer than its limit of silence."""
    sent = [0]

    def pour(sock):
        sock.sendall(b'HTTP/1.1 200 X\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n' % (64 * MIB))
        while sent[0] < 64 * MIB:
            sock.sendall(BLOCK)
            sent[0] += len(BLOCK)
    with http.Client(world.node.url, world.key) as api:
        made = api.request('POST', '/v1/files', BEFORE + b'x' + BEHIND, {'Content-Type': TYPE})
        assert made.status == 200, made
        world.sink.answer = pour
        found = api.open('GET', '/v1/files/%s/content' % made.json['id'])
        time.sleep(3)  # a client that takes nothing at all for IDLE_TIMEOUT is cut
        figure('a stuck client: %.1f MiB were taken of the upstream' % (sent[0] / MIB))
        assert sent[0] < 48 * MIB, 'nobody held it back'
        digest, size = hashlib.sha256(), 0
        for _ in range(3):
            piece = found.read(2 * MIB)
            digest.update(piece)
            size += len(piece)
            time.sleep(2)
        while True:
            piece = found.read(MIB)
            if not piece:
                break
            digest.update(piece)
            size += len(piece)
    assert size == 64 * MIB and digest.digest() == hashlib.sha256(BLOCK * (64 * MIB // len(BLOCK))).digest()


def test_expect_continue(world):
    with world.connect() as sock:
        body = BEFORE + b'x' + BEHIND
        sock.sendall(world.head(len(body), more='Expect: 100-continue\r\n'))
        assert sock.recv(1000).startswith(b'HTTP/1.1 100 ')
        sock.sendall(body)
        assert read_answer(sock).status == 200


def test_framing_faults_inside_a_body(world):
    with world.connect() as sock:
        sock.sendall(world.head(None) + b'10\r\n' + b'x' * 16 + b'\r\nZZ\r\n')
        answer = read_answer(sock)
    assert answer.status == 400, answer
    http.eventually(lambda: world.sink.received == 0 or world.sink.left, what='the upstream got no whole body')


def test_a_form_that_names_an_id_too_late(world):
    """What is behind the first 64 KiB was sent already: such a form is refused before the upstream has all of it."""
    late = b'\r\n--%s\r\nContent-Disposition: form-data; name="file_id"\r\n\r\nfile-of-somebody\r\n--%s--\r\n' % (
        BOUNDARY, BOUNDARY)
    for tail in (late, late.replace(b'"file_id"', b'file_id'), late.replace(b'\r\n', b'\n'), late.replace(b'file_id', b'file_ids[]')):
        world.sink.clear()
        body = BEFORE + BLOCK * 8 + tail
        with world.connect() as sock:
            sock.sendall(world.head(len(body)) + body)
            answer = read_answer(sock)
        assert answer.status == 400 and b'first' in answer.body, answer
        assert world.sink.received < len(body)
        http.eventually(lambda: world.sink.left == 1, what='the upstream was left')


def test_models_in_forms(make_cluster):
    """A form's model chooses the account, and is subject to what the key may use."""
    cluster = make_cluster({'POSTHOUSE_POLL_INTERVAL': '250ms'})
    upstream = cluster.own(FakeUpstream([('a', 'platform'), ('b', 'stateless')]))
    cluster.account('a', 'platform', upstream.base('a'), '--model', 'm-a')
    cluster.account('b', 'stateless', upstream.base('b'), '--model', 'm-b')
    key, narrow = cluster.key('k'), cluster.key('narrow', '--model', 'm-a')
    node = cluster.node()

    def form(model, first, size):
        field = b'--%s\r\nContent-Disposition: form-data; name="model"\r\n\r\n%s\r\n' % (BOUNDARY, model)
        file = b'--%s\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n%s\r\n' % (BOUNDARY, b'z' * size)
        return (field + file if first else file + field) + b'--%s--\r\n' % BOUNDARY

    def send(key, body):
        return http.once(node.url, key, 'POST', '/v1/audio/transcriptions', body, {'Content-Type': TYPE})
    for model, account in ((b'm-a', 'a'), (b'm-b', 'b')):
        for first, size in ((True, 10), (False, 10), (True, MIB)):
            assert send(key, form(model, first, size)).json['account'] == account
    assert send(narrow, form(b'm-a', True, MIB)).status == 200
    for first, size in ((True, 10), (False, 10), (True, MIB), (False, MIB)):
        assert send(narrow, form(b'm-b', first, size)).error['code'] == 'model_not_allowed'


def test_drain_cuts_what_is_half_told(make_cluster):
    """When drain's time is over, a download that has begun ends as a cut, not as an error in its middle."""
    cluster = make_cluster({'POSTHOUSE_DRAIN_TIMEOUT': '4s'})
    sink = cluster.own(Sink())
    cluster.account('p', 'platform', sink.url)
    key, node = cluster.key('k'), cluster.node()
    made = http.once(node.url, key, 'POST', '/v1/files', BEFORE + b'x' + BEHIND, {'Content-Type': TYPE})

    def trickle(sock):
        sock.sendall(b'HTTP/1.1 200 X\r\nContent-Type: application/octet-stream\r\nContent-Length: 100000\r\n\r\n')
        with contextlib.suppress(OSError):
            for _ in range(600):
                sock.sendall(b'.')
                time.sleep(0.05)
    sink.answer = trickle
    api = http.Client(node.url, key)
    found = api.open('GET', '/v1/files/%s/content' % made.json['id'])
    assert found.read(5) == b'.....'
    node.stop(expect=1, timeout=30)  # something was cut
    with contextlib.suppress(OSError, Exception):
        rest = found.read()
        assert b'error' not in rest
    api.close()
