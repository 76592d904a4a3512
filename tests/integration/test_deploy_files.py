# SPDX-License-Identifier: Apache-2.0
"""What is deployed names only what exists: settings, metrics, files. Needs no container."""
import json
import re
import subprocess

import pytest

from harness import BINARY, ROOT, clean_environment

COMPOSE = ROOT / 'docker-compose.yml'
DOCKERFILE = ROOT / 'Dockerfile'


def text(path):
    return (ROOT / path).read_text(encoding='utf-8')


def test_settings_are_known():
    """Every POSTHOUSE_ name in the images and in the compose file is a setting, or a secret's file."""
    done = subprocess.run([str(BINARY), 'check-config', '--json'], env=clean_environment(), capture_output=True, check=False)
    known = set(re.findall(r'POSTHOUSE_[A-Z_]+', done.stdout.decode()))
    assert len(known) > 20, done
    known |= {name + '_FILE' for name in known}
    for path in ('docker-compose.yml', 'Dockerfile', 'compose/setup', 'compose/pgbouncer.ini'):
        used = set(re.findall(r'\bPOSTHOUSE_[A-Z_]+', text(path)))
        assert used <= known, '%s: %s' % (path, used - known)


BOARDS = ('compose/grafana/posthouse.json', 'compose/grafana/accounts.json')


def test_metrics_are_known():
    """Alerts and dashboards ask for what the nodes tell."""
    told = ''.join(text(path) for path in ('include/posthouse/metrics.h', 'src/base/metrics_model.c', 'src/gateway/status.c'))
    known = set(re.findall(r'\b((?:posthouse|gen_ai)_[a-z_]+)', told)) | {
        'gen_ai_client_inference_usage_cache_read_input_tokens_total', 'gen_ai_client_inference_usage_reasoning_output_tokens_total'}
    for path in ('compose/alerts.yml', *BOARDS):
        used = {re.sub(r'_(bucket|sum|count)$', '', name) for name in re.findall(r'\b(?:posthouse|gen_ai)_[a-z_]+', text(path))}
        used -= {'posthouse_admin', 'gen_ai_request_model'}  # the schema, in words to operators; a label
        assert used and used <= known, '%s: %s' % (path, used - known)


def test_every_alert_is_explained():
    """In docs/operating.md, in the same order, and no other."""
    alerts = re.findall(r'- alert: (\w+)', text('compose/alerts.yml'))
    explained = re.findall(r'^\*\*(Posthouse\w+)\.\*\* \w', text('docs/operating.md'), re.MULTILINE)
    assert len(alerts) > 10 and explained == alerts


@pytest.mark.parametrize('path', BOARDS)
def test_dashboard_is_whole(path):
    board = json.loads(text(path))
    assert len({panel['id'] for panel in board['panels']}) == len(board['panels'])
    assert all(panel['targets'] and panel['datasource']['uid'] == 'posthouse' for panel in board['panels'])
    assert 'uid: posthouse' in text('compose/grafana/datasource.yml')


def test_the_build_context_holds_what_is_copied():
    """.dockerignore shuts everything out but what the Dockerfile copies."""
    opened = {line[1:] for line in text('.dockerignore').splitlines() if line.startswith('!')}
    copied = {source.split('/')[0] if not source.startswith('tests') else source
              for line in text('Dockerfile').splitlines() if line.startswith('COPY ') and '--from' not in line
              for source in line.split()[1:-1]}
    assert copied == opened
    assert all((ROOT / path).exists() for path in opened)


def test_nothing_secret_is_in_them():
    """Keys are made at the first start; the scripted upstream's own are no secrets."""
    for path in [COMPOSE, DOCKERFILE, *sorted((ROOT / 'compose').rglob('*'))]:
        if path.is_file():
            found = re.findall(r'ph_[0-9A-Za-z]{43,}|sk-(?!demo\d|\$1)\S+|[A-Za-z0-9+/]{43}=|(?i:password)\s*[:=]\s*\S+',
                               path.read_text(encoding='utf-8'))
            assert not found, '%s: %s' % (path, found)
