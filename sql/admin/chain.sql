/* SPDX-License-Identifier: Apache-2.0 */
/* A conversation as operators see it: sizes and places, never bodies. */
CREATE OR REPLACE FUNCTION posthouse_admin.chain(key_name text, response_id text)
RETURNS TABLE (hop int, response text, parent text, account text, model text, status text, day date, class text,
	flags text, depth int, input_bytes int, output_bytes int, created timestamptz, chain_until date)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp
SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE
	v_scope bigint;
BEGIN
	SELECT k.key_id INTO v_scope FROM posthouse.api_keys k WHERE k.name = chain.key_name;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'there is no key named "%"', chain.key_name;
	END IF;
	RETURN QUERY
	WITH RECURSIVE walk AS (
		SELECT 1 AS hop, s.* FROM posthouse.snapshots s
		WHERE s.scope = v_scope AND s.response_id = chain.response_id
		UNION ALL
		SELECT w.hop + 1, p.* FROM walk w, LATERAL (
			SELECT s.* FROM posthouse.snapshots s
			WHERE s.scope = v_scope AND s.response_id = w.parent_id AND s.class = w.parent_class AND s.day = w.parent_day
			OFFSET 0) p
		WHERE w.hop < 10000
	)
	SELECT w.hop, w.response_id, w.parent_id, a.name, w.model, w.turn_status, w.day,
		CASE w.class WHEN 0 THEN 'stored' ELSE 'unstored' END,
		(SELECT string_agg(f.name, ',' ORDER BY f.bit) FROM (VALUES (1, 'stored upstream'), (2, 'partial'),
			(4, 'self-contained'), (8, 'hidden'), (16, 'ambiguous'), (128, 'compaction')) AS f (bit, name) WHERE w.flags & f.bit <> 0),
		w.depth, octet_length(w.input), octet_length(w.output), w.created, w.chain_until
	FROM walk w LEFT JOIN posthouse.accounts a ON a.account_id = w.account_id
	ORDER BY w.hop;
END $$;
COMMENT ON FUNCTION posthouse_admin.chain(text, text) IS
	'The turns of a conversation, newest first. key_name: whose conversation; response_id: its newest response';
