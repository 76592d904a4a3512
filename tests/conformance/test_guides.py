# SPDX-License-Identifier: Apache-2.0
"""docs/clients.md: each snippet that names its client, run as it stands there."""
import os
import pathlib
import re

import pytest

from peers import OpenCode, run

GUIDE = pathlib.Path(__file__).resolve().parents[2] / 'docs' / 'clients.md'
SNIPPETS = re.findall(r'^```(\w+) ([\w-]+)\n(.*?)^```$', GUIDE.read_text(encoding='utf-8'), re.S | re.M)


def test_every_client_has_a_guide():
    assert {client for _, client, _ in SNIPPETS} == {'curl', 'openai-python', 'openai-node', 'openai-agents', 'agents', 'ai-sdk', 'codex',
                                                   'opencode'}


def environment(world, home):
    return {**OpenCode.ALONE, 'PATH': os.environ['PATH'], 'HOME': str(home), 'OPENAI_API_KEY': world.keys['any'],
            'OPENAI_BASE_URL': world.nodes[0].url + '/v1', 'CODEX_HOME': str(home / 'codex')}


def command(world, client, language, text, home):
    if language == 'sh':
        return ['bash', '-euo', 'pipefail', '-c', text]
    if language == 'python':
        return [world.clients.python(), '-c', text]
    if language == 'js':
        program = world.clients.directory / ('guide-%s.mjs' % client)
        program.write_text(text, encoding='utf-8')
        return [world.clients.binary, program]
    text = text.replace('http://127.0.0.1:8080', world.nodes[0].url)
    if language == 'json':
        (home / '.config' / 'opencode').mkdir(parents=True)
        (home / '.config' / 'opencode' / 'opencode.json').write_text(text, encoding='utf-8')
        return [world.clients.opencode_binary, 'run', '-m', 'posthouse/gpt-5', 'Where did the courier change horses?']
    (home / 'codex').mkdir()
    (home / 'codex' / 'config.toml').write_text(text, encoding='utf-8')
    return [world.clients.codex_binary, 'exec', '--skip-git-repo-check', 'Where did the courier change horses?']


@pytest.mark.parametrize('number', range(len(SNIPPETS)), ids=['%s-%d' % (client, n) for n, (_, client, _) in enumerate(SNIPPETS)])
def test_a_guide(fresh, tmp_path, number):
    language, client, text = SNIPPETS[number]
    args = command(fresh, client, language, text, tmp_path)
    done = run(args, 90, env=environment(fresh, tmp_path), cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert 'seen ' in done.stdout, done.stdout[-2000:]
    least = 1 if client in ('codex', 'opencode') or 'ResponsesWS' in text else 2
    assert fresh.turns() >= least
    fresh.check()
