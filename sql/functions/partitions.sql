/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Partitions: one per day, three days ahead, dropped as a whole when the last promise about them has passed. A
 * promise is noted in posthouse.partitions while rows can still go in, so a retention that is lowered later strands
 * nobody; one that is raised holds for days that have not ended.
 */

/* How many days after its own a row of that table is certainly there: twice the retention, for children that lean on it. */
CREATE OR REPLACE FUNCTION posthouse.keep_days(p_parent text) RETURNS int
LANGUAGE sql STABLE AS $$
	SELECT CASE
		WHEN p_parent IN ('snapshots_stored', 'snapshot_items_stored') THEN ceil(2 * r.stored / 86400)::int
		WHEN p_parent IN ('snapshots_unstored', 'snapshot_items_unstored') THEN ceil(2 * r.unstored / 86400)::int
		WHEN p_parent = 'resource_owners' THEN greatest(62, ceil(2 * r.stored / 86400)::int)
		ELSE ceil(r.log / 86400)::int END
	FROM (SELECT
		coalesce((SELECT value::float8 FROM posthouse.settings WHERE name = 'retention'), 30 * 86400) AS stored,
		coalesce((SELECT value::float8 FROM posthouse.settings WHERE name = 'retention_unstored'), 86400) AS unstored,
		coalesce((SELECT value::float8 FROM posthouse.settings WHERE name = 'request_log_retention'), 30 * 86400) AS log
	) r
$$;

/*
 * A table of its own, then attached: PARTITION OF would lock out every reader of the parent. Rows stay in one piece up
 * to a page: a turn of 4 KB in pieces costs twice the time to write and several times to read.
 */
CREATE OR REPLACE FUNCTION posthouse.create_partition(p_parent text, p_day date) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	part text := p_parent || '_' || to_char(p_day, 'YYYYMMDD');
BEGIN
	EXECUTE format('CREATE TABLE posthouse.%I (LIKE posthouse.%I INCLUDING ALL)', part, p_parent);
	EXECUTE format('ALTER TABLE posthouse.%I SET (toast_tuple_target = 8160)', part);
	EXECUTE format('ALTER TABLE posthouse.%I ATTACH PARTITION posthouse.%I FOR VALUES FROM (%L) TO (%L)',
		p_parent, part, p_day, p_day + 1);
	INSERT INTO posthouse.partitions (name, parent, day, keep_until)
	VALUES (part, p_parent, p_day, p_day + posthouse.keep_days(p_parent));
END $$;

/* The oldest one whose time has passed, if its lock is free: dropping needs the parent to itself for a moment. */
CREATE OR REPLACE FUNCTION posthouse.drop_partition(p_today date) RETURNS int
LANGUAGE plpgsql AS $$
DECLARE
	part text;
BEGIN
	FOR part IN SELECT p.name FROM posthouse.partitions p WHERE p.keep_until < p_today ORDER BY p.keep_until, p.name
	LOOP
		BEGIN
			EXECUTE format('DROP TABLE IF EXISTS posthouse.%I', part);
			DELETE FROM posthouse.partitions p WHERE p.name = part;
			RETURN 1;
		EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
			NULL; -- tried again next round; perhaps another one is free
		END;
	END LOOP;
	RETURN 0;
END $$;

/* At most one is dropped per call, so that turns wait for one short lock at most: call again while it drops. */
CREATE OR REPLACE FUNCTION posthouse.maintain(OUT created int, OUT dropped int)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, posthouse, pg_temp SET lock_timeout = '200ms' AS $$
DECLARE
	today date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
	parents text[] := ARRAY['snapshots_stored', 'snapshots_unstored', 'snapshot_items_stored', 'snapshot_items_unstored',
		'resource_owners', 'request_log'];
	missing record;
BEGIN
	created := 0;
	dropped := 0;
	IF NOT pg_try_advisory_xact_lock(hashtextextended('posthouse:4:partitions', 0)) THEN
		RETURN;
	END IF;
	FOR missing IN
		SELECT p.parent, today + d.ahead AS day FROM unnest(parents) AS p (parent), generate_series(0, 3) AS d (ahead)
		WHERE NOT EXISTS (SELECT FROM posthouse.partitions x WHERE x.parent = p.parent AND x.day = today + d.ahead)
		ORDER BY 2, 1
	LOOP
		PERFORM posthouse.create_partition(missing.parent, missing.day);
		created := created + 1;
	END LOOP;
	PERFORM posthouse.keep_promises();
	PERFORM posthouse.purge_background();
	dropped := posthouse.drop_partition(today);
END $$;

/* What goes in from now on is promised the retention that holds now; older promises stay as they were made. */
CREATE OR REPLACE FUNCTION posthouse.keep_promises() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
	UPDATE posthouse.partitions p SET keep_until = p.day + posthouse.keep_days(p.parent)
	WHERE p.day >= (clock_timestamp() AT TIME ZONE 'UTC')::date AND p.keep_until < p.day + posthouse.keep_days(p.parent)
$$;
