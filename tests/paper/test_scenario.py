"""The scenario format: what is read, what is refused, and that shipped ones play to their end."""

from __future__ import annotations

import asyncio
import re
from decimal import Decimal
from pathlib import Path

import pytest

from tests.support.paper_clients import Clock, make_gateway, raw_client, until
from tracker.paper import scenario as scenarios
from tracker.paper.scenario import ScenarioError, event_of, parse
from tracker.paper.scenario_player import ScenarioPlayer, play
from tracker.paper.scenario_tables import EVENTS, Table
from tracker.paper.scenario_text import event_text
from tracker.paper.service import load_scenario, shipped_scenarios

HEAD = """
[contracts.nvda]
kind = "option"
symbol = "NVDA"
expiry = "today+3"
right = "C"
strike = 122.5
con_id = 700100200
"""
ORDER = """
[[events]]
at = 0.1
do = "order"
name = "a"
contract = "nvda"
side = "BUY"
quantity = 10
limit = 2.51
"""


def event(text: str, at: str = "0.2") -> str:
    return f"[[events]]\nat = {at}\n" + text.replace("; ", "\n") + "\n"


def test_a_scenario_is_read_exactly() -> None:
    read = parse('title = "t"\n' + HEAD + ORDER + event('do = "fill"; order = "a"; price = 2.50'), "x.toml")
    assert read.title == "t"
    assert [(e.at, e.do) for e in read.events] == [(Decimal("0.1"), "order"), (Decimal("0.2"), "fill")]
    assert str(read.events[1].values["price"]) == "2.50"


def test_events_sorted_by_time() -> None:
    """Events are sorted by time and otherwise stay in order."""
    text = (
        HEAD
        + event('do = "drop"', "2")
        + event('do = "notice"; code = 1100', "1")
        + event('do = "drop"', "1")
    )
    assert [(int(e.at), e.do) for e in parse(text, "x").events] == [(1, "notice"), (1, "drop"), (2, "drop")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("events = ", "x.toml: this is not TOML"),
        ("", "x.toml: events: there must be 1 to"),
        ("event = 1", "x.toml: 'event' is not a key here; did you mean 'events'?"),
        ("events = 5", "x.toml: events: must be a list"),
        ("events = [5]", "x.toml: events[0]: must be a table"),
        ("[[events]]\ndo = 'drop'", "x.toml: events[0] (drop): at is missing"),
        (
            "[[events]]\nat = -1\ndo = 'drop'",
            "x.toml: events[0] (drop): at: must be 0 to 86400 seconds, not -1",
        ),
        ("[[events]]\nat = 'x'\ndo = 'drop'", "events[0] (drop): at: must be a number, not 'x'"),
        (event("do = 'fil'"), "events[0]: do: 'fil' is not known; did you mean 'fill'?"),
        (event("do = 'notice'"), "events[0] (notice): code is missing"),
        (event("do = 'notice'; code = 'x'"), "events[0] (notice): code: must be a whole number"),
        (event("do = 'notice'; code = 1100; txt = 'x'"), "'txt' is not a key here; did you mean 'text'?"),
        (event("do = 'fault'; silent = 1"), "silent: must be true or false"),
        (event("do = 'fault'; duplicate = -1"), "duplicate: must be 0 to 1000"),
        (event("do = 'fault'; ignored_requests = 5"), "ignored_requests: must be a list"),
        (event("do = 'garbage'; hex = 'zz'"), "must be bytes in hexadecimal"),
        (event("do = 'raw'; fields = [1.5]"), "fields[0]: must be a text"),
        (event("do = 'restart'; packet = true"), "packet: a restart sends nothing"),
        (HEAD + event("do = 'fill'"), "events[0] (fill): order is missing"),
        (HEAD + ORDER + event("do = 'fill'; order = 'b'"), "there is no earlier order 'b'"),
        (HEAD + ORDER + event("do = 'fill'; order = 'a'", "0"), "there is no earlier order 'a'"),
        (HEAD + ORDER + event("do = 'fill'; order = 'a'; price = true"), "price: must be a number"),
        (HEAD + ORDER + event("do = 'fill'; order = 'a'; price = 1e12"), "must be below 1,000,000,000"),
        (HEAD + ORDER + event("do = 'fill'; order = 'a'; quantity = 0"), "must be above 0"),
        (HEAD + ORDER + event("do = 'fill'; order = 'a'; leg_prices = 1"), "leg_prices: must be a list"),
        (HEAD + ORDER + event("do = 'correct'; execution = 'z'"), "there is no earlier execution 'z'"),
        (HEAD + ORDER + ORDER, "name: 'a' is taken by an earlier event"),
        (HEAD + ORDER.replace("BUY", "HOLD"), "side: must be BUY, SELL or SSHORT, not 'HOLD'"),
        (HEAD + ORDER.replace("nvda", "nvdia"), "there is no contract 'nvdia'; did you mean 'nvda'?"),
        (HEAD.replace("option", "optoin") + ORDER, "contracts.nvda: kind: must be one of stock"),
        (
            HEAD.replace("today+3", "soon") + ORDER,
            "expiry: must be YYYYMMDD, today or today+N (days), not 'soon'",
        ),
        (
            HEAD + "[contracts.c]\nkind = 'bag'\nsymbol = 'X'\nlegs = []\n" + ORDER,
            "legs: must be a list of at least two tables",
        ),
        ("begins = 'now'\n" + HEAD + ORDER, "begins: must be client or start, not 'now'"),
        ("title = 5\n" + HEAD + ORDER, "title: must be a text"),
        ("[gateway]\naccounts = []\n" + HEAD + ORDER, "gateway: accounts: must have at least 1"),
        ("[gateway]\ntime_form = 'x'\n" + HEAD + ORDER, "time_form: must be zone, utc_dash or naive"),
        (
            HEAD + "[[positions]]\ncontract = 'x'\nquantity = 1\n" + ORDER,
            "positions[0]: there is no contract 'x'",
        ),
    ],
)
def test_mistakes_name_file_event_key(text: str, message: str) -> None:
    """Mistakes are named with file event and key."""
    with pytest.raises(ScenarioError) as caught:
        parse(text, "x.toml")
    assert message in str(caught.value)


def test_missing_file_names_shipped_scenarios(tmp_path: Path) -> None:
    """A missing file names the shipped ones."""
    with pytest.raises(ScenarioError, match="included scenarios: closed-door, disorder"):
        load_scenario(str(tmp_path / "none.toml"))
    (tmp_path / "latin.toml").write_bytes(b"\xff")
    with pytest.raises(ScenarioError, match="not UTF-8"):
        load_scenario(str(tmp_path / "latin.toml"))


@pytest.mark.parametrize(
    ("table", "line"),
    [
        (
            {"do": "order", "contract": "x", "side": "BUY", "quantity": 4, "limit": 2.5, "name": "a"},
            "client 0 buys 4 x at 2.5 (a)",
        ),
        (
            {"do": "order", "contract": "x", "side": "SSHORT", "quantity": 1, "manual": True},
            "by hand: sells short 1 x",
        ),
        (
            {"do": "execute", "contract": "x", "side": "SELL", "quantity": 1, "price": 2, "client_id": 7},
            "client 7 sells 1 x at 2, an execution without its order",
        ),
        ({"do": "fill", "order": "a", "quantity": 1, "price": 2}, "1 of a filled at 2"),
        ({"do": "fill"}, "the rest of the oldest order filled"),
        ({"do": "drop", "to": [7, 8]}, "drop to 7 8"),
        ({"do": "fault", "silent": True, "bad_zone": ""}, 'fault silent true, bad_zone ""'),
        ({"do": "restart"}, "restart"),
    ],
)
def test_what_happens_is_said_in_words(table: dict[str, object], line: str) -> None:
    assert event_text(event_of(table, "x", timed=False)) == line


def test_five_scenarios_are_shipped() -> None:
    assert len(shipped_scenarios()) == 5
    assert len({load_scenario(name).title for name in shipped_scenarios()}) == 5


def keys_of(table: type[Table]) -> set[str]:
    return {info.alias or name for name, info in table.model_fields.items()}


def test_every_event_and_key_is_documented() -> None:
    folder = Path(scenarios.__file__).parent / "scenarios"
    rows = re.findall(r"^\| `(\w+)` \|([^|]*)\|", (folder / "SCENARIOS.md").read_text(), re.MULTILINE)
    documented = {name: set(keys.replace("*", "").split()) for name, keys in rows}
    assert documented == {name: keys_of(table) - {"push", "to"} for name, table in EVENTS.items()}


@pytest.mark.parametrize(
    "name", ["trading-morning", "lost-and-found", "second-thoughts", "disorder", "closed-door"]
)
def test_shipped_scenario_plays_to_end(name: str) -> None:
    """A shipped scenario plays to its end."""

    async def run() -> None:
        clock = Clock()
        read = load_scenario(name)
        async with make_gateway(clock) as gateway:
            told: list[str] = []
            playing = asyncio.create_task(
                play(read, gateway, ScenarioPlayer(gateway, clock, read), told.append, speed=60)
            )
            if read.begins_with_client:
                async with raw_client(gateway):
                    await playing
            else:
                await playing
            assert told[-1] == "the scenario is over"
            assert len(told) == len(read.events) + 1
            assert gateway.book.executions

    asyncio.run(run())


def test_scenario_reproduces_over_the_socket() -> None:
    """A scenario alone reproduces what it says over the socket."""

    async def run() -> None:
        clock = Clock()
        read = load_scenario("disorder")
        async with make_gateway(clock) as gateway:
            playing = asyncio.create_task(
                play(read, gateway, ScenarioPlayer(gateway, clock, read), lambda line: None, 60)
            )
            async with raw_client(gateway) as client:
                await until(lambda: client.closed or playing.done())
                executions = [fields[14] for fields in client.of("11") if len(fields) > 14]
                counts = sorted(executions.count(exec_id) for exec_id in dict.fromkeys(executions))
                assert counts == [1, 1, 1, 1, 8]
                assert client.of("4711")
                kinds = [fields[0] for fields in client.frames if fields[0] in ("5", "11")]
                assert kinds[0] == "11"
                assert [f[15] for f in client.of("11") if "India" in f[15:16] or "around noon" in f[15:16]]
            await playing

    asyncio.run(run())


def test_refused_event_ends_the_scenario() -> None:
    """An event that the book refuses ends the scenario with its place."""

    async def run() -> None:
        clock = Clock()
        read = parse(
            'begins = "start"\n' + HEAD + ORDER + event("do = 'fill'; order = 'a'; quantity = 11"), "x"
        )
        async with make_gateway(clock) as gateway:
            with pytest.raises(ScenarioError, match=r"x: events\[1\] \(fill\): cannot fill 11"):
                await play(read, gateway, ScenarioPlayer(gateway, clock, read), lambda line: None, speed=60)

    asyncio.run(run())


def test_opening_positions_and_relative_expiries() -> None:
    """Opening positions and relative expiries are set."""
    clock = Clock()
    read = parse(HEAD + "[[positions]]\ncontract = 'nvda'\nquantity = 4\ncost = 250\n" + ORDER, "x")
    gateway = make_gateway(clock)
    ScenarioPlayer(gateway, clock, read)
    (held,) = gateway.book.positions.values()
    assert (held.contract.expiry, held.quantity, held.average_cost) == ("20251121", Decimal(4), Decimal(250))
