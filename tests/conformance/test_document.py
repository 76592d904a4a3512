# SPDX-License-Identifier: Apache-2.0
"""The table of docs/clients.md says what the tests of this directory prove, no more and no less, and misses nothing without
a reason. `--document` writes it anew from a run's results."""
import pathlib

import pytest

import proof
from peers import KINDS


@pytest.fixture
def claimed(request):
    found = request.config.pluginmanager.get_plugin('proof')
    if not found.files >= {path.name for path in pathlib.Path(__file__).parent.glob('test_*.py')}:
        pytest.skip('knows what all tests claim only in a run of the whole directory')
    return found.claimed


def test_the_document_says_what_is_proven(claimed):
    assert proof.documented() == proof.table(claimed)


def test_every_cell_is_proven_or_excused(claimed):
    every = {(*row, kind, ability) for row in proof.ROWS for kind in KINDS for ability in proof.ABILITIES}
    assert sorted(cell for cell in every - claimed if not proof.excuse(*cell)) == []
    assert sorted(cell for cell in claimed if proof.excuse(*cell)) == []
    assert claimed <= every
