# SPDX-License-Identifier: Apache-2.0
"""What is measured, and what it stands on: PostgreSQL that syncs, fake upstreams, nginx and HAProxy as equal relays,
nodes. Everything listens on loopback, lives in temporary directories, and is stopped by its own process id.

Equal work: each relay keeps its connections, sets the upstream's Authorization, buffers no answer and delays no event.
"""
import os
import pathlib
import re
import resource
import subprocess
import time

import psycopg

import authority
import client as http
import harness

import machine

UPSTREAM_KEY = 'Bearer sk-upstream'
ID_LENGTH = 32  # of the part that all ids of a run share: with it they are about as long as OpenAI's

NGINX = """
daemon off;
worker_processes 1;
worker_rlimit_nofile %(files)d;
%(user)s
pid %(dir)s/nginx.pid;
error_log %(dir)s/nginx.log warn;
events { worker_connections %(connections)d; }
http {
    access_log off;
    client_body_temp_path %(dir)s/nginx-body;
    proxy_temp_path %(dir)s/nginx-proxy;
    fastcgi_temp_path %(dir)s/nginx-fastcgi;
    uwsgi_temp_path %(dir)s/nginx-uwsgi;
    scgi_temp_path %(dir)s/nginx-scgi;
    client_max_body_size 0;
    client_body_buffer_size 1m;
    keepalive_requests 1000000000;
    keepalive_timeout 3600s;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Authorization "%(key)s";
    proxy_buffering off;
    proxy_read_timeout 3600s;
%(servers)s
}
"""
NGINX_SERVER = """
    upstream %(name)s { server %(to)s; keepalive 1024; keepalive_requests 1000000000; keepalive_timeout 3600s; }
    server { listen %(listen)s backlog=4096%(in)s; location / { proxy_pass %(scheme)s://%(name)s; %(out)s } }
"""
NGINX_IN = ' ssl; ssl_certificate %(cert)s; ssl_certificate_key %(key)s; ssl_protocols TLSv1.2 TLSv1.3; ssl_session_tickets on'
NGINX_OUT = 'proxy_ssl_protocols TLSv1.2 TLSv1.3; proxy_ssl_verify on; proxy_ssl_trusted_certificate %(ca)s; ' \
            'proxy_ssl_name localhost;'
HAPROXY = """
global
    nbthread 1
    maxconn %(connections)d
defaults
    mode http
    http-reuse always
    option http-no-delay
    option http-ignore-probes
    timeout connect 5s
    timeout client 3600s
    option abortonclose
    timeout client-fin 1s
    timeout server 3600s
%(servers)s
"""
HAPROXY_SERVER = """
frontend %(name)s-in
    bind %(listen)s backlog 4096%(in)s
    http-request set-header Authorization "%(key)s"
    default_backend %(name)s
backend %(name)s
    server upstream %(to)s pool-max-conn -1%(out)s
"""
HAPROXY_IN = ' ssl crt %(both)s'
HAPROXY_OUT = ' ssl ca-file %(ca)s verify required verifyhost localhost'

# Where a relay speaks TLS: nowhere, to its clients, to its upstream.
PLAIN, TLS_IN, TLS_OUT = 'plain', 'in', 'out'


class Database(harness.Postgres):
    """As the tests' own, but what it has committed is on the disk."""

    SETTINGS = 'fsync = on\nsynchronous_commit = on\nfull_page_writes = on\nshared_buffers = 512MB\nmax_wal_size = 4GB'

    def __init__(self, directory):
        super().__init__(directory, self.SETTINGS)

    def version(self):
        return self.sql('postgres', 'SHOW server_version')[0][0].split()[0]


class Relay:
    """Somebody through whom requests go. chain: the address at which the scripted upstream is behind it. node: of ours.
    key: the name of the key that its turns come with. ca: who signed its certificate, where it speaks TLS."""

    def __init__(self, name, address, roots, chain, node=None, key='none', ca=None):
        self.name, self.address, self.roots, self.chain, self.node, self.key = name, address, roots, chain, node, key
        self.url = '%s://%s' % ('https' if ca else 'http', address)
        self.tls = {'ca': ca} if ca else {}  # options of bench-client


class Program(harness.Process):
    def __init__(self, name, args, directory):
        super().__init__(name, args, dict(os.environ), directory)

    def begin(self, address):
        self.spawn()
        host, _, port = address.rpartition(':')
        until = time.monotonic() + 10
        while not self.answers(host, int(port)):
            if not self.running or time.monotonic() > until:
                raise AssertionError('%s did not start: %s' % (self.name, self.tail()))
            time.sleep(0.05)
        return self

    @staticmethod
    def answers(host, port):
        try:
            with http.socket.create_connection((host, port), timeout=1):
                return True
        except OSError:
            return False

    def end(self):
        if self.running:
            self.signal(harness.signal.SIGTERM)
            try:
                self.wait(10)
            except subprocess.TimeoutExpired:
                self.kill9()


class Stack:
    def __init__(self, directory, state, cores):
        self.dir, self.cores = pathlib.Path(directory), cores
        self.programs, self.upstreams, self.retired = [], [], []
        self.run = 0
        self.tls = self.certificate()
        self.postgres = Database(state)  # its user cannot enter a directory of ours
        try:
            self.open()
        except BaseException:
            self.close()
            raise

    def open(self):
        self.cluster = harness.Cluster(self.postgres, self.dir, None, {'POSTHOUSE_LOG_LEVEL': 'info'})
        self.cluster.cli('migrate')
        self.canned = self.upstream([('p', 'platform')], '--no-record')
        self.bulk = self.upstream([('p', 'platform')], '--no-record')  # what neighbours suffer from
        self.scripted = self.upstream([('p', 'platform'), ('s', 'stateless')], '--no-record')
        self.front = self.make_haproxy(TLS_IN, self.cores.upstream)  # the canned upstream, as it is reached by TLS
        self.cluster.account('canned', 'platform', self.canned.base('p'))
        self.cluster.account('front', 'platform', self.front.url + self.canned.base('p').split(self.canned.address)[1])
        self.cluster.account('bulk', 'platform', self.bulk.base('p'))
        self.cluster.account('chain', 'platform', self.scripted.base('p'))
        self.cluster.account('replay', 'stateless', self.scripted.base('s'))
        self.keys = {name: self.cluster.key(name, '--account', account, '--snapshots', snapshots)
                     for name, account, snapshots in [('none', 'canned', 'none'), ('all', 'canned', 'all'), ('bulk', 'bulk', 'none'),
                                                      ('front', 'front', 'none'), ('chain', 'chain', 'all'),
                                                      ('replay', 'replay', 'all')]}
        self.keys['gone'] = self.cluster.key('gone')
        self.cluster.cli('key', 'revoke', 'gone')
        self.watch = psycopg.connect(self.postgres.dsn(self.cluster.database), autocommit=True)
        machine.pin([self.postgres.pid], self.cores.database)
        self.node = self.posthouse('posthouse')
        self.nginx, self.haproxy = self.make_nginx(), self.make_haproxy()
        self.direct = Relay('direct', self.canned.address, [self.canned.process.pid], self.scripted.address)

    def certificate(self):
        """One pair for all who speak TLS; ECDSA, P-256. Names of files."""
        signer = authority.Authority(self.dir)
        cert, key = signer.issue('localhost', 'DNS:localhost,IP:127.0.0.1')
        both = self.dir / 'both.pem'
        both.write_bytes(cert.read_bytes() + key.read_bytes())
        return {'ca': signer.cert, 'cert': cert, 'key': key, 'both': both}

    # ---- what relays ----

    def servers(self, template, way, words_in, words_out):
        """Where it listens, and its configuration for that: for the canned upstream, and for the scripted one."""
        listen = ['127.0.0.1:%d' % harness.free_port() for _ in range(2)]
        canned = self.front.address if way == TLS_OUT else self.canned.address
        words = {'key': UPSTREAM_KEY, 'in': words_in % self.tls if way == TLS_IN else '',
                 'out': words_out % self.tls if way == TLS_OUT else '', 'scheme': 'https' if way == TLS_OUT else 'http'}
        return listen, ''.join(template % {'name': name, 'to': to, 'listen': at, **words} for at, name, to in zip(
            listen, ('canned', 'scripted'), (canned, self.scripted.address)))

    def program(self, name, args, way, listen, cores=None):
        program = Program('%s-%d' % (name, len(self.programs)), args, self.dir)
        self.programs.append(program)
        program.begin(listen[0])
        machine.pin([program.pid], cores or self.cores.gateway)
        return Relay(name, listen[0], [program.pid], listen[1], ca=self.tls['ca'] if way == TLS_IN else None)

    def make_nginx(self, way=PLAIN):
        listen, servers = self.servers(NGINX_SERVER, way, NGINX_IN, NGINX_OUT)
        directory = self.dir / ('nginx-%d' % len(self.programs))
        directory.mkdir()
        path = directory / 'nginx.conf'
        path.write_text(NGINX % {'dir': directory, 'files': files(), 'connections': files() - 200, 'key': UPSTREAM_KEY,
                                 'servers': servers, 'user': 'user root;' if os.geteuid() == 0 else ''}, encoding='ascii')
        return self.program('nginx', [find('nginx'), '-c', path, '-e', directory / 'start.log'], way, listen)

    def make_haproxy(self, way=PLAIN, cores=None):
        listen, servers = self.servers(HAPROXY_SERVER, way, HAPROXY_IN, HAPROXY_OUT)
        path = self.dir / ('haproxy-%d.cfg' % len(self.programs))
        path.write_text(HAPROXY % {'connections': files() // 2 - 100, 'servers': servers}, encoding='ascii')
        return self.program('haproxy', [find('haproxy'), '-db', '-f', path], way, listen, cores)

    def make_posthouse(self, way=PLAIN):
        env = {PLAIN: {}, TLS_OUT: {'POSTHOUSE_UPSTREAM_CA_FILE': self.tls['ca']},
               TLS_IN: {'POSTHOUSE_TLS_CERT_FILE': self.tls['cert'], 'POSTHOUSE_TLS_KEY_FILE': self.tls['key']}}[way]
        node = self.posthouse('fresh%d' % len(self.cluster.nodes), **env)
        return self.relay(node, key='front' if way == TLS_OUT else 'none', ca=self.tls['ca'] if way == TLS_IN else None)

    def posthouse(self, name, **env):
        node = self.cluster.node(name, {'POSTHOUSE_WORKERS': '1', **env})
        machine.pin([node.pid], self.cores.gateway)
        return node

    @staticmethod
    def relay(node, name='posthouse', **options):
        address = '127.0.0.1:%d' % node.port
        return Relay(name, address, [node.pid], address, node, **options)

    def retire(self, relay, wait=False):
        """Stops what was made for one measurement. A node accepts connections for a while yet: nobody waits for it, unless
        told to."""
        for program in self.programs:
            if [program.pid] == relay.roots:
                program.end()
        if relay.node:
            relay.node.signal(harness.signal.SIGTERM)
            self.retired.append(relay.node)
        if wait:
            self.await_retired()

    def await_retired(self):
        while self.retired:
            self.retired.pop().stop(asked=True)

    def upstream_files(self):
        return machine.open_files(self.canned.process.pid)

    def await_closed(self, before):
        """Thousands of streams that were left are closed upstream: with those of the next they would be more files than a
        process may have. before: as many as it had."""
        http.eventually(lambda: self.upstream_files() < before + files() // 20, within=60, every=0.1,
                        what='the upstream has closed what was left')

    # ---- what stands behind ----

    def upstream(self, accounts, *args):
        self.run += 1
        upstream = harness.FakeUpstream(accounts, '--run', ('%dx' % self.run).ljust(ID_LENGTH, 'f'), *args)
        self.upstreams.append(upstream)
        machine.pin([upstream.process.pid], self.cores.upstream)
        return upstream

    def can(self, upstream=None, **do):
        """From now on the canned upstream answers so."""
        (upstream or self.canned).account('p', do=dict(do, canned=True))

    def sql(self, text, *args):
        """One value, on a connection that is kept: making one would show in PostgreSQL's figures."""
        found = self.watch.execute(text, args or None).fetchone()
        return found[0] if found else None

    def settle(self, node, within=300):
        """Waits until nothing waits to be written, so that a sample bears all of its cost."""
        http.eventually(lambda: node.metric('posthouse_write_queue_turns') == 0, within=within, every=0.1,
                        what='the write queue is empty')

    def scope(self, key):
        return self.sql('SELECT key_id FROM posthouse.api_keys WHERE name = %s', key)

    def rows(self, table, key):
        return self.sql('SELECT count(*) FROM posthouse.%s WHERE scope = %%s' % table, self.scope(key))

    def wal(self):
        return int(self.sql("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn"))

    def size(self):
        return int(self.sql("SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c JOIN pg_namespace n ON "
                            "n.oid = c.relnamespace WHERE n.nspname = 'posthouse' AND c.relkind = 'r'"))

    def calls(self, function):
        """How often the schema's function was called, by nodes that have ended: only then is it certain."""
        return int(self.sql('SELECT coalesce(sum(calls), 0) FROM pg_stat_user_functions WHERE schemaname = \'posthouse\' '
                            'AND funcname = %s', function))

    def unpin(self, relay):
        machine.pin(relay.roots, self.cores.all)
        machine.pin([self.canned.process.pid, self.postgres.pid], self.cores.all)

    def repin(self, relay):
        machine.pin(relay.roots, self.cores.upstream if relay is self.direct else self.cores.gateway)
        machine.pin([self.canned.process.pid], self.cores.upstream)
        machine.pin([self.postgres.pid], self.cores.database)

    def forget_logs(self):
        """A line for each turn makes gigabytes. Logs are written in append mode."""
        for node in self.cluster.nodes:
            os.truncate(node.log, 0)

    def ours(self):
        return [os.getpid(), self.postgres.pid]

    def close(self):
        for program in self.programs:
            program.end()
        try:
            if hasattr(self, 'watch'):
                self.watch.close()
            if hasattr(self, 'cluster'):
                self.await_retired()
                self.cluster.close()
        finally:
            for upstream in self.upstreams:
                upstream.stop()
            self.postgres.close()


def find(program):
    for directory in [*os.environ.get('PATH', '').split(':'), '/usr/sbin', '/sbin']:
        if os.access(os.path.join(directory, program), os.X_OK):
            return os.path.join(directory, program)
    raise FileNotFoundError('%s is not installed' % program)


def files():
    """Descriptors that a process may have."""
    return min(60000, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def versions(postgres):
    def said(*command):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    found = {'nginx': re.search(r'nginx/(\S+)', said(find('nginx'), '-v')),
             'HAProxy': re.search(r'version (\d[\d.]*)', said(find('haproxy'), '-v')),
             'wrk': re.search(r'wrk (\S+)', said('wrk', '-v'))}
    return {'PostgreSQL': postgres.version(), **{name: m.group(1) if m else '?' for name, m in found.items()}}
