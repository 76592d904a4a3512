/* SPDX-License-Identifier: Apache-2.0 */
/* Accounts: what the command line changes. Secrets arrive sealed; no function takes a plain one. */
/* The id comes before the row: a sealed secret is bound to it. */
CREATE OR REPLACE FUNCTION posthouse.account_id_for(p_name text, p_kind text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
DECLARE
	v record;
BEGIN
	SELECT a.account_id, a.kind INTO v FROM posthouse.accounts a WHERE a.name = p_name AND a.state <> 'removed';
	IF NOT FOUND THEN
		RETURN nextval(pg_get_serial_sequence('posthouse.accounts', 'account_id'));
	ELSIF v.kind <> p_kind THEN
		RAISE EXCEPTION 'account "%" is of kind %: remove it first, or choose another name', p_name, v.kind;
	END IF;
	RETURN v.account_id;
END $$;

CREATE OR REPLACE FUNCTION posthouse.put_account(
	p_id bigint, p_name text, p_kind text, p_base_url text, p_sealed bytea, p_key_id bytea, p_max_streams int,
	p_weight int, p_priority int, p_models text[], p_token_url text, p_max_used_percent int DEFAULT NULL)
RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
DECLARE
	v_result text := 'updated';
BEGIN
	/*
	 * First, or two of one login could wait for each other: one for the topic, which the other holds, and that one for the
	 * row whose identity it would take.
	 */
	PERFORM FROM posthouse.topics t WHERE t.topic = 'accounts' FOR UPDATE;
	UPDATE posthouse.accounts a SET base_url = coalesce(p_base_url, a.base_url),
		max_streams = coalesce(p_max_streams, a.max_streams), weight = coalesce(p_weight, a.weight),
		priority = coalesce(p_priority, a.priority), models = coalesce(p_models, a.models),
		token_url = coalesce(p_token_url, a.token_url),
		max_used_percent = coalesce(p_max_used_percent, a.max_used_percent), updated = now(),
		identity = CASE WHEN p_sealed IS NULL THEN a.identity END, plan = CASE WHEN p_sealed IS NULL THEN a.plan END
	WHERE a.account_id = p_id AND a.name = p_name AND a.kind = p_kind AND a.state <> 'removed';
	IF NOT FOUND THEN
		IF EXISTS (SELECT FROM posthouse.accounts a WHERE a.account_id = p_id)
			OR EXISTS (SELECT FROM posthouse.accounts a WHERE a.name = p_name AND a.state <> 'removed') THEN
			RAISE EXCEPTION 'account "%" was changed by someone else at the same moment: try again', p_name;
		END IF;
		INSERT INTO posthouse.accounts (account_id, name, kind, base_url, max_streams, weight, priority, models, token_url,
			max_used_percent)
		VALUES (p_id, p_name, p_kind, p_base_url, p_max_streams, coalesce(p_weight, 1), coalesce(p_priority, 0),
			p_models, p_token_url, p_max_used_percent);
		v_result := 'added';
	END IF;
	IF p_sealed IS NOT NULL THEN
		INSERT INTO posthouse.account_secrets AS s (account_id, sealed, key_id) VALUES (p_id, p_sealed, p_key_id)
		ON CONFLICT (account_id) DO UPDATE SET sealed = excluded.sealed, key_id = excluded.key_id, version = s.version + 1,
			updated = now();
		/* Whatever became of the old tokens says nothing of the new ones. */
		UPDATE posthouse.account_refresh r SET node_id = NULL, claimed_until = NULL, rests_until = NULL, failures = 0
		WHERE r.account_id = p_id;
	END IF;
	PERFORM posthouse.clear_health(p_id, 'put_account');
	PERFORM posthouse.forget_models(p_id);
	PERFORM posthouse.note(CASE v_result WHEN 'added' THEN 'add_account' ELSE 'update_account' END, p_name, NULL);
	PERFORM posthouse.bump('accounts');
	RETURN v_result;
END $$;

/*
 * Where a login belongs. One that is there keeps its account, whatever its name: two rows of one login would spend the
 * same refresh token. Else the account p_name, or for the second and later ones of a call (p_number) the first of
 * p_name-2 ... that is free: no other login is replaced by a name that nobody wrote. p_identity NULL: unknown.
 */
CREATE OR REPLACE FUNCTION posthouse.account_for_login(p_name text, p_number int, p_identity text)
RETURNS TABLE (account_id bigint, name text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_name text := p_name;
	v_number int := p_number;
BEGIN
	RETURN QUERY SELECT a.account_id, a.name FROM posthouse.accounts a
		WHERE a.identity = p_identity AND a.state <> 'removed';
	IF FOUND THEN
		RETURN;
	END IF;
	IF p_number > 1 THEN
		v_name := p_name || '-' || v_number;
		WHILE EXISTS (SELECT FROM posthouse.accounts a WHERE a.name = v_name AND a.state <> 'removed') LOOP
			v_number := v_number + 1;
			v_name := p_name || '-' || v_number;
		END LOOP;
	END IF;
	RETURN QUERY SELECT posthouse.account_id_for(v_name, 'codex'), v_name;
END $$;

/* put_account with the secret of a login: whose it is and its plan, as its tokens say. */
CREATE OR REPLACE FUNCTION posthouse.put_login(
	p_id bigint, p_name text, p_kind text, p_base_url text, p_sealed bytea, p_key_id bytea, p_max_streams int,
	p_weight int, p_priority int, p_models text[], p_token_url text, p_identity text, p_plan text,
	p_max_used_percent int DEFAULT NULL)
RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
DECLARE
	v_result text := posthouse.put_account(p_id, p_name, p_kind, p_base_url, p_sealed, p_key_id, p_max_streams, p_weight,
		p_priority, p_models, p_token_url, p_max_used_percent);
BEGIN
	UPDATE posthouse.accounts a SET identity = p_identity, plan = p_plan WHERE a.account_id = p_id;
	RETURN v_result;
EXCEPTION WHEN unique_violation THEN
	RAISE EXCEPTION 'account "%", or one of the same login, was added by someone else at the same moment: try again', p_name;
END $$;

/* The row stays, without its secret: snapshots and the request log name it. */
CREATE OR REPLACE FUNCTION posthouse.remove_account(p_name text, p_reason text) RETURNS bool
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
DECLARE
	v_id bigint;
BEGIN
	UPDATE posthouse.accounts a SET state = 'removed', updated = now()
	WHERE a.name = p_name AND a.state <> 'removed' RETURNING a.account_id INTO v_id;
	IF NOT FOUND THEN
		RETURN false;
	END IF;
	DELETE FROM posthouse.account_secrets s WHERE s.account_id = v_id;
	DELETE FROM posthouse.account_health h WHERE h.account_id = v_id;
	PERFORM posthouse.forget_models(v_id);
	PERFORM posthouse.note('remove_account', p_name, p_reason);
	PERFORM posthouse.bump('accounts');
	RETURN true;
END $$;

CREATE OR REPLACE FUNCTION posthouse.note(p_verb text, p_object text, p_reason text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
	INSERT INTO posthouse.audit (verb, object, reason) VALUES (p_verb, p_object, nullif(p_reason, ''))
$$;
