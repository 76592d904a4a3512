/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a turn: snapshot, owner rows, item index, request log and the key's reservation in one call. Tens of thousands of calls per
 * second end here: one INSERT per table, no loop, no exception block.
 *
 * An id is unique per scope, but no key of a partitioned table can say so across days and classes. So the commit takes
 * a lock on (scope, id), in a statement of its own because the next one's snapshot must be newer, and looks today and
 * yesterday; for a short id, which upstream may draw again after days, it looks everywhere.
 */
CREATE OR REPLACE FUNCTION posthouse.commit_turn(
	p_turn uuid, p_node text, p_scope bigint, p_request_id text, p_route text, p_model text, p_account bigint,
	p_continuity text, p_outcome text, p_status int, p_error text, p_attempts int, p_hops int, p_chain_bytes bigint,
	p_stream bool, p_duration_us bigint, p_first_event_us bigint, p_bytes_in bigint, p_bytes_out bigint,
	p_input_tokens bigint, p_cached_tokens bigint, p_output_tokens bigint, p_reasoning_tokens bigint, p_cost_nanos bigint,
	p_queued_us bigint, p_transport text, p_chosen text, p_anchor text, p_limited uuid,
	p_response_id text, p_keep bool, p_stored_upstream bool, p_class int,
	p_parent_id text, p_parent_day date, p_parent_class int, p_parent_until date,
	p_flags int, p_turn_status text, p_depth int,
	p_codec int, p_input bytea, p_output bytea, p_runs bytea, p_envelope bytea,
	p_item_ids text[],
	OUT result text, OUT chain_until date)
LANGUAGE plpgsql VOLATILE SET plan_cache_mode = force_generic_plan AS $$
DECLARE
	today date := (now() AT TIME ZONE 'UTC')::date;
	scope_text text := set_config('posthouse.scope', p_scope::text, true);
	kept bool := p_response_id IS NOT NULL AND p_keep;
	upstream bool := p_response_id IS NOT NULL AND p_stored_upstream AND p_account IS NOT NULL;
	there_turn uuid; -- the row that has this id already
	there_class smallint;
	there_day date;
	there_until date;
BEGIN
	result := 'ok';
	/* As expressions, not queries, the lock and the scope cost a tenth. IS NULL: the lock's value is void. */
	IF kept AND pg_advisory_xact_lock(hashtextextended('posthouse:3:' || scope_text || ':' || p_response_id, 0)) IS NULL
	THEN
		RETURN;
	END IF;
	IF kept AND length(p_response_id) >= 24 THEN
		SELECT s.turn, s.class, s.day, s.chain_until INTO there_turn, there_class, there_day, there_until
		FROM posthouse.snapshots s
		WHERE s.scope = p_scope AND s.response_id = p_response_id AND s.day IN (today, today - 1) LIMIT 1;
	ELSIF kept THEN
		SELECT s.turn, s.class, s.day, s.chain_until INTO there_turn, there_class, there_day, there_until
		FROM posthouse.snapshots s
		WHERE s.scope = p_scope AND s.response_id = p_response_id LIMIT 1;
	END IF;

	IF there_turn = p_turn THEN
		result := 'duplicate';
		chain_until := there_until;
		RETURN;
	ELSIF there_turn IS NOT NULL THEN
		result := 'conflict';
		UPDATE posthouse.snapshots s SET flags = s.flags | 16::smallint
		WHERE s.scope = p_scope AND s.response_id = p_response_id AND s.class = there_class AND s.day = there_day
			AND s.flags & 16 = 0;
	END IF;
	IF (NOT kept OR result = 'conflict')
		AND EXISTS (SELECT FROM posthouse.request_log l WHERE l.turn = p_turn AND l.day IN (today, today - 1)) THEN
		result := CASE result WHEN 'ok' THEN 'duplicate' ELSE result END;
		RETURN;
	END IF;

	INSERT INTO posthouse.request_log (scope, account_id, started, duration_us, first_event_us, bytes_in, bytes_out,
		chain_bytes, input_tokens, cached_tokens, output_tokens, day, status, attempts, hops, stream, turn, node,
		request_id, route, model, continuity, outcome, error, response_id, queued_us, reasoning_tokens, cost_nanos,
		transport, chosen, parent_id)
	VALUES (p_scope, p_account, now() - p_duration_us * interval '1 microsecond', p_duration_us, p_first_event_us,
		p_bytes_in, p_bytes_out, p_chain_bytes, p_input_tokens, p_cached_tokens, p_output_tokens, today, p_status,
		p_attempts, p_hops, p_stream, p_turn, p_node, p_request_id, p_route, p_model, p_continuity, p_outcome,
		p_error, p_response_id, p_queued_us, p_reasoning_tokens, p_cost_nanos, p_transport, p_chosen, p_anchor);
	IF p_limited IS NOT NULL THEN
		PERFORM posthouse.settle_turns(ARRAY[p_turn], ARRAY[p_scope], ARRAY[p_limited],
			ARRAY[posthouse.is_counted(p_account, p_outcome, p_bytes_out)::int::bigint], ARRAY[p_input_tokens],
			ARRAY[p_output_tokens], ARRAY[p_cost_nanos]);
	END IF;
	IF upstream AND result = 'ok' THEN
		INSERT INTO posthouse.resource_owners (scope, account_id, day, id)
		VALUES (p_scope, p_account, today, p_response_id) ON CONFLICT (scope, id, day) DO NOTHING;
	ELSIF p_response_id IS NOT NULL AND result = 'ok'
		AND EXISTS (SELECT FROM posthouse.accounts a WHERE a.kind = 'platform') THEN
		/* No upstream keeps it, but it is somebody's: another key's use of it must not be asked of a shared account. */
		INSERT INTO posthouse.resource_owners (scope, account_id, day, id)
		VALUES (p_scope, 0, today, p_response_id) ON CONFLICT (scope, id, day) DO NOTHING;
	END IF;
	IF upstream AND NOT p_keep AND p_item_ids <> '{}' THEN
		INSERT INTO posthouse.resource_owners (scope, account_id, day, id)
		SELECT p_scope, p_account, today, i.id FROM unnest(p_item_ids) AS i (id) WHERE i.id <> ''
		ON CONFLICT (scope, id, day) DO NOTHING;
	END IF;
	IF NOT kept OR result = 'conflict' THEN
		RETURN;
	END IF;

	/* A turn on a socket that went on without asking names its parent by id alone. */
	IF p_parent_id IS NOT NULL AND p_parent_day IS NULL THEN
		SELECT s.day, s.class, s.chain_until INTO p_parent_day, p_parent_class, p_parent_until
		FROM posthouse.snapshots s
		WHERE s.scope = p_scope AND s.response_id = p_parent_id AND s.day IN (today, today - 1) AND s.flags & 24 = 0
		LIMIT 1;
		IF NOT FOUND THEN
			p_parent_id := NULL;
			p_flags := p_flags | 2;
		END IF;
	END IF;

	INSERT INTO posthouse.snapshots AS s (scope, account_id, created, day, parent_day, chain_until, depth, class,
		parent_class, flags, codec, turn, response_id, parent_id, turn_status, model, runs, input, output, envelope)
	VALUES (p_scope, p_account, now(), today, p_parent_day,
		least(p_parent_until, today + coalesce((SELECT ceil(2 * v.value::float8 / 86400)::int FROM posthouse.settings v
			WHERE v.name = CASE p_class WHEN 0 THEN 'retention' ELSE 'retention_unstored' END),
			CASE p_class WHEN 0 THEN 60 ELSE 2 END)), p_depth, p_class, p_parent_class, p_flags,
		p_codec, p_turn, p_response_id, p_parent_id, p_turn_status, p_model, p_runs, p_input, p_output, p_envelope)
	RETURNING s.chain_until INTO chain_until;
	IF p_item_ids <> '{}' THEN
		INSERT INTO posthouse.snapshot_items (scope, day, class, position, item_id, response_id)
		SELECT p_scope, today, p_class, i.n - 1, i.id, p_response_id
		FROM unnest(p_item_ids) WITH ORDINALITY AS i (id, n) WHERE i.id <> '';
	END IF;
END $$;
