/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nodes of the cluster. A node is one process: its id is new at every start, and what an earlier process of the same
 * name held is another's. Nothing here waits for the disk (synchronous_commit): what a crash takes with it is told again
 * in the server's next life.
 */

/*
 * The server's present life: a number that a restart and a promotion change. The first who asks in a new one notes when
 * that was, and until when nodes were heard of before.
 */
CREATE OR REPLACE FUNCTION posthouse.present_life() RETURNS posthouse.server_life
LANGUAGE plpgsql AS $$
DECLARE
	v_life bigint := hashtextextended(left(pg_walfile_name(pg_current_wal_lsn()), 8)
		|| extract(epoch FROM pg_postmaster_start_time()), 0);
	v posthouse.server_life;
BEGIN
	SELECT s.* INTO v FROM posthouse.server_life s WHERE s.life = v_life;
	IF NOT FOUND THEN
		INSERT INTO posthouse.server_life AS s (life, began, heard)
		SELECT v_life, clock_timestamp(), max(n.heartbeat) FROM posthouse.nodes n WHERE n.life <> v_life
		ON CONFLICT (one) DO UPDATE SET life = excluded.life, began = clock_timestamp(), heard = excluded.heard
		WHERE s.life <> excluded.life;
		SELECT s.* INTO STRICT v FROM posthouse.server_life s;
	END IF;
	RETURN v;
END $$;

/*
 * Whether a node that ran turns in the life before may not have told them yet. It is given its own TTL for that, from the
 * first sight of the new life; whoever was silent for two TTLs when the old one ended is not waited for.
 */
CREATE OR REPLACE FUNCTION posthouse.is_recovering(p_life posthouse.server_life) RETURNS bool
LANGUAGE sql STABLE AS $$
	SELECT EXISTS (SELECT FROM posthouse.nodes n WHERE n.life <> p_life.life
		AND n.heartbeat > p_life.heard - 2 * n.ttl AND clock_timestamp() < p_life.began + n.ttl)
$$;

/* A node that starts runs nothing: it has nothing to tell. Returns the server's life. */
CREATE OR REPLACE FUNCTION posthouse.register_node(p_node uuid, p_name text, p_version text, p_ttl_ms bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
DECLARE
	v_life bigint := (posthouse.present_life()).life;
BEGIN
	INSERT INTO posthouse.nodes (node_id, name, version, started, heartbeat, ttl, life)
	VALUES (p_node, p_name, p_version, clock_timestamp(), clock_timestamp(), p_ttl_ms * interval '1 millisecond', v_life)
	ON CONFLICT (node_id) DO NOTHING; -- the answer to a first call was lost
	RETURN v_life;
END $$;

/*
 * One statement per node and interval: it is there, and all its leases go on. p_told: the life in which it has told all
 * that it runs. p_accounts, p_running: its turns on limited accounts. One row per lease that goes on, at least one (with
 * account_id NULL); no row: the node was forgotten. What is not among the rows has lapsed.
 */
CREATE OR REPLACE FUNCTION posthouse.heartbeat(p_node uuid, p_told bigint, p_accounts bigint[], p_running int[])
RETURNS TABLE (life bigint, draining bool, account_id bigint, slots int, version bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_life bigint := (posthouse.present_life()).life;
BEGIN
	PERFORM set_config('synchronous_commit', 'off', true);
	RETURN QUERY
	WITH beat AS (
		UPDATE posthouse.nodes n
		SET heartbeat = clock_timestamp(), life = CASE WHEN p_told = v_life THEN v_life ELSE n.life END
		WHERE n.node_id = p_node RETURNING n.draining, n.ttl
	), renewed AS (
		UPDATE posthouse.account_leases l
		SET expires_at = clock_timestamp() + b.ttl,
			running = coalesce((SELECT r.running FROM unnest(p_accounts, p_running) AS r (account_id, running)
				WHERE r.account_id = l.account_id), 0)
		FROM beat b
		WHERE l.node_id = p_node AND l.life = v_life AND l.expires_at > clock_timestamp()
		RETURNING l.account_id, l.slots, l.version
	)
	SELECT v_life, b.draining, r.account_id, r.slots, r.version FROM beat b LEFT JOIN renewed r ON true;
END $$;

/* Its slots are free, and whoever waits for one hears of it. */
CREATE OR REPLACE FUNCTION posthouse.drop_node(p_node uuid) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	v_account bigint;
BEGIN
	DELETE FROM posthouse.nodes n WHERE n.node_id = p_node;
	PERFORM posthouse.drop_reservations(p_node);
	UPDATE posthouse.jobs j SET node_id = NULL, held_until = NULL WHERE j.node_id = p_node;
	FOR v_account IN DELETE FROM posthouse.account_leases l WHERE l.node_id = p_node RETURNING l.account_id
	LOOP
		PERFORM posthouse.tell_starved(v_account);
	END LOOP;
END $$;

/* The last word of a node that ends: what it held is free at once. */
CREATE OR REPLACE FUNCTION posthouse.leave_node(p_node uuid) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
	SELECT posthouse.drop_node(p_node)
$$;

/* Leases that have lapsed, reservations of nodes that are silent, and nodes that were so for an hour. Nothing depends on it: rows that are past their time count
 * for nothing. */
CREATE OR REPLACE FUNCTION posthouse.sweep_nodes() RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
DECLARE
	v_nodes int;
BEGIN
	DELETE FROM posthouse.account_leases l WHERE l.ctid = ANY (ARRAY(SELECT e.ctid FROM posthouse.account_leases e
		WHERE e.expires_at <= clock_timestamp() FOR UPDATE SKIP LOCKED));
	PERFORM posthouse.sweep_limits();
	DELETE FROM posthouse.nodes n WHERE n.node_id = ANY (ARRAY(SELECT e.node_id FROM posthouse.nodes e
		WHERE e.heartbeat < clock_timestamp() - interval '1 hour'
			AND NOT EXISTS (SELECT FROM posthouse.account_leases l WHERE l.node_id = e.node_id)
		FOR UPDATE SKIP LOCKED));
	GET DIAGNOSTICS v_nodes = ROW_COUNT;
	RETURN v_nodes;
END $$;
