# SPDX-License-Identifier: Apache-2.0
"""What the tests prove of each client, for the table of docs/clients.md. A test says so with the marker
`proves(ability, ..)`; client, transport and account kind are its parameters. A cell stands when every test that claims it passes.
The table is written by `--document` from the results of a run, and test_document.py holds it to what the tests claim."""
import json
import pathlib
import re

from peers import KINDS, PLAIN, WAYS

GUIDE = pathlib.Path(__file__).resolve().parents[2] / 'docs' / 'clients.md'
BEGIN, END = '<!-- what the tests prove: begin -->\n', '<!-- what the tests prove: end -->\n'

CLIENTS = {'openai': 'openai-node', 'openai_python': 'openai-python', 'agents': 'Agents SDK, node', 'agents_python': 'Agents SDK, Python',
           'ai': 'AI SDK', 'codex': 'Codex CLI', 'opencode': 'OpenCode', 'curl': 'curl'}
ABILITIES = {'create': 'create', 'stream': 'stream', 'tools': 'tools', 'chain': 'chain on another node', 'lost': 'account lost',
             'retrieve': 'retrieve', 'files': 'files'}
HTTP, SOCKET = 'HTTP', 'WebSocket'
EXCUSES = """\
- `a`: there is nothing to prove: every turn of this client on this transport is streamed.
- `b`: the client has no call for it (the AI SDK can upload a file, but neither list nor delete it).
- `c`: such accounts keep no files. The call is refused with `unsupported_endpoint`: at once where there are none but `codex` accounts,
  else once the `stateless` ones were asked, for some servers have such paths.

`stateless` accounts have no WebSockets: the client's is served over HTTP upstream. `retrieve` and `files` of a WebSocket row are a turn on
the socket whose response is read, or which names a file that was uploaded, over HTTP by the same client.
"""


def transport_of(how):
    return SOCKET if how in ('socket', 'websocket') else HTTP


ROWS = list(dict.fromkeys([(program, transport_of(how)) for program, how in WAYS] + [('codex', HTTP), ('codex', SOCKET), ('opencode', HTTP)]))
ROWS.sort(key=lambda row: list(CLIENTS).index(row[0]))


def excuse(program, transport, kind, ability):
    """The letter of the reason why this cell cannot be, or None."""
    if ability == 'create' and (transport == SOCKET or program in ('codex', 'opencode')):
        return 'a'
    if ability in ('retrieve', 'files') and program not in PLAIN:
        return 'b'
    return 'c' if ability == 'files' and kind != 'platform' else None


def claims(item):
    """The cells that a test claims."""
    marker = item.get_closest_marker('proves')
    if marker is None:
        return []
    given = item.callspec.params
    how = given.get('how') or given['transport']
    program = given.get('program', 'codex')
    turn = 'stream' if WAYS.get((program, how), True) else 'create'
    return [(program, transport_of(how), given['kind'], turn if ability == 'turn' else ability) for ability in marker.args]


def table(proven):
    lines = ['| client | transport | account | %s |' % ' | '.join(ABILITIES.values()), '|---' * (3 + len(ABILITIES)) + '|']
    for program, transport in ROWS:
        for kind in KINDS:
            cells = ['yes' if (program, transport, kind, ability) in proven else excuse(program, transport, kind, ability) or 'no'
                     for ability in ABILITIES]
            lines.append('| %s |' % ' | '.join([CLIENTS[program], transport, '`%s`' % kind] + cells))
    return '\n'.join(lines) + '\n\n' + EXCUSES


def documented():
    return GUIDE.read_text(encoding='utf-8').split(BEGIN)[1].split(END)[0]


def document(proven):
    text = GUIDE.read_text(encoding='utf-8')
    whole = BEGIN + table(proven) + END
    GUIDE.write_text(re.sub(re.escape(BEGIN) + '.*?' + re.escape(END), lambda _: whole, text, flags=re.S), encoding='utf-8')


class Proof:
    """A plugin: what was claimed by all tests, and what the results are. Results come from workers as properties of reports."""

    def __init__(self):
        self.claimed, self.files, self.results = set(), set(), {}

    def collected(self, items):
        for item in items:
            self.files.add(item.path.name)
            cells = claims(item)
            self.claimed.update(cells)
            if cells:
                item.user_properties.append(('proves', json.dumps(cells)))

    def pytest_runtest_logreport(self, report):
        good = report.passed
        for name, cells in report.user_properties:
            for cell in json.loads(cells) if name == 'proves' and (report.when == 'call' or not good) else ():
                self.results.setdefault(tuple(cell), []).append(good)

    def pytest_sessionfinish(self, session):
        if session.config.getoption('--document', False) and not hasattr(session.config, 'workerinput'):
            document({cell for cell, all_good in self.results.items() if all(all_good)})
