# SPDX-License-Identifier: Apache-2.0
"""Two accounts of each kind behind nodes, and keys that see some of them, for tests of WebSockets.

A name is a kind's first letter and a number: p1 p2 (platform), x1 x2 (codex), s1 s2 (stateless).
"""
import time

import client as http
from conversation import Context, Conversation
from harness import FakeUpstream
from wsclient import Socket

KINDS = {'p': 'platform', 'x': 'codex', 's': 'stateless'}
NAMES = ['p1', 'p2', 'x1', 'x2', 's1', 's2']
SPREAD_S = 0.4  # ten times what a notification may take


class World:
    def __init__(self, cluster, nodes=2, names=tuple(NAMES)):
        self.cluster = cluster
        self.names = names
        self.upstream = cluster.own(FakeUpstream([(name, KINDS[name[0]]) for name in names]))
        for name in names:
            cluster.account(name, KINDS[name[0]], self.upstream.base(name))
        self.keys = {}
        self.nodes = [cluster.node() for _ in range(nodes)]

    @property
    def node(self):
        return self.nodes[0]

    def key(self, *names, policy=None):
        """Of a key that sees these accounts alone."""
        if (names, policy) not in self.keys:
            options = [word for name in names for word in ('--account', name)]
            options += ['--snapshots', policy] if policy else []
            self.keys[names, policy] = self.cluster.key('k%d' % len(self.keys), *options)
        return self.keys[names, policy]

    def socket(self, *names, node=0, policy=None, **options):
        return Socket(self.nodes[node].url, self.key(*names, policy=policy), **options)

    def http(self, *names, node=0, policy=None):
        return http.Client(self.nodes[node].url, self.key(*names, policy=policy))

    def pause(self, name):
        self.cluster.cli('account', 'pause', name)
        time.sleep(SPREAD_S)

    def resume(self, *names):
        for name in names:
            self.cluster.cli('account', 'resume', name)
        if names:
            time.sleep(SPREAD_S)

    def blocked(self):
        return [name for name, in self.cluster.sql(
            "SELECT name FROM posthouse_admin.accounts WHERE state <> 'active' OR health <> 'active'")]

    def reset(self):
        """All accounts up and usable, nothing ordered, nothing counted."""
        self.upstream.reset()
        self.resume(*self.blocked())

    def asked(self, name):
        """The turns that an account was sent."""
        return [r for r in self.upstream.requests(name) if r['seen'] is not None]

    def turns(self):
        return {name: self.upstream.stats(name)['turns'] for name in self.names}

    def quiet(self, *names):
        """No turn runs at the upstream any more."""
        http.eventually(lambda: not any(self.upstream.stats(n)['running'] for n in names or self.names), what='no turn')

    def check(self):
        """Nothing that is bound to one account reached another, and no frame was unlawful."""
        for name, stats in self.upstream.stats()['accounts'].items():
            assert stats['foreign'] == 0, (name, stats['found'])
            assert stats['found'].get('protocol', 0) == 0, (name, stats['found'])
            assert stats['found'].get('parameter', 0) == 0 or KINDS[name[0]] == 'codex', (name, stats['found'])


def warmed(client, text='first of all', **members):
    """A warm-up; the conversation that it begins."""
    turn = client.turn(dict({'model': 'demo', 'input': text, 'generate': False}, **members))
    assert turn.status == 'completed' and turn.response['output'] == [], turn.answer
    return Conversation(Context().add('user:' + text), turn.id, 1)
