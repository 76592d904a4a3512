/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The renewal of an account's tokens. A refresh token works once: who uses it a second time has the whole login revoked.
 * So one node at a time has the claim, and what comes of it is written by compare-and-set on the version of the secret that
 * was used. All times are made here, on this clock; every function begins with the lock on the account's row, as put_account
 * does; no transaction is open while upstream is asked.
 */

/*
 * result: claimed (epoch: of the claim); changed (the secret is another one than p_version: here it is); held (by another
 * node) or resting, for wait_ms. No row: the account or its secret is gone.
 */
CREATE OR REPLACE FUNCTION posthouse.claim_refresh(p_account bigint, p_version bigint, p_node uuid, p_hold_ms bigint)
RETURNS TABLE (result text, epoch bigint, wait_ms bigint, sealed bytea, secret_version bigint, token_url text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
#variable_conflict use_column
DECLARE
	a posthouse.accounts;
	s posthouse.account_secrets;
	r posthouse.account_refresh;
	v_now timestamptz;
	v_wait timestamptz;
	v_result text := 'claimed';
BEGIN
	SELECT t.* INTO a FROM posthouse.accounts t
	WHERE t.account_id = p_account AND t.state <> 'removed' FOR NO KEY UPDATE;
	SELECT t.* INTO s FROM posthouse.account_secrets t WHERE t.account_id = a.account_id;
	IF s.account_id IS NULL THEN
		RETURN;
	END IF;
	INSERT INTO posthouse.account_refresh (account_id, version) VALUES (p_account, 0) ON CONFLICT DO NOTHING;
	SELECT t.* INTO r FROM posthouse.account_refresh t WHERE t.account_id = p_account;
	v_now := clock_timestamp();
	IF s.version <> p_version THEN
		v_result := 'changed';
	ELSIF r.claimed_until > v_now AND r.node_id <> p_node THEN
		v_result := 'held';
		v_wait := r.claimed_until;
	ELSIF r.rests_until > v_now THEN
		v_result := 'resting';
		v_wait := r.rests_until;
	ELSE
		UPDATE posthouse.account_refresh t SET node_id = p_node,
			claimed_until = v_now + p_hold_ms * interval '1 millisecond', version = t.version + 1
		WHERE t.account_id = p_account RETURNING t.version INTO r.version;
	END IF;
	RETURN QUERY SELECT v_result, r.version,
		coalesce(ceil(extract(epoch FROM v_wait - v_now) * 1000)::bigint, 0), s.sealed, s.version, a.token_url;
END $$;

/* Gives the claim back, if it still is this one; the next is had after p_rest_ms, which each of p_failures doubles. */
CREATE OR REPLACE FUNCTION posthouse.release_refresh(p_account bigint, p_node uuid, p_epoch bigint, p_failed bool,
	p_rest_ms bigint, p_most_ms bigint) RETURNS bool
LANGUAGE plpgsql AS $$
BEGIN
	UPDATE posthouse.account_refresh r SET node_id = NULL, claimed_until = NULL,
		failures = CASE WHEN p_failed THEN r.failures + 1 ELSE 0 END,
		renewed = CASE WHEN p_failed THEN r.renewed ELSE clock_timestamp() END,
		rests_until = clock_timestamp() + interval '1 millisecond'
			* least(p_rest_ms * CASE WHEN p_failed THEN 2 ^ least(r.failures, 20) ELSE 1 END, p_most_ms)
	WHERE r.account_id = p_account AND r.node_id = p_node AND r.version = p_epoch;
	RETURN FOUND;
END $$;

/*
 * The new tokens. They are taken also from a node whose claim has lapsed meanwhile, if nobody else was faster: the old ones
 * are spent. False: the secret was replaced by other means, and stays as it is.
 */
CREATE OR REPLACE FUNCTION posthouse.finish_refresh(p_account bigint, p_version bigint, p_node uuid, p_epoch bigint,
	p_sealed bytea, p_key_id bytea, p_rest_ms bigint) RETURNS bool
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
DECLARE
	v_done bool;
BEGIN
	PERFORM FROM posthouse.accounts a WHERE a.account_id = p_account FOR NO KEY UPDATE;
	UPDATE posthouse.account_secrets s SET sealed = p_sealed, key_id = p_key_id, version = s.version + 1,
		updated = clock_timestamp()
	WHERE s.account_id = p_account AND s.version = p_version;
	v_done := FOUND;
	PERFORM posthouse.release_refresh(p_account, p_node, p_epoch, false, p_rest_ms, p_rest_ms);
	IF v_done THEN
		PERFORM posthouse.bump('accounts');
	END IF;
	RETURN v_done;
END $$;

/*
 * No new tokens. p_reason NULL: it may pass. Else the login has ended, and the account needs a person; but not where the
 * claim was lost, or the secret is another one by now: then nothing is known of that one.
 */
CREATE OR REPLACE FUNCTION posthouse.fail_refresh(p_account bigint, p_version bigint, p_node uuid, p_epoch bigint,
	p_reason text, p_node_name text, p_rest_ms bigint, p_most_ms bigint) RETURNS bool
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
DECLARE
	h posthouse.account_health;
	v_mine bool;
BEGIN
	PERFORM FROM posthouse.accounts a WHERE a.account_id = p_account FOR NO KEY UPDATE;
	v_mine := posthouse.release_refresh(p_account, p_node, p_epoch, true, p_rest_ms, p_most_ms);
	IF p_reason IS NULL OR NOT v_mine OR NOT EXISTS (SELECT FROM posthouse.account_secrets s
		WHERE s.account_id = p_account AND s.version = p_version) THEN
		RETURN false;
	END IF;
	h := posthouse.lock_health(p_account);
	IF h.account_id IS NULL OR posthouse.severity(h.state) >= posthouse.severity('reauth') THEN
		RETURN false;
	END IF;
	UPDATE posthouse.account_health u SET state = 'reauth', until = NULL, reason = p_reason,
		evidence = 'the refresh token was refused', node = p_node_name, version = u.version + 1, changed = clock_timestamp()
	WHERE u.account_id = p_account;
	PERFORM posthouse.bump('accounts');
	RETURN true;
END $$;
