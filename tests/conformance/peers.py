# SPDX-License-Identifier: Apache-2.0
"""What the conformance tests share: the nodes and accounts, programs of js/ and py/, Codex, and contexts recomputed from what a
client knows. The fake upstream answers "seen COUNT SHA256: TEXT" (tests/upstream/README.md, "The context"), so an answer
that a client shows tells which conversation the account saw."""
import contextlib
import glob
import http.client
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

import pytest

from client import once
from conversation import Context
from fake_upstream import ECHO_MAX, entries, expected_text, marker
from harness import FakeUpstream

KINDS = {'platform': 'p', 'codex': 'c', 'stateless': 's'}  # kind -> its account
TOOL_CALL = {'name': 'look', 'arguments': '{"at":"the sea"}'}  # compact: some clients write it anew
UPGRADE = {'Connection': 'Upgrade', 'Upgrade': 'websocket', 'Sec-WebSocket-Version': '13',
           'Sec-WebSocket-Key': 'AAAAAAAAAAAAAAAAAAAAAA=='}


class World:
    """Two nodes and an account of each kind. keys: kind -> a key for that account alone; `any`: one for all."""

    def __init__(self, make_cluster, clients, **env):
        self.clients = clients
        self.cluster = make_cluster(dict(env, POSTHOUSE_KEEPALIVE_INTERVAL='500ms'))
        self.upstream = self.cluster.own(FakeUpstream([(name, kind) for kind, name in KINDS.items()]))
        self.keys = {'any': self.cluster.key('any')}
        for kind, name in KINDS.items():
            self.cluster.account(name, kind, self.upstream.base(name))
            self.keys[kind] = self.cluster.key('only-' + kind, '--account', name)
        self.nodes = [self.cluster.node() for _ in range(2)]

    def well(self, kind):
        """A good turn on each node, which forgets what faults in a row it saw of that account."""
        for node in self.nodes:
            assert once(node.url, self.keys[kind], 'POST', '/v1/responses', {'model': 'demo', 'input': 'well?'}).status == 200
        self.upstream.reset()

    @contextlib.contextmanager
    def only(self, kind):
        """While it lasts, new conversations can go to this kind's account alone."""
        names = [name for name, in self.cluster.sql('SELECT name FROM posthouse_admin.accounts')]
        self.cluster.use(KINDS[kind])
        yield
        self.cluster.use(*names)

    def upgrade(self, node=0):
        """The status that an upgrade is answered with."""
        connection = http.client.HTTPConnection('127.0.0.1', self.nodes[node].port, timeout=10)
        try:
            connection.request('GET', '/v1/responses', headers=dict(UPGRADE, Authorization='Bearer ' + self.keys['any']))
            return connection.getresponse().status
        finally:
            connection.close()

    def play(self, program, key, turns, bases=None):
        """Plays a plan with a program of js/ or py/, each request on the node after the one before; what each turn gave."""
        plan = {'key': self.keys.get(key, key), 'bases': bases or [node.url for node in self.nodes], 'turns': turns}
        return self.clients.play(program, plan)

    def turns(self, name=None):
        """How many turns an account saw, or all of them."""
        stats = self.upstream.accounts()
        return sum(stats[each]['turns'] for each in ([name] if name else stats))

    def asked(self, words):
        """The accounts that were asked for a turn with these words in it, in that order."""
        return [request['account'] for request in self.upstream.requests() if request['seen'] and words in request['body']]

    def faulted(self):
        return sum(each['faulted'] for each in self.upstream.accounts().values())

    def requests(self):
        """How many turns clients sent to the nodes over HTTP."""
        return sum(node.metric('posthouse_requests_total', route='responses') for node in self.nodes)

    def check(self):
        """No account ever saw what belongs to another."""
        for name, each in self.upstream.accounts().items():
            assert each['foreign'] == 0, (name, each['found'])


def account_of(response_id):
    """The fake upstream's ids name the account."""
    return response_id.split('_')[1]


class Clients:
    """The packages, and the programs of js/ in a place from which node finds them; those of py/ are where they are."""

    def __init__(self, installed, programs, directory):
        self.modules = installed / 'node_modules'
        self.directory = directory
        (directory / 'node_modules').symlink_to(self.modules)
        shutil.copytree(programs / 'js', directory / 'js')
        self.python_programs = programs / 'py'
        self.binary = self.only('node-linux-*/bin/node')
        self.codex_binary = self.only('@openai/codex-linux-*/vendor/*/bin/codex')

    @property
    def opencode_binary(self):
        return self.only('opencode-linux-*/bin/opencode')

    def only(self, pattern):
        found = glob.glob(str(self.modules / pattern))
        assert len(found) == 1, '%s in %s: %s' % (pattern, self.modules, found)
        return found[0]

    def python(self):
        """An interpreter with the packages of requirements.txt."""
        found = self.modules.parent / 'python' / 'bin' / 'python'
        if not found.exists():
            pytest.skip('needs the Python clients, which could not be installed')
        return found

    def version(self, package):
        return json.loads((self.modules / package / 'package.json').read_text(encoding='utf-8'))['version']

    def play(self, program, plan, timeout=60):
        script = self.directory / 'js' / (program + '.mjs')
        args = [self.binary, script] if script.exists() else [self.python(), self.python_programs / (program + '.py')]
        done = run(args, timeout, input=json.dumps(plan),
                   env={'PATH': os.environ['PATH'], 'HOME': str(self.directory), 'PYTHONDONTWRITEBYTECODE': '1'})
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def run(args, timeout, **more):
    """subprocess.run, but nothing that the program started outlives it."""
    with subprocess.Popen([str(arg) for arg in args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          stdin=subprocess.PIPE if 'input' in more else subprocess.DEVNULL, start_new_session=True,
                          env=more['env'], cwd=more.get('cwd')) as process:
        try:
            out, err = process.communicate(more.get('input'), timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            raise AssertionError('%s took over %g s\n%s\n%s' % (args[0], timeout, out[-3000:], err[-3000:])) from None
        return subprocess.CompletedProcess(args, process.returncode, out, err)


WAYS = {  # (program, how) -> whether its turns are streamed
    ('openai', 'create'): False, ('openai', 'raw'): True, ('openai', 'stream'): True, ('openai', 'socket'): True,
    ('openai_python', 'create'): False, ('openai_python', 'raw'): True, ('openai_python', 'stream'): True,
    ('openai_python', 'socket'): True,
    ('agents', 'run'): False, ('agents', 'stream'): True, ('agents', 'socket'): True,
    ('agents_python', 'run'): False, ('agents_python', 'stream'): True, ('agents_python', 'socket'): True,
    ('ai', 'generate'): False, ('ai', 'stream'): True, ('ai', 'history'): False,
    ('curl', 'create'): False, ('curl', 'stream'): True}
PLAIN = ('openai', 'openai_python', 'curl')  # every call is the program's own: what was asked is what was sent


def ways(*programs, streamed=None, http=False, without=()):
    """Parameters `program,how`: those that stream or do not, those over HTTP only, all but some."""
    return pytest.mark.parametrize('program,how', [
        pytest.param(*way, id='-'.join(way))
        for way, stream in WAYS.items()
        if way[0] in (programs or way) and streamed in (None, stream) and not (http and way[1] == 'socket') and way[1] not in without])


def texts(how, *said, **members):
    """A plan's turns that say these, all in one way."""
    return [dict({'text': text, 'how': how}, **members) for text in said]


class Talk:
    """A conversation as its client knows it: each turn that it hears must show exactly that context."""

    def __init__(self):
        self.context = Context()

    def hear(self, text, turn):
        """turn: what a program of js/ printed for the turn whose user text was this."""
        assert 'error' not in turn, turn
        context = self.context.add('user:' + text)
        for call in turn['calls']:
            context = context.add('call:%(call_id)s:%(name)s:%(arguments)s' % call)
        for call in turn['calls']:
            context = context.add('output:%s:%s' % (call['call_id'], turn['output']))
        assert turn['text'] == context.words + text[:ECHO_MAX], 'the context differs: %r, expected %r' % (
            turn['text'][:120], context.words)
        self.context = context.add('assistant:' + turn['text'])


class Codex:
    """The Codex CLI with a home of its own."""

    PROMPT = 'You are a courier. Look before you answer.'  # its own is changed by what tools there are
    OPTIONS = ('--disable', 'apps', '--skip-git-repo-check', '--dangerously-bypass-approvals-and-sandbox', '--json')

    def __init__(self, world, key, websocket=False, **settings):
        self.world, self.key, self.websocket, self.settings = world, world.keys[key], websocket, settings
        self.home = pathlib.Path(tempfile.mkdtemp(prefix='codex-', dir=world.cluster.dir))
        (self.home / 'prompt.md').write_text(self.PROMPT, encoding='utf-8')

    def config(self, node):
        lines = ['model = "gpt-5.1-codex"', 'model_provider = "posthouse"', 'model_instructions_file = "prompt.md"',
                 '[model_providers.posthouse]',
                 'name = "posthouse"', 'base_url = "%s/v1"' % node.url, 'env_key = "POSTHOUSE_KEY"',
                 'wire_api = "responses"', 'supports_websockets = %s' % json.dumps(self.websocket),
                 *('%s = %s' % (name, json.dumps(value)) for name, value in self.settings.items()),
                 '[analytics]', 'enabled = false']
        (self.home / 'config.toml').write_text('\n'.join(lines) + '\n', encoding='utf-8')

    def exec(self, node, prompt, resume=False):
        self.config(node)
        args = ['exec', *(['resume', '--last'] if resume else []), *self.OPTIONS, prompt]
        done = run([self.world.clients.codex_binary, *args], 60, cwd=self.home,
                   env={'PATH': os.environ['PATH'], 'HOME': str(self.home), 'CODEX_HOME': str(self.home),
                        'POSTHOUSE_KEY': self.key})
        return CodexRun(self, done)

    def history(self):
        """The items of its conversation, from the file that it resumes from, behind its base prompt."""
        path, = self.home.glob('sessions/**/*.jsonl')
        lines = [json.loads(line) for line in path.read_text(encoding='utf-8').splitlines()]
        base = {'type': 'message', 'role': 'developer', 'content': self.PROMPT}
        return [base] + [line['payload'] for line in lines if line['type'] == 'response_item']


class CodexRun:
    """What one run of it printed."""

    def __init__(self, codex, done):
        self.codex, self.status, self.stderr = codex, done.returncode, done.stderr
        self.events = [json.loads(line) for line in done.stdout.splitlines()]

    def items(self, kind):
        return [event['item'] for event in self.events
                if event['type'] == 'item.completed' and event['item']['type'] == kind]

    def failures(self):
        """What it tells its user of trouble; that it knows no such model is none."""
        told = [item['message'] for item in self.items('error')]
        told += [event.get('message') or event['error']['message'] for event in self.events
                 if event['type'] in ('error', 'turn.failed')]
        return [text for text in told if not text.startswith('Model metadata for')]

    def check(self):
        """It went well, and the account saw the very conversation that Codex has on disk."""
        assert self.status == 0 and not self.failures(), (self.events, self.stderr)
        history = self.codex.history()
        assert history[-1]['role'] == 'assistant', history[-1]
        answer = ''.join(part['text'] for part in history[-1]['content'])
        assert answer == expected_text(entries(history[:-1])), entries(history)
        assert self.items('agent_message')[-1]['text'] == answer
        return history


def shell_call(command):
    """Words that make the fake upstream ask Codex to run that."""
    return marker(calls=[{'name': 'exec_command', 'arguments': {'cmd': command}}])


class OpenCode:
    """OpenCode with a home of its own; it asks nobody but its provider."""

    ALONE = {'OPENCODE_DISABLE_' + what: '1' for what in (
        'MODELS_FETCH', 'AUTOUPDATE', 'LSP_DOWNLOAD', 'DEFAULT_PLUGINS', 'SHARE', 'PROJECT_CONFIG')}
    OPTIONS = ('--auto', '--format', 'json', '--title', 'a courier', '-m', 'posthouse/gpt-5')

    def __init__(self, world, key):
        self.world, self.key = world, world.keys[key]
        self.home = pathlib.Path(tempfile.mkdtemp(prefix='opencode-', dir=world.cluster.dir))

    def run(self, node, prompt, go_on=False):
        """The text of its last answer, and what its tools gave. It would quote a prompt that is an argument."""
        config = {'provider': {'posthouse': {'npm': '@ai-sdk/openai', 'models': {'gpt-5': {}},
                                             'options': {'baseURL': node.url + '/v1', 'apiKey': self.key}}}}
        done = run([self.world.clients.opencode_binary, 'run', *self.OPTIONS, *(['-c'] if go_on else [])], 120, cwd=self.home, input=prompt,
                   env=dict(self.ALONE, PATH=os.environ['PATH'], HOME=str(self.home), OPENCODE_CONFIG_CONTENT=json.dumps(config)))
        events = [json.loads(line) for line in done.stdout.splitlines()]
        assert done.returncode == 0 and not [e for e in events if e['type'] == 'error'], (events, done.stderr[-2000:])
        outputs = [e['part']['state']['output'] for e in events if e['type'] == 'tool_use']
        return [e['part']['text'] for e in events if e['type'] == 'text'][-1], outputs
