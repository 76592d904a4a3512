# SPDX-License-Identifier: Apache-2.0
"""Fixtures: one PostgreSQL for the session, one migrated template, clusters copied from it."""
import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), 'upstream')]

# pylint: disable=wrong-import-position
import client as http  # noqa: E402
from harness import BINARY, BUILD, SCALE, SEED, SANITIZER, Cluster, Postgres  # noqa: E402
from rawupstream import RawUpstream  # noqa: E402

os.environ['FAKE_UPSTREAM'] = str(BUILD / 'fake-upstream')


def pytest_report_header():
    return 'posthouse: %s, scale %g, seed %d' % (BINARY, SCALE, SEED)


def pytest_collection_modifyitems(items):
    """A test that hangs is a failure with a stack, not a lost run."""
    for item in items:
        if item.get_closest_marker('timeout') is None:
            item.add_marker(pytest.mark.timeout(max(120, 60 * SCALE)))


@pytest.fixture(scope='session')
def postgres():
    server = Postgres()
    yield server
    if os.path.exists(server.log):
        assert not SANITIZER.search(server.log.read_bytes())
    server.close()


@pytest.fixture(scope='session')
def template(postgres, tmp_path_factory):
    """A database that posthouse migrate has brought up to date; clusters are copies of it."""
    cluster = Cluster(postgres, tmp_path_factory.mktemp('template'), None)
    cluster.cli('migrate')
    return cluster.database


@pytest.fixture(scope='module')
def make_cluster(postgres, template, tmp_path_factory):
    """make_cluster(env) -> Cluster on a database of its own; closed and checked at the end of the module."""
    made = []

    def make(env=None, migrated=True):
        cluster = Cluster(postgres, tmp_path_factory.mktemp('cluster'), template if migrated else None, env)
        made.append(cluster)
        return cluster

    yield make
    faults = []
    for cluster in made:
        cluster.drain()
    for cluster in made:
        try:
            cluster.close()
        except AssertionError as fault:
            faults.append(str(fault))
    assert not faults, '\n'.join(faults)


@pytest.fixture(scope='module')
def make_upstream():
    made = []

    def make(*args, **kwargs):
        upstream = RawUpstream(*args, **kwargs)
        made.append(upstream)
        return upstream

    yield make
    for upstream in made:
        upstream.close()


@pytest.fixture(scope='module')
def world(request, make_cluster, make_upstream):
    """One node, one key, one account; its kind is the test module's KIND, else stateless."""
    class World:
        cluster = make_cluster()
        upstream = make_upstream()

    World.cluster.account('a1', getattr(request.module, 'KIND', 'stateless'), World.upstream.url)
    World.key = World.cluster.key('k1')
    World.node = World.cluster.node()
    return World


@pytest.fixture
def api(world):
    """A client of that node; what the upstream saw before is forgotten."""
    world.upstream.clear()
    with http.Client(world.node.url, world.key) as client:
        yield client
