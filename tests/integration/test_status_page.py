# SPDX-License-Identifier: Apache-2.0
"""The status page: what it is told of the cluster, and what a browser makes of it (Chromium without a window, where it
is installed). POSTHOUSE_TEST_PICTURES names a directory to leave screenshots in."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import time

import pytest

import client as http
from harness import Cluster, FakeUpstream, Postgres

CHROMIUM = shutil.which('chromium')
SECRET_WORDS = 'the client said this'


def picture(node):
    answer = node.admin('/status.json')
    assert answer.status == 200 and answer.header('content-type') == 'application/json'
    return json.loads(answer.body)


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    class World:
        postgres = Postgres()
        upstream = FakeUpstream([('p1', 'platform'), ('s1', 'stateless')])
        cluster = Cluster(postgres, tmp_path_factory.mktemp('page'), None)
    World.cluster.cli('migrate')
    World.cluster.account('limited', 'stateless', World.upstream.base('s1'), '--max-streams', '4')
    World.cluster.account('resting', 'platform', World.upstream.base('p1'))
    World.cluster.cli('account', 'pause', 'resting', '--reason', 'looks <b>odd</b>')
    World.key = World.cluster.key('k1')
    World.nodes = [World.cluster.node('n%d' % i) for i in (1, 2)]
    yield World
    World.cluster.close()
    World.upstream.close()
    World.postgres.close()


def play(world, conversations):
    for _ in range(conversations):
        last = None
        for n in range(3):
            body = {'model': 'demo', 'input': SECRET_WORDS, 'stream': True}
            with http.Client(world.nodes[n % 2].url, world.key) as api:
                last = api.turn(dict(body, previous_response_id=last.id) if last else body)


def test_what_it_is_told(world):
    play(world, 4)
    with http.Client(world.nodes[0].url, world.key) as api:
        api.post({'model': 'demo', 'input': 'x', 'previous_response_id': 'resp_unknown'})

    def all_there():
        minutes = picture(world.nodes[1])['cluster']['minutes']
        return sum(m['turns'] for m in minutes) >= 13 and minutes
    minutes = http.eventually(all_there, within=20, what='the minutes of both nodes')
    assert len(minutes) == 60 and sum(m['replayed'] for m in minutes) == 8 and sum(m['failed'] for m in minutes) == 1
    assert all(m['p50_ms'] <= m['p99_ms'] for m in minutes if m['turns'])
    s = picture(world.nodes[0])
    assert s['database'] == 'up' and s['age_ms'] < 5000
    assert [(n['name'], n['state']) for n in s['cluster']['nodes']] == [('n1', 'alive'), ('n2', 'alive')]
    states = {a['name']: a for a in s['cluster']['accounts']}
    assert states['resting']['state'] == 'paused' and states['limited']['state'] == 'active'
    assert states['limited']['max_streams'] == 4
    errors = {e['error']: e for e in s['cluster']['errors']}
    assert errors['anchor_unknown']['turns'] == 1 and errors['anchor_unknown']['key_name'] == 'k1'
    assert set(errors) <= set(s['remedies'])
    text = json.dumps(s)
    assert SECRET_WORDS not in text and world.key not in text


def test_its_parts(world):
    page = world.nodes[0].admin('/')
    assert page.status == 200 and page.header('content-type').startswith('text/html')
    policy = page.header('content-security-policy')
    assert "default-src 'none'" in policy and "script-src 'self'" in policy and 'unsafe' not in policy
    text = page.body.decode()
    for part in re.findall(r'(?:src|href)="(/[^"]*)"', text):
        assert world.nodes[0].admin(part).status == 200, part
    assert not re.search(r'(?:src|href)="https?:', text) and ' on' not in re.sub(r'>[^<]*<', '><', text).replace('http-equiv', '')
    assert http.once(world.nodes[0].admin_url, None, 'POST', '/', b'').status == 405


def test_the_database_is_away(world):
    picture(world.nodes[0])
    world.postgres.stop('immediate')
    try:
        s = http.eventually(lambda: (lambda p: p['database'] == 'away' and p)(picture(world.nodes[0])), within=20)
        assert s['cluster']['accounts'] and world.nodes[0].admin('/livez').status == 200
    finally:
        world.postgres.start()
    http.eventually(lambda: picture(world.nodes[0])['database'] == 'up' or time.sleep(0.2), within=20)


def browse(url, *args):
    """The document as Chromium has it after its scripts ran for a while, and what it complained of."""
    done = subprocess.run([CHROMIUM, '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run',
                           '--enable-logging=stderr', '--virtual-time-budget=4000', '--hide-scrollbars', *args, url],
                          capture_output=True, timeout=90, check=True)
    return done.stdout.decode(), [line for line in done.stderr.decode().splitlines() if 'CONSOLE' in line]


@pytest.mark.skipif(not CHROMIUM, reason='needs chromium')
def test_in_a_browser(world, tmp_path):
    play(world, 1)
    document, complaints = browse(world.nodes[0].admin_url + '/', '--dump-dom', '--user-data-dir=%s' % (tmp_path / 'a'))
    assert not complaints, complaints
    words = re.sub(r'<[^>]*>', ' ', document)
    for word in ('It works, with remarks', '2 nodes, 1 of 2 accounts usable', 'limited', 'resting', 'paused', 'n1', 'n2', 'alive', 'anchor_unknown'):
        assert word in words, word
    assert document.count('<svg') == 6 and '<b>odd</b>' not in document
    pictures = pathlib.Path(os.environ.get('POSTHOUSE_TEST_PICTURES', tmp_path))
    for name, size, dark in (('page', '1200,1400', False), ('dark', '1200,1400', True), ('phone', '420,1800', False)):
        shot = pictures / ('status-%s.png' % name)
        browse(world.nodes[0].admin_url + '/', '--screenshot=%s' % shot, '--window-size=' + size,
               '--user-data-dir=%s' % (tmp_path / name), *(['--blink-settings=preferredColorScheme=0'] if dark else []))
        assert shot.stat().st_size > 20000
