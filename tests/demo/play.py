# SPDX-License-Identifier: Apache-2.0
"""Plays one conversation over two nodes for ./dev up, and says in plain lines what happened.

Every turn goes to another node than the one before. Half-way the account that carries the conversation is paused. The
scripted upstream answers with a count and a hash of the whole context that it was shown; the same is computed here, so
each line knows whether the context was exact. Exit status 1 if anything was not as promised. Standard library only.
"""
import argparse
import hashlib
import http.client
import json
import subprocess
import sys
import time
import urllib.parse

TURNS = ['My name is Ada.', 'I was born in London.', 'I like engines.', 'What is my name?', 'Where was I born?',
         'What do I like?']
TAKE_AWAY_BEFORE = 3
HEARD_WITHIN = 0.5  # seconds: a change reaches every node in some 10 ms, on a busy machine later


def call(url, method, path, body=None, key=None):
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    headers = {'Authorization': 'Bearer ' + key} if key else {}
    if body is not None:
        headers['Content-Type'] = 'application/json'
        body = json.dumps(body)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    found = answer.read()
    connection.close()
    return answer, found


def final_response(answer, found):
    """The response object of an answer, streamed or whole."""
    if not (answer.headers.get('content-type') or '').startswith('text/event-stream'):
        return json.loads(found)
    last = [line for line in found.decode().split('\n') if line.startswith('data: {')][-1]
    return json.loads(last[6:])['response']


class Play:
    def __init__(self, args):
        self.args = args
        self.nodes = [node.split('=', 1) for node in args.node]
        self.count, self.digest = 0, bytes(32)
        self.anchor = None
        self.faults = 0

    def add(self, entry):
        self.count += 1
        self.digest = hashlib.sha256(self.digest + entry.encode()).digest()

    def account(self):
        """Which account the upstream was asked as."""
        _, found = call(self.args.upstream, 'GET', '/_fake/requests?last=1')
        return json.loads(found)['requests'][-1]['account']

    def turn(self, number):
        name, url = self.nodes[number % len(self.nodes)]
        text = TURNS[number]
        body = {'model': 'demo', 'input': text, 'stream': number % 2 == 1}
        if self.anchor:
            body['previous_response_id'] = self.anchor
        start = time.monotonic()
        answer, found = call(url, 'POST', '/v1/responses', body, self.args.key)
        took = (time.monotonic() - start) * 1000
        if answer.status != 200:
            self.faults += 1
            print('  turn %d on %s FAILED: %d %s' % (number + 1, name, answer.status, found.decode()))
            return None
        response = final_response(answer, found)
        reply = response['output'][-1]['content'][0]['text']
        self.add('user:' + text)
        exact = reply == 'seen %d %s: %s' % (self.count, self.digest.hex(), text)
        self.add('assistant:' + reply)
        self.anchor = response['id']
        node = answer.headers.get('x-posthouse-node')
        account = self.account()
        self.faults += not exact or node != name
        print('  %-5d %-5s %-10s  %-8s %5.0f ms  %-31s %s' % (
            number + 1, node, answer.headers.get('x-posthouse-continuity'), account, took,
            'saw %d items of context, %s' % (self.count - 1, 'exact' if exact else 'WRONG'), text))
        return account

    def change(self, verb, account):
        print('  ... posthouse account %s %s ...' % (verb, account))
        subprocess.run([self.args.posthouse, 'account', verb, account, '--reason', 'demonstration'], check=True,
                       stdout=subprocess.DEVNULL)
        time.sleep(HEARD_WITHIN)

    def run(self):
        print('\n  turn  node  continuity  account      took  the upstream                    the user said')
        served, away = None, None
        for number in range(len(TURNS)):
            if number == TAKE_AWAY_BEFORE:
                away = served
                self.change('pause', away)
            served = self.turn(number)
            if served is None:
                break
            if served == away:
                self.faults += 1
                print('  the account that was taken away was used')
        if self.faults == 0:
            print('  The conversation changed its node at every turn and its account in the middle; nothing was lost.')
        if away:
            self.change('resume', away)
        return 1 if self.faults else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ('--posthouse', '--key', '--upstream'):
        parser.add_argument(name, required=True)
    parser.add_argument('--node', action='append', required=True, help='NAME=URL')
    return Play(parser.parse_args()).run()


if __name__ == '__main__':
    sys.exit(main())
