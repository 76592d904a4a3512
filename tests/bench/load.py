# SPDX-License-Identifier: Apache-2.0
"""The load: wrk for closed loops of plain requests, bench-client for what wrk cannot do. Both say what went wrong; a
sample with any of that is void."""
import hashlib
import json
import os
import pathlib
import subprocess

HERE = pathlib.Path(__file__).resolve().parent


class LoadFault(Exception):
    """The load generator itself failed."""


def parse_wrk(text):
    """The line that turn.lua prints."""
    for line in text.splitlines():
        if line.startswith('RESULT '):
            return json.loads(line[len('RESULT '):])
    raise LoadFault('wrk said nothing:\n' + text[-2000:])


def faults_of_wrk(found, refused=False):
    faults = []
    if found['answered'] == 0:
        faults.append('nothing was answered')
    if found['errors']:
        faults.append('%d connections failed or timed out' % found['errors'])
    wrong = found['answered'] - found['not_2xx'] if refused else found['not_2xx']
    if wrong:
        faults.append('%d answers with another status' % wrong)
    return faults


def faults_of_client(found):
    words = {'wrong': 'wrong answers', 'lost': 'answers lost', 'broken': 'events lost or out of order',
             'late': 'turns not sent: it could not follow'}
    faults = ['%d %s' % (found[name], text) for name, text in words.items() if found.get(name)]
    if not found.get('answered', 1):
        faults.append('nothing was answered')
    return faults


class Load:
    def __init__(self, directory, client, cores):
        self.directory, self.client_program, self.cores = pathlib.Path(directory), client, cores

    def file(self, content):
        path = self.directory / hashlib.sha256(content).hexdigest()[:16]
        if not path.exists():
            path.write_bytes(content)
        return path

    def request(self, key, body, path='/v1/responses'):
        """A whole request in a file, for bench-client."""
        head = 'POST %s HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n' \
               'Content-Length: %d\r\n\r\n' % (path, key, len(body))
        return self.file(head.encode() + body)

    def upgrade(self, key, path='/v1/responses'):
        """The head that makes a connection a WebSocket, in a file."""
        return self.file(('GET %s HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %s\r\nUpgrade: websocket\r\n'
                          'Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n'
                          'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n' % (path, key)).encode())

    def wrk(self, url, key, body, connections, seconds, script='turn.lua'):
        command = ['wrk', '-t1', '-c%d' % connections, '-d%.1fs' % seconds, '--timeout', '10s', '--latency', '-s',
                   str(HERE / script), url + '/v1/responses', '--', str(self.file(body)), str(key)]
        command[3] = '-d%ds' % max(1, round(seconds))  # whole seconds are all that it knows
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False,
                              env=dict(os.environ, BENCH_DIR=str(HERE)), preexec_fn=self.pinned(self.cores))
        if done.returncode:
            raise LoadFault('wrk: ' + done.stderr[-2000:] + done.stdout[-2000:])
        return parse_wrk(done.stdout)

    @staticmethod
    def pinned(cores):
        return lambda: os.sched_setaffinity(0, cores)

    def start(self, mode, address, cores=None, **options):
        """A client that runs: see Client."""
        command = [str(self.client_program), mode, '--to', address]
        for name, value in options.items():
            command += ['--' + name, str(value)]
        return Client(command, self.pinned(cores or self.cores))

    def client(self, mode, address, cores=None, **options):
        with self.start(mode, address, cores, **options) as client:
            return client.result()


class Client:
    """A bench-client that runs. tell() sends it a line; line() and result() read what it says."""

    def __init__(self, command, preexec):
        self.command = command
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True, preexec_fn=preexec)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            stream.close()
        self.process.kill()
        self.process.wait()

    def tell(self, text):
        self.process.stdin.write('%s\n' % text)
        self.process.stdin.flush()

    def end(self):
        self.process.stdin.close()

    def line(self):
        text = self.process.stdout.readline()
        if not text:
            raise LoadFault('%s: %s' % (' '.join(self.command[:4]), self.process.stderr.read()))
        return json.loads(text)

    def result(self):
        found = self.line()
        if self.process.wait(30):
            raise LoadFault(self.process.stderr.read())
        return found
