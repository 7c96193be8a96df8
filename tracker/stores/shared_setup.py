"""Create the shared store's schema, or bring it to the newest version.

Owns the order of migrations, roles and grants. It never removes anything that a user added.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import psycopg

from tracker.stores.shared_schema import GRANTS, MAKE_ROLES, MIGRATIONS

OLDEST_SERVER: Final = 15
_LOCK: Final = 0x74726163
"""The advisory lock that makes two simultaneous calls wait for each other."""


class SchemaCreated(NamedTuple):
    """Say what was done."""

    before: int
    """The version before, 0 for none."""
    version: int
    zone: str
    """The zone of the store; an existing one stays."""
    roles_refused: str
    """Why the roles could not be created or changed, empty for a success."""


def create_schema(connection: psycopg.Connection, zone: str) -> SchemaCreated:
    """Bring the schema to the newest version, as its owner; a second call changes nothing.

    The connection is in autocommit. `zone` is `stores.timezone` by name. Raises psycopg.Error.
    """
    before = schema_version(connection)
    for version in range(before + 1, len(MIGRATIONS) + 1):
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            if schema_version(connection) < version:
                _run(connection, MIGRATIONS[version - 1])
                if version == 1:
                    connection.execute("INSERT INTO tracker.meta (version, zone) VALUES (1, %s)", (zone,))
                connection.execute("UPDATE tracker.meta SET version = %s", (version,))
    refused = ""
    try:
        with connection.transaction():
            _run(connection, MAKE_ROLES)
    except psycopg.errors.InsufficientPrivilege as error:
        refused = error.diag.message_primary or "no right to make roles"
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        _run(connection, GRANTS)
    found = connection.execute("SELECT version, zone FROM tracker.meta").fetchone()
    assert found is not None, "a schema has its row in meta"
    return SchemaCreated(before, found[0], found[1], refused)


def schema_version(connection: psycopg.Connection) -> int:
    """Return the version of the existing schema, 0 for none. Raises psycopg.Error."""
    there = connection.execute("SELECT to_regclass('tracker.meta') IS NOT NULL").fetchone()
    if there is None or not there[0]:
        return 0
    found = connection.execute("SELECT version FROM tracker.meta").fetchone()
    return int(found[0]) if found is not None else 0


def _run(connection: psycopg.Connection, script: str) -> None:
    # As bytes, since psycopg's types accept a str only as a literal.
    connection.execute(script.encode())
