# SPDX-License-Identifier: Apache-2.0
"""Manners of HTTP that clients, proxies and monitors rely on, beside what the Responses API says."""
import pytest

import client as http
import rawupstream as raw

H2C = {'Connection': 'Upgrade, HTTP2-Settings', 'Upgrade': 'h2c', 'HTTP2-Settings': 'AAMAAABkAAQAoAAAAAIAAAAA'}


# ---- RFC 9110, 15.5.6 and 15.5.2 ----

@pytest.mark.parametrize('method, path, allowed', [
    ('PUT', '/v1/responses', 'POST'), ('OPTIONS', '/v1/responses', 'POST'), ('GET', '/v1/responses', 'POST'),
    ('HEAD', '/v1/responses/resp_1', 'GET, DELETE'), ('PUT', '/backend-api/codex/responses/resp_1', 'GET, DELETE'),
    ('GET', '/v1/responses/resp_1/cancel', 'POST'), ('DELETE', '/v1/models', 'GET'), ('POST', '/v1/models/m', 'GET'),
    ('PUT', '/v1/files', 'GET, POST'),
    ('PUT', '/v1/files/file_1', 'GET, HEAD, POST, DELETE'), ('GET', '/v1/conversations', 'POST'),
])
def test_a_wrong_method_is_told_the_right_ones(api, method, path, allowed):
    answer = api.request(method, path)
    assert (answer.status, answer.header('allow')) == (405, allowed), answer
    assert api.get('/v1/models').header('allow') is None  # the next answer on this connection


def test_the_admin_listener_too(world):
    answer = http.once(world.node.admin_url, None, 'POST', '/livez')
    assert (answer.status, answer.header('allow')) == (405, 'GET, HEAD'), answer


@pytest.mark.parametrize('key', [None, 'sk-wrong'])
def test_a_key_is_asked_for(world, key):
    answer = http.once(world.node.url, key, 'GET', '/v1/models')
    assert (answer.status, answer.header('www-authenticate')) == (401, 'Bearer'), answer


# ---- RFC 9110, 7.8 and 7.6.1 ----

@pytest.mark.parametrize('settings', [{}, {'POSTHOUSE_WEBSOCKET': 'off'}])
def test_an_offer_of_http2_is_left_unanswered(world, settings):
    """As Java's HTTP client and curl --http2 make it, with each request that has no body."""
    world.upstream.clear()
    node = world.cluster.node(env=settings) if settings else world.node
    with http.Client(node.url, world.key) as api:
        turn = api.turn({'model': 'demo', 'input': 'x'}, headers=H2C)
        assert api.get('/v1/models', headers=H2C).status == 200
        assert api.get('/v1/responses/' + turn.id, headers=H2C).status == 200
        assert api.request('POST', '/v1/responses/%s/cancel' % turn.id, headers=H2C).status == 400  # it is no background one
        assert api.get('/v1/responses', headers=H2C).status == 405
        assert api.request('DELETE', '/v1/responses/' + turn.id, headers=H2C).status == 200


def test_what_upstream_says_to_its_peer_alone_ends_here(world, api):
    def answer(exchange):
        exchange.answer(200, raw.response(raw.new_id(), output=[raw.message('hello')]), headers=[
            ('Connection', 'keep-alive, X-Hop'), ('X-Hop', '1'), ('Connection', 'X-Other'), ('X-Other', '2'),
            ('X-End', '3')])

    world.upstream.then(answer)
    found = api.turn({'model': 'demo', 'input': 'x'}).answer
    assert [found.header(name) for name in ('x-hop', 'x-other', 'x-end')] == [None, None, '3']
