/* SPDX-License-Identifier: Apache-2.0 */
/* Partitions: made ahead, kept as promised, dropped as a whole. */
DO $$
DECLARE
	r record;
BEGIN
	/* What the helpers made of the past is older than its promise. */
	UPDATE posthouse.partitions SET keep_until = test.today() + 1000 WHERE day < test.today();
	ASSERT (SELECT count(*) FROM posthouse.partitions WHERE day BETWEEN test.today() AND test.today() + 3) = 24;
	SELECT * INTO r FROM posthouse.maintain();
	ASSERT r.created = 0 AND r.dropped = 0, 'nothing is due';
END $$;

DO $$ -- a day that is missing is made again
DECLARE
	part text := 'request_log_' || to_char(test.today() + 2, 'YYYYMMDD');
BEGIN
	EXECUTE format('DROP TABLE posthouse.%I', part);
	DELETE FROM posthouse.partitions WHERE name = part;
	ASSERT (SELECT created FROM posthouse.maintain()) = 1;
	ASSERT to_regclass('posthouse.' || part) IS NOT NULL;
END $$;

DO $$ -- the promise in the ledger covers what commit_turn() promises
BEGIN
	ASSERT (SELECT keep_until = test.today() + 60 FROM posthouse.partitions
		WHERE parent = 'snapshots_stored' AND day = test.today());
	ASSERT (SELECT keep_until = test.today() + 2 FROM posthouse.partitions
		WHERE parent = 'snapshots_unstored' AND day = test.today());
END $$;

DO $$ -- dropped one at a time, when the last day of the promise has passed
DECLARE
	dropped int;
	rounds int := 0;
	due int;
BEGIN
	UPDATE posthouse.partitions SET keep_until = test.today() WHERE day = test.today() - 7;
	SELECT m.dropped INTO dropped FROM posthouse.maintain() m;
	ASSERT dropped = 0, 'today is still promised';
	UPDATE posthouse.partitions SET keep_until = test.today() - 1 WHERE day = test.today() - 7;
	SELECT count(*) INTO due FROM posthouse.partitions WHERE day = test.today() - 7;
	LOOP
		SELECT m.dropped INTO dropped FROM posthouse.maintain() m;
		EXIT WHEN dropped = 0;
		ASSERT dropped = 1;
		rounds := rounds + 1;
	END LOOP;
	ASSERT rounds = due AND due >= 5, format('%s of %s', rounds, due);
	ASSERT to_regclass('posthouse.snapshots_stored_' || to_char(test.today() - 7, 'YYYYMMDD')) IS NULL;
	ASSERT to_regclass('posthouse.snapshots_stored_' || to_char(test.today() - 8, 'YYYYMMDD')) IS NOT NULL;
END $$;

DO $$ -- settings: the first value stays; a longer one holds from today on, a shorter one strands nobody
DECLARE
	was date;
BEGIN
	ASSERT posthouse.init_setting('retention', '2592000') = '2592000';
	ASSERT posthouse.init_setting('retention', '86400') = '2592000';
	UPDATE posthouse.settings SET value = '864000' WHERE name = 'retention';
	PERFORM posthouse.maintain();
	SELECT keep_until INTO was FROM posthouse.partitions WHERE parent = 'snapshots_stored' AND day = test.today();
	ASSERT was = test.today() + 60, 'rows of this morning were promised 60 days';
	ASSERT (test.turn(12, test.id(1))).chain_until = test.today() + 20;
	UPDATE posthouse.settings SET value = '5184000' WHERE name = 'retention';
	PERFORM posthouse.maintain();
	ASSERT (test.turn(12, test.id(2))).chain_until = test.today() + 120;
	SELECT keep_until INTO was FROM posthouse.partitions WHERE parent = 'snapshots_stored' AND day = test.today();
	ASSERT was = test.today() + 120, was;
	UPDATE posthouse.settings SET value = '1' WHERE name = 'retention';
	ASSERT (test.turn(12, test.id(3))).chain_until = test.today() + 1, 'less than a day is a day';
	UPDATE posthouse.settings SET value = '2592000' WHERE name = 'retention';
	ASSERT test.failure($q$SELECT posthouse.init_setting('retention_unstored', 'soon')$q$) = 'P0001';
	ASSERT test.failure($q$SELECT posthouse.init_setting('retention_unstored', '0')$q$) = 'P0001';
END $$;
