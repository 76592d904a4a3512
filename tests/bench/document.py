# SPDX-License-Identifier: Apache-2.0
"""The results in words: for the terminal, and for docs/performance.md, whose part between two marks is replaced."""
import figures
import plot

BEGIN, END = '<!-- ./dev bench --document -->', '<!-- end -->'


def conditions(where):
    versions = ', '.join('%s %s' % pair for pair in where['versions'].items())
    return '%s, %d cores, Linux %s; %s; 8 KiB on the disk (fdatasync) in %d us. %s. %s UTC, %s of each.' % (
        where['cpu'], where['cores'], where['kernel'], versions, where['fdatasync_us'], where['pinning'].capitalize(),
        where['when'], 'one round' if where['rounds'] == 1 else '%d rounds' % where['rounds'])


def report(results):
    out = ['', conditions(results['conditions']), '', figures.tables(results['lines'])]
    if any(one['noisy'] for one in results['lines']):
        out.append('~ other programs took more than %.1f of a core meanwhile.' % 0.3)
    out += ['FAILED ' + fault for fault in results['faults']]
    short = [one['title'] for one in results['lines'] if one['verdict'] == 'falls short']
    held = sum(one['verdict'] == 'holds' for one in results['lines'])
    void = sum(one['verdict'] == 'void' for one in results['lines'])
    out.append('%d targets hold, %d fall short, %d lines are void.' % (held, len(short), void))
    return '\n'.join(out)


def write(docs, results):
    path = docs / 'performance.md'
    text = path.read_text(encoding='utf-8')
    head, rest = text.split(BEGIN, 1)
    _, tail = rest.split(END, 1)
    pictures = plot.pictures(results['curves'])
    for name, svg in pictures.items():
        (docs / name).write_text(svg, encoding='utf-8')
    links = ''.join('![%s](%s)\n' % (name.rsplit('.', 1)[0].replace('-', ' '), name) for name in pictures)
    path.write_text('%s%s\n\n%s\n%s\n%s%s' % (head, BEGIN, report(results).strip(), '\n' + links if links else '', END, tail),
                    encoding='utf-8')
