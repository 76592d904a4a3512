/* SPDX-License-Identifier: Apache-2.0 */
/* The renewal of tokens: who may ask upstream, what of its outcome is taken, and when the next try may be made. */
SET SESSION AUTHORIZATION posthouse_node;
CREATE FUNCTION pg_temp.node(n int) RETURNS uuid LANGUAGE sql AS $$ SELECT ('00000000-0000-0000-0000-00000000000' || n)::uuid $$;
CREATE FUNCTION pg_temp.put(p_sealed text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	id bigint := posthouse.account_id_for('renewed', 'codex');
BEGIN
	PERFORM posthouse.put_account(id, 'renewed', 'codex', 'http://a', convert_to(p_sealed, 'UTF8'), 'key-0001', NULL, NULL,
		NULL, NULL, 'http://t/oauth/token');
	RETURN id;
END $$;
CREATE FUNCTION pg_temp.claim(id bigint, version bigint, node int) RETURNS text LANGUAGE sql AS $$
	SELECT c.result || CASE c.wait_ms > 0 WHEN true THEN ' waits' ELSE '' END || ' ' || convert_from(c.sealed, 'UTF8')
	FROM posthouse.claim_refresh(id, version, pg_temp.node(node), 30000) c $$;

DO $$ -- one at a time; what it brought is known by its version
DECLARE
	id bigint := pg_temp.put('one');
	c record;
	v bigint;
BEGIN
	SELECT l.secret_version INTO v FROM posthouse.load_accounts() l WHERE l.account_id = id;
	SELECT * INTO c FROM posthouse.claim_refresh(id, v, pg_temp.node(1), 30000);
	ASSERT c.result = 'claimed' AND c.token_url = 'http://t/oauth/token' AND c.secret_version = v AND c.wait_ms = 0, c;
	ASSERT pg_temp.claim(id, v, 2) = 'held waits one', pg_temp.claim(id, v, 2);
	ASSERT posthouse.finish_refresh(id, v, pg_temp.node(1), c.epoch, 'two', 'key-0001', 20000);
	ASSERT NOT posthouse.finish_refresh(id, v, pg_temp.node(1), c.epoch, 'three', 'key-0001', 20000), 'said twice';
	ASSERT pg_temp.claim(id, v, 2) = 'changed two', pg_temp.claim(id, v, 2);
	ASSERT pg_temp.claim(id, v + 1, 2) = 'resting waits two', 'it is brand new';
	ASSERT (SELECT l.secret_version = v + 1 AND abs(l.secret_ms - l.now_ms) < 60000 FROM posthouse.load_accounts() l
		WHERE l.account_id = id);
	ASSERT NOT EXISTS (SELECT FROM posthouse.claim_refresh(0, 1, pg_temp.node(1), 1)), 'no such account';
END $$;

DO $$ -- a new login ends claims and rests; what was found of the old one says nothing of it
DECLARE
	id bigint := pg_temp.put('four');
	v bigint;
	c record;
BEGIN
	SELECT l.secret_version INTO v FROM posthouse.load_accounts() l WHERE l.account_id = id;
	SELECT * INTO c FROM posthouse.claim_refresh(id, v, pg_temp.node(1), 30000);
	ASSERT c.result = 'claimed', c;
	PERFORM pg_temp.put('five');
	ASSERT NOT posthouse.fail_refresh(id, v, pg_temp.node(1), c.epoch, 'invalid_grant', 'n1', 5000, 300000);
	ASSERT NOT posthouse.finish_refresh(id, v, pg_temp.node(1), c.epoch, 'late', 'key-0001', 20000);
	ASSERT pg_temp.claim(id, v + 1, 2) = 'claimed five', pg_temp.claim(id, v + 1, 2);
END $$;
RESET SESSION AUTHORIZATION;

CREATE FUNCTION test.renewal(OUT r posthouse.account_refresh, OUT version bigint, OUT health text) LANGUAGE sql AS $$
	SELECT f, s.version, coalesce(h.state, 'active') FROM posthouse.accounts a
	JOIN posthouse.account_refresh f USING (account_id) JOIN posthouse.account_secrets s USING (account_id)
	LEFT JOIN posthouse.account_health h USING (account_id) WHERE a.name = 'renewed' AND a.state <> 'removed' $$;

DO $$ -- a claim lapses on this clock; its holder's word then counts for the token alone
DECLARE
	id bigint := posthouse.account_id_for('renewed', 'codex');
	node CONSTANT uuid[] := ARRAY[pg_temp.node(1), pg_temp.node(2)];
	t record;
	c record;
	old bigint;
BEGIN
	SELECT * INTO t FROM test.renewal();
	old := (t.r).version;
	UPDATE posthouse.account_refresh SET claimed_until = clock_timestamp() WHERE account_id = id;
	SELECT * INTO c FROM posthouse.claim_refresh(id, t.version, node[1], 30000);
	ASSERT c.result = 'claimed' AND c.epoch = old + 1, c;
	ASSERT NOT posthouse.fail_refresh(id, t.version, node[2], old, 'invalid_grant', 'n2', 5000, 300000), 'lost before';
	ASSERT (SELECT health FROM test.renewal()) = 'active' AND (SELECT (r).node_id FROM test.renewal()) = node[1];
	ASSERT posthouse.finish_refresh(id, t.version, node[2], old, 'late', 'key-0001', 20000), 'the only token there is';
	ASSERT (SELECT (r).node_id FROM test.renewal()) = node[1], 'the claim is still the other one''s';
	ASSERT NOT posthouse.fail_refresh(id, t.version, node[1], c.epoch, 'refresh_token_reused', 'n1', 5000, 300000);
	ASSERT (SELECT health FROM test.renewal()) = 'active', 'of a secret that is not the present one';
END $$;

DO $$ -- what may pass doubles the rest, up to the most; success forgets it
DECLARE
	id bigint := posthouse.account_id_for('renewed', 'codex');
	t record;
	c record;
	rest interval;
BEGIN
	UPDATE posthouse.account_refresh SET failures = 0, rests_until = NULL WHERE account_id = id;
	FOR i IN 0 .. 7 LOOP
		SELECT * INTO t FROM test.renewal();
		SELECT * INTO c FROM posthouse.claim_refresh(id, t.version, pg_temp.node(1), 30000);
		ASSERT c.result = 'claimed', c;
		ASSERT NOT posthouse.fail_refresh(id, t.version, pg_temp.node(1), c.epoch, NULL, 'n1', 5000, 300000);
		SELECT (r).rests_until - clock_timestamp() INTO rest FROM test.renewal();
		ASSERT rest BETWEEN least(5 * 2 ^ i, 300) * interval '1 s' - interval '2 s' AND least(5 * 2 ^ i, 300) * interval '1 s', rest;
		ASSERT (SELECT health FROM test.renewal()) = 'active';
		UPDATE posthouse.account_refresh SET rests_until = NULL WHERE account_id = id;
	END LOOP;
	SELECT * INTO c FROM posthouse.claim_refresh(id, t.version, pg_temp.node(1), 30000);
	ASSERT posthouse.finish_refresh(id, t.version, pg_temp.node(1), c.epoch, 'six', 'key-0001', 1);
	ASSERT (SELECT (r).failures = 0 AND (r).node_id IS NULL AND (r).renewed > now() - interval '1 min' FROM test.renewal());
END $$;

DO $$ -- a login that has ended needs a person, and everybody hears of it
DECLARE
	id bigint := posthouse.account_id_for('renewed', 'codex');
	v_topic CONSTANT bigint := (SELECT s.version FROM posthouse.topics s WHERE s.topic = 'accounts');
	t record;
	c record;
BEGIN
	UPDATE posthouse.account_refresh SET rests_until = NULL WHERE account_id = id;
	SELECT * INTO t FROM test.renewal();
	SELECT * INTO c FROM posthouse.claim_refresh(id, t.version, pg_temp.node(1), 30000);
	ASSERT posthouse.fail_refresh(id, t.version, pg_temp.node(1), c.epoch, 'invalid_grant', 'n1', 5000, 300000);
	ASSERT (SELECT h.state = 'reauth' AND h.reason = 'invalid_grant' AND h.until IS NULL AND h.node = 'n1'
		FROM posthouse.account_health h WHERE h.account_id = id);
	ASSERT (SELECT s.version FROM posthouse.topics s WHERE s.topic = 'accounts') = v_topic + 1;
	PERFORM posthouse.remove_account('renewed', NULL);
	ASSERT NOT EXISTS (SELECT FROM posthouse.claim_refresh(id, t.version, pg_temp.node(1), 1)), 'it is gone';
	ASSERT NOT posthouse.finish_refresh(id, t.version, pg_temp.node(1), c.epoch, 'late', 'key-0001', 1);
END $$;
