/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slots of accounts that have max_streams. A row of account_leases is a node's right, until expires_at, to run that many
 * turns; the rows are the truth, and the account's advisory lock is what orders those who change them. Held rows are never
 * made smaller by anybody but their holder: a node may start a turn on what it believes to have while a call is under way.
 */

/* Whoever has fewer slots than turns hears that it may ask again. */
CREATE OR REPLACE FUNCTION posthouse.tell_starved(p_account bigint) RETURNS void
LANGUAGE sql AS $$
	SELECT pg_notify('posthouse', 'slots_free ' || p_account) WHERE EXISTS (SELECT FROM posthouse.account_leases l
		WHERE l.account_id = p_account AND l.wanted > l.slots AND l.expires_at > clock_timestamp())
$$;

/*
 * What a node holds from now on: takes, keeps and gives back. p_version: of the row that the node knows (0: none), p_life: the
 * life of the server that it knows. p_running turns run, whatever the limit says; p_needed slots would do, for those and for
 * turns that wait; p_wanted is the most it would like, and not below what it has unless it has given that up. result:
 *   ok       slots and version are what it holds now (version 0: nothing); fewer than p_needed: it is starved, and may
 *            find more in retry_ms (NULL: nobody else holds any)
 *   stale    a call that was given up came through after all: slots and version are what it holds; decide again
 *   life     the server has begun another life: what was granted before is void; tell what runs, with this life
 *   unknown  the node was forgotten: all that it held is void
 *   none     the account has no limit, or is gone
 * others: slots of all other nodes. With slots above max_streams together, no turn may follow one that ends.
 */
CREATE OR REPLACE FUNCTION posthouse.lease_slots(p_account bigint, p_node uuid, p_version bigint, p_life bigint,
	p_running int, p_needed int, p_wanted int)
RETURNS TABLE (result text, slots int, version bigint, max_streams int, others int, life bigint, retry_ms bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_life posthouse.server_life;
	v_ttl interval;
	v_hold timestamptz;
	v_own posthouse.account_leases;
	v_freed bool;
	v_retry timestamptz;
BEGIN
	PERFORM pg_advisory_xact_lock(hashtextextended('posthouse:1:' || p_account, 0)); -- alone: what follows sees newer rows
	PERFORM set_config('synchronous_commit', 'off', true);
	v_life := posthouse.present_life();
	life := v_life.life;
	slots := 0;
	version := 0;
	SELECT n.ttl INTO v_ttl FROM posthouse.nodes n WHERE n.node_id = p_node FOR KEY SHARE; -- it may be forgotten just now
	IF NOT FOUND OR p_life <> life THEN
		result := CASE WHEN v_ttl IS NULL THEN 'unknown' ELSE 'life' END;
		RETURN NEXT;
		RETURN;
	END IF;

	/* A row that its holder is just renewing is locked, and counts. */
	DELETE FROM posthouse.account_leases l WHERE l.ctid = ANY (ARRAY(SELECT e.ctid FROM posthouse.account_leases e
		WHERE e.account_id = p_account
			AND (e.expires_at <= clock_timestamp() OR (e.node_id = p_node AND e.life <> p_life))
		FOR UPDATE SKIP LOCKED));
	v_freed := FOUND;
	SELECT l.* INTO v_own FROM posthouse.account_leases l
	WHERE l.account_id = p_account AND l.node_id = p_node FOR UPDATE;
	IF v_own.version <> p_version THEN
		result := 'stale';
		slots := v_own.slots;
		version := v_own.version;
		RETURN NEXT;
		RETURN;
	END IF;
	SELECT a.max_streams, a.hold_until INTO max_streams, v_hold FROM posthouse.accounts a
	WHERE a.account_id = p_account AND a.state <> 'removed';
	SELECT coalesce(sum(l.slots), 0), min(l.expires_at) INTO others, v_retry FROM posthouse.account_leases l
	WHERE l.account_id = p_account AND l.node_id <> p_node;

	IF max_streams IS NULL THEN
		result := 'none';
		DELETE FROM posthouse.account_leases l WHERE l.account_id = p_account AND l.node_id = p_node;
		RETURN NEXT;
		RETURN;
	END IF;
	result := 'ok';
	slots := coalesce(v_own.slots, 0);
	IF posthouse.is_recovering(v_life) OR v_hold > clock_timestamp() THEN
		v_retry := clock_timestamp() + interval '250 milliseconds';
	ELSE
		slots := greatest(slots, max_streams - others);
		/* No more than it needs, where another node has too little. */
		IF p_wanted > p_needed AND EXISTS (SELECT FROM posthouse.account_leases l WHERE l.account_id = p_account
			AND l.node_id <> p_node AND l.wanted > l.slots AND l.expires_at > clock_timestamp()) THEN
			p_wanted := greatest(p_needed, v_own.slots);
		END IF;
	END IF;
	slots := greatest(p_running, least(p_wanted, slots));

	IF slots = 0 AND p_needed = 0 THEN
		DELETE FROM posthouse.account_leases l WHERE l.account_id = p_account AND l.node_id = p_node;
	ELSE
		INSERT INTO posthouse.account_leases AS l (account_id, node_id, slots, running, wanted, version, life, expires_at)
		VALUES (p_account, p_node, slots, p_running, p_needed, nextval('posthouse.lease_versions'), p_life,
			clock_timestamp() + v_ttl)
		ON CONFLICT (account_id, node_id) DO UPDATE SET slots = excluded.slots, running = excluded.running,
			wanted = excluded.wanted, version = excluded.version, expires_at = clock_timestamp() + v_ttl
		RETURNING l.version INTO version;
	END IF;
	IF (v_freed OR v_own.slots > slots) AND slots + others < max_streams THEN
		PERFORM posthouse.tell_starved(p_account);
	END IF;
	IF slots < p_needed AND v_retry IS NOT NULL THEN
		retry_ms := greatest(1, ceil(extract(epoch FROM v_retry - clock_timestamp()) * 1000))::bigint;
	END IF;
	RETURN NEXT;
END $$;

/* A starved node asks those that hold slots; in a transaction of its own, since a commit with NOTIFY waits for others. */
CREATE OR REPLACE FUNCTION posthouse.ask_slots(p_account bigint, p_node uuid) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
	SELECT pg_notify('posthouse', 'slots_asked ' || p_account || ' ' || p_node)
$$;
