#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What must not stand in the sources: unbounded or locale-bound C functions, marks of unfinished work, comments to the
end of the line, files without their licence line, and host names of package registries (they belong to the
configuration of the machine that builds)."""
import re

import source

FUNCTIONS = {
    'strcpy': 'ph_str_copy', 'strncpy': 'ph_str_copy', 'strcat': 'struct ph_buf', 'strncat': 'struct ph_buf',
    'sprintf': 'snprintf', 'vsprintf': 'vsnprintf', 'gets': 'read', 'strtok': 'ph_str_split',
    'atoi': 'ph_str_u64', 'atol': 'ph_str_u64', 'atoll': 'ph_str_u64', 'atof': 'ph_str_u64', 'alloca': 'an arena',
    'strdupa': 'an arena',
}
CALL = re.compile(r'(?<![\w.>])(%s)\s*\(' % '|'.join(FUNCTIONS))
SPDX = '/* SPDX-License-Identifier: Apache-2.0 */\n'
# In two pieces, so that this file is not its own first finding.
UNFINISHED = re.compile(r'\b(%s)\b' % '|'.join(a + b for a, b in [('TO', 'DO'), ('FIX', 'ME'), ('XX', 'X')]))
REGISTRIES = re.compile('|'.join(re.escape('.'.join(name)) for name in [
    ('registry', 'npmjs', 'org'), ('npmjs', 'com'), ('registry', 'yarnpkg', 'com'), ('pypi', 'org'),
    ('pythonhosted', 'org'), ('crates', 'io'), ('proxy', 'golang', 'org'), ('rubygems', 'org'),
    ('repo', 'maven', 'apache', 'org'), ('repo1', 'maven', 'org'), ('registry-1', 'docker', 'io'),
]))


def check_c(path, text):
    if not text.startswith(SPDX):
        yield '%s:1: the first line is not %s' % (path, SPDX.strip())
    bare = source.code(text)
    for match in CALL.finditer(bare):
        yield '%s:%d: %s(): use %s' % (path, source.line_of(text, match.start()), match.group(1),
                                       FUNCTIONS[match.group(1)])
    for match in source.TOKEN.finditer(text):
        if match.lastgroup == 'line':
            yield '%s:%d: a // comment' % (path, source.line_of(text, match.start()))


def check_text(path, text):
    for number, line in enumerate(text.splitlines(), 1):
        for pattern, what in ((UNFINISHED, 'unfinished work'), (REGISTRIES, 'a registry')):
            found = pattern.search(line)
            if found:
                yield '%s:%d: %s: %s' % (path, number, what, found.group())


def check(root):
    problems = []
    for path in source.files(root):
        text = source.read(root / path)
        if text is None:
            continue
        if path.suffix in ('.c', '.h') and path.parts[0] in ('src', 'include', 'tests'):
            problems += check_c(path, text)
        problems += check_text(path, text)
    return problems


def test():
    good = {
        'src/a/a.c': SPDX + '/* http://host, strcpy(a, b) */\nint f(void) { return snprintf(p, 1, "// strcpy()"); }\n'
                            "char c = '\"'; /* // */\nint g(void) { return my_atoi(x) + s.gets(1); }\n",
        'README.md': 'Example XXXX\n',
        'docs/picture.png': '\x89',
    }
    calls = [('%s(): use' % f, {'src/a/a.c': SPDX + 'int f(void) { return %s (a); }\n' % f}) for f in FUNCTIONS]
    return source.self_test(check, good, calls + [
        ('a // comment', {'src/a/a.c': SPDX + 'int a; // b\n'}),
        ('a // comment', {'tests/a.h': SPDX + '// b\n'}),
        ('the first line', {'include/posthouse/a.h': 'int a;\n'}),
        ('unfinished work', {'src/a/a.c': SPDX + '/* TO' + 'DO: later */\n'}),
        ('unfinished work', {'dev': '# FIX' + 'ME\n'}),
        ('a registry', {'dev': 'curl https://pypi' + '.org/simple\n'}),
        ('a registry', {'package-lock.json': '"https://registry.npmjs' + '.org/x"\n'}),
    ])


if __name__ == '__main__':
    source.main(check, test)
