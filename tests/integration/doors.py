# SPDX-License-Identifier: Apache-2.0
"""The world of the tests of single endpoints: three nodes, accounts of the fake upstream, and a client whose every request
goes to another node than the one before."""
import contextlib
import itertools

import client as http
from harness import FakeUpstream


class Ring:
    """client.Client on all nodes in turn: each attribute is the next one's."""

    def __init__(self, clients):
        self.clients = itertools.cycle(clients)

    def __getattr__(self, name):
        return getattr(next(self.clients), name)

    def call(self, path, body):
        return self.request('POST', '/v1' + path, body)


class World:
    def __init__(self, make_cluster, kinds, env=None, nodes=3):
        self.cluster = make_cluster(env)
        self.names = ['%s%d' % (kind[0], n) for n, kind in enumerate(kinds, 1)]
        self.upstream = self.cluster.own(FakeUpstream(list(zip(self.names, kinds))))
        for name, kind in zip(self.names, kinds):
            self.cluster.account(name, kind, self.upstream.base(name))
        self.key, self.other = self.cluster.key('k1'), self.cluster.key('k2')
        self.nodes = [self.cluster.node() for _ in range(nodes)]

    @contextlib.contextmanager
    def ring(self, key=None):
        with contextlib.ExitStack() as stack:
            yield Ring([stack.enter_context(http.Client(node.url, key or self.key)) for node in self.nodes])

    def asked(self, path):
        """What accounts were asked under that path: [(account, record)], oldest first."""
        return [(r['account'], r) for r in self.upstream.requests() if r['path'].split('?')[0].endswith(path)]

    def check(self):
        for name in self.names:
            stats = self.upstream.stats(name)
            assert stats['foreign'] == 0, (name, stats['found'])


def worlds_of(make_cluster, **more):
    """A function that makes each combination of kinds once, and gives it fresh."""
    made = {}

    def world(*kinds):
        if kinds not in made:
            made[kinds] = World(make_cluster, kinds, **more)
        made[kinds].cluster.fresh()
        return made[kinds]
    return world
