# SPDX-License-Identifier: Apache-2.0
"""The workloads, one function each, and the lines of the table that are made of them.

A function runs one round: every competitor, in an order that changes with the round. README.md says what each stands for.
"""
import contextlib
import time

import client as http

import figures
import load
import machine

Figure = figures.Figure

SMALL_TEXT = 500   # bytes of answer text: about 1.5 KB of JSON
LARGE_TEXT = 3000  # about 4 KB
SMALL_BODY = 463
EVENTS = 200
EVENT_TEXT = 16    # bytes of a delta: about 200 B on the wire
PACE_MS = 20       # the fake upstream's timers round that up to 30
CHAIN_BYTES = 3072  # new words of a turn; the answer repeats 1 KB of them
DEPTH, STEP = 200, 10
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
        self.chains = 8 if quick else 32
        self.replays = 4 if quick else 3  # visits of each chain
        self.idle = [(100, 1000)] if quick else [(100, 1000), (1000, 9000)]
        self.readers = 200 if quick else 500
        self.rates = [] if quick else [1000, 2000, 4000, 6000, 8000, 12000, 16000, 20000]


def body(size, store=False, stream=False):
    head = b'{"model":"bench",%s%s"input":"' % (b'"stream":true,' if stream else b'', b'' if store else b'"store":false,')
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
        self.durable = stack.relay(self.node, 'durable')
        self.tips = {}  # key -> depth -> ids of conversations
        self.faults = []

    def rotated(self, relays):
        at = self.round % len(relays)
        return relays[at:] + relays[:at]

    def key(self, relay):
        return self.stack.keys['all' if relay is self.durable else 'none']

    @contextlib.contextmanager
    def sample(self, key, relay, settle=None):
        """Measures what happens inside; the body fills values['units'] (what CPU is divided by) and void."""
        groups = {'gateway': relay.roots, 'upstream': [self.stack.canned.process.pid, self.stack.scripted.process.pid],
                  'database': [self.stack.postgres.pid]}
        values, void = {}, []
        window = machine.Window(groups, self.stack.ours())
        try:
            with window:
                yield values, void
                if settle:
                    self.stack.settle(settle)
        except load.LoadFault as fault:
            void.append(str(fault)[:300])
        for name, per_unit in (('gateway', 'us'), ('database', 'database_us')):
            if values.get('units'):
                values[per_unit] = window.ns[name] / values['units'] / 1e3
        self.samples.append({'key': key, 'who': relay.name, 'round': self.round, 'values': values, 'void': void,
                             'quiet': window.quiet, 'foreign': round(window.foreign, 3), 'steal': round(window.steal, 3),
                             'wall': round(window.wall, 3)})
        self.say('%-16s %-10s %s%s%s' % (key, relay.name, ' '.join(
            '%s=%s' % (name, figures.number(value)) for name, value in values.items() if isinstance(value, (int, float))),
            '' if window.quiet else ' NOISY %.1f' % window.foreign, ' VOID %s' % void if void else ''))

    def ours(self, relay):
        return relay.name in ('posthouse', 'durable', 'quiet')

    def logged(self, relay):
        """Rows that say that turns happened: of the request log, and of snapshots where turns are durable."""
        key = 'all' if relay.name == 'durable' else 'none'
        tables = ('request_log', 'snapshots') if relay.name == 'durable' else ('request_log',)
        return {table: self.stack.rows(table, key) for table in tables} if self.ours(relay) else {}

    def check_rows(self, relay, before, answered, void):
        for table, was in before.items():
            grown = self.logged(relay)[table] - was
            if grown < answered:
                void.append('%d of %d turns are not in %s' % (answered - grown, answered, table))
                self.say('    VOID ' + void[-1])


# ---- W1, W2: plain requests ----

def closed_loop(bench, key, relay, node, data, connections, seconds):
    """wrk against one competitor; for ours the sample ends when all of it is in the database."""
    ours = bench.ours(relay)
    before = bench.logged(relay)
    with bench.sample(key, relay, settle=node if ours else None) as (values, void):
        found = bench.load.wrk(relay.address, bench.key(relay), data, connections, seconds)
        values.update(units=found['answered'], rate=found['answered'] / found['seconds'], p50=found['p50'], p99=found['p99'])
        void += load.faults_of_wrk(found)
    bench.check_rows(relay, before, bench.samples[-1]['values'].get('units', 0), bench.samples[-1]['void'])


def w1(bench):
    stack, seconds = bench.stack, bench.size.seconds
    stack.can(text='hello', text_bytes=SMALL_TEXT)
    if not hasattr(bench, 'quiet_node'):
        bench.quiet_node = stack.posthouse('quiet', POSTHOUSE_LOG_LEVEL='warn')
    quiet = stack.relay(bench.quiet_node, 'quiet')
    relays = [bench.posthouse, stack.nginx, bench.durable, stack.haproxy, quiet]
    for relay in relays if bench.round == 0 else []:  # connections, caches and pages are there
        bench.load.wrk(relay.address, bench.key(relay), body(SMALL_BODY, relay is bench.durable), 32, 1)
        stack.settle(bench.node)
    for connections in bench.size.connections:
        for relay in bench.rotated(relays):
            node = bench.quiet_node if relay is quiet else bench.node
            closed_loop(bench, 'w1.c%d' % connections, relay, node, body(SMALL_BODY, relay is bench.durable), connections,
                        seconds)
    added_latency(bench)
    if bench.round == 0:
        latency_over_load(bench)


def added_latency(bench):
    """One connection, nothing pinned."""
    stack = bench.stack
    for relay in bench.rotated([stack.direct, bench.posthouse, stack.nginx, bench.durable, stack.haproxy]):
        stack.unpin(relay)
        with bench.sample('w1.c1', relay, settle=bench.node if bench.ours(relay) else None) as (values, void):
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
            if bench.ours(relay):
                stack.settle(bench.node)
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
            closed_loop(bench, 'w2.%dk' % size, relay, bench.node, items_body(size * 1000), 32, bench.size.seconds)
    for relay in bench.rotated([bench.posthouse, stack.nginx, stack.haproxy]):
        closed_loop(bench, 'w2.text', relay, bench.node, body(50000), 32, bench.size.seconds)
    for relay in (bench.posthouse, stack.nginx, stack.haproxy):
        found = {s['key']: s for s in bench.samples if s['who'] == relay.name and s['round'] == bench.round
                 and s['key'] in ('w2.50k', 'w2.500k')}
        small, large = found['w2.50k'], found['w2.500k']
        if 'us' in small['values'] and 'us' in large['values']:
            bench.samples.append(dict(large, key='w2.slope', void=small['void'] + large['void'], values={
                'us': (large['values']['us'] - small['values']['us']) / 450}))


# ---- W3: streams ----

def stream_loop(bench, key, relay, per, **options):
    before = bench.logged(relay)
    request = bench.load.request(bench.key(relay), body(SMALL_BODY, stream=True))
    with bench.sample(key, relay, settle=bench.node if bench.ours(relay) else None) as (values, void):
        found = bench.load.client('streams', relay.address, request=request, events=EVENTS, **options)
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
    stack.can(deltas=EVENTS, delta_bytes=EVENT_TEXT, delay_ms=PACE_MS, stamp=True)
    for streams in bench.size.streams:
        for relay in bench.rotated(relays):
            stream_loop(bench, 'w3.paced%d' % streams, relay, 'events', connections=streams, repeat=1, seconds=20)


# ---- W5, W6: conversations ----

def grow_chains(bench, key, relay, scope_key, path):
    """All conversations to full depth, in steps: [depth, WAL bytes per turn, p50, p99] of each."""
    stack, points = bench.stack, []
    ours = scope_key is not None
    with bench.sample(key, relay, settle=bench.node if ours else None) as (values, void):
        wal = stack.wal()
        with bench.load.start('chains', relay.chain, connections=bench.size.chains, depth=DEPTH, step=STEP, path=path,
                              bytes=CHAIN_BYTES, key=stack.keys[scope_key or 'chain']) as client:
            for depth in range(STEP, DEPTH + 1, STEP):
                found = client.line()
                now = stack.wal()
                points.append([depth, (now - wal) / (STEP * bench.size.chains), found['latency']['p50'],
                               found['latency']['p99']])
                wal = now
                if depth in (50, 200) and ours:
                    bench.tips.setdefault(scope_key, {})[depth] = found['tips']
                client.tell('go on')
        values.update(units=found['answered'], p50_first=points[0][2], p50_last=points[-1][2], p99_last=points[-1][3])
        void += load.faults_of_client(found)
        if found['answered'] != DEPTH * bench.size.chains:
            void.append('%d turns instead of %d' % (found['answered'], DEPTH * bench.size.chains))
    return points


def chain_bytes(stack):
    """Turns of the forwarded conversations so far, and the bytes of the items that they added."""
    where = 'FROM posthouse.snapshots WHERE scope = %s'
    return (stack.sql('SELECT count(*) ' + where, stack.scope('chain')),
            int(stack.sql('SELECT coalesce(sum(octet_length(input) + octet_length(output)), 0) ' + where,
                          stack.scope('chain'))))


def w5(bench):
    stack = bench.stack
    relays = [bench.posthouse, stack.nginx, stack.haproxy, stack.direct]
    for relay in bench.rotated(relays):
        ours = relay is bench.posthouse
        if not ours:
            points = grow_chains(bench, 'w5.chain', relay, None, '/a/p/v1/responses')
            bench.curves['depth ' + relay.name] = points
            continue
        before = chain_bytes(stack)
        stack.watch.execute('CHECKPOINT')  # so that each run bears the same first writes of whole pages
        wal, size = stack.wal(), stack.size()
        points = grow_chains(bench, 'w5.chain', relay, 'chain', '/v1/responses')
        wal, size = stack.wal() - wal, stack.size() - size
        turns, delta = (now - was for now, was in zip(chain_bytes(stack), before))
        bench.curves['depth posthouse'] = points
        values, void = bench.samples[-1]['values'], bench.samples[-1]['void']
        if turns != DEPTH * bench.size.chains:
            void.append('%d snapshots instead of %d' % (turns, DEPTH * bench.size.chains))
        if turns:
            late = [(p[0], p[1]) for p in points[1:]]
            values.update(delta=delta / turns, wal=wal / turns, table=size / turns, wal_over=wal / turns - 1.25 * delta / turns,
                          wal_growth=figures.slope(late) * DEPTH / (wal / turns))
    replay = stack.relay(bench.node, 'replay')
    bench.curves['depth replay'] = grow_chains(bench, 'w5.chain', replay, 'replay', '/v1/responses')


def w6(bench):
    """Each conversation's next turn, on a node that was just started. Time: from before the request was sent until its
    head was at the upstream. The fake upstream checks that the whole conversation is there."""
    stack = bench.stack
    if 'replay' not in bench.tips:
        grow_chains(bench, 'w6.grow', stack.relay(bench.node, 'replay'), 'replay', '/v1/responses')
    upstream = stack.upstream([('s', 'stateless')], '--record-mib', '2048')
    stack.cluster.account('replay', 'stateless', upstream.base('s'))
    stack.cluster.sql("ALTER ROLE posthouse_node SET track_functions = 'all'")
    node = stack.posthouse('late%d' % bench.round)
    before = walks(stack)
    visits = 0
    for depth, tips in sorted(bench.tips['replay'].items()):
        with bench.sample('w6.%d' % depth, stack.relay(node), settle=node) as (values, void):
            took = [visit(stack, node, upstream, tip, depth, void) for _ in range(bench.size.replays) for tip in tips]
            values.update(units=len(took), p50=figures.quantile(took, 0.5), p99=figures.quantile(took, 0.99),
                          first=figures.quantile(took[:len(tips)], 0.5))
        visits += len(took)
    stack.cluster.sql('ALTER ROLE posthouse_node RESET track_functions')
    stack.cluster.account('replay', 'stateless', stack.scripted.base('s'))
    stack.retire(stack.relay(node))
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
    makers = {'posthouse': stack.make_posthouse, 'nginx': stack.make_nginx, 'haproxy': stack.make_haproxy}
    for few, many in bench.size.idle:
        for name in bench.rotated(list(makers)):
            relay = makers[name]()
            idle_streams(bench, 'w7.%d' % many, relay, few, many)
            stack.retire(relay)


def idle_streams(bench, key, relay, few, many):
    """The slope of memory between few and many streams: what was there before them does not count."""
    request = bench.load.request(bench.key(relay), body(SMALL_BODY, stream=True))
    with bench.sample(key, relay) as (values, void):
        with bench.load.start('hold', relay.address, request=request, connections=many) as client:
            rss = []
            for count in (few, many):
                client.tell(count)
                found = client.line()
                time.sleep(1)
                rss.append(machine.rss_kib(relay.roots))
            before, start = machine.cpu_ns(relay.roots), time.monotonic()
            time.sleep(2)
            values['rest_us'] = (machine.cpu_ns(relay.roots) - before) / 1e3 / (time.monotonic() - start)
            client.end()
            found = client.result()
        values['kib'] = (rss[1] - rss[0]) / (many - few)
        void += load.faults_of_client(found)
        if found['ready'] != many:
            void.append('%d of %d streams were open' % (found['ready'], many))


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
        with bench.sample(key, relay, settle=bench.node) as (values, void):
            found = bench.load.client('turns', relay.address, request=request, connections=64, rate=1000, seconds=seconds)
            values.update(units=found['answered'], p50=found['latency']['p50'], p99=found['latency']['p99'])
            void += load.faults_of_client(found)
            if trouble:
                found = trouble.result()
                values['trouble'] = found['answered'] or found.get('events', 0)
                void += ['beside it: ' + fault for fault in load.faults_of_client(dict(found, answered=1))]


def w9(bench):
    stack = bench.stack
    stack.can(text='hello', text_bytes=SMALL_TEXT)
    for key, script, argument in [('w9.checksum', 'refuse.lua', len(stack.keys['none'])),
                                  ('w9.unknown', 'turn.lua', stack.keys['gone'])]:
        reads = database_calls(stack)
        with bench.sample(key, bench.posthouse) as (values, void):
            found = bench.load.wrk(bench.posthouse.address, argument, body(SMALL_BODY), 32, bench.size.seconds, script)
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
    stack, seconds = bench.stack, 6 if bench.size.quick else 15
    stack.can(**LONG_STREAM)
    makers = {'posthouse': stack.make_posthouse, 'nginx': stack.make_nginx, 'haproxy': stack.make_haproxy}
    for name in bench.rotated(list(makers)):
        relay = makers[name]()
        slow_readers(bench, relay, seconds)
        stack.retire(relay)
    stack.can(text='hello', text_bytes=SMALL_TEXT)
    stack.can(stack.bulk, **LONG_STREAM)
    slow = bench.load.request(stack.keys['bulk'], body(SMALL_BODY, stream=True))
    neighbour(bench, 'w10.alone', seconds)
    neighbour(bench, 'w10.slow', seconds, 'slow', request=slow, rate=SLOW_RATE, connections=bench.size.readers)


def slow_readers(bench, relay, seconds):
    request = bench.load.request(bench.key(relay), body(SMALL_BODY, stream=True))
    readers = bench.size.readers
    with bench.sample('w10.readers', relay) as (values, void):
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


WORKLOADS = {'W1': w1, 'W2': w2, 'W3': w3, 'W5': w5, 'W6': w6, 'W7': w7, 'W9': w9, 'W10': w10}


# ---- the table ----

CPU = 'CPU of the gateway'
LATENCY = 'Latency'
MEMORY = 'Memory'
DISK = 'What PostgreSQL does'
RATE = 'Rates, one gateway core, closed loop'


def all_figures():
    """Targets: design section 11. 0.95 of nginx's requests per CPU second is 1 / 0.95 of its CPU."""
    small, durable = ('ratio', 1 / 0.95), ('ratio', 1 / 0.80)
    rows = [
        Figure(CPU, 'W1 small turn, authenticated, metered, 32 connections', 'w1.c32', 'us', 'us/turn', small),
        Figure(CPU, 'W1 the same, 128 connections', 'w1.c128', 'us', 'us/turn', small),
        Figure(CPU, 'W1 the same, 32 connections, no log line for a turn', 'w1.c32', 'us', 'us/turn', small, 'quiet'),
        Figure(CPU, 'W1 durable before acknowledged, 32 connections', 'w1.c32', 'us', 'us/turn', durable, 'durable'),
        Figure(CPU, 'W1 the same, 128 connections', 'w1.c128', 'us', 'us/turn', durable, 'durable'),
        Figure(CPU, 'W2 body of 50 KB', 'w2.50k', 'us', 'us/turn', ('ratio', 1.3)),
        Figure(CPU, 'W2 body of 50 KB, its input one string', 'w2.text', 'us', 'us/turn', ('ratio', 1.3)),
        Figure(CPU, 'W2 body of 500 KB', 'w2.500k', 'us', 'us/turn', ('ratio', 1.3)),
        Figure(CPU, 'W2 each further KB', 'w2.slope', 'us', 'us/KB'),
        *[Figure(CPU, 'W3 paced events, %d streams' % n, 'w3.paced%d' % n, 'us', 'us/event', ('ratio', 1.0))
          for n in (100, 400, 1000)],
        Figure(CPU, 'W3 200 events at once', 'w3.burst', 'us', 'us/answer', ('most', 45)),
        Figure(CPU, 'W5 anchored turn of 4 KB, forwarded', 'w5.chain', 'us', 'us/turn'),
        Figure(CPU, 'W5 the same, replayed, depth 1 to 200', 'w5.chain', 'us', 'us/turn', None, 'replay'),
        Figure(CPU, 'W9 refused key, wrong checksum', 'w9.checksum', 'us', 'us', ('most', 8)),
        Figure(CPU, 'W9 refused key, unknown', 'w9.unknown', 'us', 'us', ('most', 8)),
        Figure(LATENCY, 'W1 added by the gateway, p50', 'w1.c1', 'p50', 'us', ('most', 50), minus='direct'),
        Figure(LATENCY, 'W1 added by the gateway, p99', 'w1.c1', 'p99', 'us', ('most', 150), minus='direct'),
        Figure(LATENCY, 'W1 the same, durable, p50', 'w1.c1', 'p50', 'us', ('most', 300), 'durable', 'direct'),
        Figure(LATENCY, 'W1 the same, durable, p99', 'w1.c1', 'p99', 'us', ('most', 1000), 'durable', 'direct'),
        Figure(LATENCY, 'W3 paced event added, 400 streams, p50', 'w3.paced400', 'p50', 'us', None, minus='direct'),
        Figure(LATENCY, 'W3 paced event added, 400 streams, p99', 'w3.paced400', 'p99', 'us', None, minus='direct'),
        Figure(LATENCY, 'W5 anchored turn, forwarded, depth 1 to 10, p50', 'w5.chain', 'p50_first', 'us'),
        Figure(LATENCY, 'W5 the same, depth 191 to 200, p50', 'w5.chain', 'p50_last', 'us'),
        Figure(LATENCY, 'W6 replay of 50 turns to the upstream, p50', 'w6.50', 'p50', 'us', ('most', 800)),
        Figure(LATENCY, 'W6 replay of 200 turns to the upstream, p50', 'w6.200', 'p50', 'us', ('most', 2000)),
        Figure(LATENCY, 'W6 replay of 200 turns to the upstream, p99', 'w6.200', 'p99', 'us', ('most', 4000)),
        Figure(LATENCY, 'W6 replay of 200 turns, first visit, p50', 'w6.200', 'first', 'us', ('most', 2000)),
        Figure(LATENCY, 'W9 turns beside nothing, p99', 'w9.alone', 'p99', 'us'),
        Figure(LATENCY, 'W9 turns beside 10,000 refusals/s, p99', 'w9.storm', 'p99', 'us'),
        Figure(LATENCY, 'W10 turns beside nothing, p99', 'w10.alone', 'p99', 'us'),
        Figure(LATENCY, 'W10 turns beside slow readers, p99', 'w10.slow', 'p99', 'us'),
        Figure(MEMORY, 'W7 idle stream, 1,000 of them', 'w7.1000', 'kib', 'KiB', ('most', 4)),
        Figure(MEMORY, 'W7 idle stream, 9,000 of them', 'w7.9000', 'kib', 'KiB', ('most', 4)),
        Figure(MEMORY, 'W7 CPU at rest with them', 'w7.1000', 'rest_us', 'us/s'),
        Figure(MEMORY, 'W10 slow reader, 10 KB/s of 4 MiB', 'w10.readers', 'kib', 'KiB', ('most', 512)),
        Figure(MEMORY, 'W10 the same, growth in the last third', 'w10.readers', 'growth', 'times', ('most', 1.1)),
        Figure(DISK, 'W5 bytes of items in a turn', 'w5.chain', 'delta', 'bytes/turn'),
        Figure(DISK, 'W5 written (WAL)', 'w5.chain', 'wal', 'bytes/turn'),
        Figure(DISK, 'W5 written beyond 1.25 of the items', 'w5.chain', 'wal_over', 'bytes/turn', ('most', 1024)),
        Figure(DISK, 'W5 growth of that from turn 10 to 200', 'w5.chain', 'wal_growth', 'share', ('most', 0.05)),
        Figure(DISK, 'W5 tables and indexes', 'w5.chain', 'table', 'bytes/turn'),
        Figure(DISK, 'W6 round trips for a chain', 'w6.200', 'calls', 'calls', ('most', 1)),
        Figure(DISK, 'W1 CPU of PostgreSQL, metered turn', 'w1.c32', 'database_us', 'us/turn', peers=False),
        Figure(DISK, 'W1 CPU of PostgreSQL, durable turn', 'w1.c32', 'database_us', 'us/turn', None, 'durable', peers=False),
        Figure(RATE, 'W1 small turn, 32 connections', 'w1.c32', 'rate', '1/s'),
        Figure(RATE, 'W1 durable, 32 connections', 'w1.c32', 'rate', '1/s', None, 'durable'),
        Figure(RATE, 'W1 durable, 128 connections', 'w1.c128', 'rate', '1/s', None, 'durable'),
        Figure(RATE, 'W2 body of 50 KB', 'w2.50k', 'rate', '1/s'),
        Figure(RATE, 'W3 200 events at once', 'w3.burst', 'rate', '1/s'),
        Figure(RATE, 'W9 refused key, wrong checksum', 'w9.checksum', 'rate', '1/s'),
    ]
    return rows
