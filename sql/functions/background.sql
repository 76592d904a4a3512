/* SPDX-License-Identifier: Apache-2.0 */
/* Turns in the background: from their first event, or answer, to their snapshot, which is commit_turn()'s. */

/* Whose the id is, and what the turn holds so far. Idempotent. */
CREATE OR REPLACE FUNCTION posthouse.begin_background(
	p_scope bigint, p_id text, p_turn uuid, p_account bigint, p_keep bool, p_class int, p_model text,
	p_parent_id text, p_parent_day date, p_parent_class int, p_parent_until date, p_parent_flags int, p_parent_depth int,
	p_fold bool, p_partial bool, p_codec int, p_input bytea, p_runs bytea)
RETURNS void
LANGUAGE plpgsql VOLATILE SET plan_cache_mode = force_generic_plan AS $$
DECLARE
	today date := (now() AT TIME ZONE 'UTC')::date;
BEGIN
	PERFORM set_config('posthouse.scope', p_scope::text, true);
	INSERT INTO posthouse.resource_owners (scope, account_id, day, id)
	VALUES (p_scope, p_account, today, p_id) ON CONFLICT (scope, id, day) DO NOTHING;
	INSERT INTO posthouse.background_turns (scope, account_id, day, parent_day, parent_until, parent_flags, parent_depth,
		class, parent_class, codec, keep, fold, partial, turn, id, parent_id, model, runs, input)
	VALUES (p_scope, p_account, today, p_parent_day, p_parent_until, p_parent_flags, p_parent_depth, p_class,
		p_parent_class, p_codec, p_keep, p_fold, p_partial, p_turn, p_id, p_parent_id, p_model, p_runs, p_input)
	ON CONFLICT (scope, id) DO NOTHING;
END $$;

/* Nothing for a response that was deleted. */
CREATE OR REPLACE FUNCTION posthouse.find_background(p_scope bigint, p_id text)
RETURNS TABLE (account_id bigint, turn uuid, keep bool, class int, model text, parent_id text, parent_day date,
	parent_class int, parent_until date, parent_flags int, parent_depth int, fold bool, partial bool, codec int,
	input bytea, runs bytea, ended bool)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
BEGIN
	PERFORM set_config('posthouse.scope', p_scope::text, true);
	RETURN QUERY
	SELECT b.account_id, b.turn, b.keep, b.class::int, b.model, b.parent_id, b.parent_day, b.parent_class::int,
		b.parent_until, b.parent_flags, b.parent_depth, b.fold, b.partial, b.codec::int, b.input, b.runs,
		b.ended
	FROM posthouse.background_turns b
	WHERE b.scope = p_scope AND b.id = p_id AND NOT EXISTS (SELECT FROM posthouse.resource_owners o
		WHERE o.scope = p_scope AND o.id = p_id AND o.hidden);
END $$;

CREATE OR REPLACE FUNCTION posthouse.end_background(p_scope bigint, p_id text) RETURNS void
LANGUAGE plpgsql VOLATILE SET plan_cache_mode = force_generic_plan AS $$
BEGIN
	PERFORM set_config('posthouse.scope', p_scope::text, true);
	UPDATE posthouse.background_turns b SET ended = true, input = NULL, runs = NULL
	WHERE b.scope = p_scope AND b.id = p_id AND NOT b.ended;
END $$;

/* Upstream keeps a response for 30 days. */
CREATE OR REPLACE FUNCTION posthouse.purge_background() RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
	DELETE FROM posthouse.background_turns b WHERE b.day < (clock_timestamp() AT TIME ZONE 'UTC')::date - 31
$$;
