# SPDX-License-Identifier: Apache-2.0
"""Clients that we did not write, against two nodes and one account of each kind.

The processes are those of tests/integration. The clients come from npm and PyPI, in the versions of package-lock.json and
requirements.txt, installed by `./dev test` into the state directory; js/ and py/ hold the few lines that drive each library.
"""
import importlib.util
import os
import pathlib
import random
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT / 'tests' / 'integration'), str(ROOT / 'tests' / 'upstream')]

# pylint: disable=wrong-import-position
import harness  # noqa: E402
import peers  # noqa: E402
import proof  # noqa: E402

SPEC = importlib.util.spec_from_file_location('integration_fixtures', ROOT / 'tests' / 'integration' / 'conftest.py')
INTEGRATION = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(INTEGRATION)
pytest_report_header = INTEGRATION.pytest_report_header
postgres, template, make_cluster = INTEGRATION.postgres, INTEGRATION.template, INTEGRATION.make_cluster


def pytest_addoption(parser):
    parser.addoption('--document', action='store_true', help='write the table of docs/clients.md from what this run proves')


def pytest_configure(config):
    config.addinivalue_line('markers', 'proves(ability, ..): the cells of the table of docs/clients.md that this test stands for')
    config.pluginmanager.register(proof.Proof(), 'proof')


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Before -k leaves any out."""
    config.pluginmanager.get_plugin('proof').collected(items)
    INTEGRATION.pytest_collection_modifyitems(items)
    if harness.SCALE <= 1 and not config.option.keyword:
        leave_out(config, items)


MANY = 6  # cases of a test
SHARE = 3


def leave_out(config, items):
    """Starting clients takes time: of many cases of a test, those that the table is not made of, a third is run. All of them: with -k,
    and with full counts."""
    tests = {}
    for item in items:
        if not proof.claims(item):
            tests.setdefault(item.nodeid.partition('[')[0], []).append(item)
    left_out = set()
    for name, cases in tests.items():
        if len(cases) > MANY:
            draw = random.Random('%d %s' % (harness.SEED, name))
            left_out.update(draw.sample(cases, len(cases) - -(-len(cases) // SHARE)))
    config.hook.pytest_deselected(items=[item for item in items if item in left_out])
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope='session')
def clients(tmp_path_factory):
    """A directory with the programs of js/ beside the packages that they import, and py/ with its interpreter."""
    state = pathlib.Path(os.environ.get('POSTHOUSE_TEST_STATE', ROOT / '.dev')) / 'clients'
    assert (state / 'installed').exists(), 'the clients are not installed in %s: run ./dev test codex once' % state
    return peers.Clients(state, HERE, tmp_path_factory.mktemp('clients'))


@pytest.fixture(scope='module')
def world(make_cluster, clients):
    return peers.World(make_cluster, clients)


@pytest.fixture(scope='module')
def keys(world):
    """Keys that are refused something, each with the words about it."""
    world.cluster.account('m', 'stateless', world.upstream.base('s'), '--model', 'other')
    for name, options in {'other-model': ('--model', 'other'), 'no-model': ('--account', 'm'),
                          'day': ('--limit', 'requests:1/day'), 'hour': ('--limit', 'requests:1/hour')}.items():
        world.keys[name] = world.cluster.key(name, *options)


@pytest.fixture
def fresh(world):
    """That world, every account well and nothing counted."""
    world.cluster.fresh()
    return world


@pytest.fixture
def websocket(world):
    """Asked for by a test that needs a WebSocket."""
    status = world.upgrade()
    assert status == 101, 'an upgrade was answered with %d' % status


@pytest.fixture(autouse=True)
def socket_of_the_way(request):
    """`how` is a parameter of many tests; this way of it needs a WebSocket."""
    if hasattr(request.node, 'callspec') and request.node.callspec.params.get('how') == 'socket':
        request.getfixturevalue('websocket')
