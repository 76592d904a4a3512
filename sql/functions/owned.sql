/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What upstreams keep for a key until it deletes it: files, conversations, batches ... All within the caller's scope.
 * These rows have no day of their own: they stand in the lasting partition, and stay as long as the resource.
 */
CREATE OR REPLACE FUNCTION posthouse.own_ids(p_scope bigint, p_account bigint, p_kinds text[], p_ids text[]) RETURNS bool
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('posthouse.scope', p_scope::text, true);
	INSERT INTO posthouse.resource_owners (scope, account_id, day, id, kind, made)
	SELECT p_scope, p_account, 'infinity', u.id, u.kind, clock_timestamp()
	FROM unnest(p_ids, p_kinds) AS u (id, kind)
	ON CONFLICT (scope, id, day) DO NOTHING;
	RETURN true;
END $$;

/* Which account keeps each of these ids. Always one row more, without id: the account of the newest that the scope has. */
CREATE OR REPLACE FUNCTION posthouse.find_owned(p_scope bigint, p_ids text[])
RETURNS TABLE (id text, account_id bigint)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
	PERFORM set_config('posthouse.scope', p_scope::text, true);
	RETURN QUERY
	SELECT NULL::text, (SELECT o.account_id FROM posthouse.resource_owners o
		WHERE o.scope = p_scope AND o.day = 'infinity' AND o.made IS NOT NULL AND o.kind <> 'chat/completions'
		ORDER BY o.made DESC LIMIT 1)
	UNION ALL
	SELECT o.id, o.account_id FROM posthouse.resource_owners o
	WHERE o.scope = p_scope AND o.day = 'infinity' AND o.id = ANY (p_ids) AND NOT o.hidden;
END $$;

/*
 * A page of what the scope has of a kind at these accounts, in the order in which it was made: behind the id p_after, or
 * before p_before. A cursor that is not the scope's gives one row without id.
 */
CREATE OR REPLACE FUNCTION posthouse.list_owned(p_scope bigint, p_kind text, p_accounts bigint[], p_after text, p_before text,
	p_rising bool, p_limit int)
RETURNS TABLE (id text, account_id bigint)
LANGUAGE plpgsql STABLE SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
	v_cursor text := coalesce(p_after, p_before);
	v_up bool := p_rising = (p_before IS NULL); -- the way from the cursor
	v_made timestamptz;
BEGIN
	PERFORM set_config('posthouse.scope', p_scope::text, true);
	IF v_cursor IS NOT NULL THEN
		SELECT o.made INTO v_made FROM posthouse.resource_owners o
		WHERE o.scope = p_scope AND o.day = 'infinity' AND o.id = v_cursor AND o.kind = p_kind;
		IF v_made IS NULL THEN
			RETURN QUERY SELECT NULL::text, NULL::bigint;
			RETURN;
		END IF;
	END IF;
	IF v_up THEN
		RETURN QUERY
		SELECT p.id, p.account_id FROM (SELECT o.id, o.account_id, o.made FROM posthouse.resource_owners o
			WHERE o.scope = p_scope AND o.day = 'infinity' AND o.kind = p_kind AND o.account_id = ANY (p_accounts)
				AND NOT o.hidden AND (v_cursor IS NULL OR (o.made, o.id) > (v_made, v_cursor))
			ORDER BY o.made, o.id LIMIT p_limit) p
		ORDER BY CASE WHEN p_before IS NULL THEN p.made END, CASE WHEN p_before IS NULL THEN p.id END,
			p.made DESC, p.id DESC;
	ELSE
		RETURN QUERY
		SELECT p.id, p.account_id FROM (SELECT o.id, o.account_id, o.made FROM posthouse.resource_owners o
			WHERE o.scope = p_scope AND o.day = 'infinity' AND o.kind = p_kind AND o.account_id = ANY (p_accounts)
				AND NOT o.hidden AND (v_cursor IS NULL OR (o.made, o.id) < (v_made, v_cursor))
			ORDER BY o.made DESC, o.id DESC LIMIT p_limit) p
		ORDER BY CASE WHEN p_before IS NOT NULL THEN p.made END, CASE WHEN p_before IS NOT NULL THEN p.id END,
			p.made DESC, p.id DESC;
	END IF;
END $$;

/* It was deleted upstream. As the owner, since nodes delete nothing by themselves; row-level security holds for it too. */
CREATE OR REPLACE FUNCTION posthouse.disown_ids(p_scope bigint, p_ids text[]) RETURNS bool
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
BEGIN
	PERFORM set_config('posthouse.scope', p_scope::text, true);
	DELETE FROM posthouse.resource_owners o WHERE o.scope = p_scope AND o.day = 'infinity' AND o.id = ANY (p_ids);
	RETURN true;
END $$;
