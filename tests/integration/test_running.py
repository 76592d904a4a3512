# SPDX-License-Identifier: Apache-2.0
"""Turns that run: each node tells the cluster which of its own have lasted longest, and nobody goes on telling of one that is over."""
import json
import threading
import time

import pytest

import client as http
from harness import FakeUpstream

LASTS = 12000  # milliseconds that upstream says nothing
WITHIN = 25    # seconds in which a node tells, or what it told is forgotten


class World:
    def __init__(self, cluster):
        self.cluster = cluster
        self.upstream = cluster.own(FakeUpstream([('p1', 'platform')]))
        cluster.account('p1', 'platform', self.upstream.base('p1'))
        self.key = cluster.key('k1')
        self.nodes = [cluster.node('n1'), cluster.node('n2')]

    def start(self, node, request_id, **do):
        """A turn in a thread of its own; its end is of no interest."""
        def run():
            try:
                with http.Client(node.url, self.key) as api:
                    api.post({'model': 'demo', 'input': 'x', 'stream': True}, headers={'X-Request-Id': request_id})
            except (OSError, http.http.client.HTTPException):
                pass
        self.upstream.script('p1', do)
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def running(self):
        return {row[0]: row[1:] for row in self.cluster.sql(
            'SELECT request_id, node, key_name, model, account, state, shown, duration_ms FROM posthouse_admin.running_turns')}


@pytest.fixture(scope='module')
def world(make_cluster):
    return World(make_cluster())


def test_at_rest(world):
    """A node that does nothing writes nothing."""
    with http.Client(world.nodes[0].url, world.key) as api:
        api.turn({'model': 'demo', 'input': 'x'})
    def written():
        return world.cluster.sql('SELECT max(written) FROM posthouse_admin.traffic')[0][0]
    http.eventually(written, within=WITHIN)
    http.eventually(lambda: (lambda before: time.sleep(7) or written() == before)(written()), within=60, what='it rests')
    assert world.cluster.sql('SELECT count(*) FROM posthouse.running_turns') == [(0,)]


def test_while_it_runs(world):
    waits = world.start(world.nodes[0], 'waits', first_delay_ms=LASTS)
    turn = http.eventually(lambda: world.running().get('waits'), within=WITHIN, what='it is told of')
    assert turn[:6] == ('n1', 'k1', 'demo', 'p1', 'await', False) and turn[6] > 1000, turn
    told = json.loads(world.nodes[1].admin('/status.json').body)['cluster']['running']
    assert [r['request_id'] for r in told] == ['waits'] and told[0]['first_event_ms'] is None, told
    screen = world.cluster.cli('top', '--once').stdout.decode().split('\nRUNNING ')[1]
    assert ' await' in screen and ' k1 ' in screen, screen
    waits.join(60)
    http.eventually(lambda: not world.running(), within=WITHIN, what='it is over')
    assert not json.loads(world.nodes[1].admin('/status.json').body)['cluster']['running']


def test_while_its_answer_passes(world):
    passes = world.start(world.nodes[1], 'passes', deltas=12, delay_ms=1000)
    turn = http.eventually(lambda: (lambda t: t and t[4] == 'relay' and t)(world.running().get('passes')), within=WITHIN)
    assert turn[0] == 'n2' and turn[5] is True, turn
    passes.join(60)


def test_of_a_dead_node(world):
    world.start(world.nodes[1], 'dies', first_delay_ms=120000)
    http.eventually(lambda: world.running().get('dies'), within=WITHIN)
    world.nodes[1].kill9()
    http.eventually(lambda: not world.running(), within=WITHIN, what='it is forgotten')
