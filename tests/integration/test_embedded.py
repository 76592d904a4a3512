# SPDX-License-Identifier: Apache-2.0
"""The embedded PostgreSQL: nothing but a directory is needed, as root and as an ordinary user; it survives what kills it
and leaves nothing behind."""
import glob
import os
import pathlib
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile

import pytest

import client as http
from harness import BINARY, SANITIZER, clean_environment, free_port


def servers(directory):
    """Process ids of PostgreSQL servers whose data directory lies here."""
    found = []
    for path in glob.glob('/proc/[0-9]*/cwd'):
        try:
            target = os.readlink(path)
            name = pathlib.Path(path).parent.joinpath('comm').read_text(encoding='ascii').strip()
        except OSError:
            continue
        if target.startswith(str(directory)) and name == 'postgres':
            found.append(int(path.split('/')[2]))
    return found


class Deployment:
    """One data directory, used as one user."""

    def __init__(self, user):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix='ph-emb-', dir='/tmp'))
        os.chmod(self.dir, 0o755)
        self.data = self.dir / 'data'
        self.as_user = []
        if user is not None:
            entry = pwd.getpwnam(user)
            os.chown(self.dir, entry.pw_uid, entry.pw_gid)
            # setpriv becomes the program, so that signals reach it; runuser would stand between
            self.as_user = ['setpriv', '--reuid=%d' % entry.pw_uid, '--regid=%d' % entry.pw_gid, '--clear-groups']
        self.env = dict(clean_environment(), POSTHOUSE_DATA_DIR=str(self.data), HOME=str(self.dir),
                        ASAN_OPTIONS='detect_leaks=1:exitcode=99')
        self.env.pop('XDG_STATE_HOME', None)
        self.procs = []

    def cli(self, *args, stdin=None):
        done = subprocess.run(self.as_user + [str(BINARY), *args], env=self.env, input=stdin, capture_output=True,
                              timeout=120, check=False)
        assert not SANITIZER.search(done.stderr), done.stderr.decode()
        assert done.returncode == 0, (args, done)
        return done.stdout.decode().strip()

    def serve(self, name):
        port, admin = free_port(), free_port()
        log = open(self.dir / (name + '.log'), 'ab')  # pylint: disable=consider-using-with
        proc = subprocess.Popen(self.as_user + [str(BINARY), 'serve', '--listen', '127.0.0.1:%d' % port, '--admin-listen',
                                                '127.0.0.1:%d' % admin, '--node-name', name], env=self.env,
                                stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        proc.url, proc.admin, proc.log = 'http://127.0.0.1:%d' % port, 'http://127.0.0.1:%d' % admin, log.name
        self.procs.append(proc)
        http.eventually(lambda: proc.poll() is not None or self.ready(proc), within=60, what=name + ' ready')
        assert proc.poll() is None, pathlib.Path(proc.log).read_text(encoding='utf-8')
        return proc

    @staticmethod
    def ready(proc):
        try:
            return http.once(proc.admin, None, 'GET', '/readyz', timeout=2).status == 200
        except OSError:
            return False

    def stop(self, proc, expect=0):
        proc.send_signal(signal.SIGTERM)
        assert proc.wait(30) == expect, pathlib.Path(proc.log).read_text(encoding='utf-8')[-3000:]

    def close(self):
        for proc in self.procs:
            if proc.poll() is None:
                proc.kill()  # its worker dies with it
                proc.wait(10)
        for pid in servers(self.dir):
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.dir, ignore_errors=True)


@pytest.fixture(params=['root', 'ordinary user'] if os.geteuid() == 0 else ['ordinary user'])
def deployment(request):
    """As root PostgreSQL runs as the user postgres, as anybody else under their own name."""
    made = Deployment('nobody' if os.geteuid() == 0 and request.param == 'ordinary user' else None)
    yield made
    made.close()


def test_a_life(deployment, make_upstream):
    """First start, commands beside it, a second node, crash of the server, clean stop, second start."""
    upstream = make_upstream()
    one = deployment.serve('one')
    secret = stat.S_IMODE(os.stat(next(deployment.data.glob('*key*'))).st_mode)
    assert secret == 0o600
    deployment.cli('account', 'add', 's1', '--kind', 'stateless', '--base-url', upstream.url)
    key = deployment.cli('key', 'create', 'k1')
    two = deployment.serve('two')
    with http.Client(one.url, key) as a, http.Client(two.url, key) as b:
        turn = a.turn({'model': 'demo', 'input': 'x'})
        assert b.turn({'model': 'demo', 'input': 'y', 'previous_response_id': turn.id}).continuity == 'replayed'
        # the server dies; any serve starts it again
        for pid in servers(deployment.dir):
            os.kill(pid, signal.SIGKILL)
        http.eventually(lambda: b.post({'model': 'demo', 'input': 'z', 'previous_response_id': turn.id}).status == 200,
                        within=40, what='embedded server revived')
    # the first one out leaves it to the other
    deployment.stop(one)
    with http.Client(two.url, key) as b:
        assert b.turn({'model': 'demo', 'input': 'z', 'previous_response_id': turn.id}).continuity == 'replayed'
    deployment.stop(two)
    http.eventually(lambda: not servers(deployment.dir), within=15, what='the last one out stops the server')
    # commands start it for their duration
    assert 'k1' in deployment.cli('key', 'list')
    http.eventually(lambda: not servers(deployment.dir), within=15)
    three = deployment.serve('three')
    with http.Client(three.url, key) as api:
        assert api.turn({'model': 'demo', 'input': 'z', 'previous_response_id': turn.id}).continuity == 'replayed'
    deployment.stop(three)
    for log in deployment.dir.glob('*.log'):
        text = log.read_bytes()
        assert not SANITIZER.search(text), text
        assert key.encode() not in text


def test_kill_9_of_the_node(deployment):
    """A node that was killed leaves the server to the next start."""
    one = deployment.serve('one')
    key = deployment.cli('key', 'create', 'k1')
    os.killpg(one.pid, signal.SIGKILL)
    one.wait(10)
    two = deployment.serve('two')
    assert http.once(two.url, key, 'GET', '/v1/models').status in (200, 503)
    deployment.stop(two)
    http.eventually(lambda: not servers(deployment.dir), within=15)


def test_two_first_starts_at_once(deployment):
    """Both find one cluster."""
    env, ports = deployment.env, [free_port() for _ in range(4)]
    procs = [subprocess.Popen(deployment.as_user + [str(BINARY), 'serve', '--listen', '127.0.0.1:%d' % ports[2 * n],
                                                    '--admin-listen', '127.0.0.1:%d' % ports[2 * n + 1],
                                                    '--node-name', 'n%d' % n], env=env, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, start_new_session=True) for n in range(2)]
    deployment.procs += procs
    for n, proc in enumerate(procs):
        proc.admin = 'http://127.0.0.1:%d' % ports[2 * n + 1]
        http.eventually(lambda p=proc: p.poll() is not None or deployment.ready(p), within=60)
        assert proc.poll() is None
    assert len([p for p in servers(deployment.dir)]) >= 1
    for proc in procs:
        proc.send_signal(signal.SIGTERM)
    for proc in procs:
        assert proc.wait(30) == 0
    http.eventually(lambda: not servers(deployment.dir), within=15)


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can have a directory that postgres cannot reach')
def test_a_parent_that_postgres_cannot_traverse():
    """As root the error names the directory."""
    with tempfile.TemporaryDirectory(dir='/tmp') as closed:
        os.chmod(closed, 0o700)
        env = dict(clean_environment(), POSTHOUSE_DATA_DIR=closed + '/data')
        done = subprocess.run([str(BINARY), 'serve', '--listen', '127.0.0.1:%d' % free_port(), '--admin-listen',
                               '127.0.0.1:%d' % free_port()], env=env, capture_output=True, timeout=60, check=False)
    assert done.returncode == 1 and closed.encode() in done.stderr, done.stderr
