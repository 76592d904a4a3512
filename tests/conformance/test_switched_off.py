# SPDX-License-Identifier: Apache-2.0
"""POSTHOUSE_WEBSOCKET=off: each client that asks for a socket hears so before the upgrade. Codex goes on over HTTP at once and
silently; openai-node was told to use a socket, and says that it cannot. The Agents SDK is left out: after any refused
upgrade, whatever its headers, version 0.20 on node 22 waits for ever for its socket to close."""
import json

import pytest

import peers
from peers import Codex, shell_call, texts


@pytest.fixture(scope='module')
def world(make_cluster, clients):
    return peers.World(make_cluster, clients, POSTHOUSE_WEBSOCKET='off')


def test_codex_goes_on_over_http(fresh):
    codex, one, two = Codex(fresh, 'platform', websocket=True), *fresh.nodes
    codex.exec(one, 'go and look ' + shell_call('echo here')).check()
    assert fresh.turns() == 2
    codex.exec(two, 'and then?', resume=True).check()
    assert fresh.turns() == 3


def test_sdk_is_refused(fresh):
    turn, = fresh.play('openai', 'any', texts('socket', 'one'))
    assert '426' in turn['error']['message'], turn
    assert fresh.turns() == 0


def test_refusal_is_plain_http(fresh):
    answer, = fresh.play('ws', 'any', [{'how': 'upgrade'}])
    assert (answer['status'], answer['headers']['upgrade']) == (426, 'websocket')
    assert json.loads(answer['body'])['error']['code'] == 'websocket_unavailable'
