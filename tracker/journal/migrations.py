"""The journal's schema, as a list of migrations: one for each version.

A migration is never edited once released; a change of the schema is a new one at the end.
"""

from __future__ import annotations

from typing import Final


def _state(name: str, *indexes: str) -> str:
    """Return the statements for one table of state rows and its indexes."""
    columns = "".join(f"{index} TEXT, " for index in indexes)
    table = f"CREATE TABLE {name} (key TEXT PRIMARY KEY, {columns}body BLOB NOT NULL);"
    of = "CREATE INDEX {0}_{1} ON {0} ({1}) WHERE {1} IS NOT NULL;"
    return "\n".join([table, *(of.format(name, index) for index in indexes)])


MIGRATIONS: Final[tuple[str, ...]] = (
    "\n".join(
        (
            """
            CREATE TABLE frames (
                seq INTEGER PRIMARY KEY,
                received_at REAL NOT NULL,  -- seconds since the epoch, UTC, to the microsecond
                session INTEGER NOT NULL,
                source TEXT NOT NULL,
                fields BLOB NOT NULL        -- UTF-8, joined by NUL, as on the wire
            );
            -- Few among the broker's, and asked for by `why`.
            CREATE INDEX frames_notes ON frames (seq) WHERE source IN ('person', 'store');
            CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
            CREATE TABLE considered (       -- the alerts that a decision looked at; replay reads them
                seq INTEGER NOT NULL,
                execution TEXT NOT NULL,
                alerts BLOB NOT NULL,
                PRIMARY KEY (seq, execution)
            ) WITHOUT ROWID;
            CREATE TABLE store_log (        -- what was done to the alert store, and what came of it
                id INTEGER PRIMARY KEY,
                at REAL NOT NULL,
                alert TEXT NOT NULL,
                outcome TEXT NOT NULL,
                body BLOB NOT NULL
            );
            CREATE INDEX store_log_alert ON store_log (alert);
            """,
            _state("executions", "contract", "root", "orders", "exec_id", "waiting", "inbox", "day"),
            _state("fees"),
            _state("holdings", "doubt", "held"),
            _state("departures", "contract"),
            _state("orders"),
            _state("totals"),
            _state("alerts", "orders", "kept", "gone", "name", "doubted"),
            _state("positions"),
            _state("snapshots"),
            _state("absences"),
            _state("links"),
            _state("proofs", "whole"),
            _state("gaps", "open"),
            _state("outbox", "pending"),
            _state("undecoded", "open"),
        )
    ),
    # A decision names its kind, which version 1 only implied by its keys.
    """
    UPDATE executions SET body = CAST(json_set(CAST(body AS TEXT), '$.match.type', CASE
        WHEN json_type(CAST(body AS TEXT), '$.match.rule') IS NOT NULL THEN 'ambiguous'
        WHEN json_type(CAST(body AS TEXT), '$.match.reason') IS NOT NULL THEN 'unmatched'
        ELSE 'matched' END) AS BLOB);
    """,
    # Find the orders that still work without reading all orders: an answer about open orders ends those that
    # it lacks.
    """
    ALTER TABLE orders RENAME TO orders_before;
    CREATE TABLE orders (key TEXT PRIMARY KEY, working TEXT, body BLOB NOT NULL);
    INSERT INTO orders SELECT key, CASE
        WHEN json_extract(CAST(body AS TEXT), '$.status') IN ('Cancelled', 'ApiCancelled', 'Filled') THEN NULL
        ELSE '1' END, body FROM orders_before;
    DROP TABLE orders_before;
    CREATE INDEX orders_working ON orders (working) WHERE working IS NOT NULL;
    """,
    # Find the few frames of Flex reports among the broker's, for the next import.
    """
    CREATE INDEX frames_flex ON frames (seq) WHERE source = 'flex';
    """,
    # Lots are kept by execution, and the decision who owns an order's lots has a place in time of its own.
    # The quantity that an older version kept for a set of owners becomes one lot; nothing is folded again.
    "\n".join(
        (
            "ALTER TABLE holdings RENAME TO holdings_before;",
            "DROP INDEX holdings_doubt; DROP INDEX holdings_held;",
            _state("holdings", "doubt", "held", "unowned"),
            "INSERT INTO holdings (key, doubt, held, body)",
            "SELECT key, doubt, held, body FROM holdings_before;",
            "DROP TABLE holdings_before;",
            _state("decisions", "contract", "orders"),
            _state("owners"),
            _state("windows", "open"),
            _state("run_time"),
            _state("first_seen"),
        )
    ),
    # Each lot is a row of its own, in the order of the entries, so that a fill writes only the lots that it
    # changed.
    """
    CREATE TABLE lots (row TEXT NOT NULL, number INTEGER NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (row, number)) WITHOUT ROWID;
    INSERT INTO lots SELECT h.key, one.key, CAST(one.value AS BLOB)
        FROM holdings AS h, json_each(CAST(h.body AS TEXT), '$.groups') AS one;
    UPDATE holdings SET body = CAST(json_set(CAST(body AS TEXT), '$.groups', json('[]')) AS BLOB);
    """,
    # What unambiguous answers about positions listed, and what the broker's clock showed.
    "\n".join((_state("answers"), _state("clock"))),
    # Positions that no execution explains, and how each was settled.
    "\n".join((_state("adjustments", "contract", "name"), _state("differences", "open"))),
    # Events by number: a consumer continues after the last event it saw.
    """
    CREATE TABLE events (       -- those of one decision, numbered from `first` to `last`
        first INTEGER PRIMARY KEY,
        last INTEGER NOT NULL,
        at REAL NOT NULL,
        body BLOB NOT NULL
    );
    CREATE INDEX events_at ON events (at);
    """,
    # Find open retry windows by the 10 seconds in which they began, instead of reading all of them.
    """
    UPDATE windows
        SET open = printf('%010d', CAST(json_extract(CAST(body AS TEXT), '$.began') / 10 AS INTEGER))
        WHERE open IS NOT NULL;
    """,
    # Find the records that are gone while they own something: they wait for a person.
    "\n".join(
        (
            "ALTER TABLE alerts RENAME TO alerts_before;",
            *(f"DROP INDEX alerts_{index};" for index in ("orders", "kept", "gone", "name", "doubted")),
            _state("alerts", "orders", "kept", "gone", "name", "doubted", "orphaned"),
            "INSERT INTO alerts (key, orders, kept, gone, name, doubted, body)",
            "SELECT key, orders, kept, gone, name, doubted, body FROM alerts_before;",
            "DROP TABLE alerts_before;",
            """
            UPDATE alerts SET orphaned = '1'
                WHERE gone IS NOT NULL AND doubted IS NULL
                AND NOT coalesce(json_extract(CAST(body AS TEXT), '$.shut'), 0)
                AND json_extract(CAST(body AS TEXT), '$.shown') IS NOT NULL
                AND json_extract(CAST(body AS TEXT), '$.successor') IS NULL;
            """,
        )
    ),
)
