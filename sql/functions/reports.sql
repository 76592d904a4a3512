/* SPDX-License-Identifier: Apache-2.0 */
/* What a node finds out about itself, for operators. */

/*
 * What only the database can tell it: the clock, the other programs that live, how many days after today have their
 * partitions, how full the queue of notifications is (0 to 1).
 */
CREATE OR REPLACE FUNCTION posthouse.node_facts(p_node uuid, OUT now_us bigint, OUT versions text[], OUT days_ahead int,
	OUT notify_queue float8)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
	SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
		ARRAY(SELECT DISTINCT n.version FROM posthouse.nodes n
			WHERE n.node_id <> p_node AND n.heartbeat + n.ttl > clock_timestamp() ORDER BY n.version),
		(SELECT min(p.until) - (clock_timestamp() AT TIME ZONE 'UTC')::date
			FROM (SELECT max(x.day) AS until FROM posthouse.partitions x GROUP BY x.parent) p),
		pg_notification_queue_usage()
$$;

/* An array of objects with the members check, status (ok, warn or fail), detail and remedy. */
CREATE OR REPLACE FUNCTION posthouse.report_node(p_node uuid, p_report jsonb) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
	UPDATE posthouse.nodes n SET report = p_report WHERE n.node_id = p_node
$$;
