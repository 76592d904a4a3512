# SPDX-License-Identifier: Apache-2.0
"""The command line with logins that may not all, and with every way to name the database."""
import json

import pytest

DATABASE = ('POSTHOUSE_DATABASE_URL', 'DATABASE_URL', 'PGHOST', 'PGPORT', 'PGUSER', 'PGDATABASE', 'PGSERVICE', 'PGSERVICEFILE')


@pytest.fixture(scope='module')
def cluster(make_cluster):
    made = make_cluster()
    made.key('here')
    return made


def keys_of(cluster, env, args):
    """Which keys a command sees that finds its database by env and args alone."""
    plain = {name: value for name, value in cluster.cli_env.items() if name not in DATABASE}
    cluster.cli_env, kept = plain, cluster.cli_env
    try:
        done = cluster.cli('key', 'list', '--json', *args, env={name: str(value) for name, value in env.items()})
    finally:
        cluster.cli_env = kept
    return [row['name'] for row in json.loads(done.stdout)]


@pytest.mark.parametrize('way', ['variable', 'file', 'alias', 'flag', 'flag file', 'libpq', 'service', 'two hosts', 'url'])
def test_the_database_is_named(cluster, tmp_path, way):
    postgres = cluster.postgres
    dsn = postgres.dsn(cluster.database)
    url = 'postgresql:///%s?host=%s&port=%d&user=postgres' % (cluster.database, postgres.dir, postgres.port)
    (tmp_path / 'dsn').write_text(dsn + '\n')
    (tmp_path / 'services').write_text('[here]\nhost=%s\nport=%d\nuser=postgres\ndbname=%s\n' % (
        postgres.dir, postgres.port, cluster.database))
    env, args = {
        'variable': ({'POSTHOUSE_DATABASE_URL': dsn, 'DATABASE_URL': 'host=127.0.0.1 port=1', 'PGHOST': '127.0.0.1'}, ()),
        'file': ({'POSTHOUSE_DATABASE_URL_FILE': tmp_path / 'dsn', 'DATABASE_URL': 'host=127.0.0.1 port=1'}, ()),
        'alias': ({'DATABASE_URL': dsn, 'PGHOST': '127.0.0.1', 'PGPORT': '1'}, ()),
        'flag': ({'POSTHOUSE_DATABASE_URL': 'host=127.0.0.1 port=1'}, ('--database-url', dsn)),
        'flag file': ({'POSTHOUSE_DATABASE_URL': 'host=127.0.0.1 port=1'}, ('--database-url-file=%s' % (tmp_path / 'dsn'),)),
        'libpq': ({'PGHOST': postgres.dir, 'PGPORT': postgres.port, 'PGUSER': 'postgres', 'PGDATABASE': cluster.database}, ()),
        'service': ({'PGSERVICE': 'here', 'PGSERVICEFILE': tmp_path / 'services'}, ()),
        'two hosts': ({'POSTHOUSE_DATABASE_URL': 'host=127.0.0.1,%s port=1,%d user=postgres dbname=%s' % (
            postgres.dir, postgres.port, cluster.database)}, ()),
        'url': ({'POSTHOUSE_DATABASE_URL': url}, ()),
    }[way]
    assert keys_of(cluster, env, args) == ['here']


def test_a_login_without_the_right(cluster):
    """A viewer's: it reads, and what it may not do is told with the role that may."""
    cluster.sql('CREATE ROLE audit_viewer LOGIN IN ROLE posthouse_viewer')
    env = {'POSTHOUSE_DATABASE_URL': cluster.postgres.dsn(cluster.database, 'audit_viewer')}
    try:
        for args in (('account', 'list'), ('key', 'list'), ('requests',), ('usage',), ('top', '--once'), ('audit',)):
            cluster.cli(*args, env=env)
        for args in (('account', 'pause', 'a'), ('key', 'create', 'k'), ('key', 'revoke', 'here'),
                     ('settings', 'set', 'strategy', 'fill_first'), ('account', 'remove', 'a')):
            done = cluster.cli(*args, check=False, env=env)
            text = done.stderr.decode()
            assert (done.returncode, done.stdout) == (1, b''), done
            assert 'permission denied' in text and 'posthouse_operator' in text and len(text.splitlines()) == 1, text
    finally:
        cluster.sql('DROP ROLE audit_viewer')
