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
