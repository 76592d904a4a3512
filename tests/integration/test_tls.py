# SPDX-License-Identifier: Apache-2.0
"""TLS to upstreams: chain and host name are verified, always; old versions are refused; names go out as SNI."""
import ssl

import pytest

import client as http
from authority import Authority


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
    context = authority.server('good', 'DNS:localhost,IP:127.0.0.1')
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
    upstream = make_upstream(tls=authority.server('other', 'DNS:other.example'))
    refused(world, upstream, 'https://localhost:%d/v1' % upstream.port)


def test_an_unknown_authority(world, make_upstream, tmp_path):
    upstream = make_upstream(tls=Authority(tmp_path).server('unknown', 'DNS:localhost'))
    refused(world, upstream, 'https://localhost:%d/v1' % upstream.port)


def test_an_expired_certificate(world, make_upstream, authority):
    upstream = make_upstream(tls=authority.server('old', 'DNS:localhost', clock=-9))
    refused(world, upstream, 'https://localhost:%d/v1' % upstream.port)


@pytest.mark.filterwarnings('ignore:ssl.TLSVersion')
def test_old_versions(world, make_upstream, authority):
    context = authority.server('ancient', 'DNS:localhost')
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers('ALL:@SECLEVEL=0')
    upstream = make_upstream(tls=context)
    refused(world, upstream, 'https://localhost:%d/v1' % upstream.port)


def test_plain_text_where_tls_is_meant(world, make_upstream):
    upstream = make_upstream()
    refused(world, upstream, 'https://localhost:%d/v1' % upstream.port)
