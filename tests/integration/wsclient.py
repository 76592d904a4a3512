# SPDX-License-Identifier: Apache-2.0
"""A client's WebSocket for tests, on Debian's python3-websockets, which is strict about frames.

    with Socket(node.url, key) as ws:
        turn = ws.turn({'model': 'demo', 'input': 'hello'})     # as client.Client.turn() has it
        ws.send({'type': 'response.create', ...}); event = ws.receive()

As client.py it asserts what is promised of every stream: numbers without a gap, one terminal event, one id.
"""
import asyncio
import json
import threading

import websockets

import client as http

TERMINAL = http.TERMINAL


class Refused(Exception):
    """The upgrade was answered by something else than 101."""

    def __init__(self, status, headers, body):
        super().__init__('%d %r' % (status, body[:300]))
        self.status, self.headers, self.body = status, headers, body


class Closed(Exception):
    def __init__(self, code, reason):
        super().__init__('closed: %s %r' % (code, reason))
        self.code, self.reason = code, reason


class _Loop:
    """One event loop in a thread for all sockets of the process."""
    lock = threading.Lock()
    loop = None

    @classmethod
    def run(cls, coroutine, timeout):
        with cls.lock:
            if cls.loop is None:
                cls.loop = asyncio.new_event_loop()
                threading.Thread(target=cls.loop.run_forever, daemon=True).start()
        return asyncio.run_coroutine_threadsafe(coroutine, cls.loop).result(timeout)


def _refusal(error):
    """Of websockets 10 (status_code, headers) or of 13 and later (response)."""
    response = getattr(error, 'response', None)
    if response is not None:
        return Refused(response.status_code, list(response.headers.raw_items()), response.body or b'')
    return Refused(error.status_code, list(error.headers.raw_items()), b'')


async def _connect(url, headers, options):
    try:
        try:
            return await websockets.connect(url, extra_headers=headers, **options)
        except TypeError:
            return await websockets.connect(url, additional_headers=headers, **options)
    except (websockets.exceptions.InvalidStatus, websockets.exceptions.InvalidStatusCode) as error:
        raise _refusal(error) from None


class Event(http.Event):
    def __init__(self, text):
        data = json.loads(text)
        super().__init__(data.get('type'), data, text.encode())


class Turn:
    """The events of one turn, up to its terminal event or error frame; what Codex is told beside them in turn_state and in
    figures."""

    def __init__(self, events):
        beside = [event for event in events if event.type == 'response.metadata']
        told = [event for event in events if event.type == 'codex.rate_limits']
        events = [event for event in events if event not in beside and event not in told]
        assert len(told) <= 1
        self.figures = told[0].data['rate_limits'] if told else None
        assert len(beside) <= 1 and all(set(event.data['headers']) == {'x-codex-turn-state'} for event in beside), beside
        self.turn_state = beside[0].data['headers']['x-codex-turn-state'] if beside else None
        self.events = events
        self.answer = events[-1].data
        self.error = self.answer if self.answer.get('type') == 'error' else None
        self.response = None if self.error else self.answer['response']
        self.id = None if self.error else self.response['id']
        self.status = 'error' if self.error else self.response['status']
        if not self.error:
            http.check_stream(events, True)

    text = http.Turn.text
    types = http.Turn.types


class Socket:
    def __init__(self, url, key=None, headers=(), path='/v1/responses', timeout=60, **options):
        self.timeout = timeout
        fields = list(headers)
        if key is not None:
            fields.append(('Authorization', 'Bearer ' + key))
        options.setdefault('max_size', None)
        options.setdefault('compression', None)
        options.setdefault('ping_interval', None)
        self.ws = _Loop.run(_connect(url.replace('http', 'ws', 1) + path, fields, options), timeout)
        self.heard = []  # events of the last turn, also where it did not end

    @property
    def headers(self):
        """Of the 101; names in any case."""
        response = getattr(self.ws, 'response', None)
        return response.headers if response is not None else self.ws.response_headers

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self, code=1000):
        try:
            _Loop.run(self.ws.close(code), self.timeout)
        except Exception:  # pylint: disable=broad-except
            pass  # it is gone already

    def cut(self):
        """Goes away without a close frame."""
        async def abort():
            self.ws.transport.abort()
        _Loop.run(abort(), self.timeout)

    def send(self, frame):
        """A dictionary, or text, or bytes for a binary frame."""
        try:
            _Loop.run(self.ws.send(json.dumps(frame) if isinstance(frame, dict) else frame), self.timeout)
        except websockets.exceptions.ConnectionClosed as error:
            raise self._closed(error) from None

    def receive(self, timeout=None):
        """The next event; Closed where the connection ended."""
        try:
            text = _Loop.run(asyncio.wait_for(self.ws.recv(), timeout or self.timeout), self.timeout + 5)
        except websockets.exceptions.ConnectionClosed as error:
            raise self._closed(error) from None
        assert isinstance(text, str), 'a binary frame'
        return Event(text)

    @staticmethod
    def _closed(error):
        frame = getattr(error, 'rcvd', None)
        return Closed(frame.code if frame else 1006, frame.reason if frame else '')

    def hear(self, stream_id=None):
        """The rest of a turn on the lane, which must be the only one that talks."""
        self.heard = events = []
        while True:
            event = self.receive()
            assert event.data.get('stream_id') == stream_id, event
            events.append(event)
            if event.type in TERMINAL:
                return Turn(events)

    def ask(self, body, stream_id=None):
        """A turn, whatever comes of it."""
        self.heard = []
        self.send(dict({'type': 'response.create'}, **body, **({'stream_id': stream_id} if stream_id else {})))
        return self.hear(stream_id)

    def turn(self, body, stream_id=None):
        """A turn that must be answered."""
        turn = self.ask(body, stream_id)
        assert turn.error is None, turn.error
        return turn
