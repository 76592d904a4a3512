/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may do what; runs after every other file, in the transaction that replaced the functions. Nothing is granted on
 * partitions: policies and grants of a parent do not protect a partition that is named directly.
 */
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA posthouse, posthouse_admin FROM PUBLIC;
REVOKE ALL ON SCHEMA posthouse, posthouse_admin FROM PUBLIC;

DO $$
DECLARE
	command_line text := 'posthouse.account_id_for(text, text), posthouse.remove_account(text, text), '
		'posthouse.put_account(bigint, text, text, text, bytea, bytea, int, int, int, text[], text, int), '
		'posthouse.account_for_login(text, int, text), '
		'posthouse.put_login(bigint, text, text, text, bytea, bytea, int, int, int, text[], text, text, text, int), '
		'posthouse.login_target(text), posthouse.look_login(uuid), posthouse.take_login(uuid), '
		'posthouse.open_login(uuid, text, text, text, bytea, bytea, bigint), posthouse.end_login(uuid, bool), '
		'posthouse.create_key(text, bytea, text, text, bigint, text[], text[]), '
		'posthouse.create_limited_key(text, bytea, text, text, bigint, text[], text[], jsonb)';
	reader text;
BEGIN
	IF to_regrole('posthouse_node') IS NOT NULL THEN
		GRANT USAGE ON SCHEMA posthouse TO posthouse_node;
		GRANT SELECT ON posthouse.schema_migrations, posthouse.schema_files, posthouse.settings, posthouse.topics,
			posthouse.accounts, posthouse.account_secrets, posthouse.account_health, posthouse.account_usage,
			posthouse.api_keys, posthouse.key_limits, posthouse.model_prices TO posthouse_node;
		GRANT SELECT, INSERT ON posthouse.snapshot_items TO posthouse_node;
		GRANT INSERT, SELECT (turn, day) ON posthouse.request_log TO posthouse_node;
		GRANT SELECT, INSERT, UPDATE (flags) ON posthouse.snapshots TO posthouse_node;
		GRANT SELECT, INSERT, UPDATE (hidden) ON posthouse.resource_owners TO posthouse_node;
		GRANT SELECT, INSERT, UPDATE (ended, input, runs) ON posthouse.background_turns TO posthouse_node;
		GRANT EXECUTE ON FUNCTION posthouse.begin_background, posthouse.find_background, posthouse.end_background
			TO posthouse_node;
		/* Functions that run as the owner and are not listed here stay closed: bump, note, create_partition ... */
		GRANT EXECUTE ON FUNCTION posthouse.resolve, posthouse.locate, posthouse.walk, posthouse.is_foreign, posthouse.commit_turn, posthouse.log_turns,
			posthouse.read_response, posthouse.hide_response, posthouse.find_items, posthouse.read_items, posthouse.hello,
			posthouse.check_master_key, posthouse.init_setting, posthouse.topics, posthouse.load_accounts,
			posthouse.read_health, posthouse.report_health, posthouse.report_usage, posthouse.end_strikes,
			posthouse.load_api_keys, posthouse.find_api_key, posthouse.maintain, posthouse.warm,
			posthouse.node_facts, posthouse.report_node,
			posthouse.register_node, posthouse.heartbeat, posthouse.leave_node, posthouse.sweep_nodes,
			posthouse.lease_slots, posthouse.ask_slots, posthouse.claim_job, posthouse.finish_job,
			posthouse.claim_refresh, posthouse.finish_refresh, posthouse.fail_refresh,
			posthouse.put_traffic, posthouse.status,
			posthouse.is_counted, posthouse.reserve_turn, posthouse.settle_turns, posthouse.release_turn,
			posthouse.keep_reservations, posthouse.usage_of, posthouse.load_prices,
			posthouse.prefer, posthouse.sweep_preferences, posthouse.claim_probe, posthouse.end_probe,
			posthouse.own_ids, posthouse.find_owned, posthouse.list_owned, posthouse.disown_ids,
			posthouse.note_poll, posthouse.load_usage, posthouse.load_models, posthouse.put_models
			TO posthouse_node;
		GRANT EXECUTE ON FUNCTION posthouse.roll_up TO posthouse_node;
		GRANT SELECT ON ALL TABLES IN SCHEMA posthouse_admin TO posthouse_node;
	END IF;
	IF to_regrole('posthouse_operator') IS NOT NULL THEN
		GRANT EXECUTE ON FUNCTION posthouse.check_master_key TO posthouse_operator; -- before a secret is sealed
	END IF;
	/* The command line runs with an operator's connection, or with a node's: from within its container. */
	FOREACH reader IN ARRAY ARRAY['posthouse_node', 'posthouse_operator']
	LOOP
		IF to_regrole(reader) IS NOT NULL THEN
			EXECUTE format('GRANT USAGE ON SCHEMA posthouse TO %I', reader);
			EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', command_line, reader);
			EXECUTE format('GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA posthouse_admin TO %I', reader);
		END IF;
	END LOOP;
	/* Whether program and schema fit each other is what every command asks first. */
	FOREACH reader IN ARRAY ARRAY['posthouse_operator', 'posthouse_viewer']
	LOOP
		IF to_regrole(reader) IS NOT NULL THEN
			EXECUTE format('GRANT USAGE ON SCHEMA posthouse TO %I', reader);
			EXECUTE format('GRANT SELECT ON posthouse.schema_migrations, posthouse.schema_files TO %I', reader);
		END IF;
	END LOOP;
	FOREACH reader IN ARRAY ARRAY['posthouse_node', 'posthouse_operator', 'posthouse_viewer', 'pg_monitor']
	LOOP
		IF to_regrole(reader) IS NOT NULL THEN
			EXECUTE format('GRANT USAGE ON SCHEMA posthouse_admin TO %I', reader);
			EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA posthouse_admin TO %I', reader);
			EXECUTE format('GRANT EXECUTE ON FUNCTION posthouse_admin.chain(text, text), '
				'posthouse.share_ms(bigint[], float8) TO %I', reader);
		END IF;
	END LOOP;
END $$;

SELECT posthouse.maintain();
