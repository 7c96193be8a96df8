"""The schema of the shared store in PostgreSQL, as a list of migrations: one for each version.

Owns the tables, the views, the functions that are the only way to write, and the roles. A tracker writes its
part of a record, under its seat; the view adds the parts up. It reads and writes nothing by itself.

A migration is never edited once released; a change of the schema is a new one at the end. Trackers of an
older version call the functions that they know, so a new function gets a new name or parameters with
defaults.

Functions, each for the members of one role (every role may read the views):
    tracker_seat      take_seat, claim_accounts, write_parts, alerts_since, own_parts
    tracker_producer  put_alert, retire_alert
    tracker_reader    none

Errors of our own, by SQLSTATE:
    TR001  the seat is not this journal's in this epoch: another tracker has it. DETAIL is a JSON object
           {ours, epoch, host, seen_at}, `null` where the seat is not there
    TR002  a record, a part or an argument that the store does not keep; the message says why
"""

from __future__ import annotations

from typing import Final

FENCED: Final = "TR001"
REFUSED: Final = "TR002"

ROLES: Final = ("tracker_seat", "tracker_producer", "tracker_reader")

MAKE_ROLES: Final = """
DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['tracker_seat', 'tracker_producer', 'tracker_reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = role) THEN
            EXECUTE format('CREATE ROLE %I LOGIN', role);
        END IF;
        -- A call that its tracker gave up must not hold the seat's row for long.
        EXECUTE format('ALTER ROLE %I SET statement_timeout = ''5s''', role);
        EXECUTE format('ALTER ROLE %I SET lock_timeout = ''3s''', role);
    END LOOP;
END $$;
"""
"""Creates the roles, which needs the right to do so. They can log in once they have a password."""

GRANTS: Final = """
DO $$
DECLARE
    role text;
BEGIN
    FOR role IN SELECT rolname FROM pg_catalog.pg_roles
        WHERE rolname IN ('tracker_seat', 'tracker_producer', 'tracker_reader')
    LOOP
        EXECUTE format('GRANT USAGE ON SCHEMA tracker TO %I', role);
        EXECUTE format('GRANT SELECT ON tracker.about, tracker.alerts, tracker.removed, tracker.seats TO %I',
            role);
        IF role = 'tracker_seat' THEN
            GRANT EXECUTE ON FUNCTION
                tracker.take_seat, tracker.claim_accounts, tracker.write_parts, tracker.alerts_since,
                tracker.own_parts TO tracker_seat;
        ELSIF role = 'tracker_producer' THEN
            GRANT EXECUTE ON FUNCTION tracker.put_alert, tracker.retire_alert TO tracker_producer;
        END IF;
    END LOOP;
END $$;
"""
"""Grants the existing roles their rights; run after every migration."""

_TABLES: Final = """
CREATE SCHEMA tracker;

CREATE TABLE tracker.meta (
    version int NOT NULL,
    zone text NOT NULL      -- stores.timezone of all trackers
);
CREATE UNIQUE INDEX meta_one_row ON tracker.meta ((true));

CREATE TABLE tracker.seat (
    seat text PRIMARY KEY,
    journal uuid,           -- the key to the seat; NULL once the seat was freed
    host text NOT NULL,
    epoch bigint NOT NULL,
    seen_at timestamptz NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE tracker.account (
    account text PRIMARY KEY,
    seat text NOT NULL REFERENCES tracker.seat
);

CREATE TABLE tracker.alert (
    alert_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alerter text COLLATE "C" NOT NULL,
    ticker text COLLATE "C" NOT NULL,
    created_at text COLLATE "C" NOT NULL,
    option_conid bigint,
    doc json NOT NULL,      -- json, not jsonb: key order and numbers stay as the producer wrote them
    hints jsonb NOT NULL,
    source text NOT NULL,
    put_at timestamptz NOT NULL,
    retired_at timestamptz,
    retired_why text,
    changed xid8 NOT NULL
);
-- Without a created_at the contract belongs to the identity.
CREATE UNIQUE INDEX alert_identity ON tracker.alert
    (alerter, ticker, created_at, (CASE WHEN created_at = '' THEN coalesce(option_conid, 0) ELSE 0 END));
CREATE UNIQUE INDEX alert_current ON tracker.alert (alerter, ticker) WHERE retired_at IS NULL;
CREATE INDEX alert_changed ON tracker.alert (changed);

CREATE TABLE tracker.part (
    alert_id bigint NOT NULL REFERENCES tracker.alert,
    seat text NOT NULL REFERENCES tracker.seat,
    open boolean NOT NULL,
    removed boolean NOT NULL,
    last_order_update jsonb,
    position jsonb,
    epoch bigint NOT NULL,
    seq bigint NOT NULL,
    changed xid8 NOT NULL,
    -- What the view adds up is read as numbers when it is written, so that a part that is none fails at its
    -- writer, never in everybody's view.
    quantity numeric GENERATED ALWAYS AS ((position ->> 'quantity')::numeric) STORED,
    avg_price numeric GENERATED ALWAYS AS ((position ->> 'avg_price')::numeric) STORED,
    CHECK (jsonb_typeof(last_order_update) = 'object'),
    CHECK (jsonb_typeof(position) = 'object'
        AND coalesce(jsonb_typeof(position -> 'quantity'), 'null') IN ('number', 'null')
        AND coalesce(jsonb_typeof(position -> 'avg_price'), 'null') IN ('number', 'null')
        AND (position -> 'shared_with' IS NULL OR jsonb_typeof(position -> 'shared_with') = 'array')),
    PRIMARY KEY (alert_id, seat)
) WITH (fillfactor = 80);
CREATE INDEX part_seat ON tracker.part (seat);
"""

_VIEWS: Final = """
CREATE VIEW tracker.alerts AS
SELECT
    alert.alerter,
    alert.ticker,
    alert.created_at,
    alert.option_conid,
    alert.source,
    coalesce(own.seats, '{}') AS seats,     -- where the alert is open
    coalesce(own.open, false) AS open,
    (alert.doc::jsonb - 'last_order_update' - 'position')
        || jsonb_build_object('open', coalesce(own.open, false))
        || CASE WHEN own.last_order_update IS NULL THEN '{}'::jsonb
            ELSE jsonb_build_object('last_order_update', own.last_order_update) END
        || CASE WHEN own.position IS NULL THEN '{}'::jsonb
            ELSE jsonb_build_object('position', own.position) END AS record,
    alert.doc,                              -- the record in its producer's own key order
    own.last_order_update,
    own.position,
    alert.put_at
FROM tracker.alert
LEFT JOIN LATERAL (
    SELECT
        summed.parts, summed.removed, summed.seats, summed.open, summed.last_order_update,
        CASE
            WHEN summed.positions <= 1 THEN summed.newest_position
            ELSE summed.newest_position || jsonb_build_object(
                'quantity', coalesce(summed.quantity, 0),
                'avg_price', CASE
                    -- To eight digits, as a single part.
                    WHEN summed.live > 0 THEN trim_scale(round(summed.cost / summed.size,
                        greatest(0, 8 - length(trunc(abs(summed.cost / summed.size))::text))))
                    ELSE (summed.newest_position ->> 'avg_price')::numeric
                END,
                'opened_at', CASE
                    WHEN summed.live > 0 THEN to_jsonb(summed.opened_at)
                    ELSE summed.newest_position -> 'opened_at'
                END,
                'closed_at', CASE WHEN summed.live > 0 THEN NULL ELSE summed.closed_at END,
                'closed_by', CASE
                    WHEN summed.live > 0 THEN NULL
                    ELSE summed.newest_position -> 'closed_by'
                END,
                'shared_with', (SELECT coalesce(jsonb_agg(DISTINCT name ORDER BY name), '[]')
                    FROM tracker.part
                    CROSS JOIN LATERAL jsonb_array_elements_text(part.position -> 'shared_with') AS name
                    WHERE part.alert_id = alert.alert_id AND NOT part.removed
                        AND (part.quantity <> 0 OR summed.live = 0))
            )
        END AS position
    FROM (
        SELECT
            count(*) AS parts,
            count(*) FILTER (WHERE part.removed) AS removed,
            count(*) FILTER (WHERE NOT part.removed AND part.position IS NOT NULL) AS positions,
            array_agg(part.seat ORDER BY part.seat) FILTER (WHERE part.open AND NOT part.removed) AS seats,
            bool_or(part.open AND NOT part.removed) AS open,
            -- As in one part: what is held counts, by its size; where nothing is, the newest part.
            count(*) FILTER (WHERE NOT part.removed AND part.quantity <> 0) AS live,
            sum(part.quantity) FILTER (WHERE NOT part.removed) AS quantity,
            sum(abs(part.quantity) * part.avg_price) FILTER (WHERE NOT part.removed) AS cost,
            nullif(sum(abs(part.quantity)) FILTER (WHERE NOT part.removed AND part.avg_price IS NOT NULL), 0)
                AS size,
            min((part.position ->> 'opened_at') COLLATE "C")
                FILTER (WHERE NOT part.removed AND part.quantity <> 0) AS opened_at,
            max((part.position ->> 'closed_at') COLLATE "C") FILTER (WHERE NOT part.removed) AS closed_at,
            (array_agg(part.last_order_update ORDER BY
                (part.last_order_update ->> 'updated_at') COLLATE "C" DESC NULLS LAST, part.seat)
                FILTER (WHERE NOT part.removed AND part.last_order_update IS NOT NULL))[1]
                AS last_order_update,
            (array_agg(part.position ORDER BY
                (part.last_order_update ->> 'updated_at') COLLATE "C" DESC NULLS LAST, part.seat)
                FILTER (WHERE NOT part.removed AND part.position IS NOT NULL))[1] AS newest_position
        FROM tracker.part
        WHERE part.alert_id = alert.alert_id
    ) AS summed
) AS own ON true
WHERE alert.retired_at IS NULL AND NOT (own.parts > 0 AND own.removed = own.parts);

-- Records that every seat which had a part of them took out (closing.policy = remove), for their producers.
CREATE VIEW tracker.removed AS
SELECT alert.alerter, alert.ticker, alert.created_at, alert.option_conid, alert.source, alert.doc
FROM tracker.alert
WHERE alert.retired_at IS NULL
    AND EXISTS (SELECT FROM tracker.part WHERE part.alert_id = alert.alert_id)
    AND NOT EXISTS (SELECT FROM tracker.part WHERE part.alert_id = alert.alert_id AND NOT part.removed);

-- What a tracker must agree with.
CREATE VIEW tracker.about AS SELECT version, zone FROM tracker.meta;

CREATE VIEW tracker.seats AS
SELECT
    seat.seat,
    seat.host,
    coalesce((SELECT array_agg(account.account ORDER BY account.account)
        FROM tracker.account WHERE account.seat = seat.seat), '{}') AS accounts,
    seat.seen_at
FROM tracker.seat;
"""

_SEAT_FUNCTIONS: Final = """
-- Sit down on a seat: that of this journal, a free one or a new one. Answers who has it now, and `taken`
-- false where that is another journal. The epoch is above `p_after`, and above all that the seat had.
CREATE FUNCTION tracker.take_seat(p_seat text, p_journal uuid, p_host text, p_after bigint DEFAULT 0)
RETURNS TABLE (taken boolean, epoch bigint, host text, seen_at timestamptz, version int, zone text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_taken boolean;
BEGIN
    IF p_seat IS NULL OR p_journal IS NULL OR length(p_seat) NOT BETWEEN 1 AND 200 THEN
        RAISE EXCEPTION USING ERRCODE = 'TR002',
            MESSAGE = 'a seat has a name of 1 to 200 characters and a journal';
    END IF;
    INSERT INTO tracker.seat AS known (seat, journal, host, epoch, seen_at)
        VALUES (p_seat, p_journal, left(p_host, 200), p_after + 1, clock_timestamp())
    ON CONFLICT (seat) DO UPDATE SET
        journal = excluded.journal, host = excluded.host, seen_at = excluded.seen_at,
        epoch = greatest(known.epoch, p_after) + 1
        WHERE known.journal IS NULL OR known.journal = excluded.journal;
    v_taken := FOUND;
    RETURN QUERY SELECT v_taken, known.epoch, known.host, known.seen_at, meta.version, meta.zone
        FROM tracker.seat AS known, tracker.meta WHERE known.seat = p_seat;
END $$;

-- Check that the caller has the seat, and show that it is there; else TR001.
CREATE FUNCTION tracker.stay_seated(p_seat text, p_journal uuid, p_epoch bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_detail text;
BEGIN
    UPDATE tracker.seat SET seen_at = clock_timestamp()
        WHERE seat = p_seat AND journal = p_journal AND epoch = p_epoch;
    IF NOT FOUND THEN
        SELECT json_build_object('ours', journal IS NOT DISTINCT FROM p_journal, 'epoch', epoch, 'host', host,
            'seen_at', seen_at)::text INTO v_detail FROM tracker.seat WHERE seat = p_seat;
        RAISE EXCEPTION USING ERRCODE = 'TR001', MESSAGE = 'another tracker has this seat',
            DETAIL = coalesce(v_detail, 'null');
    END IF;
END $$;

-- Claim accounts for a seat: all of them, or none where another seat has one. Answers those, and whose they
-- are.
CREATE FUNCTION tracker.claim_accounts(p_seat text, p_journal uuid, p_epoch bigint, p_accounts text[])
RETURNS TABLE (account text, seat text, host text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_claimed text[];
BEGIN
    PERFORM tracker.stay_seated(p_seat, p_journal, p_epoch);
    -- In order, so that two seats that claim the same accounts do not wait for each other.
    WITH claimed AS (
        INSERT INTO tracker.account (account, seat)
            SELECT DISTINCT asked, p_seat FROM unnest(p_accounts) AS asked ORDER BY asked
            ON CONFLICT (account) DO NOTHING RETURNING account
    ) SELECT array_agg(account) INTO v_claimed FROM claimed;
    IF EXISTS (SELECT FROM tracker.account WHERE account = ANY (p_accounts) AND seat <> p_seat) THEN
        DELETE FROM tracker.account WHERE account = ANY (v_claimed);
    END IF;
    RETURN QUERY SELECT known.account, known.seat, owner.host
        FROM tracker.account AS known JOIN tracker.seat AS owner ON owner.seat = known.seat
        WHERE known.account = ANY (p_accounts) AND known.seat <> p_seat ORDER BY known.account;
END $$;

-- Write a seat's parts of records: `p_updates` is an array of objects {alerter, ticker, created_at,
-- option_conid, open, removed, last_order_update, position}, each record once; null leaves what the part has.
-- Answers for each, in its place, the alert's number, or NULL where no current record has that identity. The
-- last word by (epoch, seq) stands, whatever the order of arrival. Without updates it shows that the tracker
-- is there.
CREATE FUNCTION tracker.write_parts(p_seat text, p_journal uuid, p_epoch bigint, p_seq bigint,
    p_updates jsonb)
RETURNS TABLE (place int, alert_id bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    PERFORM tracker.stay_seated(p_seat, p_journal, p_epoch);
    RETURN QUERY
    WITH asked AS MATERIALIZED (
        SELECT (each.place - 1)::int AS place, alert.alert_id, each.fields
        FROM jsonb_array_elements(p_updates) WITH ORDINALITY AS each (fields, place)
        LEFT JOIN tracker.alert ON alert.alerter = each.fields ->> 'alerter'
            AND alert.ticker = each.fields ->> 'ticker'
            AND alert.created_at = each.fields ->> 'created_at'
            AND alert.option_conid IS NOT DISTINCT FROM (each.fields ->> 'option_conid')::bigint
            AND alert.retired_at IS NULL
    ), written AS (
        INSERT INTO tracker.part
            (alert_id, seat, open, removed, last_order_update, position, epoch, seq, changed)
        SELECT asked.alert_id, p_seat, (fields ->> 'open')::boolean, (fields ->> 'removed')::boolean,
            nullif(fields -> 'last_order_update', 'null'), nullif(fields -> 'position', 'null'),
            p_epoch, p_seq, pg_current_xact_id()
        FROM asked WHERE asked.alert_id IS NOT NULL
        ON CONFLICT ON CONSTRAINT part_pkey DO UPDATE SET
            open = excluded.open, removed = excluded.removed,
            last_order_update = coalesce(excluded.last_order_update, part.last_order_update),
            position = coalesce(excluded.position, part.position),
            epoch = excluded.epoch, seq = excluded.seq, changed = excluded.changed
            WHERE (part.epoch, part.seq) <= (excluded.epoch, excluded.seq)
    )
    SELECT asked.place, asked.alert_id FROM asked ORDER BY asked.place;
END $$;

-- Answer a mark, then every alert that changed since an earlier mark (empty: every current one). What was in
-- progress at the mark comes too, so that a late commit is never missed; rows may come twice. A mark says of
-- which server and which table it is: transaction numbers of another one, of before a restart, or of before a
-- backup was put back, say nothing.
CREATE FUNCTION tracker.alerts_since(p_mark text)
RETURNS TABLE (mark text, alert_id bigint, alerter text, ticker text, created_at text, option_conid bigint,
    retired boolean, doc text, hints text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_server text := extract(epoch FROM pg_postmaster_start_time())::text
        || '/' || pg_relation_filenode('tracker.part');
    v_all boolean := split_part(p_mark, ' ', 2) <> v_server;
BEGIN
    mark := pg_snapshot_xmin(pg_current_snapshot())::text || ' ' || v_server;
    RETURN NEXT;
    mark := NULL;
    IF v_all THEN
        RETURN QUERY
        SELECT NULL, alert.alert_id, alert.alerter, alert.ticker, alert.created_at, alert.option_conid,
            false, alert.doc::text, alert.hints::text
        FROM tracker.alert WHERE alert.retired_at IS NULL;
    ELSE
        RETURN QUERY
        SELECT NULL, alert.alert_id, alert.alerter, alert.ticker, alert.created_at, alert.option_conid,
            alert.retired_at IS NOT NULL, alert.doc::text, alert.hints::text
        FROM tracker.alert WHERE alert.changed >= split_part(p_mark, ' ', 1)::xid8;
    END IF;
END $$;

-- Answer what a seat has written about current alerts. The journal is the key to it.
CREATE FUNCTION tracker.own_parts(p_seat text, p_journal uuid)
RETURNS TABLE (alert_id bigint, open boolean, removed boolean, last_order_update text, "position" text,
    epoch bigint, seq bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT part.alert_id, part.open, part.removed, part.last_order_update::text, part.position::text,
        part.epoch, part.seq
    FROM tracker.seat JOIN tracker.part ON part.seat = seat.seat
    JOIN tracker.alert ON alert.alert_id = part.alert_id
    WHERE seat.seat = p_seat AND seat.journal = p_journal AND alert.retired_at IS NULL;
END $$;
"""

_PRODUCER_FUNCTIONS: Final = """
-- Put a record: `p_doc` is it without the tracker's two objects and with `open` false, `p_hints` what other
-- stores of its box know of its contract. Answers its number. The same again changes nothing; a known record
-- follows; another identity retires the current record of that alerter and ticker. NULL where the current
-- record is newer and another source's: nothing is changed then.
CREATE FUNCTION tracker.put_alert(p_alerter text, p_ticker text, p_created_at text, p_option_conid bigint,
    p_doc json, p_hints jsonb, p_source text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_size int;
    v_current tracker.alert;
    v_known tracker.alert;
    v_id bigint;
BEGIN
    IF p_alerter IS NULL OR p_ticker IS NULL OR p_created_at IS NULL OR p_doc IS NULL OR p_source IS NULL
        OR length(p_alerter || p_ticker || p_created_at || p_source) > 1000 THEN
        RAISE EXCEPTION USING ERRCODE = 'TR002',
            MESSAGE = 'alerter, ticker, created_at, doc and source are needed, within 1,000 characters';
    END IF;
    IF p_option_conid < 0 OR p_option_conid >= 1000000000000000000 THEN
        RAISE EXCEPTION USING ERRCODE = 'TR002', MESSAGE = 'option_conid is not a conId';
    END IF;
    IF octet_length(p_doc::text) > 65536 OR octet_length(p_hints::text) > 65536 THEN
        RAISE EXCEPTION USING ERRCODE = 'TR002', MESSAGE = 'the record or its hints are over 64 KB';
    END IF;
    IF json_typeof(p_doc) <> 'object' OR jsonb_typeof(coalesce(p_hints, '[]')) <> 'array' THEN
        RAISE EXCEPTION USING ERRCODE = 'TR002', MESSAGE = 'the record is no object, or its hints no array';
    END IF;
    -- What jsonb refuses would break the view for everybody, so it is refused here. 1e9 grows ten-fold.
    v_size := octet_length(p_doc::jsonb::text);
    IF v_size > 131072 THEN
        RAISE EXCEPTION USING ERRCODE = 'TR002', MESSAGE = 'the record is over 128 KB, its numbers in full';
    END IF;
    -- Readers give up at some depth, and at some size of a number; those of Python near 1,000 levels and at
    -- 4,300 digits.
    IF jsonb_path_exists(p_doc::jsonb, '$.**{100}') THEN
        RAISE EXCEPTION USING ERRCODE = 'TR002', MESSAGE = 'the record is nested in over 100 levels';
    END IF;
    IF jsonb_path_exists(p_doc::jsonb,
        '$.** ? (@.type() == "number" && (@ > 1e308 || @ < -1e308))') THEN
        RAISE EXCEPTION USING ERRCODE = 'TR002', MESSAGE = 'the record has a number over 1e308';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended(p_alerter || E'\\x1f' || p_ticker, 7));
    SELECT * INTO v_current FROM tracker.alert
        WHERE alerter = p_alerter AND ticker = p_ticker AND retired_at IS NULL;
    SELECT * INTO v_known FROM tracker.alert
        WHERE alerter = p_alerter AND ticker = p_ticker AND created_at = p_created_at
            AND (p_created_at <> '' OR option_conid IS NOT DISTINCT FROM nullif(p_option_conid, 0));
    IF v_current.alert_id IS NOT NULL AND v_current.alert_id IS DISTINCT FROM v_known.alert_id THEN
        IF v_current.source <> p_source AND p_created_at COLLATE "C" < v_current.created_at THEN
            RETURN NULL;
        END IF;
        UPDATE tracker.alert SET retired_at = clock_timestamp(), retired_why = 'replaced',
            changed = pg_current_xact_id() WHERE alert_id = v_current.alert_id;
    END IF;
    IF v_known.alert_id IS NULL THEN
        INSERT INTO tracker.alert
            (alerter, ticker, created_at, option_conid, doc, hints, source, put_at, changed)
        VALUES (p_alerter, p_ticker, p_created_at, nullif(p_option_conid, 0), p_doc, coalesce(p_hints, '[]'),
            p_source, clock_timestamp(), pg_current_xact_id())
        RETURNING alert_id INTO v_id;
        RETURN v_id;
    END IF;
    UPDATE tracker.alert SET
        option_conid = nullif(p_option_conid, 0), doc = p_doc, hints = coalesce(p_hints, '[]'),
        source = p_source, put_at = clock_timestamp(), retired_at = NULL, retired_why = NULL,
        changed = pg_current_xact_id()
    WHERE alert_id = v_known.alert_id AND (retired_at IS NOT NULL
        OR option_conid IS DISTINCT FROM nullif(p_option_conid, 0) OR doc::text <> p_doc::text
        OR hints <> coalesce(p_hints, '[]') OR source <> p_source);
    RETURN v_known.alert_id;
END $$;

-- Retire the current record of exactly this identity; false where it is not current.
CREATE FUNCTION tracker.retire_alert(p_alerter text, p_ticker text, p_created_at text, p_option_conid bigint,
    p_why text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(p_alerter || E'\\x1f' || p_ticker, 7));
    UPDATE tracker.alert SET retired_at = clock_timestamp(), retired_why = left(p_why, 200),
        changed = pg_current_xact_id()
    WHERE alerter = p_alerter AND ticker = p_ticker AND created_at = p_created_at AND retired_at IS NULL
        AND option_conid IS NOT DISTINCT FROM nullif(p_option_conid, 0);
    RETURN FOUND;
END $$;
"""

_NO_RIGHTS: Final = """
REVOKE ALL ON SCHEMA tracker FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA tracker FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA tracker FROM PUBLIC;
"""

MIGRATIONS: Final[tuple[str, ...]] = (
    "".join((_TABLES, _VIEWS, _SEAT_FUNCTIONS, _PRODUCER_FUNCTIONS, _NO_RIGHTS)),
)
