# SPDX-License-Identifier: Apache-2.0
"""Promises 1 and 7 under fire: nodes and PostgreSQL are killed while conversations run; what a client was told stands."""
import random
import threading
import time

import pytest

import client as http
import rawupstream as raw
from harness import Postgres, count, figure, seeded
from netproxy import Proxy


class Load:
    """Conversations that go on and on, each turn on a random live node; keeps what was acknowledged."""

    def __init__(self, cluster, key, nodes, width, seed):
        self.cluster, self.key, self.nodes = cluster, key, nodes
        self.stop = threading.Event()
        self.acknowledged = []  # (id, texts of its context, oldest first)
        self.statuses = {}
        self.faults = []
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(n, random.Random(seed + n)), daemon=True)
                        for n in range(width)]
        for thread in self.threads:
            thread.start()

    def run(self, number, draw):
        texts, anchor, serial = [], None, 0
        while not self.stop.is_set():
            serial += 1
            text = 'c%d t%d' % (number, serial)
            body = {'model': 'demo', 'input': text, 'stream': draw.random() < 0.5, 'store': draw.random() < 0.5}
            if anchor:
                body['previous_response_id'] = anchor
            try:
                node = draw.choice([n for n in self.nodes if n.running])
                with http.Client(node.url, self.key, timeout=40) as api:
                    answer = api.post(body)
                    with self.lock:
                        self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1
                    if answer.status == 503:
                        assert int(answer.header('retry-after')) >= 1
                        time.sleep(0.05)
                        continue
                    assert answer.status == 200, answer
                    if body['stream'] and b'response.completed' not in answer.body:
                        continue  # cut: not acknowledged
                    turn = http.Turn(answer, body['stream'])
                    if turn.status != 'completed':
                        continue
                texts, anchor = texts + [text], turn.id
                with self.lock:
                    self.acknowledged.append((turn.id, texts))
                if len(texts) == 12:
                    texts, anchor = [], None
            except (OSError, http.http.client.HTTPException):
                time.sleep(0.02)  # the connection died with its node
            except IndexError:
                time.sleep(0.02)  # no node is up at this moment
            except AssertionError as fault:
                with self.lock:
                    self.faults.append(str(fault))
                return

    def finish(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive()
        assert not self.faults, self.faults[:3]
        return self.acknowledged


def patiently(api, body, seconds=10):
    """A 503 says "later": right after a restart of PostgreSQL a node may still be connecting."""
    end = time.monotonic() + seconds
    while True:
        answer = api.post(body)
        if answer.status != 503 or time.monotonic() > end:
            return http.Turn(answer, False)
        time.sleep(0.1)


def verify(cluster, key, node, upstream, acknowledged, most, seed):
    """A sample of all, and the newest of all: each is continuable with exactly its context."""
    sample = acknowledged[-most // 2:] + random.Random(seed).sample(acknowledged, min(len(acknowledged), most // 2))
    with http.Client(node.url, key) as api:
        for rid, texts in sample:
            turn = patiently(api, {'model': 'demo', 'input': 'check', 'previous_response_id': rid, 'store': False})
            assert turn.continuity == 'replayed', (rid, turn.continuity)
            items = upstream.turns()[-1].json['input']
            assert [i['content'] for i in items if i.get('role') == 'user'] == texts + ['check'], rid
            assert len(items) == 2 * len(texts) + 1
    return len(sample)


@pytest.fixture
def own_postgres():
    server = Postgres()
    yield server
    server.close()


def test_kill_nodes_under_load(make_cluster, make_upstream):
    cluster, upstream = make_cluster(), make_upstream()
    cluster.account('s1', 'stateless', upstream.url)
    key = cluster.key('k1')
    nodes = [cluster.node() for _ in range(3)]
    load = Load(cluster, key, nodes, 8, 1)
    draw = seeded('kill nodes')
    kills = max(3, count(60))
    for _ in range(kills):
        time.sleep(draw.uniform(0.1, 0.6))
        node = draw.choice(nodes)
        node.kill9()
        time.sleep(draw.uniform(0, 0.2))
        node.start()
    acknowledged = load.finish()
    assert len(acknowledged) > kills * 5
    checked = verify(cluster, key, nodes[0], upstream, acknowledged, count(4000), 2)
    figure('%d kills, %d turns acknowledged, %d verified, 0 lost; statuses %s' % (
        kills, len(acknowledged), checked, load.statuses))


def test_kill_postgres_under_load(own_postgres, tmp_path, make_upstream):
    from harness import Cluster  # pylint: disable=import-outside-toplevel
    upstream = make_upstream()
    cluster = Cluster(own_postgres, tmp_path, None, {'POSTHOUSE_POLL_INTERVAL': '1s'})
    try:
        cluster.cli('migrate')
        cluster.account('s1', 'stateless', upstream.url)
        key = cluster.key('k1')
        nodes = [cluster.node() for _ in range(2)]
        load = Load(cluster, key, nodes, 8, 3)
        draw = seeded('kill postgres')
        kills = max(2, count(40))
        for _ in range(kills):
            time.sleep(draw.uniform(0.3, 1.0))
            own_postgres.kill9()
            time.sleep(draw.uniform(0, 0.5))
            own_postgres.start()
            for node in nodes:
                node.wait_ready()
        acknowledged = load.finish()
        assert len(acknowledged) > kills * 5
        unacknowledged = sum(node.metric('posthouse_snapshots_unacknowledged_total') for node in nodes)
        checked = verify(cluster, key, nodes[1], upstream, acknowledged, count(4000), 4)
        figure('%d kills of PostgreSQL, %d turns acknowledged, %d verified, 0 lost, %d released late; statuses %s' % (
            kills, len(acknowledged), checked, unacknowledged, load.statuses))
        assert set(load.statuses) <= {200, 503}
    finally:
        cluster.close()


@pytest.fixture(params=['cut', 'frozen'])
def away(request, postgres, make_cluster, make_upstream):
    """A node whose way to PostgreSQL goes through a proxy."""
    class World:
        how = request.param
        proxy = Proxy(('127.0.0.1', postgres.port))
        cluster = make_cluster()
        upstream = make_upstream()

    World.cluster.own(World.proxy)
    World.cluster.account('s1', 'stateless', World.upstream.url)
    World.key = World.cluster.key('k1')
    dsn = postgres.dsn(World.cluster.database, 'posthouse_node', World.proxy.port)
    World.node = World.cluster.node(env={'POSTHOUSE_DATABASE_URL': dsn})
    World.leave = World.proxy.cut if request.param == 'cut' else World.proxy.freeze
    yield World
    World.proxy.mend()


def test_database_away(away):
    with http.Client(away.node.url, away.key, timeout=40) as api:
        first = api.turn({'model': 'demo', 'input': 'one'})
        away.leave()
        before = len(away.upstream.turns())
        start = time.monotonic()
        answer = api.post({'model': 'demo', 'input': 'two', 'previous_response_id': first.id})
        took = time.monotonic() - start
        assert answer.status == 503 and answer.error['code'] == 'service_unavailable', answer
        assert 1 <= int(answer.header('retry-after')) <= 5
        assert took < 20, took
        assert len(away.upstream.turns()) == before, 'an anchored turn went upstream'
        for path in ('/v1/responses/' + first.id, '/v1/responses/%s/input_items' % first.id):
            assert api.get(path).status == 503, 'never "not found"'
        unknown = api.post({'model': 'demo', 'input': 'x', 'previous_response_id': 'resp_unknown'})
        assert unknown.status == 503, unknown
        # a fresh turn is served; its terminal event is released after 5 s at most
        start = time.monotonic()
        fresh = api.turn({'model': 'demo', 'input': 'fresh', 'stream': True})
        assert fresh.status == 'completed' and time.monotonic() - start < 25
        assert away.node.admin('/livez').status == 200, 'liveness never asks PostgreSQL'
        away.proxy.mend()
        http.eventually(lambda: api.post({'model': 'demo', 'input': 'two', 'previous_response_id': first.id}).status == 200,
                        within=30)
        # what was released late is written as soon as the database is back
        http.eventually(lambda: api.post({'model': 'demo', 'input': 'more', 'previous_response_id': fresh.id}).status == 200,
                        within=30)
        assert api.turn({'model': 'demo', 'input': 'one', 'previous_response_id': first.id}).continuity == 'replayed'
    assert away.node.metric('posthouse_snapshots_unacknowledged_total') >= 1
    assert away.node.metric('posthouse_snapshots_lost_total') == 0


def test_an_id_is_on_its_way(postgres, make_cluster, make_upstream):
    """The database was away from all, and is back for one node first: an id whose row another one has yet to write is looked for
    again. An id that nobody will write is not found in the end."""
    cluster, upstream, proxies = make_cluster(), make_upstream(), [Proxy(('127.0.0.1', postgres.port)) for _ in range(2)]
    cluster.account('s1', 'stateless', upstream.url)
    key = cluster.key('k1')
    for proxy in proxies:
        cluster.own(proxy)
    wrote, asked = [cluster.node(env={'POSTHOUSE_DATABASE_URL': postgres.dsn(cluster.database, 'posthouse_node', proxy.port)})
                    for proxy in proxies]
    with http.Client(wrote.url, key, timeout=40) as there, http.Client(asked.url, key, timeout=40) as here:
        first = there.turn({'model': 'demo', 'input': 'one'})
        here.turn({'model': 'demo', 'input': 'two', 'previous_response_id': first.id})
        for proxy in proxies:
            proxy.cut()
        late = there.turn({'model': 'demo', 'input': 'late', 'stream': True})
        assert late.status == 'completed'
        proxies[1].mend()
        asked.wait_ready()
        timer = threading.Timer(0.7, proxies[0].mend)
        timer.start()
        again = patiently(here, {'model': 'demo', 'input': 'more', 'previous_response_id': late.id})
        assert again.continuity == 'replayed'
        timer.join()
        unknown = here.post({'model': 'demo', 'input': 'x', 'previous_response_id': 'resp_' + 'f' * 48})
        assert (unknown.status, unknown.error['code']) == (400, 'previous_response_not_found')
    assert wrote.metric('posthouse_snapshots_unacknowledged_total') == 1


def test_terminal_event_waits_for_the_commit(make_cluster, make_upstream):
    """While the row is locked out, every event flows but the last one."""
    cluster, upstream = make_cluster(), make_upstream()
    cluster.account('s1', 'stateless', upstream.url)
    key, node = cluster.key('k1'), cluster.node()
    with http.Client(node.url, key) as api:
        api.turn({'model': 'demo', 'input': 'warm'})
        import psycopg  # pylint: disable=import-outside-toplevel
        with psycopg.connect(cluster.postgres.dsn(cluster.database)) as lock:
            lock.execute('LOCK TABLE posthouse.snapshots IN ACCESS EXCLUSIVE MODE')
            answer = api.open('POST', '/v1/responses', {'model': 'demo', 'input': 'x', 'stream': True})
            found, start = b'', time.monotonic()
            while b'response.output_item.done' not in found:
                found += answer.read1(65536)
            time.sleep(0.5)
            assert b'event: response.completed' not in found
            early = time.monotonic() - start
            lock.rollback()
            while b'[DONE]' not in found:
                piece = answer.read1(65536)
                assert piece
                found += piece
        assert 0.5 <= early < 5
        events, done = http.parse_stream(found)
        http.check_stream(events, done)
        assert events[-1].type == 'response.completed'


def test_kill_between_any_two_steps(make_cluster, make_upstream):
    """A node dies at a random moment of a turn: the client has one whole answer or a visible break, and an id whose end
    was shown goes on elsewhere."""
    cluster, upstream = make_cluster(), make_upstream()
    cluster.account('s1', 'stateless', upstream.url)
    key = cluster.key('k1')
    other, victim = cluster.node(), cluster.node()
    draw = seeded('moments')
    shown = 0
    for _ in range(max(5, count(200))):
        upstream.clear()
        upstream.then(lambda x: x.stream(raw.events(raw.new_id(), pieces=4) + [raw.DONE], pause=0.003))
        timer = threading.Timer(draw.uniform(0, 0.06), victim.kill9)
        found = b''
        try:
            with http.Client(victim.url, key) as api:
                timer.start()
                answer = api.open('POST', '/v1/responses', {'model': 'demo', 'input': 'x', 'stream': True})
                while True:
                    piece = answer.read1(65536)
                    if not piece:
                        break
                    found += piece
        except (OSError, http.http.client.HTTPException):
            pass
        timer.join()
        blocks, _ = http.split_events(found)
        ended = [b for b in blocks if b.startswith(b'event: response.completed')]
        if ended:
            shown += 1
            rid = http.parse_stream(ended[0])[0][0].data['response']['id']
            with http.Client(other.url, key) as api:
                assert api.turn({'model': 'demo', 'input': 'y', 'previous_response_id': rid}).continuity == 'replayed'
        victim.start()
    figure('%d turns had shown their end when the node died' % shown)
