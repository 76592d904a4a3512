# SPDX-License-Identifier: Apache-2.0
"""What the lints share: finding files, taking C text apart, reporting, and self-tests on synthetic trees."""
import os
import pathlib
import re
import sys
import tempfile

SKIPPED = {'.git', '.dev', 'build', '__pycache__', '.pytest_cache', 'node_modules'}

# One comment, string or character constant; the order matters, since each may hold the others' marks.
TOKEN = re.compile(r'(?P<comment>/\*.*?\*/)|(?P<line>//[^\n]*)|(?P<string>"(?:\\.|[^"\\\n])*")|(?P<char>\'(?:\\.|[^\'\\\n])+\')',
                   re.DOTALL)


def files(root, *suffixes, under=('',)):
    """Paths relative to root, sorted, with one of the suffixes (all files without), below the given directories."""
    found = set()
    for top in under:
        for directory, names, entries in os.walk(root / top):
            names[:] = [n for n in names if n not in SKIPPED]
            found |= {(pathlib.Path(directory) / e).relative_to(root) for e in entries
                      if not suffixes or e.endswith(suffixes)}
    return sorted(found)


def read(path):
    """The text of a file, or None where it is no text."""
    try:
        return path.read_text(encoding='utf-8')
    except (UnicodeDecodeError, OSError):
        return None


def blank(match):
    return re.sub(r'[^\n]', ' ', match.group())


def code(text, keep=()):
    """C text with comments, strings and character constants blanked out, line for line; `keep` names kinds that stay."""
    return TOKEN.sub(lambda m: m.group() if m.lastgroup in keep else blank(m), text)


def line_of(text, offset):
    return text.count('\n', 0, offset) + 1


def self_test(check, good, bad):
    """check(root) must find nothing in the tree `good`, and in each tree of `bad` a problem that holds its words."""
    def problems(tree):
        with tempfile.TemporaryDirectory() as directory:
            root = pathlib.Path(directory)
            for name, text in tree.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(text, encoding='utf-8')
            return check(root)

    failed = ['the clean tree: ' + p for p in problems(good)]
    for words, changes in bad:
        found = problems({**good, **changes})
        if not any(words in p for p in found):
            failed.append('not caught: %s (found: %s)' % (words, found))
    return failed


def main(check, test):
    """Runs check on the repository, or with --self-test the test. Exit status 1 if there is anything to say."""
    if sys.argv[1:] == ['--self-test']:
        problems = test()
    elif len(sys.argv) == 1:
        problems = check(pathlib.Path(__file__).resolve().parents[2])
    else:
        sys.exit('usage: %s [--self-test]' % sys.argv[0])
    for problem in problems:
        print(problem)
    sys.exit(1 if problems else 0)
