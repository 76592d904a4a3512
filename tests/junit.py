# SPDX-License-Identifier: Apache-2.0
"""Counts of a JUnit file, for ./dev: prints "passed failed skipped"; on stderr, failed and skipped tests by name, and the
figures that tests printed (lines that begin with "figure: ").

Usage: junit.py FILE EXIT_STATUS. A runner that failed without a failed test in its file (a crash, a broken collection)
counts as one failure. Exit status 1 if the file cannot be read or is empty.
"""
import re
import sys
import xml.etree.ElementTree as ElementTree


def counts(path, status):
    passed = failed = skipped = 0
    for case in ElementTree.parse(path).iter('testcase'):
        name = '%s %s' % (case.get('classname') or '', case.get('name'))
        skips, skip = set(), case.find('skipped')
        reason = skip.get('message', '') if skip is not None else ''
        if case.find('failure') is not None or case.find('error') is not None or case.get('status') == 'fail' or \
                reason.startswith('Unable to find executable'):  # ctest's word for what was not built
            failed += 1
            print('FAILED %s %s' % (name, reason), file=sys.stderr)
        elif skip is not None:
            skipped += 1
            print('skipped %s: %s' % (name, reason), file=sys.stderr)
        else:
            passed += 1
        for output in case.iter('system-out'):
            for line in (output.text or '').splitlines():
                if line.startswith('figure: '):
                    print('  %s: %s' % (case.get('name'), line[8:]), file=sys.stderr)
                if re.fullmatch(r'\[  SKIPPED \] test_\w+', line) and line not in skips:  # cmocka's word, said twice
                    skips.add(line)
                    skipped += 1
                    print('skipped %s %s' % (name, line[13:]), file=sys.stderr)
    if status != 0 and failed == 0:
        failed += 1
        print('FAILED the runner ended with status %d' % status, file=sys.stderr)
    return passed, failed, skipped


def main():
    try:
        found = counts(sys.argv[1], int(sys.argv[2]))
    except (OSError, ElementTree.ParseError) as fault:
        print('FAILED no results: %s' % fault, file=sys.stderr)
        return 1
    print('%d %d %d' % found)
    return 0


if __name__ == '__main__':
    sys.exit(main())
