/* SPDX-License-Identifier: Apache-2.0 */
/* Logins that wait for a person: kept, gone on with, taken by one run alone. */
SET SESSION AUTHORIZATION posthouse_node;
CREATE FUNCTION pg_temp.flow(n int) RETURNS uuid LANGUAGE sql AS $$ SELECT ('00000000-0000-0000-0000-00000000010' || n)::uuid $$;
CREATE FUNCTION pg_temp.open(n int, p_name text DEFAULT 'me', p_method text DEFAULT 'browser', p_issuer text DEFAULT 'http://i',
	p_ms bigint DEFAULT 60000) RETURNS text LANGUAGE sql AS $$
	SELECT right(o.flow, 1) || ' ' || convert_from(o.sealed, 'UTF8') || CASE WHEN o.remaining_ms BETWEEN 1 AND p_ms THEN '' ELSE ' ?' END
	FROM posthouse.open_login(pg_temp.flow(n), p_name, p_method, p_issuer, convert_to('s' || n, 'UTF8'), 'key-0001', p_ms) o
$$;

DO $$ -- one flow of a name, method and issuer; another replaces it
BEGIN
	ASSERT NOT EXISTS (SELECT FROM posthouse.open_login(NULL, 'me', 'browser', 'http://i', NULL, NULL, 1000));
	ASSERT pg_temp.open(1) = '1 s1', pg_temp.open(1);
	ASSERT pg_temp.open(2) = '1 s1', 'the one that waits goes on';
	ASSERT (SELECT right(o.flow, 1) FROM posthouse.open_login(NULL, 'me', 'browser', 'http://i', NULL, NULL, 1000) o) = '1';
	ASSERT pg_temp.open(3, 'you') = '3 s3';
	ASSERT pg_temp.open(4, 'me', 'device') = '4 s4' AND posthouse.look_login(pg_temp.flow(1)) = 'gone';
	ASSERT pg_temp.open(5, 'me', 'device', 'http://other') = '5 s5';
END $$;

DO $$ -- taken once; what came of it is heard; it holds nothing then
BEGIN
	ASSERT posthouse.look_login(pg_temp.flow(5)) = 'open';
	ASSERT posthouse.take_login(pg_temp.flow(5)) AND NOT posthouse.take_login(pg_temp.flow(5));
	ASSERT posthouse.look_login(pg_temp.flow(5)) = 'taken';
	PERFORM posthouse.end_login(pg_temp.flow(5), true);
	ASSERT posthouse.look_login(pg_temp.flow(5)) = 'done';
	ASSERT NOT posthouse.take_login(pg_temp.flow(5));
	ASSERT pg_temp.open(6, 'me', 'device', 'http://other') = '6 s6', 'what is done makes room';
	PERFORM posthouse.take_login(pg_temp.flow(6)), posthouse.end_login(pg_temp.flow(6), false);
	ASSERT posthouse.look_login(pg_temp.flow(6)) = 'failed';
	ASSERT NOT posthouse.take_login(pg_temp.flow(9)) AND posthouse.look_login(pg_temp.flow(9)) = 'gone';
END $$;

RESET SESSION AUTHORIZATION;
DO $$ -- time ends it: the flow's own, and that of a run that took it and died
BEGIN
	PERFORM pg_temp.open(7, 'late', p_ms => 1);
	PERFORM pg_sleep(0.01);
	ASSERT posthouse.look_login(pg_temp.flow(7)) = 'expired' AND NOT posthouse.take_login(pg_temp.flow(7));
	ASSERT pg_temp.open(8, 'late') = '8 s8';
	ASSERT posthouse.take_login(pg_temp.flow(8));
	UPDATE posthouse.login_flows SET changed = now() - interval '2 minutes' WHERE flow = pg_temp.flow(8);
	ASSERT posthouse.look_login(pg_temp.flow(8)) = 'failed';
	ASSERT (SELECT bool_and(octet_length(sealed) = 0) FROM posthouse.login_flows WHERE state IN ('done', 'failed'));
	UPDATE posthouse.login_flows SET expires = now() - interval '2 days';
	ASSERT pg_temp.open(1, 'new') = '1 s1' AND (SELECT count(*) FROM posthouse.login_flows) = 1, 'old ones are swept';
END $$;
