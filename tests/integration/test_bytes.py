# SPDX-License-Identifier: Apache-2.0
"""Promise 8: bytes are relayed, not rewritten; in both directions, however they are cut and however many they are."""
import gzip
import json
import re
import socket
import subprocess
import time
import zlib

import pytest

import client as http
import rawupstream as raw
from harness import count, seeded


def stream(exchange, data, sizes, framing='chunked', pause=0.0):
    """Sends data in pieces of these sizes, the rest as one."""
    if framing == 'chunked':
        exchange.start_stream()
    elif framing == 'length':
        exchange.head(200, [('Content-Type', 'text/event-stream'), ('Content-Length', str(len(data)))])
    else:
        exchange.head(200, [('Content-Type', 'text/event-stream'), ('Connection', 'close')])
    at = 0
    for size in list(sizes) + [len(data)]:
        piece = data[at:at + size]
        at += size
        if piece:
            (exchange.chunk if framing == 'chunked' else exchange.send)(piece)
        if pause:
            time.sleep(pause)
        if at >= len(data):
            break
    if framing == 'chunked':
        exchange.end_stream()
    elif framing == 'close':
        exchange.close()


def odd_stream():
    """A stream with everything that the SSE format allows between its first item event and its end."""
    rid = raw.new_id()
    plain = raw.events(rid, 'snow \u2603 clef \U0001d11e line \u2028 end', pieces=5)
    text = json.dumps({'type': 'response.output_text.delta', 'item_id': 'm', 'output_index': 0, 'content_index': 0,
                       'delta': '\u00fc\u2028\U0001f600'}, ensure_ascii=False, indent=1)
    pretty = b''.join(b'data: %s\n' % line for line in text.encode().split(b'\n'))
    return b''.join(plain[:3]) + b''.join([
        b': a comment\n\n',
        b'id: 7\nretry: 100\nunknown: field\n',
        plain[3],
        b'\n\n',
        pretty + b'event: response.output_text.delta\n\n',
        plain[4].replace(b'\n', b'\r\n'),
        plain[5].replace(b'data: ', b'data:'),
        b'event: wrong\nevent: response.output_text.delta\n' + plain[6].split(b'\n', 1)[1],
        b'data: {"nested":{"type":"response.completed"},"type":"response.some_new_thing","x":1e400}\n\n',
        b'data: {"\\u0074ype":"response.other_new_thing","z":"\\u0000"}\n\n',
    ]) + b''.join(plain[7:]), rid


@pytest.mark.parametrize('framing', ['chunked', 'length', 'close'])
@pytest.mark.parametrize('size', [1, 2, 3, 7, 64, 1000, 10 ** 9])
def test_stream_in_equal_slices(world, api, framing, size):
    data, _ = odd_stream()
    data += raw.DONE
    world.upstream.then(lambda x: stream(x, data, [size] * (len(data) // size + 1), framing))
    answer = api.post({'model': 'demo', 'input': 'x', 'stream': True})
    assert answer.status == 200
    assert answer.body == data


def test_stream_cut_anywhere(world, api):
    """Two cuts at random places, with a pause that makes them arrive apart."""
    draw = seeded('cuts')
    for _ in range(count(2000)):
        data, _ = odd_stream()
        data += raw.DONE
        cuts = sorted(draw.sample(range(1, len(data)), 2))
        world.upstream.then(lambda x, d=data, c=cuts: stream(x, d, [c[0], c[1] - c[0]], pause=0.001))
        answer = api.post({'model': 'demo', 'input': 'x', 'stream': True})
        assert answer.body == data, cuts


def test_done_is_added_once(world, api):
    """Upstreams that leave [DONE] out: it is the only thing added."""
    data, _ = odd_stream()
    world.upstream.then(lambda x: stream(x, data, []))
    assert api.post({'model': 'demo', 'input': 'x', 'stream': True}).body == data + raw.DONE


@pytest.mark.parametrize('end', [b'\r', b'\r\n', b'\n'])
def test_line_ends(world, api, end):
    data = b''.join(raw.events(raw.new_id())).replace(b'\n', end)
    world.upstream.then(lambda x: stream(x, data, [11] * 3))
    body = api.post({'model': 'demo', 'input': 'x', 'stream': True}).body
    assert body in (data + raw.DONE, data + raw.DONE.replace(b'\n', end))


def test_byte_order_mark(world, api):
    data = b'\xef\xbb\xbf' + b''.join(raw.events(raw.new_id()))
    for cut in (1, 2, 3, 4):
        world.upstream.then(lambda x, c=cut: stream(x, data, [c], pause=0.005))
        assert api.post({'model': 'demo', 'input': 'x', 'stream': True}).body == data + raw.DONE


def test_whole_answer(world, api):
    """A body that is not streamed keeps its every byte: spaces, order, escapes, numbers."""
    rid = raw.new_id()
    body = (b'{ "id" : "' + rid.encode() + b'",\n\t"object":"response","status":"completed","created_at":1700000000.0,'
            b'"output":[ {"type":"message","id":"m1","role":"assistant","status":"completed","content":[{"type":'
            b'"output_text","text":"\\u0041\\u0000\xe2\x98\x83","annotations":[]}]} ],"model":"demo","n":1e400,'
            b'"big":123456789012345678901234567890,"twice":1,"twice":2,"usage":null}\n')
    world.upstream.then(lambda x: x.answer(200, body, [('X-Some', 'thing')]))
    answer = api.post({'model': 'demo', 'input': 'x'})
    assert answer.status == 200 and answer.body == body
    assert answer.header('content-type').startswith('application/json')


def test_request_bytes_are_the_clients(world, api):
    """What no rule changes arrives as it was sent."""
    body = (b'{\n  "model" : "demo" ,"input":[ {"role":"user","content":"\\u0041\\ud83d\\ude00 \xe2\x98\x83"} ],'
            b'"temperature":1e-0,"big":123456789012345678901234567890,"unknown":{"a":1,"a":2},"metadata":{} }\n')
    answer = api.post(body)
    assert answer.status == 200, answer
    assert world.upstream.turns()[-1].body == body


def test_spliced_request(world, api):
    """On replay the anchor goes and the items of the chain come; every other byte is the client's."""
    first_item = b'{"role":"user","content":"\\u0041 \\u0000 one","n":1e400,"x":1,"x":2}'
    output = (b'{"type":"message","id":"m_9","role":"assistant" ,"status":"completed","content":[{"type":"output_text",'
              b'"text":"\\u00e4","annotations":[],"n":12345678901234567890123}]}')
    rid = raw.new_id()
    world.upstream.then(lambda x: x.answer(200, b'{"id":"%s","object":"response","status":"completed","model":"demo",'
                                           b'"output":[ %s ],"usage":null}' % (rid.encode(), output)))
    assert api.post(b'{"model":"demo","input":[%s]}' % first_item).status == 200
    new_item = b'{"content":"two" , "role":"user"}'
    before, after = b'{ "temperature":1e0,"model":"demo",', b'"unknown":{"a" : 1, "a":2},"metadata":{} }'
    body = before + b'"previous_response_id" : "%s", "input":[%s],' % (rid.encode(), new_item) + after
    answer = api.post(body)
    assert answer.status == 200 and answer.header('x-posthouse-continuity') == 'replayed', answer
    sent = world.upstream.turns()[-1].body
    assert b'previous_response_id' not in sent
    assert sent.startswith(before[:-1]) and sent.endswith(after), sent
    middle = sent[len(before) - 1:len(sent) - len(after)]
    assert re.fullmatch(rb'[\s,]*"input"\s*:\s*\[\s*' + re.escape(first_item) + rb'\s*,\s*' + re.escape(output) +
                        rb'\s*,\s*' + re.escape(new_item) + rb'\s*\][\s,]*', middle), middle
    json.loads(sent)


@pytest.mark.parametrize('given, sent', [
    ('"two"', [{'role': 'user', 'content': 'two'}]),
    ('[{"role":"user","content":"two"}]', [{'role': 'user', 'content': 'two'}]),
    ('[]', []),
    (None, []),
])
def test_input_forms_on_replay(world, api, given, sent):
    """A string becomes one user message, absent and empty input add nothing (continuity 4.2)."""
    first = api.turn({'model': 'demo', 'input': 'one \u2603'})
    more = '' if given is None else ',"input":' + given
    answer = api.post(('{"model":"demo","previous_response_id":"%s"%s}' % (first.id, more)).encode())
    assert answer.status == 200, answer
    got = world.upstream.turns()[-1].json['input']
    assert got[0] == {'role': 'user', 'content': 'one \u2603'}
    assert got[1]['type'] == 'message' and got[2:] == sent


def test_twelve_mebibyte_event(world, api):
    rid = raw.new_id()
    text = 'ab\u00e9"\\' * (12 * 1024 * 1024 // 6)
    item = raw.message(text, rid)
    data = b''.join(raw.events(rid)[:3]) + b''.join([
        raw.event(3, 'response.output_item.done', output_index=0, item=item),
        raw.event(4, 'response.completed', response=raw.response(rid, output=[item]))]) + raw.DONE
    assert len(data) > 24 * 1024 * 1024
    world.upstream.then(lambda x: stream(x, data, [100000] * 300))
    assert api.post({'model': 'demo', 'input': 'x', 'stream': True}).body == data
    # and it is replayed whole
    answer = api.post({'model': 'demo', 'input': 'y', 'previous_response_id': rid})
    assert answer.status == 200
    assert world.upstream.turns()[-1].json['input'][1]['content'][0]['text'] == text


def big_body(size):
    return b'{"model":"demo","input":"' + b'0123456789abcdef' * (size // 16) + b'"}'


def test_twenty_mebibyte_body(world, api):
    body = big_body(20 * 1024 * 1024)
    assert api.post(body).status == 200
    assert world.upstream.turns()[-1].body == body


def chunks(body, size):
    for at in range(0, len(body), size):
        yield body[at:at + size]


def test_chunked_body(world):
    body = big_body(300000)
    head = ('POST /v1/responses HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nTransfer-Encoding: chunked\r\n'
            'Content-Type: application/json\r\nConnection: close\r\n\r\n' % world.key).encode()
    data = b''.join(b'%X;ext="y"\r\n%s\r\n' % (len(c), c) for c in chunks(body, 7001)) + b'0\r\nTrailer: t\r\n\r\n'
    world.upstream.clear()
    found, closed = http.raw(world.node.url, head + data)
    assert closed and http.split_answers(found)[0].status == 200, found[:500]
    assert world.upstream.turns()[-1].body == body


def zstd(data):
    return subprocess.run(['zstd', '-q', '-c'], input=data, capture_output=True, check=True).stdout


@pytest.mark.parametrize('coding, press', [('gzip', gzip.compress), ('zstd', zstd), ('GZIP', gzip.compress),
                                           ('identity', bytes)])
@pytest.mark.parametrize('size', [16, 5 * 1024 * 1024])
def test_compressed_body(world, api, coding, press, size):
    body = big_body(size)
    answer = api.post(press(body), headers={'Content-Encoding': coding})
    assert answer.status == 200, answer
    sent = world.upstream.turns()[-1]
    assert sent.body == body and sent.header('content-encoding') is None


def test_members_of_a_compressed_body_may_repeat(world, api):
    """Concatenated gzip members and zstd frames are one body (RFC 1952, RFC 8878)."""
    body = big_body(64)
    for coding, press in (('gzip', gzip.compress), ('zstd', zstd)):
        answer = api.post(press(body[:20]) + press(body[20:]), headers={'Content-Encoding': coding})
        assert answer.status == 200, answer
        assert world.upstream.turns()[-1].body == body


@pytest.mark.parametrize('coding', ['gzip', 'zstd'])
def test_bomb(world, api, coding):
    """100 MiB in some hundred kilobytes: refused at the limit, in bounded memory, and nothing goes upstream."""
    if coding == 'gzip':
        press = zlib.compressobj(9, zlib.DEFLATED, 31)
        bomb = press.compress(b'{"model":"demo","input":"')
        for _ in range(100):
            bomb += press.compress(b'0' * (1 << 20))
        bomb += press.flush()
    else:
        bomb = zstd(b'{"model":"demo","input":"' + b'0' * (100 << 20))
    before = world.node.rss_kib()
    answer = api.post(bomb, headers={'Content-Encoding': coding})
    assert answer.status == 400 and answer.error['code'] == 'payload_too_large', answer
    assert world.upstream.turns() == []
    assert world.node.rss_kib() - before < 512 * 1024


@pytest.mark.parametrize('framing', ['length', 'chunked'])
def test_seventy_mebibyte_body_gets_its_answer(world, framing):
    """A client that sends on without listening still finds the 400, not a reset."""
    world.upstream.clear()
    size = 70 * 1024 * 1024
    fields = 'Content-Length: %d' % size if framing == 'length' else 'Transfer-Encoding: chunked'
    with socket.create_connection(('127.0.0.1', world.node.port), timeout=60) as sock:
        sock.sendall(('POST /v1/responses HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n%s\r\n\r\n'
                      % (world.key, fields)).encode())
        piece = b'0' * (1 << 20)
        for _ in range(size // len(piece)):
            sock.sendall(piece if framing == 'length' else b'%x\r\n%s\r\n' % (len(piece), piece))
        found = b''
        while True:
            more = sock.recv(65536)
            if not more:
                break
            found += more
    answer, = http.split_answers(found)
    assert answer.status == 400 and answer.error['code'] == 'payload_too_large', found[:500]
    assert answer.error['param'] in ('input', None)
    assert world.upstream.turns() == []


def test_headers(world, api):
    """Credentials are exchanged, what describes one account stays here, hop-by-hop fields end at each hop."""
    private = [('Set-Cookie', 'a=b'), ('openai-organization', 'org-x'), ('openai-project', 'p'),
               ('x-ratelimit-remaining-requests', '7'), ('Keep-Alive', 'timeout=5'), ('X-Request-Id', 'upstream-id')]
    world.upstream.then(lambda x: x.answer(200, raw.response(raw.new_id(), output=[raw.message('hi')]), private))
    answer = api.post({'model': 'demo', 'input': 'x'}, headers={
        'X-Request-Id': 'mine-1', 'Cookie': 'c=d', 'OpenAI-Beta': 'responses=v1', 'User-Agent': 'tester/1',
        'Proxy-Authorization': 'Basic xyz', 'Connection': 'keep-alive, x-hop', 'X-Hop': '1'})
    assert answer.status == 200
    names = [name for name, _ in answer.headers]
    for name, _ in private[:5]:
        assert name.lower() not in names
    assert answer.header('x-request-id') == 'mine-1'
    assert answer.header('x-posthouse-node') == world.node.name
    assert answer.header('x-posthouse-continuity') == 'none'
    sent = world.upstream.turns()[-1]
    assert sent.header('authorization') == 'Bearer ' + world.cluster.UPSTREAM_SECRET
    assert sent.header('user-agent') == 'tester/1'
    fields = [name for name, _ in sent.headers]
    for name in ('cookie', 'proxy-authorization', 'x-hop', 'x-forwarded-for'):
        assert name not in fields
    assert [name for name in fields if name in ('host', 'content-length', 'authorization')].__len__() == 3
    assert world.key not in str(sent.headers)


@pytest.mark.parametrize('given', ['', 'has space', 'x' * 129, 'quote"', 'caf\xe9'])
def test_bad_request_ids_are_replaced(world, api, given):
    answer = api.post({'model': 'demo', 'input': 'x'}, headers={'X-Request-Id': given.encode('latin-1')})
    assert answer.status == 200
    assert re.fullmatch(r'req_[A-Za-z0-9]+', answer.header('x-request-id'))
