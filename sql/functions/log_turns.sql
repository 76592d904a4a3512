/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Turns of which nothing is kept but their row in the request log: one call for many of them, one element of each array
 * per turn, for a third of what commit_turn() takes. Idempotent by the turn's id: a call may come again with more turns
 * or fewer. The plan is pinned to the index, because it is made while a day's table is empty, and kept. Owner rows are written as commit_turn() writes them for ids that no upstream keeps, scope by scope, because
 * row-level security sees one at a time.
 */
CREATE OR REPLACE FUNCTION posthouse.log_turns(
	p_turn uuid[], p_node text[], p_scope bigint[], p_request_id text[], p_route text[], p_model text[],
	p_account bigint[], p_continuity text[], p_outcome text[], p_status int[], p_error text[], p_attempts int[],
	p_hops int[], p_chain_bytes bigint[], p_stream bool[], p_duration_us bigint[], p_first_event_us bigint[],
	p_bytes_in bigint[], p_bytes_out bigint[], p_input_tokens bigint[], p_cached_tokens bigint[],
	p_output_tokens bigint[], p_reasoning_tokens bigint[], p_cost_nanos bigint[], p_queued_us bigint[], p_transport text[],
	p_chosen text[], p_anchor text[], p_limited uuid[], p_response_id text[])
RETURNS void
LANGUAGE plpgsql VOLATILE SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
DECLARE
	today date := (now() AT TIME ZONE 'UTC')::date;
	known uuid[] := ARRAY(SELECT l.turn FROM posthouse.request_log l
		WHERE l.turn = ANY (p_turn) AND l.day IN (today, today - 1));
	v_scope bigint;
BEGIN
	INSERT INTO posthouse.request_log (scope, account_id, started, duration_us, first_event_us, bytes_in, bytes_out,
		chain_bytes, input_tokens, cached_tokens, output_tokens, day, status, attempts, hops, stream, turn, node,
		request_id, route, model, continuity, outcome, error, response_id, queued_us, reasoning_tokens, cost_nanos,
		transport, chosen, parent_id)
	SELECT t.scope, t.account, now() - t.duration_us * interval '1 microsecond', t.duration_us, t.first_event_us,
		t.bytes_in, t.bytes_out, t.chain_bytes, t.input_tokens, t.cached_tokens, t.output_tokens, today, t.status,
		t.attempts, t.hops, t.stream, t.turn, t.node, t.request_id, t.route, t.model, t.continuity, t.outcome,
		t.error, t.response_id, t.queued_us, t.reasoning_tokens, t.cost_nanos, t.transport, t.chosen, t.anchor
	FROM unnest(p_turn, p_node, p_scope, p_request_id, p_route, p_model, p_account, p_continuity, p_outcome, p_status,
		p_error, p_attempts, p_hops, p_chain_bytes, p_stream, p_duration_us, p_first_event_us, p_bytes_in,
		p_bytes_out, p_input_tokens, p_cached_tokens, p_output_tokens, p_reasoning_tokens, p_cost_nanos, p_queued_us,
		p_transport, p_chosen, p_anchor, p_response_id)
		AS t (turn, node, scope, request_id, route, model, account, continuity, outcome, status, error, attempts,
		hops, chain_bytes, stream, duration_us, first_event_us, bytes_in, bytes_out, input_tokens, cached_tokens,
		output_tokens, reasoning_tokens, cost_nanos, queued_us, transport, chosen, anchor, response_id)
	WHERE t.turn <> ALL (known);
	IF array_remove(p_limited, NULL) <> '{}' THEN
		PERFORM posthouse.settle_turns(array_agg(t.turn), array_agg(t.scope), array_agg(t.limited),
			array_agg(posthouse.is_counted(t.account, t.outcome, t.bytes_out)::int::bigint), array_agg(t.input_tokens),
			array_agg(t.output_tokens), array_agg(t.cost_nanos))
		FROM unnest(p_turn, p_scope, p_account, p_outcome, p_bytes_out, p_input_tokens, p_output_tokens, p_cost_nanos, p_limited)
			AS t (turn, scope, account, outcome, bytes_out, input_tokens, output_tokens, cost_nanos, limited)
		WHERE t.limited IS NOT NULL AND t.turn <> ALL (known)
		HAVING count(*) > 0;
	END IF;
	IF NOT EXISTS (SELECT FROM posthouse.accounts a WHERE a.kind = 'platform') THEN
		RETURN;
	END IF;
	FOR v_scope IN SELECT DISTINCT t.scope FROM unnest(p_scope, p_response_id) AS t (scope, id) WHERE t.id IS NOT NULL
	LOOP
		PERFORM set_config('posthouse.scope', v_scope::text, true);
		INSERT INTO posthouse.resource_owners (scope, account_id, day, id)
		SELECT v_scope, 0, today, t.id FROM unnest(p_scope, p_response_id) AS t (scope, id)
		WHERE t.scope = v_scope AND t.id IS NOT NULL ORDER BY t.id
		ON CONFLICT (scope, id, day) DO NOTHING;
	END LOOP;
END $$;
