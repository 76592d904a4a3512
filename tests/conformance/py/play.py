# SPDX-License-Identifier: Apache-2.0
"""The frame of the Python programs beside this one; plans and what is printed are those of js/play.mjs."""
import json
import sys

MODEL = 'gpt-5.1'
FOUND = 'it is there'  # what the tool says, whoever asks
TOOL = {'type': 'function', 'name': 'look', 'description': 'looks', 'strict': False,
        'parameters': {'type': 'object', 'properties': {'at': {'type': 'string'}}, 'required': ['at'], 'additionalProperties': False}}


class Plan:
    """What is to be played, and what was."""

    def __init__(self, plan):
        self.key, self.bases, self.turns = plan['key'], plan['bases'], plan['turns']
        self.done, self.requests = [], 0

    def base(self, step):
        """The node that the step names, else the next in turn."""
        if 'base' in step:
            return step['base']
        self.requests += 1
        return self.bases[(self.requests - 1) % len(self.bases)]

    def anchor(self, step):
        """A turn continues the one before it, unless its plan says otherwise."""
        return step['anchor'] if 'anchor' in step else self.done[-1].get('id') if self.done else None


def describe(error):
    return {'name': type(error).__name__, 'message': str(error), 'status': getattr(error, 'status_code', None),
            'code': getattr(error, 'code', None), 'type': getattr(error, 'type', None), 'param': getattr(error, 'param', None)}


def play(turn, close=lambda: None):
    plan = Plan(json.load(sys.stdin))
    for step in plan.turns:
        events = []
        try:
            plan.done.append({'events': events, **turn(step, plan, events)})
        except Exception as error:  # pylint: disable=broad-except
            plan.done.append({'events': events, 'error': describe(error)})
    close()
    print(json.dumps(plan.done))
