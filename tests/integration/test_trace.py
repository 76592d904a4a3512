# SPDX-License-Identifier: Apache-2.0
"""A client's trace: its header lines reach the account, its id stands in the log beside the request's."""
import json

import pytest

import client as http
from wsclient import Socket

TRACE, SPAN = '4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7'
PARENT, STATE = '00-%s-%s-01' % (TRACE, SPAN), 'rojo=00f067aa0ba902b7,congo=t61rcWkgMzE'
KIND = 'platform'


def line(node, msg, request_id):
    """The log line of that request."""
    def there():
        lines = [json.loads(text) for text in node.text().decode().splitlines() if '"msg":"%s"' % msg in text]
        return next((one for one in lines if one['request_id'] == request_id), None)
    return http.eventually(there, within=10, what='the line "%s" of %s' % (msg, request_id))


@pytest.mark.parametrize('stream', (False, True))
def test_a_turn(world, api, stream):
    answer = api.post({'model': 'demo', 'input': 'x', 'stream': stream}, headers={'traceparent': PARENT, 'tracestate': STATE})
    assert answer.status == 200
    sent, = world.upstream.turns()
    assert sent.header('traceparent') == PARENT and sent.header('tracestate') == STATE
    assert line(world.node, 'turn', answer.header('x-request-id'))['trace_id'] == TRACE


@pytest.mark.parametrize('parent', (None, '00-%s-%s-01' % (TRACE.upper(), SPAN), '00-%s-%s-01' % ('0' * 32, SPAN), 'sk-secret'))
def test_none_that_is_well_formed(world, api, parent):
    """Then the rest of it means nothing either."""
    headers = {'tracestate': STATE}
    if parent:
        headers['traceparent'] = parent
    answer = api.post({'model': 'demo', 'input': 'x'}, headers=headers)
    assert answer.status == 200
    sent, = world.upstream.turns()
    assert sent.header('traceparent') is None and sent.header('tracestate') is None
    assert 'trace_id' not in line(world.node, 'turn', answer.header('x-request-id'))


def test_a_relayed_request(world, api):
    answer = api.request('POST', '/v1/embeddings', {'model': 'demo', 'input': 'x'},
                         headers={'traceparent': PARENT, 'tracestate': STATE})
    sent = world.upstream.requests[-1]
    assert sent.target == '/v1/embeddings' and sent.header('traceparent') == PARENT and sent.header('tracestate') == STATE
    assert line(world.node, 'relay', answer.header('x-request-id'))['trace_id'] == TRACE


def test_turns_of_a_socket(world, api):
    """They belong to the trace that the socket was opened in."""
    assert api
    other = TRACE[::-1]
    with Socket(world.node.url, world.key, headers=[('traceparent', PARENT.replace(TRACE, other))]) as ws:
        http.eventually(lambda: world.node.metric('posthouse_websockets_active') == 1, within=10)
        ws.turn({'model': 'demo', 'input': 'x'})
    http.eventually(lambda: ('"trace_id":"%s"' % other).encode() in world.node.text(), within=10)
    http.eventually(lambda: world.node.metric('posthouse_websockets_active') == 0, within=10)
