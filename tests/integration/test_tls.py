# SPDX-License-Identifier: Apache-2.0
"""TLS to upstreams: chain and host name are verified, always; old versions are refused; names go out as SNI."""
import glob
import os
import ssl
import subprocess

import pytest

import client as http


def openssl(*args, clock=None):
    """clock: days that its clock is off, for certificates of the past."""
    env = dict(os.environ)
    if clock:
        env['LD_PRELOAD'], = glob.glob('/usr/lib/*/faketime/libfaketime.so.1')
        env['FAKETIME'] = '%dd' % clock
    subprocess.run(['openssl', *[str(a) for a in args]], check=True, capture_output=True, env=env)


class Authority:
    """A certificate authority and the certificates that it signs."""

    def __init__(self, directory):
        self.dir = directory
        self.cert, self.key = directory / 'ca.pem', directory / 'ca.key'
        openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '3',
                '-subj', '/CN=test authority', '-keyout', self.key, '-out', self.cert)

    def context(self, name, alternative, clock=None):
        key, request, cert, extra = (self.dir / ('%s.%s' % (name, ext)) for ext in ('key', 'csr', 'pem', 'ext'))
        extra.write_text('subjectAltName=%s\n' % alternative, encoding='ascii')
        openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj', '/CN=' + name,
                '-keyout', key, '-out', request)
        openssl('x509', '-req', '-in', request, '-CA', self.cert, '-CAkey', self.key, '-CAcreateserial', '-days', '3',
                '-extfile', extra, '-out', cert, clock=clock)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        return context


@pytest.fixture(scope='module')
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp('ca'))


@pytest.fixture(scope='module')
def world(make_cluster, authority):
    class World:
        cluster = make_cluster({'POSTHOUSE_UPSTREAM_CA_FILE': str(authority.cert), 'POSTHOUSE_CONNECT_TIMEOUT': '2s'})

    World.key = World.cluster.key('k1')
    World.node = World.cluster.node()
    return World


def test_verified(world, make_upstream, authority):
    """By name and by address; the name is sent as SNI; connections are kept."""
    names = []
    context = authority.context('good', 'DNS:localhost,IP:127.0.0.1')
    context.sni_callback = lambda sock, name, ctx: names.append(name)
    upstream = make_upstream(tls=context)
    for host in ('localhost', '127.0.0.1'):
        world.cluster.account('only', 'stateless', 'https://%s:%d/v1' % (host, upstream.port))
        with http.Client(world.node.url, world.key) as api:
            http.eventually(lambda: api.post({'model': 'demo', 'input': 'x'}).status == 200, within=5)
            assert api.turn({'model': 'demo', 'input': 'x' * 3000000, 'stream': True}).status == 'completed'
            assert api.turn({'model': 'demo', 'input': 'x', 'stream': True}).status == 'completed'
    assert 'localhost' in names and None in names, names
    assert len({r.connection for r in upstream.turns()}) < len(upstream.turns())


def refused(world, upstream, url):
    world.cluster.account('only', 'stateless', url)
    with http.Client(world.node.url, world.key) as api:
        # the account of the test before may still answer while the change travels
        http.eventually(lambda: api.post({'model': 'demo', 'input': 'x'}).status != 200, within=10)
        answer = api.post({'model': 'demo', 'input': 'x'})
    assert answer.status == 503 and answer.error['code'] == 'server_error', answer
    assert upstream.requests == [], 'the credential was sent to a server that was not verified'


def test_another_name(world, make_upstream, authority):
    upstream = make_upstream(tls=authority.context('other', 'DNS:other.example'))
    refused(world, upstream, 'https://localhost:%d/v1' % upstream.port)


def test_an_unknown_authority(world, make_upstream, tmp_path):
    upstream = make_upstream(tls=Authority(tmp_path).context('unknown', 'DNS:localhost'))
    refused(world, upstream, 'https://localhost:%d/v1' % upstream.port)


def test_an_expired_certificate(world, make_upstream, authority):
    upstream = make_upstream(tls=authority.context('old', 'DNS:localhost', clock=-9))
    refused(world, upstream, 'https://localhost:%d/v1' % upstream.port)


@pytest.mark.filterwarnings('ignore:ssl.TLSVersion')
def test_old_versions(world, make_upstream, authority):
    context = authority.context('ancient', 'DNS:localhost')
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers('ALL:@SECLEVEL=0')
    upstream = make_upstream(tls=context)
    refused(world, upstream, 'https://localhost:%d/v1' % upstream.port)


def test_plain_text_where_tls_is_meant(world, make_upstream):
    upstream = make_upstream()
    refused(world, upstream, 'https://localhost:%d/v1' % upstream.port)
