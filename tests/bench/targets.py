# SPDX-License-Identifier: Apache-2.0
"""The lines of the table, and their targets: design section 11. workloads.py takes the samples that they are made of."""
from figures import Figure

WAL_OVER = 1024  # bytes that a turn may write beyond 1.25 of its items

CPU = 'CPU of the gateway'
LATENCY = 'Latency'
MEMORY = 'Memory'
DISK = 'What PostgreSQL does'
RATE = 'Rates, one gateway core, closed loop'


def all_figures():
    """0.95 of nginx's requests per CPU second is 1 / 0.95 of its CPU."""
    small, durable = ('ratio', 1 / 0.95), ('ratio', 1 / 0.80)
    beside = ('ratio', 1.10)  # of SSE's cost
    return [
        Figure(CPU, 'W1 small turn, authenticated, metered, 32 connections', 'w1.c32', 'us', 'us/turn', small),
        Figure(CPU, 'W1 small turn: of that in the kernel', 'w1.c32', 'kernel_us', 'us/turn'),
        Figure(CPU, 'W1 the same, 128 connections', 'w1.c128', 'us', 'us/turn', small),
        Figure(CPU, 'W1 the same, 32 connections, no log line for a turn', 'w1.c32', 'us', 'us/turn', small, 'quiet'),
        Figure(CPU, 'W1 durable before acknowledged, 32 connections', 'w1.c32', 'us', 'us/turn', durable, 'durable'),
        Figure(CPU, 'W1 durable: of that in the kernel', 'w1.c32', 'kernel_us', 'us/turn', None, 'durable'),
        Figure(CPU, 'W1 the same, 128 connections', 'w1.c128', 'us', 'us/turn', durable, 'durable'),
        Figure(CPU, 'TLS small turn, connections kept, 32 of them', 'tls.c32', 'us', 'us/turn', small),
        Figure(CPU, 'TLS new connection, whole handshake', 'tls.whole', 'us', 'us', ('ratio', 1.0)),
        Figure(CPU, 'TLS new connection, session resumed', 'tls.resumed', 'us', 'us', ('ratio', 1.0)),
        Figure(CPU, 'W2 body of 50 KB', 'w2.50k', 'us', 'us/turn', ('ratio', 1.3)),
        Figure(CPU, 'W2 body of 50 KB: of that in the kernel', 'w2.50k', 'kernel_us', 'us/turn'),
        Figure(CPU, 'W2 body of 50 KB, its input one string', 'w2.text', 'us', 'us/turn', ('ratio', 1.3)),
        Figure(CPU, 'W2 body of 500 KB', 'w2.500k', 'us', 'us/turn', ('ratio', 1.3)),
        Figure(CPU, 'W2 body of 500 KB: of that in the kernel', 'w2.500k', 'kernel_us', 'us/turn'),
        Figure(CPU, 'W2 each further KB', 'w2.slope', 'us', 'us/KB'),
        *[Figure(CPU, 'W3 paced events, %d streams' % n, 'w3.paced%d' % n, 'us', 'us/event', ('ratio', 1.0))
          for n in (100, 400, 1000)],
        Figure(CPU, 'W3 200 events at once', 'w3.burst', 'us', 'us/answer', ('most', 45)),
        Figure(CPU, 'W3 200 events: of that in the kernel', 'w3.burst', 'kernel_us', 'us/answer'),
        Figure(CPU, 'W4 200 events at once on a WebSocket, durable', 'w4.burst', 'us', 'us/answer', beside, over='sse'),
        Figure(CPU, 'W4 the same turn over SSE', 'w4.burst', 'us', 'us/answer', None, 'sse', peers=False),
        Figure(CPU, 'W4 paced events, 400 WebSockets, durable', 'w4.paced', 'us', 'us/event', beside, over='sse'),
        Figure(CPU, 'W4 the same over SSE', 'w4.paced', 'us', 'us/event', None, 'sse', peers=False),
        Figure(CPU, 'W4 small turn, one delta, on a WebSocket', 'w4.small', 'us', 'us/turn', None, over='sse'),
        Figure(CPU, 'W4 frame of 64 KB, beyond that', 'w4.frame', 'us', 'us', ('most', 50), over='sse'),
        Figure(CPU, 'W4 the same as a body of 64 KB', 'w4.frame', 'us', 'us', None, 'sse', peers=False),
        Figure(CPU, 'W4 pings of a client socket', 'w4.idle', 'ping_us', 'us/min', peers=False),
        Figure(CPU, 'W4 pings of one with an upstream socket', 'w4.pair', 'ping_us', 'us/min', peers=False),
        Figure(CPU, 'W5 anchored turn of 4 KB, forwarded', 'w5.chain', 'us', 'us/turn'),
        Figure(CPU, 'W5 the same, replayed, depth 1 to 200', 'w5.chain', 'us', 'us/turn', None, 'replay'),
        Figure(CPU, 'W9 refused key, wrong checksum', 'w9.checksum', 'us', 'us', ('most', 8)),
        Figure(CPU, 'W9 refused key: of that in the kernel', 'w9.checksum', 'kernel_us', 'us'),
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
        Figure(LATENCY, 'W6 replay of 1,000 turns to the upstream, p50', 'w6.1000', 'p50', 'us'),
        Figure(LATENCY, 'W9 turns beside nothing, p99', 'w9.alone', 'p99', 'us'),
        Figure(LATENCY, 'W9 turns beside 10,000 refusals/s, p99', 'w9.storm', 'p99', 'us'),
        Figure(LATENCY, 'W10 turns beside nothing, p99', 'w10.alone', 'p99', 'us'),
        Figure(LATENCY, 'W10 turns beside slow readers, p99', 'w10.slow', 'p99', 'us'),
        Figure(MEMORY, 'W4 idle client socket, 2,000 of them', 'w4.idle', 'kib', 'KiB', ('most', 4), peers=False),
        Figure(MEMORY, 'W4 idle, each with an upstream socket', 'w4.pair', 'kib', 'KiB', ('most', 4)),
        Figure(MEMORY, 'W7 idle stream, 1,000 of them', 'w7.1000', 'kib', 'KiB', ('most', 4)),
        Figure(MEMORY, 'W7 idle stream, 9,000 of them', 'w7.9000', 'kib', 'KiB', ('most', 4)),
        Figure(MEMORY, 'W7 CPU at rest with 1,000', 'w7.1000', 'rest_us', 'us/s'),
        Figure(MEMORY, 'W7 idle stream, TLS to the upstream, 1,000', 'w7.tls_out', 'kib', 'KiB', ('most', 30)),
        Figure(MEMORY, 'W7 idle stream, TLS to the client, 1,000', 'w7.tls_in', 'kib', 'KiB', ('most', 30)),
        Figure(MEMORY, 'W10 slow reader, 10 KB/s of 4 MiB', 'w10.readers', 'kib', 'KiB', ('most', 512)),
        Figure(MEMORY, 'W10 the same, growth in the last third', 'w10.readers', 'growth', 'times', ('most', 1.1)),
        Figure(DISK, 'W5 bytes of items in a turn', 'w5.chain', 'delta', 'bytes/turn'),
        Figure(DISK, 'W5 written (WAL)', 'w5.chain', 'wal', 'bytes/turn'),
        Figure(DISK, 'W5 written beyond 1.25 of the items', 'w5.chain', 'wal_over', 'bytes/turn', ('most', WAL_OVER)),
        Figure(DISK, 'W5 growth of that from turn 10 to 200', 'w5.chain', 'wal_growth', 'share', ('most', 0.05)),
        Figure(DISK, 'W5 tables and indexes', 'w5.chain', 'table', 'bytes/turn'),
        Figure(DISK, 'W5 written beyond 1.25 of the items, 1,000 turns', 'w5.deep', 'wal_over', 'bytes/turn', ('most', WAL_OVER)),
        Figure(DISK, 'W5 growth of that from turn 50 to 1,000', 'w5.deep', 'wal_growth', 'share', ('most', 0.05)),
        Figure(DISK, 'W6 round trips for a chain', 'w6.200', 'calls', 'calls', ('most', 1)),
        Figure(DISK, 'W1 CPU of PostgreSQL, metered turn', 'w1.c32', 'database_us', 'us/turn', peers=False),
        Figure(DISK, 'W1 CPU of PostgreSQL, durable turn', 'w1.c32', 'database_us', 'us/turn', None, 'durable', peers=False),
        Figure(RATE, 'W1 small turn, 32 connections', 'w1.c32', 'rate', '1/s'),
        Figure(RATE, 'W1 durable, 32 connections', 'w1.c32', 'rate', '1/s', None, 'durable'),
        Figure(RATE, 'W1 durable, 128 connections', 'w1.c128', 'rate', '1/s', None, 'durable'),
        Figure(RATE, 'W2 body of 50 KB', 'w2.50k', 'rate', '1/s'),
        Figure(RATE, 'W3 200 events at once', 'w3.burst', 'rate', '1/s'),
        Figure(RATE, 'W4 200 events at once on a WebSocket, durable', 'w4.burst', 'rate', '1/s', None, over='sse'),
        Figure(RATE, 'W9 refused key, wrong checksum', 'w9.checksum', 'rate', '1/s'),
    ]
