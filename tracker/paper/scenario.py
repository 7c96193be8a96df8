"""Scenarios: a morning on the paper gateway, written down as timed events in TOML.

Owns the format and its errors, each of which names the file, the event and the key. It is pure: it reads no
file, no clock and no gateway; `player` does what an event says. `SCENARIOS.md` beside the shipped ones
documents the format for people.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeAlias

from tracker.paper.formats import TIME_FORMS

Value: TypeAlias = str | int | bool | Decimal | tuple[int, ...] | tuple[str, ...]
Reading: TypeAlias = Callable[[object], Value]

MOST_EVENTS: Final = 10_000
MOST_SECONDS: Final = 86_400


class ScenarioError(Exception):
    """A scenario cannot be used; the text says where and why."""


@dataclass(frozen=True, slots=True)
class Key:
    """Say what a key holds."""

    read: Reading
    required: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """Hold one thing to do, `at` seconds after the beginning."""

    at: Decimal
    do: str
    values: Mapping[str, Value]
    packet: bool = False
    """Sent in one packet with its neighbours that have the same time and this mark."""
    where: str = ""


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Hold what a scenario says of its gateway; None leaves it to the command line or the default."""

    accounts: tuple[str, ...] | None = None
    master_client_id: int | None = None
    read_only: bool | None = None
    time_form: str | None = None
    zone: str | None = None
    latency: float | None = None
    partials: int | None = None
    rest: bool | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """Hold a whole scenario."""

    title: str
    events: tuple[Event, ...]
    contracts: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    legs: Mapping[str, tuple[tuple[str, int, str], ...]] = field(default_factory=dict)
    """Name of a combo -> (contract name, ratio, action) of its legs."""
    positions: tuple[Mapping[str, Value], ...] = ()
    gateway: GatewaySettings = field(default_factory=GatewaySettings)
    begins_with_client: bool = True
    """Time counts from the first client that is let in, else from the gateway's start."""


# What values may be.


def text(value: object) -> str:
    """Read a text."""
    if isinstance(value, str) and "\0" not in value:
        return value
    raise ValueError("must be a text")


def whole(value: object) -> int:
    """Read a whole number of 32 bits."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**31:
        return value
    raise ValueError("must be a whole number")


def flag(value: object) -> bool:
    """Read true or false."""
    if isinstance(value, bool):
        return value
    raise ValueError("must be true or false")


def number(value: object) -> Decimal:
    """Read a number, exact as written."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        raise ValueError("must be a number")
    try:
        made = Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"must be a number, not {value!r}") from None
    if not made.is_finite() or abs(made) >= 10**9 or made != round(made, 8):
        raise ValueError(f"must be below 1,000,000,000 with at most 8 digits behind the point, not {value}")
    return made


def positive(value: object) -> Decimal:
    """Read a number above 0."""
    made = number(value)
    if made <= 0:
        raise ValueError(f"must be above 0, not {made}")
    return made


def seconds(value: object) -> Decimal:
    """Read a duration of at most a day."""
    made = number(value)
    if not 0 <= made <= MOST_SECONDS:
        raise ValueError(f"must be 0 to {MOST_SECONDS} seconds, not {made}")
    return made


def side(value: object) -> str:
    """Read a direction."""
    return one_of("BUY", "SELL", "SSHORT")(value)


def one_of(*choices: str) -> Callable[[object], str]:
    """Return a reading that takes these texts."""

    def read(value: object) -> str:
        if isinstance(value, str) and value in choices:
            return value
        raise ValueError(f"must be one of {', '.join(choices)}, not {value!r}")

    return read


def times(value: object) -> int:
    """Read how often something is sent."""
    made = whole(value)
    if not 0 <= made <= 1000:
        raise ValueError(f"must be 0 to 1000, not {made}")
    return made


def expiry(value: object) -> str:
    """Read a day: YYYYMMDD, `today` or `today+N`."""
    made = text(value)
    if re.fullmatch(r"today(\+\d{1,4})?", made):
        return made
    try:
        date(int(made[:4]), int(made[4:6]), int(made[6:]))
    except ValueError:
        raise ValueError(f"must be YYYYMMDD, today or today+N (days), not {made!r}") from None
    return made


def wholes(value: object) -> tuple[int, ...]:
    """Read a list of whole numbers."""
    if isinstance(value, list):
        return tuple(whole(item) for item in value)
    raise ValueError("must be a list of whole numbers")


def texts(value: object) -> tuple[str, ...]:
    """Read a list of fields."""
    if isinstance(value, list) and all(isinstance(item, (str, int)) for item in value):
        return tuple(text(str(item)) for item in value)
    raise ValueError("must be a list of texts")


def numbers(value: object) -> tuple[str, ...]:
    """Read a list of prices."""
    if isinstance(value, list):
        return tuple(str(number(item)) for item in value)
    raise ValueError("must be a list of numbers")


def hexadecimal(value: object) -> str:
    """Read bytes."""
    made = text(value)
    try:
        bytes.fromhex(made)
    except ValueError:
        raise ValueError("must be bytes in hexadecimal, such as '00 00 00 05'") from None
    return made


def reference(value: object) -> str | int:
    """Read a name given earlier; the control socket also takes a permId."""
    return value if isinstance(value, str) else whole(value)


_PUSH: Final = {"push": Key(flag), "to": Key(wholes)}
_PLACING: Final = {
    "name": Key(text),
    "contract": Key(text, required=True),
    "side": Key(side, required=True),
    "quantity": Key(positive, required=True),
    "client_id": Key(whole),
    "order_id": Key(whole),
    "order_ref": Key(text),
    "account": Key(text),
    **_PUSH,
}
_FEE: Final = {"fee": Key(flag), "commission": Key(number)}
EVENTS: Final[dict[str, dict[str, Key]]] = {
    "order": {
        **_PLACING,
        "type": Key(one_of("LMT", "MKT", "STP")),
        "limit": Key(number),
        "manual": Key(flag),
        "announce": Key(flag),
    },
    "fill": {
        "order": Key(reference),
        "name": Key(text),
        "quantity": Key(positive),
        "price": Key(number),
        "exec_id": Key(text),
        "time_text": Key(text),
        "leg_prices": Key(numbers),
        **_FEE,
        **_PUSH,
    },
    "execute": {
        **_PLACING,
        "price": Key(number, required=True),
        "exec_id": Key(text),
        "time_text": Key(text),
        **_FEE,
    },
    "correct": {
        "execution": Key(reference, required=True),
        "name": Key(text),
        "quantity": Key(positive),
        "price": Key(number),
        **_PUSH,
    },
    "repeat": {"execution": Key(reference, required=True), "times": Key(times), "to": Key(wholes)},
    "fee": {
        "execution": Key(reference, required=True),
        "commission": Key(number),
        "realized_pnl": Key(number),
        **_PUSH,
    },
    "change": {"order": Key(reference, required=True), "quantity": Key(positive), "limit": Key(number)},
    "cancel": {"order": Key(reference, required=True), "push": Key(flag)},
    "position": {
        "contract": Key(text, required=True),
        "quantity": Key(number, required=True),
        "cost": Key(number),
        "account": Key(text),
        "push": Key(flag),
    },
    "notice": {"code": Key(whole, required=True), "text": Key(text), "to": Key(wholes)},
    "drop": {"to": Key(wholes)},
    "restart": {"down_seconds": Key(seconds), "reuse_order_ids": Key(flag)},
    "fault": {
        "withhold_exec_end": Key(flag),
        "withhold_open_order_end": Key(flag),
        "withhold_position_end": Key(flag),
        "withhold_completed_end": Key(flag),
        "silent": Key(flag),
        "ignored_requests": Key(wholes),
        "refuse_client_id": Key(flag),
        "drop_on_connect": Key(flag),
        "duplicate": Key(times),
        "reorder": Key(flag),
        "late_fee_seconds": Key(seconds),
        "bad_zone": Key(text),
        "no_perm_ids": Key(flag),
    },
    "raw": {"fields": Key(texts, required=True), "to": Key(wholes)},
    "garbage": {"hex": Key(hexadecimal, required=True), "to": Key(wholes)},
}
"""What can be done -> its keys."""

CONTRACTS: Final[dict[str, dict[str, Key]]] = {
    "stock": {
        "symbol": Key(text, required=True),
        "con_id": Key(whole),
        "exchange": Key(text),
        "currency": Key(text),
    },
    "option": {
        "symbol": Key(text, required=True),
        "expiry": Key(expiry, required=True),
        "right": Key(one_of("C", "P"), required=True),
        "strike": Key(positive, required=True),
        "con_id": Key(whole),
        "trading_class": Key(text),
        "multiplier": Key(text),
    },
    "future": {
        "symbol": Key(text, required=True),
        "expiry": Key(expiry, required=True),
        "multiplier": Key(text, required=True),
        "local_symbol": Key(text, required=True),
        "exchange": Key(text),
        "con_id": Key(whole),
    },
    "bag": {"symbol": Key(text, required=True)},
}
_GATEWAY: Final = {
    "accounts": Key(texts),
    "master_client_id": Key(whole),
    "read_only": Key(flag),
    "time_form": Key(one_of(*TIME_FORMS)),
    "zone": Key(text),
    "latency": Key(seconds),
    "partials": Key(whole),
    "rest": Key(flag),
}
_LEG: Final = {
    "contract": Key(text, required=True),
    "ratio": Key(whole),
    "action": Key(one_of("BUY", "SELL"), True),
}
_TOP: Final = ("title", "begins", "gateway", "contracts", "positions", "events")
_NAMES_ORDERS: Final = frozenset({"order"})
_NAMES_EXECUTIONS: Final = frozenset({"fill", "execute", "correct"})


def parse(source: str, name: str) -> Scenario:
    """Read a scenario; `name` is what errors call it. ScenarioError for anything that cannot be played."""
    try:
        table = tomllib.loads(source, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"{name}: this is no TOML: {error}") from None
    _known(table, _TOP, name)
    contracts, legs = _contracts(_table(table.get("contracts", {}), f"{name}: contracts"), name)
    events = _list(table.get("events", []), f"{name}: events")
    if not 0 < len(events) <= MOST_EVENTS:
        raise ScenarioError(f"{name}: events: there must be 1 to {MOST_EVENTS} of them, not {len(events)}")
    read = [event_of(item, f"{name}: events[{n}]", timed=True) for n, item in enumerate(events)]
    # Stable: events of one moment stay in the order they were written in.
    ordered = tuple(sorted(read, key=lambda event: event.at))
    _check_references(ordered, contracts)
    positions = [
        _values(_table(item, f"{name}: positions[{n}]"), EVENTS["position"], f"{name}: positions[{n}]")
        for n, item in enumerate(_list(table.get("positions", []), f"{name}: positions"))
    ]
    for number_of, held in enumerate(positions):
        _check_name(held["contract"], contracts, "contract", f"{name}: positions[{number_of}]")
    begins = table.get("begins", "client")
    if begins not in ("client", "start"):
        raise ScenarioError(f"{name}: begins: must be 'client' or 'start', not {begins!r}")
    gateway = _gateway(table.get("gateway", {}), f"{name}: gateway")
    title = table.get("title", name)
    if not isinstance(title, str):
        raise ScenarioError(f"{name}: title: must be a text")
    return Scenario(title, ordered, contracts, legs, tuple(positions), gateway, begins == "client")


def event_of(item: object, where: str, *, timed: bool) -> Event:
    """Read one event, or with `timed` False a command, which has no `at`."""
    table = dict(_table(item, where))
    do = table.pop("do", None)
    if not isinstance(do, str) or do not in EVENTS:
        raise ScenarioError(f"{where}: do: {do!r} is nothing that can be done{_nearest(str(do), EVENTS)}")
    where = f"{where} ({do})"
    at, packet = Decimal(0), False
    if timed:
        if "at" not in table:
            raise ScenarioError(f"{where}: at is missing: seconds after the beginning")
        at = Decimal(str(_read(table.pop("at"), seconds, f"{where}: at")))
        packet = _read(table.pop("packet", False), flag, f"{where}: packet") is True
        if packet and do == "restart":
            raise ScenarioError(f"{where}: packet: a restart sends nothing")
    return Event(at, do, _values(table, EVENTS[do], where), packet, where)


def _gateway(item: object, where: str) -> GatewaySettings:
    values: dict[str, Any] = dict(_values(_table(item, where), _GATEWAY, where))
    if "latency" in values:
        values["latency"] = float(values["latency"])
    if values.get("accounts") == ():
        raise ScenarioError(f"{where}: accounts: there must be one at least")
    return GatewaySettings(**values)


def _contracts(
    tables: Mapping[str, object], name: str
) -> tuple[dict[str, Mapping[str, Value]], dict[str, tuple[tuple[str, int, str], ...]]]:
    contracts: dict[str, Mapping[str, Value]] = {}
    legs: dict[str, tuple[tuple[str, int, str], ...]] = {}
    for key, item in tables.items():
        where = f"{name}: contracts.{key}"
        table = dict(_table(item, where))
        if table.get("kind") == "bag":
            legs[key] = _legs(table.pop("legs", None), contracts, where)
        contracts[key] = contract_of(table, where)
    return contracts, legs


def contract_of(item: object, where: str) -> dict[str, Value]:
    """Read what an instrument is, but for the legs of a combo."""
    table = dict(_table(item, where))
    kind = table.pop("kind", None)
    if not isinstance(kind, str) or kind not in CONTRACTS:
        raise ScenarioError(f"{where}: kind: must be one of {', '.join(CONTRACTS)}, not {kind!r}")
    return {"kind": kind, **_values(table, CONTRACTS[kind], where)}


def _legs(items: object, known: Mapping[str, object], where: str) -> tuple[tuple[str, int, str], ...]:
    legs = []
    for n, item in enumerate(_list(items, f"{where}: legs")):
        values = _values(_table(item, f"{where}: legs[{n}]"), _LEG, f"{where}: legs[{n}]")
        _check_name(values["contract"], known, "contract", f"{where}: legs[{n}]")
        legs.append((str(values["contract"]), int(str(values.get("ratio", 1))), str(values["action"])))
    if len(legs) < 2:
        raise ScenarioError(f"{where}: legs: a combo has at least two")
    return tuple(legs)


def _values(table: Mapping[str, object], keys: Mapping[str, Key], where: str) -> dict[str, Value]:
    _known(table, keys, where)
    for name, key in keys.items():
        if key.required and name not in table:
            raise ScenarioError(f"{where}: {name} is missing")
    return {name: _read(value, keys[name].read, f"{where}: {name}") for name, value in table.items()}


def _read(value: object, read: Reading, where: str) -> Value:
    try:
        return read(value)
    except ValueError as error:
        raise ScenarioError(f"{where}: {error}") from None


def _check_references(events: Iterable[Event], contracts: Mapping[str, object]) -> None:
    orders: set[str] = set()
    executions: set[str] = set()
    for event in events:
        if "contract" in event.values:
            _check_name(event.values["contract"], contracts, "contract", event.where)
        if "order" in event.values:
            _check_name(event.values["order"], orders, "earlier order", event.where)
        if "execution" in event.values:
            _check_name(event.values["execution"], executions, "earlier execution", event.where)
        if event.do == "fill" and "order" not in event.values:
            raise ScenarioError(f"{event.where}: order is missing")
        name = event.values.get("name")
        if isinstance(name, str):
            taken = orders if event.do in _NAMES_ORDERS else executions
            if name in taken:
                raise ScenarioError(f"{event.where}: name: {name!r} is taken by an earlier event")
            taken.add(name)


def _check_name(name: object, known: Iterable[str], what: str, where: str) -> None:
    names = tuple(known)
    if name not in names:
        raise ScenarioError(f"{where}: there is no {what} {name!r}{_nearest(str(name), names)}")


def _known(table: Mapping[str, object], keys: Iterable[str], where: str) -> None:
    names = tuple(keys)
    for key in table:
        if key not in names:
            raise ScenarioError(f"{where}: {key!r} is no key here{_nearest(key, names)}")


def _nearest(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, tuple(names), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _table(value: object, where: str) -> Mapping[str, object]:
    if isinstance(value, dict):
        return value
    raise ScenarioError(f"{where}: must be a table")


def _list(value: object, where: str) -> list[object]:
    if isinstance(value, list):
        return value
    raise ScenarioError(f"{where}: must be a list")
