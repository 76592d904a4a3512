/* SPDX-License-Identifier: Apache-2.0 */
/* What the pgTAP files of this directory share; each is a transaction in a database of its own. */
SET client_min_messages = warning;
CREATE EXTENSION pgtap;
BEGIN;
CREATE SCHEMA test;

/* The SQLSTATE with which a statement fails for that role, '' if it does not; either way it is undone. */
CREATE FUNCTION test.as_role(p_role name, p_statement text) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('SET LOCAL ROLE %I', p_role);
	EXECUTE p_statement;
	RAISE EXCEPTION USING errcode = 'PH000';
EXCEPTION WHEN OTHERS THEN
	RETURN CASE SQLSTATE WHEN 'PH000' THEN '' ELSE SQLSTATE END;
END $$;

/* A row of the log. */
CREATE FUNCTION test.turn(p_scope bigint, p_id text, p_model text DEFAULT 'gpt', p_started timestamptz DEFAULT now(),
	p_outcome text DEFAULT 'completed', p_account bigint DEFAULT NULL, p_cost bigint DEFAULT NULL) RETURNS void
LANGUAGE sql AS $$
	INSERT INTO posthouse.request_log (scope, account_id, started, duration_us, first_event_us, day, status, attempts, stream,
		turn, node, request_id, route, model, continuity, outcome, response_id, input_tokens, cached_tokens, output_tokens,
		reasoning_tokens, cost_nanos, queued_us, transport, chosen)
	VALUES (p_scope, p_account, p_started, 2000000, 500000, (now() AT TIME ZONE 'UTC')::date, 200, 1, true, gen_random_uuid(), 'n1',
		'req_1', 'responses', p_model, 'replayed', p_outcome, p_id, 10, 4, 5, 2, p_cost, 1500, 'http', 'chosen')
$$;

/* A turn that is kept, with one item. */
CREATE FUNCTION test.keep(p_scope bigint, p_id text, p_class int, p_input text, p_output text) RETURNS void
LANGUAGE sql AS $$
	INSERT INTO posthouse.snapshots (scope, account_id, created, day, chain_until, depth, class, flags, codec, turn, response_id,
		turn_status, input, output, envelope)
	SELECT p_scope, 9, now(), d.today, d.today + 60, 1, p_class, 1, 0, gen_random_uuid(), p_id, 'completed',
		convert_to(p_input, 'UTF8'), convert_to(p_output, 'UTF8'), convert_to(p_output, 'UTF8')
	FROM (SELECT (now() AT TIME ZONE 'UTC')::date) AS d (today);
	INSERT INTO posthouse.snapshot_items (scope, day, class, position, item_id, response_id)
	VALUES (p_scope, (now() AT TIME ZONE 'UTC')::date, p_class, 0, 'msg_' || p_id, p_id)
$$;
