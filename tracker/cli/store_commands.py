"""The commands about the shared store: make it, list and free seats, and mirror one alerts.json.

Owns their flags, what they say, and their exit codes. They need the extra `shared`.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from tracker.console import (
    BAD_USAGE,
    FAILED,
    NOT_REACHABLE,
    WELL,
    Arguments,
    Command,
    Refusal,
    print_answer,
    settings_of,
)

if TYPE_CHECKING:
    from tracker.config.settings import Settings

_COLUMN: Final = 11


def _store(arguments: Arguments) -> int:
    own = arguments.own
    name = " ".join(("tracker", "store", own.action))
    if (own.action == "free") != (own.seat is not None):
        cause = "name the seat, as in `tracker store free box-2`" if own.seat is None else "it takes no seat"
        raise Refusal(BAD_USAGE, [f"{name}: {cause}; `tracker store seats` lists them"])
    if own.forget and own.action != "free":
        raise Refusal(BAD_USAGE, [f"{name}: --forget goes with `tracker store free` only"])
    settings = shared_settings(arguments, name)
    from tracker.core.ports import StoreRefused
    from tracker.stores.shared_admin import StoreCommandFailed

    act = {"create": _create, "seats": _seats, "free": _free}[own.action]
    try:
        return act(settings, arguments)
    except StoreRefused as error:
        raise Refusal(BAD_USAGE, [f"{name}: {error}"]) from None
    except StoreCommandFailed as error:
        code = FAILED if error.reached else NOT_REACHABLE
        raise Refusal(code, [f"{name}: {error}"]) from None


def shared_settings(arguments: Arguments, name: str) -> Settings:
    """Return the settings; raises Refusal where shared.url is empty or the client library is missing."""
    settings = settings_of(arguments)
    if not settings.shared.url:
        place = settings.origin("shared", "url")
        cause = f"{name}: shared.url is empty ({place}); set it, as in postgresql://USER@HOST/DATABASE"
        raise Refusal(BAD_USAGE, [cause])
    from importlib.util import find_spec

    if find_spec("psycopg") is None:
        cause = (
            f"{name}: the extra `shared` (psycopg) is not installed; in the project's folder run"
            " pipx install --force '.[shared]'"
        )
        raise Refusal(FAILED, [cause])
    return settings


def _create(settings: Settings, arguments: Arguments) -> int:
    from tracker.stores import shared_admin
    from tracker.stores.shared_connection import place_of

    zone = settings.stores.timezone
    if not zone:
        place = settings.origin("stores", "timezone")
        cause = (
            f"tracker store create: stores.timezone is empty ({place}); set the zone in which the alert"
            " writer writes times, the same for all trackers of the store"
        )
        raise Refusal(BAD_USAGE, [cause])
    made = shared_admin.create(settings.shared.url, zone)
    return _print(
        arguments,
        {
            "store": place_of(settings.shared.url),
            "version_before": made.before,
            "version": made.version,
            "timezone": made.zone,
            "timezone_wanted": zone,
            "roles_refused": made.roles_refused or None,
        },
        _in_words_created,
    )


def _in_words_created(answer: Mapping[str, Any]) -> str:
    before, version = answer["version_before"], answer["version"]
    done = "made now" if not before else "was there" if before == version else f"made from version {before}"
    times = f"in {answer['timezone']}"
    if answer["timezone"] != answer["timezone_wanted"]:
        times += (
            f", but stores.timezone is {answer['timezone_wanted']} here; a tracker with these"
            " settings will not start"
        )
    rows = [("store", answer["store"]), ("schema", f"version {version}, {done}"), ("times", times)]
    if refused := answer["roles_refused"]:
        rows += [
            ("roles", f"not made: {refused}"),
            (
                "next",
                "have a superuser run CREATE ROLE tracker_seat LOGIN, the same for tracker_producer and"
                " tracker_reader, then run this again",
            ),
        ]
    else:
        rows += [
            ("roles", "tracker_seat for trackers, tracker_producer for mirrors, tracker_reader"),
            ("next", "give each box a user with its role, and set shared.url there"),
        ]
    return _table(rows)


def _table(rows: Sequence[tuple[str, str]]) -> str:
    from tracker.terminal import labelled

    return "\n".join(line for label, text in rows for line in labelled(label, text, _COLUMN))


def _seats(settings: Settings, arguments: Arguments) -> int:
    from tracker.core.alert_updates import instant
    from tracker.stores import shared_admin
    from tracker.stores.shared_connection import place_of

    found = shared_admin.seats(settings.shared.url)
    answer = {
        "store": place_of(settings.shared.url),
        "seats": [
            {
                "seat": seat.seat,
                "host": seat.host or None,
                "accounts": list(seat.accounts),
                "seen_at": instant(seat.seen_at),
                "open_alerts": seat.open_alerts,
            }
            for seat in found
        ],
    }
    return _print(arguments, answer, _in_words_seats)


def _in_words_seats(answer: Mapping[str, Any]) -> str:
    from tracker.logs.masking import mask
    from tracker.terminal import counted

    if not answer["seats"]:
        return f"{answer['store']}: no tracker has taken a seat yet"
    parts = [_table([("store", answer["store"])])]
    for seat in answer["seats"]:
        rows = [
            ("seat", seat["seat"]),
            ("host", seat["host"] or "free: the next tracker that asks takes it"),
            ("last seen", _moment(seat["seen_at"])),
            ("accounts", ", ".join(map(mask, seat["accounts"])) or "none so far"),
            ("open", counted(seat["open_alerts"], "alert")),
        ]
        parts.append(_table(rows))
    return "\n\n".join(parts)


def _moment(text: str) -> str:
    return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _free(settings: Settings, arguments: Arguments) -> int:
    from tracker.core.alert_updates import instant
    from tracker.stores import shared_admin

    own = arguments.own
    freed = shared_admin.free(settings.shared.url, own.seat, forget=own.forget)
    if freed is None:
        cause = f"tracker store free: there is no seat {own.seat!r}; `tracker store seats` lists them"
        raise Refusal(FAILED, [cause])
    return _print(
        arguments,
        {
            "seat": own.seat,
            "host": freed.host or None,
            "seen_at": instant(freed.seen_at),
            "open_alerts": freed.open_alerts,
            "closed": freed.closed,
            "accounts_given_back": list(freed.accounts),
        },
        _in_words_freed,
    )


def _in_words_freed(answer: Mapping[str, Any]) -> str:
    from tracker.logs.masking import mask
    from tracker.terminal import counted

    whose = f"the tracker on {answer['host']}" if answer["host"] else "free already"
    rows = [
        ("seat", f"{answer['seat']}, free now"),
        ("was", f"{whose}, last seen {_moment(answer['seen_at'])}"),
    ]
    if answer["closed"] or answer["accounts_given_back"]:
        accounts = ", ".join(map(mask, answer["accounts_given_back"])) or "no account"
        rows.append(("forgotten", f"{counted(answer['closed'], 'alert')} closed; {accounts} given back"))
    if left := answer["open_alerts"]:
        next_step = "the next tracker on this seat closes what has ended; --forget closes all of it now"
        rows.append(("open", f"{counted(left, 'alert')}, as the old one left it; {next_step}"))
    return _table(rows)


def _print(arguments: Arguments, answer: dict[str, Any], in_words: Any) -> int:
    from tracker.status.protocol import SCHEMA

    print_answer({"ok": True, "schema": SCHEMA, **answer}, arguments.own.as_json, in_words)
    return WELL


def _declare_store(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action",
        choices=["create", "seats", "free"],
        help="create: make the schema and the roles in the database of shared.url, or bring them up to date;"
        " seats: list the trackers that have a place in it; free: let another tracker take a place",
    )
    parser.add_argument("--json", action="store_true", dest="as_json", help="answer as JSON, for programs")
    parser.add_argument("seat", nargs="?", metavar="SEAT", help="with free: the name of the seat")
    parser.add_argument(
        "--forget",
        action="store_true",
        help="with free: also close what is open at the seat, and give back its accounts; for a box that is"
        " gone for good",
    )


def _mirror(arguments: Arguments) -> int:
    settings = shared_settings(arguments, "tracker mirror")
    from tracker.config.settings import SettingsError
    from tracker.mirror.mirror_process import run

    try:
        return run(settings, copy=arguments.own.copy)
    except SettingsError as error:
        raise Refusal(BAD_USAGE, error.lines) from None


def _declare_mirror(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--copy",
        action="store_true",
        help="only write the file, for programs that read it; without it the file is a source of alerts",
    )


COMMANDS: Final[Mapping[str, Command]] = {
    "store": Command("set up alerts in PostgreSQL", _store, _declare_store),
    "mirror": Command("keep alerts.json and PostgreSQL in step", _mirror, _declare_mirror),
}
