# SPDX-License-Identifier: Apache-2.0
"""Two or three sessions step by step through every SQL function that waits for a lock (tests/sql/isolation), played by
PostgreSQL's own isolationtester. What each permutation must show stands beside the steps, in NAME.out."""
import difflib
import glob
import os
import pathlib
import subprocess

import pytest

from harness import ROOT

SPECS = ROOT / 'tests' / 'sql' / 'isolation'
PROGRAMS = sorted(glob.glob('/usr/lib/postgresql/*/lib/pgxs/src/test/isolation/isolationtester'),
                  key=lambda p: int(p.split('/')[4]))


def play(postgres, template, spec):
    database = postgres.create(template)
    try:
        postgres.sql(database, (SPECS / '00_helpers.sql').read_text(encoding='utf-8'))
        done = subprocess.run([PROGRAMS[-1], postgres.dsn(database)], input=spec.read_bytes(), capture_output=True, timeout=100,
                              env=dict(os.environ, PGISOLATIONTIMEOUT='60'), check=False)
    finally:
        postgres.sql('postgres', 'DROP DATABASE %s WITH (FORCE)' % database)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def apart(text):
    """What was played, and for each permutation what was notified: when a session shows a notification is the network's."""
    blocks = text.split('\nstarting permutation: ')
    lines = [block.splitlines() for block in blocks]
    return ([[line for line in block if ': NOTIFY ' not in line] for block in lines],
            [sorted(line for line in block if ': NOTIFY ' in line) for block in lines])


@pytest.mark.skipif(not PROGRAMS, reason="isolationtester is missing: it comes with Debian's postgresql-client")
@pytest.mark.parametrize('name', sorted(p.stem for p in SPECS.glob('*.spec')))
def test_permutations(postgres, template, name):
    played = play(postgres, template, SPECS / (name + '.spec'))
    expected = (SPECS / (name + '.out')).read_text(encoding='utf-8')
    assert apart(played) == apart(expected), '\n'.join(difflib.unified_diff(expected.splitlines(), played.splitlines(), 'expected', 'played',
                                                              lineterm=''))


def test_every_lock_is_played():
    """A function that takes an advisory lock, or fences a row, is named in a permutation."""
    steps = '\n'.join(p.read_text(encoding='utf-8') for p in SPECS.glob('*.*'))
    sources = [p.read_text(encoding='utf-8') for p in pathlib.Path(ROOT / 'sql').rglob('*.sql')]
    assert sources and steps
    for function in ('lease_slots', 'heartbeat', 'sweep_nodes', 'leave_node', 'claim_job', 'finish_job', 'release_leases',
                     'set_account_limit', 'forget_node', 'claim_refresh', 'finish_refresh', 'fail_refresh', 'roll_up',
                     'reserve_turn', 'settle_turns', 'drop_reservations', 'sweep_limits', 'keep_reservations',
                     'prefer', 'sweep_preferences', 'claim_probe', 'end_probe', 'open_login', 'take_login', 'put_models'):
        assert any('FUNCTION posthouse.%s(' % function in s or 'FUNCTION posthouse_admin.%s(' % function in s for s in sources)
        assert function in steps, function
