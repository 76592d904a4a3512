/* SPDX-License-Identifier: Apache-2.0 */
/* Keys by SQL alone: one is made here, and what one stored is deleted. */

/* An option that is a list of texts; NULL where it is not given. */
CREATE OR REPLACE FUNCTION posthouse.list_option(p_options jsonb, p_name text) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
	v_list jsonb := nullif(p_options -> p_name, 'null');
BEGIN
	IF v_list IS NULL THEN
		RETURN NULL;
	ELSIF jsonb_typeof(v_list) <> 'array' OR v_list = '[]'
		OR EXISTS (SELECT FROM jsonb_array_elements(v_list) e WHERE jsonb_typeof(e) <> 'string' OR e = '""') THEN
		RAISE EXCEPTION 'option "%" is a list of names, for example ["a", "b"]; leave it out to allow all', p_name;
	END IF;
	RETURN ARRAY(SELECT jsonb_array_elements_text(v_list));
END $$;

/* How long the key lives, in seconds; NULL: for ever. */
CREATE OR REPLACE FUNCTION posthouse.expires_option(p_options jsonb) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
	v_seconds numeric := posthouse.seconds_of(p_options ->> 'expires');
BEGIN
	IF p_options ->> 'expires' IS NOT NULL AND v_seconds BETWEEN 1 AND 3153600000 IS NOT TRUE THEN
		RAISE EXCEPTION 'option "expires" is a duration such as "30d" or "12h", at least 1s and at most 36500d';
	END IF;
	RETURN v_seconds;
END $$;

CREATE OR REPLACE FUNCTION posthouse_admin.create_api_key(name text, options jsonb DEFAULT '{}') RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
DECLARE
	v_key text := posthouse.make_key();
	v_unknown text;
	v_id bigint;
BEGIN
	IF jsonb_typeof(options) IS DISTINCT FROM 'object' THEN
		RAISE EXCEPTION 'options are an object, for example {"expires": "30d"}';
	ELSIF name IS NULL OR name = '' OR length(name) > 128 THEN
		RAISE EXCEPTION 'the name of a key has 1 to 128 characters';
	END IF;
	SELECT string_agg(o.name, ', ') INTO v_unknown FROM jsonb_object_keys(options) AS o (name)
	WHERE o.name NOT IN ('snapshots', 'expires', 'models', 'accounts', 'limits');
	IF v_unknown IS NOT NULL THEN
		RAISE EXCEPTION 'unknown option %: there are snapshots, expires, models, accounts and limits', v_unknown;
	ELSIF options ->> 'snapshots' NOT IN ('all', 'stored', 'none') THEN
		RAISE EXCEPTION 'option "snapshots" is one of all, stored, none';
	END IF;
	v_id := posthouse.create_key(name, sha256(convert_to(v_key, 'UTF8')), left(v_key, 10), options ->> 'snapshots',
		posthouse.expires_option(options), posthouse.list_option(options, 'models'),
		posthouse.list_option(options, 'accounts'));
	IF options ? 'limits' THEN
		PERFORM posthouse.put_key_limits(v_id, options -> 'limits');
	END IF;
	RETURN v_key;
END $$;
COMMENT ON FUNCTION posthouse_admin.create_api_key(text, jsonb) IS
	'Makes an API key and returns it: only this once, for nothing but its digest is kept. name: never used before; options: an object of snapshots ("all", "stored" or "none"), expires ("30d", "12h"), models and accounts (lists of names: the only ones it may use), limits';

/* How long a verb may work before it says how far it came: half of what the caller's statement timeout leaves. */
CREATE OR REPLACE FUNCTION posthouse.patience() RETURNS interval
LANGUAGE sql STABLE AS $$
	SELECT least(interval '20 seconds', nullif(s.setting::bigint, 0) * interval '0.5 milliseconds')
	FROM pg_catalog.pg_settings s WHERE s.name = 'statement_timeout'
$$;

/* Day by day, some thousand rows at a time, the conversations' rows and the list of their items. */
CREATE OR REPLACE FUNCTION posthouse_admin.purge_snapshots(key_name text, reason text DEFAULT NULL)
RETURNS TABLE (key text, purged bigint, complete bool)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
DECLARE
	v_enough timestamptz := clock_timestamp() + posthouse.patience();
	v_scope bigint;
	v_place record;
	v_rows bigint;
	v_items bigint;
BEGIN
	SELECT k.key_id INTO v_scope FROM posthouse.api_keys k WHERE k.name = purge_snapshots.key_name;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'there is no key named "%"', purge_snapshots.key_name;
	END IF;
	PERFORM set_config('posthouse.scope', v_scope::text, true); -- row-level security holds here too
	purged := 0;
	DELETE FROM posthouse.background_turns b WHERE b.scope = v_scope; -- what those that still run were asked
	FOR v_place IN
		SELECT p.day, (p.parent = 'snapshots_unstored')::int AS class FROM posthouse.partitions p
		WHERE p.parent IN ('snapshots_stored', 'snapshots_unstored') ORDER BY p.day DESC, 2
	LOOP
		LOOP
			DELETE FROM posthouse.snapshots s WHERE s.class = v_place.class AND s.day = v_place.day AND s.ctid = ANY (ARRAY(
				SELECT o.ctid FROM posthouse.snapshots o
				WHERE o.scope = v_scope AND o.class = v_place.class AND o.day = v_place.day LIMIT 5000));
			GET DIAGNOSTICS v_rows = ROW_COUNT;
			DELETE FROM posthouse.snapshot_items s WHERE s.class = v_place.class AND s.day = v_place.day AND s.ctid = ANY (ARRAY(
				SELECT o.ctid FROM posthouse.snapshot_items o
				WHERE o.scope = v_scope AND o.class = v_place.class AND o.day = v_place.day LIMIT 5000));
			GET DIAGNOSTICS v_items = ROW_COUNT;
			purged := purged + v_rows;
			EXIT WHEN v_rows + v_items = 0 OR clock_timestamp() > v_enough;
		END LOOP;
		EXIT WHEN v_rows + v_items > 0;
	END LOOP;
	complete := coalesce(v_rows + v_items, 0) = 0;
	key := key_name;
	PERFORM posthouse.note('purge_snapshots', key_name, concat_ws(': ', purged || ' turns', nullif(reason, '')));
	RETURN NEXT;
END $$;
COMMENT ON FUNCTION posthouse_admin.purge_snapshots(text, text) IS
	'Deletes what the key''s turns said: their ids cannot be continued any more. Works for half of your statement timeout, 20 s at most; complete false: call again. What an upstream stored stays there; the request log has no content. key_name: the key; reason: for the audit, which notes the number too';
