# SPDX-License-Identifier: Apache-2.0
"""What Prometheus makes of it: the alert rules, a node's metrics, and every query of both dashboards, asked of a server of its own
that watches three nodes under a little load."""
import json
import math
import shutil
import subprocess
import time
import urllib.parse

import pytest

import client as http
from harness import ROOT, FakeUpstream, Process, clean_environment, free_port
from wsclient import Socket

PROMETHEUS, PROMTOOL = shutil.which('prometheus'), shutil.which('promtool')
pytestmark = pytest.mark.skipif(not PROMETHEUS or not PROMTOOL, reason='needs prometheus')

ALERTS = ROOT / 'compose' / 'alerts.yml'
BOARDS = ('posthouse', 'accounts')
SERIES_MOST = 1000  # of a node, with one model and two accounts


def promtool(*args, stdin=None):
    done = subprocess.run([PROMTOOL, *args], input=stdin, capture_output=True, timeout=60, check=False)
    return done.returncode, (done.stdout + done.stderr).decode()


class Prometheus(Process):
    """Asks each of the nodes for its metrics every second."""

    def __init__(self, nodes, directory):
        self.url = 'http://127.0.0.1:%d' % free_port()
        config = directory / 'prometheus.yml'
        config.write_text(json.dumps({  # JSON is YAML
            'global': {'scrape_interval': '1s', 'evaluation_interval': '1s'}, 'rule_files': [str(ALERTS)],
            'scrape_configs': [{'job_name': 'posthouse', 'static_configs': [
                {'targets': ['127.0.0.1:%d' % node.admin_port for node in nodes]}]}]}), encoding='utf-8')
        super().__init__('prometheus', [PROMETHEUS, '--config.file=%s' % config, '--storage.tsdb.path=%s' % (directory / 'data'),
                                        '--web.listen-address=' + self.url[len('http://'):]], clean_environment(), directory)
        self.spawn()

    def get(self, path, **query):
        answer = http.once(self.url, None, 'GET', '/api/v1/%s?%s' % (path, urllib.parse.urlencode(query)))
        told = json.loads(answer.body)
        assert told['status'] == 'success', (query, told)
        return told['data']

    def ask(self, query):
        return self.get('query', query=query)['result']

    def ready(self):
        try:
            return http.once(self.url, None, 'GET', '/-/ready').status == 200 and len(self.ask('up == 1')) == 3
        except (OSError, ValueError):
            return False

    def close(self):
        self.popen.terminate()
        self.wait()


class World:
    def __init__(self, cluster, directory):
        self.cluster = cluster
        upstream = cluster.own(FakeUpstream([('p1', 'platform'), ('s1', 'stateless')]))
        cluster.account('p1', 'platform', upstream.base('p1'), '--max-streams', '4')
        cluster.account('s1', 'stateless', upstream.base('s1'))
        self.key = cluster.key('k1')
        self.nodes = [cluster.node() for _ in range(3)]
        self.prometheus = cluster.own(Prometheus(self.nodes, directory))
        http.eventually(self.prometheus.ready, within=60, what='prometheus')

    def load(self, seconds):
        """Conversations that go from node to node, one on a socket, and a change of an account's health now and then."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            last = None
            for node in self.nodes * 2:
                body = {'model': 'demo', 'input': 'a few words', 'stream': True}
                with http.Client(node.url, self.key) as api:
                    last = api.turn(dict(body, previous_response_id=last.id) if last else body)
            with Socket(self.nodes[0].url, self.key) as ws:
                ws.turn({'model': 'demo', 'input': 'x'})
            self.cluster.cli('account', 'resume', 's1')


@pytest.fixture(scope='module')
def world(make_cluster, tmp_path_factory):
    return World(make_cluster(), tmp_path_factory.mktemp('prometheus'))


def test_alert_rules():
    status, said = promtool('check', 'rules', str(ALERTS))
    assert status == 0 and 'SUCCESS' in said, said


def test_metrics_of_a_node(world):
    status, said = promtool('check', 'metrics', stdin=world.nodes[0].admin('/metrics').body)
    assert status == 0 and not said.strip(), said


def queries():
    """Of both dashboards, as Grafana would send them."""
    for name in BOARDS:
        board = json.loads((ROOT / 'compose' / 'grafana' / (name + '.json')).read_text(encoding='utf-8'))
        for panel in board['panels']:
            for target in panel['targets']:
                yield panel['title'], target['expr'].replace('$__rate_interval', '20s')


def test_every_query_of_the_dashboards(world):
    world.load(8)
    time.sleep(2)  # two more scrapes
    asked = list(queries())
    answers = {query: world.prometheus.ask(query) for _, query in asked}
    figures = {query: [float(sample['value'][1]) for sample in found] for query, found in answers.items()}
    empty = [query for query, found in figures.items() if all(math.isnan(value) for value in found)]
    assert len(asked) > 30 and not empty, empty
    assert sum(value for query, found in figures.items() for value in found if 'turns_total' in query) > 0


def test_an_account_that_cannot_take_turns(world):
    query, = (query for title, query in queries() if title == 'Accounts that cannot take turns')
    def told():
        return {(s['metric']['account'], s['metric'].get('state')): s['value'][1] for s in world.prometheus.ask(query)}
    assert told() == {('p1', None): '0', ('s1', None): '0'}
    world.cluster.cli('account', 'pause', 's1')
    http.eventually(lambda: told() == {('p1', None): '0', ('s1', 'paused'): '1'}, within=20)
    world.cluster.cli('account', 'resume', 's1')


def test_a_change_reaches_every_node(world):
    def changes():
        return sum(node.metric('posthouse_health_propagation_seconds_count') for node in world.nodes)
    time.sleep(1)
    before = changes()
    world.cluster.cli('account', 'resume', 'p1')
    http.eventually(lambda: changes() == before + len(world.nodes), within=20)
    for node in world.nodes:
        assert 0 < node.metric('posthouse_health_propagation_seconds_sum') < 60


def test_the_rules_are_evaluated(world):
    rules = [rule for group in world.prometheus.get('rules')['groups'] for rule in group['rules']]
    http.eventually(lambda: all(rule['health'] == 'ok' for group in world.prometheus.get('rules')['groups']
                                for rule in group['rules']), within=20, what='rules evaluated')
    firing = {alert['labels']['alertname'] for alert in world.prometheus.get('alerts')['alerts'] if alert['state'] == 'firing'}
    assert len(rules) > 10 and not firing & {'PosthouseNodeAway', 'PosthouseNoNodeReady', 'PosthouseNoAccount'}, firing


def test_the_number_of_series(world):
    """Bounded, and the same on every node that did the same: nothing that a client says becomes a label, but names of models."""
    counts = {sample['metric']['instance']: int(float(sample['value'][1])) for sample in world.prometheus.ask(
        'count by (instance) ({job="posthouse"})')}
    print('series of each node:', counts)
    assert len(counts) == 3 and max(counts.values()) < SERIES_MOST, counts
    before = len(world.nodes[0].admin('/metrics').body.splitlines())
    with http.Client(world.nodes[0].url, world.key) as api:
        for n in range(20):
            api.turn({'model': 'demo', 'input': 'x', 'metadata': {'n': str(n)}})
            api.get('/v1/responses/resp_%d' % n)
    assert len(world.nodes[0].admin('/metrics').body.splitlines()) == before
