/* SPDX-License-Identifier: Apache-2.0 */
/* One response or one item by its id, for GET, DELETE and item references. All within the caller's scope. */
CREATE OR REPLACE FUNCTION posthouse.read_response(p_scope bigint, p_id text)
RETURNS TABLE (response_id text, parent_id text, account_id bigint, day date, class int, flags int, turn_status text,
	created_ms bigint, codec int, input bytea, output bytea, envelope bytea, model text)
LANGUAGE plpgsql VOLATILE
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
	IF v_tip.flags & 24 <> 0 THEN
		RETURN;
	END IF;
	UPDATE posthouse.resource_owners o SET hidden = true
	WHERE o.scope = p_scope AND o.id = p_id AND NOT o.hidden RETURNING o.account_id INTO v_account;
	IF v_tip.day IS NOT NULL THEN
		UPDATE posthouse.snapshots s SET flags = s.flags | 8::smallint
		WHERE s.scope = p_scope AND s.response_id = p_id AND s.class = v_tip.class AND s.day = v_tip.day;
		RETURN QUERY SELECT v_tip.account_id, v_tip.flags | 8;
	ELSIF v_account IS NOT NULL THEN
		RETURN QUERY SELECT v_account, 1 | 8;
	END IF;
END $$;

/*
 * Today's and yesterday's items first, as for responses; of two items with one id the newer counts. What only has an
 * owner row comes without output: the account that minted it keeps it.
 */
CREATE OR REPLACE FUNCTION posthouse.find_items(p_scope bigint, p_ids text[])
RETURNS TABLE (item_id text, account_id bigint, flags int, "position" int, codec int, output bytea)
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan SET enable_hashjoin = off SET enable_mergejoin = off
SET enable_seqscan = off SET enable_bitmapscan = off AS $$
#variable_conflict use_column
DECLARE
	v_yesterday date := (now() AT TIME ZONE 'UTC')::date - 1;
BEGIN
	PERFORM set_config('posthouse.scope', p_scope::text, true);
	RETURN QUERY
	WITH wanted AS MATERIALIZED (
		SELECT DISTINCT u.id FROM unnest(p_ids) AS u (id)
	), recent AS MATERIALIZED (
		SELECT i.item_id, i.response_id, i.class, i.day, i.position
		FROM wanted u JOIN posthouse.snapshot_items i
			ON i.scope = p_scope AND i.item_id = u.id AND i.day BETWEEN v_yesterday AND v_yesterday + 1
	), older AS MATERIALIZED (
		SELECT i.item_id, i.response_id, i.class, i.day, i.position
		FROM (SELECT w.id FROM wanted w WHERE NOT EXISTS (SELECT FROM recent r WHERE r.item_id = w.id)) u
		JOIN posthouse.snapshot_items i ON i.scope = p_scope AND i.item_id = u.id AND i.day < v_yesterday
	), found AS MATERIALIZED (
		SELECT DISTINCT ON (b.item_id) b.* FROM (SELECT * FROM recent UNION ALL SELECT * FROM older) b
		ORDER BY b.item_id, b.day DESC
	)
	SELECT f.item_id, s.account_id, s.flags::int, f.position::int, s.codec::int, s.output
	FROM found f JOIN posthouse.snapshots s
		ON s.scope = p_scope AND s.response_id = f.response_id AND s.class = f.class AND s.day = f.day
	WHERE s.flags & 24 = 0
	UNION ALL
	SELECT o.id, o.account_id, 1, NULL, NULL, NULL
	FROM wanted w JOIN posthouse.resource_owners o ON o.scope = p_scope AND o.id = w.id AND NOT o.hidden
	WHERE NOT EXISTS (SELECT FROM found f WHERE f.item_id = w.id);
END $$;
