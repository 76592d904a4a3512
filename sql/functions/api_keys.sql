/* SPDX-License-Identifier: Apache-2.0 */
/* API keys. Only digests are stored; a revoked or expired key is not among the live ones. */
CREATE OR REPLACE FUNCTION posthouse.load_api_keys()
RETURNS TABLE (key_id bigint, name text, hash bytea, snapshots text, models text[], account_ids bigint[],
	expires_ms bigint)
LANGUAGE sql STABLE AS $$
	SELECT k.key_id, k.name, k.hash, k.snapshots, k.models, k.account_ids,
		(extract(epoch FROM k.expires) * 1000)::bigint
	FROM posthouse.api_keys k
	WHERE k.revoked IS NULL AND (k.expires IS NULL OR k.expires > now()) ORDER BY k.key_id
$$;

CREATE OR REPLACE FUNCTION posthouse.find_api_key(p_hash bytea)
RETURNS TABLE (key_id bigint, name text, hash bytea, snapshots text, models text[], account_ids bigint[],
	expires_ms bigint)
LANGUAGE sql STABLE AS $$
	SELECT k.key_id, k.name, k.hash, k.snapshots, k.models, k.account_ids,
		(extract(epoch FROM k.expires) * 1000)::bigint
	FROM posthouse.api_keys k
	WHERE k.hash = p_hash AND k.revoked IS NULL AND (k.expires IS NULL OR k.expires > now())
$$;

CREATE OR REPLACE FUNCTION posthouse.create_key(
	p_name text, p_hash bytea, p_prefix text, p_snapshots text, p_expires_s bigint, p_models text[], p_accounts text[])
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
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

/* The CRC-32 of zlib and RFC 1952. */
CREATE OR REPLACE FUNCTION posthouse.crc32(p_bytes bytea) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
	v bigint := 4294967295;
BEGIN
	FOR i IN 0 .. length(p_bytes) - 1 LOOP
		v := v # get_byte(p_bytes, i);
		FOR bit IN 1 .. 8 LOOP
			v := CASE v & 1 WHEN 1 THEN (v >> 1) # 3988292384 ELSE v >> 1 END;
		END LOOP;
	END LOOP;
	RETURN v # 4294967295;
END $$;

/* A number as that many digits, the most significant first. */
CREATE OR REPLACE FUNCTION posthouse.base62(p_number numeric, p_digits int) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
	v_left numeric := p_number;
	v_text text := '';
BEGIN
	FOR i IN 1 .. p_digits LOOP
		v_text := substr('0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz', mod(v_left, 62)::int + 1, 1) || v_text;
		v_left := div(v_left, 62);
	END LOOP;
	RETURN v_text;
END $$;

/*
 * A key as base/key.c makes it: "ph_", 43 digits of 256 random bits, 6 of a checksum. The bits come from three UUIDs, which
 * have 366 random ones: no extension is needed.
 */
CREATE OR REPLACE FUNCTION posthouse.make_key() RETURNS text
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	v_bits bytea := sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));
	v_number numeric := 0;
	v_key text;
BEGIN
	FOR i IN 0 .. 31 LOOP
		v_number := v_number * 256 + get_byte(v_bits, i);
	END LOOP;
	v_key := 'ph_' || posthouse.base62(v_number, 43);
	RETURN v_key || posthouse.base62(posthouse.crc32(convert_to(v_key, 'UTF8')), 6);
END $$;
