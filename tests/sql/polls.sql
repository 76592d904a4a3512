/* SPDX-License-Identifier: Apache-2.0 */
/* What nodes ask of accounts: polls noted, lists written under the claim of their job, forgotten with the account. */
SET SESSION AUTHORIZATION posthouse_node;
CREATE FUNCTION pg_temp.node(n int) RETURNS uuid LANGUAGE sql AS $$ SELECT ('00000000-0000-0000-0000-00000000000' || n)::uuid $$;
CREATE FUNCTION pg_temp.put(p_url text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	id bigint := posthouse.account_id_for('polled', 'codex');
BEGIN
	PERFORM posthouse.put_account(id, 'polled', 'codex', p_url, 'x', 'key-0001', NULL, NULL, NULL, NULL, NULL);
	RETURN id;
END $$;
CREATE FUNCTION pg_temp.topic() RETURNS bigint LANGUAGE sql AS $$
	SELECT t.version FROM posthouse.topics() t WHERE t.topic = 'models' $$;

DO $$ -- polls
DECLARE
	id bigint := pg_temp.put('http://a');
	r record;
BEGIN
	PERFORM posthouse.note_poll(id, 'ok', 'a@b', 60000, 'n1');
	PERFORM posthouse.note_poll(id, 'status 500', '', NULL, 'n2');
	PERFORM posthouse.note_poll(id, 'status 500', '', NULL, 'n2');
	SELECT * INTO r FROM posthouse_admin.account_logins WHERE account_id = id;
	ASSERT r.email = 'a@b' AND r.poll_result = 'status 500' AND r.poll_failures = 2 AND r.poll_node = 'n2', r;
	ASSERT r.last_answer <= r.last_poll AND r.next_renewal IS NULL, r;
	PERFORM posthouse.note_poll(id, 'ok', 'c@d', 60000, 'n1');
	SELECT * INTO r FROM posthouse_admin.account_logins WHERE account_id = id;
	ASSERT r.email = 'c@d' AND r.poll_failures = 0 AND r.next_renewal > now(), r;
	PERFORM posthouse.note_poll(0, 'ok', '', NULL, 'n1');
END $$;

DO $$ -- lists: only under the claim; others hear of what is new
DECLARE
	id bigint := pg_temp.put('http://a');
	job text := 'models ' || id;
	e bigint;
	v bigint := pg_temp.topic();
	one text := '[{"slug":"m-a"},{"slug":"m-b"}]';
BEGIN
	ASSERT NOT posthouse.put_models(id, job, pg_temp.node(1), 1, 'codex', one, 'n1'), 'no claim';
	SELECT c.epoch INTO e FROM posthouse.claim_job(job, pg_temp.node(1), 30000) c;
	ASSERT NOT posthouse.put_models(id, job, pg_temp.node(2), e, 'codex', one, 'n2'), 'the claim of another node';
	ASSERT pg_temp.topic() = v;
	ASSERT posthouse.put_models(id, job, pg_temp.node(1), e, 'codex', one, 'n1');
	ASSERT pg_temp.topic() = v + 1 AND (SELECT m.list FROM posthouse.load_models() m WHERE m.account_id = id) = one;
	ASSERT posthouse.put_models(id, job, pg_temp.node(1), e, 'codex', one, 'n1') AND pg_temp.topic() = v + 1, 'nothing new';
	ASSERT posthouse.put_models(id, job, pg_temp.node(1), e, 'codex', NULL, 'n1') AND pg_temp.topic() = v + 1;
	ASSERT (SELECT m.list FROM posthouse.load_models() m WHERE m.account_id = id) = one, 'no answer: the list stays';
	ASSERT (SELECT array_agg(m.model) FROM posthouse_admin.account_models m WHERE m.name = 'polled') = '{m-a,m-b}';
	PERFORM pg_temp.put('http://b'); -- while somebody asks
	ASSERT NOT EXISTS (SELECT FROM posthouse.load_models() m WHERE m.account_id = id) AND pg_temp.topic() = v + 2;
	ASSERT NOT posthouse.put_models(id, job, pg_temp.node(1), e, 'codex', one, 'n1'), 'it is the old address''s';
	ASSERT (SELECT c.epoch IS NOT NULL FROM posthouse.claim_job(job, pg_temp.node(2), 30000) c), 'due at once';
	PERFORM posthouse.remove_account('polled', NULL);
	ASSERT NOT EXISTS (SELECT FROM posthouse_admin.account_logins l WHERE l.account_id = id);
END $$;

DO $$ -- an account that has none is known to have none
DECLARE
	id bigint := pg_temp.put('http://c');
	e bigint;
	v bigint := pg_temp.topic();
BEGIN
	SELECT c.epoch INTO e FROM posthouse.claim_job('models ' || id, pg_temp.node(1), 30000) c;
	ASSERT posthouse.put_models(id, 'models ' || id, pg_temp.node(1), e, 'openai', NULL, 'n1') AND pg_temp.topic() = v + 1;
	ASSERT (SELECT m.list IS NULL FROM posthouse.load_models() m WHERE m.account_id = id);
END $$;

DO $$ -- windows: as they are now
DECLARE
	id bigint := pg_temp.put('http://d');
	s bigint := extract(epoch FROM now())::bigint;
BEGIN
	PERFORM posthouse.report_usage(id, 0, 40, 300, s + 600, 70, 10080, s - 5, false, 'plus', 0, 'n1');
	ASSERT (SELECT array_agg(u."window" || ' ' || u.used_percent || ' ' || u.minutes || ' ' || (u.remaining_ms > 0)
		ORDER BY u."window") FROM posthouse.load_usage() u WHERE u.account_id = id)
		= '{primary 40 300 true,secondary 0 10080 false}', (SELECT array_agg(u) FROM posthouse.load_usage() u);
END $$;
RESET SESSION AUTHORIZATION;
