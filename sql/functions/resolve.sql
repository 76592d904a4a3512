/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a chain: which row an id stands for, then its ancestors, each by its key (id, class, day). A recursive query
 * walks as far as one partition reaches, so that the others are never opened: opening 66 of them takes longer than 50
 * hops. Plans are pinned to nested loops over indexes: on small tables the planner prefers to hash or scan whole
 * tables, and keeps doing so while they grow. OFFSET 0 makes the outer row's value a constant for the planner: as a
 * join it would read all rows of a scope in a partition that was empty when it made the plan.
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

/*
 * From one row to the end of its chain, without reading a body. What it found is one element per partition: its day and
 * class, how many rows, and their places in tids. Callers run it and read the rows under one snapshot (STABLE), so the
 * places hold.
 */
CREATE OR REPLACE FUNCTION posthouse.walk(p_scope bigint, p_id text, p_class smallint, p_day date, p_max_bytes bigint,
	p_max_hops int, OUT status text, OUT days date[], OUT classes smallint[], OUT counts int[], OUT tids tid[])
LANGUAGE plpgsql STABLE AS $$
DECLARE
	v_id text := p_id;
	v_class smallint := p_class;
	v_day date := p_day;
	v_tids tid[];
	v_hop int := 0;
	v_before int;
	v_bytes bigint := 0;
	v_flags int;
BEGIN
	WHILE status IS NULL LOOP
		days := days || v_day;
		classes := classes || v_class;
		v_before := v_hop;
		WITH RECURSIVE steps AS (
			SELECT v_hop + 1 AS hop,
				v_bytes + coalesce(octet_length(s.input), 0) + coalesce(octet_length(s.output), 0)
					+ coalesce(octet_length(s.runs), 0) AS bytes,
				s.parent_id, s.parent_class, s.parent_day, s.flags, s.ctid AS place
			FROM posthouse.snapshots s
			WHERE s.scope = p_scope AND s.response_id = v_id AND s.class = v_class AND s.day = v_day
			UNION ALL
			SELECT w.hop + 1, w.bytes + p.bytes, p.parent_id, p.parent_class, p.parent_day, p.flags, p.place
			FROM steps w, LATERAL (
				SELECT coalesce(octet_length(s.input), 0) + coalesce(octet_length(s.output), 0)
					+ coalesce(octet_length(s.runs), 0) AS bytes,
					s.parent_id, s.parent_class, s.parent_day, s.flags, s.ctid AS place
				FROM posthouse.snapshots s
				WHERE s.scope = p_scope AND s.response_id = w.parent_id AND s.class = v_class AND s.day = v_day
				OFFSET 0) p
			WHERE w.parent_class = v_class AND w.parent_day = v_day AND w.flags & 2 = 0
				AND w.hop < p_max_hops AND w.bytes <= p_max_bytes
		)
		SELECT a.places, e.hop, e.bytes, e.flags, e.parent_id, e.parent_class, e.parent_day
		INTO v_tids, v_hop, v_bytes, v_flags, v_id, v_class, v_day
		FROM (SELECT array_agg(w.place) AS places FROM steps w) a,
			(SELECT w.* FROM steps w ORDER BY w.hop DESC LIMIT 1) e;
		status := CASE WHEN NOT FOUND THEN 'broken'
			WHEN v_bytes > p_max_bytes THEN 'too_large'
			WHEN v_flags & 2 <> 0 THEN 'partial'
			WHEN v_id IS NULL THEN 'ok'
			WHEN v_hop >= p_max_hops THEN 'too_deep' END;
		counts := counts || (v_hop - v_before);
		tids := tids || v_tids;
	END LOOP;
END $$;

/* work_mem: the rows of a long chain pass through memory, not through a file; p_max_bytes bounds them. */
CREATE OR REPLACE FUNCTION posthouse.resolve(
	p_scope bigint, p_id text, p_forward bigint[], p_max_bytes bigint, p_max_hops int)
RETURNS TABLE (status text, today date, hop int, response_id text, account_id bigint, day date, class int, flags int,
	depth int, chain_until date, created_ms bigint, codec int, input bytea, output bytea, runs bytea, model text)
LANGUAGE plpgsql STABLE ROWS 50
SET plan_cache_mode = force_generic_plan SET enable_hashjoin = off SET enable_mergejoin = off
SET enable_seqscan = off SET enable_bitmapscan = off SET work_mem = '64MB' AS $$
#variable_conflict use_column
DECLARE
	v_scope text := set_config('posthouse.scope', p_scope::text, true);
	v_today date := (now() AT TIME ZONE 'UTC')::date;
	v_tip record;
	v_walk record;
	v_status text;
	v_account bigint;
	v_hop int := 0;
BEGIN
	SELECT * INTO v_tip FROM posthouse.locate(p_scope, p_id);
	v_account := v_tip.account_id;
	IF v_tip.day IS NULL THEN
		SELECT CASE WHEN o.hidden THEN 'hidden' ELSE 'owned' END, o.account_id INTO v_status, v_account
		FROM posthouse.resource_owners o WHERE o.scope = p_scope AND o.id = p_id ORDER BY o.hidden DESC LIMIT 1;
		IF NOT FOUND THEN
			v_status := CASE WHEN posthouse.is_foreign(p_scope, p_id) THEN 'foreign' ELSE 'none' END;
		END IF;
	ELSIF v_tip.flags & 24 <> 0 THEN
		v_status := CASE WHEN v_tip.flags & 8 <> 0 THEN 'hidden' ELSE 'ambiguous' END;
	ELSIF v_tip.flags & 1 <> 0 AND v_tip.account_id = ANY (p_forward)
		AND v_tip.created > now() - interval '30 days' THEN
		v_status := 'tip';
	ELSE
		SELECT * INTO v_walk FROM posthouse.walk(p_scope, p_id, v_tip.class, v_tip.day, p_max_bytes, p_max_hops);
		v_status := v_walk.status;
	END IF;
	IF v_status <> 'ok' THEN
		RETURN QUERY SELECT v_status, v_today, 1, p_id, v_account, v_tip.day, v_tip.class::int, v_tip.flags,
			v_tip.depth, v_tip.chain_until, (extract(epoch FROM v_tip.created) * 1000)::bigint, NULL::int,
			NULL::bytea, NULL::bytea, NULL::bytea, v_tip.model;
		RETURN;
	END IF;

	FOR i IN 1 .. cardinality(v_walk.counts) LOOP
		RETURN QUERY
		SELECT 'ok', v_today, v_hop + t.n::int, r.*
		FROM unnest(v_walk.tids[v_hop + 1 : v_hop + v_walk.counts[i]]) WITH ORDINALITY AS t (place, n), LATERAL (
			SELECT s.response_id, s.account_id, s.day, s.class::int, s.flags::int, s.depth, s.chain_until,
				(extract(epoch FROM s.created) * 1000)::bigint, s.codec::int, s.input, s.output, s.runs, s.model
			FROM posthouse.snapshots s
			WHERE s.ctid = t.place AND s.scope = p_scope AND s.class = v_walk.classes[i] AND s.day = v_walk.days[i]
			OFFSET 0) r;
		v_hop := v_hop + v_walk.counts[i];
	END LOOP;
END $$;
