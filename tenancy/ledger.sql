-- The bookings of the ledger, each one call. Three rules keep them right under any interleaving:
--   1. Whoever books shares the ledger's lock (8801); whoever moves a department has it alone.
--   2. Accounts are locked in one order: rank (servers, pools, departments from the leaf to the root), owner, class.
--   3. A claim and its lines change only while the accounts of its lines are locked.

-- The lines of the wanted claims [{id, holder, side, owners, size}], numbered in the order in which a refusal names them.
-- In PL/pgSQL, not SQL, so that the planner believes ROWS and looks the accounts up one by one.
CREATE OR REPLACE FUNCTION ledger_lines(wanted jsonb)
RETURNS TABLE (number bigint, claim_id text, owner text, resource text, amount bigint)
LANGUAGE plpgsql IMMUTABLE ROWS 20 AS $$
BEGIN
    RETURN QUERY
    SELECT 1000 * claims.n + owners.n, claims.claim ->> 'id', owners.owner, size.key, size.value::bigint
    FROM jsonb_array_elements(wanted) WITH ORDINALITY AS claims(claim, n),
         jsonb_array_elements_text(claims.claim -> 'owners') WITH ORDINALITY AS owners(owner, n),
         jsonb_each_text(claims.claim -> 'size') AS size
    WHERE size.value <> '0';
END $$;

-- The first account without room for what is wanted of it, with its figures; null where all fits.
CREATE OR REPLACE FUNCTION ledger_shortfall(wanted jsonb) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT to_jsonb(line) - 'number' - 'room'
    FROM (
        SELECT w.number, w.owner, w.resource, coalesce(a."limit", 0) AS "limit", coalesce(a.used, 0) AS used,
               coalesce(a.held, 0) AS held, coalesce(a.room, 0) AS room,
               sum(w.amount) OVER (PARTITION BY w.owner, w.resource) AS wanted,
               min(coalesce(a.room, 0)) OVER (PARTITION BY w.claim_id, w.resource) AS fits
        FROM ledger_lines(wanted) w LEFT JOIN accounts a USING (owner, resource)
    ) line
    WHERE line.room < line.wanted ORDER BY line.number, line.resource LIMIT 1
$$;

-- Hold all that is wanted, or nothing: null, {"moved": department} or the shortfall.
CREATE OR REPLACE FUNCTION ledger_hold(wanted jsonb, moment timestamptz) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    claim_ids text[]; account_ids bigint[]; amounts bigint[]; rooms bigint[]; moved text;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(8801);
    SELECT array_agg(locked.claim_id), array_agg(locked.id), array_agg(locked.amount), array_agg(locked.room)
    INTO claim_ids, account_ids, amounts, rooms
    FROM (
        SELECT w.claim_id, a.id, w.amount, a.room
        FROM ledger_lines(wanted) w JOIN accounts a USING (owner, resource)
        ORDER BY a.rank, a.owner, a.resource FOR UPDATE OF a
    ) locked;

    SELECT d.id INTO moved
    FROM jsonb_array_elements(wanted) claim JOIN departments d ON d.id = claim -> 'owners' ->> 0
    WHERE claim ->> 'side' = 'quota' AND to_jsonb(d.path) <> claim -> 'path' LIMIT 1;
    IF moved IS NOT NULL THEN
        RETURN jsonb_build_object('moved', moved);
    END IF;
    IF (SELECT count(*) FROM ledger_lines(wanted)) > coalesce(cardinality(account_ids), 0) OR EXISTS (
        SELECT FROM unnest(account_ids, amounts, rooms) AS l(account_id, amount, room)
        GROUP BY account_id HAVING sum(amount) > min(room)
    ) THEN
        RETURN ledger_shortfall(wanted);
    END IF;

    WITH line AS (
        SELECT * FROM unnest(claim_ids, account_ids, amounts) AS line(claim_id, account_id, amount)
    ), claim AS (
        INSERT INTO claims (id, holder, side, state, created_at)
        SELECT claim ->> 'id', claim ->> 'holder', claim ->> 'side', 'held', moment
        FROM jsonb_array_elements(wanted) claim
    ), booked AS (
        INSERT INTO claim_lines (claim_id, account_id, amount) SELECT * FROM line
    ), entered AS (
        INSERT INTO ledger_entries (account_id, claim_id, limit_change, held_change, used_change, at)
        SELECT account_id, claim_id, 0, amount, 0, moment FROM line
    )
    UPDATE accounts a SET held = a.held + total.amount
    FROM (SELECT account_id, sum(amount)::bigint AS amount FROM line GROUP BY account_id) total
    WHERE a.id = total.account_id;
    RETURN NULL;
END $$;

-- The open claims of these holders, of one side or (null) of both, with every account that they stand in locked.
CREATE OR REPLACE FUNCTION ledger_lock(holders text[], only_side text DEFAULT NULL, states text[] DEFAULT '{held,committed}')
RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    found text[];
BEGIN
    PERFORM pg_advisory_xact_lock_shared(8801);
    found := ledger_open(holders, only_side, states);
    PERFORM 1 FROM accounts a
    WHERE a.id IN (SELECT account_id FROM claim_lines WHERE claim_id = ANY (found))
    ORDER BY a.rank, a.owner, a.resource FOR UPDATE;
    RETURN ARRAY(SELECT unnest(found) INTERSECT SELECT unnest(ledger_open(holders, only_side, states)));
END $$;

CREATE OR REPLACE FUNCTION ledger_open(holders text[], only_side text, states text[]) RETURNS text[] LANGUAGE sql STABLE AS $$
    SELECT coalesce(array_agg(id), '{}') FROM claims
    WHERE holder = ANY (holders) AND state = ANY (states) AND (only_side IS NULL OR side = only_side)
$$;

-- Take the open claims of these holders from `states` to `outcome`, under a new holder where one is given; how many moved.
CREATE OR REPLACE FUNCTION ledger_settle(
    holders text[], only_side text, states text[], outcome text, new_holder text, moment timestamptz
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    found text[] := ledger_lock(holders, only_side, states);
BEGIN
    WITH line AS (
        SELECT l.account_id, l.claim_id,
               CASE WHEN c.state = 'held' THEN -l.amount ELSE 0 END AS held_change,
               CASE WHEN c.state = 'committed' THEN -l.amount ELSE 0 END
                   + CASE WHEN outcome = 'committed' THEN l.amount ELSE 0 END AS used_change
        FROM claims c JOIN claim_lines l ON l.claim_id = c.id
        WHERE c.id = ANY (found) AND l.amount > 0
    ), entered AS (
        INSERT INTO ledger_entries (account_id, claim_id, limit_change, held_change, used_change, at)
        SELECT account_id, claim_id, 0, held_change, used_change, moment FROM line
    ), booked AS (
        UPDATE accounts a SET held = a.held + total.held_change, used = a.used + total.used_change
        FROM (
            SELECT account_id, sum(held_change)::bigint AS held_change, sum(used_change)::bigint AS used_change
            FROM line GROUP BY account_id
        ) total
        WHERE a.id = total.account_id
    )
    UPDATE claims SET state = outcome, holder = coalesce(new_holder, holder), settled_at = moment WHERE id = ANY (found);
    RETURN cardinality(found);
END $$;

-- Take `size` off the committed claims of a holder, newest first: null, or the first class that has less than that.
CREATE OR REPLACE FUNCTION ledger_shrink(of_holder text, of_side text, size jsonb, moment timestamptz)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    found text[] := ledger_lock(ARRAY[of_holder], of_side, '{committed}'); lacking jsonb;
BEGIN
    SELECT jsonb_build_object('resource', cut.key, 'wanted', cut.value::bigint, 'committed', coalesce(min(has.amount), 0))
    INTO lacking
    FROM jsonb_each_text(size) cut LEFT JOIN (
        SELECT a.resource, sum(l.amount) AS amount FROM claim_lines l JOIN accounts a ON a.id = l.account_id
        WHERE l.claim_id = ANY (found) GROUP BY a.id
    ) has ON has.resource = cut.key
    GROUP BY cut.key, cut.value HAVING coalesce(min(has.amount), 0) < cut.value::bigint
    ORDER BY cut.key LIMIT 1;
    IF lacking IS NOT NULL THEN
        RETURN lacking;
    END IF;

    WITH line AS (
        SELECT l.claim_id, l.account_id, l.amount, cut.value::bigint AS wanted,
               sum(l.amount) OVER (PARTITION BY l.account_id ORDER BY c.created_at DESC, c.id DESC) - l.amount AS newer
        FROM claims c JOIN claim_lines l ON l.claim_id = c.id JOIN accounts a ON a.id = l.account_id
             JOIN jsonb_each_text(size) cut ON cut.key = a.resource
        WHERE c.id = ANY (found) AND l.amount > 0
    ), cut AS (
        SELECT claim_id, account_id, least(amount, wanted - newer)::bigint AS amount FROM line WHERE wanted > newer
    ), entered AS (
        INSERT INTO ledger_entries (account_id, claim_id, limit_change, held_change, used_change, at)
        SELECT account_id, claim_id, 0, 0, -amount, moment FROM cut
    ), booked AS (
        UPDATE accounts a SET used = a.used - total.amount
        FROM (SELECT account_id, sum(amount)::bigint AS amount FROM cut GROUP BY account_id) total
        WHERE a.id = total.account_id
    )
    UPDATE claim_lines l SET amount = l.amount - cut.amount
    FROM cut WHERE l.claim_id = cut.claim_id AND l.account_id = cut.account_id;
    RETURN NULL;
END $$;

-- Re-book the open claims below `moved` from the ancestors it leaves to those it joins: null or the shortfall.
CREATE OR REPLACE FUNCTION ledger_move(moved text, leaving text[], joining text[], deeper bigint, moment timestamptz)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    claim_ids text[]; states text[]; resources text[]; amounts bigint[]; refusal jsonb;
BEGIN
    PERFORM pg_advisory_xact_lock(8801);
    SELECT array_agg(c.id), array_agg(c.state), array_agg(a.resource), array_agg(l.amount)
    INTO claim_ids, states, resources, amounts
    FROM accounts a JOIN claim_lines l ON l.account_id = a.id JOIN claims c ON c.id = l.claim_id
    WHERE a.owner = moved AND c.state IN ('held', 'committed') AND l.amount > 0;

    SELECT ledger_shortfall(jsonb_build_array(jsonb_build_object(
        'id', moved, 'owners', joining, 'size', coalesce(jsonb_object_agg(resource, amount), '{}')
    ))) INTO refusal
    FROM (
        SELECT resource, sum(amount) AS amount FROM unnest(resources, amounts) AS m(resource, amount) GROUP BY resource
    ) total;
    IF refusal IS NOT NULL THEN
        RETURN refusal;
    END IF;

    WITH line AS (
        SELECT m.claim_id, a.id AS account_id, m.amount, side.sign,
               CASE WHEN m.state = 'held' THEN side.sign * m.amount ELSE 0 END AS held_change,
               CASE WHEN m.state = 'committed' THEN side.sign * m.amount ELSE 0 END AS used_change
        FROM (VALUES (-1, leaving), (1, joining)) AS side(sign, owners)
             JOIN accounts a ON a.owner = ANY (side.owners)
             JOIN unnest(claim_ids, states, resources, amounts) AS m(claim_id, state, resource, amount) USING (resource)
    ), entered AS (
        INSERT INTO ledger_entries (account_id, claim_id, limit_change, held_change, used_change, at)
        SELECT account_id, claim_id, 0, held_change, used_change, moment FROM line
    ), left_behind AS (
        DELETE FROM claim_lines l USING line
        WHERE line.sign < 0 AND l.claim_id = line.claim_id AND l.account_id = line.account_id
    ), booked AS (
        INSERT INTO claim_lines (claim_id, account_id, amount) SELECT claim_id, account_id, amount FROM line WHERE sign > 0
    )
    UPDATE accounts a SET held = a.held + total.held_change, used = a.used + total.used_change
    FROM (
        SELECT account_id, sum(held_change)::bigint AS held_change, sum(used_change)::bigint AS used_change
        FROM line GROUP BY account_id
    ) total
    WHERE a.id = total.account_id;
    UPDATE accounts a SET rank = a.rank - deeper
    FROM departments d WHERE d.id = a.owner AND d.path @> ARRAY[moved]::varchar[];
    RETURN NULL;
END $$;
