# SPDX-License-Identifier: Apache-2.0
"""posthouse top in a pseudo-terminal: what it shows, its keys, any size, and that it leaves the terminal as it was."""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time

import pytest

import client as http
import netproxy
from harness import BINARY, SANITIZER, free_port

ENTER, LEAVE = b'\x1b[?1049h', b'\x1b[?1049l'


class Terminal:
    """Just enough of a VT100 to know what stands on the screen."""

    def __init__(self, env, *args, rows=24, columns=80):
        self.rows, self.columns = rows, columns
        self.raw = b''
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))
            os.execve(str(BINARY), [str(BINARY), 'top', *args], env)
        self.status = None

    def read(self, seconds=0.3):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if select.select([self.fd], [], [], 0.05)[0]:
                try:
                    piece = os.read(self.fd, 65536)
                except OSError:
                    return False
                if not piece:
                    return False
                self.raw += piece
        return True

    def screen(self):
        """The last whole frame as lines, without colours."""
        self.read()
        frames = [frame for frame in self.raw.split(b'\x1b[H')[1:] if b'\x1b[J' in frame]
        frame = frames[-1] if frames else b''
        return re.sub(rb'\x1b\[[0-9;?]*[A-Za-z]', b'', frame).decode().replace('\r', '').split('\n')

    def wait(self, text, within=30):
        try:
            return http.eventually(lambda: text in '\n'.join(self.screen()) and self.screen(), within=within, what=text)
        except AssertionError as fault:
            raise AssertionError('%s\n%s' % (fault, '\n'.join(self.screen()))) from None

    def press(self, keys):
        os.write(self.fd, keys)

    def resize(self, rows, columns):
        self.rows, self.columns = rows, columns
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))

    def modes(self):
        return termios.tcgetattr(self.fd)[3] & (termios.ECHO | termios.ICANON)

    def end(self):
        """How it ended; the screen and the modes are as they were."""
        while self.read(0.2) and os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            pass
        modes = self.modes()
        _, status = os.waitpid(self.pid, 0)
        self.read(0.1)
        os.close(self.fd)
        self.status = status
        assert not SANITIZER.search(self.raw), self.raw
        assert self.raw.count(ENTER) == self.raw.count(LEAVE) >= 1
        assert self.raw.rfind(LEAVE) > self.raw.rfind(ENTER) and b'\x1b[?25h' in self.raw.rsplit(ENTER, 1)[1]
        assert modes == termios.ECHO | termios.ICANON
        return os.waitstatus_to_exitcode(status)


@pytest.fixture
def top(world):
    made = []

    def start(*args, env=None, **kwargs):
        made.append(Terminal(dict(world.cluster.cli_env, TERM='xterm', **(env or {})), '--interval', '500ms', *args, **kwargs))
        return made[-1]

    yield start
    for terminal in made:
        if terminal.status is None:
            os.kill(terminal.pid, signal.SIGKILL)
            os.waitpid(terminal.pid, 0)


@pytest.fixture(scope='module')
def busy(world):
    """A few turns; a second account that is paused."""
    world.cluster.account('resting', 'stateless', world.upstream.url, '--max-streams', '4')
    world.cluster.cli('account', 'pause', 'resting')
    with http.Client(world.node.url, world.key) as client:
        for _ in range(5):
            client.turn({'model': 'demo', 'input': 'x'})
    http.eventually(lambda: world.cluster.sql('SELECT count(*) FROM posthouse_admin.requests')[0][0] >= 5, within=20)
    return world


def test_picture_and_keys(busy, top):
    screen = top('--admin', busy.node.admin_url)
    lines = screen.wait('turns/s')
    text = '\n'.join(lines)
    assert len(lines) <= 24 and max(map(len, lines)) <= 80
    assert re.search(r'^posthouse  \d\d:\d\d:\d\d  nodes 1  accounts 2  database \d+\.\d ms$', lines[0]), lines[0]
    assert re.search(r'^n1 +alive +0\.\d', text, re.M) and re.search(r'^resting +stateless +paused +0/4', text, re.M), text
    assert re.search(r'^http://127.0.0.1:\d+ +ready +0 streams', text, re.M), text
    assert text.count(' k1 ') >= 5 and 'completed' in text and 'BY NAME' in text
    screen.press(b'a')
    screen.wait('BY USED', within=5)
    screen.press(b't')
    screen.wait('SLOW START', within=5)
    screen.press(b'h')
    screen.wait('pause, and go on', within=5)
    screen.press(b'h')
    screen.wait('BY USED', within=5)
    screen.press(b'p')
    clock = screen.wait('PAUSED', within=5)[0].split()[1]
    time.sleep(2)
    assert screen.screen()[0].split()[1] == clock
    screen.press(b'p')
    http.eventually(lambda: screen.screen()[0].split()[1] != clock, within=10, what='it goes on')
    screen.press(b'q')
    assert screen.end() == 0


def test_any_size(busy, top):
    screen = top()
    screen.wait('turns/s')
    for rows, columns in ((40, 132), (10, 40), (3, 12), (1, 1), (24, 80)):
        screen.resize(rows, columns)
        http.eventually(lambda: max(map(len, screen.screen())) <= columns and len(screen.screen()) <= rows, within=10,
                        what='%d x %d' % (rows, columns))
    screen.wait('turns/s')
    screen.press(b'q')
    assert screen.end() == 0


@pytest.mark.parametrize('number, status', [(signal.SIGINT, 0), (signal.SIGTERM, 143), (signal.SIGHUP, 129),
                                            (signal.SIGQUIT, 131)])
def test_signals(busy, top, number, status):
    screen = top()
    screen.wait('turns/s')
    os.kill(screen.pid, number)
    assert screen.end() == status


def test_control_c(busy, top):
    screen = top()
    screen.wait('turns/s')
    screen.press(b'\x03')
    assert screen.end() == 0


def test_stop_and_go_on(busy, top):
    screen = top()
    screen.wait('turns/s')
    os.kill(screen.pid, signal.SIGTSTP)
    assert os.WIFSTOPPED(os.waitpid(screen.pid, os.WUNTRACED)[1])
    screen.read()
    assert screen.raw.count(LEAVE) == 1 and screen.modes() == termios.ECHO | termios.ICANON
    os.kill(screen.pid, signal.SIGCONT)
    http.eventually(lambda: screen.read(0.2) and screen.raw.count(ENTER) == 2, within=10, what='back')
    screen.wait('turns/s')
    screen.press(b'q')
    assert screen.end() == 0


def test_colours(busy, top):
    screen = top()
    screen.wait('alive')
    assert b'\x1b[32m' in screen.raw
    screen.press(b'q')
    assert screen.end() == 0
    screen = top(env={'NO_COLOR': '1'})
    screen.wait('alive')
    assert b'\x1b[3' not in screen.raw and b'\x1b[1m' not in screen.raw
    screen.press(b'q')
    assert screen.end() == 0


def test_once(busy):
    done = busy.cluster.cli('top', '--once', '--admin', busy.node.admin_url, '--admin', 'http://127.0.0.1:%d' % free_port())
    text = done.stdout.decode()
    assert done.stderr == b'' and '\x1b' not in text and max(map(len, text.splitlines())) <= 100
    for word in ('turns/s', 'NODE', 'ACCOUNT', 'SLOWEST', 'resting', 'ready', 'away'):
        assert word in text, text


def test_refuses(busy):
    for args, word in (((), '--once'), (('--interval', '1ms'), '--interval'), (('--admin', 'ftp://x'), '--admin'),
                       (('--once', '--interval', 'soon'), '--interval')):
        done = busy.cluster.cli('top', *args, check=False)
        assert (done.returncode, done.stdout) == (2, b'') and word in done.stderr.decode(), done


def test_the_database_goes_and_comes(busy, top):
    """The old picture stays, with the reason; it goes on by itself."""
    proxy = netproxy.Proxy(('127.0.0.1', busy.cluster.postgres.port))
    try:
        dsn = busy.cluster.postgres.dsn(busy.cluster.database, port=proxy.port)
        screen = top(env={'POSTHOUSE_DATABASE_URL': dsn})
        screen.wait('alive')
        proxy.cut()
        lines = screen.wait('database: ', within=20)
        assert 'alive' in '\n'.join(lines)
        proxy.mend()
        http.eventually(lambda: re.search(r'database \d', screen.screen()[0]), within=30, what='the database is back')
        screen.press(b'q')
        assert screen.end() == 0
    finally:
        proxy.close()
