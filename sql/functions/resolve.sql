/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a chain: which row an id stands for, then its ancestors, each by its key (id, class, day), so that a hop
 * touches one partition. Plans are pinned to nested loops over indexes: on small tables the planner prefers to hash or
 * scan whole tables, and keeps doing so while they grow.
 */

/* A verdict and nothing else: row-level security hides other scopes' rows from the caller. */
CREATE OR REPLACE FUNCTION posthouse.is_foreign(p_scope bigint, p_id text) RETURNS bool
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
	SELECT EXISTS (SELECT FROM posthouse.resource_owners o WHERE o.id = p_id AND o.scope <> p_scope)
$$;

/*
 * The row that an id stands for; callers have set the scope and pinned the plan. The day of an id is not known: today
 * and yesterday first, where most conversations go on, then everywhere. A short id, which upstream may have drawn
 * twice, is looked for everywhere at once; two rows are ambiguous (flag 16).
 */
CREATE OR REPLACE FUNCTION posthouse.locate(p_scope bigint, p_id text, OUT day date, OUT class smallint, OUT flags int,
	OUT account_id bigint, OUT depth int, OUT chain_until date, OUT created timestamptz, OUT model text)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
	v_today date := (now() AT TIME ZONE 'UTC')::date;
	v_copies bigint;
BEGIN
	IF length(p_id) >= 24 THEN
		SELECT s.day, s.class, s.flags, s.account_id, s.depth, s.chain_until, s.created, s.model
		INTO day, class, flags, account_id, depth, chain_until, created, model
		FROM posthouse.snapshots s
		WHERE s.scope = p_scope AND s.response_id = p_id AND s.day BETWEEN v_today - 1 AND v_today LIMIT 1;
		IF FOUND THEN
			RETURN;
		END IF;
	END IF;
	SELECT s.day, s.class, s.flags, s.account_id, s.depth, s.chain_until, s.created, s.model, count(*) OVER ()
	INTO day, class, flags, account_id, depth, chain_until, created, model, v_copies
	FROM posthouse.snapshots s WHERE s.scope = p_scope AND s.response_id = p_id LIMIT 1;
	IF v_copies > 1 THEN
		flags := flags | 16;
	END IF;
END $$;

CREATE OR REPLACE FUNCTION posthouse.resolve(
	p_scope bigint, p_id text, p_forward bigint[], p_max_bytes bigint, p_max_hops int)
RETURNS TABLE (status text, today date, hop int, response_id text, account_id bigint, day date, class int, flags int,
	depth int, chain_until date, created_ms bigint, codec int, input bytea, output bytea, runs bytea, model text)
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan SET enable_hashjoin = off SET enable_mergejoin = off
SET enable_seqscan = off SET enable_bitmapscan = off AS $$
#variable_conflict use_column
DECLARE
	v_today date := (now() AT TIME ZONE 'UTC')::date;
	v_tip record;
	v_status text;
	v_account bigint;
BEGIN
	PERFORM set_config('posthouse.scope', p_scope::text, true);
	SELECT * INTO v_tip FROM posthouse.locate(p_scope, p_id);
	IF v_tip.day IS NULL THEN
		SELECT CASE WHEN o.hidden THEN 'hidden' ELSE 'owned' END, o.account_id INTO v_status, v_account
		FROM posthouse.resource_owners o WHERE o.scope = p_scope AND o.id = p_id ORDER BY o.hidden DESC LIMIT 1;
		IF NOT FOUND THEN
			v_status := CASE WHEN posthouse.is_foreign(p_scope, p_id) THEN 'foreign' ELSE 'none' END;
		END IF;
	ELSIF v_tip.flags & 24 <> 0 THEN
		v_status := CASE WHEN v_tip.flags & 8 <> 0 THEN 'hidden' ELSE 'ambiguous' END;
	END IF;
	IF v_status IS NOT NULL THEN
		RETURN QUERY SELECT v_status, v_today, 1, p_id, CASE v_status WHEN 'owned' THEN v_account END, v_tip.day,
			v_tip.class::int, v_tip.flags, v_tip.depth, v_tip.chain_until, NULL::bigint, NULL::int, NULL::bytea,
			NULL::bytea, NULL::bytea, NULL::text;
		RETURN;
	END IF;

	IF v_tip.flags & 1 <> 0 AND v_tip.account_id = ANY (p_forward) AND v_tip.created > now() - interval '30 days' THEN
		v_status := 'tip';
	ELSIF v_tip.flags & 2 <> 0 THEN
		v_status := 'partial';
	END IF;
	IF v_status IS NOT NULL THEN
		RETURN QUERY SELECT v_status, v_today, 1, p_id, v_tip.account_id, v_tip.day, v_tip.class::int, v_tip.flags,
			v_tip.depth, v_tip.chain_until, (extract(epoch FROM v_tip.created) * 1000)::bigint, NULL::int,
			NULL::bytea, NULL::bytea, NULL::bytea, v_tip.model;
		RETURN;
	END IF;

	/*
	 * Bodies ride along as pointers (or inline when short) and are fetched only when the caller reads them, so the
	 * bounds below are decided before. Rows leave in the order in which the walk found them.
	 */
	RETURN QUERY
	WITH RECURSIVE walk AS (
		SELECT 1 AS hop, coalesce(octet_length(s.input), 0)::bigint + coalesce(octet_length(s.output), 0) AS bytes,
			s.parent_id, s.parent_day, s.parent_class, s.response_id, s.account_id, s.day, s.class, s.flags, s.depth,
			s.chain_until, s.created, s.codec, s.input, s.output, s.runs, s.model
		FROM posthouse.snapshots s
		WHERE s.scope = p_scope AND s.response_id = p_id AND s.class = v_tip.class AND s.day = v_tip.day
		UNION ALL
		SELECT w.hop + 1, w.bytes + coalesce(octet_length(s.input), 0) + coalesce(octet_length(s.output), 0),
			s.parent_id, s.parent_day, s.parent_class, s.response_id, s.account_id, s.day, s.class, s.flags, s.depth,
			s.chain_until, s.created, s.codec, s.input, s.output, s.runs, s.model
		FROM walk w
		JOIN posthouse.snapshots s ON s.scope = p_scope AND s.response_id = w.parent_id AND s.class = w.parent_class
			AND s.day = w.parent_day
		WHERE w.hop < p_max_hops AND w.bytes <= p_max_bytes AND w.flags & 2 = 0
	), ending AS (
		SELECT CASE
			WHEN w.bytes > p_max_bytes THEN 'too_large'
			WHEN w.flags & 2 <> 0 THEN 'partial'
			WHEN w.parent_id IS NULL THEN 'ok'
			WHEN w.hop >= p_max_hops THEN 'too_deep'
			ELSE 'broken' END AS status
		FROM walk w ORDER BY w.hop DESC LIMIT 1
	)
	SELECT e.status, v_today, w.hop, w.response_id, w.account_id, w.day, w.class::int, w.flags::int, w.depth,
		w.chain_until, (extract(epoch FROM w.created) * 1000)::bigint, w.codec::int,
		CASE e.status WHEN 'ok' THEN w.input END, CASE e.status WHEN 'ok' THEN w.output END,
		CASE e.status WHEN 'ok' THEN w.runs END, w.model
	FROM ending e, walk w WHERE e.status = 'ok' OR w.hop = 1;
END $$;
