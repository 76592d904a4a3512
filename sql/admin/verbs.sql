/* SPDX-License-Identifier: Apache-2.0 */
/* What operators do: verb_noun, may be repeated, one row back, an audit row and a new topic version in the same
 * transaction. session_user is who did it: inside, current_user is the schema's owner. */
CREATE OR REPLACE FUNCTION posthouse.set_account_state(p_name text, p_state text, p_verb text, p_reason text)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
DECLARE
	v_id bigint;
BEGIN
	UPDATE posthouse.accounts a SET state = p_state, updated = now()
	WHERE a.name = p_name AND a.state <> 'removed' RETURNING a.account_id INTO v_id;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'there is no account named "%"', p_name;
	END IF;
	IF p_state = 'active' THEN
		PERFORM posthouse.clear_health(v_id, p_verb);
	END IF;
	PERFORM posthouse.note(p_verb, p_name, p_reason);
	PERFORM posthouse.bump('accounts');
END $$;

CREATE OR REPLACE FUNCTION posthouse_admin.pause_account(name text, reason text DEFAULT NULL)
RETURNS TABLE (account text, state text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
BEGIN
	PERFORM posthouse.set_account_state(name, 'paused', 'pause_account', reason);
	RETURN QUERY SELECT name, 'paused';
END $$;
COMMENT ON FUNCTION posthouse_admin.pause_account(text, text) IS
	'The account gets no new turns; running ones end. name: the account; reason: for the audit';

CREATE OR REPLACE FUNCTION posthouse_admin.resume_account(name text, reason text DEFAULT NULL)
RETURNS TABLE (account text, state text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
BEGIN
	PERFORM posthouse.set_account_state(name, 'active', 'resume_account', reason);
	RETURN QUERY SELECT name, 'active';
END $$;
COMMENT ON FUNCTION posthouse_admin.resume_account(text, text) IS
	'Ends paused and draining and clears every health block. name: the account; reason: for the audit';

CREATE OR REPLACE FUNCTION posthouse_admin.drain_account(name text, reason text DEFAULT NULL)
RETURNS TABLE (account text, state text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
BEGIN
	PERFORM posthouse.set_account_state(name, 'draining', 'drain_account', reason);
	RETURN QUERY SELECT name, 'draining';
END $$;
COMMENT ON FUNCTION posthouse_admin.drain_account(text, text) IS
	'The account gets no new turns, running ones end: before it is removed. name: the account; reason: for the audit';

CREATE OR REPLACE FUNCTION posthouse_admin.set_account_limit(name text, max_streams int, reason text DEFAULT NULL)
RETURNS TABLE (account text, new_limit int)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
#variable_conflict use_column
BEGIN
	IF set_account_limit.max_streams < 1 THEN
		RAISE EXCEPTION 'a limit is at least 1, or NULL for none; pause_account() stops an account';
	END IF;
	UPDATE posthouse.accounts a SET max_streams = set_account_limit.max_streams, updated = now()
	WHERE a.name = set_account_limit.name AND a.state <> 'removed';
	IF NOT FOUND THEN
		RAISE EXCEPTION 'there is no account named "%"', set_account_limit.name;
	END IF;
	PERFORM posthouse.note('set_account_limit', set_account_limit.name, reason);
	PERFORM posthouse.bump('accounts');
	RETURN QUERY SELECT set_account_limit.name, set_account_limit.max_streams;
END $$;
COMMENT ON FUNCTION posthouse_admin.set_account_limit(text, int, text) IS
	'Concurrent turns of the account in the whole cluster, from now on; those above a lower limit end by themselves. name: the account; max_streams: NULL for no limit; reason: for the audit';

CREATE OR REPLACE FUNCTION posthouse_admin.release_leases(account text, reason text DEFAULT NULL)
RETURNS TABLE (account_name text, released int)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_id bigint;
	v_slots int;
BEGIN
	SELECT a.account_id INTO v_id FROM posthouse.accounts a
	WHERE a.name = release_leases.account AND a.state <> 'removed';
	IF NOT FOUND THEN
		RAISE EXCEPTION 'there is no account named "%"', release_leases.account;
	END IF;
	PERFORM pg_advisory_xact_lock(hashtextextended('posthouse:1:' || v_id, 0));
	UPDATE posthouse.accounts a SET hold_until = clock_timestamp() + interval '1 second' WHERE a.account_id = v_id;
	WITH gone AS (DELETE FROM posthouse.account_leases l WHERE l.account_id = v_id RETURNING l.slots)
	SELECT coalesce(sum(g.slots), 0) INTO v_slots FROM gone g;
	PERFORM posthouse.note('release_leases', release_leases.account, reason);
	PERFORM pg_notify('posthouse', 'slots_void ' || v_id);
	RETURN QUERY SELECT release_leases.account, v_slots;
END $$;
COMMENT ON FUNCTION posthouse_admin.release_leases(text, text) IS
	'Takes every slot of the account back from the nodes: those that live tell at once what they run, and one second later the rest is given out anew. account: its name; reason: for the audit';

/* NAME, or the workers NAME/1, NAME/2 ... of one serve. */
CREATE OR REPLACE FUNCTION posthouse.is_node(p_is text, p_name text) RETURNS bool
LANGUAGE sql IMMUTABLE AS $$
	SELECT p_is = p_name OR (left(p_is, length(p_name) + 1) = p_name || '/' AND substr(p_is, length(p_name) + 2) ~ '^[0-9]+$')
$$;

CREATE OR REPLACE FUNCTION posthouse_admin.drain_node(name text, reason text DEFAULT NULL)
RETURNS TABLE (node text, processes int)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_count int;
BEGIN
	UPDATE posthouse.nodes n SET draining = true WHERE posthouse.is_node(n.name, drain_node.name);
	GET DIAGNOSTICS v_count = ROW_COUNT;
	IF v_count = 0 THEN
		RAISE EXCEPTION 'there is no node named "%"', drain_node.name;
	END IF;
	PERFORM posthouse.note('drain_node', drain_node.name, reason);
	PERFORM pg_notify('posthouse', 'nodes');
	RETURN QUERY SELECT drain_node.name, v_count;
END $$;
COMMENT ON FUNCTION posthouse_admin.drain_node(text, text) IS
	'The node says that it is not ready, so that balancers leave it, and takes no periodic work; what still arrives is served. Ends when it is started again. name: the node, or all workers of one; reason: for the audit';

CREATE OR REPLACE FUNCTION posthouse_admin.forget_node(name text, reason text DEFAULT NULL)
RETURNS TABLE (node text, processes int)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_count int;
BEGIN
	SELECT count(posthouse.drop_node(n.node_id)) INTO v_count FROM posthouse.nodes n
	WHERE posthouse.is_node(n.name, forget_node.name);
	PERFORM posthouse.note('forget_node', forget_node.name, reason);
	PERFORM pg_notify('posthouse', 'nodes');
	RETURN QUERY SELECT forget_node.name, v_count;
END $$;
COMMENT ON FUNCTION posthouse_admin.forget_node(text, text) IS
	'The node is dead: its slots and its periodic work are free at once, not only when its leases end. One that lives all the same comes back by itself. name: the node, or all workers of one; reason: for the audit';

CREATE OR REPLACE FUNCTION posthouse_admin.revoke_api_key(name text, reason text DEFAULT NULL)
RETURNS TABLE (key_name text, revoked timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_when timestamptz;
BEGIN
	UPDATE posthouse.api_keys k SET revoked = coalesce(k.revoked, now())
	WHERE k.name = revoke_api_key.name RETURNING k.revoked INTO v_when;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'there is no key named "%"', revoke_api_key.name;
	END IF;
	PERFORM posthouse.note('revoke_api_key', revoke_api_key.name, reason);
	PERFORM posthouse.bump('api_keys');
	RETURN QUERY SELECT revoke_api_key.name, v_when;
END $$;
COMMENT ON FUNCTION posthouse_admin.revoke_api_key(text, text) IS
	'The key is refused from now on, by every node. name: the key; reason: for the audit';

CREATE OR REPLACE FUNCTION posthouse_admin.remove_account(name text, reason text DEFAULT NULL)
RETURNS TABLE (account text, state text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
BEGIN
	IF NOT posthouse.remove_account(name, reason) THEN
		IF NOT EXISTS (SELECT FROM posthouse.accounts a WHERE a.name = remove_account.name) THEN
			RAISE EXCEPTION 'there is no account named "%"', name;
		END IF;
		PERFORM posthouse.note('remove_account', name, reason);
	END IF;
	RETURN QUERY SELECT name, 'removed';
END $$;
COMMENT ON FUNCTION posthouse_admin.remove_account(text, text) IS
	'The account gets no new turns and its secret is deleted; running turns end, its conversations go on with other accounts. name: the account; reason: for the audit';
