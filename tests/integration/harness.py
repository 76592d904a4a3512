# SPDX-License-Identifier: Apache-2.0
"""Processes of the black-box tests: a throw-away PostgreSQL, nodes, the command line, the fake upstream.

Every process is started here and stopped by its own id. A node that does not end with status 0 on SIGTERM, a sanitizer
report in any log, or a secret in any log fails the test that owns the cluster.
"""
import contextlib
import glob
import itertools
import os
import pathlib
import pwd
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import psycopg

import client as http
import fake_upstream

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get('POSTHOUSE_TEST_BUILD', ROOT / 'build' / 'asan'))
BINARY = BUILD / 'posthouse'
SCALE = float(os.environ.get('POSTHOUSE_TEST_SCALE', '1'))
SEED = int(os.environ.get('POSTHOUSE_TEST_SEED', '1'))
NODE_ROLE = 'posthouse_node'
KNOWN = 0.5  # seconds until every node has heard of a change: ten times the promise

SANITIZER = re.compile(rb'ERROR: (Address|Leak|UndefinedBehavior)Sanitizer|runtime error:|Assertion .* failed')


def count(full):
    """How often to do what a "Done when" asks full times: a twentieth, all of it in ./dev soak."""
    return max(1, round(full * SCALE / 20))


def figure(text):
    """A measured figure: ./dev shows these lines when all is done (tests/junit.py)."""
    print('figure: ' + text)


def seeded(name):
    return random.Random('%d %s' % (SEED, name))


BLOCK = 1000


def claim_ports():
    """A block of ports for this process alone: its first port is held for as long as it lives, so that tests that run side
    by side, of this run or another, never start a server where one of theirs is about to start."""
    for first in range(10000, 32000, BLOCK):
        with contextlib.suppress(OSError):
            return socket.create_server(('127.0.0.1', first)), itertools.cycle(range(first + 1, first + BLOCK))
    raise RuntimeError('22 processes run tests already')


HELD, PORTS = claim_ports()


def free_port():
    """Below the ports that the kernel gives to connections, and of this process alone: what is free now is still free when a
    server gets there."""
    for port in PORTS:
        with contextlib.suppress(OSError), socket.create_server(('127.0.0.1', port)):
            return port


def clean_environment():
    """The caller's, without what would configure posthouse or libpq."""
    return {name: value for name, value in os.environ.items()
            if not name.startswith(('POSTHOUSE_', 'PG')) and name != 'DATABASE_URL'}


class Postgres:
    """A server of its own, in a temporary directory, on a UNIX socket and a loopback port. As root it runs as the user
    postgres, for PostgreSQL refuses to run as root."""

    def __init__(self, directory='/tmp', settings='fsync = off'):
        programs = sorted(glob.glob('/usr/lib/postgresql/*/bin'), key=lambda p: int(p.split('/')[4]))
        assert programs, 'no PostgreSQL server is installed'
        self.programs = programs[-1]
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix='ph-pg-', dir=directory))
        self.as_user = []
        if os.geteuid() == 0:
            user = pwd.getpwnam('postgres')
            os.chown(self.dir, user.pw_uid, user.pw_gid)
            self.as_user = ['runuser', '-u', 'postgres', '--']
        self.port = free_port()
        self.log = self.dir / 'log'
        self.days = 0  # its clock runs that far ahead
        self.run('initdb', '-D', self.dir / 'data', '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C.UTF-8',
                 '--no-sync')
        with open(self.dir / 'data' / 'postgresql.conf', 'a', encoding='utf-8') as conf:
            conf.write("\nlisten_addresses = '127.0.0.1'\nport = %d\nunix_socket_directories = '%s'\n"
                       "max_connections = 200\nlog_min_messages = warning\njit = off\n%s\n" % (self.port, self.dir, settings))
        self.names = itertools.count(1)
        self.start()

    def run(self, program, *args, prefix=()):
        done = subprocess.run(self.as_user + list(prefix) + [os.path.join(self.programs, program)] + [str(a) for a in args],
                              cwd='/tmp', stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        assert done.returncode == 0, done.stdout.decode()

    def start(self):
        clock = []
        if self.days:
            library, = glob.glob('/usr/lib/*/faketime/libfaketime.so.1')
            clock = ['env', 'LD_PRELOAD=' + library, 'FAKETIME=+%dd' % self.days, 'FAKETIME_DONT_FAKE_MONOTONIC=1']
        self.run('pg_ctl', '-D', self.dir / 'data', '-l', self.log, '-w', '-t', '60', '-s', 'start', prefix=clock)

    def advance(self, days):
        """Sets the server's clock forward; it is restarted for that."""
        self.days += days
        self.stop()
        self.start()

    def stop(self, mode='fast'):
        self.run('pg_ctl', '-D', self.dir / 'data', '-m', mode, '-w', '-t', '60', '-s', 'stop')

    @property
    def pid(self):
        return int((self.dir / 'data' / 'postmaster.pid').read_text(encoding='ascii').split('\n', maxsplit=1)[0])

    def kill9(self):
        """The postmaster dies without a word; its children notice and end. It is gone when it was reaped too: until then
        a new one believes that it runs."""
        pid = self.pid
        os.kill(pid, signal.SIGKILL)
        http.eventually(lambda: not os.path.exists('/proc/%d' % pid) and not self.children_left(), within=30,
                        what='postgres processes gone')

    def children_left(self):
        """Whether a process still works in this cluster's data directory."""
        data = str(self.dir / 'data')
        for link in glob.glob('/proc/[0-9]*/cwd'):
            with contextlib.suppress(OSError):
                if os.readlink(link) == data:
                    return True
        return False

    def dsn(self, database, user='postgres', port=None):
        if port is not None:
            return 'host=127.0.0.1 port=%d dbname=%s user=%s' % (port, database, user)
        return 'host=%s port=%d dbname=%s user=%s' % (self.dir, self.port, database, user)

    def sql(self, database, text, *args):
        """Runs a statement as superuser; rows as tuples, or None."""
        with psycopg.connect(self.dsn(database), autocommit=True) as conn:
            cursor = conn.execute(text, args or None)
            return cursor.fetchall() if cursor.description else None

    def create(self, template=None):
        name = 'test_%d' % next(self.names)
        if template:  # the server may need a moment to notice that who prepared it has ended
            http.eventually(lambda: not self.sql('postgres', 'SELECT 1 FROM pg_stat_activity WHERE datname = %s', template),
                            within=60, what='nobody connected to the template')
        self.sql('postgres', 'CREATE DATABASE %s%s' % (name, ' TEMPLATE ' + template if template else ''))
        return name

    def close(self):
        with contextlib.suppress(Exception):
            self.stop('immediate')
        shutil.rmtree(self.dir, ignore_errors=True)


class Process:
    """A program with its log in a file."""

    def __init__(self, name, args, env, directory):
        self.name = name
        self.args = [str(a) for a in args]
        self.env = env
        self.log = pathlib.Path(directory) / (name.replace('/', '_') + '.log')
        self.popen = None

    def spawn(self):
        with open(self.log, 'ab') as log:
            self.popen = subprocess.Popen(self.args, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    @property
    def pid(self):
        return self.popen.pid

    @property
    def running(self):
        return self.popen is not None and self.popen.poll() is None

    def signal(self, number):
        self.popen.send_signal(number)

    def wait(self, timeout=30):
        return self.popen.wait(timeout)

    def kill9(self):
        self.popen.kill()
        self.popen.wait(10)

    def text(self):
        return self.log.read_bytes() if self.log.exists() else b''

    def tail(self, size=3000):
        return self.text()[-size:].decode('utf-8', 'replace')


class Node(Process):
    """posthouse serve."""

    def __init__(self, cluster, name, env, args=()):
        self.port, self.admin_port = free_port(), free_port()
        self.admin_url = 'http://127.0.0.1:%d' % self.admin_port
        full = dict(cluster.node_env, **env)
        self.url = '%s://127.0.0.1:%d' % ('https' if 'POSTHOUSE_TLS_CERT_FILE' in full else 'http', self.port)
        full.update(POSTHOUSE_LISTEN='127.0.0.1:%d' % self.port, POSTHOUSE_NODE_NAME=name,
                    POSTHOUSE_ADMIN_LISTEN='127.0.0.1:%d' % self.admin_port)
        super().__init__(name, [BINARY, 'serve', *args], full, cluster.dir)

    def start(self, ready=True):
        self.spawn()
        if ready:
            self.wait_ready()
        return self

    def admin(self, path):
        return http.once(self.admin_url, None, 'GET', path, timeout=5)

    def ready(self):
        try:
            return self.admin('/readyz').status == 200
        except OSError:
            return False

    def wait_ready(self, within=30):
        until = time.monotonic() + within
        while not self.ready():
            assert self.running, '%s ended with %s\n%s' % (self.name, self.popen.returncode, self.tail())
            assert time.monotonic() < until, '%s is not ready\n%s' % (self.name, self.tail())
            time.sleep(0.02)

    def metric(self, name, **labels):
        """The sum of a metric's samples that carry these labels."""
        total = 0.0
        for line in self.admin('/metrics').body.decode().splitlines():
            found = re.match(r'^([a-z_]+)(?:\{(.*)\})? (\S+)$', line)
            if not found or found.group(1) != name:
                continue
            have = dict(re.findall(r'([a-z_]+)="([^"]*)"', found.group(2) or ''))
            if all(have.get(label) == value for label, value in labels.items()):
                total += float(found.group(3))
        return total

    def workers(self):
        """Process ids of those that serve; the process that was started watches over them."""
        with open('/proc/%d/task/%d/children' % (self.pid, self.pid), encoding='ascii') as children:
            return [int(pid) for pid in children.read().split()]

    def fds(self):
        return sum(len(os.listdir('/proc/%d/fd' % pid)) for pid in self.workers())

    def rss_kib(self):
        total = 0
        for pid in self.workers():
            with open('/proc/%d/status' % pid, encoding='ascii') as status:
                total += int(re.search(r'VmRSS:\s+(\d+)', status.read()).group(1))
        return total

    def kill9(self):
        """All of it, the worker first: that is where turns are."""
        for pid in [*self.workers(), self.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.popen.wait(10)

    def stop(self, timeout=30, expect=0, asked=False):
        if not self.running:
            return
        if not asked:
            self.signal(signal.SIGTERM)
        try:
            status = self.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill9()
            raise AssertionError('%s did not end on SIGTERM\n%s' % (self.name, self.tail())) from None
        assert status == expect, '%s ended with %s\n%s' % (self.name, status, self.tail())


class FakeUpstream(fake_upstream.FakeUpstream):
    """tests/upstream: accounts that know only what they were told. accounts: list of (name, kind), without keys, each
    at a base URL of its own."""

    def __init__(self, accounts, *args):
        super().__init__(['%s:%s' % pair for pair in accounts], *args, program=str(BUILD / 'fake-upstream'))

    def base(self, name):
        return self.base_url(name, named=True)

    def accounts(self):
        return self.stats()['accounts']

    def close(self):
        status = self.stop()
        assert status == 0, 'the fake upstream ended with %d: a live handle, or a sanitizer report above' % status


class Cluster:
    """One database, the accounts and keys in it, and the nodes that use it."""

    UPSTREAM_SECRET = 'sk-canary-upstream-6f1e0c2b7d'
    MASTER_KEY = 'bWFzdGVyLWtleS1jYW5hcnktZm9yLXRlc3RzLTEyMzQ='  # 32 bytes

    # Nobody asks accounts in the background, so that what an upstream saw is what a test did; tests of that say otherwise.
    QUIET = {'POSTHOUSE_USAGE_INTERVAL': '0', 'POSTHOUSE_MODELS_INTERVAL': '0'}

    def __init__(self, postgres, directory, template, env=None):
        self.postgres = postgres
        self.dir = pathlib.Path(directory)
        self.database = postgres.create(template)
        self.nodes = []
        self.draining = None
        self.secrets = {self.UPSTREAM_SECRET, self.MASTER_KEY}
        self.others = []  # things with close()
        base = clean_environment()
        base.update(POSTHOUSE_MASTER_KEY=self.MASTER_KEY, POSTHOUSE_LOG_LEVEL='debug', HOME=str(self.dir),
                    ASAN_OPTIONS='detect_leaks=1:exitcode=99', UBSAN_OPTIONS='print_stacktrace=1')
        self.cli_env = dict(base, POSTHOUSE_DATABASE_URL=postgres.dsn(self.database))
        self.node_env = dict(base, POSTHOUSE_DATABASE_URL=postgres.dsn(self.database, NODE_ROLE), **dict(self.QUIET, **(env or {})))

    # ---- the command line ----

    def cli(self, *args, check=True, stdin=None, env=None):
        done = subprocess.run([str(BINARY), *[str(a) for a in args]], env=dict(self.cli_env, **(env or {})),
                              input=stdin, capture_output=True, timeout=120, check=False)
        assert not SANITIZER.search(done.stderr), done.stderr.decode()
        if check:
            assert done.returncode == 0, (args, done.returncode, done.stdout, done.stderr)
        self.scan('output of %s' % (args,), done.stderr)
        return done

    def key(self, name, *options):
        done = self.cli('key', 'create', name, *options)
        lines = done.stdout.decode().splitlines()
        assert len(lines) == 1, done.stdout
        self.secrets.add(lines[0])
        return lines[0]

    def account(self, name, kind, base_url, *options, secret=UPSTREAM_SECRET):
        if secret is None:
            return self.cli('account', 'add', name, '--kind', kind, '--base-url', base_url, *options)
        return self.cli('account', 'add', name, '--kind', kind, '--base-url', base_url, '--api-key-file', '-', *options,
                        stdin=secret.encode() + b'\n')

    def sql(self, text, *args):
        return self.postgres.sql(self.database, text, *args)

    def fresh(self):
        """Every account is well, whatever was learnt of it and may yet be on its way, and no fake upstream has counted anything."""
        for thing in self.others:
            if isinstance(thing, FakeUpstream):
                thing.reset()
        while self.sql("SELECT posthouse_admin.resume_account(name) FROM posthouse_admin.accounts "
                       "WHERE state <> 'active' OR health <> 'active'"):
            time.sleep(KNOWN)

    def use(self, *names):
        """Only these accounts serve."""
        self.sql('SELECT posthouse_admin.resume_account(name) FROM posthouse_admin.accounts WHERE name = ANY(%s)', list(names))
        self.sql('SELECT posthouse_admin.pause_account(name) FROM posthouse_admin.accounts WHERE name <> ALL(%s)', list(names))
        time.sleep(KNOWN)

    # ---- nodes ----

    def node(self, name=None, env=None, args=(), start=True, ready=True):
        node = Node(self, name or 'n%d' % (len(self.nodes) + 1), env or {}, args)
        self.nodes.append(node)
        if start:
            node.start(ready)
        return node

    def own(self, thing):
        self.others.append(thing)
        return thing

    # ---- the end ----

    def scan(self, name, text):
        found = SANITIZER.search(text)
        assert not found, '%s: %s' % (name, text[found.start():found.start() + 4000].decode('utf-8', 'replace'))
        for secret in self.secrets:
            assert secret.encode() not in text, 'a secret stands in %s' % name

    def drain(self):
        """All that run, at once: a drain takes seconds, and a second signal would cut it short."""
        if self.draining is None:
            self.draining = [node for node in self.nodes if node.running]
            for node in self.draining:
                node.signal(signal.SIGTERM)

    def close(self):
        faults = []
        self.drain()
        for node in self.draining:
            try:
                node.stop(asked=True)
            except AssertionError as fault:
                faults.append(str(fault))
        for thing in self.others:
            thing.close()
        for node in self.nodes:
            try:
                self.scan(node.log, node.text())
            except AssertionError as fault:
                faults.append(str(fault))
        with contextlib.suppress(psycopg.Error):
            self.postgres.sql('postgres', 'DROP DATABASE IF EXISTS %s WITH (FORCE)' % self.database)
        assert not faults, '\n'.join(faults)
