# SPDX-License-Identifier: Apache-2.0
"""What operators have, by pgTAP (tests/sql/admin): each file in a database of its own."""
import os
import re
import subprocess

import pytest

from harness import ROOT

FILES = ROOT / 'tests' / 'sql' / 'admin'


def run(postgres, template, path, mistake=''):
    """The lines that psql prints."""
    database = postgres.create(template)
    try:
        postgres.sql(database, mistake)
        done = subprocess.run([os.path.join(postgres.programs, 'psql'), '-XqAt', '-v', 'ON_ERROR_STOP=1', '-f', str(path),
                               '-d', postgres.dsn(database)], capture_output=True, timeout=110, check=False)
    finally:
        postgres.sql('postgres', 'DROP DATABASE %s WITH (FORCE)' % database)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    return done.stdout.decode().splitlines()


def judge(lines):
    """What is wrong, or nothing."""
    passed = sum(bool(re.match(r'ok \d+', line)) for line in lines)
    wrong = [line for line in lines if re.match(r'not ok|#', line)]
    plans = [int(line[3:]) for line in lines if re.fullmatch(r'1\.\.\d+', line)]
    return wrong or ([] if plans == [passed] and passed else ['planned %s, passed %d' % (plans, passed)])


@pytest.fixture(autouse=True)
def needs_pgtap(postgres):
    if not postgres.sql('postgres', "SELECT 1 FROM pg_available_extensions WHERE name = 'pgtap'"):
        pytest.skip("pgTAP is missing: it comes with Debian's postgresql-15-pgtap, or that of another version")


@pytest.mark.parametrize('name', sorted(p.stem for p in FILES.glob('[a-z]*.sql')))
def test_file(postgres, template, name):
    wrong = judge(run(postgres, template, FILES / (name + '.sql')))
    assert not wrong, '\n'.join(wrong)


AS_OWNER = 'SET ROLE posthouse_owner; '
MISTAKES = {  # what the files are for: each of these must make one fail, with these words
    'a view without comments': ('interface', 'every view and column has a comment', AS_OWNER +
                                'CREATE VIEW posthouse_admin.extra WITH (security_barrier) AS SELECT 1 AS x'),
    'a column without one': ('interface', 'every view and column has a comment',
                             'COMMENT ON COLUMN posthouse_admin.accounts.kind IS NULL'),
    'a verb without one': ('interface', 'every function has a comment',
                           'COMMENT ON FUNCTION posthouse_admin.pause_account(text, text) IS NULL'),
    'an argument that nobody explains': ('interface', 'names each of its arguments',
                                         "COMMENT ON FUNCTION posthouse_admin.pause_account(text, text) IS 'Pauses. name: it'"),
    'a view that lets functions look behind it': ('interface', 'security barrier',
                                                  'ALTER VIEW posthouse_admin.accounts RESET (security_barrier)'),
    'a verb for viewers': ('roles', 'pause_account is refused to posthouse_viewer',
                           'GRANT EXECUTE ON FUNCTION posthouse_admin.pause_account TO posthouse_viewer'),
    'a function for everybody': ('roles', 'PUBLIC may call nothing', 'GRANT EXECUTE ON FUNCTION posthouse.note TO PUBLIC'),
    'a search path of the caller': ('roles', 'search path',
                                    'ALTER FUNCTION posthouse_admin.pause_account(text, text) RESET search_path'),
    'a partition that is open': ('roles', 'no right on any partition', 'GRANT SELECT ON posthouse.snapshots_stored TO posthouse_node'),
    'a secret for viewers': ('roles', 'reads sealed secrets', 'GRANT SELECT (sealed) ON posthouse.account_secrets TO posthouse_viewer'),
    'a secret in a view': ('roles', 'leak does not show', AS_OWNER + 'CREATE VIEW posthouse_admin.leak AS '
                           'SELECT sealed AS what FROM posthouse.account_secrets; '
                           'GRANT SELECT ON posthouse_admin.leak TO posthouse_viewer'),
    'a body in a view': ('roles', 'leak does not show', AS_OWNER + 'CREATE VIEW posthouse_admin.leak AS '
                         "SELECT convert_from(input, 'UTF8') AS what FROM posthouse.snapshots; "
                         'GRANT SELECT ON posthouse_admin.leak TO posthouse_viewer'),
    'verbs that nobody notes': ('verbs', 'one row in the audit', AS_OWNER + 'CREATE OR REPLACE FUNCTION '
                                'posthouse.note(p_verb text, p_object text, p_reason text) RETURNS void LANGUAGE sql AS $$ SELECT $$'),
    'verbs that no node hears of': ('verbs', 'told to nodes', AS_OWNER + 'CREATE OR REPLACE FUNCTION '
                                    'posthouse.bump(p_topic text) RETURNS void LANGUAGE sql AS $$ SELECT $$'),
    'a verb that nobody tests': ('verbs', 'this file calls every verb', AS_OWNER + 'CREATE FUNCTION '
                                 'posthouse_admin.extra() RETURNS void LANGUAGE sql AS $$ SELECT $$'),
    'turns that are counted twice': ('usage', 'once', AS_OWNER + 'CREATE OR REPLACE FUNCTION posthouse.add_usage(p_day date, p_from bigint, '
                                     'p_until bigint) RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM posthouse.request_log $$'),
    'a table without row-level security': ('doctor', 'row-level security is well at first',
                                           'ALTER TABLE posthouse.snapshots NO FORCE ROW LEVEL SECURITY'),
}


@pytest.mark.parametrize('mistake', sorted(MISTAKES))
def test_a_mistake_is_found(postgres, template, mistake):
    name, words, statement = MISTAKES[mistake]
    wrong = [line for line in judge(run(postgres, template, FILES / (name + '.sql'), statement)) if line.startswith('not ok')]
    assert any(words in line for line in wrong), wrong
