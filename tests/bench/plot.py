# SPDX-License-Identifier: Apache-2.0
"""Line plots as SVG, and the two that stand in docs/performance.md. Nothing but text is made, so nothing is needed.

A picture has a ground of its own, light or dark as its reader prefers. The colours are apart for the colour-blind too, and
readable on both grounds."""
import html
import math

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 800, 360, 76, 210, 44, 54
COLOURS = ('#1f7fc4', '#d55e00', '#0c9970', '#b05fa0')
STYLE = """<style>
.ground { fill: #ffffff } .words { fill: #1f2328 } .grid { stroke: #d8dee4 }
@media (prefers-color-scheme: dark) { .ground { fill: #0d1117 } .words { fill: #d6dde4 } .grid { stroke: #30363d } }
</style>"""


class Line:
    def __init__(self, name, points, dashed=False):
        self.name, self.points, self.dashed = name, points, dashed


class Axis:
    """Values to pixels. log: powers of ten are equally far apart."""

    def __init__(self, values, low, high, log=False):
        self.log = log
        self.low, self.high = low, high
        if log:
            self.first = 10 ** math.floor(math.log10(max(min(values), 1e-9)))
            self.last = max(10 ** math.ceil(math.log10(max(values))), self.first * 10)
            self.ticks = [10 ** e for e in range(round(math.log10(self.first)), round(math.log10(self.last)) + 1)]
        else:
            step = nice_step(max(values) or 1)
            self.first, self.last = 0, step * math.ceil((max(values) or 1) / step)
            self.ticks = [step * i for i in range(round(self.last / step) + 1)]

    def at(self, value):
        if self.log:
            value = max(value, self.first)
            share = math.log(value / self.first) / math.log(self.last / self.first)
        else:
            share = (value - self.first) / (self.last - self.first)
        return self.low + share * (self.high - self.low)


def nice_step(most, ticks=5):
    """1, 2 or 5 times a power of ten, so that about so many ticks reach the most."""
    power = 10 ** math.floor(math.log10(most / ticks))
    return next(f * power for f in (1, 2, 5, 10) if most / (f * power) <= ticks)


def tick(value):
    return '{:,.0f}'.format(value) if value >= 1 or value == 0 else '%g' % value


def words(x, y, text, more=''):
    return '<text class="words" x="%.1f" y="%.1f"%s>%s</text>' % (x, y, more and ' ' + more, html.escape(text))


def frame(title, x, y, x_words, y_words):
    """All but the lines."""
    middle_x, middle_y = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
    yield '<rect class="ground" width="100%" height="100%" rx="6"/>'
    yield words(LEFT, 24, title, 'font-size="15"')
    for value in y.ticks:
        yield '<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/>' % (LEFT, WIDTH - RIGHT, y.at(value), y.at(value))
        yield words(LEFT - 8, y.at(value) + 4, tick(value), 'text-anchor="end"')
    for value in x.ticks:
        yield words(x.at(value), HEIGHT - BOTTOM + 18, tick(value), 'text-anchor="middle"')
    yield words(middle_x, HEIGHT - 14, x_words, 'text-anchor="middle"')
    yield words(0, 0, y_words, 'transform="translate(18 %d) rotate(-90)" text-anchor="middle"' % middle_y)


def drawn(line, x, y, colour, height):
    """A line with a dot for each point, and its name at that height. Dashed ones belong to the one before."""
    stroke = 'stroke="%s" stroke-width="2"%s' % (colour, ' stroke-dasharray="5 4"' if line.dashed else '')
    at = [(x.at(px), y.at(py)) for px, py in line.points]
    yield '<polyline points="%s" fill="none" %s/>' % (' '.join('%.1f,%.1f' % point for point in at), stroke)
    for point in at:
        yield '<circle cx="%.1f" cy="%.1f" r="2.5" fill="%s"/>' % (*point, colour)
    yield '<line x1="%d" x2="%d" y1="%d" y2="%d" %s/>' % (WIDTH - RIGHT + 14, WIDTH - RIGHT + 40, height, height, stroke)
    yield words(WIDTH - RIGHT + 48, height + 4, line.name)


def draw(title, x_words, y_words, lines, log=False):
    lines = [line for line in lines if line.points]
    x = Axis([p[0] for line in lines for p in line.points], LEFT, WIDTH - RIGHT)
    y = Axis([p[1] for line in lines for p in line.points], HEIGHT - BOTTOM, TOP, log)
    out = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">' % (WIDTH, HEIGHT),
           STYLE, *frame(title, x, y, x_words, y_words)]
    number, height = -1, TOP
    for line in lines:
        number += not line.dashed
        height += 18 if line.dashed else 26
        out += drawn(line, x, y, COLOURS[number % len(COLOURS)], height - 16)
    return '\n'.join(out + ['</svg>', ''])


def pictures(curves):
    """{file name: SVG} of what was measured."""
    found = {}
    loads = []
    for name, shown in [('posthouse', 'Posthouse'), ('durable', 'Posthouse, durable'), ('nginx', 'nginx'), ('haproxy', 'HAProxy')]:
        points = curves.get('load ' + name) or []
        loads.append(Line(shown + ', p50', [(p[0], p[1]) for p in points]))
        loads.append(Line('p99', [(p[0], p[2]) for p in points], dashed=True))
    if any(line.points for line in loads):
        found['latency-over-load.svg'] = draw('Small turns, open loop: latency over load', 'turns per second',
                                              'microseconds', loads, log=True)
    depths = [Line(shown, [(p[0], p[1]) for p in curves.get('depth ' + name) or []], dashed=name == 'target')
              for name, shown in [('posthouse', 'forwarded'), ('target', 'at most'), ('replay', 'replayed')]]
    if any(line.points for line in depths):
        found['bytes-over-depth.svg'] = draw('Turns of 4 KB: what is written (WAL) for each, over depth',
                                             'turns in the conversation', 'bytes per turn', depths)
    return found
