# SPDX-License-Identifier: Apache-2.0
"""Codex, when the way to its answer is lost: upgrades that are refused, on its side or upstream; nodes that drain, die, or have
no database yet; sockets that end between a tool's call and its output. It recovers by itself, and what upstream was asked is
counted."""
import contextlib
import socket
import threading
import time
import types

import pytest

from client import eventually
from netproxy import Proxy
from peers import Codex, shell_call
from test_codex_cli import transport, transports  # noqa: F401 pylint: disable=unused-import

LOOK = 'go and look ' + shell_call('sleep 3; echo as the courier said')


@contextlib.contextmanager
def meanwhile(action):
    """Runs beside what the block does; what fails in it fails the test."""
    faults = []

    def run():
        try:
            action()
        except Exception as fault:  # pylint: disable=broad-except
            faults.append(fault)
    thread = threading.Thread(target=run)
    thread.start()
    yield
    thread.join()
    assert not faults, faults


# ---- upgrades that an account refuses ----

def upgrades_of(world, name):
    """How many an account refused."""
    return sum(request['method'] == 'GET' and request['status'] != 101 for request in world.upstream.requests(name))


@pytest.mark.parametrize('status', [404, 405, 426, 501])
def test_account_without_sockets(fresh, websocket, status):  # pylint: disable=unused-argument
    """These say that the path takes none: it is asked over HTTP, and Codex keeps its socket. Nodes remember it of an account, so
    each status has one of its own."""
    name = 'without-%d' % status
    fresh.cluster.account(name, 'platform', fresh.upstream.base('p'))
    fresh.keys[name] = fresh.cluster.key(name, '--account', name)
    fresh.upstream.account('p', upgrade={'status': status})
    codex, (one, two) = Codex(fresh, name, True), fresh.nodes
    codex.exec(one, 'hello').check()
    codex.exec(two, 'and then?', resume=True).check()
    fresh.cluster.cli('account', 'remove', name)
    assert upgrades_of(fresh, 'p') == 2 and fresh.turns() == 2
    assert {request['transport'] for request in fresh.upstream.requests('p') if request['seen']} == {'http'}


@pytest.mark.parametrize('refusal', [
    {'status': 401, 'code': 'invalid_api_key'}, {'status': 403, 'code': 'account_deactivated'}, {'status': 500},
    {'status': 429, 'code': 'rate_limit_exceeded', 'retry_after': 60}, {'status': 429, 'code': 'insufficient_quota'},
    {'status': 503, 'code': 'server_is_overloaded'}, {'fault': 'eof', 'at': 'head'},
], ids=['key', 'closed', 'fault', 'limit', 'money', 'overload', 'end'])
def test_account_refuses_the_upgrade(fresh, websocket, refusal):  # pylint: disable=unused-argument
    """What it says is of the account: another one goes on with the conversation, and Codex notices nothing."""
    codex, (one, two) = Codex(fresh, 'any', True), fresh.nodes
    with fresh.only('platform'):
        codex.exec(one, 'hello').check()
    before = fresh.turns('p')
    fresh.upstream.account('p', upgrade=refusal)
    codex.exec(two, 'and then?', resume=True).check()
    assert upgrades_of(fresh, 'p') > 0 and fresh.turns('p') == before and len(fresh.asked('and then?')) == 1
    fresh.check()


def test_the_only_account_refuses_all_upgrades(fresh, websocket):  # pylint: disable=unused-argument
    """Codex comes back with other sockets, as often as it may, then over HTTP, where it is served."""
    fresh.upstream.account('p', upgrade={'status': 503})
    run = Codex(fresh, 'platform', True, stream_max_retries=1).exec(fresh.nodes[0], 'hello')
    assert run.status == 0 and run.items('agent_message'), (run.events, run.stderr)
    assert fresh.turns() == 1
    assert [request['transport'] for request in fresh.upstream.requests('p') if request['seen']] == ['http']


# ---- upgrades that we refuse ----

def test_a_wrong_path(fresh, websocket):  # pylint: disable=unused-argument
    codex = Codex(fresh, 'any', True, request_max_retries=0, stream_max_retries=1)
    run = codex.exec(types.SimpleNamespace(url=fresh.nodes[0].url + '/nothing'), 'hello')
    assert run.status == 1 and 'Unknown request URL' in ' '.join(run.failures()), (run.events, run.stderr)
    assert fresh.turns() == 0


@transports()
def test_a_node_without_its_database(fresh, postgres, transport):  # noqa: F811 pylint: disable=redefined-outer-name
    """503 before the upgrade, and for requests: Codex waits until the database is there."""
    proxy = fresh.cluster.own(Proxy(('127.0.0.1', postgres.port)))
    proxy.cut()
    url = postgres.dsn(fresh.cluster.database, 'posthouse_node', proxy.port)
    node = fresh.cluster.node('away', env={'POSTHOUSE_DATABASE_URL': url}, ready=False)

    def listens():
        with contextlib.suppress(OSError), socket.create_connection(('127.0.0.1', node.port), timeout=1):
            return True
    eventually(listens, within=20, what='the node listens')

    def later():
        time.sleep(2)
        proxy.mend()
    with meanwhile(later):
        run = Codex(fresh, 'stateless', transport == 'websocket').exec(node, 'hello')
    assert run.status == 0 and run.items('agent_message'), (run.events, run.stderr)
    assert fresh.turns() == 1
    node.stop()


# ---- what ends while a tool runs ----

@pytest.fixture
def way(fresh):
    """An address for two nodes: it leads to a third one, until it is told to lead to the first."""
    node = fresh.cluster.node()
    proxy = Proxy(('127.0.0.1', node.port))
    yield types.SimpleNamespace(url='http://127.0.0.1:%d' % proxy.port, node=node, proxy=proxy)
    proxy.close()
    node.stop()


def lose_the_node(world, way, lose):  # pylint: disable=redefined-outer-name
    def act():
        eventually(lambda: len(world.asked('go and look')) == 1, within=30, what='the first turn')
        time.sleep(0.5)  # it is told, and the tool runs
        way.proxy.target = ('127.0.0.1', world.nodes[0].port)
        lose()
    return act


@transports()
@pytest.mark.parametrize('kind', ['platform', 'codex', 'stateless'])
@pytest.mark.parametrize('how', ['drained', 'killed'])
def test_the_node_goes_away(fresh, way, transport, kind, how):  # noqa: F811 pylint: disable=redefined-outer-name
    """Over a WebSocket Codex comes back with its whole history; over HTTP it had none to lose."""
    codex = Codex(fresh, kind, transport == 'websocket')
    lose = way.node.kill9 if how == 'killed' else lambda: way.node.stop()
    with meanwhile(lose_the_node(fresh, way, lose)):
        run = codex.exec(way, LOOK)
    assert run.status == 0, (run.events, run.stderr)
    history = codex.history()
    assert [item['type'] for item in history if item['type'].startswith('function_call')] == ['function_call', 'function_call_output']
    assert len(fresh.asked('function_call_output')) == 1
    assert len(fresh.asked('go and look')) <= 2
    fresh.check()


@pytest.mark.parametrize('snapshots', ['all', 'none'])
@pytest.mark.parametrize('how', ['close', 'abort', 'limit'])
def test_the_account_ends_its_socket(fresh, websocket, how, snapshots):  # pylint: disable=unused-argument
    """Between two turns. With a snapshot nobody notices; without one the id is lost, and Codex sends all it has."""
    key = 'snapshots-%s-%s' % (snapshots, how)
    fresh.keys[key] = fresh.cluster.key(key, '--snapshots', snapshots, '--account', 'p')
    codex = Codex(fresh, key, True)
    ends = {'close': {'close': 1001}, 'abort': {'abort': True}, 'limit': {}}[how]

    def act():
        eventually(lambda: len(fresh.asked('go and look')) == 1, within=30, what='the first turn')
        time.sleep(0.5)
        if how == 'limit':
            fresh.upstream.account('p', do={'max_turns': 1})
        else:
            assert fresh.upstream.socket('p', **ends) == 1
    with meanwhile(act):
        run = codex.exec(fresh.nodes[0], LOOK)
    assert run.status == 0 and run.items('agent_message'), (run.events, run.stderr)
    if snapshots == 'all':
        run.check()
    fresh.check()
