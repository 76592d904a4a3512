# SPDX-License-Identifier: Apache-2.0
"""Bad input: one clear 4xx in OpenAI's envelope, nothing of it reaches upstream, doubtful framing ends the connection."""
import gzip
import json
import socket
import time

import pytest

import client as http

KIND = 'platform'


@pytest.fixture
def api(api, world):
    yield api
    assert world.upstream.turns() == [], 'something reached upstream'
    assert world.node.running


def refused(answer, status, code=..., param=...):
    assert answer.status == status, answer
    assert answer.header('x-request-id') and answer.header('x-posthouse-node')
    assert answer.header('content-type').startswith('application/json')
    error = answer.error
    assert error['type'] == 'invalid_request_error', error
    if code is not ...:
        assert error['code'] == code, error
    if param is not ...:
        assert error['param'] == param, error
    return error


# ---- bodies ----

@pytest.mark.parametrize('body', [
    b'', b' ', b'{', b'}', b'[]', b'"text"', b'5', b'null', b'{"model":"demo","input":"x"',
    b'{"model":"demo","input":"x"} x', b'{"model":"demo","input":"x"}{}', b'{"model":"demo","input":"x}',
    b'{"model":"demo","input":"a\nb"}', b'{"model":"demo","input":"a\x00b"}', b'{"model":"demo","input":"\xff"}',
    b'{"model":"demo","input":"\xc0\xaf"}', b'{"model":"demo","input":"\xed\xa0\x80"}', b'{"model":"demo" "input":"x"}',
    b'{"model":"demo","input":[' + b'[' * 600 + b']' * 600 + b']}', b'{"model":"demo","x":' + b'{"a":' * 100000,
    b"{'model':'demo'}", b'\xff\xfe{\x00', b'{"model":"demo","input":[}]',
], ids=lambda body: repr(body[:40]))
def test_bad_json(api, body):
    refused(api.post(body), 400, 'invalid_json')


@pytest.mark.parametrize('text, param', [
    ('{"model":5,"input":"x"}', 'model'),
    ('{"model":["demo"],"input":"x"}', 'model'),
    ('{"model":"demo","input":5}', 'input'),
    ('{"model":"demo","input":{"role":"user"}}', 'input'),
    ('{"model":"demo","input":"x","stream":"yes"}', 'stream'),
    ('{"model":"demo","input":"x","stream":1}', 'stream'),
    ('{"model":"demo","input":"x","store":"no"}', 'store'),
    ('{"model":"demo","input":"x","background":5}', 'background'),
    ('{"model":"demo","input":"x","previous_response_id":5}', 'previous_response_id'),
    ('{"model":"demo","input":"x","previous_response_id":{}}', 'previous_response_id'),
    ('{"model":"demo","input":"x","previous_response_id":"%s"}' % ('r' * 300), 'previous_response_id'),
    ('{"model":"demo","input":"x","previous_response_id":"resp_1","conversation":"conv_1"}', 'previous_response_id'),
    ('{"model":"demo","input":"x","previous_response_id":"resp_1","conversation":{"id":"conv_1"}}',
     'previous_response_id'),
    ('{"model":"demo","model":"demo","input":"x"}', 'model'),
    ('{"model":"demo","input":"x","input":"y"}', 'input'),
    ('{"model":"demo","input":"x","stream":false,"stream":true}', 'stream'),
    ('{"model":"demo","input":"x","store":true,"store":false}', 'store'),
    ('{"previous_response_id":"resp_1","model":"demo","input":"x","previous_response_id":"resp_2"}',
     'previous_response_id'),
    ('{"model":"demo","input":"x","previous_response_id":null,"\\u0070revious_response_id":"resp_2"}',
     'previous_response_id'),
])
def test_bad_members(api, text, param):
    refused(api.post(text.encode()), 400, param=param)


@pytest.mark.parametrize('coding', ['br', 'deflate', 'gzip, gzip', 'compress', 'x'])
def test_unknown_coding(api, coding):
    refused(api.post(b'{"model":"demo","input":"x"}', headers={'Content-Encoding': coding}), 415)


@pytest.mark.parametrize('coding, body', [
    ('gzip', b'not gzip'), ('gzip', b''), ('gzip', gzip.compress(b'{"model":"demo","input":"x"}', mtime=0)[:-6]),
    ('gzip', gzip.compress(b'{"model":"demo","input":"x"}', mtime=0)[:-8] + b'\0' * 8), ('zstd', b'not zstd'),
    ('zstd', b'\x28\xb5\x2f\xfd'), ('gzip', gzip.compress(b'{"model":"demo","input":"x"}', mtime=0) + b'garbage'),
])
def test_broken_coding(api, coding, body):
    refused(api.post(body, headers={'Content-Encoding': coding}), 400)


# ---- keys ----

@pytest.mark.parametrize('value', [
    None, '', 'Bearer', 'Bearer ', 'Basic abc', 'Bearer sk-proj-something', 'Bearer ph_', 'Bearer ph_' + 'A' * 43,
    'Bearer ph_' + 'A' * 49, 'Bearer ' + 'x' * 9000, 'Bearer \xff\xfe', 'bearer',
])
def test_bad_keys(world, api, value):
    headers = {} if value is None else {'Authorization': value.encode('latin-1')}
    answer = http.once(world.node.url, None, 'POST', '/v1/responses', {'model': 'demo', 'input': 'x'}, headers)
    refused(answer, 401, 'invalid_api_key')


def test_one_wrong_letter(world, api):
    for at in (3, 20, len(world.key) - 1):
        letter = 'a' if world.key[at] != 'a' else 'b'
        key = world.key[:at] + letter + world.key[at + 1:]
        refused(http.once(world.node.url, key, 'POST', '/v1/responses', {'model': 'demo', 'input': 'x'}), 401,
                'invalid_api_key')


def test_a_bad_key_needs_no_body(world, api):
    """The answer comes though the body never ends."""
    head = b'POST /v1/responses HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer no\r\nContent-Length: 1000000\r\n\r\n{'
    with socket.create_connection(('127.0.0.1', world.node.port), timeout=10) as sock:
        sock.sendall(head)
        assert sock.recv(65536).startswith(b'HTTP/1.1 401 ')


@pytest.mark.parametrize('path', ['/v1/responses', '/v1/responses/resp_1', '/v1/models', '/v1/embeddings',
                                  '/v1/responses/resp_1/input_items'])
def test_every_path_wants_a_key(world, api, path):
    method = 'POST' if path in ('/v1/responses', '/v1/embeddings') else 'GET'
    answer = http.once(world.node.url, None, method, path, {'model': 'demo', 'input': 'x'} if method == 'POST' else None)
    refused(answer, 401, 'invalid_api_key')


# ---- routes ----

@pytest.mark.parametrize('method, path, status', [
    ('PUT', '/v1/responses', 405), ('DELETE', '/v1/responses', 405), ('PATCH', '/v1/responses', 405),
    ('POST', '/v1/responses/resp_1/input_items', 405), ('PUT', '/v1/responses/resp_1', 405),
    ('DELETE', '/v1/models', 405), ('GET', '/', 404), ('GET', '/v2/responses', 404), ('POST', '/responses', 404),
    ('GET', '/v1/responses/resp_1/nothing', 404), ('GET', '/v1/files/file_1', 404), ('PUT', '/v1/files', 405),
    ('GET', '/v1/conversations/conv_1', 404), ('POST', '/v1/conversations', 404), ('GET', '/metrics', 404),
    ('GET', '/v1', 404), ('GET', '/v1/../metrics', 404), ('GET', '/v1/responses/' + 'r' * 300, 404),
    ('GET', '/v1/responses/resp_%00', 404), ('GET', '/v1/responses/..%2f..%2fmetrics', 404),
    ('GET', '/v1/responses/resp_%zz', 404), ('DELETE', '/v1/responses/%', 404),
])
def test_routes(api, method, path, status):
    answer = api.request(method, path, {} if method in ('POST', 'PUT', 'PATCH') else None)
    assert answer.status in (status, 400 if '%' in path or '..' in path else status), answer
    refused(answer, answer.status)


@pytest.mark.parametrize('query, param', [
    ('limit=0', 'limit'), ('limit=101', 'limit'), ('limit=x', 'limit'), ('limit=-1', 'limit'), ('order=up', 'order'),
    ('limit=99999999999999999999', 'limit'),
])
def test_bad_paging(world, query, param):
    world.upstream.clear()
    with http.Client(world.node.url, world.key) as api:
        turn = api.turn({'model': 'demo', 'input': 'x'})
        refused(api.get('/v1/responses/%s/input_items?%s' % (turn.id, query)), 400, param=param)


def test_upgrades_of_other_paths_get_426(world, api):
    """At once and in plain HTTP."""
    answer = api.get('/v1/realtime', headers={
        'Connection': 'Upgrade', 'Upgrade': 'websocket', 'Sec-WebSocket-Version': '13',
        'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==', 'OpenAI-Beta': 'responses_websockets=2026-02-06'})
    refused(answer, 426, 'websocket_unavailable')


# ---- heads and framing ----

SMUGGLED = b'POST /v1/responses HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer KEY\r\nContent-Length: 28\r\n\r\n' \
           b'{"model":"demo","input":"x"}'
BODY = b'{"model":"demo","input":"x"}'


def vector(*fields, line=b'POST /v1/responses HTTP/1.1', host=b'Host: x\r\n', body=BODY, length=True):
    head = line + b'\r\n' + host + b'Authorization: Bearer KEY\r\n'
    if length:
        head += b'Content-Length: %d\r\n' % len(body)
    return head + b''.join(field + b'\r\n' for field in fields) + b'\r\n' + body


def chunked(body):
    return vector(b'Transfer-Encoding: chunked', body=body, length=False)


SMUGGLING = {
    'bare CR hides a field': vector(b'x:\rZTransfer-Encoding: chunked'),
    'bare CR ends the head': b'POST /v1/responses HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer KEY\r\n\rZ' + SMUGGLED,
    'CR CR LF': b'GET /v1/models HTTP/1.1\r\r\nHost: x\r\nAuthorization: Bearer KEY\r\n\r\n',
    'LF line ends': b'GET /v1/models HTTP/1.1\nHost: x\nAuthorization: Bearer KEY\n\n',
    'one LF line end': b'GET /v1/models HTTP/1.1\r\nHost: x\nAuthorization: Bearer KEY\r\n\r\n',
    'NUL in a value': vector(b'x: a\0b'),
    'NUL in a name': vector(b'x\0y: a'),
    'folded line': vector(b'x: a', b' Content-Length: 5'),
    'folded first line': b'POST /v1/responses HTTP/1.1\r\n Host: x\r\n\r\n',
    'length and chunked': vector(b'Transfer-Encoding: chunked', body=b'0\r\n\r\n' + SMUGGLED),
    'two lengths': vector(b'Content-Length: 5'),
    'two equal lengths': vector(b'Content-Length: 28'),
    'length list': vector(b'Content-Length: 28, 28', length=False),
    'length plus': vector(b'Content-Length: +28', length=False),
    'length minus': vector(b'Content-Length: -1', length=False),
    'length hex': vector(b'Content-Length: 0x1c', length=False),
    'length empty': vector(b'Content-Length:', length=False),
    'length overflow': vector(b'Content-Length: 18446744073709551644', length=False),
    'length with space': vector(b'Content-Length: 2 8', length=False),
    'space before the colon': vector(b'Content-Length : 28', length=False),
    'xchunked': vector(b'Transfer-Encoding: xchunked', body=b'0\r\n\r\n', length=False),
    'chunked identity': vector(b'Transfer-Encoding: chunked, identity', body=b'0\r\n\r\n', length=False),
    'gzip chunked': vector(b'Transfer-Encoding: gzip, chunked', body=b'0\r\n\r\n', length=False),
    'identity': vector(b'Transfer-Encoding: identity', length=False),
    'two encodings': vector(b'Transfer-Encoding: chunked', b'Transfer-Encoding: identity', body=b'0\r\n\r\n',
                            length=False),
    'chunked in 1.0': vector(b'Transfer-Encoding: chunked', line=b'POST /v1/responses HTTP/1.0', body=b'0\r\n\r\n',
                             length=False),
    'two hosts': vector(b'Host: y'),
    'no host': vector(host=b''),
    'two keys': vector(b'Authorization: Bearer other'),
    'no colon': vector(b'nonsense'),
    'empty name': vector(b': x'),
    'control in a name': vector(b'x\x01: y'),
    'space in a name': vector(b'x y: z'),
    'control in the target': vector(line=b'POST /v1/resp\x01onses HTTP/1.1'),
    'space in the target': vector(line=b'POST /v1/responses x HTTP/1.1'),
    'two spaces': vector(line=b'POST  /v1/responses HTTP/1.1'),
    'version 2.0': vector(line=b'POST /v1/responses HTTP/2.0'),
    'version 1.2': vector(line=b'POST /v1/responses HTTP/1.2'),
    'no version': b'GET /v1/models\r\n\r\n',
    'TLS': b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' + b'a' * 64,
    'HTTP/2 preface': b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    'chunk size ends in CR Z': chunked(b'1c\rZ' + BODY + b'\r\n0\r\n\r\n'),
    'chunk extension ends in CR Z': chunked(b'1c;a\rZ' + BODY + b'\r\n0\r\n\r\n'),
    'chunk data ends in CR Z': chunked(b'1c\r\n' + BODY + b'\rZ0\r\n\r\n'),
    'bare CR after the last chunk': chunked(b'1c\r\n' + BODY + b'\r\n0\r\n\rZ' + SMUGGLED),
    'bare CR after a trailer': chunked(b'1c\r\n' + BODY + b'\r\n0\r\nt: x\r\n\rZ' + SMUGGLED),
    'LF in chunk framing': chunked(b'1c\n' + BODY + b'\n0\n\n'),
    'chunk size hex prefix': chunked(b'0x1c\r\n' + BODY + b'\r\n0\r\n\r\n'),
    'chunk size plus': chunked(b'+1c\r\n' + BODY + b'\r\n0\r\n\r\n'),
    'chunk size minus': chunked(b'-1\r\n' + BODY + b'\r\n0\r\n\r\n'),
    'chunk size empty': chunked(b'\r\n' + BODY + b'\r\n0\r\n\r\n'),
    'chunk size overflow': chunked(b'fffffffffffffffff\r\n' + BODY + b'\r\n0\r\n\r\n'),
    'chunk too long': chunked(b'5\r\n' + BODY + b'\r\n0\r\n\r\n'),
    'endless chunk extension': chunked(b'1c;' + b'a' * 100000 + b'\r\n' + BODY + b'\r\n0\r\n\r\n'),
    'endless trailer': chunked(b'1c\r\n' + BODY + b'\r\n0\r\nt: ' + b'a' * 100000 + b'\r\n\r\n'),
}


@pytest.mark.parametrize('pieces', [1, 2, 40])
@pytest.mark.parametrize('name', SMUGGLING)
def test_smuggling(world, name, pieces):
    """One 400 or 505, the connection closed, no second request seen, whole and in slices."""
    world.upstream.clear()
    data = SMUGGLING[name].replace(b'KEY', world.key.encode())
    with socket.create_connection(('127.0.0.1', world.node.port), timeout=10) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        step = -(-len(data) // pieces)
        try:
            for at in range(0, len(data), step):
                sock.sendall(data[at:at + step])
                if pieces > 1:
                    time.sleep(0.001)
        except OSError:
            pass  # refused before it was all sent
        found = b''
        try:
            while True:
                piece = sock.recv(65536)
                if not piece:
                    break
                found += piece
        except ConnectionResetError:
            pass
    answers = http.split_answers(found)
    assert len(answers) == 1 and answers[0].status == 400, found[:600]
    refused(answers[0], 400)
    assert dict(answers[0].headers).get('connection') == 'close'
    assert world.upstream.turns() == []


@pytest.mark.parametrize('fields', [
    [b'X-Big: ' + b'a' * 17000], [b'X-%d: %s' % (n, b'a' * 1000) for n in range(70)], [b'X-%d: a' % n for n in range(200)],
    [b'x' * 17000 + b': a'],
], ids=['one field', 'all together', 'too many', 'name'])
def test_large_heads(world, api, fields):
    found, closed = http.raw(world.node.url, vector(*fields).replace(b'KEY', world.key.encode()))
    assert closed
    answer, = http.split_answers(found)
    assert answer.status in (431, 400) if len(fields) == 200 else answer.status == 431, answer
    refused(answer, answer.status)


def test_large_target(world, api):
    found, closed = http.raw(world.node.url, vector(line=b'POST /v1/responses?' + b'a' * 70000 + b' HTTP/1.1'))
    assert closed and http.split_answers(found)[0].status in (414, 431), found[:300]


def test_large_heads_within_the_limits(world):
    """Codex sends attestation headers of 4 KB; 8 a field must pass, and 60 KiB in all."""
    world.upstream.clear()
    headers = {'X-%d' % n: 'a' * 8000 for n in range(7)}
    assert http.once(world.node.url, world.key, 'POST', '/v1/responses', {'model': 'demo', 'input': 'x'},
                     headers).status == 200


def test_slow_head(world, api):
    """A head must be complete within 10 s."""
    with socket.create_connection(('127.0.0.1', world.node.port), timeout=30) as sock:
        start = time.monotonic()
        sock.sendall(b'POST /v1/responses HTTP/1.1\r\nHost:')
        found = b''
        while True:
            piece = sock.recv(65536)
            if not piece:
                break
            found += piece
        took = time.monotonic() - start
    assert 5 < took < 20, took
    assert http.split_answers(found)[0].status == 408


# ---- what must work beside it ----

def test_pipelined_requests_are_answered_in_order(world):
    world.upstream.clear()
    one = vector().replace(b'KEY', world.key.encode())
    models = b'GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n' % world.key.encode()
    last = models.replace(b'Host: x', b'Host: x\r\nConnection: close')
    found, closed = http.raw(world.node.url, one + models + one + b'\r\n' + last)
    answers = http.split_answers(found)
    assert closed and [a.status for a in answers] == [200] * 4
    assert [json.loads(a.body)['object'] for a in answers] == ['response', 'list', 'response', 'list']
    assert len(world.upstream.turns()) == 2


def test_expect_continue(world):
    world.upstream.clear()
    with socket.create_connection(('127.0.0.1', world.node.port), timeout=10) as sock:
        sock.sendall(vector(b'Expect: 100-continue', b'Connection: close', body=b'', length=False).replace(
            b'KEY', world.key.encode()).replace(b'\r\n\r\n', b'\r\nContent-Length: 28\r\n\r\n'))
        assert sock.recv(65536) == b'HTTP/1.1 100 Continue\r\n\r\n'
        sock.sendall(BODY)
        found = b''
        while True:
            piece = sock.recv(65536)
            if not piece:
                break
            found += piece
    assert http.split_answers(found)[0].status == 200


def test_expect_continue_with_a_bad_key(world, api):
    """No invitation to send a body that will not be read."""
    found, _ = http.raw(world.node.url, b'POST /v1/responses HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer no\r\n'
                        b'Expect: 100-continue\r\nConnection: close\r\nContent-Length: 28\r\n\r\n', timeout=8)
    assert http.split_answers(found)[0].status == 401


def unwanted(fields, body):
    """A request that is refused by its head."""
    return b'POST /v1/responses HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer no\r\n%s\r\n\r\n%s' % (fields, body)


@pytest.mark.parametrize('pieces', [1, 3, 50])
@pytest.mark.parametrize('size', [0, 28, 60000])
def test_a_refusal_keeps_the_connection(world, size, pieces):
    """Its body is read and dropped, however it comes: what looks like a request in there is none."""
    world.upstream.clear()
    body = (vector().replace(b'KEY', world.key.encode()) * 400)[:size]
    data = unwanted(b'Content-Length: %d' % size, body) * 2 + vector(b'Connection: close').replace(b'KEY', world.key.encode())
    step = -(-len(data) // pieces)
    with socket.create_connection(('127.0.0.1', world.node.port), timeout=10) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(data), step):
            sock.sendall(data[at:at + step])
            time.sleep(0.001)
        found = b''
        while True:
            piece = sock.recv(65536)
            if not piece:
                break
            found += piece
    answers = http.split_answers(found)
    assert [a.status for a in answers] == [401, 401, 200], found[:600]
    assert [dict(a.headers).get('connection') for a in answers] == [None, None, 'close']
    assert len(world.upstream.turns()) == 1


@pytest.mark.parametrize('fields, body', [
    (b'Content-Length: 70000', b'x' * 70000), (b'Transfer-Encoding: chunked', b'1c\r\n' + BODY + b'\r\n0\r\n\r\n'),
    (b'Expect: 100-continue\r\nContent-Length: 28', BODY), (b'Connection: close\r\nContent-Length: 28', BODY),
], ids=['large', 'of unknown length', 'not invited', 'asked to close'])
def test_a_refusal_that_closes(world, fields, body):
    found, _ = http.raw(world.node.url, unwanted(fields, body) + unwanted(b'Content-Length: 0', b''), timeout=2)
    answer, = http.split_answers(found)
    assert answer.status == 401 and dict(answer.headers).get('connection') == 'close', found[:600]


def test_a_refused_body_that_does_not_come(world):
    """What is left of it has as long as a connection lingers, and then the connection ends."""
    start = time.monotonic()
    found, closed = http.raw(world.node.url, unwanted(b'Content-Length: 28', BODY[:5]), timeout=20)
    assert closed and http.split_answers(found)[0].status == 401
    assert 4 < time.monotonic() - start < 15


def test_http_10(world):
    world.upstream.clear()
    found, closed = http.raw(world.node.url, b'GET /v1/models HTTP/1.0\r\nAuthorization: Bearer %s\r\n\r\n'
                             % world.key.encode())
    assert closed and b' 200 ' in found.split(b'\r\n', 1)[0]
