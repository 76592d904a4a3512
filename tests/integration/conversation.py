# SPDX-License-Identifier: Apache-2.0
"""A conversation whose every context is checked.

The fake upstream answers "seen COUNT SHA256: TEXT": how many entries of conversation it was shown, and their chained
hash (tests/upstream/README.md, "The context"). A conversation computes the same from what the client knows, so that an
answer whose context lacked, doubled or changed anything fails at once.
"""
import hashlib

from fake_upstream import ECHO_MAX


class Context:
    def __init__(self, count=0, digest=bytes(32)):
        self.count = count
        self.digest = digest

    def add(self, entry):
        return Context(self.count + 1, hashlib.sha256(self.digest + entry.encode()).digest())

    @property
    def words(self):
        return 'seen %d %s: ' % (self.count, self.digest.hex())


class Conversation:
    """One branch. say() returns the branch that the turn leads to; the old one can be continued too."""

    def __init__(self, context=Context(), anchor=None, depth=0):
        self.context = context
        self.anchor = anchor
        self.depth = depth

    def say(self, client, text, **members):
        body = dict({'model': 'demo', 'input': text}, **members)
        if self.anchor is not None:
            body['previous_response_id'] = self.anchor
        context = self.context.add('user:' + text)
        turn = client.turn(body)
        assert turn.status == 'completed', turn.answer
        assert turn.text == context.words + text[:ECHO_MAX], 'the context differs at depth %d: %r, expected %r' % (
            self.depth, turn.text[:120], context.words)
        follow = Conversation(context.add('assistant:' + turn.text), turn.id, self.depth + 1)
        follow.turn = turn
        return follow
