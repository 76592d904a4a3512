/* SPDX-License-Identifier: Apache-2.0 */
/* The health of accounts: who may set, lengthen and lift a block, on one clock, and what others hear of it. */
SET SESSION AUTHORIZATION posthouse_node;

DO $$
DECLARE
	id bigint;
BEGIN
	id := posthouse.account_id_for('a', 'codex');
	PERFORM posthouse.put_account(id, 'a', 'codex', 'http://a', NULL, NULL, NULL, NULL, NULL, NULL, NULL);
END $$;
RESET SESSION AUTHORIZATION;

CREATE FUNCTION test.account() RETURNS bigint LANGUAGE sql AS $$
	SELECT account_id FROM posthouse.accounts WHERE name = 'a' AND state <> 'removed' $$;
CREATE FUNCTION test.topic() RETURNS bigint LANGUAGE sql AS $$
	SELECT version FROM posthouse.topics WHERE topic = 'accounts' $$;
CREATE FUNCTION test.version() RETURNS bigint LANGUAGE sql AS $$
	SELECT version FROM posthouse.account_health WHERE account_id = test.account() $$;
CREATE FUNCTION test.health() RETURNS posthouse_admin.account_health LANGUAGE sql AS $$
	SELECT h FROM posthouse_admin.account_health h WHERE h.name = 'a' $$;

/* report_health() with everything that a test does not speak of; version NULL: the present one. */
CREATE FUNCTION test.report(state text, after_ms bigint DEFAULT 0, until_s bigint DEFAULT 0, floor_ms bigint DEFAULT 0,
	most_ms bigint DEFAULT 0, strike bool DEFAULT false, age_ms bigint DEFAULT 0, version bigint DEFAULT NULL,
	reason text DEFAULT 'signal', OUT result text, OUT health text, OUT remaining_ms bigint, OUT seen bigint, OUT strikes int)
LANGUAGE sql AS $$
	SELECT * FROM posthouse.report_health(test.account(), coalesce(version, test.version()), state, until_s, after_ms, floor_ms,
		most_ms, strike, age_ms, reason, 'what upstream said', 'node-1') $$;
CREATE FUNCTION test.usage(used_primary real, used_secondary real DEFAULT NULL, resets interval DEFAULT '1 hour',
	credits bool DEFAULT false, age_ms bigint DEFAULT 0, version bigint DEFAULT NULL,
	OUT result text, OUT health text, OUT remaining_ms bigint, OUT seen bigint, OUT strikes int)
LANGUAGE sql AS $$
	SELECT * FROM posthouse.report_usage(test.account(), coalesce(version, test.version()), used_primary, 300,
		extract(epoch FROM clock_timestamp() + resets)::bigint, used_secondary, 10080,
		extract(epoch FROM clock_timestamp() + resets)::bigint, credits, 'plus', age_ms, 'node-1') $$;
CREATE FUNCTION test.clear() RETURNS void LANGUAGE sql AS $$ SELECT posthouse_admin.resume_account('a') $$;
/* What is expected, but for what the machine took. */
CREATE FUNCTION test.near(ms bigint, expected bigint) RETURNS bool LANGUAGE sql AS $$
	SELECT ms BETWEEN expected - 5000 AND expected + 5000 $$;

DO $$ -- a span, what others learn of it, what operators see
DECLARE
	was bigint := test.topic();
	v bigint := test.version();
	r record;
	h posthouse_admin.account_health;
BEGIN
	r := test.report('cooling', after_ms => 60000, reason => 'rate_limit_exceeded');
	ASSERT r.result = 'done' AND r.health = 'cooling' AND test.near(r.remaining_ms, 60000) AND r.seen = v + 1
		AND r.strikes = 0, r;
	ASSERT test.topic() = was + 1;
	SELECT * INTO r FROM posthouse.load_accounts() l WHERE l.account_id = test.account();
	ASSERT r.state = 'active' AND r.health = 'cooling' AND test.near(r.remaining_ms, 60000) AND r.version = v + 1, r;
	ASSERT r.changed_by = 'node-1' AND r.changed_us BETWEEN 1 AND 5000000, r;
	h := test.health();
	ASSERT h.state = 'cooling' AND h.remaining BETWEEN '55 s' AND '61 s' AND h.reason = 'rate_limit_exceeded'
		AND h.evidence = 'what upstream said' AND h.node = 'node-1' AND h.version = v + 1 AND h.strikes = 0, h;
	ASSERT (SELECT a.state = 'active' AND a.health = 'cooling' AND a.health_reason = 'rate_limit_exceeded'
		FROM posthouse_admin.accounts a WHERE a.name = 'a');
END $$;

DO $$ -- the longer block stays, the graver state stays, and nothing is said where nothing changed
DECLARE
	was bigint := test.topic();
	v bigint := test.version();
	r record;
BEGIN
	r := test.report('cooling', after_ms => 5000);
	ASSERT r.result = 'kept' AND test.near(r.remaining_ms, 60000), r;
	ASSERT test.topic() = was AND test.version() = v;
	r := test.report('cooling', after_ms => 90000);
	ASSERT r.result = 'done' AND test.near(r.remaining_ms, 90000) AND r.seen = v + 1, r;
	r := test.report('exhausted', after_ms => 10000);
	ASSERT r.result = 'done' AND r.health = 'exhausted' AND test.near(r.remaining_ms, 90000), r;
	r := test.report('cooling', after_ms => 120000);
	ASSERT r.result = 'done' AND r.health = 'exhausted' AND test.near(r.remaining_ms, 120000), r;
	r := test.report('reauth');
	ASSERT r.result = 'done' AND r.health = 'reauth' AND r.remaining_ms = 0, r;
	ASSERT (test.report('exhausted', after_ms => 999999999)).result = 'kept';
	r := test.report('disabled');
	ASSERT r.result = 'done' AND r.health = 'disabled', r;
	ASSERT (test.report('reauth')).result = 'kept' AND (test.report('disabled')).result = 'kept';
	ASSERT test.version() = v + 5 AND test.topic() = was + 5;
END $$;

DO $$ -- an older view neither lifts nor shortens, and whoever was cleared stays cleared
DECLARE
	v bigint;
	r record;
BEGIN
	PERFORM test.clear();
	v := test.version();
	ASSERT (test.health()).state = 'active' AND (test.health()).until IS NULL;
	PERFORM test.report('cooling', after_ms => 60000);
	r := test.report('cooling', after_ms => 600000, version => v);
	ASSERT r.result = 'lost' AND test.near(r.remaining_ms, 60000) AND r.seen = v + 1, r;
	r := test.report('cooling', after_ms => 600000, version => r.seen);
	ASSERT r.result = 'done' AND test.near(r.remaining_ms, 600000), r;
	PERFORM test.clear();
	r := test.report('disabled', version => v + 2);
	ASSERT r.result = 'cleared' AND r.health = 'active' AND r.seen = v + 3, r;
	ASSERT test.version() = v + 3;
END $$;

DO $$ -- put_account() clears as well, and the version goes on rising, also where no row was
DECLARE
	id bigint := test.account();
	v bigint := test.version();
BEGIN
	PERFORM test.report('disabled');
	ASSERT posthouse.put_account(id, 'a', 'codex', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL) = 'updated';
	ASSERT test.version() = v + 2 AND (test.health()).state = 'active' AND (test.health()).reason = 'put_account';
	DELETE FROM posthouse.account_health;
	ASSERT (SELECT l.health = 'active' AND l.version = 0 FROM posthouse.load_accounts() l WHERE l.account_id = id);
	PERFORM test.clear();
	ASSERT (test.report('disabled', version => 0)).result = 'cleared';
	DELETE FROM posthouse.account_health;
	ASSERT (test.report('cooling', after_ms => 1000, version => 0)).result = 'done', 'the row is made where it is missing';
	PERFORM test.clear();
END $$;

DO $$ -- pausing is another matter: it neither clears nor hides
DECLARE
	r record;
BEGIN
	PERFORM test.report('cooling', after_ms => 60000);
	PERFORM posthouse_admin.pause_account('a');
	SELECT * INTO r FROM posthouse.load_accounts() l WHERE l.account_id = test.account();
	ASSERT r.state = 'paused' AND r.health = 'cooling' AND r.remaining_ms > 0, r;
	ASSERT (test.report('exhausted', after_ms => 90000)).result = 'done';
	PERFORM test.clear();
END $$;

DO $$ -- times: a given one counts as given, is at least a second and at most 366 days; none: a floor that strikes double
DECLARE
	soon bigint := extract(epoch FROM clock_timestamp())::bigint + 100;
	ms bigint[];
	r record;
BEGIN
	ASSERT test.near((test.report('cooling', until_s => soon)).remaining_ms, 100000);
	PERFORM test.clear();
	r := test.report('cooling', after_ms => 2500);
	ASSERT r.remaining_ms BETWEEN 2000 AND 3000, r;
	PERFORM test.clear();
	r := test.report('cooling', until_s => 1000000000);
	ASSERT r.result = 'done' AND r.remaining_ms BETWEEN 500 AND 30000, r;
	PERFORM test.clear();
	ASSERT test.near((test.report('exhausted', until_s => 100000000000)).remaining_ms, 366 * 86400000::bigint);
	PERFORM test.clear();
	ASSERT test.near((test.report('exhausted', after_ms => 31622400000000)).remaining_ms, 366 * 86400000::bigint);
	PERFORM test.clear();
	ASSERT test.near((test.report('cooling', floor_ms => 200)).remaining_ms, 30000);
	PERFORM test.clear();
	FOR i IN 1..6 LOOP
		r := test.report('cooling', floor_ms => 40000, most_ms => 300000, strike => true);
		ASSERT r.strikes = i, r;
		ms := ms || r.remaining_ms;
		UPDATE posthouse.account_health SET until = clock_timestamp() - interval '1 s'; -- the block ends
	END LOOP;
	ASSERT test.near(ms[1], 40000) AND test.near(ms[2], 80000) AND test.near(ms[3], 160000) AND test.near(ms[4], 300000)
		AND test.near(ms[6], 300000), ms;
	r := test.report('cooling', after_ms => 1000);
	ASSERT r.strikes = 6, 'a given time is no strike';
	r := test.report('cooling', floor_ms => 40000, most_ms => 300000);
	ASSERT r.result = 'done' AND r.strikes = 6 AND test.near(r.remaining_ms, 300000), 'of a turn that ran beside';
END $$;

DO $$ -- strikes end when an answer works: not while the block stands, not by an older view, without a new version
DECLARE
	v bigint := test.version();
	was bigint := test.topic();
BEGIN
	PERFORM posthouse.end_strikes(test.account(), v);
	ASSERT (test.health()).strikes = 6;
	UPDATE posthouse.account_health SET until = clock_timestamp() - interval '1 s';
	PERFORM posthouse.end_strikes(test.account(), v - 1);
	ASSERT (test.health()).strikes = 6;
	PERFORM posthouse.end_strikes(test.account(), v);
	ASSERT (test.health()).strikes = 0 AND test.version() = v AND test.topic() = was;
	ASSERT test.near((test.report('cooling', strike => true)).remaining_ms, 30000);
	PERFORM test.clear();
	ASSERT (test.health()).strikes = 0;
END $$;

DO $$ -- a finding that waited for the database: the span began when it was found
DECLARE
	v bigint := test.version();
	r record;
BEGIN
	r := test.report('cooling', after_ms => 60000, age_ms => 20000);
	ASSERT test.near(r.remaining_ms, 40000), r;
	PERFORM test.clear();
	r := test.report('cooling', after_ms => 60000, age_ms => 70000);
	ASSERT r.result = 'kept' AND r.health = 'active' AND test.version() = v + 2, r;
END $$;

DO $$ -- a block that has ended reads as active without a write, and an older view of it is no clearing
DECLARE
	v bigint;
	r record;
BEGIN
	PERFORM test.report('cooling', after_ms => 60000);
	v := test.version();
	UPDATE posthouse.account_health SET until = now() - interval '1 s';
	SELECT * INTO r FROM posthouse.load_accounts() l WHERE l.account_id = test.account();
	ASSERT r.health = 'active' AND r.remaining_ms = 0 AND r.version = v, r;
	ASSERT (test.health()).state = 'active' AND (test.health()).remaining IS NULL;
	ASSERT (SELECT a.health = 'active' AND a.health_reason IS NULL FROM posthouse_admin.accounts a WHERE a.name = 'a');
	r := test.report('cooling', after_ms => 1000, version => v - 1);
	ASSERT r.result = 'lost' AND r.health = 'active', r;
	r := test.report('cooling', after_ms => 1000);
	ASSERT r.result = 'done' AND r.remaining_ms BETWEEN 500 AND 30000, 'the old end counts no more';
	PERFORM test.clear();
END $$;

DO $$ -- usage is kept, and told where a window comes near its end
DECLARE
	was bigint := test.topic();
	h posthouse_admin.account_health;
	r record;
BEGIN
	r := test.usage(12.5, 40);
	ASSERT r.result = 'kept' AND r.health = 'active', r;
	h := test.health();
	ASSERT h.primary_used_percent = 12.5 AND h.primary_length = '5 hours' AND h.primary_resets > now()
		AND h.secondary_used_percent = 40 AND h.secondary_length = '7 days' AND h.primary_observed IS NOT NULL, h;
	SELECT * INTO r FROM posthouse.load_accounts() l WHERE l.account_id = test.account();
	ASSERT r.used_percent = 40 AND test.near(r.used_ms, 3600000), r;
	ASSERT (SELECT a.plan = 'plus' AND a.used_percent = 40 FROM posthouse_admin.accounts a WHERE a.name = 'a');
	ASSERT test.topic() = was;
	PERFORM test.usage(94.9, 40);
	ASSERT test.topic() = was;
	PERFORM test.usage(96);
	ASSERT test.topic() = was + 1 AND (test.health()).secondary_used_percent = 40, 'one window at a time';
	PERFORM test.usage(97, 99);
	ASSERT test.topic() = was + 1;
	PERFORM test.usage(1, 2, age_ms => 60000);
	ASSERT (test.health()).primary_used_percent = 97, 'older evidence';
	PERFORM test.usage(1, 2);
	ASSERT test.topic() = was + 2;
	PERFORM test.usage(99, 99, resets => '-1 s');
	ASSERT test.topic() = was + 2, 'windows that are over say nothing';
	ASSERT (SELECT l.used_percent = 0 AND l.used_ms = 0 FROM posthouse.load_accounts() l WHERE l.account_id = test.account());
END $$;

DO $$ -- evidence newer than an `exhausted` lifts it; nothing else is lifted, and not by an older view
DECLARE
	was bigint;
	v bigint;
	r record;
BEGIN
	PERFORM test.report('cooling', after_ms => 600000);
	ASSERT (test.usage(10)).result = 'kept', 'cooling is another matter';
	PERFORM test.report('exhausted', after_ms => 600000);
	v := test.version();
	was := test.topic();
	ASSERT (test.usage(10, age_ms => 5000)).result = 'kept', 'older than the block';
	ASSERT (test.usage(100)).result = 'kept', 'it is exhausted';
	ASSERT (test.usage(NULL)).result = 'kept', 'no evidence';
	ASSERT test.topic() = was + 1, 'near its end';
	ASSERT (test.usage(10, 100)).result = 'kept', 'the other window';
	ASSERT (test.usage(10, 100, version => v - 1, credits => true)).result = 'kept', 'an older view';
	ASSERT test.version() = v AND (test.health()).state = 'exhausted';
	r := test.usage(10, 100, credits => true);
	ASSERT r.result = 'lifted' AND r.health = 'active' AND r.seen = v + 1, r;
	ASSERT (test.health()).until IS NULL AND (test.health()).reason = 'usage' AND (test.health()).node = 'node-1';
	PERFORM test.report('exhausted', after_ms => 600000);
	ASSERT (test.usage(10, 10)).result = 'lifted';
	ASSERT test.topic() = was + 4, 'lifted, blocked, lifted';
	PERFORM test.report('reauth');
	ASSERT (test.usage(10, 10)).result = 'kept';
END $$;

DO $$ -- a removed account has no health
DECLARE
	id bigint := test.account();
	v bigint := test.version();
BEGIN
	ASSERT posthouse.remove_account('a', 'gone');
	ASSERT (SELECT count(*) FROM posthouse.report_health(id, v, 'cooling', 0, 1000, 0, 0, false, 0, 'r', 'e', 'n')) = 0;
	ASSERT (SELECT count(*) FROM posthouse.report_usage(id, v, 1, 1, 1, NULL, NULL, NULL, false, '', 0, 'n')) = 0;
	ASSERT (SELECT count(*) FROM posthouse.account_health) = 0;
END $$;

SET ROLE posthouse_node;
DO $$ -- nodes read health, and write it through these functions only
DECLARE
	forbidden text;
BEGIN
	ASSERT test.failure('SELECT FROM posthouse.account_health, posthouse.account_usage') = '';
	ASSERT test.failure('SELECT posthouse.end_strikes(1, 1)') = '';
	FOREACH forbidden IN ARRAY ARRAY['UPDATE posthouse.account_health SET state = ''active''',
		'DELETE FROM posthouse.account_health', 'INSERT INTO posthouse.account_usage DEFAULT VALUES',
		'SELECT posthouse.clear_health(1, ''x'')', 'SELECT posthouse.lock_health(1)']
	LOOP
		ASSERT test.failure(forbidden) = '42501', forbidden;
	END LOOP;
END $$;
RESET ROLE;
