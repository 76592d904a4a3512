# SPDX-License-Identifier: Apache-2.0
"""WebSocket peers for tests: Peer is strict (python3-websockets), Wire sends whatever bytes a test wants.

Both are synchronous. A Peer only lives while one of its methods runs, so it answers pings in recv() and idle() alone.
"""
import asyncio
import base64
import hashlib
import json
import os
import socket
import struct

import websockets
import websockets.version

TERMINAL = ('response.completed', 'response.failed', 'response.incomplete', 'error')
NEWER = int(websockets.version.version.split('.', maxsplit=1)[0]) >= 14  # Debian 12 has 10.4, Debian 13 has 15


class Closed(Exception):
    """The other side ended it: code 1006 without a close frame."""

    def __init__(self, code, reason):
        super().__init__('%d %s' % (code, reason))
        self.code, self.reason = code, reason


class Refused(Exception):
    """The handshake was answered with another status than 101."""

    def __init__(self, status):
        super().__init__(str(status))
        self.status = status


class Peer:
    def __init__(self, url, key='', headers=None, **options):
        self.loop = asyncio.new_event_loop()
        headers = {**({'Authorization': 'Bearer ' + key} if key else {}), **(headers or {})}
        options = {'open_timeout': 20, 'close_timeout': 5, 'ping_interval': None, 'max_size': None,
                   'additional_headers' if NEWER else 'extra_headers': headers, **options}
        try:
            self.ws = self._run(self._connect(url, options))
        except Refused:
            self.loop.close()
            raise

    @staticmethod
    async def _connect(url, options):
        try:
            return await websockets.connect(url, **options)
        except websockets.exceptions.InvalidHandshake as error:
            response = getattr(error, 'response', error)
            raise Refused(response.status_code) from None

    def _run(self, work):
        return self.loop.run_until_complete(work)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def headers(self):
        """Of the 101."""
        return self.ws.response.headers if NEWER else self.ws.response_headers

    def send(self, message):
        """A dictionary as JSON, text as it is."""
        text = message if isinstance(message, (str, bytes)) else json.dumps(message)
        try:
            self._run(self.ws.send(text))
        except websockets.exceptions.ConnectionClosed as closed:
            raise self._closed(closed) from None

    def create(self, given, **more):
        """A response.create frame."""
        self.send({'type': 'response.create', 'model': 'gpt-fake', 'input': given, **more})

    @staticmethod
    def _closed(closed):
        return Closed(closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else Closed(1006, '')

    async def _recv(self, timeout):
        return await asyncio.wait_for(self.ws.recv(), timeout)

    def text(self, timeout=20):
        """The next message; Closed if there is none, TimeoutError if nothing comes."""
        try:
            return self._run(self._recv(timeout))
        except websockets.exceptions.ConnectionClosed as closed:
            raise self._closed(closed) from None
        except asyncio.TimeoutError:
            raise TimeoutError('nothing within %g s' % timeout) from None

    def recv(self, timeout=20):
        return json.loads(self.text(timeout))

    def events(self, timeout=20, lane=None):
        """Up to the terminal event or error (of the lane)."""
        found = []
        while True:
            event = self.recv(timeout)
            if lane is not None and event.get('stream_id') != lane:
                continue
            found.append(event)
            if event.get('type') in TERMINAL:
                return found

    def turn(self, given, **more):
        """The events of one turn on the default lane."""
        self.create(given, **more)
        return self.events()

    def ping(self, timeout=10):
        """True if a pong came."""
        async def ask():
            pong = await self.ws.ping()
            await asyncio.wait_for(pong, timeout)
        try:
            self._run(ask())
            return True
        except asyncio.TimeoutError:
            return False

    def idle(self, seconds):
        self._run(asyncio.sleep(seconds))

    def ended(self, timeout=20):
        """The code with which the other side ends it; what comes before is dropped."""
        try:
            while True:
                self.text(timeout)
        except Closed as closed:
            return closed.code

    def drop(self):
        """TCP ends, without a close frame: as a client that was killed."""
        self.ws.transport.abort()
        self._run(asyncio.sleep(0))

    def close(self, code=1000):
        if self.loop.is_closed():
            return
        self._run(self.ws.close(code))
        self.loop.close()


def frame(opcode, payload=b'', fin=True, rsv=0, mask=True, length=None):
    """length: what the head announces, where it is to lie."""
    n = len(payload) if length is None else length
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    bit = 0x80 if mask else 0
    if n < 126:
        head += bytes([bit | n])
    elif n < 65536:
        head += bytes([bit | 126]) + struct.pack('>H', n)
    else:
        head += bytes([bit | 127]) + struct.pack('>Q', n)
    if not mask:
        return head + payload
    key = os.urandom(4)
    return head + key + bytes(b ^ key[i % 4] for i, b in enumerate(payload))


class Wire:
    """A socket after the handshake; status and body of a refused one."""

    def __init__(self, host, port, path, headers=None, method='GET', handshake=None):
        self.nonce = base64.b64encode(os.urandom(16)).decode()
        lines = {'Host': 'x', 'Connection': 'Upgrade', 'Upgrade': 'websocket', 'Sec-WebSocket-Version': '13',
                 'Sec-WebSocket-Key': self.nonce, **(headers or {})}
        head = '%s %s HTTP/1.1\r\n' % (method, path)
        head += ''.join('%s: %s\r\n' % pair for pair in lines.items() if pair[1] is not None)
        self.socket = socket.create_connection((host, port), timeout=20)
        self.socket.sendall(handshake or (head + '\r\n').encode())
        self.bytes = b''
        self.read_head()

    def read_head(self):
        while b'\r\n\r\n' not in self.bytes:
            piece = self.socket.recv(65536)
            if not piece:
                raise ConnectionError('ended in the head: %r' % self.bytes)
            self.bytes += piece
        head, self.bytes = self.bytes.split(b'\r\n\r\n', 1)
        lines = head.decode().split('\r\n')
        self.status = int(lines[0].split()[1])
        self.headers = {k.lower(): v for k, v in (line.split(': ', 1) for line in lines[1:])}
        self.body = b''
        if self.status != 101:
            self.body = self.take(int(self.headers.get('content-length', 0)))

    def accepted(self):
        wanted = hashlib.sha1((self.nonce + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').encode()).digest()
        return self.status == 101 and self.headers['sec-websocket-accept'] == base64.b64encode(wanted).decode()

    def take(self, n):
        while len(self.bytes) < n:
            piece = self.socket.recv(65536)
            if not piece:
                raise ConnectionError('ended: %r' % self.bytes)
            self.bytes += piece
        taken, self.bytes = self.bytes[:n], self.bytes[n:]
        return taken

    def read(self):
        """(opcode, fin, payload) of the next frame."""
        first, second = self.take(2)
        n = second & 0x7f
        assert first & 0x70 == 0 and second & 0x80 == 0, 'a server neither masks nor reserves'
        if n > 125:
            n = int.from_bytes(self.take(2 if n == 126 else 8), 'big')
        return first & 0x0f, bool(first & 0x80), self.take(n)

    def message(self):
        """The text of the next message; control frames between its parts are passed over."""
        text = b''
        while True:
            opcode, fin, payload = self.read()
            if opcode == 8:
                raise Closed(*close_of(payload))
            if opcode < 8:
                text += payload
            if opcode < 8 and fin:
                return text.decode()

    def send(self, data):
        self.socket.sendall(data)

    def create(self, given='x', **more):
        self.send(frame(1, json.dumps({'type': 'response.create', 'model': 'm', 'input': given, **more}).encode()))

    def closed(self):
        """The code of the close frame that comes, after whatever comes before it; 1006 if none does."""
        try:
            while True:
                opcode, _, payload = self.read()
                if opcode == 8:
                    return close_of(payload)[0]
        except OSError:
            return 1006

    def close(self):
        self.socket.close()


def close_of(payload):
    return (int.from_bytes(payload[:2], 'big'), payload[2:].decode()) if payload else (1005, '')
