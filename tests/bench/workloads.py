# SPDX-License-Identifier: Apache-2.0
"""The workloads, one function each. targets.py makes lines of a table of their samples.

A function runs one round: every competitor, in an order that changes with the round. README.md says what each stands for.
"""
import contextlib
import time

import client as http

import figures
import load
import machine
import targets
from stack import PLAIN, TLS_IN, TLS_OUT

SMALL_TEXT = 500   # bytes of answer text: about 1.5 KB of JSON
LARGE_TEXT = 3000  # about 4 KB
SMALL_BODY = 463
SOCKET_BODY = 2048  # of a turn on a WebSocket, and of the same turn over SSE
LARGE_FRAME = 64 * 1024
PING_S = 20  # a node's: of silence
EVENTS = 200
SHAKERS = 16  # connections that are made at a time
EVENT_TEXT = 16    # bytes of a delta: about 200 B on the wire
PACE_MS = 20       # the fake upstream's timers round that up to 30
CHAIN_BYTES = 3072  # new words of a turn; the answer repeats 1 KB of them
DEPTH, STEP = 200, 10
DEEP, DEEP_STEP, DEEP_CHAINS = 1000, 50, 8
SLOW_RATE = 10 * 1024
SETTLED = 2  # seconds that bad neighbours get to begin
# More than all sockets on the way hold, in small events: those that repeat the whole text are left out.
LONG_STREAM = {'deltas': 4096, 'delta_bytes': 1024, 'output': 'empty',
               'skip': ['response.output_text.done', 'response.content_part.done', 'response.output_item.done']}


class Size:
    """How much of everything."""

    def __init__(self, quick):
        self.quick = quick
        self.seconds = 1 if quick else 3  # longer ones queue more than a node keeps
        self.connections = [32] if quick else [32, 128]
        self.streams = [400] if quick else [100, 400, 1000]
        self.paced = 80 if quick else EVENTS
        self.chains = 32
        self.replayed = 8 if quick else 32  # of them
        self.replays = 4 if quick else 3  # visits of each chain
        self.deep = not quick
        self.idle = [(100, 1000)] if quick else [(100, 1000), (1000, 9000)]
        self.sockets = (200, 2000)
        self.pause = 0.5 if quick else 1
        self.readers = 100 if quick else 500
        self.rates = [] if quick else [1000, 2000, 4000, 6000, 8000, 12000, 16000, 20000]


def body(size, store=False, stream=False, create=False):
    """create: as a message on a WebSocket."""
    head = b'{%s"model":"bench",%s%s"input":"' % (b'"type":"response.create",' if create else b'',
                                               b'"stream":true,' if stream else b'', b'' if store else b'"store":false,')
    return head + b'x' * (size - len(head) - 2) + b'"}'


def items_body(size):
    """As Codex sends: instructions, tools, and a list of items; about 1 KB each, with line ends and quotes in the text."""
    text = 'git diff --stat\\n src/main.c | 12 ++++\\n \\"a quoted word\\" and some prose about what was changed and why.\\n' * 8
    item = '{"type":"message","role":"user","content":[{"type":"input_text","text":"%s"}]}' % text
    tool = '{"type":"function","name":"shell","parameters":{"type":"object","properties":{"command":{"type":"string"}}}}'
    head = '{"model":"bench","store":false,"instructions":"%s","tools":[%s],"input":[' % (text, ','.join([tool] * 8))
    return (head + ','.join([item] * max(1, round((size - len(head)) / (len(item) + 1)))) + ']}').encode()


class Bench:
    def __init__(self, stack, loads, size, say):
        self.stack, self.load, self.size, self.say = stack, loads, size, say
        self.samples = []
        self.curves = {}  # for the plots: name -> list of points
        self.round = 0
        self.node = stack.node
        self.posthouse = stack.relay(self.node)
        self.durable = stack.relay(self.node, 'durable', key='all')
        self.tips = {}  # key -> depth -> ids of conversations
        self.faults = []

    def rotated(self, relays):
        at = self.round % len(relays)
        return relays[at:] + relays[:at]

    def makers(self, ours_alone=False):
        """What makes a fresh process of each."""
        stack = self.stack
        return [stack.make_posthouse] if ours_alone else self.rotated([stack.make_posthouse, stack.make_nginx, stack.make_haproxy])

    def key(self, relay):
        return self.stack.keys[relay.key]

    @contextlib.contextmanager
    def sample(self, key, relay, settle=True):
        """Measures what happens inside; the body fills values['units'] (what CPU is divided by) and void. settle: for ours
        the sample ends when all of it is in the database."""
        groups = {'gateway': relay.roots, 'upstream': [self.stack.canned.process.pid, self.stack.scripted.process.pid],
                  'database': [self.stack.postgres.pid]}
        values, void = {}, []
        window = machine.Window(groups, self.stack.ours())
        kernel = machine.kernel_ns(relay.roots)
        try:
            with window:
                yield values, void
                if settle and relay.node:
                    self.stack.settle(relay.node)
        except load.LoadFault as fault:
            void.append(str(fault)[:300])
        for name, per_unit in (('gateway', 'us'), ('database', 'database_us')):
            if values.get('units'):
                values[per_unit] = window.ns[name] / values['units'] / 1e3
        if values.get('units') and window.wall > 0.5:
            values['kernel_us'] = (machine.kernel_ns(relay.roots) - kernel) / values['units'] / 1e3
        self.samples.append({'key': key, 'who': relay.name, 'round': self.round, 'values': values, 'void': void,
                             'quiet': window.quiet, 'foreign': round(window.foreign, 3), 'steal': round(window.steal, 3),
                             'wall': round(window.wall, 3)})
        self.say('%-16s %-10s %s%s%s' % (key, relay.name, ' '.join(
            '%s=%s' % (name, figures.number(value)) for name, value in values.items() if isinstance(value, (int, float))),
            '' if window.quiet else ' NOISY %.1f' % window.foreign, ' VOID %s' % void if void else ''))

    def logged(self, relay):
        """Rows that say that turns happened: of the request log, and of snapshots where turns are durable."""
        tables = ('request_log', 'snapshots') if relay.key == 'all' else ('request_log',)
        return {table: self.stack.rows(table, relay.key) for table in tables} if relay.node else {}

    def check_rows(self, relay, before, answered, void):
        for table, was in before.items():
            grown = self.logged(relay)[table] - was
            if grown < answered:
                void.append('%d of %d turns are not in %s' % (answered - grown, answered, table))
                self.say('    VOID ' + void[-1])


# ---- W1, W2: plain requests ----

def closed_loop(bench, key, relay, data, connections=32):
    """wrk against one competitor."""
    before = bench.logged(relay)
    with bench.sample(key, relay) as (values, void):
        found = bench.load.wrk(relay.url, bench.key(relay), data, connections, bench.size.seconds)
        values.update(units=found['answered'], rate=found['answered'] / found['seconds'], p50=found['p50'], p99=found['p99'])
        void += load.faults_of_wrk(found)
    bench.check_rows(relay, before, bench.samples[-1]['values'].get('units', 0), bench.samples[-1]['void'])


def beyond(bench, key, who, small, large, units=1):
    """What the large one costs more than the small one in this round, for each unit."""
    found = {s['key']: s for s in bench.samples if s['who'] == who and s['round'] == bench.round and s['key'] in (small, large)}
    if len(found) == 2 and all('us' in s['values'] for s in found.values()):
        costs = [found[name]['values']['us'] for name in (small, large)]
        bench.samples.append(dict(found[large], key=key, void=found[small]['void'] + found[large]['void'],
                                  quiet=found[small]['quiet'] and found[large]['quiet'],
                                  values={'us': (costs[1] - costs[0]) / units}))


def warm_up(bench, relays):
    """Connections, caches and pages are there."""
    for relay in relays:
        bench.load.wrk(relay.url, bench.key(relay), body(SMALL_BODY, relay is bench.durable), 32, 1)
        if relay.node:
            bench.stack.settle(relay.node)


def w1(bench):
    stack = bench.stack
    stack.can(text='hello', text_bytes=SMALL_TEXT)
    if bench.round == 0:
        bench.quiet = stack.relay(stack.posthouse('quiet', POSTHOUSE_LOG_LEVEL='warn'), 'quiet')
    relays = [bench.posthouse, stack.nginx, bench.durable, stack.haproxy, bench.quiet]
    if bench.round == 0:
        warm_up(bench, relays)
    for connections in bench.size.connections:
        for relay in bench.rotated(relays):
            closed_loop(bench, 'w1.c%d' % connections, relay, body(SMALL_BODY, relay is bench.durable), connections)
    added_latency(bench)
    if bench.round == 0:
        latency_over_load(bench)


def added_latency(bench):
    """One connection, nothing pinned."""
    stack = bench.stack
    for relay in bench.rotated([stack.direct, bench.posthouse, stack.nginx, bench.durable, stack.haproxy]):
        stack.unpin(relay)
        with bench.sample('w1.c1', relay) as (values, void):
            request = bench.load.request(bench.key(relay), body(SMALL_BODY, relay is bench.durable))
            found = bench.load.client('turns', relay.address, stack.cores.all, request=request, connections=1,
                                      seconds=bench.size.seconds)
            values.update(units=found['answered'], p50=found['latency']['p50'], p99=found['latency']['p99'])
            void += load.faults_of_client(found)
        stack.repin(relay)


def latency_over_load(bench):
    """An open loop at rising rates, until one cannot follow. For the plot only."""
    stack = bench.stack
    for relay in [stack.nginx, stack.haproxy, bench.posthouse, bench.durable]:
        points = bench.curves.setdefault('load ' + relay.name, [])
        request = bench.load.request(bench.key(relay), body(SMALL_BODY, relay is bench.durable))
        for rate in bench.size.rates:
            found = bench.load.client('turns', relay.address, request=request, connections=256, rate=rate, seconds=2)
            if relay.node:
                stack.settle(relay.node)
            latency = found['latency']
            bench.say('%-16s %-10s rate=%d p50=%.0f p99=%.0f' % ('w1.load', relay.name, rate, latency['p50'], latency['p99']))
            if load.faults_of_client(found) or latency['p50'] > 20000:
                break
            points.append([rate, latency['p50'], latency['p99']])


def w2(bench):
    stack = bench.stack
    stack.can(text='hello', text_bytes=LARGE_TEXT)
    for size in (50, 500):
        for relay in bench.rotated([bench.posthouse, stack.nginx, stack.haproxy]):
            closed_loop(bench, 'w2.%dk' % size, relay, items_body(size * 1000))
    for relay in bench.rotated([bench.posthouse, stack.nginx, stack.haproxy]):
        closed_loop(bench, 'w2.text', relay, body(50000))
    for who in ('posthouse', 'nginx', 'haproxy'):
        beyond(bench, 'w2.slope', who, 'w2.50k', 'w2.500k', 450)


# ---- TLS on the listener ----

def tls(bench):
    """Small turns on connections that are kept, and connections that are made; one certificate for all."""
    stack = bench.stack
    stack.can(text='hello', text_bytes=SMALL_TEXT)
    if bench.round == 0:
        bench.secure = [make(TLS_IN) for make in bench.makers()]
        warm_up(bench, bench.secure)
    for relay in bench.rotated(bench.secure):
        closed_loop(bench, 'tls.c32', relay, body(SMALL_BODY))
    for key, resume in (('tls.whole', 0), ('tls.resumed', 1)):
        for relay in bench.rotated(bench.secure):
            with bench.sample(key, relay) as (values, void):
                found = bench.load.client('shakes', relay.address, connections=SHAKERS, seconds=bench.size.seconds,
                                          resume=resume, **relay.tls)
                values.update(units=found['answered'], rate=found['answered'] / found['seconds'])
                void += load.faults_of_client(found)


# ---- W3: streams ----

def stream_loop(bench, key, relay, per, events=EVENTS, request=None, **options):
    before = bench.logged(relay)
    request = request or bench.load.request(bench.key(relay), body(SMALL_BODY, stream=True))
    with bench.sample(key, relay) as (values, void):
        found = bench.load.client('streams', relay.address, request=request, events=events, **options)
        values.update(units=found[per], rate=found['answered'] / found['seconds'], p50=found['latency']['p50'],
                      p99=found['latency']['p99'], first=found['first']['p50'], answered=found['answered'])
        void += load.faults_of_client(found)
    bench.check_rows(relay, before, bench.samples[-1]['values'].get('answered', 0), bench.samples[-1]['void'])


def w3(bench):
    stack = bench.stack
    relays = [bench.posthouse, stack.nginx, stack.haproxy, stack.direct]
    stack.can(deltas=EVENTS, delta_bytes=EVENT_TEXT)
    for relay in bench.rotated(relays):
        stream_loop(bench, 'w3.burst', relay, 'answered', connections=16, seconds=bench.size.seconds)
    stack.can(deltas=bench.size.paced, delta_bytes=EVENT_TEXT, delay_ms=PACE_MS, stamp=True)
    for streams in bench.size.streams:
        for relay in bench.rotated(relays):
            stream_loop(bench, 'w3.paced%d' % streams, relay, 'events', bench.size.paced, connections=streams, repeat=1,
                        seconds=20)


# ---- W4: turns on WebSockets ----

def socket_options(bench, relay, size=None):
    """Of bench-client: a turn of so many bytes on sockets that stay, none: nothing is asked."""
    found = {'upgrade': bench.load.upgrade(bench.key(relay))}
    if size:
        found['request'] = bench.load.file(body(size, relay.key == 'all', create=True))
    return found


def by_both(bench, key, relay, per, size=SOCKET_BODY, peers=(), **options):
    """The same turn on a WebSocket and over SSE, through the same node, and on a WebSocket through others."""
    over_sse = bench.stack.relay(relay.node, 'sse', key=relay.key)
    request = bench.load.request(bench.key(over_sse), body(size, relay.key == 'all', stream=True))
    for one in bench.rotated([relay, over_sse, *peers]):
        way = {'request': request} if one is over_sse else socket_options(bench, one, size)
        stream_loop(bench, key, one, per, **way, **options)


def w4(bench):
    stack, size = bench.stack, bench.size
    durable = stack.relay(bench.node, key='all')
    stack.can(deltas=EVENTS, delta_bytes=EVENT_TEXT)
    by_both(bench, 'w4.burst', durable, 'answered', peers=[stack.haproxy], connections=16, seconds=size.seconds)
    stack.can(deltas=size.paced, delta_bytes=EVENT_TEXT, delay_ms=PACE_MS, stamp=True)
    by_both(bench, 'w4.paced', durable, 'events', peers=[stack.haproxy], events=size.paced, connections=400,
            repeat=1, seconds=20)
    stack.can(text='hello', deltas=1)
    for key, large in (('w4.small', SMALL_BODY), ('w4.64k', LARGE_FRAME)):
        by_both(bench, key, bench.posthouse, 'answered', large, peers=[stack.haproxy], events=1, connections=16,
                seconds=size.seconds)
    for who in ('posthouse', 'sse', 'haproxy'):
        beyond(bench, 'w4.frame', who, 'w4.small', 'w4.64k')
    idle_sockets(bench, 'w4.idle', stack.make_posthouse(), None)
    for make in bench.rotated([stack.make_posthouse, stack.make_haproxy]):
        idle_sockets(bench, 'w4.pair', make(), SMALL_BODY)


def idle_sockets(bench, key, relay, size):
    """Memory, and a minute's pings: sockets that are open, or that keep one to the upstream from their turn."""
    few, many = bench.size.sockets
    with bench.sample(key, relay, settle=False) as (values, void):
        with bench.load.start('hold', relay.address, connections=many, **socket_options(bench, relay, size)) as client:
            values['kib'], values['rest_us'] = growth(bench, relay, client, (few, many), PING_S + 1)
            found = client.result()
        values['ping_us'] = values.pop('rest_us') * 60 / many
        void += load.faults_of_client(dict(found, answered=1))
        if found['ready'] != many:
            void.append('%d of %d sockets were open' % (found['ready'], many))
    bench.stack.retire(relay)


# ---- W5, W6: conversations ----

class Growth:
    """How many conversations grow how far, in which steps."""

    def __init__(self, chains, depth=DEPTH, step=STEP):
        self.chains, self.depth, self.step = chains, depth, step
        self.turns = chains * depth


def grow_chains(bench, key, relay, growth, path='/v1/responses'):
    """All conversations to full depth, in steps: [depth, WAL bytes per turn, p50, p99] of each."""
    stack, points = bench.stack, []
    with bench.sample(key, relay) as (values, void):
        wal = stack.wal()
        with bench.load.start('chains', relay.chain, connections=growth.chains, depth=growth.depth, step=growth.step, path=path,
                              bytes=CHAIN_BYTES, key=bench.key(relay)) as client:
            for depth in range(growth.step, growth.depth + 1, growth.step):
                found = client.line()
                now = stack.wal()
                points.append([depth, (now - wal) / (growth.step * growth.chains), found['latency']['p50'],
                               found['latency']['p99']])
                wal = now
                if depth in (50, DEPTH, DEEP):
                    bench.tips.setdefault(relay.name, {})[depth] = found['tips']
                client.tell('go on')
        values.update(units=found['answered'], p50_first=points[0][2], p50_last=points[-1][2], p99_last=points[-1][3])
        void += load.faults_of_client(found)
        if found['answered'] != growth.turns:
            void.append('%d turns instead of %d' % (found['answered'], growth.turns))
    return points


def chain_bytes(stack):
    """Turns of the forwarded conversations so far, and the bytes of the items that they added."""
    where = 'FROM posthouse.snapshots WHERE scope = %s'
    return (stack.sql('SELECT count(*) ' + where, stack.scope('chain')),
            int(stack.sql('SELECT coalesce(sum(octet_length(input) + octet_length(output)), 0) ' + where,
                          stack.scope('chain'))))


def grow_forwarded(bench, key, growth):
    """Conversations that the upstream knows: what they wrote besides. For the plot: that over depth, and its target."""
    stack = bench.stack
    before = chain_bytes(stack)
    stack.watch.execute('CHECKPOINT')  # so that each run bears the same first writes of whole pages
    wal, size = stack.wal(), stack.size()
    points = grow_chains(bench, key, stack.relay(bench.node, key='chain'), growth)
    wal, size = stack.wal() - wal, stack.size() - size
    turns, delta = (now - was for now, was in zip(chain_bytes(stack), before))
    values, void = bench.samples[-1]['values'], bench.samples[-1]['void']
    if turns != growth.turns:
        void.append('%d snapshots instead of %d' % (turns, growth.turns))
    if turns:
        late = [(p[0], p[1]) for p in points[1:]]
        values.update(delta=delta / turns, wal=wal / turns, table=size / turns, wal_over=wal / turns - 1.25 * delta / turns,
                      wal_growth=figures.slope(late) * growth.depth / (wal / turns))
        bench.curves['depth target'] = [[p[0], 1.25 * delta / turns + targets.WAL_OVER] for p in (points[0], points[-1])]
    bench.curves['depth posthouse'] = points


def grow_replayed(bench, key):
    """Conversations that are replayed in each turn. What is sent grows with the square of the depth: there is one deep one,
    and later rounds use it again."""
    relay = bench.stack.relay(bench.node, 'replay', key='replay')
    bench.curves['depth replay'] = grow_chains(bench, key, relay, Growth(bench.size.replayed))
    if bench.size.deep and DEEP not in bench.tips['replay']:
        grow_chains(bench, 'w6.grow', relay, Growth(1, DEEP, DEEP))


def w5(bench):
    stack = bench.stack
    growth = Growth(bench.size.chains)
    for relay in bench.rotated([bench.posthouse, stack.nginx, stack.haproxy, stack.direct]):
        if relay.node:
            grow_forwarded(bench, 'w5.chain', growth)
        else:
            grow_chains(bench, 'w5.chain', relay, growth, '/a/p/v1/responses')
    if bench.size.deep:
        grow_forwarded(bench, 'w5.deep', Growth(DEEP_CHAINS, DEEP, DEEP_STEP))
    grow_replayed(bench, 'w5.chain')


def w6(bench):
    """Each conversation's next turn, on a node that was just started. Time: from before the request was sent until its
    head was at the upstream. The fake upstream checks that the whole conversation is there."""
    stack = bench.stack
    if 'replay' not in bench.tips:
        grow_replayed(bench, 'w6.grow')
    upstream = stack.upstream([('s', 'stateless')], '--record-mib', '2048')
    stack.cluster.account('replay', 'stateless', upstream.base('s'))
    stack.cluster.sql("ALTER ROLE posthouse_node SET track_functions = 'all'")
    node = stack.posthouse('late%d' % bench.round)
    before = walks(stack)
    visits = 0
    for depth, tips in sorted(bench.tips['replay'].items()):
        with bench.sample('w6.%d' % depth, stack.relay(node)) as (values, void):
            took = [visit(stack, node, upstream, tip, depth, void) for _ in range(bench.size.replays) for tip in tips]
            values.update(units=len(took), p50=figures.quantile(took, 0.5), p99=figures.quantile(took, 0.99),
                          first=figures.quantile(took[:len(tips)], 0.5))
        visits += len(took)
    stack.cluster.sql('ALTER ROLE posthouse_node RESET track_functions')
    stack.cluster.account('replay', 'stateless', stack.scripted.base('s'))
    stack.retire(stack.relay(node), wait=True)
    bench.samples[-1]['values']['calls'] = (walks(stack) - before) / visits
    upstream.stop()


def walks(stack):
    """How often a chain was asked for; a connection that opens asks once to warm up."""
    return stack.calls('resolve') - stack.calls('warm')


def visit(stack, node, upstream, tip, depth, void):
    with http.Client(node.url, stack.keys['replay']) as one:
        one.get('/v1/responses/resp_none')  # the connection is there
        start = time.monotonic_ns() / 1e6
        answer = one.post({'model': 'bench', 'input': 'go on', 'previous_response_id': tip})
        seen = '"text":"seen %d ' % (2 * depth + 1)
        if answer.status != 200 or seen not in answer.body.decode():
            void.append('an answer without the whole conversation: %s' % answer.body[:100])
    return (upstream.requests(last=1)[0]['arrived'] - start) * 1e3


# ---- W7: idle streams ----

def w7(bench):
    stack = bench.stack
    stack.can(deltas=2, delta_bytes=EVENT_TEXT, fault='silence', at='item')
    kinds = [('w7.%d' % many, PLAIN, few, many) for few, many in bench.size.idle]
    kinds += [('w7.tls_' + way, way, 100, 1000) for way in (TLS_OUT, TLS_IN)]
    for key, way, few, many in kinds:
        for make in bench.makers(ours_alone=way != PLAIN and bench.size.quick):
            relay, before = make(way), stack.upstream_files()
            idle_streams(bench, key, relay, few, many)
            stack.retire(relay)
            stack.await_closed(before)


def idle_streams(bench, key, relay, few, many):
    """The slope of memory between few and many streams: what was there before them does not count."""
    request = bench.load.request(bench.key(relay), body(SMALL_BODY, stream=True))
    with bench.sample(key, relay, settle=False) as (values, void):
        with bench.load.start('hold', relay.address, request=request, connections=many, **relay.tls) as client:
            values['kib'], values['rest_us'] = growth(bench, relay, client, (few, many), 2 * bench.size.pause)
            found = client.result()
        void += load.faults_of_client(found)
        if found['ready'] != many:
            void.append('%d of %d streams were open' % (found['ready'], many))


def growth(bench, relay, client, counts, rest):
    """Memory of one more of what the client holds, in KiB; CPU while they rest for so long, in microseconds per second."""
    rss = []
    for count in counts:
        client.tell(count)
        client.line()
        time.sleep(bench.size.pause)
        rss.append(machine.rss_kib(relay.roots))
    before, start = machine.cpu_ns(relay.roots), time.monotonic()
    time.sleep(rest)
    busy = (machine.cpu_ns(relay.roots) - before) / 1e3 / (time.monotonic() - start)
    client.end()
    return (rss[1] - rss[0]) / (counts[1] - counts[0]), busy


# ---- W9, W10: bad neighbours ----

def neighbour(bench, key, seconds, mode=None, **options):
    """Turns at a modest fixed rate, their latency, while a client in that mode goes on beside them."""
    relay = bench.posthouse
    request = bench.load.request(bench.key(relay), body(SMALL_BODY))
    with contextlib.ExitStack() as stack:
        trouble = None
        if mode:
            trouble = stack.enter_context(bench.load.start(mode, relay.address, seconds=seconds + SETTLED + 1, **options))
            time.sleep(SETTLED)  # its start is not what is measured
        with bench.sample(key, relay) as (values, void):
            found = bench.load.client('turns', relay.address, request=request, connections=64, rate=1000, seconds=seconds)
            values.update(units=found['answered'], p50=found['latency']['p50'], p99=found['latency']['p99'])
            void += load.faults_of_client(found)
            if trouble:
                found = trouble.result()
                values['trouble'] = found['answered'] or found.get('events', 0)
                void += ['beside it: ' + fault for fault in load.faults_of_client(dict(found, answered=1, late=0))]


def w9(bench):
    stack = bench.stack
    stack.can(text='hello', text_bytes=SMALL_TEXT)
    for key, script, argument in [('w9.checksum', 'refuse.lua', len(stack.keys['none'])),
                                  ('w9.unknown', 'turn.lua', stack.keys['gone'])]:
        reads = database_calls(stack)
        with bench.sample(key, bench.posthouse) as (values, void):
            found = bench.load.wrk(bench.posthouse.url, argument, body(SMALL_BODY), 32, bench.size.seconds, script)
            values.update(units=found['answered'], rate=found['answered'] / found['seconds'])
            void += load.faults_of_wrk(found, refused=True)
        asked = database_calls(stack) - reads
        if asked > 50 + found['answered'] / 20:  # statistics of what was before come late
            bench.samples[-1]['void'].append('%d questions to PostgreSQL' % asked)
    seconds = 2 * bench.size.seconds
    neighbour(bench, 'w9.alone', seconds)
    request = bench.load.request(stack.keys['gone'], body(SMALL_BODY))
    neighbour(bench, 'w9.storm', seconds, 'turns', request=request, status=401, connections=64, rate=10000)


def database_calls(stack):
    """Transactions of the database; what a node has just asked shows within a second."""
    time.sleep(1.2)
    return int(stack.sql('SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()'))


def w10(bench):
    stack, seconds = bench.stack, 5 if bench.size.quick else 15
    stack.can(**LONG_STREAM)
    for make in bench.makers(ours_alone=bench.size.quick):
        relay = make()
        slow_readers(bench, relay, seconds)
        stack.retire(relay)
    seconds = 3 if bench.size.quick else 15
    stack.can(text='hello', text_bytes=SMALL_TEXT)
    stack.can(stack.bulk, **LONG_STREAM)
    slow = bench.load.request(stack.keys['bulk'], body(SMALL_BODY, stream=True))
    neighbour(bench, 'w10.alone', seconds)
    neighbour(bench, 'w10.slow', seconds, 'slow', request=slow, rate=SLOW_RATE, connections=bench.size.readers)


def slow_readers(bench, relay, seconds):
    request = bench.load.request(bench.key(relay), body(SMALL_BODY, stream=True))
    readers = bench.size.readers
    with bench.sample('w10.readers', relay, settle=False) as (values, void):
        empty = machine.rss_kib(relay.roots)
        with bench.load.start('slow', relay.address, request=request, rate=SLOW_RATE, connections=readers,
                              seconds=seconds) as client:
            time.sleep(seconds * 2 / 3)
            before = machine.rss_kib(relay.roots)
            time.sleep(seconds / 3 - 0.5)
            end = machine.rss_kib(relay.roots)
            found = client.result()
        values.update(kib=(end - empty) / readers, growth=(end - empty) / max(1, before - empty), read=found['bytes'] / readers)
        void += load.faults_of_client(dict(found, answered=1))


WORKLOADS = {'W1': w1, 'TLS': tls, 'W2': w2, 'W3': w3, 'W4': w4, 'W5': w5, 'W6': w6, 'W7': w7, 'W9': w9, 'W10': w10}
