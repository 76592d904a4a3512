/* SPDX-License-Identifier: Apache-2.0 */
/* One response or one item by its id, for GET, DELETE and item references. All within the caller's scope. */
CREATE OR REPLACE FUNCTION posthouse.read_response(p_scope bigint, p_id text)
RETURNS TABLE (response_id text, parent_id text, account_id bigint, day date, class int, flags int, turn_status text,
	created_ms bigint, codec int, input bytea, output bytea, envelope bytea, model text)
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off AS $$
#variable_conflict use_column
DECLARE
	v_tip record;
BEGIN
	PERFORM set_config('posthouse.scope', p_scope::text, true);
	SELECT * INTO v_tip FROM posthouse.locate(p_scope, p_id);
	IF v_tip.day IS NULL OR v_tip.flags & 24 <> 0 THEN
		RETURN;
	END IF;
	RETURN QUERY
	SELECT s.response_id, s.parent_id, s.account_id, s.day, s.class::int, s.flags::int, s.turn_status,
		(extract(epoch FROM s.created) * 1000)::bigint, s.codec::int, s.input, s.output, s.envelope, s.model
	FROM posthouse.snapshots s
	WHERE s.scope = p_scope AND s.response_id = p_id AND s.class = v_tip.class AND s.day = v_tip.day;
END $$;

/* Rows that lean on a hidden one go on: what is hidden is the id, as anchor and as resource. */
CREATE OR REPLACE FUNCTION posthouse.hide_response(p_scope bigint, p_id text)
RETURNS TABLE (account_id bigint, flags int)
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off AS $$
#variable_conflict use_column
DECLARE
	v_tip record;
	v_account bigint;
BEGIN
	PERFORM set_config('posthouse.scope', p_scope::text, true);
	SELECT * INTO v_tip FROM posthouse.locate(p_scope, p_id);
	IF v_tip.flags & 152 <> 0 THEN -- what a compaction item replaced is no response either
		RETURN;
	END IF;
	UPDATE posthouse.resource_owners o SET hidden = true
	WHERE o.scope = p_scope AND o.id = p_id AND o.kind IS NULL AND NOT o.hidden RETURNING o.account_id INTO v_account;
	IF v_tip.day IS NOT NULL THEN
		UPDATE posthouse.snapshots s SET flags = s.flags | 8::smallint
		WHERE s.scope = p_scope AND s.response_id = p_id AND s.class = v_tip.class AND s.day = v_tip.day;
		RETURN QUERY SELECT v_tip.account_id, v_tip.flags | 8;
	ELSIF v_account IS NOT NULL THEN
		RETURN QUERY SELECT v_account, 1 | 8;
	END IF;
END $$;

/*
 * Who made each of these items, within the scope; for those of p_bodies also the output that holds it, once for all
 * that stand in it: rows come in the order of responses and places, the first of a response that has a body brings the
 * output. Today's and yesterday's items first, as for responses. An id that two responses used is nobody's. What only
 * has an owner row comes without place and output: the account that minted it keeps it.
 *
 * A client that sends its whole history asks for hundreds of ids with each turn. Where nothing is kept of it, each of
 * them would be looked for in every partition: so where none of the last few is known, only bodies are looked for there.
 */
CREATE OR REPLACE FUNCTION posthouse.read_items(p_scope bigint, p_ids text[], p_bodies text[])
RETURNS TABLE (item_id text, account_id bigint, flags int, response_id text, "position" int, body bool, codec int,
	output bytea)
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan SET enable_hashjoin = off SET enable_mergejoin = off
SET enable_seqscan = off SET enable_bitmapscan = off AS $$
#variable_conflict use_column
DECLARE
	v_yesterday date := (now() AT TIME ZONE 'UTC')::date - 1;
	v_last text[] := p_ids[cardinality(p_ids) - 3 :];
	v_deep text[] := p_ids; -- ids that are looked for everywhere
BEGIN
	PERFORM set_config('posthouse.scope', p_scope::text, true);
	IF cardinality(p_ids) > 16
		AND NOT EXISTS (SELECT FROM unnest(v_last) AS u (id), LATERAL (SELECT FROM posthouse.snapshot_items s
			WHERE s.scope = p_scope AND s.item_id = u.id AND s.day IN (v_yesterday, v_yesterday + 1) OFFSET 0) i)
		AND NOT EXISTS (SELECT FROM unnest(v_last) AS u (id), LATERAL (SELECT FROM posthouse.snapshot_items s
			WHERE s.scope = p_scope AND s.item_id = u.id AND s.day < v_yesterday OFFSET 0) i)
		AND NOT EXISTS (SELECT FROM unnest(v_last) AS u (id), LATERAL (SELECT FROM posthouse.resource_owners r
			WHERE r.scope = p_scope AND r.id = u.id OFFSET 0) i) THEN
		v_deep := p_bodies;
	END IF;
	RETURN QUERY
	WITH wanted AS MATERIALIZED (
		SELECT DISTINCT u.id FROM unnest(p_ids) AS u (id)
	), recent AS MATERIALIZED (
		SELECT i.* FROM wanted w, LATERAL (
			SELECT s.item_id, s.response_id, s.class, s.day, s.position FROM posthouse.snapshot_items s
			WHERE s.scope = p_scope AND s.item_id = w.id AND s.day IN (v_yesterday, v_yesterday + 1) OFFSET 0) i
	), older AS MATERIALIZED (
		SELECT i.* FROM wanted w, LATERAL (
			SELECT s.item_id, s.response_id, s.class, s.day, s.position FROM posthouse.snapshot_items s
			WHERE s.scope = p_scope AND s.item_id = w.id AND s.day < v_yesterday OFFSET 0) i
		WHERE w.id = ANY (v_deep) AND NOT EXISTS (SELECT FROM recent r WHERE r.item_id = w.id)
	), placed AS MATERIALIZED (
		SELECT b.item_id, min(b.response_id) AS response_id, max(b.response_id) AS other, min(b.class) AS class,
			min(b.day) AS day, min(b.position) AS position, b.item_id = ANY (p_bodies) AS body
		FROM (SELECT r.* FROM recent r UNION ALL SELECT o.* FROM older o) b GROUP BY b.item_id
	), found AS MATERIALIZED (
		SELECT p.*, p.body AND 1 = row_number() OVER (PARTITION BY p.response_id, p.body ORDER BY p.position) AS brings
		FROM placed p WHERE p.response_id = p.other
	)
	SELECT f.item_id, r.account_id, r.flags::int, f.response_id, f.position::int, f.body, r.codec::int,
		CASE WHEN f.brings THEN r.output END
	FROM found f, LATERAL (
		SELECT s.account_id, s.flags, s.codec, s.output FROM posthouse.snapshots s
		WHERE s.scope = p_scope AND s.response_id = f.response_id AND s.class = f.class AND s.day = f.day
		OFFSET 0) r
	WHERE r.flags & 24 = 0
	UNION ALL
	SELECT w.id, o.account_id, 1, NULL, NULL, w.id = ANY (p_bodies), NULL, NULL
	FROM wanted w, LATERAL (
		SELECT min(r.account_id) AS account_id FROM posthouse.resource_owners r
		WHERE r.scope = p_scope AND r.id = w.id AND NOT r.hidden AND r.account_id <> 0
		HAVING min(r.account_id) = max(r.account_id)) o
	WHERE w.id = ANY (v_deep) AND NOT EXISTS (SELECT FROM placed p WHERE p.item_id = w.id)
	ORDER BY 4, 5;
END $$;

/* The same as programs of schema 1 ask for it: every row with its output. */
CREATE OR REPLACE FUNCTION posthouse.find_items(p_scope bigint, p_ids text[])
RETURNS TABLE (item_id text, account_id bigint, flags int, "position" int, codec int, output bytea)
LANGUAGE sql STABLE AS $$
	SELECT i.item_id, i.account_id, i.flags, i.position, i.codec,
		first_value(i.output) OVER (PARTITION BY i.response_id ORDER BY i.position)
	FROM posthouse.read_items(p_scope, p_ids, p_ids) i
$$;

/*
 * Runs everything of a turn once and undoes it: the first call on a connection plans over all partitions and takes
 * ten times as long as the next. For connections that were just opened, before they take turns.
 */
CREATE OR REPLACE FUNCTION posthouse.warm() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	id text := 'warm_' || gen_random_uuid();
BEGIN
	PERFORM posthouse.commit_turn(gen_random_uuid(), '', 0, '', '', '', 0, '', '', 0, NULL, 0, 0, 0, false, 0, 0, 0, 0, 0, 0,
		0, 0, NULL, 0, '', NULL, NULL, NULL, id, true, true, 0, NULL, NULL, NULL, NULL, 0, '', 1, 0, '', '', NULL, '', ARRAY[id]);
	PERFORM posthouse.log_turns(ARRAY[gen_random_uuid()], '{""}', '{0}', '{""}', '{""}', '{""}', '{0}', '{""}', '{""}', '{0}',
		'{NULL}', '{0}', '{0}', '{0}', '{f}', '{0}', '{0}', '{0}', '{0}', '{0}', '{0}', '{0}', '{0}', '{NULL}', '{0}', '{""}',
		'{NULL}', '{NULL}', '{NULL}', ARRAY[id]);
	PERFORM posthouse.resolve(0, id, '{}', 1, 1);
	PERFORM posthouse.read_items(0, ARRAY[id], ARRAY[id]);
	PERFORM posthouse.read_response(0, id);
	PERFORM posthouse.prefer(0, convert_to(id, 'UTF8'), '{}', NULL);
	RAISE EXCEPTION USING errcode = 'PH001';
EXCEPTION WHEN SQLSTATE 'PH001' THEN
	NULL;
END $$;
