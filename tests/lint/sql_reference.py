#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""docs/sql-reference.md is what the comments of the interface say. Puts the schema into a PostgreSQL of its own, reads the
comments back, and complains where the page says something else; --fix writes it."""
import difflib
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / 'docs' / 'sql-reference.md'
sys.dont_write_bytecode = True
sys.path[:0] = [str(ROOT / 'tests' / 'integration'), str(ROOT / 'tests' / 'upstream')]

HEAD = """# SQL reference

Everything in the schema `posthouse_admin`. This page is made from the comments that the database itself shows
(`\\d+ posthouse_admin.accounts` in psql), by `tests/lint/sql_reference.py --fix`. Which rights it takes, and what an operator's
day looks like, is in [operating.md](operating.md).

Columns are only ever added, at the end. Times are `timestamptz` on the database's clock; days are UTC.
"""

VIEWS = """
SELECT c.relname, obj_description(c.oid, 'pg_class'), array_agg(ARRAY[a.attname::text, format_type(a.atttypid, a.atttypmod),
    col_description(c.oid, a.attnum)] ORDER BY a.attnum)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'posthouse_admin'::regnamespace AND c.relkind = 'v' GROUP BY c.oid ORDER BY c.relname"""

FUNCTIONS = """
SELECT p.proname, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid), obj_description(p.oid, 'pg_proc'),
    p.proargnames[:p.pronargs], p.provolatile
FROM pg_proc p WHERE p.pronamespace = 'posthouse_admin'::regnamespace ORDER BY p.provolatile, p.proname"""


def apply_schema(conn):
    """All files, in the order of cmake/sql_to_c.py."""
    files = sorted((ROOT / 'sql').rglob('*.sql'), key=lambda p: (p.parent.name == 'admin', p.as_posix()))
    numbered = [p for p in files if p.name[0].isdigit()]
    last = [ROOT / 'sql' / 'grants.sql']
    replaced = [p for p in files if p not in numbered + last and p.name != 'bootstrap.sql']
    for group in ([ROOT / 'sql' / 'bootstrap.sql'], numbered, replaced + last):
        conn.execute('SET check_function_bodies = off')
        for path in group:
            conn.execute(path.read_text(encoding='utf-8'))
        conn.commit()
        conn.execute('SET ROLE posthouse_owner')


def cell(text):
    return (text or '').replace('|', '\\|').replace('\n', ' ')


def split_comment(comment, arguments):
    """'What it does. a: meaning; b: meaning' -> what it does, [(a, meaning), (b, meaning)]."""
    text, found, end = comment or '', [], len(comment or '')
    for name in reversed(arguments):
        at = max(text.rfind(lead + name + mark, 0, end) for lead in (' ', '; ') for mark in (':', ';'))
        if at < 0:
            continue
        start = text.index(name, at)
        found.insert(0, (name, text[start + len(name) + 1:end].strip().rstrip(';')))
        end = at
    return text[:end].rstrip('; '), found


def render(conn):
    out = [HEAD, '## Views\n']
    for name, comment, columns in conn.execute(VIEWS).fetchall():
        out.append('### `%s`\n\n%s.\n\n| column | type | |\n|---|---|---|' % (name, (comment or '').rstrip('.')))
        out += ['| `%s` | %s | %s |' % (column, kind, cell(text)) for column, kind, text in columns]
        out.append('')
    out.append('## Functions\n')
    for name, arguments, result, comment, names, _ in conn.execute(FUNCTIONS).fetchall():
        text, meanings = split_comment(comment, names or [])
        out.append('### `%s`\n\n    %s(%s)\n    returns %s\n\n%s.\n' % (name, name, arguments.replace('::text', '').replace(
            '::jsonb', ''), result, text.rstrip('.')))
        out += ['- `%s`%s' % (argument, ': ' + meaning if meaning else '') for argument, meaning in meanings]
        out.append('')
    return '\n'.join(out).rstrip('\n') + '\n'


def difference(old, new):
    return '\n'.join(list(difflib.unified_diff(old.splitlines(), new.splitlines(), str(PAGE.relative_to(ROOT)), 'the comments',
                                               lineterm='', n=0))[:40])


def main(arguments):
    try:
        import psycopg
        from harness import Postgres
        server = Postgres()
    except (ImportError, AssertionError, KeyError) as error:
        print('skip: needs a PostgreSQL server and python3-psycopg (%s)' % error)
        return 77
    try:
        with psycopg.connect(server.dsn('postgres')) as conn:
            apply_schema(conn)
            page = render(conn)
            old = PAGE.read_text(encoding='utf-8') if PAGE.exists() else ''
            if '--fix' in arguments:
                PAGE.write_text(page, encoding='utf-8')
                return 0
            if '--self-test' in arguments:
                conn.execute("COMMENT ON COLUMN posthouse_admin.accounts.kind IS 'other words'")
                other = render(conn)
                assert 'other words' in difference(page, other) and not difference(page, page)
                return 0
            if old != page:
                print(difference(old, page) + '\nthe page is stale: run tests/lint/sql_reference.py --fix')
            return int(old != page)
    finally:
        server.close()


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
