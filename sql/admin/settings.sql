/* SPDX-License-Identifier: Apache-2.0 */
/* Settings that hold for the whole cluster: which there are, what they are, how they are changed. */
CREATE OR REPLACE VIEW posthouse.known_settings AS
SELECT k.name, k.standard, k.least, k.most, k.words, k.meaning FROM (VALUES
	('retention', '2592000', 1, 3153600000, NULL, 'How long the id of a stored turn can be continued, at least'),
	('retention_unstored', '86400', 1, 3153600000, NULL, 'How long the id of a turn with store:false can be continued, at least'),
	('request_log_retention', '2592000', 86400, 3153600000, NULL, 'How long rows of the view requests stay'),
	('usage_retention', '34560000', 86400, 3153600000, NULL, 'How long the figures by hour stay: usage_by_key and others'),
	('strategy', 'least_loaded', NULL, NULL, ARRAY['least_loaded', 'round_robin', 'fill_first', 'priority'],
		'Which account gets a new conversation: least_loaded, round_robin, fill_first or priority')
) AS k (name, standard, least, most, words, meaning);

CREATE OR REPLACE VIEW posthouse_admin.settings WITH (security_barrier) AS
SELECT coalesce(s.name, k.name) AS name, coalesce(s.value, k.standard) AS value, s.updated,
	CASE WHEN k.least IS NOT NULL THEN 's' END AS unit, k.standard AS "default", k.meaning
FROM posthouse.known_settings k FULL JOIN posthouse.settings s ON s.name = k.name ORDER BY 1;
COMMENT ON VIEW posthouse_admin.settings IS 'Settings that hold for the whole cluster; set_setting() changes them';
COMMENT ON COLUMN posthouse_admin.settings.name IS 'The setting';
COMMENT ON COLUMN posthouse_admin.settings.value IS 'What is in force';
COMMENT ON COLUMN posthouse_admin.settings.updated IS 'When it last changed; NULL: never, the default is in force';
COMMENT ON COLUMN posthouse_admin.settings.unit IS 's: value is in seconds; NULL: it is a word';
COMMENT ON COLUMN posthouse_admin.settings."default" IS 'What is in force where nobody set anything';
COMMENT ON COLUMN posthouse_admin.settings.meaning IS 'What it decides';

/* A duration as the command line writes it: 45s, 5m, 12h, 30d, or a number of seconds. NULL: it is none. */
CREATE OR REPLACE FUNCTION posthouse.seconds_of(p_text text) RETURNS numeric
LANGUAGE sql IMMUTABLE AS $$
	SELECT d.part[1]::numeric * CASE d.part[2] WHEN 'd' THEN 86400 WHEN 'h' THEN 3600 WHEN 'm' THEN 60 ELSE 1 END
	FROM regexp_match(p_text, '^([0-9]{1,10})(s|m|h|d)?$') AS d (part)
$$;

/* The value as it is kept: seconds or a word; refused where it is neither. */
CREATE OR REPLACE FUNCTION posthouse.check_setting(p_name text, p_value text) RETURNS text
LANGUAGE plpgsql STABLE AS $$
DECLARE
	k posthouse.known_settings;
	v_seconds numeric := posthouse.seconds_of(p_value);
BEGIN
	SELECT x.* INTO k FROM posthouse.known_settings x WHERE x.name = p_name;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'there is no setting named "%": the view settings shows all of them', p_name;
	ELSIF k.words IS NOT NULL THEN
		IF p_value = ANY (k.words) IS NOT TRUE THEN
			RAISE EXCEPTION 'setting % is one of %: "%" is not', p_name, array_to_string(k.words, ', '), p_value;
		END IF;
		RETURN p_value;
	ELSIF v_seconds BETWEEN k.least AND k.most IS NOT TRUE THEN
		RAISE EXCEPTION 'setting % is a duration of % to % seconds, for example 30d: "%" is not', p_name, k.least, k.most,
			p_value;
	END IF;
	RETURN v_seconds;
END $$;

CREATE OR REPLACE FUNCTION posthouse_admin.set_setting(name text, value text, reason text DEFAULT NULL)
RETURNS TABLE (setting text, new_value text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_value text := posthouse.check_setting(set_setting.name, set_setting.value);
BEGIN
	INSERT INTO posthouse.settings AS s (name, value) VALUES (set_setting.name, v_value)
	ON CONFLICT (name) DO UPDATE SET value = excluded.value, updated = now();
	PERFORM posthouse.keep_promises();
	PERFORM posthouse.note('set_setting', set_setting.name, concat_ws(': ', v_value, nullif(reason, '')));
	PERFORM posthouse.bump('settings');
	RETURN QUERY SELECT set_setting.name, v_value;
END $$;
COMMENT ON FUNCTION posthouse_admin.set_setting(text, text, text) IS
	'Changes a setting for all nodes. What was promised to turns under a longer retention holds for them. name: as in the view settings; value: a duration such as 30d or 12h, seconds, or one of its words; reason: for the audit, which notes the value too';
