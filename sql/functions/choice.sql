/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What nodes agree on when they choose an account: where a conversation stays, and which turn tries an account first after
 * a block. Both are soft: a node that gets no answer chooses without.
 */

/*
 * Where the conversation stays. p_signal: digest of what names it; p_able: accounts that could take the turn; p_choice: of
 * these the one that the node would choose, NULL: none. The account that the conversation has stays if it is able; else
 * the choice is its account from now on. account_id NULL: it has none. was: the account that it had before; NULL: it is new.
 * Asynchronous commit: what a crash forgets is chosen again.
 */
CREATE OR REPLACE FUNCTION posthouse.prefer(p_scope bigint, p_signal bytea, p_able bigint[], p_choice bigint,
	OUT account_id bigint, OUT was bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_updated timestamptz;
BEGIN
	PERFORM pg_advisory_xact_lock(hashtextextended('posthouse:2:' || p_scope || ':' || encode(p_signal, 'hex'), 0)); -- alone
	PERFORM set_config('synchronous_commit', 'off', true), set_config('posthouse.scope', p_scope::text, true);
	SELECT p.account_id, p.updated INTO was, v_updated FROM posthouse.preferences p
	WHERE p.scope = p_scope AND p.signal = p_signal;
	IF was = ANY (p_able) THEN
		account_id := was;
		IF v_updated < clock_timestamp() - interval '1 minute' THEN
			UPDATE posthouse.preferences p SET updated = clock_timestamp() WHERE p.scope = p_scope AND p.signal = p_signal;
		END IF;
	ELSIF p_choice IS NOT NULL THEN
		account_id := p_choice;
		INSERT INTO posthouse.preferences AS p (scope, signal, account_id, updated)
		VALUES (p_scope, p_signal, p_choice, clock_timestamp())
		ON CONFLICT (scope, signal) DO UPDATE
		SET account_id = excluded.account_id, updated = excluded.updated, moved = excluded.updated;
	END IF;
END $$;

/*
 * Conversations that were silent for a day: no prompt cache lasts longer. At most p_most at a time; returns how many. One that
 * is touched meanwhile is looked at again, and stays.
 */
CREATE OR REPLACE FUNCTION posthouse.sweep_preferences(p_most int) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
DECLARE
	v_count int;
BEGIN
	DELETE FROM posthouse.preferences p WHERE p.ctid = ANY (ARRAY(SELECT e.ctid FROM posthouse.preferences e
		WHERE e.updated < clock_timestamp() - interval '1 day' LIMIT p_most))
		AND p.updated < clock_timestamp() - interval '1 day';
	GET DIAGNOSTICS v_count = ROW_COUNT;
	RETURN v_count;
END $$;

/*
 * A turn wants an account whose block, version p_version, has ended. result: ours (it may go, as the only one; the others
 * wait for p_hold_ms at most), held (another one went, and may be waited for wait_ms), over (nothing to wait for).
 */
CREATE OR REPLACE FUNCTION posthouse.claim_probe(p_account bigint, p_version bigint, p_hold_ms bigint, OUT result text,
	OUT wait_ms bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
BEGIN
	UPDATE posthouse.account_health h
	SET probe_version = p_version, probe_until = clock_timestamp() + p_hold_ms * interval '1 millisecond'
	WHERE h.account_id = p_account AND h.version = p_version AND h.state = 'cooling'
		AND h.probe_version IS DISTINCT FROM p_version;
	IF FOUND THEN
		result := 'ours';
		wait_ms := p_hold_ms;
		RETURN;
	END IF;
	SELECT ceil(extract(epoch FROM h.probe_until - clock_timestamp()) * 1000) INTO wait_ms FROM posthouse.account_health h
	WHERE h.account_id = p_account AND h.version = p_version AND h.probe_version = p_version AND h.state = 'cooling';
	result := CASE WHEN wait_ms > 0 THEN 'held' ELSE 'over' END;
	wait_ms := greatest(coalesce(wait_ms, 0), 0);
END $$;

/* That turn worked, or ended without a verdict: the block is over for all. What it returns: as report_health(). */
CREATE OR REPLACE FUNCTION posthouse.end_probe(p_account bigint, p_version bigint, p_node text)
RETURNS TABLE (result text, health text, remaining_ms bigint, version bigint, strikes int)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
DECLARE
	v_done bool;
BEGIN
	UPDATE posthouse.account_health h SET state = 'active', until = NULL, reason = 'probe', evidence = NULL, node = p_node,
		version = h.version + 1, changed = clock_timestamp()
	WHERE h.account_id = p_account AND h.version = p_version AND h.state = 'cooling';
	v_done := FOUND;
	IF v_done THEN
		PERFORM posthouse.bump('accounts');
	END IF;
	RETURN QUERY SELECT CASE WHEN v_done THEN 'done' ELSE 'kept' END, r.* FROM posthouse.read_health(p_account) r;
END $$;
