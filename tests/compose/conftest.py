# SPDX-License-Identifier: Apache-2.0
"""A Docker daemon for the compose tests: the one that answers, else one of our own.

Our own keeps everything in the state directory and in a temporary directory, makes no bridge and no firewall rule, and
ends with the tests. Without a daemon that answers and without root, the tests are skipped.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import pytest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT / 'tests' / 'integration'), str(ROOT / 'tests' / 'upstream')]

STATE = pathlib.Path(os.environ.get('POSTHOUSE_TEST_STATE', ROOT / '.dev'))
SUITE = 'trixie'
BASE = 'debian:%s-slim' % SUITE  # as the Dockerfile says
DROP = ('var/cache/apt', 'var/lib/apt/lists', 'var/log', 'usr/share/doc', 'usr/share/man', 'usr/share/info', 'usr/share/locale')


class Docker:
    """Runs docker and docker-compose against one daemon."""

    def __init__(self, env):
        self.env, self.state = env, STATE
        plugin = shutil.which('docker-compose', path=env['PATH'])
        self.compose_command = [plugin] if plugin else ['docker', 'compose']

    def run(self, *args, check=True, timeout=600, **more):
        if 'input' not in more:
            more.setdefault('stdin', subprocess.DEVNULL)
        done = subprocess.run([str(a) for a in args], env=self.env, cwd=ROOT, timeout=timeout, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)
        if check:
            assert done.returncode == 0, '%s: %s%s' % (args, done.stdout.decode()[-3000:], done.stderr.decode()[-3000:])
        return done

    def docker(self, *args, **more):
        return self.run('docker', *args, **more).stdout.decode().strip()

    def answers(self):
        try:
            return self.run('docker', 'info', check=False, timeout=30).returncode == 0
        except (OSError, subprocess.TimeoutExpired):
            return False


def environment():
    kept = {name: value for name, value in os.environ.items() if not name.startswith(('POSTHOUSE_', 'PH_', 'COMPOSE_'))}
    # Debian's docker.io brings no buildx; layers are the same with either builder.
    return dict(kept, DOCKER_BUILDKIT=os.environ.get('DOCKER_BUILDKIT', '0'))


def own_daemon(env, directory):
    """Starts dockerd; returns its process."""
    socket = 'unix://%s/socket' % directory
    with open(directory / 'log', 'wb') as log:
        process = subprocess.Popen(
            ['dockerd', '--data-root', STATE / 'docker', '--exec-root', directory / 'exec', '-H', socket, '-p',
             directory / 'pid', '--bridge=none', '--iptables=false', '--ip6tables=false', '--ip-forward=false',
             '--ip-masq=false'], env=env, stdout=log, stderr=log)
    env.update(DOCKER_HOST=socket, PH_BUILD_NETWORK='host')
    return process


def make_base(docker):
    """The base image, from Debian packages alone: what the image of that name holds on any machine, as near as matters."""
    mirror = os.environ.get('POSTHOUSE_MIRROR') or docker.run(
        'apt-get', 'indextargets', '--format', '$(REPO_URI)', 'Identifier: Packages', 'Origin: Debian',
        'Component: main').stdout.decode().split('\n')[0]
    with tempfile.TemporaryDirectory(prefix='ph-base-', dir='/var/tmp') as root:
        docker.run('debootstrap', '--variant=minbase', SUITE, root, mirror)
        for name in DROP:
            for path in (pathlib.Path(root) / name).iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        tar = subprocess.Popen(['tar', '-C', root, '-c', '.'], stdout=subprocess.PIPE)
        docker.run('docker', 'import', '-', BASE, stdin=tar.stdout)
        assert tar.wait() == 0


@pytest.fixture(scope='session')
def docker():
    env = environment()
    found, process, directory = Docker(env), None, None
    if shutil.which('docker', path=env['PATH']) is None:
        pytest.skip('needs docker')
    if not found.answers():
        if os.geteuid() != 0 or shutil.which('dockerd', path=env['PATH']) is None:
            pytest.skip('needs a Docker daemon that answers, or root and dockerd to start one')
        directory = pathlib.Path(tempfile.mkdtemp(prefix='ph-docker-', dir='/tmp'))
        process = own_daemon(env, directory)
        until = time.monotonic() + 60
        while not found.answers():
            if process.poll() is not None or time.monotonic() > until:
                process.kill()
                pytest.skip('dockerd does not run here: ' + (directory / 'log').read_text()[-600:])
            time.sleep(0.2)
    try:
        if found.run('docker', 'image', 'inspect', BASE, check=False).returncode and os.geteuid() == 0 and \
                shutil.which('debootstrap', path=env['PATH']):
            make_base(found)
        yield found
    finally:
        if process:
            process.terminate()
            process.wait(60)
            for mount in (directory / 'exec' / 'netns').glob('*'):  # it leaves that one behind
                subprocess.run(['umount', mount], check=False)
            shutil.rmtree(directory, ignore_errors=True)
