# SPDX-License-Identifier: Apache-2.0
"""Conversations that go on while things are restarted and killed, through one address; what became of each turn.

Every answer's context is compared with what the client knows (conversation.py), and every id whose end was shown is
continued once more when all is over. A turn's outcome is one of

    ok       answered, with exactly its context
    later    503 with Retry-After: nothing was begun
    cut      the connection broke, or the balancer said 502: the node or its balancer went away
    failed   anything else, with what it was

A test says which outcomes its disturbance may cause.
"""
import collections
import random
import threading
import time

import client as http
from conversation import Context
from fake_upstream import ECHO_MAX, marker

Outcome = collections.namedtuple('Outcome', 'began ended what node continuity detail')
SLOW = {'deltas': 12, 'delay_ms': 350}  # a turn longer than a draining node accepts connections
LONGEST = 12                            # turns of a conversation


def any_turn(draw):
    return {'stream': draw.random() < 0.5, 'store': draw.random() < 0.5}


class Branch:
    """Where a conversation stands: the id to name, and the context behind it."""

    def __init__(self, anchor=None, context=Context(), depth=0):
        self.anchor, self.context, self.depth = anchor, context, depth

    def body(self, text, members):
        item = {'type': 'message', 'role': 'user', 'content': [{'type': 'input_text', 'text': text}]}
        body = dict({'model': 'demo', 'input': [item]}, **members)
        if self.anchor:
            body['previous_response_id'] = self.anchor
        return body

    def after(self, turn, text):
        """The branch that this answer leads to; its context must be ours."""
        asked = self.context.add('user:' + text)
        assert turn.text == asked.words + text[:ECHO_MAX], 'context at depth %d: %r, expected %r' % (
            self.depth, turn.text[:120], asked.words)
        return Branch(turn.id, asked.add('assistant:' + turn.text), self.depth + 1)


def judge(answer):
    """(what, detail) of an answer that came to its end."""
    if answer.status == 503:
        return ('later', '') if int(answer.header('retry-after') or 0) >= 1 else ('failed', '503 without Retry-After')
    if answer.status == 502:
        return 'cut', '502'
    if answer.status != 200:
        return 'failed', repr(answer)
    if (answer.header('content-type') or '').startswith('text/event-stream') and b'[DONE]' not in answer.body:
        return 'cut', 'stream without end'
    return 'ok', ''


class Traffic:
    """width threads, each with a conversation at a time. shapes: list of (key, function of the turn's members)."""

    def __init__(self, url, shapes, width, seed):
        self.url, self.seed = url, seed
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.outcomes, self.branches = [], []  # branches: (key, members, branch) of each acknowledged turn
        self.threads = [threading.Thread(target=self.run, args=(n, *shapes[n % len(shapes)]), daemon=True)
                        for n in range(width)]
        for thread in self.threads:
            thread.start()

    def run(self, number, key, shape):
        draw = random.Random('%s %d' % (self.seed, number))
        known, serial = [Branch()], 0
        with http.Client(self.url, key, timeout=60) as api:
            while not self.stopping.is_set():
                serial += 1
                branch = known[-1] if draw.random() < 0.8 else draw.choice(known)
                text = 'c%d t%d' % (number, serial)
                if draw.random() < 0.05:
                    text += ' ' + marker(**SLOW)
                follow = self.turn(api, key, branch, text, shape(draw))
                if follow is None:
                    time.sleep(0.05)
                    continue
                known = [Branch()] if follow.depth >= LONGEST else known + [follow]

    def turn(self, api, key, branch, text, members):
        """One turn, noted; the branch that it leads to, or None."""
        began, follow, node, continuity = time.monotonic(), None, None, None
        try:
            answer = api.post(branch.body(text, members))
            node, continuity = answer.header('x-posthouse-node'), answer.header('x-posthouse-continuity')
            what, detail = judge(answer)
            if what == 'ok':
                turn = http.Turn(answer, members['stream'])
                assert turn.status == 'completed', turn.response
                follow = branch.after(turn, text)
        except AssertionError as fault:
            what, detail = 'failed', str(fault)
        except (OSError, http.http.client.HTTPException) as fault:
            what, detail = 'cut', repr(fault)
        with self.lock:
            self.outcomes.append(Outcome(began, time.monotonic(), what, node, continuity, detail))
            if follow:
                self.branches.append((key, members, follow))
        return follow

    # ---- what a test asks ----

    def acknowledged(self):
        with self.lock:
            return len(self.branches)

    def during(self, began, ended=None):
        """How many of each outcome, of the turns that ran at some moment of that time."""
        with self.lock:
            return collections.Counter(o.what for o in self.outcomes
                                       if o.ended >= began and (ended is None or o.began <= ended))

    def details(self, *what):
        with self.lock:
            return [o for o in self.outcomes if o.what in what][:5]

    def nodes(self):
        with self.lock:
            return {o.node for o in self.outcomes if o.what == 'ok'}

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(90)
            assert not thread.is_alive(), 'a turn hangs'

    def verify(self):
        """Every id whose end was shown goes on, with its context. Returns how many."""
        assert not self.details('failed'), self.details('failed')
        clients = {key: http.Client(self.url, key) for key, _, _ in self.branches}
        for number, (key, members, branch) in enumerate(list(self.branches)):
            text = 'check %d' % number
            branch.after(clients[key].turn(branch.body(text, members)), text)
        for api in clients.values():
            api.close()
        return len(self.branches)
