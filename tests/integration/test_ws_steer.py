# SPDX-License-Identifier: Apache-2.0
"""response.steer: words for a response that runs, and the response that follows it without having been asked for."""
import pytest

import client as http
from fake_upstream import entries, expected_text, marker
from harness import FakeUpstream
from wsclient import Socket, Turn

WAITS = marker(steer='accepted', fault='silence', at='item')


@pytest.fixture(name='world', scope='module')
def fixture_world(make_cluster):
    cluster = make_cluster()
    cluster.upstream = cluster.own(FakeUpstream([('p', 'platform'), ('s', 'stateless')]))
    for name, kind in (('p', 'platform'), ('s', 'stateless')):
        cluster.account(name, kind, cluster.upstream.base(name))
    cluster.keys = {name: cluster.key('only-' + name, '--account', name) for name in ('p', 's')}
    cluster.key_p = cluster.keys['p']
    cluster.two = [cluster.node() for _ in range(2)]
    return cluster


def hear_until(ws, kind):
    events = []
    while not events or events[-1].type != kind:
        events.append(ws.receive())
    return events


def start(ws, text):
    ws.send({'type': 'response.create', 'model': 'demo', 'input': text})
    return hear_until(ws, 'response.output_item.added')


def steer(ws, response_id, words):
    ws.send({'type': 'response.steer', 'previous_response_id': response_id, 'input': words})


def test_steered_response_and_its_successor(world):
    """The successor is a turn like any other: any node continues it, with the words that were accepted."""
    with Socket(world.two[0].url, world.key_p) as ws:
        first = start(ws, 'begin ' + WAITS)
        first_id = first[0].data['response']['id']
        steer(ws, first_id, 'rather this')
        first += hear_until(ws, 'response.incomplete')
        assert 'response.steer.accepted' in [event.type for event in first]
        assert first[-1].data['response']['incomplete_details'] == {'reason': 'steered'}
        second = ws.hear()
        assert second.status == 'completed' and second.id != first_id
        output = [item for item in first[-1].data['response']['output']]
        history = entries('begin ' + WAITS) + entries(output) + ['user:rather this']
        assert second.text == expected_text(history)
        third = ws.turn({'model': 'demo', 'input': 'go on', 'previous_response_id': second.id})
    turns = [turn for turn in world.upstream.requests('p') if turn['path'].endswith('/responses')]
    assert len({turn['connection'] for turn in turns}) == 1, 'one socket for all'
    history += ['assistant:' + second.text, 'user:go on']
    assert third.text == expected_text(history)
    with http.Client(world.two[1].url, world.key_p) as api:
        fourth = api.turn({'model': 'demo', 'input': 'elsewhere', 'previous_response_id': third.id})
    assert fourth.text == expected_text(history + ['assistant:' + third.text, 'user:elsewhere'])


@pytest.mark.parametrize('account, how', [('p', 'failed'), ('p', 'unsupported'), ('s', 'accepted')])
def test_steer_that_fails(world, account, how):
    """The response runs on to its end."""
    with Socket(world.two[0].url, world.keys[account]) as ws:
        ws.send({'type': 'response.create', 'model': 'demo', 'input': 'x ' + marker(
            **({'steer': how} if account == 'p' else {}), delay_ms=100)})
        events = hear_until(ws, 'response.output_item.added')
        steer(ws, events[0].data['response']['id'], 'words')
        events += hear_until(ws, 'response.completed')
        failed = [event for event in events if event.type == 'response.steer.failed']
        assert len(failed) == 1 and failed[0].data['steer']['input'] == 'words', events
        assert failed[0].data['error']['code'], failed
        Turn([event for event in events if event not in failed])


def test_steer_of_nothing(world):
    with Socket(world.two[0].url, world.key_p) as ws:
        steer(ws, 'resp_nobody', 'words')
        assert ws.receive().data['error']['code'] == 'response_not_active'
        events = start(ws, 'x ' + WAITS)
        steer(ws, 'resp_other', 'words')
        assert hear_until(ws, 'response.steer.failed')[-1].data['error']['code'] == 'response_not_found'
        ws.send({'type': 'response.steer', 'previous_response_id': events[0].data['response']['id'], 'input': 5})
        assert hear_until(ws, 'response.steer.failed')[-1].data['error']['code'] == 'invalid_input'
