# SPDX-License-Identifier: Apache-2.0
"""The benchmark's own arithmetic and parsers, on data whose answer is known. Nothing is measured here."""
import contextlib
import json
import os
import pathlib
import socket
import ssl
import subprocess
import sys
import threading
import xml.etree.ElementTree as ElementTree

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / 'integration')]

# pylint: disable=wrong-import-position
import authority  # noqa: E402
import figures  # noqa: E402
import load  # noqa: E402
import machine  # noqa: E402
import plot  # noqa: E402
import targets  # noqa: E402

BUILD = pathlib.Path(os.environ.get('POSTHOUSE_TEST_BUILD', HERE.parents[1] / 'build' / 'asan'))


def sample(who, number, us, void=(), quiet=True):
    return {'key': 'k', 'who': who, 'round': number, 'values': {'us': us}, 'void': list(void), 'quiet': quiet}


def figure(**options):
    return figures.Figure('CPU', 'a turn', 'k', 'us', 'us', **options)


def test_ratio_is_taken_within_a_round():
    """The machine was twice as slow in round 1: medians of each side would say 1.0, 2.0 or 4.0."""
    samples = [sample('posthouse', 0, 10), sample('posthouse', 1, 40), sample('nginx', 0, 10), sample('nginx', 1, 20)]
    found = figures.line(samples, figure(target=('ratio', 1.5)))
    assert (found['value'], found['nginx'], found['ratio'], found['verdict']) == (25, 15, 1.5, 'holds')
    assert figures.line(samples, figure(target=('ratio', 1.49)))['verdict'] == 'falls short'
    assert figures.line(samples, figure(target=('most', 24)))['verdict'] == 'falls short'


def test_a_ratio_may_be_to_another_of_ours():
    samples = [sample('posthouse', 0, 12), sample('nginx', 0, 6), sample('sse', 0, 10), sample('posthouse', 1, 13)]
    found = figures.line(samples, figure(target=('ratio', 1.1), over='sse'))
    assert (found['ratio'], found['nginx'], found['verdict']) == (1.2, 6, 'falls short')
    assert '1.10 x sse' in figures.tables([found])


def test_what_went_wrong_voids_the_line():
    samples = [sample('posthouse', 0, 1), sample('posthouse', 1, 1, void=['3 answers lost']), sample('nginx', 0, 1)]
    found = figures.line(samples, figure(target=('most', 2)))
    assert (found['verdict'], found['voids']) == ('void', ['3 answers lost'])
    assert figures.line(samples[:1] + samples[2:], figure(target=('most', 2)))['verdict'] == 'holds'
    assert '3 answers lost' in figures.tables([found])


def test_noisy_samples_count_only_where_quiet_ones_are_few():
    noisy = [sample('posthouse', n, 100, quiet=False) for n in range(2)]
    quiet = [sample('posthouse', n, 10) for n in range(2, 4)]
    assert figures.line(noisy + quiet, figure())['value'] == 10
    assert figures.line(noisy + quiet[:1], figure())['value'] == 100
    assert [figures.line(s, figure())['noisy'] for s in (noisy + quiet, noisy, quiet)] == [False, True, False]


def test_added_latency_is_a_difference_within_a_round():
    samples = [sample('posthouse', 0, 30), sample('direct', 0, 20), sample('posthouse', 1, 90), sample('direct', 1, 70),
               sample('posthouse', 2, 5)]
    assert figures.line(samples, figure(minus='direct'))['value'] == 15


def test_two_runs_are_compared_by_line():
    before = figures.lines([sample('posthouse', 0, 10)], [figure()])
    after = figures.lines([sample('posthouse', 0, 11.5)], [figure(), figure(ours='nobody')])
    (title, was, now, change, beyond), = figures.compared(before, after)
    assert (title, was, now, round(change, 3), beyond) == ('a turn, us', 10, 11.5, 0.15, True)
    assert not figures.compared(before, before)[0][4]


def test_slope_and_quantiles():
    assert figures.slope([(1, 5), (2, 7), (3, 9)]) == pytest.approx(2)
    assert figures.slope([(1, 5), (2, 5)]) == 0
    assert [figures.quantile(range(100), share) for share in (0, 0.5, 0.99, 1)] == [0, 50, 99, 99]


def test_columns_of_a_table_line_up():
    rows = figures.table(figures.lines([sample('posthouse', 0, 12345)], [figure(target=('most', 8))])).splitlines()
    assert len({len(row) for row in rows}) == 1 and '12,345' in rows[2] and 'falls short' in rows[2]


def test_no_two_lines_are_the_same():
    ids = [one.id() + str(one.minus) for one in targets.all_figures()]
    assert len(set(ids)) == len(ids)


def test_what_wrk_says():
    text = 'Running 1s test\nRESULT {"answered":10,"seconds":1.0,"bytes":1,"not_2xx":2,"errors":0,"p50":1,"p99":2}\n'
    found = load.parse_wrk(text)
    assert load.faults_of_wrk(found) == ['2 answers with another status']
    assert load.faults_of_wrk(found, refused=True) == ['8 answers with another status']
    with pytest.raises(load.LoadFault):
        load.parse_wrk('unable to connect')


def test_what_the_kernel_says():
    stat = '42 (a ) b) S 1 42 42 0 -1 4194560 1 2 3 4 50 60 700 800 20 0 1 0 5 6 7'
    assert machine.ended_children_ns(stat) == 1500 * 10**9 // machine.TICK
    assert machine.busy_and_stolen('cpu  1 2 4 8 16 32 64 128 0 0\ncpu0 1\n') == (
        103 * 10**9 // machine.TICK, 128 * 10**9 // machine.TICK)
    before = machine.cpu_ns([os.getpid()])
    while machine.cpu_ns([os.getpid()]) - before < 2 * 10**6:
        pass
    assert machine.rss_kib([os.getpid()]) > 1000


def test_plots_are_well_formed():
    found = plot.pictures({'load nginx': [[1000, 50, 90], [2000, 55, 900]], 'depth posthouse': [[10, 6900, 1, 2], [20, 6800, 1, 2]],
                           'depth target': [[10, 6500], [20, 6500]]})
    assert set(found) == {'latency-over-load.svg', 'bytes-over-depth.svg'}
    for svg in found.values():
        lines = list(ElementTree.fromstring(svg).iter('{http://www.w3.org/2000/svg}polyline'))
        assert lines and all(len(line.get('points').split()) == 2 for line in lines)


# ---- bench-client, against a server whose every byte is known ----

class Server:
    """Answers requests with the next of some byte strings, cut into pieces, so many on each connection."""

    def __init__(self, answers, piece, per_connection):
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.address = '127.0.0.1:%d' % self.listener.getsockname()[1]
        threading.Thread(target=self.run, args=(answers, piece, per_connection), daemon=True).start()

    def run(self, answers, piece, per_connection):
        for at in range(0, len(answers), per_connection):
            self.serve(answers[at:at + per_connection], piece)

    def serve(self, answers, piece):
        sock, _ = self.listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with sock:
            for answer in answers:
                request = b''
                while b'\r\n\r\n' not in request:
                    more = sock.recv(4096)
                    if not more:
                        return
                    request += more
                for at in range(0, len(answer), piece):
                    sock.sendall(answer[at:at + piece])
            sock.shutdown(socket.SHUT_WR)
            sock.recv(1)


def stream(numbers, last='response.completed', end=b'data: [DONE]\n\n'):
    types = ['response.created'] + ['response.output_text.delta'] * (len(numbers) - 2) + [last]
    body = b''.join(b'event: %s\ndata: {"type":"%s","sequence_number":%d,"fake_ns":"%020d"}\n\n' % (
        kind.encode(), kind.encode(), number, 1) for kind, number in zip(types, numbers)) + end
    chunks = b''.join(b'%x\r\n%s\r\n' % (len(body[i:i + 33]), body[i:i + 33]) for i in range(0, len(body), 33))
    return b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n' + chunks + b'0\r\n\r\n'


def run_client(tmp_path, mode, answers, piece=1 << 20, per_connection=1 << 20, **options):
    return run_client_to(Server(answers, piece, per_connection).address, tmp_path, mode, **options)


def run_client_to(address, tmp_path, mode, **options):
    program = BUILD / 'bench-client'
    assert program.exists(), 'bench-client is not built'
    request = tmp_path / 'request'
    request.write_bytes(b'POST /v1/responses HTTP/1.1\r\nContent-Length: 0\r\n\r\n')
    command = [str(program), mode, '--to', address, '--connections', '1', '--request', str(request)]
    for name, value in options.items():
        command += ['--' + name, str(value)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize('piece', [7, 1 << 20])
def test_client_counts_events(tmp_path, piece):
    found = run_client(tmp_path, 'streams', [stream(range(6))] * 2, piece, repeat=2, events=4)
    assert (found['answered'], found['events'], found['deltas'], found['latency']['count']) == (2, 12, 8, 8)
    assert load.faults_of_client(found) == []


@pytest.mark.parametrize('answer, faults', [
    pytest.param(stream([0, 1, 3, 4]), ['1 events lost or out of order'], id='an event is missing'),
    pytest.param(stream([0, 2, 1, 3]), ['3 events lost or out of order'], id='two changed places'),
    pytest.param(stream([0, 1, 2], end=b''), ['1 wrong answers'], id='no [DONE]'),
    pytest.param(stream([0, 1, 2], last='response.failed'), ['1 wrong answers'], id='failed'),
    pytest.param(stream([0, 1, 2]).replace(b'200 OK', b'503 No'), ['1 wrong answers'], id='503'),
    pytest.param(stream([0, 1, 2])[:-20], ['1 answers lost', 'nothing was answered'], id='cut'),
    pytest.param(b'SMTP ready\r\n\r\n', ['1 answers lost', 'nothing was answered'], id='no HTTP'),
])
def test_client_sees_what_is_wrong(tmp_path, answer, faults):
    found = run_client(tmp_path, 'streams', [answer], repeat=1)
    assert load.faults_of_client(found) == faults


def test_client_connects_again_when_it_is_told_to(tmp_path):
    answer = b'HTTP/1.1 401 No\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}'
    found = run_client(tmp_path, 'turns', [answer] * 3, per_connection=1, rate=10, seconds=0.2, status=401)
    assert (found['answered'], load.faults_of_client(found)) == (2, [])


def test_client_measures_from_when_a_turn_was_due(tmp_path):
    """One connection, 100 turns a second due, an answer of the wrong size among them."""
    good, other = (b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s' % (n, b'x' * n) for n in (3, 4))
    found = run_client(tmp_path, 'turns', [good, good, other] + [good] * 50, rate=100, seconds=0.3)
    assert (found['sent'], found['answered'], found['wrong'], found['lost']) == (30, 30, 1, 0)
    assert found['latency']['count'] == 30


def frame(text, opcode=1):
    data = text if isinstance(text, bytes) else json.dumps(text, separators=(',', ':')).encode()
    return bytes([0x80 | opcode]) + (bytes([len(data)]) if len(data) < 126 else b'\x7e' + len(data).to_bytes(2, 'big')) + data


def socket_answer(numbers, last='response.completed', end=b''):
    types = ['response.created'] + ['response.output_text.delta'] * (len(numbers) - 2) + [last]
    return b''.join(frame({'type': kind, 'sequence_number': number, 'pad': 'x' * 100})
                    for kind, number in zip(types, numbers)) + end


class SocketServer(Server):
    """The same behind an upgrade: an answer to each frame of text. seen: what clients said."""

    def __init__(self, answers, piece=1 << 20):
        self.seen = []
        super().__init__(answers, piece, 1 << 20)

    def serve(self, answers, piece):
        sock, _ = self.listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError), sock, sock.makefile('rb') as reader:
            while reader.readline() not in (b'\r\n', b''):
                pass
            sock.sendall(b'HTTP/1.1 101 Switching Protocols\r\n\r\n')
            for answer in answers:
                if not self.read_frame(reader):
                    return
                for at in range(0, len(answer), piece):
                    sock.sendall(answer[at:at + piece])
            sock.shutdown(socket.SHUT_WR)
            reader.read()

    def read_frame(self, reader):
        head = reader.read(2)
        if len(head) < 2:
            return False
        size = head[1] & 127
        if size == 126:
            size = int.from_bytes(reader.read(2), 'big')
        key = reader.read(4)
        self.seen.append((head[0] & 15, bytes(byte ^ key[i % 4] for i, byte in enumerate(reader.read(size)))))
        return True


def run_socket_client(tmp_path, server, mode='streams', **options):
    upgrade = tmp_path / 'upgrade'
    upgrade.write_bytes(b'GET / HTTP/1.1\r\n\r\n')
    return run_client_to(server.address, tmp_path, mode, upgrade=upgrade, **options)


@pytest.mark.parametrize('piece', [7, 1 << 20])
def test_client_takes_turns_on_a_socket(tmp_path, piece):
    server = SocketServer([socket_answer(range(6))] * 2, piece)
    found = run_socket_client(tmp_path, server, repeat=2, events=4)
    assert (found['answered'], found['events'], found['deltas'], load.faults_of_client(found)) == (2, 12, 8, [])
    assert [opcode for opcode, _ in server.seen] == [1, 1] and server.seen[0][1] == (tmp_path / 'request').read_bytes()


@pytest.mark.parametrize('answer, faults', [
    pytest.param(socket_answer([0, 1, 3, 4]), ['1 events lost or out of order'], id='an event is missing'),
    pytest.param(socket_answer([0, 2, 1, 3]), ['3 events lost or out of order'], id='two changed places'),
    pytest.param(socket_answer([0, 1, 2], last='response.failed'), ['1 wrong answers'], id='failed'),
    pytest.param(frame({'type': 'error', 'status': 429}), ['1 wrong answers', '1 events lost or out of order'], id='an error'),
    pytest.param(socket_answer([0, 1]) + frame({'type': 'response.created'}), ['1 answers lost'], id='more than was asked'),
    pytest.param(socket_answer([0, 1, 2])[:-20], ['1 answers lost', 'nothing was answered'], id='cut'),
    pytest.param(frame(b'\x03\xe8', 8), ['1 answers lost', 'nothing was answered'], id='closed'),
    pytest.param(b'\xc1\x00', ['1 answers lost', 'nothing was answered'], id='no frame'),
])
def test_client_sees_what_is_wrong_on_a_socket(tmp_path, answer, faults):
    found = run_socket_client(tmp_path, SocketServer([answer]), repeat=1, seconds=0.1)
    assert load.faults_of_client(found) == faults


def test_client_answers_pings(tmp_path):
    server = SocketServer([frame(b'', 9) + frame(b'abc', 9), socket_answer(range(3))])
    found = run_socket_client(tmp_path, server, repeat=1, seconds=5)
    assert [opcode for opcode, _ in server.seen][:2] == [1, 10] and found['sent'] == 1


class SecureServer(Server):
    """The same over TLS, where nothing but handshakes is expected. forgetful: it cannot read its own tickets."""

    def __init__(self, pair, answers=(b'',) * 1000, forgetful=False):
        self.pair, self.forgetful, self.context = pair, forgetful, None
        super().__init__(answers, 1 << 20, 1)

    def serve(self, answers, piece):
        if self.forgetful or not self.context:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*self.pair)
        sock, _ = self.listener.accept()
        with contextlib.suppress(OSError), self.context.wrap_socket(sock, server_side=True) as secure:
            if secure.recv(4096) and answers[0]:
                secure.sendall(answers[0])
                secure.recv(1)


@pytest.fixture(name='signer', scope='module')
def make_signer(tmp_path_factory):
    return authority.Authority(tmp_path_factory.mktemp('signer'))


@pytest.fixture(name='pair', scope='module')
def make_pair(signer):
    return signer.issue('localhost', 'IP:127.0.0.1')


@pytest.mark.parametrize('resume', [0, 1])
def test_client_shakes_hands(tmp_path, signer, pair, resume):
    address = SecureServer(pair).address
    found = run_client_to(address, tmp_path, 'shakes', ca=signer.cert, resume=resume, seconds=0.3)
    assert load.faults_of_client(found) == [] and found['answered'] == found['sent'] > 2


def test_client_sees_that_nothing_was_resumed(tmp_path, signer, pair):
    address = SecureServer(pair, forgetful=True).address
    found = run_client_to(address, tmp_path, 'shakes', ca=signer.cert, resume=1, seconds=0.3)
    assert found['wrong'] == found['sent'] - 1 > 0


def test_client_trusts_nobody_else(tmp_path, signer, pair):
    stranger = authority.Authority(tmp_path)
    for ca, certificate in ((stranger.cert, pair), (signer.cert, signer.issue('elsewhere', 'IP:127.0.0.2'))):
        found = run_client_to(SecureServer(certificate).address, tmp_path, 'shakes', ca=ca, seconds=0.1)
        assert load.faults_of_client(found) == ['1 answers lost', 'nothing was answered']


def test_client_reads_through_tls(tmp_path, signer, pair):
    address = SecureServer(pair, [stream(range(3000))]).address
    found = run_client_to(address, tmp_path, 'streams', ca=signer.cert, repeat=1, events=2998)
    assert (found['answered'], found['deltas'], load.faults_of_client(found)) == (1, 2998, [])
