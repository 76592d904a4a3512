# SPDX-License-Identifier: Apache-2.0
"""Promises 1 and 2: any node replays any id, at once, and the conversation goes on when its account is taken away."""
import itertools
import random
import threading
import time

import pytest

import client as http
from conversation import Conversation
from fake_upstream import marker
from harness import FakeUpstream, SCALE, SEED, count, figure

TURNS = 20


class World:
    def __init__(self, make_cluster, kinds, nodes, env=None):
        self.cluster = make_cluster(env)
        self.names = ['%s%d' % (kind[0], n) for n, kind in enumerate(kinds, 1)]
        self.upstream = self.cluster.own(FakeUpstream(list(zip(self.names, kinds)), '--no-record'))
        for name, kind in zip(self.names, kinds):
            self.cluster.account(name, kind, self.upstream.base(name))
        self.key = self.cluster.key('k1')
        self.nodes = [self.cluster.node(env=env) for _ in range(nodes)]

    def clients(self):
        return [http.Client(node.url, self.key) for node in self.nodes]

    def check_upstream(self):
        """No account ever saw what belongs to another."""
        stats = self.upstream.accounts()
        for name in self.names:
            assert stats[name]['foreign'] == 0, stats[name]['found']
        return stats


def in_parallel(width, work):
    """work(worker number, draw) in threads; the first fault of any is raised."""
    faults = []

    def run(number):
        try:
            work(number, random.Random('%d %d' % (SEED, number)))
        except BaseException as fault:  # pylint: disable=broad-except
            faults.append(fault)
    threads = [threading.Thread(target=run, args=(n,)) for n in range(width)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]


@pytest.mark.timeout(300 * max(1, SCALE))
@pytest.mark.parametrize('kind', ['stateless', 'platform'])
def test_conversations_hop_between_nodes(make_cluster, kind):
    """1,000 conversations of 20 turns over 3 nodes, no turn on the node of the one before, without delay; half-way the
    account that serves half of them is taken away."""
    world = World(make_cluster, [kind, kind], 3)
    total = count(1000)
    numbers = itertools.count()
    middle = threading.Event()
    done = [0]
    lock = threading.Lock()
    continuity = {}

    def work(_, draw):
        clients = world.clients()
        while next(numbers) < total:
            conversation, last = Conversation(), None
            for turn in range(TURNS):
                number = draw.choice([n for n in range(3) if n != last])
                conversation = conversation.say(clients[number], 'turn %d of %s' % (turn, draw.random()),
                                                stream=draw.random() < 0.5, store=draw.random() < 0.7)
                last = number
                with lock:
                    done[0] += 1
                    found = conversation.turn.continuity
                    continuity[found] = continuity.get(found, 0) + 1
                    take = done[0] == total * TURNS // 2
                if take:
                    world.cluster.cli('account', 'pause', world.names[0])
                    middle.set()
        for client in clients:
            client.close()
    start = time.monotonic()
    in_parallel(8, work)
    took = time.monotonic() - start
    assert middle.is_set()
    stats = world.check_upstream()
    assert stats[world.names[0]]['turns'] > total and stats[world.names[1]]['turns'] > total
    assert continuity['none'] == total
    if kind == 'platform':
        assert continuity['forwarded'] > 0 and continuity['replayed'] > 0
    else:
        assert continuity['replayed'] == total * (TURNS - 1)
    figure('%s: %d conversations of %d turns, 0 misses, %s, %.0f turns a second' % (
        kind, total, TURNS, continuity, done[0] / took))


@pytest.fixture(scope='module')
def pair(make_cluster):
    return World(make_cluster, ['stateless', 'stateless'], 2)


@pytest.mark.timeout(300 * max(1, SCALE))
def test_a_turn_is_continued_at_once_on_another_node(pair):
    """The next turn leaves as soon as the last byte of the terminal event has arrived, before [DONE] is read."""
    total = count(10000)
    numbers = itertools.count()

    def work(_, draw):
        clients = pair.clients()
        while next(numbers) < total:
            number = draw.randrange(2)
            answer = clients[number].open('POST', '/v1/responses', {'model': 'demo', 'input': 'first', 'stream': True})
            found = b''
            while b'event: response.completed' not in found or not found.split(b'event: response.completed')[1].count(b'\n\n'):
                piece = answer.read1(65536)
                assert piece, found[-300:]
                found += piece
            end = [b for b in http.split_events(found)[0] if b.startswith(b'event: response.completed')][0]
            rid = http.parse_stream(end)[0][0].data['response']['id']
            turn = clients[1 - number].turn({'model': 'demo', 'input': 'second', 'previous_response_id': rid})
            assert turn.continuity == 'replayed' and turn.text.startswith('seen 3 '), turn.answer
            answer.read()
        for client in clients:
            client.close()
    start = time.monotonic()
    in_parallel(4, work)
    figure('%d continued at once, 0 misses, %.0f pairs a second' % (total, total / (time.monotonic() - start)))


def test_branches(pair):
    """Siblings never see each other; an undo is a branch from an older turn."""
    a, b = pair.clients()
    root = Conversation().say(a, 'root')
    left, right = root.say(a, 'left'), root.say(b, 'right')
    left, right = left.say(b, 'left again'), right.say(a, 'right again', stream=True)
    left.say(a, 'left end')
    right.say(b, 'right end')
    root.say(b, 'undone').say(a, 'and on')


def test_branches_at_once(pair):
    """Many children of one parent, from both nodes at the same time."""
    parent = Conversation().say(pair.clients()[0], 'parent')

    def work(number, draw):
        clients = pair.clients()
        branch = parent
        for turn in range(6):
            branch = branch.say(draw.choice(clients), 'branch %d turn %d' % (number, turn))
    in_parallel(8, work)


@pytest.mark.timeout(900)
@pytest.mark.parametrize('kind', ['stateless', 'platform'])
def test_long_chain(make_cluster, kind):
    """1,000 turns (fewer where counts are scaled), node by node; an account is taken away on the way."""
    world = World(make_cluster, [kind, kind], 2)
    depth = max(200, count(1000))
    clients = world.clients()
    conversation = Conversation()
    sizes = []
    for turn in range(depth):
        if turn == depth // 2:
            stats = world.upstream.accounts()
            world.cluster.cli('account', 'pause', max(world.names, key=lambda name: stats[name]['turns']))
        conversation = conversation.say(clients[turn % 2], 'turn %d' % turn, stream=turn % 3 == 0)
        if turn % (depth // 10) == depth // 10 - 1:
            sizes.append(world.cluster.sql('SELECT max(octet_length(input) + octet_length(output)) FROM posthouse.snapshots '
                                           'WHERE depth = %s', conversation.depth)[0][0])
    world.check_upstream()
    assert max(sizes) < 2 * min(sizes), 'bytes of a turn do not grow with the chain: %s' % sizes
    figure('depth %d, bytes of a turn along the chain: %s' % (depth, sizes))


def test_bytes_written_are_flat(make_cluster):
    """Write-ahead log per turn at the start and at the end of a chain."""
    world = World(make_cluster, ['stateless'], 2)
    clients = world.clients()
    text = 'x' * 2000

    def position():
        return world.cluster.sql("SELECT pg_current_wal_insert_lsn() - '0/0'")[0][0]
    conversation, figures = Conversation(), []
    world.cluster.sql('CHECKPOINT')
    for _ in range(6):
        for turn in range(20):  # the first write to a page after a checkpoint logs the whole page: leave those out
            if turn == 5:
                before = position()
            conversation = conversation.say(clients[turn % 2], text)
        figures.append(float(position() - before) / 15)
    figure('bytes of write-ahead log per 4 KB turn, every 20 turns: %s' % ['%.0f' % f for f in figures])
    assert figures[-1] < 1.5 * figures[0] + 2000, figures


@pytest.mark.parametrize('kinds', [['platform', 'stateless'], ['stateless', 'platform'], ['platform', 'platform']])
def test_reasoning_stays_with_its_owner(make_cluster, kinds):
    """Ciphertext goes back to the account that minted it and to no other (the fake upstream refuses foreign ones)."""
    world = World(make_cluster, kinds, 2)
    a, b = world.clients()
    conversation = Conversation()
    for turn in range(6):
        stats = world.upstream.accounts()
        if turn == 3:
            world.cluster.cli('account', 'pause', max(world.names, key=lambda name: stats[name]['turns']))
            time.sleep(0.3)
        conversation = conversation.say((a, b)[turn % 2], 'turn %d' % turn, include=['reasoning.encrypted_content'],
                                        reasoning={'effort': 'low'}, store=False)
    stats = world.check_upstream()
    assert all(stats[name]['turns'] == 3 for name in world.names), stats


def test_tool_calls_stay_paired(pair):
    """A call that the model made and its output go on together, on either node."""
    a, b = pair.clients()
    text = 'use the tool ' + marker(calls=[{'name': 'f', 'arguments': '{"x":1}', 'call_id': 'call_1'}], say=False)
    first = a.turn({'model': 'demo', 'input': text, 'tools': [{'type': 'function', 'name': 'f', 'parameters': {}}]})
    call, = [item for item in first.response['output'] if item['type'] == 'function_call']
    refused = b.post({'model': 'demo', 'input': 'no output', 'previous_response_id': first.id})
    assert refused.status == 400 and 'No tool output found' in refused.error['message'], refused
    turn = b.turn({'model': 'demo', 'previous_response_id': first.id, 'input': [
        {'type': 'function_call_output', 'call_id': call['call_id'], 'output': 'result'}]})
    context = Conversation().context.add('user:' + text).add('call:%s:f:{"x":1}' % call['call_id'])
    assert turn.text.startswith(context.add('output:%s:result' % call['call_id']).words), turn.text


def test_history_sent_with_the_anchor_is_not_doubled(pair):
    """Some clients send everything again together with the id (continuity 4.4)."""
    a, b = pair.clients()
    one = Conversation().say(a, 'one')
    two = one.say(b, 'two')
    history = [{'role': 'user', 'content': 'one'}] + one.turn.response['output'] + [
        {'role': 'user', 'content': 'two'}] + two.turn.response['output']
    turn = a.turn({'model': 'demo', 'input': history + [{'role': 'user', 'content': 'three'}],
                   'previous_response_id': two.anchor})
    assert turn.text.startswith(two.context.add('user:three').words), turn.text[:120]
    # but a user may say the same thing twice
    same = Conversation().say(a, 'again')
    same.say(b, 'again')
