"""Whatever the gateway sends, a record holds or a person asks, the pump goes on and other fills are right."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.pipeline.test_failing_contract import put_in
from tests.support.answer_rig import CREATED, ROBIN, SETTINGS, record
from tracker import wiring
from tracker.config.loader import load
from tracker.core.alerters import AlerterNames
from tracker.core.journal_entries import ExecutionsAsked, FirstSweepOver, LinkUp, PositionsAsked
from tracker.core.model import Source
from tracker.journal.journal import Journal
from tracker.queries.alerts import alerts
from tracker.queries.fills import Selection, fills
from tracker.queries.inbox import inbox
from tracker.queries.why import why_alert, why_execution
from tracker.status.protocol import CommandError, encode

AT = datetime(2025, 11, 18, 15, 43, 12, tzinfo=UTC)
GOOD = (
    "11|{request}|7|700100200|NVDA|OPT|20251121|122.5|C|100|CBOE|USD|NVDA  251121C00122500|NVDA"
    "|{exec_id}|20251118 10:43:10 US/Eastern|DU1234567|CBOE|BOT|{quantity}|2.510|{perm_id}|5|0|0|2.51|||||2"
)
"""A fill of the alert; all that is arbitrary is about other contracts, orders and executions."""
SWEEP = "77"
"""The number of each request for the day's executions."""
SWEPT_TEXT = (
    "11|77|7|555|BAD|OPT|20251121|95|C|100|CBOE|USD|BAD   251121C00095000|BAD|0000bad0.00000002.01.01"
    "|20251118 10:43:10 US/Eastern|DU1234567|CBOE|SLD|4|2.510|9189|5|0|4|2.51|||||2"
)
SWEPT = tuple(SWEPT_TEXT.split("|"))
OTHERS = (
    SWEPT_TEXT,
    "11|-1|7|555|BAD|OPT|20251121|95|C|100|CBOE|USD|BAD   251121C00095000|BAD"
    "|0000bad0.00000001.01.01|20251118 10:43:10 US/Eastern|DU1234567|CBOE|BOT|4|2.510|9188|5|0|4|2.51|||||2",
    "59|1|0000bad0.00000001.01.01|1.3|USD|1.7976931348623157E308|1.7976931348623157E308|",
    "3|7|Submitted|0|10|0|9188|0|0|5||0",
    "5|7|555|BAD|OPT|20251121|95|C|100|SMART|USD|BAD   251121C00095000|BAD"
    "|BUY|10|LMT|2.52|0.0|DAY||DU1234567||0||5|9188|0|0|0||9188.0/DU1234567/100",
    "61|3|DU1234567|555|BAD|OPT|20251121|95|C|100||USD|BAD   251121C00095000|BAD|4|2.51",
    "62|1",
    "55|1|4",
    "4|2|-1|1100|Connectivity is lost|",
    "4|2|-1|1102|Connectivity is back|",
)
EXTREME = (
    *(
        "",
        "0",
        "-1",
        "1E5",
        "NaN",
        "inf",
        "-0",
        "1e400000",
        "1.7976931348623157E308",
        "2147483647",
        "BOT",
        "SLD",
    ),
    *("9" * 5_000, "0." + "0" * 30 + "1", "1" * 28, "99991231", "00010101", "00010101-00:00:00"),
    *(
        "99991231-23:59:59",
        "a.b.c." + "1" * 5_000,
        "0000bad0.00000001.01.02",
        "x" * 5_000,
        "\u202e",
        "\x1f",
        "SPX",
    ),
)
# The wire and the socket let no lone surrogate through; a record's JSON may hold one.
ANY_CHARACTER = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
ANY_TEXT = st.text(ANY_CHARACTER, max_size=20) | st.sampled_from(EXTREME)
ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=20)
    | st.sampled_from((*EXTREME, "OCT \ud83d", 10**30)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)
KEYS = (
    "created_at",
    "option_conid",
    "option_conids",
    "open",
    "position",
    "last_order_update",
    "alert_details",
    "conid",
)
DETAILS = ("ticker", "strike", "side", "expiry")
STORED = (
    "conId",
    "symbol",
    "secType",
    "lastTradeDateOrContractMonth",
    "strike",
    "right",
    "multiplier",
    "expiry",
)
SECONDS_EACH = 0.5
KIB_EACH = 1 << 10


@st.composite
def bad_frames(draw: st.DrawFn) -> tuple[str, ...]:
    """Return a message whose fields, but for the first, may be anything."""
    fields = draw(st.sampled_from(OTHERS)).split("|")
    for at in draw(st.lists(st.integers(1, len(fields) - 1), max_size=3)):
        fields[at] = draw(ANY_TEXT)
    return tuple(fields[: draw(st.integers(1, 40))])


@st.composite
def bad_records(draw: st.DrawFn) -> dict[str, Any]:
    """Return a record whose fields may be anything."""
    made = record(option_conid=555, option_conids=[555])
    made["alert_details"] = made["alert_details"] | draw(
        st.dictionaries(st.sampled_from(DETAILS), ANY_JSON, max_size=3)
    )
    return made | draw(st.dictionaries(st.sampled_from(KEYS), ANY_JSON, max_size=3))


@st.composite
def alerter_stores(draw: st.DrawFn) -> bytes:
    """Return an alerter's own store of contracts as it should be, of any values, or of any bytes."""
    contract = st.dictionaries(st.sampled_from(STORED), ANY_JSON, max_size=8)
    store = st.dictionaries(
        st.sampled_from((ROBIN, "careless")) | st.text(max_size=5),
        st.dictionaries(st.sampled_from(("NVDA", "BAD")) | st.text(max_size=5), contract | ANY_JSON)
        | ANY_JSON,
        max_size=3,
    )
    return draw(store.map(lambda values: json.dumps(values).encode()) | st.binary(max_size=40))


@contextmanager
def bounded(inputs: int) -> Iterator[None]:
    """Let so many inputs take a bounded processor time, and memory beyond what was held before."""
    begun, held = time.process_time(), getrusage(RUSAGE_SELF).ru_maxrss
    yield
    assert time.process_time() - begun < 2 + SECONDS_EACH * inputs
    if sys.platform == "linux":
        # In KiB there, in bytes elsewhere.
        assert getrusage(RUSAGE_SELF).ru_maxrss - held < (64 << 10) + KIB_EACH * inputs


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.lists(bad_frames() | st.integers(1, 9) | st.integers(-9, -1), min_size=1, max_size=6),
        min_size=1,
        max_size=5,
    ),
    st.dictionaries(st.text(max_size=8) | st.just("BAD"), bad_records(), max_size=3),
    st.lists(alerter_stores(), min_size=2, max_size=2),
    st.lists(ANY_TEXT, max_size=3),
    st.booleans(),
)
@example([[SWEPT, -4], [3, -2]], {}, [b"", b""], [], True)  # Hypothesis mixes no keywords
def test_arbitrary_input_stops_no_fill(
    packets: list[list[tuple[str, ...] | int]],
    records: dict[str, Any],
    stores: list[bytes],
    asked: list[str],
    broken: bool,
) -> None:
    """A number stands for a good fill of that quantity; their sum is what the alert holds.

    A negative one answers a sweep. The alerters' own two stores hold anything, and the core may fail on
    whatever comes of the other contract. Each input has its bound of processor time and of memory.
    """
    with pytest.MonkeyPatch.context() as patch, bounded(sum(map(len, packets)) + len(records) + len(asked)):
        if broken:
            put_in(patch)
        _live_through(packets, records, stores, asked)


def _live_through(
    packets: list[list[tuple[str, ...] | int]],
    records: dict[str, Any],
    stores: list[bytes],
    asked: list[str],
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "settings.toml").write_text(SETTINGS)
        everything = {ROBIN: {"NVDA": record()}, "careless": records}
        (folder / "alerter_contracts.json").write_bytes(stores[0])
        (folder / "alerter_stocks.json").write_bytes(stores[1])
        (folder / "alerts.json").write_text(json.dumps(everything, indent=2))
        configured = load({}, str(folder / "settings.toml"))
        with wiring.opened(configured, "test") as files:
            pump = wiring.make_pump(files)
            asyncio.run(pump.pump())
            up = LinkUp(("DU1234567",), "176").arriving
            answered = (Source.BROKER, ("62", "1"))
            pump.append(1, AT, [up, PositionsAsked().arriving, answered, FirstSweepOver().arriving])
            bought = 0
            for number, packet in enumerate(packets):
                frames = []
                for place, item in enumerate(packet):
                    if isinstance(item, int):
                        bought += abs(item)
                    frames.append((Source.BROKER, _fields(item, 100 * number + place)))
                if any(isinstance(item, int) and item < 0 for item in packet):
                    end = (Source.BROKER, ("55", "1", SWEEP))
                    frames = [ExecutionsAsked(int(SWEEP), "DU1234567").arriving, *frames, end]
                pump.append(1, AT, frames)
                asyncio.run(pump.pump())
            assert not files.journal.waiting
            assert _held(folder) == bought
            _ask(files, asked)


def _fields(item: tuple[str, ...] | int, number: int) -> tuple[str, ...]:
    if not isinstance(item, int):
        return item
    request = SWEEP if item < 0 else "-1"
    exec_id = f"0000e0d5.{number:08x}.01.01"
    text = GOOD.format(request=request, exec_id=exec_id, quantity=abs(item), perm_id=1000 + number)
    return tuple(text.split("|"))


def _held(folder: Path) -> object:
    shown = json.loads((folder / "alerts.json").read_text())[ROBIN]["NVDA"]
    assert shown["created_at"] == CREATED
    return shown["position"]["quantity"] if "position" in shown else 0


def _ask(files: wiring.OpenedFiles, asked: list[str]) -> None:
    """Ask about everything that is there, and about what was asked; only a refusal may be raised."""
    context = wiring.query_context(files.settings, files.store, files.names)
    journal: Journal = files.journal
    encode(fills(journal, Selection(AT.replace(year=2000)), files.names))
    encode(inbox(journal, AT.replace(year=2000), files.names, list_all=True))
    encode(alerts(files.journal.state, context.store_now(), files.names))
    for text in asked:
        with suppress(CommandError):
            encode(why_execution(journal, text, AlerterNames()))
        with suppress(CommandError):
            encode(why_alert(journal, text, files.names, context.store_now(), AT))
