"""Scenarios: a morning on the paper gateway, written down as timed events in TOML.

Owns the format and its errors, each of which names the file, the event and the key. It is pure: it reads no
file, no clock and no gateway. `scenario_player` carries the events out, `scenario_tables` has the keys, and
`SCENARIOS.md` beside the shipped scenarios documents the format for people.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from tracker.paper.scenario_tables import (
    CONTRACTS,
    EVENTS,
    GatewaySettings,
    Leg,
    PositionEvent,
    ScenarioFile,
    Table,
    Timing,
)

MOST_EVENTS: Final = 10_000


class ScenarioError(Exception):
    """Raised where a scenario cannot be used; the text says where and why."""


@dataclass(frozen=True, slots=True)
class Event:
    """Hold one thing to do, `at` seconds after the beginning."""

    at: Decimal
    do: str
    values: Mapping[str, Any]
    """The keys that were given, read by the table of `do`."""
    packet: bool = False
    """Sent in one packet with its neighbours that have the same time and this mark."""
    where: str = ""


@dataclass(frozen=True, slots=True)
class Scenario:
    """Hold a whole scenario."""

    title: str
    events: tuple[Event, ...]
    contracts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    legs: Mapping[str, tuple[tuple[str, int, str], ...]] = field(default_factory=dict)
    """Name of a combo -> (contract name, ratio, action) of its legs."""
    positions: tuple[Mapping[str, Any], ...] = ()
    gateway: GatewaySettings = field(default_factory=GatewaySettings)
    begins_with_client: bool = True
    """Whether times count from the first client's login, and not from the gateway's start."""


def parse(source: str, name: str) -> Scenario:
    """Read a scenario; `name` is what errors call it. ScenarioError for anything that cannot be played."""
    try:
        table = tomllib.loads(source, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"{name}: this is not TOML: {error}") from None
    file = _checked(ScenarioFile, table, name)
    contracts, legs = _contracts(file.contracts, name)
    if not 0 < len(file.events) <= MOST_EVENTS:
        raise ScenarioError(f"{name}: events: there must be 1 to {MOST_EVENTS}, not {len(file.events)}")
    read = [event_of(item, f"{name}: events[{n}]", timed=True) for n, item in enumerate(file.events)]
    # Stable: events of one moment stay in the order they were written in.
    ordered = tuple(sorted(read, key=lambda event: event.at))
    positions = []
    for n, item in enumerate(file.positions):
        where = f"{name}: positions[{n}]"
        positions.append(_given(_checked(PositionEvent, item, where)))
        _check_name(positions[-1]["contract"], contracts, "contract", where)
    _check_references(ordered, contracts)
    gateway = _checked(GatewaySettings, file.gateway, f"{name}: gateway")
    begins_with_client = file.begins == "client"
    return Scenario(
        file.title or name, ordered, contracts, legs, tuple(positions), gateway, begins_with_client
    )


def event_of(item: object, where: str, *, timed: bool) -> Event:
    """Read one event, or with `timed` False a command, which has no `at`."""
    table = dict(item) if isinstance(item, dict) else _not_a_table(where)
    do = table.pop("do", None)
    if not isinstance(do, str) or do not in EVENTS:
        raise ScenarioError(f"{where}: do: {do!r} is not known{_suggestion(str(do), EVENTS)}")
    where = f"{where} ({do})"
    timing = Timing(at=Decimal(0))
    if timed:
        timing = _checked(Timing, {key: table.pop(key) for key in ("at", "packet") if key in table}, where)
        if timing.packet and do == "restart":
            raise ScenarioError(f"{where}: packet: a restart sends nothing")
    return Event(timing.at, do, _given(_checked(EVENTS[do], table, where)), timing.packet, where)


def contract_of(item: object, where: str) -> dict[str, Any]:
    """Read an instrument, without the legs of a combo."""
    table = dict(item) if isinstance(item, dict) else _not_a_table(where)
    kind = table.pop("kind", None)
    if not isinstance(kind, str) or kind not in CONTRACTS:
        raise ScenarioError(f"{where}: kind: must be one of {', '.join(CONTRACTS)}, not {kind!r}")
    return {"kind": kind, **_given(_checked(CONTRACTS[kind], table, where))}


def _contracts(
    tables: Mapping[str, object], name: str
) -> tuple[dict[str, Mapping[str, Any]], dict[str, tuple[tuple[str, int, str], ...]]]:
    contracts: dict[str, Mapping[str, Any]] = {}
    legs: dict[str, tuple[tuple[str, int, str], ...]] = {}
    for key, item in tables.items():
        where = f"{name}: contracts.{key}"
        table = dict(item) if isinstance(item, dict) else _not_a_table(where)
        if table.get("kind") == "bag":
            legs[key] = _legs(table.pop("legs", None), contracts, where)
        contracts[key] = contract_of(table, where)
    return contracts, legs


def _legs(items: object, known: Mapping[str, object], where: str) -> tuple[tuple[str, int, str], ...]:
    if not isinstance(items, list) or len(items) < 2:
        raise ScenarioError(f"{where}: legs: must be a list of at least two tables")
    legs = []
    for n, item in enumerate(items):
        leg = _checked(Leg, item, f"{where}: legs[{n}]")
        _check_name(leg.contract, known, "contract", f"{where}: legs[{n}]")
        legs.append((leg.contract, leg.ratio, leg.action))
    return tuple(legs)


# Errors.

T = TypeVar("T", bound=Table)


def _unquoted(choices: str) -> str:
    return choices.replace("'", "")


_TEXTS: Final[dict[str, Callable[[Any], str]]] = {
    "string_type": lambda error: "must be a text",
    "int_type": lambda error: "must be a whole number",
    "bool_type": lambda error: "must be true or false",
    "decimal_type": lambda error: "must be a number",
    "decimal_parsing": lambda error: f"must be a number, not {error['input']!r}",
    "literal_error": lambda error: f"must be {_unquoted(error['ctx']['expected'])}, not {error['input']!r}",
    "tuple_type": lambda error: "must be a list",
    "list_type": lambda error: "must be a list",
    "dict_type": lambda error: "must be a table",
    "too_short": lambda error: f"must have at least {error['ctx']['min_length']}",
    "value_error": lambda error: str(error["ctx"]["error"]),
}
"""Kind of pydantic's error -> what follows the key's name."""


def _checked(kind: type[T], table: object, where: str) -> T:
    """Read a table; ScenarioError for the first mistake, misspelt keys first."""
    if not isinstance(table, dict):
        _not_a_table(where)
    try:
        return kind.model_validate(table)
    except ValidationError as found:
        errors = sorted(found.errors(), key=lambda error: error["type"] != "extra_forbidden")
    first = errors[0]
    key, *rest = first["loc"]
    key = "".join((str(key), *(f"[{index}]" for index in rest if isinstance(index, int))))
    if first["type"] == "extra_forbidden":
        names = [info.alias or name for name, info in kind.model_fields.items()]
        raise ScenarioError(f"{where}: {key!r} is not a key here{_suggestion(key, names)}")
    if first["type"] == "missing":
        raise ScenarioError(f"{where}: {key} is missing")
    text = _TEXTS[first["type"]](first) if first["type"] in _TEXTS else first["msg"]
    raise ScenarioError(f"{where}: {key}: {text}")


def _given(table: Table) -> dict[str, Any]:
    """Return the values of the keys that were given."""
    return table.model_dump(exclude_unset=True, by_alias=True)


def _not_a_table(where: str) -> Any:
    raise ScenarioError(f"{where}: must be a table")


def _check_references(events: Iterable[Event], contracts: Mapping[str, object]) -> None:
    orders: set[str] = set()
    executions: set[str] = set()
    for event in events:
        for key in ("contract", "into", "stock"):
            if key in event.values and event.do != "renumber":
                _check_name(event.values[key], contracts, "contract", event.where)
        if "order" in event.values:
            _check_name(event.values["order"], orders, "earlier order", event.where)
        if "execution" in event.values:
            _check_name(event.values["execution"], executions, "earlier execution", event.where)
        if event.do == "fill" and "order" not in event.values:
            raise ScenarioError(f"{event.where}: order is missing")
        name = event.values.get("name")
        if isinstance(name, str):
            taken = orders if event.do == "order" else executions
            if name in taken:
                raise ScenarioError(f"{event.where}: name: {name!r} is taken by an earlier event")
            taken.add(name)


def _check_name(name: object, known: Iterable[str], what: str, where: str) -> None:
    names = tuple(known)
    if name not in names:
        raise ScenarioError(f"{where}: there is no {what} {name!r}{_suggestion(str(name), names)}")


def _suggestion(name: str, names: Iterable[str]) -> str:
    """Return the end of a sentence: the known name that is most alike, else the known ones."""
    known = tuple(names)
    # The search is quadratic in the length of the name, which a stranger chooses.
    near = difflib.get_close_matches(name[:100], known, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known: {', '.join(known[:30])}" if known else ""
