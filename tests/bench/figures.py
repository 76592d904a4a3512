# SPDX-License-Identifier: Apache-2.0
"""Samples become figures: medians over rounds, ratios within a round, verdicts against targets, and a table.

A sample is one measurement of one competitor in one round: {'key', 'who', 'round', 'values', 'void', 'quiet'}. A figure
takes one value of the samples with its key. Costs all: less is better, and a ratio is ours by nginx's.
"""
import statistics

PEERS = ('nginx', 'haproxy')


class Figure:
    """One line of the table.

    key, value: which samples, and what of them. ours: whose sample is ours. minus: this competitor's value in the same
    round is taken off first. peers: whether nginx and HAProxy did the same. over: whose value ours is divided by for the
    ratio. target: ('ratio', x): at most x times that; ('most', x): at most x; None: no target.
    """

    def __init__(self, part, title, key, value, unit, target=None, ours='posthouse', minus=None, peers=True, over='nginx'):
        self.part, self.title, self.key, self.value, self.unit = part, title, key, value, unit
        self.target, self.ours, self.minus, self.peers, self.over = target, ours, minus, peers, over

    def id(self):
        return '%s %s %s' % (self.key, self.ours, self.value)


def usable(samples):
    """Without void ones; without noisy ones too, if at least half are left. Returns (samples, whether noisy ones count)."""
    sound = [s for s in samples if not s['void']]
    quiet = [s for s in sound if s['quiet']]
    if quiet and 2 * len(quiet) >= len(sound):
        return quiet, False
    return sound, bool(sound)


def by_round(samples, key, who, value):
    """{round: value} of one competitor, and whether noisy samples are among them."""
    mine, noisy = usable([s for s in samples if s['key'] == key and s['who'] == who])
    return {s['round']: s['values'][value] for s in mine if s['values'].get(value) is not None}, noisy


def series(samples, figure, who):
    found, noisy = by_round(samples, figure.key, who, figure.value)
    if figure.minus is None:
        return found, noisy
    base, noisy_base = by_round(samples, figure.key, figure.minus, figure.value)
    return {r: v - base[r] for r, v in found.items() if r in base}, noisy or noisy_base


def median_ratio(ours, theirs):
    """The median of the ratios within each round that has both."""
    ratios = [ours[r] / theirs[r] for r in ours if theirs.get(r)]
    return statistics.median(ratios) if ratios else None


def verdict(figure, value, ratio, voids):
    if voids:
        return 'void'
    if figure.target is None or value is None:
        return ''
    kind, limit = figure.target
    measured = ratio if kind == 'ratio' else value
    if measured is None:
        return ''
    return 'holds' if measured <= limit else 'falls short'


def line(samples, figure):
    """All about one figure, as it stands in the table and in the results."""
    ours, noisy = series(samples, figure, figure.ours)
    peers = {peer: series(samples, figure, peer)[0] if figure.peers else {} for peer in PEERS}
    voids = sorted({fault for s in samples if s['key'] == figure.key and s['who'] in (figure.ours, figure.minus)
                    for fault in s['void']})
    value = statistics.median(ours.values()) if ours else None
    base = series(samples, figure, figure.over)[0] if figure.peers else {}
    ratio = median_ratio(ours, base) if figure.minus is None else None
    return {'id': figure.id(), 'part': figure.part, 'title': figure.title, 'unit': figure.unit, 'value': value,
            'range': [min(ours.values()), max(ours.values())] if ours else None, 'rounds': len(ours), 'noisy': noisy,
            **{peer: statistics.median(found.values()) if found else None for peer, found in peers.items()},
            'ratio': ratio, 'over': figure.over, 'target': figure.target, 'verdict': verdict(figure, value, ratio, voids), 'voids': voids}


def lines(samples, figures):
    """Those that were measured."""
    found = [line(samples, figure) for figure in figures]
    return [one for one in found if one['value'] is not None or one['voids']]


# ---- words ----

def number(value):
    if value is None:
        return '-'
    if abs(value) >= 1000:
        return '{:,.0f}'.format(value)
    if abs(value) >= 100:
        return '%.0f' % value
    return '%.1f' % value if abs(value) >= 10 else '%.2f' % value


def spread(one):
    """The range, where it is more than the rounding."""
    if not one['range'] or one['rounds'] < 2:
        return ''
    return ' (%s to %s)' % tuple(number(v) for v in one['range'])


def target_words(one):
    if one['target'] is None:
        return ''
    kind, limit = one['target']
    return '%.2f x %s' % (limit, one['over']) if kind == 'ratio' else number(limit)


def table(found, ranges=True):
    """Markdown, in columns that also line up on a terminal."""
    rows = [['figure', 'unit', 'Posthouse', 'nginx', 'HAProxy', 'ratio', 'at most', '']]
    for one in found:
        mark = '~' if one['noisy'] else ''
        rows.append([one['title'], one['unit'], mark + number(one['value']) + (spread(one) if ranges else ''),
                     number(one['nginx']), number(one['haproxy']), number(one['ratio']), target_words(one),
                     one['verdict']])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    rows.insert(1, ['-' * (w - 1) + ':' if 2 <= i <= 6 else '-' * w for i, w in enumerate(widths)])
    return '\n'.join('| ' + ' | '.join(cell.rjust(w) if 2 <= i <= 6 else cell.ljust(w)
                                       for i, (cell, w) in enumerate(zip(row, widths))) + ' |' for row in rows)


def tables(found, heading='### '):
    parts = []
    for one in found:
        if one['part'] not in parts:
            parts.append(one['part'])
    out = []
    for part in parts:
        mine = [one for one in found if one['part'] == part]
        out += [heading + part, '', table(mine), '']
        out += ['- **void**: %s: %s' % (one['title'], '; '.join(one['voids'])) for one in mine if one['voids']]
        out += [''] if out[-1] else []
    return '\n'.join(out)


def compared(before, after, limit=0.10):
    """Two runs' lines, side by side: (title, before, after, change, whether it is beyond the limit)."""
    old = {one['id']: one for one in before}
    found = []
    for one in after:
        was = old.get(one['id'])
        if not was or not was['value'] or one['value'] is None:
            continue
        change = one['value'] / was['value'] - 1
        found.append((one['title'] + ', ' + one['unit'], was['value'], one['value'], change, abs(change) > limit))
    return found


def slope(points):
    """Least squares: what y gains for each x."""
    mean_x = statistics.fmean(x for x, _ in points)
    mean_y = statistics.fmean(y for _, y in points)
    spread_x = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread_x if spread_x else 0.0


def quantile(values, share):
    """The value below which that share lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
