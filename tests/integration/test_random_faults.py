# SPDX-License-Identifier: Apache-2.0
"""Promises 2 and 3 under random faults on all accounts: every context exact, every failure that a client saw was one that no
account could have served.

The faults are played by a schedule of phases, so that what could have been served is known and not guessed. In a phase at
most two of the five accounts are troubled, in any way and as often as they like; a turn may try three, so at least one that
it may try is well, and no turn may fail but a streamed one of which an item was shown. Between these come phases in which
every account fails: there every turn must fail, as the pool's own answer. A phase ends when no turn is running, so that
each turn belongs to one phase.
"""
import contextlib
import itertools
import random
import threading
import time

import pytest

import client as http
from dialogue import Dialogue, REASONING, asking_for, user
from harness import FakeUpstream, SCALE, SEED, count, figure

KINDS = ['platform', 'platform', 'codex', 'codex', 'stateless']
NODES = 3
THREADS = 6
CONVERSATIONS = 2000
PHASE = 60     # turns; of a phase in which all fail a quarter
WAIT = 4.0     # for a first event: far more than a healthy account takes here

SHORT = {
    'POSTHOUSE_FIRST_EVENT_TIMEOUT': '%dms' % (WAIT * 1000),
    'POSTHOUSE_IDLE_TIMEOUT': '%dms' % (WAIT * 1000),
    'POSTHOUSE_ANSWER_TIMEOUT': '%dms' % (WAIT * 1000),
    'POSTHOUSE_HOLD_TIMEOUT': '60s',  # what is held is never shown, so nothing that fails early may be seen
    'POSTHOUSE_LOG_LEVEL': 'info',
}

MODES = [{'mode': mode} for mode in ('down', 'limited', 'quota', 'overloaded', 'revoked', 'deactivated', 'refuse')]
PLAIN = [{'status': 500}, {'status': 502, 'html': True}, {'status': 504, 'body': ''},
         {'status': 529, 'code': 'overloaded_error'},
         {'status': 429, 'code': 'rate_limit_exceeded', 'retry_after': 1},
         {'status': 429, 'code': 'slow_down'},
         {'status': 402, 'body': {'detail': {'code': 'deactivated_workspace'}}},
         {'status': 403, 'code': 'unsupported_country_region_territory'},
         {'status': 401, 'code': 'token_revoked'},
         {'status': 200, 'body': '<html>', 'content_type': 'text/html'},
         {'raw': '220 mail.example ESMTP\r\n'}]
EARLY = [{'fault': fault, 'at': at} for fault, at in itertools.product(('eof', 'reset', 'end'), ('open', 'created'))] + \
        [{'fault': 'eof', 'at': 'head'}, {'fault': 'reset', 'at': 'head'}] + \
        [{'fault': fault, 'at': 'created', 'code': code} for fault in ('failed', 'failed_bare', 'error', 'error_nested')
         for code in ('server_error', 'rate_limit_exceeded', 'usage_limit_reached', 'server_is_overloaded')]
LATE = [{'fault': fault, 'at': at, 'code': 'server_error'} for fault, at in itertools.product(
    ('eof', 'reset', 'end', 'failed', 'error'), ('added', 'item', 'item_done', 'output'))] + [{'fault': 'eof', 'at': 'cut'}]
SILENT = [{'mode': 'silent'}, {'do': {'fault': 'silence', 'at': 'created'}}, {'do': {'fault': 'silence', 'at': 'item'}}]
ALL_DOWN = [[{'mode': mode}] for mode in ('down', 'limited', 'quota', 'overloaded', 'revoked', 'refuse')] + \
           [[{'mode': 'limited'}, {'mode': 'quota'}, {'mode': 'down'}]]

LIFECYCLE = set(http.LIFECYCLE)


class Weather:
    """The schedule. `with weather.turn() as phase` runs a turn within one phase."""

    def __init__(self, cluster, upstream, names, reachable):
        self.cluster, self.upstream, self.names, self.reachable = cluster, upstream, names, reachable
        self.draw = random.Random('%d weather' % SEED)
        self.changed = threading.Condition()
        self.running = self.count = 0
        self.changing = False
        self.all_fail = False
        self.troubled, self.what = [], {}
        self.phases, self.faults = [0, 0], 0
        self.begin()

    # ---- one account ----

    def put(self, name, **order):
        self.upstream.account(name, **dict({'mode': 'up', 'do': None, 'models': None}, **order))
        self.what[name] = order
        self.faults += bool(order)

    def trouble(self, name):
        """Something else that is wrong with it from now on; sometimes nothing is."""
        kind = self.draw.choices(['well', 'mode', 'plain', 'early', 'late', 'model', 'paused', 'silent'],
                                 [3, 4, 3, 5, 4, 1, 1, 0.2])[0]
        if kind == 'paused':
            self.cluster.sql('SELECT posthouse_admin.pause_account(%s, %s)', name, 'weather')
        order = {'mode': lambda: self.draw.choice(MODES), 'plain': lambda: {'do': self.draw.choice(PLAIN)},
                 'early': lambda: {'do': self.draw.choice(EARLY)}, 'late': lambda: {'do': self.draw.choice(LATE)},
                 'model': lambda: {'models': ['another']}, 'silent': lambda: self.draw.choice(SILENT)}.get(kind, dict)()
        self.put(name, **order)

    # ---- phases ----

    def begin(self):
        """Called when no turn runs."""
        was_all = self.all_fail
        self.all_fail = not was_all and self.phases[0] > 0 and self.draw.random() < 0.2
        self.phases[self.all_fail] += 1
        if self.all_fail:
            kinds = self.draw.choice(ALL_DOWN)
            for number, name in enumerate(self.names):
                self.put(name, **kinds[number % len(kinds)])
        else:
            for name in self.names:
                self.put(name)
                self.cluster.sql('SELECT posthouse_admin.resume_account(%s, %s)', name, 'weather')
            if was_all:
                self.reachable()  # every account was blocked: until each node knows that they are not
            self.troubled = self.draw.sample(self.names, self.draw.choice([1, 2, 2, 2]))
            for name in self.troubled:
                self.trouble(name)
        self.count = PHASE // 4 if self.all_fail else PHASE

    @contextlib.contextmanager
    def turn(self):
        with self.changed:
            while self.changing:
                self.changed.wait()
            self.running += 1
            self.count -= 1
            self.changing = self.count <= 0
        try:
            yield self.all_fail
        finally:
            with self.changed:
                self.running -= 1
                if not self.all_fail and self.draw.random() < 0.3:
                    self.trouble(self.draw.choice(self.troubled))
                if self.changing and self.running == 0:
                    self.begin()
                    self.changing = False
                    self.changed.notify_all()

    def clear(self):
        for name in self.names:
            self.put(name)
            self.cluster.sql('SELECT posthouse_admin.resume_account(%s, %s)', name, 'weather')

    def __str__(self):
        return 'all fail' if self.all_fail else ', '.join('%s %s' % (n, self.what[n]) for n in self.troubled)


class Figures:
    def __init__(self):
        self.lock = threading.Lock()
        self.counts = {}

    def add(self, name):
        with self.lock:
            self.counts[name] = self.counts.get(name, 0) + 1


def refused_by_the_pool(answer):
    """The pool's own answer: no account's name, code or time, and when to come back."""
    assert answer.status in (429, 503), answer
    error = answer.error
    assert (answer.status, error['code']) in (
        (429, 'rate_limit_exceeded'), (429, 'usage_limit_reached'), (503, 'server_error'), (503, 'no_accounts')), answer
    assert int(answer.header('retry-after')) >= 1
    if error['code'] == 'usage_limit_reached':
        assert error['resets_in_seconds'] >= 1 and error['resets_at'] > time.time() - 5
    if int(answer.header('retry-after')) > 60:
        assert answer.header('x-should-retry') == 'false'


def shown(turn):
    """Whether more than the beginning of an answer was shown."""
    return [t for t in turn.types if t not in LIFECYCLE and t not in ('keepalive', 'response.failed')]


class Speaker:
    """One client with its conversations."""

    def __init__(self, clients, weather, figures, draw):
        self.clients, self.weather, self.figures, self.draw = clients, weather, figures, draw

    def words(self, dialogue, number):
        """What the client says next: outputs of open calls, words, words that call tools."""
        text = 'turn %d of %08x' % (number, self.draw.getrandbits(32))
        if dialogue.calls:
            new = dialogue.outputs('output of ' + text)
            return new + [user(text)] if self.draw.random() < 0.5 else new
        if self.draw.random() < 0.25:
            calls = [{'name': 'look', 'arguments': '{"n":%d}' % number}]
            if self.draw.random() < 0.3:
                calls.append({'name': 'raw', 'input': 'free words'})
            return [user(text + ' ' + asking_for(*calls, say=self.draw.random() < 0.5))]
        message = user(text)
        if self.draw.random() < 0.2:
            message['id'] = 'msg_client_%08x' % self.draw.getrandbits(32)
        return [message]

    def attempt(self, dialogue, new, node, body, headers):
        """True if it was answered; asserts that a failure had to be."""
        with self.weather.turn() as all_fail:
            try:
                answer = self.clients[node].post(body, headers=headers)
                if answer.status != 200:
                    assert all_fail, 'an account could have served'
                    refused_by_the_pool(answer)
                    self.figures.add('refused %d %s' % (answer.status, answer.error['code']))
                    return False
                turn = http.Turn(answer, body['stream'])
                if turn.status == 'failed' and body['stream']:
                    assert shown(turn), 'it failed before anything of it was shown'
                    assert turn.response['error']['code'] == 'server_error', turn.response['error']
                    self.figures.add('failed behind an item')
                    return False
                assert not all_fail, 'no account could have answered: %r' % answer
                dialogue.hear(new, turn)
                self.figures.add(turn.continuity)
                return True
            except (AssertionError, OSError, http.http.client.HTTPException) as fault:
                raise AssertionError('%r\nweather: %s\nanswer: %s\nrequest: %.600s' % (
                    fault, self.weather, locals().get('answer'), body)) from None

    def converse(self):
        draw = self.draw
        dialogue, last = Dialogue(), None
        codex = draw.random() < 0.4
        style = draw.choice(['anchored', 'anchored', 'whole', 'mixed'])
        reasoning = draw.random() < 0.6
        headers = {'originator': 'codex_cli_rs', 'session-id': 's-%08x' % draw.getrandbits(32),
                   'thread-id': 't-%08x' % draw.getrandbits(32)} if codex else {}
        stored = True
        for number in range(draw.randint(3, 7)):
            new = self.words(dialogue, number)
            # where upstream could go on by itself, history with an anchor is the client's own doubling
            how = draw.choice(['anchored', 'whole', 'both'][:2 if stored else 3]) if style == 'mixed' else style
            members = dict(REASONING) if reasoning and draw.random() < 0.8 else {}
            if members and draw.random() < 0.2:
                del members['include']  # reasoning without ciphertext
            store = draw.random() < 0.5
            if draw.random() < 0.3:
                members['client_metadata'] = {'k': 'v'}
            for _ in range(200):
                node = draw.choice([n for n in range(NODES) if n != last])
                body = dialogue.body(new, how, codex, stream=draw.random() < 0.6, store=store, **members)
                if self.attempt(dialogue, new, node, body, headers):
                    break
            else:
                raise AssertionError('a turn failed 200 times: ' + str(self.weather))
            last, stored = node, store


def strangers(upstream, name, names):
    """For the message of a failure: requests of that account that name another one in an id or in ciphertext."""
    marks = ('"id":"rs_%s_', '"msg_%s_', '"fc_%s_', '"ctc_%s_', '"resp_%s_', 'enc:%s:', 'ts:%s:')
    others = [mark % other for other in names if other != name for mark in marks]
    return [r['body'][-6000:] for r in upstream.requests(name, last=20000)
            if any(mark in r['body'].replace('": "', '":"') for mark in others)][:1]


@pytest.mark.timeout(300 * max(1, SCALE))
def test_random_faults(make_cluster):
    cluster = make_cluster(SHORT)
    names = ['p1', 'p2', 'c1', 'c2', 's1']
    upstream = cluster.own(FakeUpstream(list(zip(names, KINDS)), '--record-mib', '64'))
    for name, kind in zip(names, KINDS):
        cluster.account(name, kind, upstream.base(name))
    key = cluster.key('k1')
    nodes = [cluster.node(env=SHORT) for _ in range(NODES)]

    def reachable():
        for node in nodes:
            with http.Client(node.url, key) as api:
                http.eventually(lambda: api.post({'model': 'demo', 'input': 'there?', 'store': False}).status == 200)
    weather, figures = Weather(cluster, upstream, names, reachable), Figures()
    total, numbers, faults = count(CONVERSATIONS), itertools.count(), []

    def run(number):
        draw = random.Random('%d faults %d' % (SEED, number))
        clients = [http.Client(node.url, key) for node in nodes]
        try:
            while next(numbers) < total and not faults:
                Speaker(clients, weather, figures, draw).converse()
        except BaseException as fault:  # pylint: disable=broad-except
            faults.append(fault)
        finally:
            for client in clients:
                client.close()
    start = time.monotonic()
    threads = [threading.Thread(target=run, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - start
    if faults:
        raise faults[0]
    weather.clear()
    stats = upstream.accounts()
    for name in names:
        if stats[name]['foreign']:
            raise AssertionError('%s %s %s' % (name, stats[name]['found'], strangers(upstream, name, names)))
        assert stats[name]['turns'] and stats[name]['faulted'], (name, stats[name])
    answered = sum(n for what, n in figures.counts.items() if what in ('none', 'live', 'forwarded', 'replayed'))
    faulted = sum(stats[name]['faulted'] for name in names)
    assert faulted > answered / 20, 'the weather was too good: %d faults, %d turns' % (faulted, answered)
    assert weather.phases[1] > 0 and any(what.startswith('refused') for what in figures.counts), 'no phase without accounts'
    figure('%d conversations, %d turns in %d + %d phases, %d faults met, %.0f turns a second; %s' % (
        total, answered, weather.phases[0], weather.phases[1], faulted, answered / took, figures.counts))


@pytest.mark.parametrize('fault', [{'fault': 'silence', 'at': 'item'}, {'fault': 'silence', 'at': 'added'}])
def test_silence_ends_in_an_event(make_cluster, fault):
    """A client that reads is never cut off: also where upstream's time and the client's own end together, the failure is
    told before the connection is given up."""
    env = {'POSTHOUSE_IDLE_TIMEOUT': '1s', 'POSTHOUSE_HOLD_TIMEOUT': '60s'}
    cluster = make_cluster(env)
    upstream = cluster.own(FakeUpstream([('s1', 'stateless')], '--no-record'))
    cluster.account('s1', 'stateless', upstream.base('s1'))
    upstream.account('s1', do=fault)
    key, node = cluster.key('k1'), cluster.node()
    outcomes = []

    def ask():
        with http.Client(node.url, key) as api:
            try:
                turn = api.turn({'model': 'demo', 'input': 'x', 'stream': True})
                outcomes.append(turn.status)
            except (OSError, http.http.client.HTTPException) as broken:
                outcomes.append(repr(broken))
    for _ in range(count(60)):
        threads = [threading.Thread(target=ask) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert set(outcomes) == {'failed'}, {what: outcomes.count(what) for what in set(outcomes)}
