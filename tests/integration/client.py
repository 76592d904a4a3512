# SPDX-License-Identifier: Apache-2.0
"""The client's side of the tests: requests, turns, and a parser of event streams that believes nothing.

Not an SDK: it asserts what the gateway promises of every stream (numbers without a gap, one terminal event, one id,
[DONE] at the end), so that each test that merely reads a turn proves these too.
"""
import http.client
import json
import socket
import time
import urllib.parse

TERMINAL = ('response.completed', 'response.incomplete', 'response.failed', 'error')
LIFECYCLE = ('response.created', 'response.queued', 'response.in_progress')


class Answer:
    """An answer, whole."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers  # list of (lower-case name, value)
        self.body = body

    def header(self, name):
        for found, value in self.headers:
            if found == name:
                return value
        return None

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        """The error object, after checking that the envelope is OpenAI's with all four members."""
        error = self.json['error']
        assert set(error) >= {'message', 'type', 'param', 'code'}, error
        assert error['message'], error
        return error

    def __repr__(self):
        return 'Answer(%d, %r)' % (self.status, self.body[:600])


class Event:
    def __init__(self, name, data, raw):
        self.name = name
        self.data = data  # parsed
        self.raw = raw    # as received, with its blank line

    @property
    def type(self):
        return self.data['type']

    def __repr__(self):
        return 'Event(%s)' % self.raw[:120]


def split_events(body):
    """Blocks of a stream that ends every line with LF or CRLF; returns (blocks, rest)."""
    blocks, start, at = [], 0, 0
    while True:
        lf, crlf = body.find(b'\n\n', at), body.find(b'\r\n\r\n', at)
        if lf < 0 and crlf < 0:
            return blocks, body[start:]
        end = lf + 2 if crlf < 0 or (0 <= lf < crlf) else crlf + 4
        blocks.append(body[start:end])
        start = at = end


def parse_stream(body):
    """Events and whether [DONE] came; asserts only the framing."""
    blocks, rest = split_events(body)
    assert rest == b'', 'stream ends inside an event: %r' % rest[-200:]
    events, done = [], False
    for block in blocks:
        name, data = None, []
        for line in block.replace(b'\r\n', b'\n').split(b'\n'):
            if line.startswith(b'event:'):
                name = line[6:].strip().decode()
            elif line.startswith(b'data:'):
                data.append(line[5:].lstrip(b' '))
        if not data:
            continue
        assert not done, 'something follows [DONE]: %r' % block
        if data == [b'[DONE]']:
            done = True
            continue
        parsed = json.loads(b'\n'.join(data))
        assert name is None or name == parsed['type'], block
        events.append(Event(name, parsed, block))
    return events, done


def check_stream(events, done):
    """The promises of every stream that got as far as its head."""
    assert events, 'an empty stream'
    assert done, 'no [DONE] after %r' % events[-1]
    assert events[0].type == 'response.created' or events[0].type == 'error', events[0]
    numbers = [event.data['sequence_number'] for event in events]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), numbers
    terminal = [event for event in events if event.type in TERMINAL]
    assert len(terminal) == 1 and terminal[0] is events[-1], [event.type for event in events]
    ids = {event.data['response']['id'] for event in events if 'response' in event.data}
    assert len(ids) <= 1, ids


class Turn:
    """A turn that was answered: streamed or not."""

    def __init__(self, answer, streamed):
        self.answer = answer
        self.events, self.done = parse_stream(answer.body) if streamed else ([], True)
        if streamed:
            check_stream(self.events, self.done)
            self.response = self.events[-1].data.get('response')
        else:
            self.response = answer.json
        self.id = self.response['id']
        self.status = self.response['status']
        self.continuity = answer.header('x-posthouse-continuity')
        self.node = answer.header('x-posthouse-node')

    @property
    def text(self):
        return ''.join(part.get('text', '') for item in self.response['output'] if item['type'] == 'message'
                       for part in item['content'])

    @property
    def types(self):
        return [event.type for event in self.events]


class Client:
    """One keep-alive connection to one node, on behalf of one key. context: an ssl.SSLContext, for https."""

    def __init__(self, url, key=None, timeout=60, context=None):
        parts = urllib.parse.urlsplit(url)
        self.context = context
        self.address = (parts.hostname, parts.port)
        self.key = key
        self.timeout = timeout
        self.connection = None

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def open(self, method, path, body=None, headers=None):
        """Sends a request; returns http.client's answer, of which nothing but the head was read."""
        if self.connection is None:
            if self.context is None:
                self.connection = http.client.HTTPConnection(*self.address, timeout=self.timeout)
            else:
                self.connection = http.client.HTTPSConnection(*self.address, timeout=self.timeout, context=self.context)
            self.connection.connect()
            self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        fields = dict(headers or {})
        if self.key is not None:
            fields.setdefault('Authorization', 'Bearer ' + self.key)
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if body is not None:
            fields.setdefault('Content-Type', 'application/json')
        self.connection.request(method, path, body=body, headers=fields)
        return self.connection.getresponse()

    def request(self, method, path, body=None, headers=None):
        try:
            found = self.open(method, path, body, headers)
            body = found.read()
        except BaseException:
            self.close()
            raise
        if found.will_close:
            self.close()
        return Answer(found.status, [(name.lower(), value) for name, value in found.getheaders()], body)

    def post(self, body, **kwargs):
        """POST /v1/responses, whatever comes of it."""
        return self.request('POST', '/v1/responses', body, **kwargs)

    def turn(self, body, **kwargs):
        """A turn that must be answered."""
        answer = self.post(body, **kwargs)
        assert answer.status == 200, answer
        streamed = (answer.header('content-type') or '').startswith('text/event-stream')
        return Turn(answer, streamed)

    def get(self, path, **kwargs):
        return self.request('GET', path, **kwargs)

    def delete(self, path, **kwargs):
        return self.request('DELETE', path, **kwargs)


def once(url, key, method, path, body=None, headers=None, timeout=60):
    with Client(url, key, timeout) as client:
        return client.request(method, path, body, headers)


def raw(url, data, timeout=15, half_close=False):
    """Sends bytes on a connection of its own and reads until the server closes it. Returns (bytes, closed)."""
    parts = urllib.parse.urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=timeout) as sock:
        sock.sendall(data)
        if half_close:
            sock.shutdown(socket.SHUT_WR)
        found = b''
        try:
            while True:
                piece = sock.recv(65536)
                if not piece:
                    return found, True
                found += piece
        except socket.timeout:
            return found, False
        except ConnectionResetError:
            return found, True


def split_answers(data):
    """Answers with Content-Length or chunks, one after another; returns a list of Answer."""
    answers = []
    while data:
        head, sep, rest = data.partition(b'\r\n\r\n')
        assert sep, 'cut head: %r' % data[:200]
        lines = head.decode('latin-1').split('\r\n')
        status = int(lines[0].split(' ')[1])
        headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(':') for line in lines[1:])]
        fields = dict(headers)
        if fields.get('transfer-encoding') == 'chunked':
            body, data = dechunk(rest)
        else:
            length = 0 if 100 <= status < 200 else int(fields.get('content-length', len(rest)))
            assert len(rest) >= length, 'cut body: %r' % data[:300]
            body, data = rest[:length], rest[length:]
        answers.append(Answer(status, headers, body))
    return answers


def dechunk(data):
    """(body, what follows) of chunks without extensions and trailers."""
    body = b''
    while True:
        line, sep, data = data.partition(b'\r\n')
        assert sep, 'cut chunk'
        size = int(line, 16)
        assert len(data) >= size + 2, 'cut chunk'
        body += data[:size]
        assert data[size:size + 2] == b'\r\n'
        data = data[size + 2:]
        if size == 0:
            return body, data


def eventually(check, within=10, every=0.02, what='condition'):
    """Calls check until it returns something true; returns that."""
    until = time.monotonic() + within
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < until, 'not within %g s: %s' % (within, what)
        time.sleep(every)
