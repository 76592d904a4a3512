# SPDX-License-Identifier: Apache-2.0
"""A conversation with tool calls and reasoning, sent in each of the ways that clients have.

`conversation.py` knows text alone and always anchors. This one keeps every item as the client got it, so that a turn can
also carry the whole history, with the ids and the ciphertext of whichever account made them, as Codex does. What an
account says it saw must be the history that the client knows, exactly; reasoning is no part of it (tests/upstream).
"""
import json

from fake_upstream import entries, expected_text, marker

TOOLS = [{'type': 'function', 'name': 'look', 'description': 'looks', 'strict': False,
          'parameters': {'type': 'object', 'properties': {}}}]
REASONING = {'include': ['reasoning.encrypted_content'], 'reasoning': {'effort': 'low'}}
CALLS = ('function_call', 'custom_tool_call')


def user(text, **members):
    return dict({'type': 'message', 'role': 'user', 'content': [{'type': 'input_text', 'text': text}]}, **members)


def asking_for(*calls, say=False, **more):
    """Words that make the fake upstream call tools."""
    return marker(calls=list(calls), say=say, **more)


def as_codex(items):
    """History as Codex sends it back: written anew, with a member that was not there."""
    found = []
    for item in items:
        item = dict(reversed(list(item.items())))
        if item.get('type') == 'reasoning':
            item['content'] = None
        found.append(item)
    return found


class Dialogue:
    """One branch, as its client knows it."""

    def __init__(self):
        self.items = []     # oldest first
        self.anchor = None  # the last response's id
        self.depth = 0
        self.calls = []     # the last answer's calls: the next turn must bring their outputs

    def body(self, new, how='anchored', codex=False, **members):
        """how: `anchored` (the id and what is new), `whole` (everything, no id), `both`. new: items, or a string."""
        body = dict({'model': 'demo', 'tools': TOOLS}, **members)
        if self.anchor is None and isinstance(new, str):
            body['input'] = new
            return body
        new = [user(new)] if isinstance(new, str) else new
        before = as_codex(self.items) if codex else self.items
        body['input'] = (new if how == 'anchored' else before + new)
        if how != 'whole' and self.anchor is not None:
            body['previous_response_id'] = self.anchor
        return body

    def hear(self, new, turn):
        """What came back: asserts the context, and is what the next turn continues."""
        assert turn.status == 'completed', turn.answer
        new = [user(new)] if isinstance(new, str) else new
        if any(item['type'] == 'message' for item in turn.response['output']):
            expected = expected_text(entries(self.items + new))
            assert turn.text == expected, 'the context differs at depth %d:\n%s\nseen     %r\nexpected %r' % (
                self.depth, '\n'.join(entries(self.items + new)), turn.text[:120], expected[:120])
        self.items = self.items + new + turn.response['output']
        self.anchor = turn.id
        self.depth += 1
        self.calls = [item for item in turn.response['output'] if item['type'] in CALLS]

    def say(self, client, new, how='anchored', codex=False, headers=None, **members):
        """A turn that must be answered; returns it."""
        turn = client.turn(self.body(new, how, codex, **members), **({'headers': headers} if headers else {}))
        self.hear(new, turn)
        return turn

    def outputs(self, text='done'):
        """Items that answer the open calls."""
        return [{'type': call['type'] + '_output', 'call_id': call['call_id'], 'output': '%s %d' % (text, number)}
                for number, call in enumerate(self.calls)]


def ciphertexts(items):
    return [item['encrypted_content'] for item in items if item.get('encrypted_content')]


def sent(request):
    """The items that an upstream was sent (a record of the fake upstream, or of rawupstream)."""
    body = json.loads(request['body']) if isinstance(request, dict) else request.json
    return body['input']
