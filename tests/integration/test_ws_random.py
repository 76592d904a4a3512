# SPDX-License-Identifier: Apache-2.0
"""Conversations on WebSockets under random faults: every context exact, none lost.

Clients keep one to three conversations on a socket, each in a lane of its own, and do what real ones do: when the socket
closes, or a turn is refused or fails, they go to another node and send the same turn again, with the same anchor. Now and
then a turn goes over HTTP, brings its whole history, calls tools, or asks for no answer.

What may fail is known, not guessed. Accounts are troubled by the schedule of test_random_faults.py: at most two of the five
at a time, or all, and then every turn is refused. Nodes are killed and PostgreSQL is restarted by Quakes, which remembers
when. A client that sees a failure asks both whether there was a reason.
"""
import contextlib
import itertools
import json
import random
import threading
import time

import pytest
import websockets

import client as http
import conversation
import wsclient
import wsworld
from dialogue import Dialogue, REASONING, asking_for, user
from fake_upstream import marker
from harness import FakeUpstream, SCALE, SEED, count, figure
from test_random_faults import ALL_DOWN, EARLY, Figures, LATE, MODES, PLAIN, Weather, shown, strangers

KINDS = {'p1': 'platform', 'p2': 'platform', 'c1': 'codex', 'c2': 'codex', 's1': 'stateless'}
TRANSPORTS = ['websocket', 'auto', 'http']  # of the three nodes towards the accounts
THREADS = 6
CONVERSATIONS, TURNS = 500, 20
PHASE = 25      # rounds; of a phase in which all fail a quarter
KILL = 60       # answered turns between two deaths of a node
RESTART = 200   # and between two restarts of PostgreSQL
END = CONVERSATIONS * TURNS
TRIES = 30
LANES = 32

SHORT = {
    'POSTHOUSE_FIRST_EVENT_TIMEOUT': '8s',
    'POSTHOUSE_IDLE_TIMEOUT': '8s',
    'POSTHOUSE_ANSWER_TIMEOUT': '8s',
    'POSTHOUSE_HOLD_TIMEOUT': '60s',  # what is held is never shown, so nothing that fails early may be seen
    'POSTHOUSE_POLL_INTERVAL': '1s',
    'POSTHOUSE_LOG_LEVEL': 'info',
}

CODES = [0, 1000, 1001, 1008, 1011, 1012, 1013, 4000]
CLOSED_EARLY = [{'fault': 'close', 'at': at, 'close_code': code, 'close_reason': 'weather'}
                for at, code in itertools.product(('open', 'created'), CODES)]
CLOSED_LATE = [{'fault': 'close', 'at': at, 'close_code': code}
               for at, code in itertools.product(('added', 'item', 'item_done', 'output'), CODES)]
SHAPES = [{'status': status, 'code': code, 'shape': shape}
          for shape in ('wrapped', 'alias', 'flat', 'typed', 'untyped', 'bare')
          for status, code in ((500, 'server_error'), (503, 'server_is_overloaded'), (429, 'rate_limit_exceeded'))] + \
         [{'fault': 'error_wrapped', 'at': 'created', 'error_status': status} for status in (500, 502, 503)]
AGED = [{'max_turns': n} for n in (1, 2, 3)]
UPGRADES = [{'status': 500}, {'status': 502, 'html': True}, {'status': 503, 'code': 'server_is_overloaded'},
            {'status': 429, 'code': 'rate_limit_exceeded', 'retry_after': 1}, {'status': 401, 'code': 'token_revoked'},
            {'fault': 'eof', 'at': 'head'}, {'fault': 'reset', 'at': 'head'}, {'first_delay_ms': 300},
            {'fault': 'close', 'close_code': 1013}, {'fault': 'eof'}, {'fault': 'reset'}]
NO_SOCKETS = {'upgrade': {'status': 426}}
AT_ONCE = [{'close': 1000}, {'close': 1001}, {'close': 1012}, {'close': 0}, {'eof': True}, {'abort': True}, {'ping': True}]


class Quakes:
    """Nodes die and come back, and PostgreSQL is restarted, as turns are answered; remembers when."""

    def __init__(self, cluster, nodes, key):
        self.cluster, self.nodes, self.key = cluster, nodes, key
        self.draw = random.Random('%d quakes' % SEED)
        self.changed = threading.Condition()
        self.deaths = [[] for _ in nodes]  # of each: [from, to]; to is None until it serves again
        self.outages = []                  # of PostgreSQL, likewise
        self.away, self.holders = False, 0
        self.answered, self.over, self.fault = 0, False, None
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    # ---- what clients ask ----

    @staticmethod
    def overlap(spans, since):
        return any(to is None or to >= since for _, to in spans)

    def died(self, number, since):
        return self.overlap(self.deaths[number], since)

    def shook(self, since):
        """Whether PostgreSQL was away at some moment since then."""
        return self.overlap(self.outages, since)

    @contextlib.contextmanager
    def database(self, wait):
        """Puts off the next restart. Without wait: False where one is going on."""
        with self.changed:
            while wait and self.away:
                self.changed.wait()
            got = not self.away
            self.holders += got
        try:
            yield got
        finally:
            with self.changed:
                self.holders -= got
                self.changed.notify_all()

    def count(self):
        with self.changed:
            self.answered += 1
            self.changed.notify_all()

    # ---- what is done ----

    def kill(self):
        number = self.draw.randrange(len(self.nodes))
        node, span = self.nodes[number], [time.monotonic(), None]
        self.deaths[number].append(span)
        node.kill9()
        time.sleep(self.draw.uniform(0, 0.5))
        node.start()
        span[1] = time.monotonic()

    def reaches(self, node):
        """Whether the node reaches its database, on every connection."""
        return http.once(node.url, self.key, 'GET', '/v1/responses/resp_nobody').status == 404 and \
            node.metric('posthouse_pg_connections', state='down') == 0

    def restart(self):
        with self.changed:
            self.away = True
            while self.holders:
                self.changed.wait()
        span = [time.monotonic(), None]
        self.outages.append(span)
        self.cluster.postgres.stop(self.draw.choice(['fast', 'immediate']))
        time.sleep(self.draw.uniform(0, 0.3))
        self.cluster.postgres.start()
        for node in self.nodes:
            http.eventually(lambda: self.reaches(node), within=60, every=0.1,  # pylint: disable=cell-var-from-loop
                            what='the database')
        time.sleep(1.5)  # what changed meanwhile is read again
        with self.changed:
            span[1] = time.monotonic()
            self.away = False
            self.changed.notify_all()

    def run(self):
        """A node dies only while the database is there: what was answered during an outage may not be written yet."""
        due = [(n, self.kill) for n in range(KILL, END, KILL)] + [(n, self.restart) for n in range(RESTART // 2, END, RESTART)]
        for after, act in sorted(due, key=lambda pair: pair[0]):
            with self.changed:
                while self.answered < after and not self.over:
                    self.changed.wait()
                if self.over:
                    return
            try:
                act()
            except BaseException as fault:  # pylint: disable=broad-except
                with self.changed:
                    self.fault, self.away = fault, False
                    self.changed.notify_all()
                return

    def stop(self):
        with self.changed:
            self.over = True
            self.changed.notify_all()
        self.thread.join()
        if self.fault:
            raise self.fault


class SocketWeather(Weather):
    """The schedule of test_random_faults.py, with what else can happen on sockets."""

    def __init__(self, quakes, *args):
        self.quakes = quakes
        super().__init__(*args)

    def put(self, name, **order):
        self.upstream.account(name, **dict({'mode': 'up', 'do': None, 'models': None, 'upgrade': None}, **order))
        self.what[name] = order
        self.faults += bool(order)

    def trouble(self, name):
        draw = self.draw
        order = draw.choices(
            [{}, {'mode': draw.choice(MODES)['mode']}, {'do': draw.choice(PLAIN + SHAPES)}, {'do': draw.choice(EARLY)},
             {'do': draw.choice(CLOSED_EARLY)}, {'do': draw.choice(LATE + CLOSED_LATE)}, {'do': draw.choice(AGED)},
             {'upgrade': draw.choice(UPGRADES)}, NO_SOCKETS, {'mode': 'silent'}],
            [3, 3, 3, 3, 3, 4, 2, 3, 0.2, 0.1])[0]
        self.put(name, **order)
        if draw.random() < 0.3:
            self.what[name] = dict(order, sockets=draw.choice(AT_ONCE))
            self.upstream.socket(name, **self.what[name]['sockets'])

    def begin(self):
        with self.quakes.database(wait=True):
            super().begin()
        self.count = PHASE // 4 if self.all_fail else PHASE


class Talk:
    """One conversation, and the turn that it is at."""

    def __init__(self, draw, kept):
        self.draw, self.kept = draw, kept  # kept: its key's policy is to keep every turn
        self.dialogue = Dialogue()
        self.style = draw.choice(['anchored', 'anchored', 'anchored', 'mixed', 'whole']) if kept else 'anchored'
        self.reasoning = draw.random() < 0.6
        self.store = draw.random() < 0.5
        self.lane = None
        self.home = None     # (socket, lane) whose memory holds the last answer
        self.forced = False  # an anchor was not known: the whole history comes
        self.turn_state = None  # of the Codex backend: what it said last is told with the next turn
        self.done = 0
        self.next()

    def next(self):
        self.tries, self.denied, self.warm = 0, False, False
        draw, dialogue = self.draw, self.dialogue
        text = 'turn %d of %08x' % (self.done, draw.getrandbits(32))
        if dialogue.calls:
            self.new = dialogue.outputs('output of ' + text)
            if draw.random() < 0.5:
                self.new.append(user(text))
            return
        self.warm = draw.random() < (0.2 if self.done == 0 else 0.03)
        if not self.warm and draw.random() < 0.2:
            calls = [{'name': 'look', 'arguments': '{"n":%d}' % self.done}]
            if draw.random() < 0.3:
                calls.append({'name': 'raw', 'input': 'free words'})
            text += ' ' + asking_for(*calls, say=draw.random() < 0.5)
        elif not self.warm and self.done and draw.random() < 0.05:
            self.denied = True
            text += ' ' + marker(status=400, code='previous_response_not_found', param='previous_response_id', times=1)
        self.new = [user(text)]

    def forget(self):
        """Without a row nobody knows whose these items are: what binds them to an account goes."""
        self.dialogue.items = [{name: value for name, value in item.items() if name not in ('id', 'status')}
                               for item in self.dialogue.items if item['type'] != 'reasoning']

    def body(self, place, database, codex):
        """place: (socket, lane), or None over HTTP. database: whether it is there."""
        draw = self.draw
        how = draw.choice(['anchored', 'whole']) if self.style == 'mixed' else self.style
        if self.forced or (not self.kept and (place is None or place != self.home)):
            how = 'whole'
        if how == 'whole' and self.kept and not database and self.dialogue.anchor:
            how = 'anchored'  # whose the items are could not be looked up
        if how == 'whole' and not self.kept:
            self.forget()
        members = dict(REASONING) if self.reasoning and draw.random() < 0.8 else {}
        metadata = {'k': 'v'} if draw.random() < 0.2 else {}
        if self.turn_state and place:
            metadata['x-codex-turn-state'] = self.turn_state
        if metadata:
            members['client_metadata'] = metadata
        if self.warm:
            members['generate'] = False
        if draw.random() < 0.2:
            self.store = not self.store
        return self.dialogue.body(self.new, how, codex and self.kept, store=self.store, **members)

    def answered(self, turn, place):
        self.dialogue.hear(self.new, turn)
        self.home, self.forced = place, False
        self.done += 1
        self.next()

    def missed(self):
        self.home = None
        self.tries += 1
        assert self.tries < TRIES, 'a conversation is lost'


class Flight:
    """A turn that was sent on a socket."""

    def __init__(self, talk, frame, began):
        self.talk, self.frame, self.began = talk, frame, began
        self.events = []


class World:
    """What all clients share."""

    def __init__(self, nodes, keys, quakes, weather):
        self.nodes, self.keys, self.quakes, self.weather = nodes, keys, quakes, weather
        self.figures, self.lock, self.ids = Figures(), threading.Lock(), set()

    def note(self, rid):
        with self.lock:
            assert rid not in self.ids, 'an id came twice: ' + rid
            self.ids.add(rid)
        self.quakes.count()


class Client:
    """One client: a socket, and the conversations on it."""

    def __init__(self, world, draw, width):
        self.world, self.draw = world, draw
        self.kept = draw.random() < 0.85
        self.key = world.keys[self.kept]
        self.codex = draw.random() < 0.4
        self.headers = {'originator': 'codex_cli_rs', 'session-id': 's-%08x' % draw.getrandbits(32),
                        'thread-id': 't-%08x' % draw.getrandbits(32)} if self.codex else {}
        self.talks = [Talk(draw, self.kept) for _ in range(width)]
        self.api = [http.Client(node.url, self.key) for node in world.nodes]
        self.used = [time.monotonic()] * len(world.nodes)
        self.socket, self.at, self.since, self.names = None, None, 0, 0

    # ---- the socket ----

    def leave(self, cut):
        if self.socket is not None:
            self.world.figures.add('sockets cut' if cut else 'sockets closed')
            if cut:
                self.socket.cut()
            else:
                self.socket.close()
        self.socket = None

    def gone(self, fault):
        """A socket that ended by itself: only a dead node's may."""
        assert self.world.quakes.died(self.at, self.since), 'n%d: %r' % (self.at + 1, fault)
        self.world.figures.add('sockets of dead nodes')
        self.socket.close()
        self.socket = None

    def connect(self):
        """On another node than before."""
        self.at = self.draw.choice([n for n in range(len(self.world.nodes)) if n != self.at])
        self.since = time.monotonic()
        try:
            self.socket = wsclient.Socket(self.world.nodes[self.at].url, self.key, headers=list(self.headers.items()))
        except (OSError, websockets.exceptions.WebSocketException, wsclient.Refused) as fault:
            assert self.world.quakes.died(self.at, self.since), 'n%d: %r' % (self.at + 1, fault)
            return False
        self.names = 0
        for number, talk in enumerate(self.talks):
            talk.lane = None if number == 0 and self.draw.random() < 0.7 else self.name()
        return True

    def name(self):
        self.names += 1
        return 'lane_%d' % self.names

    # ---- one turn's end ----

    def refused(self, talk, number, status, error, retry_after, all_fail, began):
        """Whether there was a reason; and what the client makes of it."""
        code = error['code']
        shook = self.world.quakes.shook(began) or self.world.quakes.died(number, began)  # a node begins without its database
        if code == 'previous_response_not_found':
            assert status == 400 and (talk.denied or shook), 'the anchor was lost'
            self.world.figures.add('denied' if talk.denied else 'not written yet')
            talk.forced = talk.denied
            talk.missed()
            return
        assert all_fail or shook, 'an account could have served: %d %s' % (status, error)
        assert status in (429, 503) and int(retry_after) >= 1, (status, error, retry_after)
        self.world.figures.add('refused %d %s' % (status, code))
        talk.tries -= all_fail or shook
        talk.missed()

    def over(self, talk, turn, place, all_fail):
        """A turn that was answered as one."""
        if turn.status == 'failed':
            assert shown(turn), 'it failed before anything of it was shown'
            assert turn.response['error']['code'] == 'server_error', turn.response['error']
            self.world.figures.add('failed behind an item')
            talk.missed()
            return
        assert not all_fail or talk.warm, 'no account could have answered'
        assert not talk.warm or turn.response['output'] == [], 'a warm-up was answered'
        self.world.figures.add('warm-ups' if talk.warm else 'answered')
        talk.answered(turn, place)
        self.world.note(turn.id)

    @contextlib.contextmanager
    def explained(self, body, answer, number):
        try:
            yield
        except AssertionError as fault:
            raise AssertionError('%s\nn%d, turns kept: %s, weather: %s\nanswer: %.1500s\nrequest: %.1500s' % (
                fault, number + 1, self.kept, self.world.weather, answer, json.dumps(body))) from None

    # ---- over HTTP ----

    def over_http(self, talk, database, all_fail):
        number = self.draw.randrange(len(self.api))
        began, since = time.monotonic(), self.used[number]
        body = talk.body(None, database, self.codex)
        body['stream'] = self.draw.random() < 0.6
        self.used[number] = began
        try:
            headers = dict(self.headers, **({'x-codex-turn-state': talk.turn_state} if talk.turn_state else {}))
            answer = self.api[number].post(body, headers=headers)
        except (OSError, http.http.client.HTTPException) as fault:
            assert self.world.quakes.died(number, since), 'n%d: %r' % (number + 1, fault)
            talk.missed()
            return
        talk.turn_state = answer.header('x-codex-turn-state') or talk.turn_state
        with self.explained(body, answer, number):
            if answer.status != 200:
                self.refused(talk, number, answer.status, answer.error, answer.header('retry-after'), all_fail, began)
            else:
                self.over(talk, http.Turn(answer, body['stream']), None, all_fail)

    # ---- on the socket ----

    def create(self, talk, database, flights):
        if self.draw.random() < 0.1 and self.names < LANES:
            talk.lane = self.name()
        body = talk.body((self.socket, talk.lane), database, self.codex)
        if talk.home == (self.socket, talk.lane) and 'previous_response_id' in body and TRANSPORTS[self.at] != 'http':
            self.world.figures.add('might be live')
        frame = dict(body, type='response.create')
        if talk.lane:
            frame['stream_id'] = talk.lane
        if self.draw.random() < 0.3:
            frame['stream'] = True  # as Codex does
        flights[talk.lane] = Flight(talk, frame, time.monotonic())
        self.socket.send(frame)

    def landed(self, flight, all_fail):
        turn = wsclient.Turn(flight.events)
        with self.explained(flight.frame, turn.answer, self.at):
            if turn.error is None:
                self.over(flight.talk, turn, (self.socket, flight.talk.lane), all_fail)
                return
            assert len(flight.events) == 1, 'an error frame behind events'
            self.refused(flight.talk, self.at, turn.error['status'], turn.error['error'],
                         turn.error['headers'].get('retry-after'), all_fail, flight.began)

    def hear(self, flights, cut, all_fail):
        """Until each has ended; cut: behind so many events the client goes away."""
        for heard in itertools.count():
            if not flights:
                return
            if heard == cut:
                self.leave(cut=True)
                return
            event = self.socket.receive()
            lane = event.data.get('stream_id')
            assert lane in flights, 'nobody asked for this: %r' % event
            if event.type == 'response.metadata':
                assert self.codex and 'sequence_number' not in event.data, event
                flights[lane].talk.turn_state = event.data['headers']['x-codex-turn-state']
                continue
            if event.type == 'codex.rate_limits':
                assert self.codex and not {'sequence_number', 'plan_type'} & set(event.data), 'only the pool\'s: %r' % event
                continue
            flights[lane].events.append(event)
            if event.type in http.TERMINAL:
                self.landed(flights.pop(lane), all_fail)

    def on_socket(self, talks, database, all_fail):
        """A turn of each, side by side."""
        flights = {}
        try:
            for talk in talks:
                self.create(talk, database, flights)
            self.hear(flights, self.draw.randrange(12) if self.draw.random() < 0.06 else None, all_fail)
        except wsclient.Closed as fault:
            self.gone(fault)
        for flight in flights.values():
            flight.talk.missed()

    # ---- all of it ----

    def round(self, database, all_fail):
        talks = [talk for talk in self.talks if talk.done < TURNS]
        elsewhere = [talk for talk in talks if self.draw.random() < 0.12]
        if self.draw.random() < 0.1:
            self.leave(cut=self.draw.random() < 0.5)
        if self.socket is not None or self.connect():
            self.on_socket([talk for talk in talks if talk not in elsewhere], database, all_fail)
        for talk in elsewhere:
            self.world.figures.add('sent over HTTP')
            self.over_http(talk, database, all_fail)

    def run(self):
        try:
            while any(talk.done < TURNS for talk in self.talks):
                with self.world.weather.turn() as all_fail, self.world.quakes.database(wait=False) as database:
                    self.round(database, all_fail)
        finally:
            self.leave(cut=False)
            for api in self.api:
                api.close()


def ways_of(cluster):
    """How the answered turns went on, by the log."""
    return dict(cluster.sql("SELECT continuity, count(*) FROM posthouse_admin.requests WHERE outcome = 'completed' AND "
                            "route = 'responses' GROUP BY 1 ORDER BY 1"))


@pytest.mark.timeout(300 * max(1, SCALE))
def test_random_sockets(make_cluster):
    cluster = make_cluster(SHORT)
    upstream = cluster.own(FakeUpstream(list(KINDS.items()), '--record-mib', '64'))
    for name, kind in KINDS.items():
        cluster.account(name, kind, upstream.base(name))
    keys = {True: cluster.key('k1'), False: cluster.key('k2', '--snapshots', 'none')}
    nodes = [cluster.node(env={'POSTHOUSE_UPSTREAM_TRANSPORT': transport}) for transport in TRANSPORTS]

    def answers(node):
        with contextlib.suppress(OSError, http.http.client.HTTPException):
            body = {'model': 'demo', 'input': 'there?', 'store': False}
            return http.once(node.url, keys[True], 'POST', '/v1/responses', body).status == 200

    quakes = Quakes(cluster, nodes, keys[True])
    weather = SocketWeather(quakes, cluster, upstream, list(KINDS), lambda: [
        http.eventually(lambda: answers(node), within=60) for node in nodes])  # pylint: disable=cell-var-from-loop
    world = World(nodes, keys, quakes, weather)
    left, faults = [count(CONVERSATIONS)], []

    def take(most):
        with world.lock:
            got = min(most, left[0])
            left[0] -= got
            return got

    def run(number):
        draw = random.Random('%d sockets %d' % (SEED, number))
        try:
            while not faults:
                width = take(draw.choice([1, 1, 2, 3]))
                if not width:
                    return
                Client(world, draw, width).run()
        except BaseException as fault:  # pylint: disable=broad-except
            faults.append(fault)
    start = time.monotonic()
    threads = [threading.Thread(target=run, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - start
    quakes.stop()
    if faults:
        raise faults[0]
    weather.clear()
    stats = upstream.accounts()
    for name in KINDS:
        found = stats[name]['found']
        assert not stats[name]['foreign'], '%s %s %s' % (name, found, strangers(upstream, name, list(KINDS)))
        assert not [what for what in ('protocol', 'parameter', 'frame', 'json') if found.get(what)], (name, found)
        assert stats[name]['turns'] and stats[name]['faulted'], (name, stats[name])
    ways, answered = ways_of(cluster), len(world.ids)
    assert answered == count(CONVERSATIONS) * TURNS
    assert ways['live'] > world.figures.counts['might be live'] / 3 and ways['replayed'] and ways['forwarded'], (
        ways, world.figures.counts)
    assert any(quakes.deaths) and quakes.outages
    figure('%d conversations, %d turns, %.0f a second; %d deaths of nodes, %d restarts of PostgreSQL; %d upgrades, %d faults '
           'met; %s; %s' % (count(CONVERSATIONS), answered, answered / took, sum(map(len, quakes.deaths)), len(quakes.outages),
                            sum(stats[name]['upgrades'] for name in KINDS), sum(stats[name]['faulted'] for name in KINDS),
                            ways, dict(sorted(world.figures.counts.items()))))


# ---- what the above found, each by itself ----

@pytest.fixture(scope='module')
def small(make_cluster):
    return wsworld.World(make_cluster(), nodes=1, names=('p1', 'p2', 'x1', 's1'))


@pytest.fixture
def world(small):
    small.reset()
    yield small
    small.check()


@pytest.mark.parametrize('name', ['p1', 's1'])
def test_a_warm_up_on_nothing_is_unknown(world, name):
    with world.socket(name, policy='none') as ws:
        turn = ws.ask({'model': 'demo', 'input': 'x', 'generate': False, 'previous_response_id': 'resp_never'})
        assert turn.error['error']['code'] == 'previous_response_not_found', turn.answer


@pytest.mark.parametrize('names', [('p1', 'p2'), ('x1', 's1')])
def test_a_refusal_without_type_and_status(world, names):
    """As the Codex backend says it over HTTP."""
    with world.socket(*names) as ws:
        first = conversation.Conversation().say(ws, 'one')
        owner = max(names, key=lambda name: world.upstream.stats(name)['turns'])
        world.upstream.script(owner, {'status': 402, 'body': {'detail': {'code': 'deactivated_workspace'}}})
        first.say(ws, 'two')
    assert world.upstream.stats(owner)['faulted'] == 1


def test_a_socket_remembers_only_what_came_over_it(world):
    """An account without WebSocket answers in between, while the other's socket stays open."""
    with world.socket('p1', 's1') as ws:
        world.cluster.cli('account', 'pause', 's1')
        time.sleep(wsworld.SPREAD_S)
        first = conversation.Conversation().say(ws, 'one')
        world.cluster.cli('account', 'pause', 'p1')
        world.cluster.cli('account', 'resume', 's1')
        time.sleep(wsworld.SPREAD_S)
        second = first.say(ws, 'two')
        world.cluster.cli('account', 'resume', 'p1')
        world.cluster.cli('account', 'pause', 's1')
        time.sleep(wsworld.SPREAD_S)
        second.say(ws, 'three').say(ws, 'four')
    assert [world.upstream.stats(name)['turns'] for name in ('p1', 's1')] == [3, 1]


def test_a_refused_continuation_is_looked_up(make_cluster):
    """The turn was to go on live, but its account was busy and the wait too long. Sent again, it is a turn like any other:
    a row that says what is behind it, so that another account can go on."""
    world = wsworld.World(make_cluster({'POSTHOUSE_QUEUE_TIMEOUT': '500ms'}), nodes=1, names=('p1', 's1'))
    world.cluster.account('p1', 'platform', world.upstream.base('p1'), '--max-streams', '1')
    world.cluster.cli('account', 'pause', 's1')
    time.sleep(wsworld.SPREAD_S)
    with world.socket('p1', 's1') as ws, world.socket('p1', 's1') as other:
        first = conversation.Conversation().say(ws, 'one', store=False)
        other.send({'type': 'response.create', 'model': 'demo', 'input': marker(first_delay_ms=2500)})
        http.eventually(lambda: world.upstream.stats('p1')['running'], what='the other turn')
        refused = ws.ask({'model': 'demo', 'input': 'two', 'store': False, 'previous_response_id': first.anchor})
        assert refused.error['status'] == 429, refused.answer
        other.hear()
        second = first.say(ws, 'two', store=False)
        world.cluster.cli('account', 'resume', 's1')
        world.cluster.cli('account', 'pause', 'p1')
        time.sleep(wsworld.SPREAD_S)
        second.say(ws, 'three')
    world.check()
