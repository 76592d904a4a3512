# SPDX-License-Identifier: Apache-2.0
"""Retention: every id stays replayable for at least its time, however old its conversation, though whole days are
dropped. The database's clock is set forward day by day; the nodes' own clocks stay where they are."""
import pytest

import client as http
from conversation import Conversation
from harness import Cluster, FakeUpstream, Postgres

RETENTION_DAYS = 2


class World:
    def __init__(self, directory):
        self.postgres = Postgres()
        self.cluster = Cluster(self.postgres, directory, None, {
            'POSTHOUSE_RETENTION': '%dd' % RETENTION_DAYS, 'POSTHOUSE_RETENTION_UNSTORED': '1d',
            'POSTHOUSE_POLL_INTERVAL': '500ms'})
        self.cluster.cli('migrate')
        self.upstream = self.cluster.own(FakeUpstream([('s1', 'stateless')]))
        self.cluster.account('s1', 'stateless', self.upstream.base('s1'))
        self.key = self.cluster.key('k1')
        self.nodes = [self.cluster.node(), self.cluster.node()]

    def next_day(self, days=1):
        """The clock moves, and the daily work is done until nothing is left of it."""
        for _ in range(days):
            self.postgres.advance(1)
            while self.cluster.sql('SELECT * FROM posthouse.maintain()')[0] != (0, 0):
                pass
        for node in self.nodes:
            with http.Client(node.url, self.key) as api:  # the nodes have found the database again
                http.eventually(lambda c=api: c.post({'model': 'demo', 'input': 'ping', 'previous_response_id': 'resp_no'}
                                                     ).status == 400, within=30)

    def client(self, number):
        return http.Client(self.nodes[number % 2].url, self.key)

    def snapshot_days(self):
        return self.cluster.sql("SELECT count(*) FROM posthouse.partitions WHERE parent = 'snapshots_stored'")[0][0]


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    found = World(tmp_path_factory.mktemp('retention'))
    yield found
    try:
        found.cluster.close()
    finally:
        found.postgres.close()


def test_days(world):
    """Conversations with a turn a day, past many retentions; others that pause as long as they may."""
    daily = Conversation()
    mixed = Conversation()       # stored and unstored turns in turn
    slow = Conversation()        # a turn every RETENTION_DAYS days
    days = 7 * RETENTION_DAYS
    old = []
    for day in range(days):
        with world.client(day) as api:
            daily = daily.say(api, 'day %d' % day)
            mixed = mixed.say(api, 'day %d' % day, store=day % 2 == 0)
            if day % RETENTION_DAYS == 0:
                slow = slow.say(api, 'day %d' % day)
            old.append(daily)
            # an id that is as old as the retention allows is still there, and can be branched from
            if day >= RETENTION_DAYS:
                old[day - RETENTION_DAYS].say(api, 'branch on day %d' % day)
        world.next_day()
    # twice the retention back, today, three ahead; and the four that migrate made under the default retention, whose
    # promise holds
    assert world.snapshot_days() <= 2 * RETENTION_DAYS + 4 + 4, 'whole days are dropped'
    flags = dict(world.cluster.sql('SELECT flags & 4, count(*) FROM posthouse.snapshots GROUP BY 1'))
    assert flags.get(4, 0) > 0, 'self-contained rows were written'
    with world.client(0) as api:
        daily.say(api, 'the end')
        gone = old[2 * RETENTION_DAYS + 1].anchor
        answer = api.post({'model': 'demo', 'input': 'x', 'previous_response_id': gone})
        assert answer.status == 400 and answer.error['code'] == 'previous_response_not_found', 'an old id is gone'


def test_a_stored_turn_on_an_unstored_one(world):
    """The unstored parent goes first; the stored child is replayable for its own time."""
    with world.client(0) as api:
        child = Conversation().say(api, 'unstored', store=False).say(api, 'unstored too', store=False).say(api, 'stored')
    world.next_day(2)
    with world.client(1) as api:
        child.say(api, 'later')


def test_lowered_retention_strands_nobody(world):
    """What was promised when a turn was written holds, though the setting is lowered since."""
    with world.client(0) as api:
        child = Conversation().say(api, 'one').say(api, 'two')
    world.cluster.sql("UPDATE posthouse.settings SET value = '86400' WHERE name = 'retention'")
    world.next_day(RETENTION_DAYS)
    with world.client(1) as api:
        child.say(api, 'three')


def test_the_request_log_is_partitioned_too(world):
    names = [row[0] for row in world.cluster.sql("SELECT name FROM posthouse.partitions WHERE parent = 'request_log'")]
    assert len(names) >= 4
    assert world.cluster.sql('SELECT count(*) FROM posthouse_admin.requests')[0][0] > 0
