/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A database of schema version 1, as a node of that version left it: pg_dump --schema-only without the partitions, which
 * depend on the day and which version 1's own maintain() makes again, then the rows, their days counted from today.
 * Accounts: s1 (stateless, no secret), p1 (platform, its secret sealed with the tests' master key). Keys: only-s1 and
 * only-p1, each with one conversation of three turns: "one", "two" and "three " + 400 times "long ". Never edited: what
 * old programs left behind does not change.
 */
SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
CREATE SCHEMA posthouse;
ALTER SCHEMA posthouse OWNER TO posthouse_owner;
CREATE SCHEMA posthouse_admin;
ALTER SCHEMA posthouse_admin OWNER TO posthouse_owner;
CREATE FUNCTION posthouse.account_id_for(p_name text, p_kind text) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'posthouse', 'pg_temp'
    AS $$
DECLARE
	v record;
BEGIN
	SELECT a.account_id, a.kind INTO v FROM posthouse.accounts a WHERE a.name = p_name AND a.state <> 'removed';
	IF NOT FOUND THEN
		RETURN nextval(pg_get_serial_sequence('posthouse.accounts', 'account_id'));
	ELSIF v.kind <> p_kind THEN
		RAISE EXCEPTION 'account "%" is of kind %: remove it first, or choose another name', p_name, v.kind;
	END IF;
	RETURN v.account_id;
END $$;
ALTER FUNCTION posthouse.account_id_for(p_name text, p_kind text) OWNER TO posthouse_owner;
CREATE FUNCTION posthouse.bump(p_topic text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'posthouse', 'pg_temp'
    AS $$
DECLARE
	v bigint;
BEGIN
	UPDATE posthouse.topics SET version = version + 1 WHERE topic = p_topic RETURNING version INTO STRICT v;
	PERFORM pg_notify('posthouse', p_topic || ' ' || v);
END $$;
ALTER FUNCTION posthouse.bump(p_topic text) OWNER TO posthouse_owner;
CREATE FUNCTION posthouse.check_master_key(p_ids bytea[]) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'posthouse', 'pg_temp'
    AS $$
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
ALTER FUNCTION posthouse.check_master_key(p_ids bytea[]) OWNER TO posthouse_owner;
CREATE FUNCTION posthouse.check_retention(p_name text, p_value text) RETURNS void
    LANGUAGE plpgsql STABLE
    AS $_$
BEGIN
	IF p_value !~ '^[0-9]{1,9}(\.[0-9]+)?$' OR p_value::float8 < 1 THEN
		RAISE EXCEPTION 'setting % is a number of seconds, at least 1: "%" is not', p_name, p_value;
	END IF;
END $_$;
ALTER FUNCTION posthouse.check_retention(p_name text, p_value text) OWNER TO posthouse_owner;
CREATE FUNCTION posthouse.commit_turn(p_turn uuid, p_node text, p_scope bigint, p_request_id text, p_route text, p_model text, p_account bigint, p_continuity text, p_outcome text, p_status integer, p_error text, p_attempts integer, p_hops integer, p_chain_bytes bigint, p_stream boolean, p_duration_us bigint, p_first_event_us bigint, p_bytes_in bigint, p_bytes_out bigint, p_input_tokens bigint, p_cached_tokens bigint, p_output_tokens bigint, p_response_id text, p_keep boolean, p_stored_upstream boolean, p_class integer, p_parent_id text, p_parent_day date, p_parent_class integer, p_parent_until date, p_flags integer, p_turn_status text, p_depth integer, p_codec integer, p_input bytea, p_output bytea, p_runs bytea, p_envelope bytea, p_item_ids text[], OUT result text, OUT chain_until date) RETURNS record
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
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
		request_id, route, model, continuity, outcome, error, response_id)
	VALUES (p_scope, p_account, now() - p_duration_us * interval '1 microsecond', p_duration_us, p_first_event_us,
		p_bytes_in, p_bytes_out, p_chain_bytes, p_input_tokens, p_cached_tokens, p_output_tokens, today, p_status,
		p_attempts, p_hops, p_stream, p_turn, p_node, p_request_id, p_route, p_model, p_continuity, p_outcome,
		p_error, p_response_id);
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
ALTER FUNCTION posthouse.commit_turn(p_turn uuid, p_node text, p_scope bigint, p_request_id text, p_route text, p_model text, p_account bigint, p_continuity text, p_outcome text, p_status integer, p_error text, p_attempts integer, p_hops integer, p_chain_bytes bigint, p_stream boolean, p_duration_us bigint, p_first_event_us bigint, p_bytes_in bigint, p_bytes_out bigint, p_input_tokens bigint, p_cached_tokens bigint, p_output_tokens bigint, p_response_id text, p_keep boolean, p_stored_upstream boolean, p_class integer, p_parent_id text, p_parent_day date, p_parent_class integer, p_parent_until date, p_flags integer, p_turn_status text, p_depth integer, p_codec integer, p_input bytea, p_output bytea, p_runs bytea, p_envelope bytea, p_item_ids text[], OUT result text, OUT chain_until date) OWNER TO posthouse_owner;
CREATE FUNCTION posthouse.create_key(p_name text, p_hash bytea, p_prefix text, p_snapshots text, p_expires_s bigint, p_models text[], p_accounts text[]) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'posthouse', 'pg_temp'
    AS $$
DECLARE
	v_id bigint;
	v_accounts bigint[];
	v_unknown text;
BEGIN
	SELECT string_agg(n.name, ', ') FILTER (WHERE a.account_id IS NULL), array_agg(a.account_id)
	INTO v_unknown, v_accounts
	FROM unnest(p_accounts) AS n (name)
	LEFT JOIN posthouse.accounts a ON a.name = n.name AND a.state <> 'removed';
	IF v_unknown IS NOT NULL THEN
		RAISE EXCEPTION 'there is no account named %', v_unknown;
	END IF;
	INSERT INTO posthouse.api_keys (name, hash, prefix, snapshots, models, account_ids, expires)
	VALUES (p_name, p_hash, p_prefix, p_snapshots, p_models, v_accounts, now() + p_expires_s * interval '1 second')
	ON CONFLICT (name) DO NOTHING RETURNING key_id INTO v_id;
	IF v_id IS NULL THEN
		RAISE EXCEPTION 'there is a key named "%" already: names are not used twice', p_name;
	END IF;
	PERFORM posthouse.note('create_api_key', p_name, NULL);
	PERFORM posthouse.bump('api_keys');
	RETURN v_id;
END $$;
ALTER FUNCTION posthouse.create_key(p_name text, p_hash bytea, p_prefix text, p_snapshots text, p_expires_s bigint, p_models text[], p_accounts text[]) OWNER TO posthouse_owner;
CREATE FUNCTION posthouse.create_partition(p_parent text, p_day date) RETURNS void
    LANGUAGE plpgsql
    AS $$
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
ALTER FUNCTION posthouse.create_partition(p_parent text, p_day date) OWNER TO posthouse_owner;
CREATE FUNCTION posthouse.drop_partition(p_today date) RETURNS integer
    LANGUAGE plpgsql
    AS $$
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
ALTER FUNCTION posthouse.drop_partition(p_today date) OWNER TO posthouse_owner;
CREATE FUNCTION posthouse.find_api_key(p_hash bytea) RETURNS TABLE(key_id bigint, name text, hash bytea, snapshots text, models text[], account_ids bigint[], expires_ms bigint)
    LANGUAGE sql STABLE
    AS $$
	SELECT k.key_id, k.name, k.hash, k.snapshots, k.models, k.account_ids,
		(extract(epoch FROM k.expires) * 1000)::bigint
	FROM posthouse.api_keys k
	WHERE k.hash = p_hash AND k.revoked IS NULL AND (k.expires IS NULL OR k.expires > now())
$$;
ALTER FUNCTION posthouse.find_api_key(p_hash bytea) OWNER TO posthouse_owner;
CREATE FUNCTION posthouse.find_items(p_scope bigint, p_ids text[]) RETURNS TABLE(item_id text, account_id bigint, flags integer, "position" integer, codec integer, output bytea)
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    AS $$
#variable_conflict use_column
DECLARE
	v_yesterday date := (now() AT TIME ZONE 'UTC')::date - 1;
BEGIN
	PERFORM set_config('posthouse.scope', p_scope::text, true);
	RETURN QUERY
	WITH wanted AS MATERIALIZED (
		SELECT DISTINCT u.id FROM unnest(p_ids) AS u (id)
	), recent AS MATERIALIZED (
		SELECT i.* FROM wanted w, LATERAL (
			SELECT s.item_id, s.response_id, s.class, s.day, s.position FROM posthouse.snapshot_items s
			WHERE s.scope = p_scope AND s.item_id = w.id AND s.day IN (v_yesterday, v_yesterday + 1) OFFSET 0) i
	), older AS MATERIALIZED (
		SELECT i.* FROM wanted w, LATERAL (
			SELECT s.item_id, s.response_id, s.class, s.day, s.position FROM posthouse.snapshot_items s
			WHERE s.scope = p_scope AND s.item_id = w.id AND s.day < v_yesterday OFFSET 0) i
		WHERE NOT EXISTS (SELECT FROM recent r WHERE r.item_id = w.id)
	), found AS MATERIALIZED (
		SELECT DISTINCT ON (b.item_id) b.* FROM (SELECT r.* FROM recent r UNION ALL SELECT o.* FROM older o) b
		ORDER BY b.item_id, b.day DESC
	)
	SELECT f.item_id, r.account_id, r.flags::int, f.position::int, r.codec::int, r.output
	FROM found f, LATERAL (
		SELECT s.account_id, s.flags, s.codec, s.output FROM posthouse.snapshots s
		WHERE s.scope = p_scope AND s.response_id = f.response_id AND s.class = f.class AND s.day = f.day
		OFFSET 0) r
	WHERE r.flags & 24 = 0
	UNION ALL
	SELECT w.id, o.account_id, 1, NULL, NULL, NULL
	FROM wanted w, LATERAL (
		SELECT r.account_id FROM posthouse.resource_owners r
		WHERE r.scope = p_scope AND r.id = w.id AND NOT r.hidden LIMIT 1) o
	WHERE NOT EXISTS (SELECT FROM found f WHERE f.item_id = w.id);
END $$;
ALTER FUNCTION posthouse.find_items(p_scope bigint, p_ids text[]) OWNER TO posthouse_owner;
CREATE FUNCTION posthouse.hello(OUT schema_version integer, OUT needs_version integer, OUT today date, OUT server_version integer, OUT retention_days double precision, OUT retention_unstored_days double precision) RETURNS record
    LANGUAGE sql STABLE
    AS $$
	SELECT (SELECT coalesce(max(m.version), 0) FROM posthouse.schema_migrations m),
		(SELECT coalesce(max(m.version), 0) FROM posthouse.schema_migrations m WHERE m.contracting),
		(now() AT TIME ZONE 'UTC')::date, current_setting('server_version_num')::int,
		coalesce((SELECT s.value::float8 FROM posthouse.settings s WHERE s.name = 'retention'), 30 * 86400) / 86400,
		coalesce((SELECT s.value::float8 FROM posthouse.settings s WHERE s.name = 'retention_unstored'), 86400) / 86400
$$;
ALTER FUNCTION posthouse.hello(OUT schema_version integer, OUT needs_version integer, OUT today date, OUT server_version integer, OUT retention_days double precision, OUT retention_unstored_days double precision) OWNER TO posthouse_owner;
CREATE FUNCTION posthouse.hide_response(p_scope bigint, p_id text) RETURNS TABLE(account_id bigint, flags integer)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    AS $$
#variable_conflict use_column
DECLARE
	v_tip record;
	v_account bigint;
BEGIN
	PERFORM set_config('posthouse.scope', p_scope::text, true);
	SELECT * INTO v_tip FROM posthouse.locate(p_scope, p_id);
	IF v_tip.flags & 24 <> 0 THEN
		RETURN;
	END IF;
	UPDATE posthouse.resource_owners o SET hidden = true
	WHERE o.scope = p_scope AND o.id = p_id AND NOT o.hidden RETURNING o.account_id INTO v_account;
	IF v_tip.day IS NOT NULL THEN
		UPDATE posthouse.snapshots s SET flags = s.flags | 8::smallint
		WHERE s.scope = p_scope AND s.response_id = p_id AND s.class = v_tip.class AND s.day = v_tip.day;
		RETURN QUERY SELECT v_tip.account_id, v_tip.flags | 8;
	ELSIF v_account IS NOT NULL THEN
		RETURN QUERY SELECT v_account, 1 | 8;
	END IF;
END $$;
ALTER FUNCTION posthouse.hide_response(p_scope bigint, p_id text) OWNER TO posthouse_owner;
CREATE FUNCTION posthouse.init_setting(p_name text, p_value text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'posthouse', 'pg_temp'
    AS $$
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
ALTER FUNCTION posthouse.init_setting(p_name text, p_value text) OWNER TO posthouse_owner;
CREATE FUNCTION posthouse.is_foreign(p_scope bigint, p_id text) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'posthouse', 'pg_temp'
    AS $$
	SELECT EXISTS (SELECT FROM posthouse.resource_owners o WHERE o.id = p_id AND o.scope <> p_scope)
$$;
ALTER FUNCTION posthouse.is_foreign(p_scope bigint, p_id text) OWNER TO posthouse_owner;
CREATE FUNCTION posthouse.keep_days(p_parent text) RETURNS integer
    LANGUAGE sql STABLE
    AS $$
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
ALTER FUNCTION posthouse.keep_days(p_parent text) OWNER TO posthouse_owner;
CREATE FUNCTION posthouse.keep_promises() RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'posthouse', 'pg_temp'
    AS $$
	UPDATE posthouse.partitions p SET keep_until = p.day + posthouse.keep_days(p.parent)
	WHERE p.day >= (clock_timestamp() AT TIME ZONE 'UTC')::date AND p.keep_until < p.day + posthouse.keep_days(p.parent)
$$;
ALTER FUNCTION posthouse.keep_promises() OWNER TO posthouse_owner;
CREATE FUNCTION posthouse.load_accounts() RETURNS TABLE(account_id bigint, name text, kind text, base_url text, sealed bytea, max_streams integer, weight integer, priority integer, models text[], state text, headers text)
    LANGUAGE sql STABLE
    AS $$
	SELECT a.account_id, a.name, a.kind, a.base_url, s.sealed, a.max_streams, a.weight, a.priority, a.models,
		CASE WHEN a.state <> 'active' THEN a.state WHEN h.until <= now() THEN 'active'
			ELSE coalesce(h.state, 'active') END,
		a.headers::text
	FROM posthouse.accounts a
	LEFT JOIN posthouse.account_secrets s ON s.account_id = a.account_id
	LEFT JOIN posthouse.account_health h ON h.account_id = a.account_id
	WHERE a.state <> 'removed' ORDER BY a.account_id
$$;
ALTER FUNCTION posthouse.load_accounts() OWNER TO posthouse_owner;
CREATE FUNCTION posthouse.load_api_keys() RETURNS TABLE(key_id bigint, name text, hash bytea, snapshots text, models text[], account_ids bigint[], expires_ms bigint)
    LANGUAGE sql STABLE
    AS $$
	SELECT k.key_id, k.name, k.hash, k.snapshots, k.models, k.account_ids,
		(extract(epoch FROM k.expires) * 1000)::bigint
	FROM posthouse.api_keys k
	WHERE k.revoked IS NULL AND (k.expires IS NULL OR k.expires > now()) ORDER BY k.key_id
$$;
ALTER FUNCTION posthouse.load_api_keys() OWNER TO posthouse_owner;
CREATE FUNCTION posthouse.locate(p_scope bigint, p_id text, OUT day date, OUT class smallint, OUT flags integer, OUT account_id bigint, OUT depth integer, OUT chain_until date, OUT created timestamp with time zone, OUT model text) RETURNS record
    LANGUAGE plpgsql STABLE
    AS $$
#variable_conflict use_column
DECLARE
	v_today date := (now() AT TIME ZONE 'UTC')::date;
	v_copies bigint;
BEGIN
	IF length(p_id) >= 24 THEN
		SELECT s.day, s.class, s.flags, s.account_id, s.depth, s.chain_until, s.created, s.model
		INTO day, class, flags, account_id, depth, chain_until, created, model
		FROM posthouse.snapshots s
		WHERE s.scope = p_scope AND s.response_id = p_id AND s.day BETWEEN v_today - 1 AND v_today LIMIT 1;
		IF FOUND THEN
			RETURN;
		END IF;
	END IF;
	SELECT s.day, s.class, s.flags, s.account_id, s.depth, s.chain_until, s.created, s.model, count(*) OVER ()
	INTO day, class, flags, account_id, depth, chain_until, created, model, v_copies
	FROM posthouse.snapshots s WHERE s.scope = p_scope AND s.response_id = p_id LIMIT 1;
	IF v_copies > 1 THEN
		flags := flags | 16;
	END IF;
END $$;
ALTER FUNCTION posthouse.locate(p_scope bigint, p_id text, OUT day date, OUT class smallint, OUT flags integer, OUT account_id bigint, OUT depth integer, OUT chain_until date, OUT created timestamp with time zone, OUT model text) OWNER TO posthouse_owner;
CREATE FUNCTION posthouse.maintain(OUT created integer, OUT dropped integer) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'posthouse', 'pg_temp'
    SET lock_timeout TO '200ms'
    AS $$
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
	dropped := posthouse.drop_partition(today);
END $$;
ALTER FUNCTION posthouse.maintain(OUT created integer, OUT dropped integer) OWNER TO posthouse_owner;
CREATE FUNCTION posthouse.note(p_verb text, p_object text, p_reason text) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'posthouse', 'pg_temp'
    AS $$
	INSERT INTO posthouse.audit (verb, object, reason) VALUES (p_verb, p_object, nullif(p_reason, ''))
$$;
ALTER FUNCTION posthouse.note(p_verb text, p_object text, p_reason text) OWNER TO posthouse_owner;
CREATE FUNCTION posthouse.put_account(p_id bigint, p_name text, p_kind text, p_base_url text, p_sealed bytea, p_key_id bytea, p_max_streams integer, p_weight integer, p_priority integer, p_models text[], p_token_url text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'posthouse', 'pg_temp'
    AS $$
DECLARE
	v_result text := 'updated';
BEGIN
	UPDATE posthouse.accounts a SET base_url = coalesce(p_base_url, a.base_url),
		max_streams = coalesce(p_max_streams, a.max_streams), weight = coalesce(p_weight, a.weight),
		priority = coalesce(p_priority, a.priority), models = coalesce(p_models, a.models),
		token_url = coalesce(p_token_url, a.token_url), updated = now()
	WHERE a.account_id = p_id AND a.name = p_name AND a.kind = p_kind AND a.state <> 'removed';
	IF NOT FOUND THEN
		IF EXISTS (SELECT FROM posthouse.accounts a WHERE a.account_id = p_id)
			OR EXISTS (SELECT FROM posthouse.accounts a WHERE a.name = p_name AND a.state <> 'removed') THEN
			RAISE EXCEPTION 'account "%" was changed by someone else at the same moment: try again', p_name;
		END IF;
		INSERT INTO posthouse.accounts (account_id, name, kind, base_url, max_streams, weight, priority, models, token_url)
		VALUES (p_id, p_name, p_kind, p_base_url, p_max_streams, coalesce(p_weight, 1), coalesce(p_priority, 0),
			p_models, p_token_url);
		v_result := 'added';
	END IF;
	IF p_sealed IS NOT NULL THEN
		INSERT INTO posthouse.account_secrets (account_id, sealed, key_id) VALUES (p_id, p_sealed, p_key_id)
		ON CONFLICT (account_id) DO UPDATE SET sealed = excluded.sealed, key_id = excluded.key_id, updated = now();
	END IF;
	DELETE FROM posthouse.account_health h WHERE h.account_id = p_id;
	PERFORM posthouse.note(CASE v_result WHEN 'added' THEN 'add_account' ELSE 'update_account' END, p_name, NULL);
	PERFORM posthouse.bump('accounts');
	RETURN v_result;
END $$;
ALTER FUNCTION posthouse.put_account(p_id bigint, p_name text, p_kind text, p_base_url text, p_sealed bytea, p_key_id bytea, p_max_streams integer, p_weight integer, p_priority integer, p_models text[], p_token_url text) OWNER TO posthouse_owner;
CREATE FUNCTION posthouse.read_response(p_scope bigint, p_id text) RETURNS TABLE(response_id text, parent_id text, account_id bigint, day date, class integer, flags integer, turn_status text, created_ms bigint, codec integer, input bytea, output bytea, envelope bytea, model text)
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    AS $$
#variable_conflict use_column
DECLARE
	v_tip record;
BEGIN
	PERFORM set_config('posthouse.scope', p_scope::text, true);
	SELECT * INTO v_tip FROM posthouse.locate(p_scope, p_id);
	IF v_tip.day IS NULL OR v_tip.flags & 24 <> 0 THEN
		RETURN;
	END IF;
	RETURN QUERY
	SELECT s.response_id, s.parent_id, s.account_id, s.day, s.class::int, s.flags::int, s.turn_status,
		(extract(epoch FROM s.created) * 1000)::bigint, s.codec::int, s.input, s.output, s.envelope, s.model
	FROM posthouse.snapshots s
	WHERE s.scope = p_scope AND s.response_id = p_id AND s.class = v_tip.class AND s.day = v_tip.day;
END $$;
ALTER FUNCTION posthouse.read_response(p_scope bigint, p_id text) OWNER TO posthouse_owner;
CREATE FUNCTION posthouse.remove_account(p_name text, p_reason text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'posthouse', 'pg_temp'
    AS $$
DECLARE
	v_id bigint;
BEGIN
	UPDATE posthouse.accounts a SET state = 'removed', updated = now()
	WHERE a.name = p_name AND a.state <> 'removed' RETURNING a.account_id INTO v_id;
	IF NOT FOUND THEN
		RETURN false;
	END IF;
	DELETE FROM posthouse.account_secrets s WHERE s.account_id = v_id;
	DELETE FROM posthouse.account_health h WHERE h.account_id = v_id;
	PERFORM posthouse.note('remove_account', p_name, p_reason);
	PERFORM posthouse.bump('accounts');
	RETURN true;
END $$;
ALTER FUNCTION posthouse.remove_account(p_name text, p_reason text) OWNER TO posthouse_owner;
CREATE FUNCTION posthouse.resolve(p_scope bigint, p_id text, p_forward bigint[], p_max_bytes bigint, p_max_hops integer) RETURNS TABLE(status text, today date, hop integer, response_id text, account_id bigint, day date, class integer, flags integer, depth integer, chain_until date, created_ms bigint, codec integer, input bytea, output bytea, runs bytea, model text)
    LANGUAGE plpgsql STABLE ROWS 50
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET work_mem TO '64MB'
    AS $$
#variable_conflict use_column
DECLARE
	v_scope text := set_config('posthouse.scope', p_scope::text, true);
	v_today date := (now() AT TIME ZONE 'UTC')::date;
	v_tip record;
	v_walk record;
	v_status text;
	v_account bigint;
	v_hop int := 0;
BEGIN
	SELECT * INTO v_tip FROM posthouse.locate(p_scope, p_id);
	v_account := v_tip.account_id;
	IF v_tip.day IS NULL THEN
		SELECT CASE WHEN o.hidden THEN 'hidden' ELSE 'owned' END, o.account_id INTO v_status, v_account
		FROM posthouse.resource_owners o WHERE o.scope = p_scope AND o.id = p_id ORDER BY o.hidden DESC LIMIT 1;
		IF NOT FOUND THEN
			v_status := CASE WHEN posthouse.is_foreign(p_scope, p_id) THEN 'foreign' ELSE 'none' END;
		END IF;
	ELSIF v_tip.flags & 24 <> 0 THEN
		v_status := CASE WHEN v_tip.flags & 8 <> 0 THEN 'hidden' ELSE 'ambiguous' END;
	ELSIF v_tip.flags & 1 <> 0 AND v_tip.account_id = ANY (p_forward)
		AND v_tip.created > now() - interval '30 days' THEN
		v_status := 'tip';
	ELSE
		SELECT * INTO v_walk FROM posthouse.walk(p_scope, p_id, v_tip.class, v_tip.day, p_max_bytes, p_max_hops);
		v_status := v_walk.status;
	END IF;
	IF v_status <> 'ok' THEN
		RETURN QUERY SELECT v_status, v_today, 1, p_id, v_account, v_tip.day, v_tip.class::int, v_tip.flags,
			v_tip.depth, v_tip.chain_until, (extract(epoch FROM v_tip.created) * 1000)::bigint, NULL::int,
			NULL::bytea, NULL::bytea, NULL::bytea, v_tip.model;
		RETURN;
	END IF;
	FOR i IN 1 .. cardinality(v_walk.counts) LOOP
		RETURN QUERY
		SELECT 'ok', v_today, v_hop + t.n::int, r.*
		FROM unnest(v_walk.tids[v_hop + 1 : v_hop + v_walk.counts[i]]) WITH ORDINALITY AS t (place, n), LATERAL (
			SELECT s.response_id, s.account_id, s.day, s.class::int, s.flags::int, s.depth, s.chain_until,
				(extract(epoch FROM s.created) * 1000)::bigint, s.codec::int, s.input, s.output, s.runs, s.model
			FROM posthouse.snapshots s
			WHERE s.ctid = t.place AND s.scope = p_scope AND s.class = v_walk.classes[i] AND s.day = v_walk.days[i]
			OFFSET 0) r;
		v_hop := v_hop + v_walk.counts[i];
	END LOOP;
END $$;
ALTER FUNCTION posthouse.resolve(p_scope bigint, p_id text, p_forward bigint[], p_max_bytes bigint, p_max_hops integer) OWNER TO posthouse_owner;
CREATE FUNCTION posthouse.set_account_state(p_name text, p_state text, p_verb text, p_reason text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'posthouse', 'pg_temp'
    AS $$
DECLARE
	v_id bigint;
BEGIN
	UPDATE posthouse.accounts a SET state = p_state, updated = now()
	WHERE a.name = p_name AND a.state <> 'removed' RETURNING a.account_id INTO v_id;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'there is no account named "%"', p_name;
	END IF;
	IF p_state = 'active' THEN
		DELETE FROM posthouse.account_health h WHERE h.account_id = v_id;
	END IF;
	PERFORM posthouse.note(p_verb, p_name, p_reason);
	PERFORM posthouse.bump('accounts');
END $$;
ALTER FUNCTION posthouse.set_account_state(p_name text, p_state text, p_verb text, p_reason text) OWNER TO posthouse_owner;
CREATE FUNCTION posthouse.topics() RETURNS TABLE(topic text, version bigint)
    LANGUAGE sql STABLE
    AS $$
	SELECT t.topic, t.version FROM posthouse.topics t ORDER BY t.topic
$$;
ALTER FUNCTION posthouse.topics() OWNER TO posthouse_owner;
CREATE FUNCTION posthouse.walk(p_scope bigint, p_id text, p_class smallint, p_day date, p_max_bytes bigint, p_max_hops integer, OUT status text, OUT days date[], OUT classes smallint[], OUT counts integer[], OUT tids tid[]) RETURNS record
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
	v_id text := p_id;
	v_class smallint := p_class;
	v_day date := p_day;
	v_tids tid[];
	v_hop int := 0;
	v_before int;
	v_bytes bigint := 0;
	v_flags int;
BEGIN
	WHILE status IS NULL LOOP
		days := days || v_day;
		classes := classes || v_class;
		v_before := v_hop;
		WITH RECURSIVE steps AS (
			SELECT v_hop + 1 AS hop,
				v_bytes + coalesce(octet_length(s.input), 0) + coalesce(octet_length(s.output), 0)
					+ coalesce(octet_length(s.runs), 0) AS bytes,
				s.parent_id, s.parent_class, s.parent_day, s.flags, s.ctid AS place
			FROM posthouse.snapshots s
			WHERE s.scope = p_scope AND s.response_id = v_id AND s.class = v_class AND s.day = v_day
			UNION ALL
			SELECT w.hop + 1, w.bytes + p.bytes, p.parent_id, p.parent_class, p.parent_day, p.flags, p.place
			FROM steps w, LATERAL (
				SELECT coalesce(octet_length(s.input), 0) + coalesce(octet_length(s.output), 0)
					+ coalesce(octet_length(s.runs), 0) AS bytes,
					s.parent_id, s.parent_class, s.parent_day, s.flags, s.ctid AS place
				FROM posthouse.snapshots s
				WHERE s.scope = p_scope AND s.response_id = w.parent_id AND s.class = v_class AND s.day = v_day
				OFFSET 0) p
			WHERE w.parent_class = v_class AND w.parent_day = v_day AND w.flags & 2 = 0
				AND w.hop < p_max_hops AND w.bytes <= p_max_bytes
		)
		SELECT a.places, e.hop, e.bytes, e.flags, e.parent_id, e.parent_class, e.parent_day
		INTO v_tids, v_hop, v_bytes, v_flags, v_id, v_class, v_day
		FROM (SELECT array_agg(w.place) AS places FROM steps w) a,
			(SELECT w.* FROM steps w ORDER BY w.hop DESC LIMIT 1) e;
		status := CASE WHEN NOT FOUND THEN 'broken'
			WHEN v_bytes > p_max_bytes THEN 'too_large'
			WHEN v_flags & 2 <> 0 THEN 'partial'
			WHEN v_id IS NULL THEN 'ok'
			WHEN v_hop >= p_max_hops THEN 'too_deep' END;
		counts := counts || (v_hop - v_before);
		tids := tids || v_tids;
	END LOOP;
END $$;
ALTER FUNCTION posthouse.walk(p_scope bigint, p_id text, p_class smallint, p_day date, p_max_bytes bigint, p_max_hops integer, OUT status text, OUT days date[], OUT classes smallint[], OUT counts integer[], OUT tids tid[]) OWNER TO posthouse_owner;
CREATE FUNCTION posthouse.warm() RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
	id text := 'warm_' || gen_random_uuid();
BEGIN
	PERFORM posthouse.commit_turn(gen_random_uuid(), '', 0, '', '', '', 0, '', '', 0, NULL, 0, 0, 0, false, 0, 0, 0, 0, 0, 0,
		0, id, true, true, 0, NULL, NULL, NULL, NULL, 0, '', 1, 0, '', '', NULL, '', ARRAY[id]);
	PERFORM posthouse.resolve(0, id, '{}', 1, 1);
	PERFORM posthouse.find_items(0, ARRAY[id]);
	PERFORM posthouse.read_response(0, id);
	RAISE EXCEPTION USING errcode = 'PH001';
EXCEPTION WHEN SQLSTATE 'PH001' THEN
	NULL;
END $$;
ALTER FUNCTION posthouse.warm() OWNER TO posthouse_owner;
CREATE FUNCTION posthouse_admin.chain(key_name text, response_id text) RETURNS TABLE(hop integer, response text, parent text, account text, model text, status text, day date, class text, flags text, depth integer, input_bytes integer, output_bytes integer, created timestamp with time zone, chain_until date)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'posthouse', 'pg_temp'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
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
			(4, 'self-contained'), (8, 'hidden'), (16, 'ambiguous')) AS f (bit, name) WHERE w.flags & f.bit <> 0),
		w.depth, octet_length(w.input), octet_length(w.output), w.created, w.chain_until
	FROM walk w LEFT JOIN posthouse.accounts a ON a.account_id = w.account_id
	ORDER BY w.hop;
END $$;
ALTER FUNCTION posthouse_admin.chain(key_name text, response_id text) OWNER TO posthouse_owner;
COMMENT ON FUNCTION posthouse_admin.chain(key_name text, response_id text) IS 'The turns of a conversation, newest first. key_name: whose conversation; response_id: its newest response';
CREATE FUNCTION posthouse_admin.pause_account(name text, reason text DEFAULT NULL::text) RETURNS TABLE(account text, state text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'posthouse', 'pg_temp'
    AS $$
BEGIN
	PERFORM posthouse.set_account_state(name, 'paused', 'pause_account', reason);
	RETURN QUERY SELECT name, 'paused';
END $$;
ALTER FUNCTION posthouse_admin.pause_account(name text, reason text) OWNER TO posthouse_owner;
COMMENT ON FUNCTION posthouse_admin.pause_account(name text, reason text) IS 'The account gets no new turns; running ones end. name: the account; reason: for the audit';
CREATE FUNCTION posthouse_admin.resume_account(name text, reason text DEFAULT NULL::text) RETURNS TABLE(account text, state text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'posthouse', 'pg_temp'
    AS $$
BEGIN
	PERFORM posthouse.set_account_state(name, 'active', 'resume_account', reason);
	RETURN QUERY SELECT name, 'active';
END $$;
ALTER FUNCTION posthouse_admin.resume_account(name text, reason text) OWNER TO posthouse_owner;
COMMENT ON FUNCTION posthouse_admin.resume_account(name text, reason text) IS 'Ends paused and draining and clears every health block. name: the account; reason: for the audit';
CREATE FUNCTION posthouse_admin.revoke_api_key(name text, reason text DEFAULT NULL::text) RETURNS TABLE(key_name text, revoked timestamp with time zone)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'posthouse', 'pg_temp'
    AS $$
#variable_conflict use_column
DECLARE
	v_when timestamptz;
BEGIN
	UPDATE posthouse.api_keys k SET revoked = coalesce(k.revoked, now())
	WHERE k.name = revoke_api_key.name RETURNING k.revoked INTO v_when;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'there is no key named "%"', revoke_api_key.name;
	END IF;
	PERFORM posthouse.note('revoke_api_key', revoke_api_key.name, reason);
	PERFORM posthouse.bump('api_keys');
	RETURN QUERY SELECT revoke_api_key.name, v_when;
END $$;
ALTER FUNCTION posthouse_admin.revoke_api_key(name text, reason text) OWNER TO posthouse_owner;
COMMENT ON FUNCTION posthouse_admin.revoke_api_key(name text, reason text) IS 'The key is refused from now on, by every node. name: the key; reason: for the audit';
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE posthouse.account_health (
    account_id bigint NOT NULL,
    state text NOT NULL,
    until timestamp with time zone,
    reason text,
    node text,
    version bigint DEFAULT 1 NOT NULL,
    changed timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT account_health_state_check CHECK ((state = ANY (ARRAY['active'::text, 'cooling'::text, 'exhausted'::text, 'reauth'::text, 'disabled'::text])))
);
ALTER TABLE posthouse.account_health OWNER TO posthouse_owner;
CREATE TABLE posthouse.account_leases (
    account_id bigint NOT NULL,
    node_id uuid NOT NULL,
    slots integer NOT NULL,
    version bigint DEFAULT 1 NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT account_leases_slots_check CHECK ((slots >= 0))
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='1000');
ALTER TABLE posthouse.account_leases OWNER TO posthouse_owner;
CREATE TABLE posthouse.account_refresh (
    account_id bigint NOT NULL,
    node_id uuid,
    claimed_until timestamp with time zone,
    version bigint DEFAULT 1 NOT NULL
);
ALTER TABLE posthouse.account_refresh OWNER TO posthouse_owner;
CREATE TABLE posthouse.account_secrets (
    account_id bigint NOT NULL,
    sealed bytea NOT NULL,
    key_id bytea NOT NULL,
    updated timestamp with time zone DEFAULT now() NOT NULL
);
ALTER TABLE posthouse.account_secrets OWNER TO posthouse_owner;
CREATE TABLE posthouse.accounts (
    account_id bigint NOT NULL,
    name text NOT NULL,
    kind text NOT NULL,
    base_url text NOT NULL,
    token_url text,
    headers jsonb,
    max_streams integer,
    weight integer DEFAULT 1 NOT NULL,
    priority integer DEFAULT 0 NOT NULL,
    models text[],
    state text DEFAULT 'active'::text NOT NULL,
    created timestamp with time zone DEFAULT now() NOT NULL,
    updated timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT accounts_headers_check CHECK ((jsonb_typeof(headers) = 'object'::text)),
    CONSTRAINT accounts_kind_check CHECK ((kind = ANY (ARRAY['platform'::text, 'codex'::text, 'stateless'::text]))),
    CONSTRAINT accounts_max_streams_check CHECK ((max_streams > 0)),
    CONSTRAINT accounts_name_check CHECK (((name <> ''::text) AND (length(name) <= 128))),
    CONSTRAINT accounts_state_check CHECK ((state = ANY (ARRAY['active'::text, 'paused'::text, 'draining'::text, 'removed'::text]))),
    CONSTRAINT accounts_weight_check CHECK ((weight > 0))
);
ALTER TABLE posthouse.accounts OWNER TO posthouse_owner;
ALTER TABLE posthouse.accounts ALTER COLUMN account_id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME posthouse.accounts_account_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE posthouse.api_keys (
    key_id bigint NOT NULL,
    name text NOT NULL,
    hash bytea NOT NULL,
    prefix text NOT NULL,
    snapshots text,
    models text[],
    account_ids bigint[],
    created timestamp with time zone DEFAULT now() NOT NULL,
    expires timestamp with time zone,
    revoked timestamp with time zone,
    CONSTRAINT api_keys_hash_check CHECK ((length(hash) = 32)),
    CONSTRAINT api_keys_name_check CHECK (((name <> ''::text) AND (length(name) <= 128))),
    CONSTRAINT api_keys_snapshots_check CHECK ((snapshots = ANY (ARRAY['all'::text, 'stored'::text, 'none'::text])))
);
ALTER TABLE posthouse.api_keys OWNER TO posthouse_owner;
ALTER TABLE posthouse.api_keys ALTER COLUMN key_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME posthouse.api_keys_key_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE posthouse.audit (
    audit_id bigint NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    actor text DEFAULT SESSION_USER NOT NULL,
    verb text NOT NULL,
    object text NOT NULL,
    reason text
);
ALTER TABLE posthouse.audit OWNER TO posthouse_owner;
ALTER TABLE posthouse.audit ALTER COLUMN audit_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME posthouse.audit_audit_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE posthouse.master_keys (
    key_id bytea NOT NULL,
    registered timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT master_keys_key_id_check CHECK ((length(key_id) = 8))
);
ALTER TABLE posthouse.master_keys OWNER TO posthouse_owner;
CREATE TABLE posthouse.model_prices (
    model text NOT NULL,
    input_per_million numeric NOT NULL,
    cached_per_million numeric NOT NULL,
    output_per_million numeric NOT NULL,
    updated timestamp with time zone DEFAULT now() NOT NULL
);
ALTER TABLE posthouse.model_prices OWNER TO posthouse_owner;
CREATE TABLE posthouse.nodes (
    node_id uuid NOT NULL,
    name text NOT NULL,
    version text NOT NULL,
    started timestamp with time zone DEFAULT now() NOT NULL,
    heartbeat timestamp with time zone DEFAULT now() NOT NULL,
    draining boolean DEFAULT false NOT NULL,
    report jsonb
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='1000');
ALTER TABLE posthouse.nodes OWNER TO posthouse_owner;
CREATE TABLE posthouse.partitions (
    name text NOT NULL,
    parent text NOT NULL,
    day date NOT NULL,
    keep_until date NOT NULL,
    created timestamp with time zone DEFAULT now() NOT NULL
);
ALTER TABLE posthouse.partitions OWNER TO posthouse_owner;
CREATE TABLE posthouse.preferences (
    scope bigint NOT NULL,
    signal bytea NOT NULL,
    account_id bigint NOT NULL,
    updated timestamp with time zone DEFAULT now() NOT NULL
);
ALTER TABLE ONLY posthouse.preferences FORCE ROW LEVEL SECURITY;
ALTER TABLE posthouse.preferences OWNER TO posthouse_owner;
CREATE TABLE posthouse.request_log (
    scope bigint NOT NULL,
    account_id bigint,
    started timestamp with time zone NOT NULL,
    duration_us bigint,
    first_event_us bigint,
    bytes_in bigint,
    bytes_out bigint,
    chain_bytes bigint,
    input_tokens bigint,
    cached_tokens bigint,
    output_tokens bigint,
    day date NOT NULL,
    status integer,
    attempts integer,
    hops integer,
    stream boolean,
    turn uuid NOT NULL,
    node text NOT NULL,
    request_id text NOT NULL,
    route text NOT NULL,
    model text,
    continuity text,
    outcome text NOT NULL,
    error text,
    response_id text
)
PARTITION BY RANGE (day);
ALTER TABLE posthouse.request_log OWNER TO posthouse_owner;
CREATE TABLE posthouse.resource_owners (
    scope bigint NOT NULL,
    account_id bigint NOT NULL,
    day date NOT NULL,
    hidden boolean DEFAULT false NOT NULL,
    id text NOT NULL COLLATE pg_catalog."C"
)
PARTITION BY RANGE (day);
ALTER TABLE ONLY posthouse.resource_owners FORCE ROW LEVEL SECURITY;
ALTER TABLE posthouse.resource_owners OWNER TO posthouse_owner;
CREATE TABLE posthouse.resource_owners_lasting (
    scope bigint NOT NULL,
    account_id bigint NOT NULL,
    day date NOT NULL,
    hidden boolean DEFAULT false NOT NULL,
    id text NOT NULL COLLATE pg_catalog."C"
);
ALTER TABLE posthouse.resource_owners_lasting OWNER TO posthouse_owner;
CREATE TABLE posthouse.schema_files (
    name text NOT NULL,
    checksum bytea NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);
ALTER TABLE posthouse.schema_files OWNER TO posthouse_owner;
COMMENT ON TABLE posthouse.schema_files IS 'Files that are replaced as a whole when their text changes: functions, views, grants';
CREATE TABLE posthouse.schema_migrations (
    version integer NOT NULL,
    name text NOT NULL,
    checksum bytea NOT NULL,
    contracting boolean NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL,
    applied_by text DEFAULT SESSION_USER NOT NULL,
    ms integer NOT NULL
);
ALTER TABLE posthouse.schema_migrations OWNER TO posthouse_owner;
COMMENT ON TABLE posthouse.schema_migrations IS 'Numbered migrations that were applied; contracting: older programs cannot go on';
CREATE TABLE posthouse.settings (
    name text NOT NULL,
    value text NOT NULL,
    updated timestamp with time zone DEFAULT now() NOT NULL
);
ALTER TABLE posthouse.settings OWNER TO posthouse_owner;
CREATE TABLE posthouse.snapshot_items (
    scope bigint NOT NULL,
    day date NOT NULL,
    class smallint NOT NULL,
    "position" smallint NOT NULL,
    item_id text NOT NULL COLLATE pg_catalog."C",
    response_id text NOT NULL COLLATE pg_catalog."C"
)
PARTITION BY LIST (class);
ALTER TABLE ONLY posthouse.snapshot_items FORCE ROW LEVEL SECURITY;
ALTER TABLE posthouse.snapshot_items OWNER TO posthouse_owner;
CREATE TABLE posthouse.snapshot_items_stored (
    scope bigint NOT NULL,
    day date NOT NULL,
    class smallint NOT NULL,
    "position" smallint NOT NULL,
    item_id text NOT NULL COLLATE pg_catalog."C",
    response_id text NOT NULL COLLATE pg_catalog."C"
)
PARTITION BY RANGE (day);
ALTER TABLE posthouse.snapshot_items_stored OWNER TO posthouse_owner;
CREATE TABLE posthouse.snapshot_items_unstored (
    scope bigint NOT NULL,
    day date NOT NULL,
    class smallint NOT NULL,
    "position" smallint NOT NULL,
    item_id text NOT NULL COLLATE pg_catalog."C",
    response_id text NOT NULL COLLATE pg_catalog."C"
)
PARTITION BY RANGE (day);
ALTER TABLE posthouse.snapshot_items_unstored OWNER TO posthouse_owner;
CREATE TABLE posthouse.snapshots (
    scope bigint NOT NULL,
    account_id bigint,
    created timestamp with time zone NOT NULL,
    day date NOT NULL,
    parent_day date,
    chain_until date NOT NULL,
    depth integer NOT NULL,
    class smallint NOT NULL,
    parent_class smallint,
    flags smallint NOT NULL,
    codec smallint NOT NULL,
    turn uuid NOT NULL,
    response_id text NOT NULL COLLATE pg_catalog."C",
    parent_id text COLLATE pg_catalog."C",
    turn_status text NOT NULL COLLATE pg_catalog."C",
    model text,
    runs bytea,
    input bytea,
    output bytea,
    envelope bytea
)
PARTITION BY LIST (class);
ALTER TABLE ONLY posthouse.snapshots ALTER COLUMN input SET STORAGE EXTERNAL;
ALTER TABLE ONLY posthouse.snapshots ALTER COLUMN output SET STORAGE EXTERNAL;
ALTER TABLE ONLY posthouse.snapshots ALTER COLUMN envelope SET STORAGE EXTERNAL;
ALTER TABLE ONLY posthouse.snapshots FORCE ROW LEVEL SECURITY;
ALTER TABLE posthouse.snapshots OWNER TO posthouse_owner;
CREATE TABLE posthouse.snapshots_stored (
    scope bigint NOT NULL,
    account_id bigint,
    created timestamp with time zone NOT NULL,
    day date NOT NULL,
    parent_day date,
    chain_until date NOT NULL,
    depth integer NOT NULL,
    class smallint NOT NULL,
    parent_class smallint,
    flags smallint NOT NULL,
    codec smallint NOT NULL,
    turn uuid NOT NULL,
    response_id text NOT NULL COLLATE pg_catalog."C",
    parent_id text COLLATE pg_catalog."C",
    turn_status text NOT NULL COLLATE pg_catalog."C",
    model text,
    runs bytea,
    input bytea,
    output bytea,
    envelope bytea
)
PARTITION BY RANGE (day);
ALTER TABLE ONLY posthouse.snapshots_stored ALTER COLUMN input SET STORAGE EXTERNAL;
ALTER TABLE ONLY posthouse.snapshots_stored ALTER COLUMN output SET STORAGE EXTERNAL;
ALTER TABLE ONLY posthouse.snapshots_stored ALTER COLUMN envelope SET STORAGE EXTERNAL;
ALTER TABLE posthouse.snapshots_stored OWNER TO posthouse_owner;
CREATE TABLE posthouse.snapshots_unstored (
    scope bigint NOT NULL,
    account_id bigint,
    created timestamp with time zone NOT NULL,
    day date NOT NULL,
    parent_day date,
    chain_until date NOT NULL,
    depth integer NOT NULL,
    class smallint NOT NULL,
    parent_class smallint,
    flags smallint NOT NULL,
    codec smallint NOT NULL,
    turn uuid NOT NULL,
    response_id text NOT NULL COLLATE pg_catalog."C",
    parent_id text COLLATE pg_catalog."C",
    turn_status text NOT NULL COLLATE pg_catalog."C",
    model text,
    runs bytea,
    input bytea,
    output bytea,
    envelope bytea
)
PARTITION BY RANGE (day);
ALTER TABLE ONLY posthouse.snapshots_unstored ALTER COLUMN input SET STORAGE EXTERNAL;
ALTER TABLE ONLY posthouse.snapshots_unstored ALTER COLUMN output SET STORAGE EXTERNAL;
ALTER TABLE ONLY posthouse.snapshots_unstored ALTER COLUMN envelope SET STORAGE EXTERNAL;
ALTER TABLE posthouse.snapshots_unstored OWNER TO posthouse_owner;
CREATE TABLE posthouse.topics (
    topic text NOT NULL,
    version bigint DEFAULT 1 NOT NULL
)
WITH (fillfactor='50');
ALTER TABLE posthouse.topics OWNER TO posthouse_owner;
CREATE TABLE posthouse.usage_hours (
    hour timestamp with time zone NOT NULL,
    scope bigint NOT NULL,
    account_id bigint NOT NULL,
    model text NOT NULL,
    requests bigint DEFAULT 0 NOT NULL,
    failed bigint DEFAULT 0 NOT NULL,
    input_tokens bigint DEFAULT 0 NOT NULL,
    cached_tokens bigint DEFAULT 0 NOT NULL,
    output_tokens bigint DEFAULT 0 NOT NULL
);
ALTER TABLE posthouse.usage_hours OWNER TO posthouse_owner;
CREATE TABLE posthouse.usage_windows (
    scope bigint NOT NULL,
    node text NOT NULL,
    window_start timestamp with time zone NOT NULL,
    requests bigint DEFAULT 0 NOT NULL,
    input_tokens bigint DEFAULT 0 NOT NULL,
    cached_tokens bigint DEFAULT 0 NOT NULL,
    output_tokens bigint DEFAULT 0 NOT NULL
)
WITH (fillfactor='50');
ALTER TABLE posthouse.usage_windows OWNER TO posthouse_owner;
CREATE VIEW posthouse_admin.accounts WITH (security_barrier='true') AS
 SELECT a.name,
    a.kind,
    a.state,
        CASE
            WHEN (h.until <= now()) THEN 'active'::text
            ELSE COALESCE(h.state, 'active'::text)
        END AS health,
        CASE
            WHEN (h.until > now()) THEN h.until
            ELSE NULL::timestamp with time zone
        END AS health_until,
    h.reason AS health_reason,
    a.base_url,
    a.max_streams,
    a.weight,
    a.priority,
    a.models,
    encode(s.key_id, 'hex'::text) AS secret_key,
    s.updated AS secret_updated,
    a.created,
    a.updated,
    a.account_id
   FROM ((posthouse.accounts a
     LEFT JOIN posthouse.account_secrets s ON ((s.account_id = a.account_id)))
     LEFT JOIN posthouse.account_health h ON ((h.account_id = a.account_id)))
  WHERE (a.state <> 'removed'::text)
  ORDER BY a.name;
ALTER TABLE posthouse_admin.accounts OWNER TO posthouse_owner;
COMMENT ON VIEW posthouse_admin.accounts IS 'Upstream accounts; removed ones are left out';
COMMENT ON COLUMN posthouse_admin.accounts.name IS 'Unique among accounts that were not removed';
COMMENT ON COLUMN posthouse_admin.accounts.kind IS 'platform, codex or stateless';
COMMENT ON COLUMN posthouse_admin.accounts.state IS 'What the operator wants: active, paused or draining';
COMMENT ON COLUMN posthouse_admin.accounts.health IS 'What nodes found: active, cooling, exhausted, reauth or disabled';
COMMENT ON COLUMN posthouse_admin.accounts.health_until IS 'When a cooling or exhausted account is used again';
COMMENT ON COLUMN posthouse_admin.accounts.health_reason IS 'The signal behind its health';
COMMENT ON COLUMN posthouse_admin.accounts.base_url IS 'What stands before /responses';
COMMENT ON COLUMN posthouse_admin.accounts.max_streams IS 'Concurrent turns in the whole cluster; NULL: no limit';
COMMENT ON COLUMN posthouse_admin.accounts.weight IS 'Share of the turns, relative to other accounts';
COMMENT ON COLUMN posthouse_admin.accounts.priority IS 'Lower is preferred; accounts of equal priority share the turns';
COMMENT ON COLUMN posthouse_admin.accounts.models IS 'Models that it serves; NULL: every model';
COMMENT ON COLUMN posthouse_admin.accounts.secret_key IS 'Id of the master key that sealed its secret; NULL: no secret';
COMMENT ON COLUMN posthouse_admin.accounts.secret_updated IS 'When its secret was last written';
COMMENT ON COLUMN posthouse_admin.accounts.created IS 'When it was added';
COMMENT ON COLUMN posthouse_admin.accounts.updated IS 'When its settings or state last changed';
COMMENT ON COLUMN posthouse_admin.accounts.account_id IS 'Its number in the log and in metrics';
CREATE VIEW posthouse_admin.api_keys WITH (security_barrier='true') AS
 SELECT k.name,
    k.prefix,
        CASE
            WHEN (k.revoked IS NOT NULL) THEN 'revoked'::text
            WHEN (k.expires <= now()) THEN 'expired'::text
            ELSE 'active'::text
        END AS state,
    k.snapshots,
    k.models,
    ( SELECT array_agg(a.name ORDER BY a.name) AS array_agg
           FROM posthouse.accounts a
          WHERE (a.account_id = ANY (k.account_ids))) AS accounts,
    k.created,
    k.expires,
    k.revoked,
    k.key_id
   FROM posthouse.api_keys k
  ORDER BY k.name;
ALTER TABLE posthouse_admin.api_keys OWNER TO posthouse_owner;
COMMENT ON VIEW posthouse_admin.api_keys IS 'API keys of clients; each is a scope of its own';
COMMENT ON COLUMN posthouse_admin.api_keys.name IS 'Unique, for ever';
COMMENT ON COLUMN posthouse_admin.api_keys.prefix IS 'The first characters of the key, to recognise it by';
COMMENT ON COLUMN posthouse_admin.api_keys.state IS 'active, expired or revoked';
COMMENT ON COLUMN posthouse_admin.api_keys.snapshots IS 'Which turns are kept: all, stored or none; NULL: as the node is set';
COMMENT ON COLUMN posthouse_admin.api_keys.models IS 'Models that it may use; NULL: every model';
COMMENT ON COLUMN posthouse_admin.api_keys.accounts IS 'Accounts that may serve it; NULL: every account';
COMMENT ON COLUMN posthouse_admin.api_keys.created IS 'When it was created';
COMMENT ON COLUMN posthouse_admin.api_keys.expires IS 'When it ends; NULL: never';
COMMENT ON COLUMN posthouse_admin.api_keys.revoked IS 'When it was revoked';
COMMENT ON COLUMN posthouse_admin.api_keys.key_id IS 'Its number: the scope of what it stored';
CREATE VIEW posthouse_admin.audit WITH (security_barrier='true') AS
 SELECT a.at,
    a.actor,
    a.verb,
    a.object,
    a.reason,
    a.audit_id
   FROM posthouse.audit a
  ORDER BY a.audit_id DESC;
ALTER TABLE posthouse_admin.audit OWNER TO posthouse_owner;
COMMENT ON VIEW posthouse_admin.audit IS 'Who changed what, newest first';
COMMENT ON COLUMN posthouse_admin.audit.at IS 'When';
COMMENT ON COLUMN posthouse_admin.audit.actor IS 'The database role that was logged in';
COMMENT ON COLUMN posthouse_admin.audit.verb IS 'What was done';
COMMENT ON COLUMN posthouse_admin.audit.object IS 'Name of the account, key or setting';
COMMENT ON COLUMN posthouse_admin.audit.reason IS 'Why, in the words of whoever did it';
COMMENT ON COLUMN posthouse_admin.audit.audit_id IS 'Running number';
CREATE VIEW posthouse_admin.requests WITH (security_barrier='true') AS
 SELECT r.started,
    r.request_id,
    k.name AS key_name,
    r.node,
    r.route,
    r.model,
    a.name AS account,
    r.continuity,
    r.outcome,
    r.status,
    r.error,
    r.stream,
    r.attempts,
    r.hops,
    r.chain_bytes,
    round(((r.duration_us)::numeric / 1000.0), 3) AS duration_ms,
    round(((r.first_event_us)::numeric / 1000.0), 3) AS first_event_ms,
    r.bytes_in,
    r.bytes_out,
    r.input_tokens,
    r.cached_tokens,
    r.output_tokens,
    r.response_id,
    r.turn,
    r.day
   FROM ((posthouse.request_log r
     LEFT JOIN posthouse.api_keys k ON ((k.key_id = r.scope)))
     LEFT JOIN posthouse.accounts a ON ((a.account_id = r.account_id)));
ALTER TABLE posthouse_admin.requests OWNER TO posthouse_owner;
COMMENT ON VIEW posthouse_admin.requests IS 'One row per turn; name a day: the log has one partition for each';
COMMENT ON COLUMN posthouse_admin.requests.started IS 'When the request arrived, on the database''s clock';
COMMENT ON COLUMN posthouse_admin.requests.request_id IS 'What the client got as x-request-id';
COMMENT ON COLUMN posthouse_admin.requests.key_name IS 'The API key; NULL: authentication was off';
COMMENT ON COLUMN posthouse_admin.requests.node IS 'The node that served it';
COMMENT ON COLUMN posthouse_admin.requests.route IS 'The endpoint';
COMMENT ON COLUMN posthouse_admin.requests.model IS 'The model that was asked for';
COMMENT ON COLUMN posthouse_admin.requests.account IS 'The account that answered; NULL: none did';
COMMENT ON COLUMN posthouse_admin.requests.continuity IS 'How the conversation went on: none, live, forwarded or replayed';
COMMENT ON COLUMN posthouse_admin.requests.outcome IS 'How the turn ended';
COMMENT ON COLUMN posthouse_admin.requests.status IS 'HTTP status that the client got';
COMMENT ON COLUMN posthouse_admin.requests.error IS 'Name of the error, as in metrics; NULL: none';
COMMENT ON COLUMN posthouse_admin.requests.stream IS 'Whether events were streamed';
COMMENT ON COLUMN posthouse_admin.requests.attempts IS 'Accounts that were tried';
COMMENT ON COLUMN posthouse_admin.requests.hops IS 'Turns of the chain that was replayed';
COMMENT ON COLUMN posthouse_admin.requests.chain_bytes IS 'Bytes of the chain that was replayed';
COMMENT ON COLUMN posthouse_admin.requests.duration_ms IS 'Milliseconds from arrival to the end of the answer';
COMMENT ON COLUMN posthouse_admin.requests.first_event_ms IS 'Milliseconds from arrival to upstream''s first event';
COMMENT ON COLUMN posthouse_admin.requests.bytes_in IS 'Bytes of the client''s body';
COMMENT ON COLUMN posthouse_admin.requests.bytes_out IS 'Bytes of the answer''s body';
COMMENT ON COLUMN posthouse_admin.requests.input_tokens IS 'Input tokens, as upstream counted them';
COMMENT ON COLUMN posthouse_admin.requests.cached_tokens IS 'Input tokens that came from upstream''s prompt cache';
COMMENT ON COLUMN posthouse_admin.requests.output_tokens IS 'Output tokens, as upstream counted them';
COMMENT ON COLUMN posthouse_admin.requests.response_id IS 'Id of the response, where there was one';
COMMENT ON COLUMN posthouse_admin.requests.turn IS 'The turn''s own id';
COMMENT ON COLUMN posthouse_admin.requests.day IS 'Day (UTC) of its partition';
CREATE VIEW posthouse_admin.settings WITH (security_barrier='true') AS
 SELECT s.name,
    s.value,
    s.updated
   FROM posthouse.settings s
  ORDER BY s.name;
ALTER TABLE posthouse_admin.settings OWNER TO posthouse_owner;
COMMENT ON VIEW posthouse_admin.settings IS 'Settings that hold for the whole cluster';
COMMENT ON COLUMN posthouse_admin.settings.name IS 'retention, retention_unstored, request_log_retention';
COMMENT ON COLUMN posthouse_admin.settings.value IS 'Seconds';
COMMENT ON COLUMN posthouse_admin.settings.updated IS 'When it last changed';
ALTER TABLE ONLY posthouse.resource_owners ATTACH PARTITION posthouse.resource_owners_lasting FOR VALUES FROM ('infinity') TO (MAXVALUE);
ALTER TABLE ONLY posthouse.snapshot_items ATTACH PARTITION posthouse.snapshot_items_stored FOR VALUES IN ('0');
ALTER TABLE ONLY posthouse.snapshot_items ATTACH PARTITION posthouse.snapshot_items_unstored FOR VALUES IN ('1');
ALTER TABLE ONLY posthouse.snapshots ATTACH PARTITION posthouse.snapshots_stored FOR VALUES IN ('0');
ALTER TABLE ONLY posthouse.snapshots ATTACH PARTITION posthouse.snapshots_unstored FOR VALUES IN ('1');
ALTER TABLE ONLY posthouse.account_health
    ADD CONSTRAINT account_health_pkey PRIMARY KEY (account_id);
ALTER TABLE ONLY posthouse.account_leases
    ADD CONSTRAINT account_leases_pkey PRIMARY KEY (account_id, node_id);
ALTER TABLE ONLY posthouse.account_refresh
    ADD CONSTRAINT account_refresh_pkey PRIMARY KEY (account_id);
ALTER TABLE ONLY posthouse.account_secrets
    ADD CONSTRAINT account_secrets_pkey PRIMARY KEY (account_id);
ALTER TABLE ONLY posthouse.accounts
    ADD CONSTRAINT accounts_pkey PRIMARY KEY (account_id);
ALTER TABLE ONLY posthouse.api_keys
    ADD CONSTRAINT api_keys_hash_key UNIQUE (hash);
ALTER TABLE ONLY posthouse.api_keys
    ADD CONSTRAINT api_keys_name_key UNIQUE (name);
ALTER TABLE ONLY posthouse.api_keys
    ADD CONSTRAINT api_keys_pkey PRIMARY KEY (key_id);
ALTER TABLE ONLY posthouse.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (audit_id);
ALTER TABLE ONLY posthouse.master_keys
    ADD CONSTRAINT master_keys_pkey PRIMARY KEY (key_id);
ALTER TABLE ONLY posthouse.model_prices
    ADD CONSTRAINT model_prices_pkey PRIMARY KEY (model);
ALTER TABLE ONLY posthouse.nodes
    ADD CONSTRAINT nodes_pkey PRIMARY KEY (node_id);
ALTER TABLE ONLY posthouse.partitions
    ADD CONSTRAINT partitions_pkey PRIMARY KEY (name);
ALTER TABLE ONLY posthouse.preferences
    ADD CONSTRAINT preferences_pkey PRIMARY KEY (scope, signal);
ALTER TABLE ONLY posthouse.resource_owners
    ADD CONSTRAINT resource_owners_pkey PRIMARY KEY (scope, id, day);
ALTER TABLE ONLY posthouse.resource_owners_lasting
    ADD CONSTRAINT resource_owners_lasting_pkey PRIMARY KEY (scope, id, day);
ALTER TABLE ONLY posthouse.schema_files
    ADD CONSTRAINT schema_files_pkey PRIMARY KEY (name);
ALTER TABLE ONLY posthouse.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (version);
ALTER TABLE ONLY posthouse.settings
    ADD CONSTRAINT settings_pkey PRIMARY KEY (name);
ALTER TABLE ONLY posthouse.snapshots
    ADD CONSTRAINT snapshots_pkey PRIMARY KEY (scope, response_id, class, day);
ALTER TABLE ONLY posthouse.snapshots_stored
    ADD CONSTRAINT snapshots_stored_pkey PRIMARY KEY (scope, response_id, class, day);
ALTER TABLE ONLY posthouse.snapshots_unstored
    ADD CONSTRAINT snapshots_unstored_pkey PRIMARY KEY (scope, response_id, class, day);
ALTER TABLE ONLY posthouse.topics
    ADD CONSTRAINT topics_pkey PRIMARY KEY (topic);
ALTER TABLE ONLY posthouse.usage_hours
    ADD CONSTRAINT usage_hours_pkey PRIMARY KEY (hour, scope, account_id, model);
ALTER TABLE ONLY posthouse.usage_windows
    ADD CONSTRAINT usage_windows_pkey PRIMARY KEY (scope, window_start, node);
CREATE UNIQUE INDEX accounts_name ON posthouse.accounts USING btree (name) WHERE (state <> 'removed'::text);
CREATE INDEX request_log_turn ON ONLY posthouse.request_log USING btree (turn);
CREATE INDEX resource_owners_id ON ONLY posthouse.resource_owners USING btree (id);
CREATE INDEX resource_owners_lasting_id_idx ON posthouse.resource_owners_lasting USING btree (id);
CREATE INDEX snapshot_items_id ON ONLY posthouse.snapshot_items USING btree (scope, item_id);
CREATE INDEX snapshot_items_stored_scope_item_id_idx ON ONLY posthouse.snapshot_items_stored USING btree (scope, item_id);
CREATE INDEX snapshot_items_unstored_scope_item_id_idx ON ONLY posthouse.snapshot_items_unstored USING btree (scope, item_id);
ALTER INDEX posthouse.resource_owners_id ATTACH PARTITION posthouse.resource_owners_lasting_id_idx;
ALTER INDEX posthouse.resource_owners_pkey ATTACH PARTITION posthouse.resource_owners_lasting_pkey;
ALTER INDEX posthouse.snapshot_items_id ATTACH PARTITION posthouse.snapshot_items_stored_scope_item_id_idx;
ALTER INDEX posthouse.snapshot_items_id ATTACH PARTITION posthouse.snapshot_items_unstored_scope_item_id_idx;
ALTER INDEX posthouse.snapshots_pkey ATTACH PARTITION posthouse.snapshots_stored_pkey;
ALTER INDEX posthouse.snapshots_pkey ATTACH PARTITION posthouse.snapshots_unstored_pkey;
ALTER TABLE ONLY posthouse.account_health
    ADD CONSTRAINT account_health_account_id_fkey FOREIGN KEY (account_id) REFERENCES posthouse.accounts(account_id) ON DELETE CASCADE;
ALTER TABLE ONLY posthouse.account_leases
    ADD CONSTRAINT account_leases_account_id_fkey FOREIGN KEY (account_id) REFERENCES posthouse.accounts(account_id) ON DELETE CASCADE;
ALTER TABLE ONLY posthouse.account_refresh
    ADD CONSTRAINT account_refresh_account_id_fkey FOREIGN KEY (account_id) REFERENCES posthouse.accounts(account_id) ON DELETE CASCADE;
ALTER TABLE ONLY posthouse.account_secrets
    ADD CONSTRAINT account_secrets_account_id_fkey FOREIGN KEY (account_id) REFERENCES posthouse.accounts(account_id) ON DELETE CASCADE;
ALTER TABLE ONLY posthouse.preferences
    ADD CONSTRAINT preferences_account_id_fkey FOREIGN KEY (account_id) REFERENCES posthouse.accounts(account_id) ON DELETE CASCADE;
CREATE POLICY owner_reads ON posthouse.preferences FOR SELECT TO posthouse_owner USING (true);
CREATE POLICY owner_reads ON posthouse.resource_owners FOR SELECT TO posthouse_owner USING (true);
CREATE POLICY owner_reads ON posthouse.snapshot_items FOR SELECT TO posthouse_owner USING (true);
CREATE POLICY owner_reads ON posthouse.snapshots FOR SELECT TO posthouse_owner USING (true);
ALTER TABLE posthouse.preferences ENABLE ROW LEVEL SECURITY;
ALTER TABLE posthouse.resource_owners ENABLE ROW LEVEL SECURITY;
CREATE POLICY scope ON posthouse.preferences USING ((scope = (NULLIF(current_setting('posthouse.scope'::text, true), ''::text))::bigint));
CREATE POLICY scope ON posthouse.resource_owners USING ((scope = (NULLIF(current_setting('posthouse.scope'::text, true), ''::text))::bigint));
CREATE POLICY scope ON posthouse.snapshot_items USING ((scope = (NULLIF(current_setting('posthouse.scope'::text, true), ''::text))::bigint));
CREATE POLICY scope ON posthouse.snapshots USING ((scope = (NULLIF(current_setting('posthouse.scope'::text, true), ''::text))::bigint));
ALTER TABLE posthouse.snapshot_items ENABLE ROW LEVEL SECURITY;
ALTER TABLE posthouse.snapshots ENABLE ROW LEVEL SECURITY;
GRANT USAGE ON SCHEMA posthouse TO posthouse_node;
GRANT USAGE ON SCHEMA posthouse TO posthouse_operator;
GRANT USAGE ON SCHEMA posthouse_admin TO posthouse_node;
GRANT USAGE ON SCHEMA posthouse_admin TO posthouse_operator;
GRANT USAGE ON SCHEMA posthouse_admin TO posthouse_viewer;
GRANT USAGE ON SCHEMA posthouse_admin TO pg_monitor;
REVOKE ALL ON FUNCTION posthouse.account_id_for(p_name text, p_kind text) FROM PUBLIC;
GRANT ALL ON FUNCTION posthouse.account_id_for(p_name text, p_kind text) TO posthouse_node;
GRANT ALL ON FUNCTION posthouse.account_id_for(p_name text, p_kind text) TO posthouse_operator;
REVOKE ALL ON FUNCTION posthouse.bump(p_topic text) FROM PUBLIC;
REVOKE ALL ON FUNCTION posthouse.check_master_key(p_ids bytea[]) FROM PUBLIC;
GRANT ALL ON FUNCTION posthouse.check_master_key(p_ids bytea[]) TO posthouse_node;
REVOKE ALL ON FUNCTION posthouse.check_retention(p_name text, p_value text) FROM PUBLIC;
REVOKE ALL ON FUNCTION posthouse.commit_turn(p_turn uuid, p_node text, p_scope bigint, p_request_id text, p_route text, p_model text, p_account bigint, p_continuity text, p_outcome text, p_status integer, p_error text, p_attempts integer, p_hops integer, p_chain_bytes bigint, p_stream boolean, p_duration_us bigint, p_first_event_us bigint, p_bytes_in bigint, p_bytes_out bigint, p_input_tokens bigint, p_cached_tokens bigint, p_output_tokens bigint, p_response_id text, p_keep boolean, p_stored_upstream boolean, p_class integer, p_parent_id text, p_parent_day date, p_parent_class integer, p_parent_until date, p_flags integer, p_turn_status text, p_depth integer, p_codec integer, p_input bytea, p_output bytea, p_runs bytea, p_envelope bytea, p_item_ids text[], OUT result text, OUT chain_until date) FROM PUBLIC;
GRANT ALL ON FUNCTION posthouse.commit_turn(p_turn uuid, p_node text, p_scope bigint, p_request_id text, p_route text, p_model text, p_account bigint, p_continuity text, p_outcome text, p_status integer, p_error text, p_attempts integer, p_hops integer, p_chain_bytes bigint, p_stream boolean, p_duration_us bigint, p_first_event_us bigint, p_bytes_in bigint, p_bytes_out bigint, p_input_tokens bigint, p_cached_tokens bigint, p_output_tokens bigint, p_response_id text, p_keep boolean, p_stored_upstream boolean, p_class integer, p_parent_id text, p_parent_day date, p_parent_class integer, p_parent_until date, p_flags integer, p_turn_status text, p_depth integer, p_codec integer, p_input bytea, p_output bytea, p_runs bytea, p_envelope bytea, p_item_ids text[], OUT result text, OUT chain_until date) TO posthouse_node;
REVOKE ALL ON FUNCTION posthouse.create_key(p_name text, p_hash bytea, p_prefix text, p_snapshots text, p_expires_s bigint, p_models text[], p_accounts text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION posthouse.create_key(p_name text, p_hash bytea, p_prefix text, p_snapshots text, p_expires_s bigint, p_models text[], p_accounts text[]) TO posthouse_node;
GRANT ALL ON FUNCTION posthouse.create_key(p_name text, p_hash bytea, p_prefix text, p_snapshots text, p_expires_s bigint, p_models text[], p_accounts text[]) TO posthouse_operator;
REVOKE ALL ON FUNCTION posthouse.create_partition(p_parent text, p_day date) FROM PUBLIC;
REVOKE ALL ON FUNCTION posthouse.drop_partition(p_today date) FROM PUBLIC;
REVOKE ALL ON FUNCTION posthouse.find_api_key(p_hash bytea) FROM PUBLIC;
GRANT ALL ON FUNCTION posthouse.find_api_key(p_hash bytea) TO posthouse_node;
REVOKE ALL ON FUNCTION posthouse.find_items(p_scope bigint, p_ids text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION posthouse.find_items(p_scope bigint, p_ids text[]) TO posthouse_node;
REVOKE ALL ON FUNCTION posthouse.hello(OUT schema_version integer, OUT needs_version integer, OUT today date, OUT server_version integer, OUT retention_days double precision, OUT retention_unstored_days double precision) FROM PUBLIC;
GRANT ALL ON FUNCTION posthouse.hello(OUT schema_version integer, OUT needs_version integer, OUT today date, OUT server_version integer, OUT retention_days double precision, OUT retention_unstored_days double precision) TO posthouse_node;
REVOKE ALL ON FUNCTION posthouse.hide_response(p_scope bigint, p_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION posthouse.hide_response(p_scope bigint, p_id text) TO posthouse_node;
REVOKE ALL ON FUNCTION posthouse.init_setting(p_name text, p_value text) FROM PUBLIC;
GRANT ALL ON FUNCTION posthouse.init_setting(p_name text, p_value text) TO posthouse_node;
REVOKE ALL ON FUNCTION posthouse.is_foreign(p_scope bigint, p_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION posthouse.is_foreign(p_scope bigint, p_id text) TO posthouse_node;
REVOKE ALL ON FUNCTION posthouse.keep_days(p_parent text) FROM PUBLIC;
REVOKE ALL ON FUNCTION posthouse.keep_promises() FROM PUBLIC;
REVOKE ALL ON FUNCTION posthouse.load_accounts() FROM PUBLIC;
GRANT ALL ON FUNCTION posthouse.load_accounts() TO posthouse_node;
REVOKE ALL ON FUNCTION posthouse.load_api_keys() FROM PUBLIC;
GRANT ALL ON FUNCTION posthouse.load_api_keys() TO posthouse_node;
REVOKE ALL ON FUNCTION posthouse.locate(p_scope bigint, p_id text, OUT day date, OUT class smallint, OUT flags integer, OUT account_id bigint, OUT depth integer, OUT chain_until date, OUT created timestamp with time zone, OUT model text) FROM PUBLIC;
GRANT ALL ON FUNCTION posthouse.locate(p_scope bigint, p_id text, OUT day date, OUT class smallint, OUT flags integer, OUT account_id bigint, OUT depth integer, OUT chain_until date, OUT created timestamp with time zone, OUT model text) TO posthouse_node;
REVOKE ALL ON FUNCTION posthouse.maintain(OUT created integer, OUT dropped integer) FROM PUBLIC;
GRANT ALL ON FUNCTION posthouse.maintain(OUT created integer, OUT dropped integer) TO posthouse_node;
REVOKE ALL ON FUNCTION posthouse.note(p_verb text, p_object text, p_reason text) FROM PUBLIC;
REVOKE ALL ON FUNCTION posthouse.put_account(p_id bigint, p_name text, p_kind text, p_base_url text, p_sealed bytea, p_key_id bytea, p_max_streams integer, p_weight integer, p_priority integer, p_models text[], p_token_url text) FROM PUBLIC;
GRANT ALL ON FUNCTION posthouse.put_account(p_id bigint, p_name text, p_kind text, p_base_url text, p_sealed bytea, p_key_id bytea, p_max_streams integer, p_weight integer, p_priority integer, p_models text[], p_token_url text) TO posthouse_node;
GRANT ALL ON FUNCTION posthouse.put_account(p_id bigint, p_name text, p_kind text, p_base_url text, p_sealed bytea, p_key_id bytea, p_max_streams integer, p_weight integer, p_priority integer, p_models text[], p_token_url text) TO posthouse_operator;
REVOKE ALL ON FUNCTION posthouse.read_response(p_scope bigint, p_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION posthouse.read_response(p_scope bigint, p_id text) TO posthouse_node;
REVOKE ALL ON FUNCTION posthouse.remove_account(p_name text, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION posthouse.remove_account(p_name text, p_reason text) TO posthouse_node;
GRANT ALL ON FUNCTION posthouse.remove_account(p_name text, p_reason text) TO posthouse_operator;
REVOKE ALL ON FUNCTION posthouse.resolve(p_scope bigint, p_id text, p_forward bigint[], p_max_bytes bigint, p_max_hops integer) FROM PUBLIC;
GRANT ALL ON FUNCTION posthouse.resolve(p_scope bigint, p_id text, p_forward bigint[], p_max_bytes bigint, p_max_hops integer) TO posthouse_node;
REVOKE ALL ON FUNCTION posthouse.set_account_state(p_name text, p_state text, p_verb text, p_reason text) FROM PUBLIC;
REVOKE ALL ON FUNCTION posthouse.topics() FROM PUBLIC;
GRANT ALL ON FUNCTION posthouse.topics() TO posthouse_node;
REVOKE ALL ON FUNCTION posthouse.walk(p_scope bigint, p_id text, p_class smallint, p_day date, p_max_bytes bigint, p_max_hops integer, OUT status text, OUT days date[], OUT classes smallint[], OUT counts integer[], OUT tids tid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION posthouse.walk(p_scope bigint, p_id text, p_class smallint, p_day date, p_max_bytes bigint, p_max_hops integer, OUT status text, OUT days date[], OUT classes smallint[], OUT counts integer[], OUT tids tid[]) TO posthouse_node;
REVOKE ALL ON FUNCTION posthouse.warm() FROM PUBLIC;
GRANT ALL ON FUNCTION posthouse.warm() TO posthouse_node;
REVOKE ALL ON FUNCTION posthouse_admin.chain(key_name text, response_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION posthouse_admin.chain(key_name text, response_id text) TO posthouse_node;
GRANT ALL ON FUNCTION posthouse_admin.chain(key_name text, response_id text) TO posthouse_operator;
GRANT ALL ON FUNCTION posthouse_admin.chain(key_name text, response_id text) TO posthouse_viewer;
GRANT ALL ON FUNCTION posthouse_admin.chain(key_name text, response_id text) TO pg_monitor;
REVOKE ALL ON FUNCTION posthouse_admin.pause_account(name text, reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION posthouse_admin.pause_account(name text, reason text) TO posthouse_node;
GRANT ALL ON FUNCTION posthouse_admin.pause_account(name text, reason text) TO posthouse_operator;
REVOKE ALL ON FUNCTION posthouse_admin.resume_account(name text, reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION posthouse_admin.resume_account(name text, reason text) TO posthouse_node;
GRANT ALL ON FUNCTION posthouse_admin.resume_account(name text, reason text) TO posthouse_operator;
REVOKE ALL ON FUNCTION posthouse_admin.revoke_api_key(name text, reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION posthouse_admin.revoke_api_key(name text, reason text) TO posthouse_node;
GRANT ALL ON FUNCTION posthouse_admin.revoke_api_key(name text, reason text) TO posthouse_operator;
GRANT SELECT ON TABLE posthouse.account_health TO posthouse_node;
GRANT SELECT ON TABLE posthouse.account_secrets TO posthouse_node;
GRANT SELECT ON TABLE posthouse.accounts TO posthouse_node;
GRANT SELECT ON TABLE posthouse.api_keys TO posthouse_node;
GRANT INSERT ON TABLE posthouse.request_log TO posthouse_node;
GRANT SELECT(day) ON TABLE posthouse.request_log TO posthouse_node;
GRANT SELECT(turn) ON TABLE posthouse.request_log TO posthouse_node;
GRANT SELECT,INSERT ON TABLE posthouse.resource_owners TO posthouse_node;
GRANT UPDATE(hidden) ON TABLE posthouse.resource_owners TO posthouse_node;
GRANT SELECT ON TABLE posthouse.schema_files TO posthouse_node;
GRANT SELECT ON TABLE posthouse.schema_migrations TO posthouse_node;
GRANT SELECT ON TABLE posthouse.settings TO posthouse_node;
GRANT SELECT,INSERT ON TABLE posthouse.snapshot_items TO posthouse_node;
GRANT SELECT,INSERT ON TABLE posthouse.snapshots TO posthouse_node;
GRANT UPDATE(flags) ON TABLE posthouse.snapshots TO posthouse_node;
GRANT SELECT ON TABLE posthouse.topics TO posthouse_node;
GRANT SELECT ON TABLE posthouse_admin.accounts TO posthouse_node;
GRANT SELECT ON TABLE posthouse_admin.accounts TO posthouse_operator;
GRANT SELECT ON TABLE posthouse_admin.accounts TO posthouse_viewer;
GRANT SELECT ON TABLE posthouse_admin.accounts TO pg_monitor;
GRANT SELECT ON TABLE posthouse_admin.api_keys TO posthouse_node;
GRANT SELECT ON TABLE posthouse_admin.api_keys TO posthouse_operator;
GRANT SELECT ON TABLE posthouse_admin.api_keys TO posthouse_viewer;
GRANT SELECT ON TABLE posthouse_admin.api_keys TO pg_monitor;
GRANT SELECT ON TABLE posthouse_admin.audit TO posthouse_node;
GRANT SELECT ON TABLE posthouse_admin.audit TO posthouse_operator;
GRANT SELECT ON TABLE posthouse_admin.audit TO posthouse_viewer;
GRANT SELECT ON TABLE posthouse_admin.audit TO pg_monitor;
GRANT SELECT ON TABLE posthouse_admin.requests TO posthouse_node;
GRANT SELECT ON TABLE posthouse_admin.requests TO posthouse_operator;
GRANT SELECT ON TABLE posthouse_admin.requests TO posthouse_viewer;
GRANT SELECT ON TABLE posthouse_admin.requests TO pg_monitor;
GRANT SELECT ON TABLE posthouse_admin.settings TO posthouse_node;
GRANT SELECT ON TABLE posthouse_admin.settings TO posthouse_operator;
GRANT SELECT ON TABLE posthouse_admin.settings TO posthouse_viewer;
GRANT SELECT ON TABLE posthouse_admin.settings TO pg_monitor;

SELECT pg_catalog.set_config('search_path', '', false);
CREATE TEMP VIEW today AS SELECT (pg_catalog.now() AT TIME ZONE 'UTC')::date AS today;
INSERT INTO posthouse.schema_migrations ("version", "name", "checksum", "contracting", "applied_at", "applied_by", "ms")
	SELECT 1, '0001_first.sql', '\x552e545a3338ca765a2ea1bb4c567dd955dc5ac53c8f3736555f8bd3eb2fec19', false, now(), 'postgres', 73 FROM today;
INSERT INTO posthouse.schema_files ("name", "checksum", "applied_at")
	SELECT 'bootstrap.sql', '\xa298fea569642f87d127ba151f910fee4f10c4e28ab8598158cf611b816c924a', now() FROM today;
INSERT INTO posthouse.schema_files ("name", "checksum", "applied_at")
	SELECT 'admin/chain.sql', '\x42c5f92661f97d842e635be428147f332abf3c7f802162d2a6ce8d13f3c02216', now() FROM today;
INSERT INTO posthouse.schema_files ("name", "checksum", "applied_at")
	SELECT 'admin/verbs.sql', '\x988168d74f7fa1d823da5d2da612a409b7a09d16acbaba23c675d5ee6561e9ce', now() FROM today;
INSERT INTO posthouse.schema_files ("name", "checksum", "applied_at")
	SELECT 'admin/views.sql', '\x1dd42cd99519d77ae6b779b3b6a570abcd940a6f2dbbfef962fe554ab361e01f', now() FROM today;
INSERT INTO posthouse.schema_files ("name", "checksum", "applied_at")
	SELECT 'functions/accounts.sql', '\xfab4dc669efa4b7dc4309bc6a217faab57348d09e7aacf9730936403ba1ed32f', now() FROM today;
INSERT INTO posthouse.schema_files ("name", "checksum", "applied_at")
	SELECT 'functions/api_keys.sql', '\x2c9c232412a226b5ba8fadf4833b57609f33e347b03ab33cbac0b36730b12a6e', now() FROM today;
INSERT INTO posthouse.schema_files ("name", "checksum", "applied_at")
	SELECT 'functions/commit_turn.sql', '\x68000b5588063c4bdbc1673a2f185ed5ca3c30749554016859f7a3cc4a046e03', now() FROM today;
INSERT INTO posthouse.schema_files ("name", "checksum", "applied_at")
	SELECT 'functions/partitions.sql', '\xcb7ec62620653d7bc0c33be80196ac43d639ca2b7bb141134107d9222b9f3aee', now() FROM today;
INSERT INTO posthouse.schema_files ("name", "checksum", "applied_at")
	SELECT 'functions/resolve.sql', '\x776882cb0bc53d63fe87e84914134df4419a64ccab46a79686930885acf9a73a', now() FROM today;
INSERT INTO posthouse.schema_files ("name", "checksum", "applied_at")
	SELECT 'functions/responses.sql', '\x3fec69ef5e4dcdb875348dab2c992017efed311443d621e522e57b3450284b3f', now() FROM today;
INSERT INTO posthouse.schema_files ("name", "checksum", "applied_at")
	SELECT 'functions/start.sql', '\x18038172477b5eae383ac974380e9ed3c38e3fb7a6082cf9231bd488a4b717c2', now() FROM today;
INSERT INTO posthouse.schema_files ("name", "checksum", "applied_at")
	SELECT 'grants.sql', '\xf3e18f8a723d78ad9b03fabe1471c648daf01bcfd4c6c478fea811c8d04eabe5', now() FROM today;
INSERT INTO posthouse.settings ("name", "value", "updated")
	SELECT 'retention', '2592000', now() FROM today;
INSERT INTO posthouse.settings ("name", "value", "updated")
	SELECT 'retention_unstored', '86400', now() FROM today;
INSERT INTO posthouse.topics ("topic", "version")
	SELECT 'accounts', 3 FROM today;
INSERT INTO posthouse.topics ("topic", "version")
	SELECT 'api_keys', 3 FROM today;
INSERT INTO posthouse.topics ("topic", "version")
	SELECT 'settings', 3 FROM today;
INSERT INTO posthouse.master_keys ("key_id", "registered")
	SELECT '\x266b8ad3df09c13a', now() FROM today;
INSERT INTO posthouse.accounts ("account_id", "name", "kind", "base_url", "token_url", "headers", "max_streams", "weight", "priority", "models", "state", "created", "updated")
	SELECT 1, 's1', 'stateless', 'http://127.0.0.1:9/a/s1/v1', NULL, NULL, NULL, 1, 0, NULL, 'active', now(), now() FROM today;
INSERT INTO posthouse.accounts ("account_id", "name", "kind", "base_url", "token_url", "headers", "max_streams", "weight", "priority", "models", "state", "created", "updated")
	SELECT 2, 'p1', 'platform', 'http://127.0.0.1:9/a/p1/v1', NULL, NULL, NULL, 1, 0, NULL, 'active', now(), now() FROM today;
INSERT INTO posthouse.account_secrets ("account_id", "sealed", "key_id", "updated")
	SELECT 2, '\x01266b8ad3df09c13a40eb4cf841cbac4a91802fc75148ce77a3ee54b419ab3a3bac7dd818485eb03d1fc45a33fa6df67255f40a84f5041e55ff908634e68f93998c', '\x266b8ad3df09c13a', now() FROM today;
INSERT INTO posthouse.api_keys ("key_id", "name", "hash", "prefix", "snapshots", "models", "account_ids", "created", "expires", "revoked") OVERRIDING SYSTEM VALUE
	SELECT 1, 'only-s1', '\x744ab009aaeac86aa042544c3c45f83c177b46850a51445a81149889af1b5887', 'ph_ei5hmKm', NULL, NULL, ARRAY[1]::bigint[], now(), NULL, NULL FROM today;
INSERT INTO posthouse.api_keys ("key_id", "name", "hash", "prefix", "snapshots", "models", "account_ids", "created", "expires", "revoked") OVERRIDING SYSTEM VALUE
	SELECT 2, 'only-p1', '\x8d0cadef4824af5d709601d4ec038fa19f067abef2b17fd86f9adc18e6a29d7a', 'ph_NSf4OCN', NULL, NULL, ARRAY[2]::bigint[], now(), NULL, NULL FROM today;
SELECT pg_catalog.setval('posthouse.accounts_account_id_seq', 10);
SELECT pg_catalog.setval('posthouse.api_keys_key_id_seq', 10);
SELECT posthouse.maintain();
INSERT INTO posthouse.snapshots ("scope", "account_id", "created", "day", "parent_day", "chain_until", "depth", "class", "parent_class", "flags", "codec", "turn", "response_id", "parent_id", "turn_status", "model", "runs", "input", "output", "envelope")
	SELECT 1, 1, now(), today.today + 0, NULL, today.today + 60, 1, 0, NULL, 0, 0, '23c0d46a-54b0-5b65-fd41-98c3432b7622', 'resp_s1_v100000001', NULL, 'completed', 'demo', NULL, '\x7b22726f6c65223a2275736572222c22636f6e74656e74223a226f6e65227d', '\x7b226964223a226d73675f73315f763130303030303030315f30222c2274797065223a226d657373616765222c22737461747573223a22636f6d706c65746564222c22726f6c65223a22617373697374616e74222c22636f6e74656e74223a5b7b2274797065223a226f75747075745f74657874222c2274657874223a227365656e203120323462313463663133656661663036353964343832316666663732363939363962356135626366353734653430366439613930383036346537396363316536393a206f6e65222c22616e6e6f746174696f6e73223a5b5d2c226c6f6770726f6273223a5b5d7d5d7d', '\x7b226964223a22726573705f73315f76313030303030303031222c226f626a656374223a22726573706f6e7365222c22637265617465645f6174223a313739353337333537332c22737461747573223a22636f6d706c65746564222c22636f6d706c657465645f6174223a313739353337333537332c226572726f72223a6e756c6c2c22696e636f6d706c6574655f64657461696c73223a6e756c6c2c226f7574707574223a5b5d2c227573616765223a7b22696e7075745f746f6b656e73223a31302c22696e7075745f746f6b656e735f64657461696c73223a7b226361636865645f746f6b656e73223a307d2c226f75747075745f746f6b656e73223a32302c226f75747075745f746f6b656e735f64657461696c73223a7b22726561736f6e696e675f746f6b656e73223a307d2c22746f74616c5f746f6b656e73223a33307d2c226d6f64656c223a2264656d6f222c2273746f7265223a66616c73652c2270726576696f75735f726573706f6e73655f6964223a6e756c6c2c22696e737472756374696f6e73223a6e756c6c2c22746f6f6c73223a5b5d2c22746f6f6c5f63686f696365223a226175746f222c227472756e636174696f6e223a2264697361626c6564222c22706172616c6c656c5f746f6f6c5f63616c6c73223a747275652c2274657874223a7b22666f726d6174223a7b2274797065223a2274657874227d2c22766572626f73697479223a226d656469756d227d2c22746f705f70223a312e302c2270726573656e63655f70656e616c7479223a302e302c226672657175656e63795f70656e616c7479223a302e302c22746f705f6c6f6770726f6273223a302c2274656d7065726174757265223a312e302c22726561736f6e696e67223a7b226566666f7274223a6e756c6c2c2273756d6d617279223a6e756c6c7d2c226d61785f6f75747075745f746f6b656e73223a6e756c6c2c226d61785f746f6f6c5f63616c6c73223a6e756c6c2c226261636b67726f756e64223a66616c73652c22736572766963655f74696572223a2264656661756c74222c226d65746164617461223a7b7d2c227361666574795f6964656e746966696572223a6e756c6c2c2270726f6d70745f63616368655f6b6579223a6e756c6c2c2275736572223a6e756c6c7d' FROM today;
INSERT INTO posthouse.snapshots ("scope", "account_id", "created", "day", "parent_day", "chain_until", "depth", "class", "parent_class", "flags", "codec", "turn", "response_id", "parent_id", "turn_status", "model", "runs", "input", "output", "envelope")
	SELECT 1, 1, now(), today.today + 0, today.today + 0, today.today + 60, 2, 0, 0, 0, 0, '5d018ef9-a975-08e4-5714-59d25a3b94d5', 'resp_s1_v100000002', 'resp_s1_v100000001', 'completed', 'demo', NULL, '\x7b22726f6c65223a2275736572222c22636f6e74656e74223a2274776f227d', '\x7b226964223a226d73675f73315f763130303030303030325f30222c2274797065223a226d657373616765222c22737461747573223a22636f6d706c65746564222c22726f6c65223a22617373697374616e74222c22636f6e74656e74223a5b7b2274797065223a226f75747075745f74657874222c2274657874223a227365656e203320373565316331373531663761383239346631636432303963653134663665653334633066653933366331346261353266373136633139336465336130656465313a2074776f222c22616e6e6f746174696f6e73223a5b5d2c226c6f6770726f6273223a5b5d7d5d7d', '\x7b226964223a22726573705f73315f76313030303030303032222c226f626a656374223a22726573706f6e7365222c22637265617465645f6174223a313739353337333537332c22737461747573223a22636f6d706c65746564222c22636f6d706c657465645f6174223a313739353337333537332c226572726f72223a6e756c6c2c22696e636f6d706c6574655f64657461696c73223a6e756c6c2c226f7574707574223a5b5d2c227573616765223a7b22696e7075745f746f6b656e73223a33332c22696e7075745f746f6b656e735f64657461696c73223a7b226361636865645f746f6b656e73223a307d2c226f75747075745f746f6b656e73223a32302c226f75747075745f746f6b656e735f64657461696c73223a7b22726561736f6e696e675f746f6b656e73223a307d2c22746f74616c5f746f6b656e73223a35337d2c226d6f64656c223a2264656d6f222c2273746f7265223a66616c73652c2270726576696f75735f726573706f6e73655f6964223a6e756c6c2c22696e737472756374696f6e73223a6e756c6c2c22746f6f6c73223a5b5d2c22746f6f6c5f63686f696365223a226175746f222c227472756e636174696f6e223a2264697361626c6564222c22706172616c6c656c5f746f6f6c5f63616c6c73223a747275652c2274657874223a7b22666f726d6174223a7b2274797065223a2274657874227d2c22766572626f73697479223a226d656469756d227d2c22746f705f70223a312e302c2270726573656e63655f70656e616c7479223a302e302c226672657175656e63795f70656e616c7479223a302e302c22746f705f6c6f6770726f6273223a302c2274656d7065726174757265223a312e302c22726561736f6e696e67223a7b226566666f7274223a6e756c6c2c2273756d6d617279223a6e756c6c7d2c226d61785f6f75747075745f746f6b656e73223a6e756c6c2c226d61785f746f6f6c5f63616c6c73223a6e756c6c2c226261636b67726f756e64223a66616c73652c22736572766963655f74696572223a2264656661756c74222c226d65746164617461223a7b7d2c227361666574795f6964656e746966696572223a6e756c6c2c2270726f6d70745f63616368655f6b6579223a6e756c6c2c2275736572223a6e756c6c7d' FROM today;
INSERT INTO posthouse.snapshots ("scope", "account_id", "created", "day", "parent_day", "chain_until", "depth", "class", "parent_class", "flags", "codec", "turn", "response_id", "parent_id", "turn_status", "model", "runs", "input", "output", "envelope")
	SELECT 1, 1, now(), today.today + 0, today.today + 0, today.today + 60, 3, 0, 0, 0, 0, '1fd55017-b0a2-1a7b-f48f-a5b1c7b3b1a7', 'resp_s1_v100000003', 'resp_s1_v100000002', 'completed', 'demo', NULL, '\x7b22726f6c65223a2275736572222c22636f6e74656e74223a227468726565206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e6720227d', '\x7b226964223a226d73675f73315f763130303030303030335f30222c2274797065223a226d657373616765222c22737461747573223a22636f6d706c65746564222c22726f6c65223a22617373697374616e74222c22636f6e74656e74223a5b7b2274797065223a226f75747075745f74657874222c2274657874223a227365656e203520303761316163326638366264373534303965653364633232613037663332633266316235396634353032393232336264333137636533383365613536323962643a207468726565206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e222c22616e6e6f746174696f6e73223a5b5d2c226c6f6770726f6273223a5b5d7d5d7d', '\x7b226964223a22726573705f73315f76313030303030303033222c226f626a656374223a22726573706f6e7365222c22637265617465645f6174223a313739353337333537332c22737461747573223a22636f6d706c65746564222c22636f6d706c657465645f6174223a313739353337333537332c226572726f72223a6e756c6c2c22696e636f6d706c6574655f64657461696c73223a6e756c6c2c226f7574707574223a5b5d2c227573616765223a7b22696e7075745f746f6b656e73223a3535372c22696e7075745f746f6b656e735f64657461696c73223a7b226361636865645f746f6b656e73223a307d2c226f75747075745f746f6b656e73223a3237352c226f75747075745f746f6b656e735f64657461696c73223a7b22726561736f6e696e675f746f6b656e73223a307d2c22746f74616c5f746f6b656e73223a3833327d2c226d6f64656c223a2264656d6f222c2273746f7265223a66616c73652c2270726576696f75735f726573706f6e73655f6964223a6e756c6c2c22696e737472756374696f6e73223a6e756c6c2c22746f6f6c73223a5b5d2c22746f6f6c5f63686f696365223a226175746f222c227472756e636174696f6e223a2264697361626c6564222c22706172616c6c656c5f746f6f6c5f63616c6c73223a747275652c2274657874223a7b22666f726d6174223a7b2274797065223a2274657874227d2c22766572626f73697479223a226d656469756d227d2c22746f705f70223a312e302c2270726573656e63655f70656e616c7479223a302e302c226672657175656e63795f70656e616c7479223a302e302c22746f705f6c6f6770726f6273223a302c2274656d7065726174757265223a312e302c22726561736f6e696e67223a7b226566666f7274223a6e756c6c2c2273756d6d617279223a6e756c6c7d2c226d61785f6f75747075745f746f6b656e73223a6e756c6c2c226d61785f746f6f6c5f63616c6c73223a6e756c6c2c226261636b67726f756e64223a66616c73652c22736572766963655f74696572223a2264656661756c74222c226d65746164617461223a7b7d2c227361666574795f6964656e746966696572223a6e756c6c2c2270726f6d70745f63616368655f6b6579223a6e756c6c2c2275736572223a6e756c6c7d' FROM today;
INSERT INTO posthouse.snapshots ("scope", "account_id", "created", "day", "parent_day", "chain_until", "depth", "class", "parent_class", "flags", "codec", "turn", "response_id", "parent_id", "turn_status", "model", "runs", "input", "output", "envelope")
	SELECT 2, 2, now(), today.today + 0, NULL, today.today + 60, 1, 0, NULL, 1, 0, '19f9aac0-a0ed-fe79-74d4-76623d19cbb3', 'resp_p1_v100000001', NULL, 'completed', 'demo', NULL, '\x7b22726f6c65223a2275736572222c22636f6e74656e74223a226f6e65227d', '\x7b226964223a226d73675f70315f763130303030303030315f30222c2274797065223a226d657373616765222c22737461747573223a22636f6d706c65746564222c22726f6c65223a22617373697374616e74222c22636f6e74656e74223a5b7b2274797065223a226f75747075745f74657874222c2274657874223a227365656e203120323462313463663133656661663036353964343832316666663732363939363962356135626366353734653430366439613930383036346537396363316536393a206f6e65222c22616e6e6f746174696f6e73223a5b5d2c226c6f6770726f6273223a5b5d7d5d7d', '\x7b226964223a22726573705f70315f76313030303030303031222c226f626a656374223a22726573706f6e7365222c22637265617465645f6174223a313739353337333537332c22737461747573223a22636f6d706c65746564222c22636f6d706c657465645f6174223a313739353337333537332c226572726f72223a6e756c6c2c22696e636f6d706c6574655f64657461696c73223a6e756c6c2c226f7574707574223a5b5d2c227573616765223a7b22696e7075745f746f6b656e73223a31302c22696e7075745f746f6b656e735f64657461696c73223a7b226361636865645f746f6b656e73223a307d2c226f75747075745f746f6b656e73223a32302c226f75747075745f746f6b656e735f64657461696c73223a7b22726561736f6e696e675f746f6b656e73223a307d2c22746f74616c5f746f6b656e73223a33307d2c226d6f64656c223a2264656d6f222c2273746f7265223a747275652c2270726576696f75735f726573706f6e73655f6964223a6e756c6c2c22696e737472756374696f6e73223a6e756c6c2c22746f6f6c73223a5b5d2c22746f6f6c5f63686f696365223a226175746f222c227472756e636174696f6e223a2264697361626c6564222c22706172616c6c656c5f746f6f6c5f63616c6c73223a747275652c2274657874223a7b22666f726d6174223a7b2274797065223a2274657874227d2c22766572626f73697479223a226d656469756d227d2c22746f705f70223a312e302c2270726573656e63655f70656e616c7479223a302e302c226672657175656e63795f70656e616c7479223a302e302c22746f705f6c6f6770726f6273223a302c2274656d7065726174757265223a312e302c22726561736f6e696e67223a7b226566666f7274223a6e756c6c2c2273756d6d617279223a6e756c6c7d2c226d61785f6f75747075745f746f6b656e73223a6e756c6c2c226d61785f746f6f6c5f63616c6c73223a6e756c6c2c226261636b67726f756e64223a66616c73652c22736572766963655f74696572223a2264656661756c74222c226d65746164617461223a7b7d2c227361666574795f6964656e746966696572223a6e756c6c2c2270726f6d70745f63616368655f6b6579223a6e756c6c2c2275736572223a6e756c6c7d' FROM today;
INSERT INTO posthouse.snapshots ("scope", "account_id", "created", "day", "parent_day", "chain_until", "depth", "class", "parent_class", "flags", "codec", "turn", "response_id", "parent_id", "turn_status", "model", "runs", "input", "output", "envelope")
	SELECT 2, 2, now(), today.today + 0, today.today + 0, today.today + 60, 2, 0, 0, 1, 0, '4b9bc913-0ebf-9456-e630-2c2a91924336', 'resp_p1_v100000002', 'resp_p1_v100000001', 'completed', 'demo', NULL, '\x7b22726f6c65223a2275736572222c22636f6e74656e74223a2274776f227d', '\x7b226964223a226d73675f70315f763130303030303030325f30222c2274797065223a226d657373616765222c22737461747573223a22636f6d706c65746564222c22726f6c65223a22617373697374616e74222c22636f6e74656e74223a5b7b2274797065223a226f75747075745f74657874222c2274657874223a227365656e203320373565316331373531663761383239346631636432303963653134663665653334633066653933366331346261353266373136633139336465336130656465313a2074776f222c22616e6e6f746174696f6e73223a5b5d2c226c6f6770726f6273223a5b5d7d5d7d', '\x7b226964223a22726573705f70315f76313030303030303032222c226f626a656374223a22726573706f6e7365222c22637265617465645f6174223a313739353337333537332c22737461747573223a22636f6d706c65746564222c22636f6d706c657465645f6174223a313739353337333537332c226572726f72223a6e756c6c2c22696e636f6d706c6574655f64657461696c73223a6e756c6c2c226f7574707574223a5b5d2c227573616765223a7b22696e7075745f746f6b656e73223a33332c22696e7075745f746f6b656e735f64657461696c73223a7b226361636865645f746f6b656e73223a32337d2c226f75747075745f746f6b656e73223a32302c226f75747075745f746f6b656e735f64657461696c73223a7b22726561736f6e696e675f746f6b656e73223a307d2c22746f74616c5f746f6b656e73223a35337d2c226d6f64656c223a2264656d6f222c2273746f7265223a747275652c2270726576696f75735f726573706f6e73655f6964223a22726573705f70315f76313030303030303031222c22696e737472756374696f6e73223a6e756c6c2c22746f6f6c73223a5b5d2c22746f6f6c5f63686f696365223a226175746f222c227472756e636174696f6e223a2264697361626c6564222c22706172616c6c656c5f746f6f6c5f63616c6c73223a747275652c2274657874223a7b22666f726d6174223a7b2274797065223a2274657874227d2c22766572626f73697479223a226d656469756d227d2c22746f705f70223a312e302c2270726573656e63655f70656e616c7479223a302e302c226672657175656e63795f70656e616c7479223a302e302c22746f705f6c6f6770726f6273223a302c2274656d7065726174757265223a312e302c22726561736f6e696e67223a7b226566666f7274223a6e756c6c2c2273756d6d617279223a6e756c6c7d2c226d61785f6f75747075745f746f6b656e73223a6e756c6c2c226d61785f746f6f6c5f63616c6c73223a6e756c6c2c226261636b67726f756e64223a66616c73652c22736572766963655f74696572223a2264656661756c74222c226d65746164617461223a7b7d2c227361666574795f6964656e746966696572223a6e756c6c2c2270726f6d70745f63616368655f6b6579223a6e756c6c2c2275736572223a6e756c6c7d' FROM today;
INSERT INTO posthouse.snapshots ("scope", "account_id", "created", "day", "parent_day", "chain_until", "depth", "class", "parent_class", "flags", "codec", "turn", "response_id", "parent_id", "turn_status", "model", "runs", "input", "output", "envelope")
	SELECT 2, 2, now(), today.today + 0, today.today + 0, today.today + 60, 3, 0, 0, 1, 0, '16e17051-2dc6-1580-6c17-2700a1ade116', 'resp_p1_v100000003', 'resp_p1_v100000002', 'completed', 'demo', NULL, '\x7b22726f6c65223a2275736572222c22636f6e74656e74223a227468726565206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e6720227d', '\x7b226964223a226d73675f70315f763130303030303030335f30222c2274797065223a226d657373616765222c22737461747573223a22636f6d706c65746564222c22726f6c65223a22617373697374616e74222c22636f6e74656e74223a5b7b2274797065223a226f75747075745f74657874222c2274657874223a227365656e203520303761316163326638366264373534303965653364633232613037663332633266316235396634353032393232336264333137636533383365613536323962643a207468726565206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e67206c6f6e222c22616e6e6f746174696f6e73223a5b5d2c226c6f6770726f6273223a5b5d7d5d7d', '\x7b226964223a22726573705f70315f76313030303030303033222c226f626a656374223a22726573706f6e7365222c22637265617465645f6174223a313739353337333537332c22737461747573223a22636f6d706c65746564222c22636f6d706c657465645f6174223a313739353337333537332c226572726f72223a6e756c6c2c22696e636f6d706c6574655f64657461696c73223a6e756c6c2c226f7574707574223a5b5d2c227573616765223a7b22696e7075745f746f6b656e73223a3535372c22696e7075745f746f6b656e735f64657461696c73223a7b226361636865645f746f6b656e73223a34377d2c226f75747075745f746f6b656e73223a3237352c226f75747075745f746f6b656e735f64657461696c73223a7b22726561736f6e696e675f746f6b656e73223a307d2c22746f74616c5f746f6b656e73223a3833327d2c226d6f64656c223a2264656d6f222c2273746f7265223a747275652c2270726576696f75735f726573706f6e73655f6964223a22726573705f70315f76313030303030303032222c22696e737472756374696f6e73223a6e756c6c2c22746f6f6c73223a5b5d2c22746f6f6c5f63686f696365223a226175746f222c227472756e636174696f6e223a2264697361626c6564222c22706172616c6c656c5f746f6f6c5f63616c6c73223a747275652c2274657874223a7b22666f726d6174223a7b2274797065223a2274657874227d2c22766572626f73697479223a226d656469756d227d2c22746f705f70223a312e302c2270726573656e63655f70656e616c7479223a302e302c226672657175656e63795f70656e616c7479223a302e302c22746f705f6c6f6770726f6273223a302c2274656d7065726174757265223a312e302c22726561736f6e696e67223a7b226566666f7274223a6e756c6c2c2273756d6d617279223a6e756c6c7d2c226d61785f6f75747075745f746f6b656e73223a6e756c6c2c226d61785f746f6f6c5f63616c6c73223a6e756c6c2c226261636b67726f756e64223a66616c73652c22736572766963655f74696572223a2264656661756c74222c226d65746164617461223a7b7d2c227361666574795f6964656e746966696572223a6e756c6c2c2270726f6d70745f63616368655f6b6579223a6e756c6c2c2275736572223a6e756c6c7d' FROM today;
INSERT INTO posthouse.snapshot_items ("scope", "day", "class", "position", "item_id", "response_id")
	SELECT 1, today.today + 0, 0, 0, 'msg_s1_v100000001_0', 'resp_s1_v100000001' FROM today;
INSERT INTO posthouse.snapshot_items ("scope", "day", "class", "position", "item_id", "response_id")
	SELECT 1, today.today + 0, 0, 0, 'msg_s1_v100000002_0', 'resp_s1_v100000002' FROM today;
INSERT INTO posthouse.snapshot_items ("scope", "day", "class", "position", "item_id", "response_id")
	SELECT 1, today.today + 0, 0, 0, 'msg_s1_v100000003_0', 'resp_s1_v100000003' FROM today;
INSERT INTO posthouse.snapshot_items ("scope", "day", "class", "position", "item_id", "response_id")
	SELECT 2, today.today + 0, 0, 0, 'msg_p1_v100000001_0', 'resp_p1_v100000001' FROM today;
INSERT INTO posthouse.snapshot_items ("scope", "day", "class", "position", "item_id", "response_id")
	SELECT 2, today.today + 0, 0, 0, 'msg_p1_v100000002_0', 'resp_p1_v100000002' FROM today;
INSERT INTO posthouse.snapshot_items ("scope", "day", "class", "position", "item_id", "response_id")
	SELECT 2, today.today + 0, 0, 0, 'msg_p1_v100000003_0', 'resp_p1_v100000003' FROM today;
INSERT INTO posthouse.resource_owners ("scope", "account_id", "day", "hidden", "id")
	SELECT 1, 0, today.today + 0, false, 'resp_s1_v100000001' FROM today;
INSERT INTO posthouse.resource_owners ("scope", "account_id", "day", "hidden", "id")
	SELECT 1, 0, today.today + 0, false, 'resp_s1_v100000002' FROM today;
INSERT INTO posthouse.resource_owners ("scope", "account_id", "day", "hidden", "id")
	SELECT 1, 0, today.today + 0, false, 'resp_s1_v100000003' FROM today;
INSERT INTO posthouse.resource_owners ("scope", "account_id", "day", "hidden", "id")
	SELECT 2, 2, today.today + 0, false, 'resp_p1_v100000001' FROM today;
INSERT INTO posthouse.resource_owners ("scope", "account_id", "day", "hidden", "id")
	SELECT 2, 2, today.today + 0, false, 'resp_p1_v100000002' FROM today;
INSERT INTO posthouse.resource_owners ("scope", "account_id", "day", "hidden", "id")
	SELECT 2, 2, today.today + 0, false, 'resp_p1_v100000003' FROM today;
INSERT INTO posthouse.request_log ("scope", "account_id", "started", "duration_us", "first_event_us", "bytes_in", "bytes_out", "chain_bytes", "input_tokens", "cached_tokens", "output_tokens", "day", "status", "attempts", "hops", "stream", "turn", "node", "request_id", "route", "model", "continuity", "outcome", "error", "response_id")
	SELECT 1, 1, now(), 3089, 2870, 50, 0, 0, 10, 0, 20, today.today + 0, 200, 1, 0, false, '23c0d46a-54b0-5b65-fd41-98c3432b7622', 'n1', 'req_7hiMa2mLV4Gjs1hRshcnX0cd', 'responses', 'demo', 'none', 'completed', NULL, 'resp_s1_v100000001' FROM today;
INSERT INTO posthouse.request_log ("scope", "account_id", "started", "duration_us", "first_event_us", "bytes_in", "bytes_out", "chain_bytes", "input_tokens", "cached_tokens", "output_tokens", "day", "status", "attempts", "hops", "stream", "turn", "node", "request_id", "route", "model", "continuity", "outcome", "error", "response_id")
	SELECT 1, 1, now(), 1844, 1643, 95, 3439, 268, 33, 0, 20, today.today + 0, 200, 1, 1, true, '5d018ef9-a975-08e4-5714-59d25a3b94d5', 'n1', 'req_FNItyJneIUDCviU0zSl8B4dL', 'responses', 'demo', 'replayed', 'completed', NULL, 'resp_s1_v100000002' FROM today;
INSERT INTO posthouse.request_log ("scope", "account_id", "started", "duration_us", "first_event_us", "bytes_in", "bytes_out", "chain_bytes", "input_tokens", "cached_tokens", "output_tokens", "day", "status", "attempts", "hops", "stream", "turn", "node", "request_id", "route", "model", "continuity", "outcome", "error", "response_id")
	SELECT 1, 1, now(), 1007, 874, 2099, 0, 536, 557, 0, 275, today.today + 0, 200, 1, 2, false, '1fd55017-b0a2-1a7b-f48f-a5b1c7b3b1a7', 'n1', 'req_uptRBx5nh2yGSoxbWJ1xkXXS', 'responses', 'demo', 'replayed', 'completed', NULL, 'resp_s1_v100000003' FROM today;
INSERT INTO posthouse.request_log ("scope", "account_id", "started", "duration_us", "first_event_us", "bytes_in", "bytes_out", "chain_bytes", "input_tokens", "cached_tokens", "output_tokens", "day", "status", "attempts", "hops", "stream", "turn", "node", "request_id", "route", "model", "continuity", "outcome", "error", "response_id")
	SELECT 2, 2, now(), 349, 271, 50, 0, 0, 10, 0, 20, today.today + 0, 200, 1, 0, false, '19f9aac0-a0ed-fe79-74d4-76623d19cbb3', 'n1', 'req_YBstzE2AhdwJuCV3cWXGPirS', 'responses', 'demo', 'none', 'completed', NULL, 'resp_p1_v100000001' FROM today;
INSERT INTO posthouse.request_log ("scope", "account_id", "started", "duration_us", "first_event_us", "bytes_in", "bytes_out", "chain_bytes", "input_tokens", "cached_tokens", "output_tokens", "day", "status", "attempts", "hops", "stream", "turn", "node", "request_id", "route", "model", "continuity", "outcome", "error", "response_id")
	SELECT 2, 2, now(), 910, 735, 95, 3469, 0, 33, 23, 20, today.today + 0, 200, 1, 1, true, '4b9bc913-0ebf-9456-e630-2c2a91924336', 'n1', 'req_531zoeOTOSLmpgW2fRMZM59T', 'responses', 'demo', 'forwarded', 'completed', NULL, 'resp_p1_v100000002' FROM today;
INSERT INTO posthouse.request_log ("scope", "account_id", "started", "duration_us", "first_event_us", "bytes_in", "bytes_out", "chain_bytes", "input_tokens", "cached_tokens", "output_tokens", "day", "status", "attempts", "hops", "stream", "turn", "node", "request_id", "route", "model", "continuity", "outcome", "error", "response_id")
	SELECT 2, 2, now(), 873, 797, 2099, 0, 0, 557, 47, 275, today.today + 0, 200, 1, 2, false, '16e17051-2dc6-1580-6c17-2700a1ade116', 'n1', 'req_UIREpZd0Ont6HdD2XuGwOjET', 'responses', 'demo', 'forwarded', 'completed', NULL, 'resp_p1_v100000003' FROM today;
