"""Whatever the order, the repeats and the roads by which facts come, the same facts give the same state."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.support.facts import ACCOUNT, NVDA, Story, execution, fee, open_order, position, status
from tracker.core.model import (
    ZERO,
    AlertId,
    AlertUpdate,
    BrokerFact,
    End,
    EndOf,
    Execution,
    Match,
    Matched,
    Position,
    Rule,
    Source,
    Unmatched,
)
from tracker.core.state import ALERTS, EXECUTIONS, HOLDINGS, TABLES, LedgerState, MemoryLedgerState
from tracker.journal.journal import Journal

ACCOUNTS = (ACCOUNT, "DU9000001")
CONTRACTS = (NVDA, replace(NVDA, con_id=701, symbol="SPX"))
ALERTS_OF = tuple(AlertId(name, "NVDA", "2025-11-18T15:42:00", 700100200) for name in ("one", "two"))
OWNERS: tuple[tuple[AlertId, ...], ...] = ((), ALERTS_OF[:1], ALERTS_OF[1:], ALERTS_OF)
REFERENCES = ("", "one/NVDA", "tracker:two/NVDA")

EXAMPLES = settings(max_examples=50, deadline=None)


def decide(execution: Execution) -> Match:
    """Match by the order, whose fills stay together, and which the strategies choose."""
    owners = OWNERS[execution.perm_id // 10 % len(OWNERS)]
    return Matched(tuple((owner, Rule.CON_ID) for owner in owners)) if owners else Unmatched("none")


@dataclass(frozen=True)
class Fill:
    """Hold one execution with its versions, the last of which is in force."""

    versions: tuple[Execution, ...]

    @property
    def in_force(self) -> Execution:
        return self.versions[-1]


@dataclass(frozen=True)
class Delivery:
    """Hold facts that come together: pushed, or as the answer to a sweep."""

    facts: tuple[Execution, ...]
    over: str
    """`live`, or how the answer was over."""


prices = st.integers(1, 400).map(lambda cents: cents / Decimal(100))


@st.composite
def fills(draw: st.DrawFn, *, corrected: bool = False) -> list[Fill]:
    """Draw a day's fills, ten seconds apart."""
    drawn: list[Fill] = []
    for number in range(draw(st.integers(1, 8))):
        signed = draw(st.integers(-5, 5).filter(bool))
        first = execution(
            f"0000e0d5.{number:08x}.01.01",
            signed,
            str(draw(prices)),
            at=10 + 10 * number,
            contract=draw(st.sampled_from(CONTRACTS)),
            account=draw(st.sampled_from(ACCOUNTS)),
            perm_id=draw(st.integers(188, 190)) * 10 + (signed > 0),
            order_id=draw(st.integers(0, 3)),
            order_ref=draw(st.sampled_from(REFERENCES)),
        )
        changes = draw(st.lists(st.tuples(st.integers(0, 5), prices), max_size=2)) if corrected else []
        later = (
            replace(
                first,
                exec_id=f"0000e0d5.{number:08x}.01.{version:02d}",
                quantity=Decimal(quantity),
                price=price,
            )
            for version, (quantity, price) in enumerate(changes, 2)
        )
        drawn.append(Fill((first, *later)))
    return drawn


@st.composite
def deliveries(draw: st.DrawFn, facts: Sequence[Execution]) -> list[Delivery]:
    """Draw an arrival of these facts: in any order, some of them repeated, pushed and swept."""
    repeats = draw(st.lists(st.sampled_from(facts), max_size=4))
    arrival = draw(st.permutations([*facts, *repeats]))
    drawn: list[Delivery] = []
    while arrival:
        size = draw(st.integers(1, len(arrival)))
        over = draw(st.sampled_from(("live", "live", "ended", "quiet", "timeout")))
        drawn.append(Delivery(tuple(arrival[:size]), over))
        arrival = arrival[size:]
    return drawn


held_before = st.dictionaries(
    st.tuples(st.sampled_from(ACCOUNTS), st.sampled_from(CONTRACTS)), st.integers(-6, 6), max_size=4
)


def begun(before: dict[tuple[str, object], int], state: LedgerState | None = None) -> Story:
    """Return a story whose link is up, with what was held before."""
    story = Story(decide, state=state, up=False)
    story.note(Source.LINK, "up", ",".join(ACCOUNTS), "176")
    rows: list[Position] = [
        position(number, contract=contract, account=account)
        for account in ACCOUNTS
        for contract in CONTRACTS
        if (number := before.get((account, contract))) is not None
    ]
    story.snapshot(*rows)
    return story


def play(story: Story, arrival: Sequence[Delivery]) -> Story:
    for number, delivery in enumerate(arrival):
        if delivery.over == "live":
            story.tell(*delivery.facts)
            continue
        request = 900 + number
        story.note(Source.SENT, "executions", str(request), "")
        story.tell(*(replace(fact, request_id=request) for fact in delivery.facts))
        if delivery.over == "ended":
            story.tell(End(EndOf.EXECUTIONS, request))
        elif delivery.over == "quiet":
            story.note(Source.LINK, "quiet", str(request))
        else:
            story.note(Source.LINK, "timeout", "executions", str(request))
    return story


def clean(before: dict[tuple[str, object], int], drawn: Sequence[Fill]) -> Story:
    """Return the story of the same day as it would be told best: once each, in order, as in force."""
    story = begun(before)
    for fill in drawn:
        story.tell(fill.in_force)
    return story


def holdings(story: Story) -> dict[str, object]:
    """Return what is held and owned, without the numbers of frames."""
    return {
        row.key.text(): (
            row.base,
            row.held,
            [(lot.owners, lot.quantity, lot.price, lot.opened.time) for lot in row.lots],
            sorted(
                (
                    owned.alert,
                    owned.quantity,
                    owned.avg_price,
                    owned.opened_at,
                    owned.last_exec_id,
                )
                for owned in row.alerts
            ),
        )
        for row in story.state.every(HOLDINGS)
    }


def shown(story: Story) -> dict[AlertId, AlertUpdate]:
    """Return what each record must show, but for the moment of the news."""
    updates: dict[AlertId, AlertUpdate] = {}
    for alert_state in story.state.every(ALERTS):
        assert alert_state.shown is not None
        assert alert_state.shown.last_order_update is not None
        last = {**alert_state.shown.last_order_update, "updated_at": None}
        updates[alert_state.alert] = replace(alert_state.shown, last_order_update=last)
    return updates


def owned(story: Story) -> set[AlertId]:
    """Return the alerts that own or owned anything."""
    return {owned.alert for row in story.state.every(HOLDINGS) for owned in row.alerts}


def assert_same(story: Story, best: Story) -> None:
    assert holdings(story) == holdings(best)
    ours, theirs = shown(story), shown(best)
    for alert in owned(best):
        assert ours[alert] == theirs[alert]
    for alert in ours.keys() - owned(best):
        # It was taken for the owner of something until an earlier fill arrived.
        told = ours[alert].position
        assert told is not None
        assert (ours[alert].open, told["quantity"]) == (False, 0)


def rows(state: LedgerState) -> dict[str, list[object]]:
    """Return every row of a state."""
    return {table.name: sorted(state.every(table), key=table.key) for table in TABLES}


@EXAMPLES
@given(st.data(), held_before, fills())
def test_shuffled_and_repeated_equals_clean_run(
    data: st.DataObject, before: dict[tuple[str, object], int], drawn: list[Fill]
) -> None:
    """Shuffled repeated and swept equals the clean run."""
    arrival = data.draw(deliveries([fill.in_force for fill in drawn]))
    assert_same(play(begun(before), arrival), clean(before, drawn))


@EXAMPLES
@given(st.data(), held_before, fills(corrected=True))
def test_corrections_in_any_order_equal_corrected_stream(
    data: st.DataObject, before: dict[tuple[str, object], int], drawn: list[Fill]
) -> None:
    arrival = data.draw(deliveries([version for fill in drawn for version in fill.versions]))
    assert_same(play(begun(before), arrival), clean(before, drawn))


@EXAMPLES
@given(st.data(), held_before, fills(corrected=True))
def test_restart_at_every_batch_equals_clean_run(
    data: st.DataObject, before: dict[tuple[str, object], int], drawn: list[Fill]
) -> None:
    """A new process at every batch equals the clean run."""
    arrival = data.draw(deliveries([version for fill in drawn for version in fill.versions]))
    story = begun(before)
    for number, delivery in enumerate(arrival):
        story.restart()
        play(story, [delivery] if number % 2 else [dataclasses.replace(delivery, over="live")])
    story.restart()
    story.note(Source.LINK, "down", "the end")
    assert_same(story, clean(before, drawn))


@EXAMPLES
@given(st.data(), held_before, fills(corrected=True))
def test_repeating_everything_changes_nothing(
    data: st.DataObject, before: dict[tuple[str, object], int], drawn: list[Fill]
) -> None:
    """Everything reported twice changes nothing the second time."""
    arrival = data.draw(deliveries([version for fill in drawn for version in fill.versions]))
    story = play(begun(before), arrival)
    after = rows(story.state)
    for delivery in arrival:
        assert story.tell(*delivery.facts) == []
    assert rows(story.state) == after


@EXAMPLES
@given(st.data(), held_before, fills(corrected=True))
def test_quantities_are_sums_within_holdings(
    data: st.DataObject, before: dict[tuple[str, object], int], drawn: list[Fill]
) -> None:
    """Quantities are sums and nobody owns more than is held."""
    arrival = data.draw(deliveries([version for fill in drawn for version in fill.versions]))
    story = begun(before)
    for delivery in arrival:
        play(story, [delivery])
        for row in story.state.every(HOLDINGS):
            booked = [one for one in story.state.find(EXECUTIONS, "contract", row.key.text()) if one.counted]
            assert row.held == row.base + sum((one.execution.signed for one in booked), ZERO)
            assert all(one.opening + one.closing == one.execution.signed for one in booked)
            assert sum((abs(lot.quantity) for lot in row.lots), ZERO) <= abs(row.held)
            assert all((lot.quantity > 0) == (row.held > 0) for lot in row.lots)
            for owned in row.alerts:
                mine = [lot.quantity for lot in row.lots if owned.alert in lot.owners]
                assert owned.quantity == sum(mine, ZERO)
                assert (owned.closed_at is None) == bool(owned.quantity)


def other_facts(drawn: Sequence[Fill]) -> st.SearchStrategy[list[BrokerFact]]:
    """Draw what the broker says beside executions."""
    ids = st.sampled_from([fill.versions[0].exec_id for fill in drawn])
    perm_ids = st.sampled_from([fill.versions[0].perm_id for fill in drawn])
    amounts = st.integers(0, 6)
    return st.lists(
        st.one_of(
            st.builds(fee, ids, st.sampled_from([None, "1.25", "2"]), st.sampled_from([None, "-3"])),
            st.builds(lambda perm_id, total: open_order(total, perm_id=perm_id), perm_ids, amounts),
            st.builds(
                lambda name, filled, rest, perm_id: status(name, filled, rest, perm_id=perm_id),
                st.sampled_from(["Submitted", "Filled", "Cancelled", "Inactive"]),
                amounts,
                amounts,
                perm_ids,
            ),
            st.builds(position, st.integers(-6, 6)),
        ),
        max_size=6,
    )


def check_columns(journal: Journal) -> None:
    """Check that each row is found by what it says, also by values that were computed for an earlier one."""
    for table in TABLES:
        columns = ", ".join(["key", *table.indexes])
        found = {key: values for key, *values in journal._db.execute(f"SELECT {columns} FROM {table.name}")}
        for row in journal.state.every(table):
            assert found[table.key(row)] == [of(row) for of in table.indexes.values()]


@settings(max_examples=15, deadline=None)
@given(st.data(), held_before, fills(corrected=True))
def test_same_frames_give_same_rows(
    data: st.DataObject, before: dict[tuple[str, object], int], drawn: list[Fill]
) -> None:
    """The same frames give the same rows in every state."""
    arrival = data.draw(deliveries([version for fill in drawn for version in fill.versions]))
    beside = data.draw(other_facts(drawn))

    def tell(state: LedgerState) -> dict[str, list[object]]:
        story = play(begun(before, state), arrival)
        for fact in beside:
            story.tell(fact)
        return rows(state)

    first = tell(MemoryLedgerState())
    assert tell(MemoryLedgerState()) == first
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "journal.db")
        with journal.step() as advance:
            assert tell(journal.state) == first
            advance(1)
        journal.close()
        reopened = Journal(Path(folder) / "journal.db")
        assert rows(reopened.state) == first
        check_columns(reopened)
        reopened.close()


@EXAMPLES
@given(st.data(), held_before, fills())
def test_other_facts_move_no_quantity(
    data: st.DataObject, before: dict[tuple[str, object], int], drawn: list[Fill]
) -> None:
    """What is told beside executions moves no quantity."""
    beside = data.draw(other_facts(drawn))
    story = begun(before)
    for fact in beside[::2]:
        story.tell(fact)
    for fill in drawn:
        story.tell(fill.in_force)
    for fact in beside[1::2]:
        story.tell(fact)
    assert holdings(story) == holdings(clean(before, drawn))
