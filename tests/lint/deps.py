#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Who may include whom.

The tables below are the design's layers. The linker enforces half of this (one static library per module); but the
public headers share one directory, so that any file could include any of them.
"""
import re

import source

# From low to high. A file includes headers of lower layers and of its own module; never a neighbour's.
LAYERS = [
    ['base'],
    ['loop', 'codec'],
    ['pg', 'config'],
    ['upstream', 'auth', 'account', 'continuity'],
    ['gateway'],
    ['server', 'admin'],
    ['cli'],
    ['main'],
]

# Public headers that are not named after their module.
HEADERS = {
    'base': ['err', 'str', 'buf', 'arena', 'list', 'sm', 'clock', 'crypt', 'log', 'metrics', 'json', 'jwt', 'usage'],
    'loop': ['stream'],
    'codec': ['http1', 'multipart', 'sse', 'url', 'ws', 'zip'],
    'pg': ['migrate', 'embedded'],
    'account': ['lease', 'login', 'member', 'prefer'],
}

# Where a library's header may be included: a directory or a file.
LIBRARIES = {
    'uv.h': ['src/loop/'],
    'openssl/ssl.h': ['src/loop/tls_priv.h'],
    'openssl/x509v3.h': ['src/loop/tls.c', 'src/loop/tls_client.c'],
    'openssl/evp.h': ['src/base/'],
    'openssl/rand.h': ['src/base/'],
    'llhttp.h': ['src/codec/'],
    'wslay/wslay.h': ['src/codec/'],
    'zstd.h': ['src/codec/'],
    'zlib.h': ['src/codec/'],
    'libpq-fe.h': ['src/pg/'],
    'jansson.h': ['src/continuity/', 'src/gateway/', 'src/upstream/', 'src/admin/', 'src/cli/'],
}
ONE_FILE = ['uv.h', 'llhttp.h', 'wslay/wslay.h', 'zstd.h', 'zlib.h']  # not more than one: .c or private header

# A codec is pure: bytes in, events out.
IMPURE = ['posthouse/log.h', 'posthouse/clock.h', 'posthouse/metrics.h']

PUBLIC_SYSTEM = ['stdarg.h', 'stdbool.h', 'stddef.h', 'stdint.h', 'string.h', 'sys/socket.h']  # the last: addresses

# Keywords in capitals at the start of a string; in small letters only where it cannot be prose.
SQL = re.compile(r'"\s*(?:(?:SELECT|INSERT|UPDATE|DELETE|WITH)\s(?!\s*/)|(?i:select\s+(?:\*|[\w.]+\s*[(,])|insert\s+into\s|'
                 r'update\s+[\w.]+\s+set\s|delete\s+from\s|with\s+\w+\s+as\s))')
SQL_MODULES = ['pg']  # speaks SQL by trade: sessions, migrations, LISTEN

LEVEL = {module: level for level, modules in enumerate(LAYERS) for module in modules}
OWNER = {'posthouse/%s.h' % h: module for module in LEVEL for h in [module] + HEADERS.get(module, [])}
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)


def module_of(path):
    """The module of a file of src or include, or of the module that a unit test tests."""
    parts = path.parts
    if parts[0] == 'include':
        return OWNER.get('/'.join(parts[1:]))
    if parts[:2] == ('src', 'main.c'):
        return 'main'
    return parts[2] if parts[0] == 'tests' else parts[1]


def includes(text):
    """(line, quoted, name) of each #include."""
    for match in INCLUDE.finditer(source.code(text, keep=('string',))):
        yield source.line_of(text, match.start()), match.group(1) == '"', match.group(2)


def target_of(root, path, name):
    """The module whose private or public header is included, or None where it is the file's own business."""
    if name.startswith('posthouse/'):
        return OWNER.get(name, 'unknown')
    parts = name.split('/')
    if len(parts) > 1 and parts[0] in LEVEL:
        return parts[0] + ' (private)'
    if (root / path.parent / name).exists() or path.parts[0] == 'tests':
        return None
    return 'unknown'


def judge(module, target, name):
    if target == 'unknown':
        return 'include of %s, which belongs to no module that tests/lint/deps.py knows' % name
    if target.endswith(' (private)'):
        owner = target.split()[0]
        return None if owner == module else '%s includes %s, a private header of %s' % (module, name, owner)
    if target == module or LEVEL[target] < LEVEL[module]:
        return None
    return '%s (layer %d) includes %s of %s (layer %d)' % (module, LEVEL[module], name, target, LEVEL[target])


def check_house(root):
    paths = source.files(root, '.c', '.h', under=('src', 'include', 'tests/unit'))
    for path in paths:
        if path.parts[:3] == ('tests', 'unit', 'lib'):
            continue
        module = module_of(path)
        if module not in LEVEL:
            yield '%s: no module of tests/lint/deps.py' % path
            continue
        for line, quoted, name in includes(source.read(root / path)):
            problem = None
            if quoted:
                target = target_of(root, path, name)
                problem = target and judge(module, target, name)
                if not problem and path.parts[0] == 'src' and module == 'codec' and name in IMPURE:
                    problem = 'a codec is pure: it includes %s' % name
            elif path.parts[0] == 'include' and name not in PUBLIC_SYSTEM:
                problem = 'a public header includes <%s>' % name
            if problem:
                yield '%s:%d: %s' % (path, line, problem)


def check_libraries(root):
    users = {}
    for path in source.files(root, '.c', '.h', under=('src', 'include')):
        for line, _, name in includes(source.read(root / path)):
            allowed = LIBRARIES.get(name)
            if allowed and not any(str(path) == a or (a.endswith('/') and str(path).startswith(a)) for a in allowed):
                yield '%s:%d: <%s> belongs in %s' % (path, line, name, ', '.join(allowed))
            users.setdefault(name, []).append(str(path))
    for name in ONE_FILE:
        if len(users.get(name, [])) > 1:
            yield '<%s> is included by more than one file: %s' % (name, ', '.join(users[name]))


def check_sql(root):
    for path in source.files(root, '.c', '.h', under=('src',)):
        if path.name.endswith('_store.c') or module_of(path) in SQL_MODULES:
            continue
        text = source.read(root / path)
        for match in SQL.finditer(source.code(text, keep=('string',))):
            yield '%s:%d: SQL text outside of a *_store.c: %s' % (path, source.line_of(text, match.start()),
                                                                  match.group().strip('" \t'))


def check(root):
    return list(check_house(root)) + list(check_libraries(root)) + list(check_sql(root))


def test():
    good = {
        'include/posthouse/buf.h': '#include <stddef.h>\n#include "posthouse/str.h"\n',
        'include/posthouse/stream.h': '#include "posthouse/buf.h"\n',
        'src/base/buf.c': '#include "posthouse/buf.h"\n#include "base_priv.h"\n#include <openssl/evp.h>\n',
        'src/base/base_priv.h': '',
        'src/loop/loop_priv.h': '#include <uv.h>\n',
        'src/codec/zip.c': '#include <zstd.h>\n/* "SELECT 1" and #include <uv.h> in a comment */\n',
        'src/auth/auth_store.c': '#include "auth/auth_priv.h"\nconst char *q = "SELECT 1";\n',
        'src/auth/auth_priv.h': '#include "posthouse/pg.h"\n',
        'src/cli/help.c': 'const char *h[] = { "update the account", "select one", "DELETE /v1/x", "WITHOUT" };\n',
        'src/gateway/relay.c': '#include <jansson.h>\n#include "posthouse/account.h"\n#include "posthouse/continuity.h"\n',
        'src/main.c': '#include "posthouse/cli.h"\n',
        'tests/unit/auth/test_auth.c': '#include "ph_test.h"\n#include "auth/auth_priv.h"\n',
    }
    bad = [
        ('base (layer 0) includes posthouse/loop.h', {'src/base/buf.c': '#include "posthouse/loop.h"\n'}),
        ('loop (layer 1) includes posthouse/zip.h', {'src/loop/a.c': '#include "posthouse/zip.h"\n'}),
        ('account (layer 3) includes posthouse/auth.h', {'src/account/a.c': '#  include "posthouse/auth.h"\n'}),
        ('base (layer 0) includes posthouse/pg.h', {'include/posthouse/buf.h': '#include "posthouse/pg.h"\n'}),
        ('a private header of auth', {'src/gateway/relay.c': '#include "auth/auth_priv.h"\n'}),
        ('which belongs to no module', {'src/gateway/relay.c': '#include "posthouse/news.h"\n'}),
        ('which belongs to no module', {'src/gateway/relay.c': '#include "nowhere.h"\n'}),
        ('no module of', {'include/posthouse/news.h': ''}),
        ('no module of', {'src/news/a.c': ''}),
        ('a public header includes <uv.h>', {'include/posthouse/stream.h': '#include <uv.h>\n'}),
        ('a codec is pure', {'src/codec/zip.c': '#include "posthouse/log.h"\n'}),
        ('<uv.h> belongs in', {'src/pg/conn.c': '#include <uv.h>\n'}),
        ('<openssl/ssl.h> belongs in', {'src/loop/stream.c': '#include <openssl/ssl.h>\n'}),
        ('<libpq-fe.h> belongs in', {'src/auth/auth_store.c': '#include <libpq-fe.h>\n'}),
        ('<jansson.h> belongs in', {'src/auth/a.c': '#include <jansson.h>\n'}),
        ('<zlib.h> is included by more', {'src/codec/a.c': '#include <zlib.h>\n', 'src/codec/b.c': '#include <zlib.h>\n'}),
        ('SQL text outside', {'src/auth/a.c': 'const char *q = " insert INTO x";\n'}),
        ('SQL text outside', {'src/auth/a.c': 'const char *q = "select posthouse.f($1)";\n'}),
        ('SQL text outside', {'src/auth/a.c': 'const char *q = "SELECT a "\n"FROM b";\n'}),
        ('account (layer 3) includes posthouse/gateway.h',
         {'tests/unit/account/test_a.c': '#include "posthouse/gateway.h"\n'}),
    ]
    return source.self_test(check, good, bad)


if __name__ == '__main__':
    source.main(check, test)
