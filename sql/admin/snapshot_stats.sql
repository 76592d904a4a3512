/* SPDX-License-Identifier: Apache-2.0 */
/* What the conversations take. From PostgreSQL's own statistics and the sizes of files: no row of them is read. */
CREATE OR REPLACE VIEW posthouse_admin.snapshot_stats WITH (security_barrier) AS
SELECT p.day, CASE p.parent WHEN 'snapshots_stored' THEN 'stored' ELSE 'unstored' END AS class,
	greatest(pg_stat_get_live_tuples(c.oid), c.reltuples::bigint, 0) AS turns,
	pg_total_relation_size(c.oid) AS bytes, coalesce(pg_total_relation_size(i.oid), 0) AS item_bytes,
	p.keep_until, greatest(p.keep_until - (clock_timestamp() AT TIME ZONE 'UTC')::date, 0) AS days_left,
	pg_stat_get_dead_tuples(c.oid) AS dead_turns, p.created
FROM posthouse.partitions p
JOIN pg_catalog.pg_class c ON c.relname = p.name AND c.relnamespace = 'posthouse'::regnamespace
LEFT JOIN pg_catalog.pg_class i ON i.relname = replace(p.name, 'snapshots_', 'snapshot_items_')
	AND i.relnamespace = 'posthouse'::regnamespace
WHERE p.parent IN ('snapshots_stored', 'snapshots_unstored')
ORDER BY p.day, 2;
COMMENT ON VIEW posthouse_admin.snapshot_stats IS
	'What the stored conversations take, by day and retention class. Cheap at any size: from statistics and sizes of files';
COMMENT ON COLUMN posthouse_admin.snapshot_stats.day IS 'Day (UTC) on which the turns ended';
COMMENT ON COLUMN posthouse_admin.snapshot_stats.class IS 'stored, or unstored: turns with store:false';
COMMENT ON COLUMN posthouse_admin.snapshot_stats.turns IS 'Turns, as PostgreSQL estimates them';
COMMENT ON COLUMN posthouse_admin.snapshot_stats.bytes IS 'Bytes of the turns and their index';
COMMENT ON COLUMN posthouse_admin.snapshot_stats.item_bytes IS 'Bytes of the list that finds items by id';
COMMENT ON COLUMN posthouse_admin.snapshot_stats.keep_until IS 'The last day on which all of it is there: a promise, which a lower retention does not break';
COMMENT ON COLUMN posthouse_admin.snapshot_stats.days_left IS 'How many days that is from today; 0: it is dropped as soon as nobody reads it';
COMMENT ON COLUMN posthouse_admin.snapshot_stats.dead_turns IS 'Turns that were purged or changed, whose space autovacuum has yet to free';
COMMENT ON COLUMN posthouse_admin.snapshot_stats.created IS 'When its place was made';
