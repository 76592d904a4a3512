# SPDX-License-Identifier: Apache-2.0
"""An upstream whose every byte the test decides, one thread per connection.

For tests of bytes and faults. The fake upstream of tests/upstream is for what needs many turns, or an upstream that
knows only what it was told.
"""
import contextlib
import itertools
import json
import re
import select
import socket
import ssl
import threading
import time

from netproxy import reset

_ids = itertools.count(1)


def new_id():
    return 'resp_%024x' % next(_ids)


def message(text, number=1, **more):
    return dict({'type': 'message', 'id': 'msg_%s' % number, 'status': 'completed', 'role': 'assistant',
                 'content': [{'type': 'output_text', 'text': text, 'annotations': []}]}, **more)


def response(rid, status='completed', output=(), **more):
    return dict({'id': rid, 'object': 'response', 'created_at': 1700000000, 'status': status, 'model': 'demo',
                 'output': list(output), 'error': None, 'previous_response_id': None,
                 'usage': {'input_tokens': 3, 'input_tokens_details': {'cached_tokens': 0}, 'output_tokens': 2,
                           'output_tokens_details': {'reasoning_tokens': 0}, 'total_tokens': 5}}, **more)


def event(number, kind, **members):
    """One event as bytes."""
    data = json.dumps(dict({'type': kind, 'sequence_number': number}, **members), separators=(',', ':'))
    return ('event: %s\ndata: %s\n\n' % (kind, data)).encode()


DONE = b'data: [DONE]\n\n'


def events(rid, text='hello', pieces=2, first=0):
    """The list of events (bytes each) of one plain streamed answer, without [DONE]."""
    number = itertools.count(first)
    item = message(text, number=rid)
    shell = dict(item, status='in_progress', content=[])
    found = [
        event(next(number), 'response.created', response=response(rid, 'in_progress')),
        event(next(number), 'response.in_progress', response=response(rid, 'in_progress')),
        event(next(number), 'response.output_item.added', output_index=0, item=shell),
        event(next(number), 'response.content_part.added', item_id=item['id'], output_index=0, content_index=0,
              part={'type': 'output_text', 'text': '', 'annotations': []}),
    ]
    step = max(1, -(-len(text) // pieces))
    for at in range(0, len(text), step):
        found.append(event(next(number), 'response.output_text.delta', item_id=item['id'], output_index=0,
                           content_index=0, delta=text[at:at + step]))
    found.append(event(next(number), 'response.output_text.done', item_id=item['id'], output_index=0, content_index=0,
                       text=text))
    found.append(event(next(number), 'response.content_part.done', item_id=item['id'], output_index=0, content_index=0,
                       part=item['content'][0]))
    found.append(event(next(number), 'response.output_item.done', output_index=0, item=item))
    found.append(event(next(number), 'response.completed', response=response(rid, output=[item])))
    return found


class Request:
    def __init__(self, method, target, headers, body, connection):
        self.method = method
        self.target = target
        self.headers = headers  # list of (lower-case name, value)
        self.body = body
        self.connection = connection
        self.at = time.monotonic()

    def header(self, name):
        for found, value in self.headers:
            if found == name:
                return value
        return None

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def account(self):
        """What stands before /v1: tests give each account a base URL of its own."""
        return self.target.split('/v1')[0]


class Exchange:
    """One request and the means to answer it."""

    def __init__(self, upstream, sock, request):
        self.upstream = upstream
        self.sock = sock
        self.request = request
        self.ended = False

    def send(self, data):
        if b'"completed"' in data or b'"incomplete"' in data:
            for rid in re.findall(rb'"id": ?"(resp_[0-9a-f]+)"', data):
                self.upstream.known.add((self.request.account, rid.decode()))
        self.sock.sendall(data)

    def head(self, status, headers):
        lines = ['HTTP/1.1 %d %s' % (status, 'OK' if status == 200 else 'Other')]
        lines += ['%s: %s' % pair for pair in headers]
        self.send(('\r\n'.join(lines) + '\r\n\r\n').encode())

    def answer(self, status, body, headers=(), content_type='application/json'):
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        head = ['HTTP/1.1 %d X' % status, 'Content-Type: ' + content_type, 'Content-Length: %d' % len(body)]
        head += ['%s: %s' % pair for pair in headers]
        self.send(('\r\n'.join(head) + '\r\n\r\n').encode() + body)

    def start_stream(self, headers=()):
        self.head(200, [('Content-Type', 'text/event-stream; charset=utf-8'), ('Transfer-Encoding', 'chunked')]
                  + list(headers))

    def chunk(self, data):
        self.send(b'%x\r\n' % len(data) + data + b'\r\n')

    def end_stream(self):
        self.send(b'0\r\n\r\n')

    def stream(self, pieces, headers=(), pause=0):
        self.start_stream(headers)
        for piece in pieces:
            self.chunk(piece)
            if pause:
                time.sleep(pause)
        self.end_stream()

    def close(self):
        self.ended = True
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()

    def reset(self):
        self.ended = True
        reset(self.sock)

    def hang(self, seconds=30):
        """Says nothing until the gateway leaves; returns how long that took, or None if it did not."""
        start = time.monotonic()
        readable, _, _ = select.select([self.sock], [], [], seconds)
        with contextlib.suppress(OSError):
            if readable and self.sock.recv(1) == b'':
                self.ended = True
                return time.monotonic() - start
        if readable:
            self.ended = True
            return time.monotonic() - start
        return None


def plain(exchange):
    """The default: answers /responses streamed or not, denies anchors that this account never finished, lists one model,
    404 for the rest."""
    request = exchange.request
    if request.target.split('?')[0].endswith('/models'):
        exchange.answer(200, {'object': 'list', 'data': [{'id': 'demo', 'object': 'model', 'created': 1,
                                                          'owned_by': 'test'}]})
    elif request.method == 'POST' and request.target.split('?')[0].endswith('/responses'):
        rid, anchor = new_id(), request.json.get('previous_response_id')
        if anchor is not None and (request.account, anchor) not in exchange.upstream.known:
            exchange.answer(400, {'error': {
                'message': "Previous response with id '%s' not found." % anchor, 'type': 'invalid_request_error',
                'param': 'previous_response_id', 'code': 'previous_response_not_found'}})
        elif request.json.get('stream'):
            exchange.stream(events(rid) + [DONE])
        else:
            exchange.answer(200, response(rid, output=[message('hello', rid)]))
    else:
        exchange.answer(404, {'error': {'message': 'no', 'type': 'invalid_request_error', 'param': None, 'code': None}})


class RawUpstream:
    """handler answers every request; those given to then() come first, one each, for turns only: POST .../responses
    or .../chat/completions."""

    def __init__(self, handler=plain, tls=None):
        self.handler = handler
        self.tls = tls  # an ssl.SSLContext
        self.scripted = []
        self.requests = []
        self.known = set()  # (account, id of a finished response)
        self.faults = []  # exceptions of handlers other than the gateway's leaving
        self.listener = socket.create_server(('127.0.0.1', 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        self.url = '%s://127.0.0.1:%d/v1' % ('https' if tls else 'http', self.port)
        self.open = set()
        self.lock = threading.Lock()
        self.serial = itertools.count(1)
        threading.Thread(target=self.accept, daemon=True).start()

    def then(self, *handlers):
        with self.lock:
            self.scripted.extend(handlers)
        return self

    def turns(self):
        return [r for r in list(self.requests) if r.method == 'POST' and r.target.endswith('/responses')]

    def clear(self):
        self.requests.clear()
        self.scripted.clear()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection, data = next(self.serial), b''
        try:
            if self.tls:
                sock = self.tls.wrap_socket(sock, server_side=True)
            self.open.add(sock)
            while True:
                request, data = self.read(sock, data, connection)
                if request is None:
                    return
                self.requests.append(request)
                exchange = Exchange(self, sock, request)
                self.choose(request)(exchange)
                if exchange.ended:
                    return
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            pass
        except Exception as fault:  # pylint: disable=broad-except
            self.faults.append(fault)
        finally:
            self.open.discard(sock)
            with contextlib.suppress(OSError):
                sock.close()

    def choose(self, request):
        with self.lock:
            if self.scripted and request.method == 'POST' and request.target.endswith(('/responses', '/chat/completions')):
                return self.scripted.pop(0)
        return self.handler

    @staticmethod
    def read(sock, data, connection):
        def more():
            piece = sock.recv(1 << 20)
            if not piece:
                raise ConnectionResetError
            return piece

        while b'\r\n\r\n' not in data:
            piece = sock.recv(65536)
            if not piece:
                return None, b''
            data += piece
        head, _, data = data.partition(b'\r\n\r\n')
        lines = head.decode('latin-1').split('\r\n')
        method, target, _ = lines[0].split(' ')
        headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(':') for line in lines[1:])]
        fields, body = dict(headers), bytearray()
        if fields.get('transfer-encoding') == 'chunked':
            while True:
                while b'\r\n' not in data:
                    data += more()
                line, _, data = data.partition(b'\r\n')
                size = int(line, 16)
                data = bytearray(data)
                while len(data) < size + 2:
                    data += more()
                body += data[:size]
                data = bytes(data[size + 2:])
                if size == 0:
                    break
        else:
            length = int(fields.get('content-length', 0))
            body += data[:length]
            data = data[length:]
            while len(body) < length:
                body += more()
            body, data = body[:length], data + bytes(body[length:])
        return Request(method, target, headers, bytes(body), connection), data

    def close(self):
        self.listener.close()
        for sock in list(self.open):
            reset(sock)
