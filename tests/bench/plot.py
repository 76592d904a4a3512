# SPDX-License-Identifier: Apache-2.0
"""Line plots as SVG, and the two that stand in docs/performance.md. Nothing but text is made, so nothing is needed."""
import html
import math

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 360, 70, 190, 40, 50
COLOURS = ('#0b6e4f', '#c8553d', '#3d5a98', '#8a6d1f', '#6b3d98', '#444444')


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


def draw(title, x_words, y_words, lines, log=False):
    lines = [line for line in lines if line.points]
    xs = [p[0] for line in lines for p in line.points]
    ys = [p[1] for line in lines for p in line.points]
    x = Axis(xs, LEFT, WIDTH - RIGHT)
    y = Axis(ys, HEIGHT - BOTTOM, TOP, log)
    out = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">' % (WIDTH, HEIGHT),
           '<rect width="100%" height="100%" fill="white"/>',
           '<text x="%d" y="20" font-size="14">%s</text>' % (LEFT, html.escape(title))]
    for value in y.ticks:
        out.append('<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ddd"/>' % (LEFT, WIDTH - RIGHT, y.at(value), y.at(value)))
        out.append('<text x="%d" y="%.1f" text-anchor="end">%s</text>' % (LEFT - 6, y.at(value) + 4, tick(value)))
    for value in x.ticks:
        out.append('<text x="%.1f" y="%d" text-anchor="middle">%s</text>' % (x.at(value), HEIGHT - BOTTOM + 18, tick(value)))
    out.append('<text x="%d" y="%d" text-anchor="middle">%s</text>' % ((LEFT + WIDTH - RIGHT) // 2, HEIGHT - 10,
                                                                      html.escape(x_words)))
    out.append('<text transform="translate(14 %d) rotate(-90)" text-anchor="middle">%s</text>' % (
        (TOP + HEIGHT - BOTTOM) // 2, html.escape(y_words)))
    for i, line in enumerate(lines):
        colour = COLOURS[i // 2 % len(COLOURS)] if any(one.dashed for one in lines) else COLOURS[i % len(COLOURS)]
        points = ' '.join('%.1f,%.1f' % (x.at(px), y.at(py)) for px, py in line.points)
        dash = ' stroke-dasharray="5 4"' if line.dashed else ''
        out.append('<polyline points="%s" fill="none" stroke="%s" stroke-width="2"%s/>' % (points, colour, dash))
        height = TOP + 10 + 18 * i
        out.append('<line x1="%d" x2="%d" y1="%d" y2="%d" stroke="%s" stroke-width="2"%s/>' % (
            WIDTH - RIGHT + 12, WIDTH - RIGHT + 36, height, height, colour, dash))
        out.append('<text x="%d" y="%d">%s</text>' % (WIDTH - RIGHT + 42, height + 4, html.escape(line.name)))
    return '\n'.join(out + ['</svg>', ''])


def pictures(curves):
    """{file name: SVG} of what was measured."""
    found = {}
    loads = []
    for name, words in [('posthouse', 'Posthouse'), ('durable', 'Posthouse, durable'), ('nginx', 'nginx'), ('haproxy', 'HAProxy')]:
        points = curves.get('load ' + name) or []
        loads.append(Line(words + ', p50', [(p[0], p[1]) for p in points]))
        loads.append(Line('p99', [(p[0], p[2]) for p in points], dashed=True))
    if any(line.points for line in loads):
        found['latency-over-load.svg'] = draw('Small turns, open loop: latency over load', 'turns per second',
                                              'microseconds', loads, log=True)
    # The first step writes whole pages for the first time since the checkpoint.
    depths = [Line(words, [(p[0], p[1]) for p in curves.get('depth ' + name) or []])
              for name, words in [('posthouse', 'forwarded'), ('replay', 'replayed')]]
    if any(line.points for line in depths):
        found['bytes-over-depth.svg'] = draw('Turns of 4 KB: what is written (WAL) for each, over depth',
                                             'turns in the conversation', 'bytes per turn', depths)
    return found
