# SPDX-License-Identifier: Apache-2.0
"""The matrix: {owner kind x other kind} x {every fault, every signal} x {stream, not} x {fresh, anchored}.

signals.py holds what can happen and what must follow; this plays it. For each cell: what the client saw, what each
upstream saw, the account's state afterwards, that an account which is known to be blocked is not asked again (on this node
nor, soon, on another), and what is answered when nobody can serve.

All cells share two nodes and one fake upstream. A slot is a combination of kinds, stream and anchor with two accounts and
a thread of its own, which plays the causes one after the other; so waits of one slot cost the others nothing. Each cell is
a test that waits for its result: -k picks cells by name.
"""
import concurrent.futures
import itertools
import json
import re
import threading
import time
import traceback

import psycopg
import pytest

import client as http
import signals
from conversation import Conversation
from harness import FakeUpstream, figure

KINDS = ('platform', 'codex', 'stateless')
WAIT = 1.5  # every silence of an upstream

SHORT = {
    'POSTHOUSE_FIRST_EVENT_TIMEOUT': '%dms' % (WAIT * 1000),
    'POSTHOUSE_IDLE_TIMEOUT': '%dms' % (WAIT * 1000),
    'POSTHOUSE_ANSWER_TIMEOUT': '%dms' % (WAIT * 1000),
    'POSTHOUSE_HOLD_TIMEOUT': '%dms' % (WAIT * 8000),  # all silences before the first output are waited out in it
    'POSTHOUSE_LOG_LEVEL': 'info',
}

# Where the state of accounts is read; the only place.
HEALTH = """SELECT state, extract(epoch FROM remaining)::float8, reason, node FROM posthouse_admin.account_health
            WHERE name = %s"""

# Whether usage was written as it is now: until then a node that reads all accounts again may be told old figures.
WRITTEN = """SELECT coalesce(greatest(primary_used_percent, secondary_used_percent) < 95, true)
             FROM posthouse_admin.account_health WHERE name = %s"""


class Cell:
    def __init__(self, slot, cause):
        self.slot = slot
        self.cause = cause

    @property
    def id(self):
        return '%s-%s' % (self.slot.id, re.sub('[^A-Za-z0-9]+', '_', self.cause.name).strip('_'))


class Slot:
    """Two accounts, asked in this order, and one way to ask them."""

    def __init__(self, number, owner_kind, other_kind, stream, anchored):
        self.number = number
        self.kinds = (owner_kind, other_kind)
        self.names = ('o%d' % number, 'x%d' % number)
        self.stream = stream
        self.anchored = anchored
        self.id = '-'.join([owner_kind, other_kind, 'stream' if stream else 'whole', 'anchored' if anchored else 'fresh'])

    def plays(self, cause):
        return cause.anchored in (None, self.anchored) and cause.of(self.kinds[0], self.stream)


SLOTS = [Slot(number, *rest) for number, rest in
         enumerate(itertools.product(KINDS, KINDS, (True, False), (False, True)))]
CELLS = [Cell(slot, cause) for cause in signals.CAUSES for slot in SLOTS if slot.plays(cause)]


# ---- the world ----

class World:
    """The nodes, the fake upstream, 36 slots."""

    def __init__(self, make_cluster, slots):
        self.cluster = make_cluster(SHORT)
        accounts = [(name, kind) for slot in slots for name, kind in zip(slot.names, slot.kinds)]
        ports = [word for name, _ in accounts for word in ('--account-listen', '%s=127.0.0.1:0' % name)]
        self.upstream = self.cluster.own(FakeUpstream(accounts, *ports))
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(self.add, [(slot, n) for slot in slots for n in (0, 1)]))
            self.keys = dict(pool.map(self.key, [(slot, which) for slot in slots for which in (None, 0, 1)]))
        self.nodes = [self.cluster.node() for _ in range(2)]

    def add(self, place):
        slot, n = place
        self.cluster.account(slot.names[n], slot.kinds[n], self.upstream.base_url(slot.names[n]), '--priority', n)

    def key(self, place):
        """One for both accounts of a slot, one for each alone."""
        slot, which = place
        names = slot.names if which is None else [slot.names[which]]
        return (slot.number, which), self.cluster.key('%s-%s' % (slot.number, which),
                                                      *[word for name in names for word in ('--account', name)])


def told(fault):
    """Where in this file, and what."""
    frames = [frame for frame in traceback.extract_tb(fault.__traceback__) if frame.filename == __file__]
    where = ' > '.join('%s:%d' % (frame.name, frame.lineno) for frame in frames)
    return '%s: %s [%s]' % (type(fault).__name__, fault, where)


class Player(threading.Thread):
    """Plays the causes of one slot, one after the other."""

    def __init__(self, world, slot, cells):
        super().__init__(daemon=True, name=slot.id)
        self.world = world
        self.slot = slot
        self.cells = cells
        self.results = {cell.id: concurrent.futures.Future() for cell in cells}
        self.stop = False

    def run(self):
        try:
            table = Table(self.world, self.slot)
        except BaseException as fault:  # pylint: disable=broad-except
            for future in self.results.values():
                future.set_result(told(fault))
            return
        for cell in self.cells:
            if self.stop:
                break
            try:
                table.play(cell.cause)
                self.results[cell.id].set_result(None)
            except BaseException as fault:  # pylint: disable=broad-except
                table.dirty = True
                self.results[cell.id].set_result(told(fault))
        table.close()


class Matrix:
    def __init__(self, world, cells):
        self.start = time.monotonic()
        self.players = {}
        for slot in {cell.slot.number: cell.slot for cell in cells}.values():
            self.players[slot.number] = Player(world, slot, [cell for cell in cells if cell.slot is slot])
        for player in self.players.values():
            player.start()

    def result(self, cell):
        return self.players[cell.slot.number].results[cell.id].result(timeout=600)

    def close(self):
        for player in self.players.values():
            player.stop = True
        for player in self.players.values():
            player.join(120)


@pytest.fixture(scope='module')
def matrix(request, make_cluster):
    """Started once, for the cells that were asked for."""
    cells = [item.callspec.params['cell'] for item in request.session.items
             if item.path == request.path and 'cell' in getattr(item, 'callspec', type('none', (), {'params': {}})).params]
    slots = list({cell.slot.number: cell.slot for cell in cells}.values())
    world = World(make_cluster, slots)
    made = Matrix(world, cells)
    yield made
    made.close()
    figure('matrix: %d cells in %.0f s' % (len(cells), time.monotonic() - made.start))
    stats = world.upstream.accounts()
    foreign = {name: account['found'] for name, account in stats.items() if account['foreign']}
    assert not foreign, 'bound to another account: %s' % foreign


@pytest.mark.timeout(1200)
@pytest.mark.parametrize('cell', CELLS, ids=lambda cell: cell.id)
def test_cell(matrix, cell):
    fault = matrix.result(cell)
    if fault:
        pytest.fail(fault, pytrace=False)


# ---- one slot at work ----

class Asked:
    """What the accounts of a slot were asked between two looks."""

    def __init__(self, requests):
        self.requests = requests

    def __len__(self):
        return len(self.requests)


class Table:
    """The slot's hands: clients of both nodes, the controls of the upstream, the database."""

    def __init__(self, world, slot):
        self.world = world
        self.slot = slot
        self.clients = [http.Client(node.url, timeout=30) for node in world.nodes]
        self.controls = http.Client('http://' + world.upstream.address)
        self.database = psycopg.connect(world.cluster.postgres.dsn(world.cluster.database), autocommit=True)
        self.marks = {name: 0 for name in slot.names}
        self.foreign = {name: 0 for name in slot.names}
        self.dirty = True
        self.cells = itertools.count(1)  # a rest is bound to a model, to a family of clients: each cell has its own
        self.extra = {}

    def close(self):
        for thing in [*self.clients, self.controls, self.database]:
            thing.close()

    # -- the upstream --

    def control(self, method, path, order=None):
        answer = self.controls.request(method, '/_fake' + path, order)
        assert answer.status == 200, answer
        return answer.json

    def order(self, name, cause):
        """What the account does from now on."""
        kind = self.slot.kinds[self.slot.names.index(name)]
        if cause is None:
            self.control('POST', '/account', {'account': name, 'mode': 'up', 'do': signals.CALM.get(kind)})
        elif cause.mode:
            self.control('POST', '/account', {'account': name, 'mode': cause.mode})
        elif cause.once:
            self.control('POST', '/script', {'account': name, 'do': cause.play(kind, self.slot.stream)})
        else:
            self.control('POST', '/account', {'account': name, 'do': cause.play(kind, self.slot.stream)})

    def asked(self, name):
        """Requests that the account got since this was asked last."""
        found = self.control('GET', '/requests?account=%s&last=12' % name)['requests']
        fresh = [request for request in found if request['number'] > self.marks[name]]
        self.marks[name] = max([self.marks[name], *[request['number'] for request in fresh]])
        for request in fresh:
            self.check_request(name, request)
        return fresh

    def look(self):
        """(requests at the owner, requests at the other)"""
        return tuple(self.asked(name) for name in self.slot.names)

    def check_request(self, name, request):
        """An account gets its own credential, nobody else's id, and no routing state of another."""
        headers = dict(request['headers'])
        assert headers.get('authorization') == 'Bearer ' + self.world.cluster.UPSTREAM_SECRET, headers
        body = json.loads(request['body'])
        anchor = body.get('previous_response_id')
        kind = self.slot.kinds[self.slot.names.index(name)]
        assert anchor is None or (kind == 'platform' and anchor.startswith('resp_%s_' % name)), (name, anchor)
        others = [other for other in self.slot.names if other != name]
        bound = re.findall(r'(?:resp|rs|msg|fc|ctc|enc|ts|file)[_:-](?:%s)[_:-]' % '|'.join(others),
                           request['body'] + json.dumps(headers))
        assert not bound, 'what belongs to %s reached %s: %s' % (others, name, bound)

    # -- the database --

    def health(self, name):
        """(state, seconds until it ends or None, reason, node)"""
        return self.database.execute(HEALTH, [name]).fetchone()

    def becomes(self, name, signal):
        """Waits for the state that the signal asks for, and checks its end."""
        http.eventually(lambda: self.health(name)[0] == signal.state, within=5,
                        what='%s is %s' % (name, signal.state))
        state, left, reason, node = self.health(name)
        assert reason and node in ('n1', 'n2'), 'a transition has a reason and a finder: %s, %s' % (reason, node)
        if signal.until:
            assert left is not None and signal.until[0] <= left <= signal.until[1], (state, left, signal.until)
        elif state in ('reauth', 'disabled'):
            assert left is None, (state, left)

    def stays(self, name):
        state, left, reason, _ = self.health(name)
        assert state == 'active', 'the account is %s for %s because of %s' % (state, left, reason)

    # -- turns --

    def say(self, node, body, which=None, headers=None):
        fields = {'Authorization': 'Bearer ' + self.world.keys[self.slot.number, which], 'originator': self.extra['model'],
                  **(headers or {})}
        return self.clients[node].post(body, headers=fields)

    def warm(self, node, which, alone=True):
        """A good turn on one account alone: whatever a node remembers against it is over. Not alone: of the slot's key, to
        which it is a conversation."""
        body = {'input': 'hello', 'stream': True, 'include': ['reasoning.encrypted_content'],
                'reasoning': {'effort': 'low'}}

        def attempt():
            answer = self.say(node, dict(body, **self.extra), which if alone else None)
            turn = http.Turn(answer, True) if answer.status == 200 else None
            return turn if turn and turn.id.startswith('resp_%s_' % self.slot.names[which]) else None
        turn = http.eventually(attempt, within=15, what='a turn on ' + self.slot.names[which])
        assert turn.status == 'completed', turn.answer
        context = Conversation().context.add('user:hello')
        return Conversation(context.add('assistant:' + turn.text), turn.id, 1)

    def reset(self, cause):
        """All as if nothing had ever failed; returns a conversation of the owner's."""
        self.extra = dict(cause.extra, model='model-%d' % next(self.cells))
        for name in self.slot.names:
            self.order(name, None)
        if self.dirty:
            blocked = [name for name in self.slot.names if self.health(name)[0] != 'active']
            self.database.execute('SELECT posthouse_admin.resume_account(n, %s) FROM unnest(%s::text[]) n',
                                  ['matrix', blocked])
            for node, which in itertools.product((0, 1), (0, 1)):
                self.warm(node, which)
        self.dirty = True  # until this cell has ended well without a trace
        if cause.usage:
            http.eventually(lambda: self.database.execute(WRITTEN, [self.slot.names[0]]).fetchone()[0], within=15,
                            what='usage was written')
        root = self.warm(0, 0, alone=False)
        self.look()
        return root

    def body(self, root, text):
        body = {'input': text, 'stream': self.slot.stream, **self.extra}
        if root is not None:
            body['previous_response_id'] = root.anchor
        return body

    def turn(self, node, root, number):
        """A turn as this slot makes them: (answer, context of the conversation with the question)"""
        text = 'turn %d' % number
        context = (root.context if root else Conversation().context).add('user:' + text)
        headers = {'x-codex-turn-state': 'ts:%s:1' % self.slot.names[0]} if root else {}
        return self.say(node, self.body(root, text), headers=headers), context, text

    # -- what the client saw --

    def check_served(self, answer, context, text, by, anchored, failed_over):
        """A turn that was served, in the right context, without a trace of a failure."""
        assert answer.status == 200, answer
        turn = http.Turn(answer, self.slot.stream)
        assert turn.status in ('completed', 'incomplete'), answer
        assert turn.id.startswith('resp_%s_' % self.slot.names[by]), (turn.id, by)
        assert turn.text == context.words + text, 'the context differs: %r, expected %r' % (turn.text[:120], context.words)
        if failed_over or not anchored:
            expected = 'replayed' if anchored else 'none'
        else:
            expected = 'forwarded' if self.slot.kinds[by] == 'platform' and self.extra.get('store', True) else 'replayed'
        assert turn.continuity == expected, (turn.continuity, expected)
        self.check_no_account(answer)
        return Conversation(context.add('assistant:' + turn.text), turn.id)

    def check_no_account(self, answer):
        for name, _ in answer.headers:
            assert not name.startswith(signals.ACCOUNT_HEADERS), 'the client reads the header ' + name
        body = answer.body.decode()
        for word in signals.LIMIT_WORDS:
            assert word not in body, 'the client reads "%s": %s' % (word, body[:400])

    def check_shown(self, answer, cause):
        """Something was shown and then upstream failed."""
        assert answer.status == 200, answer
        turn = http.Turn(answer, True)  # one terminal event, one id, numbers without a gap, [DONE]
        assert turn.types[-1] == 'response.failed' and turn.status == 'failed', turn.types
        assert turn.events[0].data['response']['id'] == turn.id
        code = cause.signal.late if cause.signal and cause.signal.late else 'server_error'
        assert turn.response['error']['code'] == code and turn.response['error']['message'], turn.response['error']
        if code == 'server_error':
            self.check_no_account(answer)

    def check_relayed(self, answer, signal, event):
        """The client's own fault, told as upstream told it."""
        wanted = dict(signal.error)
        if signal.status == 413:
            assert answer.status == 400 and answer.error['code'] == 'payload_too_large', answer
            return
        if answer.status == 200:  # an event came: it may be told as an event
            assert event, answer
            turn = http.Turn(answer, self.slot.stream)
            assert turn.status == 'failed' and turn.response['error']['code'] == wanted['code'], answer
            return
        assert answer.status == (signal.status if not event else 400), answer
        found = answer.error
        assert {name: found[name] for name in ('message', 'code', 'param')} == {
            name: wanted[name] for name in ('message', 'code', 'param')}, (found, wanted)

    def check_refused(self, answer, allowed, until):
        """The pool's own answer."""
        found = answer.error
        for refusal in allowed:
            if answer.status == refusal.status and found['code'] == refusal.code and refusal.type in (None, found['type']):
                break
        else:
            raise AssertionError('%r, expected one of %s' % (answer, allowed))
        if answer.status not in (429, 503):
            return
        after = int(answer.header('retry-after'))
        assert after >= 1
        if until:
            assert until[0] <= after <= until[1] + 1, (after, until)
        if after > 60:
            assert answer.header('x-should-retry') == 'false', answer.headers
        if found['code'] == 'usage_limit_reached':
            assert set(found) >= {'resets_at', 'resets_in_seconds'}, found
            assert abs(found['resets_at'] - time.time() - found['resets_in_seconds']) < 5, found
            assert abs(found['resets_in_seconds'] - after) <= 2, (found, after)
        for name in self.slot.names:
            assert not re.search(r'\b%s\b' % name, found['message']), found
        for word in signals.LIMIT_WORDS:
            if answer.status == 503 or word not in ('rate_limit', 'usage_limit', 'resets_at', 'resets_in'):
                assert word not in answer.body.decode(), answer

    # -- a cell --

    def play(self, cause):
        slot = self.slot
        root = self.reset(cause)
        anchor = root if slot.anchored else None
        ends = cause.ends(slot.kinds[0], slot.stream)
        self.order(slot.names[0], cause)
        answer, context, text = self.turn(0, anchor, 1)
        owner, other = self.look()
        assert len(owner) in cause.tries and len(other) == (ends == signals.ELSEWHERE), (
            'the owner was asked %d times, the other account %d times' % (len(owner), len(other)), answer)
        follow = None
        if ends == signals.ELSEWHERE:
            follow = self.check_served(answer, context, text, 1, slot.anchored, True)
        elif ends in (signals.SERVED, signals.SAME):
            lost = cause.name.startswith('anchor lost')
            follow = self.check_served(answer, context, text, 0, slot.anchored, lost)
        elif ends == signals.SHOWN:
            self.check_shown(answer, cause)
        else:
            self.check_relayed(answer, cause.signal, ',' in cause.name)
        for number in range(1, cause.rounds):
            self.stays(slot.names[0])
            answer, context, text = self.turn(0, anchor, number)
            self.check_served(answer, context, text, 1, slot.anchored, True)
            assert [len(found) for found in self.look()] == [1, 1], 'not blocked yet'
        if cause.state:
            self.blocked(cause, anchor, follow)
        else:
            self.neutral(cause, ends, anchor, follow)

    def blocked(self, cause, anchor, follow):
        """The state is written, and nobody asks that account again."""
        owner, other = self.slot.names
        self.becomes(owner, cause.signal)
        self.served_elsewhere(0, anchor, 2)

        def known():
            """The other node may need a moment to hear of it."""
            try:
                self.served_elsewhere(1, anchor, 3)
                return True
            except AssertionError as fault:
                return 'the blocked account was asked' not in str(fault) and self.fail(fault)
        http.eventually(known, within=10, what='the other node knows of the block')
        if follow:
            answer, context, text = self.turn(1, follow, 4)
            self.check_served(answer, context, text, 1, True, not follow.anchor.startswith('resp_%s_' % other))
            assert not self.look()[0]
        if cause.signal.ends == signals.SERVED or cause.rounds > 1 or not cause.of(self.slot.kinds[1], self.slot.stream):
            return
        self.order(other, cause)
        answer, _, _ = self.turn(0, anchor, 5)
        owner_asked, other_asked = self.look()
        assert not owner_asked and len(other_asked) in cause.tries, (len(owner_asked), len(other_asked))
        self.becomes(other, cause.signal)
        if answer.status == 200:  # the failure came behind the first output
            self.check_shown(answer, cause)
        else:
            self.check_refused(answer, cause.nobody, cause.signal.until)
        answer, _, _ = self.turn(0, anchor, 6)
        self.check_refused(answer, (signals.KNOWN[cause.state],), cause.signal.until)
        assert [len(found) for found in self.look()] == [0, 0], 'nobody is asked while the limit is known'

    @staticmethod
    def fail(fault):
        raise fault

    def served_elsewhere(self, node, anchor, number):
        answer, context, text = self.turn(node, anchor, number)
        owner, other = self.look()
        assert not owner, 'the blocked account was asked'
        assert len(other) == 1
        self.check_served(answer, context, text, 1, self.slot.anchored, True)

    def neutral(self, cause, ends, anchor, follow):
        """The account's state is as before, the conversation goes on, on the other node too."""
        slot = self.slot
        if cause.once or ends in (signals.SERVED, signals.CLIENT, signals.SHOWN):
            self.order(slot.names[0], None)
        if follow:
            by = 1 if ends == signals.ELSEWHERE else 0
            answer, context, text = self.turn(1, follow, 2)
            self.check_served(answer, context, text, by, True, False)
            found = self.look()
            assert len(found[by]) == 1 and not found[1 - by]
        if cause.spared:
            answer, context, text = self.turn(0, anchor, 3)
            self.check_served(answer, context, text, 0 if anchor else 1, slot.anchored, False)
            self.look()
        self.stays(slot.names[0])
        self.stays(slot.names[1])
        self.dirty = ends == signals.ELSEWHERE or cause.usage
        if ends != signals.ELSEWHERE or not cause.of(slot.kinds[1], slot.stream):
            return
        self.order(slot.names[1], cause)
        answer, _, _ = self.turn(0, anchor, 3)
        owner, other = self.look()
        least = min(cause.tries)
        assert least <= len(owner) <= 4 and least <= len(other) <= 4, (len(owner), len(other))
        self.check_refused(answer, cause.nobody, None)
