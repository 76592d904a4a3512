/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Periodic work, done by one node at a time: whoever comes first when it is due. A claim ends with finish_job(), or by its
 * time: then the work goes to another node. All writes but the claim are fenced by node and epoch; no transaction is open
 * while the work is done.
 */

/*
 * Tries to get the work for p_hold_ms. epoch: of the claim, or NULL: then wait_ms says when to try again. A job that nobody
 * knows is made, and due at once.
 */
CREATE OR REPLACE FUNCTION posthouse.claim_job(p_name text, p_node uuid, p_hold_ms bigint, OUT epoch bigint,
	OUT wait_ms bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_hold interval := p_hold_ms * interval '1 millisecond';
BEGIN
	INSERT INTO posthouse.jobs AS j (name, due, node_id, held_until)
	VALUES (p_name, clock_timestamp(), p_node, clock_timestamp() + v_hold)
	ON CONFLICT (name) DO UPDATE SET node_id = p_node, held_until = clock_timestamp() + v_hold, epoch = j.epoch + 1
	WHERE j.due <= clock_timestamp() AND (j.held_until IS NULL OR j.held_until <= clock_timestamp())
	RETURNING j.epoch INTO epoch;
	IF epoch IS NULL THEN
		SELECT greatest(1, ceil(extract(epoch FROM greatest(j.due, j.held_until) - clock_timestamp()) * 1000))::bigint
		INTO wait_ms FROM posthouse.jobs j WHERE j.name = p_name;
	END IF;
END $$;

/* It is done, and due again in p_next_ms; NULL: never, its row goes. False: the claim was lost before. */
CREATE OR REPLACE FUNCTION posthouse.finish_job(p_name text, p_node uuid, p_epoch bigint, p_next_ms bigint) RETURNS bool
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
BEGIN
	IF p_next_ms IS NULL THEN
		DELETE FROM posthouse.jobs j WHERE j.name = p_name AND j.node_id = p_node AND j.epoch = p_epoch;
	ELSE
		UPDATE posthouse.jobs j
		SET node_id = NULL, held_until = NULL, due = clock_timestamp() + p_next_ms * interval '1 millisecond'
		WHERE j.name = p_name AND j.node_id = p_node AND j.epoch = p_epoch;
	END IF;
	RETURN FOUND;
END $$;
