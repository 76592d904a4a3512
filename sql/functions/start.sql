/* SPDX-License-Identifier: Apache-2.0 */
/* What a node asks when it starts, and the topics that it follows. */
CREATE OR REPLACE FUNCTION posthouse.hello(OUT schema_version int, OUT needs_version int, OUT today date,
	OUT server_version int, OUT retention_days float8, OUT retention_unstored_days float8, OUT strategy text)
LANGUAGE sql STABLE AS $$
	SELECT (SELECT coalesce(max(m.version), 0) FROM posthouse.schema_migrations m),
		(SELECT coalesce(max(m.version), 0) FROM posthouse.schema_migrations m WHERE m.contracting),
		(now() AT TIME ZONE 'UTC')::date, current_setting('server_version_num')::int,
		coalesce((SELECT s.value::float8 FROM posthouse.settings s WHERE s.name = 'retention'), 30 * 86400) / 86400,
		coalesce((SELECT s.value::float8 FROM posthouse.settings s WHERE s.name = 'retention_unstored'), 86400) / 86400,
		coalesce((SELECT s.value FROM posthouse.settings s WHERE s.name = 'strategy'), 'least_loaded')
$$;

/* Every key that a node brings is registered once one of them is known, so that keys can be rotated. */
CREATE OR REPLACE FUNCTION posthouse.check_master_key(p_ids bytea[]) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
DECLARE
	verdict text;
BEGIN
	LOCK TABLE posthouse.master_keys IN SHARE ROW EXCLUSIVE MODE; -- two nodes that start first, with two keys
	SELECT CASE WHEN count(*) = 0 THEN 'registered' WHEN bool_or(m.key_id = ANY (p_ids)) THEN 'ok'
		ELSE 'unknown ' || string_agg(encode(m.key_id, 'hex'), ', ' ORDER BY m.key_id) END
	INTO verdict FROM posthouse.master_keys m;
	IF verdict IN ('ok', 'registered') THEN
		INSERT INTO posthouse.master_keys (key_id) SELECT DISTINCT unnest(p_ids) ON CONFLICT DO NOTHING;
	END IF;
	RETURN verdict;
END $$;

/* Bumps the version last in the transaction: the row's lock makes the order of versions the order of commits. */
CREATE OR REPLACE FUNCTION posthouse.bump(p_topic text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
DECLARE
	v bigint;
BEGIN
	UPDATE posthouse.topics SET version = version + 1 WHERE topic = p_topic RETURNING version INTO STRICT v;
	PERFORM pg_notify('posthouse', p_topic || ' ' || v);
END $$;

CREATE OR REPLACE FUNCTION posthouse.topics() RETURNS TABLE (topic text, version bigint)
LANGUAGE sql STABLE AS $$
	SELECT t.topic, t.version FROM posthouse.topics t ORDER BY t.topic
$$;

CREATE OR REPLACE FUNCTION posthouse.init_setting(p_name text, p_value text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
DECLARE
	in_force text;
BEGIN
	IF p_name IN ('retention', 'retention_unstored', 'request_log_retention') THEN
		PERFORM posthouse.check_retention(p_name, p_value);
	END IF;
	INSERT INTO posthouse.settings (name, value) VALUES (p_name, p_value) ON CONFLICT (name) DO NOTHING;
	IF FOUND THEN
		PERFORM posthouse.keep_promises();
		PERFORM posthouse.bump('settings');
	END IF;
	SELECT s.value INTO STRICT in_force FROM posthouse.settings s WHERE s.name = p_name;
	RETURN in_force;
END $$;

CREATE OR REPLACE FUNCTION posthouse.check_retention(p_name text, p_value text) RETURNS void
LANGUAGE plpgsql STABLE AS $$
BEGIN
	IF p_value !~ '^[0-9]{1,9}(\.[0-9]+)?$' OR p_value::float8 < 1 THEN
		RAISE EXCEPTION 'setting % is a number of seconds, at least 1: "%" is not', p_name, p_value;
	END IF;
END $$;
