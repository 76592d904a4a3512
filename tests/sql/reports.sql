/* SPDX-License-Identifier: Apache-2.0 */
/* What a node says of itself, and what only the database can tell it. */
SET SESSION AUTHORIZATION posthouse_node;
CREATE FUNCTION pg_temp.node(n int) RETURNS uuid LANGUAGE sql AS $$ SELECT ('00000000-0000-0000-0000-00000000000' || n)::uuid $$;

DO $$
DECLARE
	r record;
BEGIN
	PERFORM posthouse.register_node(pg_temp.node(1), 'a', '0.2.0', 9000);
	SELECT * INTO r FROM posthouse.node_facts(pg_temp.node(1));
	ASSERT abs(r.now_us / 1000000.0 - extract(epoch FROM clock_timestamp())) < 5, r;
	ASSERT r.versions = '{}', r; -- its own is no other
	ASSERT r.days_ahead = 3 AND r.notify_queue BETWEEN 0 AND 0.5, r;
	PERFORM posthouse.register_node(pg_temp.node(2), 'b', '0.1.0', 9000);
	PERFORM posthouse.register_node(pg_temp.node(3), 'c', '0.1.0', 9000);
	PERFORM posthouse.register_node(pg_temp.node(4), 'd', '0.0.9', 0); -- silent at once
	SELECT * INTO r FROM posthouse.node_facts(pg_temp.node(1));
	ASSERT r.versions = '{0.1.0}', r;
END $$;

DO $$
BEGIN
	PERFORM posthouse.report_node(pg_temp.node(1), '[{"check": "clock", "status": "ok", "detail": "x", "remedy": null}]');
	PERFORM posthouse.report_node(pg_temp.node(9), '[]'); -- one that was forgotten
	ASSERT (SELECT n.report -> 0 ->> 'check' FROM posthouse_admin.nodes n WHERE n.name = 'a') = 'clock';
	ASSERT (SELECT n.report IS NULL FROM posthouse_admin.nodes n WHERE n.name = 'b');
	PERFORM posthouse.report_node(pg_temp.node(1), '[]');
	ASSERT (SELECT n.report = '[]' FROM posthouse_admin.nodes n WHERE n.name = 'a');
END $$;
