"""Build facts and frames for tests, in the words of the core."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from tracker.core.alert_updates import ClosingPolicy, EventKind, TrackerEvent
from tracker.core.ledger import Ledger
from tracker.core.model import (
    AlertId,
    AlertUpdate,
    BrokerFact,
    CommissionReport,
    Contract,
    End,
    EndOf,
    Execution,
    Frame,
    Match,
    Matched,
    OpenOrder,
    OrderStatus,
    Position,
    Rule,
    Side,
    Source,
    Unmatched,
    Value,
)
from tracker.core.state import EXECUTIONS, HOLDINGS, OUTBOX, LedgerState, MemoryLedgerState
from tracker.core.state_rows import BookedExecution, ContractKey, Holding, alert_text

Decide = Callable[[Execution], Match]
"""Match an execution, whatever the circumstances."""

ACCOUNT = "DU1234567"
START = datetime(2025, 11, 18, 15, 43, tzinfo=UTC)
NVDA = Contract(700100200, "NVDA", "OPT", date(2025, 11, 21), Decimal("122.5"), "C", "100", "USD")
BESIDE = Contract(4391, "AMD", "STK", currency="USD")
"""What the account holds beside all that a test is about."""
ALERT = AlertId("robindahood-alerts", "NVDA", "2025-11-18T15:42:07.318245", 700100200)
SUCCESSOR = ALERT._replace(created_at="2025-11-18T15:50:00")
"""A newer record of the same name."""


def execution(
    exec_id: str,
    signed: int | str | Decimal,
    price: str = "2.50",
    *,
    at: float = 0,
    contract: Contract = NVDA,
    account: str = ACCOUNT,
    perm_id: int = 188,
    order_id: int = 42,
    client_id: int = 7,
    cum_qty: int | None = None,
    order_ref: str = "",
    request_id: int = -1,
) -> Execution:
    """Return a fill of `signed` contracts, `at` seconds after START."""
    quantity = Decimal(signed)
    return Execution(
        exec_id=exec_id,
        account=account,
        contract=contract,
        side=Side.BUY if quantity > 0 else Side.SELL,
        quantity=abs(quantity),
        price=Decimal(price),
        time=START + timedelta(seconds=at),
        time_text="",
        time_known=True,
        perm_id=perm_id,
        order_id=order_id,
        client_id=client_id,
        cum_qty=None if cum_qty is None else Decimal(cum_qty),
        avg_price=None,
        order_ref=order_ref,
        request_id=request_id,
    )


def exec_id(number: int, version: int = 1) -> str:
    """Return a four-segment execId."""
    return f"0000e0d5.{number:08x}.01.{version:02d}"


def status(
    name: str, filled: int, remaining: int, *, perm_id: int = 188, order_id: int = 42, client_id: int = 7
) -> OrderStatus:
    """Return an orderStatus of the default order."""
    return OrderStatus(order_id, client_id, perm_id, name, Decimal(filled), Decimal(remaining))


def open_order(
    total: int, *, perm_id: int = 188, contract: Contract = NVDA, account: str = ACCOUNT
) -> OpenOrder:
    """Return an openOrder of the default order."""
    return OpenOrder(42, 7, perm_id, account, contract, "BUY", Decimal(total), "", "Submitted")


def fee(exec_id: str, commission: str | None, realized: str | None = None) -> CommissionReport:
    """Return a commission report; None is pending."""
    return CommissionReport(
        exec_id,
        None if commission is None else Decimal(commission),
        "USD",
        None if realized is None else Decimal(realized),
    )


class Story:
    """Tell a ledger facts, one frame each, as a link that is up would."""

    def __init__(
        self,
        decide: Decide | None = None,
        *,
        state: LedgerState | None = None,
        policy: ClosingPolicy = ClosingPolicy.MARK,
        up: bool = True,
    ) -> None:
        self.state = state if state is not None else MemoryLedgerState()
        self.decide = decide if decide is not None else matched(ALERT)
        self.policy = policy
        self.restart()
        self.seq = 0
        self.session = 1
        self.now = START
        self.events: list[TrackerEvent] = []
        if up:
            self.note(Source.LINK, "up", ACCOUNT, "176")
            self.sweep(request=899)
            self.snapshot()

    def restart(self) -> None:
        """Go on with a new ledger over the same state, as after a crash between two batches."""
        self.ledger = Ledger(self.state, lambda execution, now: self.decide(execution), policy=self.policy)

    def lose_link(self, *, away: timedelta = timedelta(0)) -> None:
        """Lose the link, and have another connection after that time."""
        self.note(Source.LINK, "down", "lost")
        self.session += 1
        self.now += away
        self.note(Source.LINK, "up", ACCOUNT, "176")

    def reconnect(self, *positions: Position) -> None:
        """Lose the link and come back, with the positions that the broker holds by then."""
        self.lose_link()
        self.snapshot(*positions)

    def sweep(self, *facts: BrokerFact, request: int = 900, account: str = ACCOUNT) -> None:
        """Ask for the day's executions and answer in full; the facts must carry that request's number."""
        self.note(Source.SENT, "executions", str(request), account)
        self.tell(*facts, End(EndOf.EXECUTIONS, request))
        self.note(Source.LINK, "proof", str(request), "complete")

    def tell(
        self, *facts: BrokerFact, after: float = 0.001, source: Source = Source.BROKER
    ) -> list[TrackerEvent]:
        """Apply facts in one batch."""
        frame = None
        for fact in facts:
            frame = self._frame(source, ("fact",), after)
            self.ledger.apply(frame, fact)
        assert frame is not None
        return self._settle(frame)

    def batch(self, *told: BrokerFact | tuple[Source, tuple[str, ...]]) -> list[TrackerEvent]:
        """Apply facts of the broker and notes of our own in one batch, in this order."""
        frame = None
        for each in told:
            source, fields = each if isinstance(each, tuple) else (Source.BROKER, ("fact",))
            frame = self._frame(source, fields, 0.001)
            self.ledger.apply(frame, None if isinstance(each, tuple) else each)
        assert frame is not None
        return self._settle(frame)

    def note(self, source: Source, *fields: str, after: float = 0.001) -> list[TrackerEvent]:
        """Apply one note of our own."""
        frame = self._frame(source, fields, after)
        self.ledger.apply(frame, None)
        return self._settle(frame)

    def snapshot(self, *positions: Position) -> None:
        """Ask for positions and answer; the account holds something beside, so the answer is no empty one."""
        self.note(Source.SENT, "positions")
        self.tell(position(1, contract=BESIDE), *positions, End(EndOf.POSITIONS, -1))

    def _frame(self, source: Source, fields: tuple[str, ...], after: float) -> Frame:
        self.seq += 1
        self.now += timedelta(seconds=after)
        return Frame(self.seq, self.now, self.session, source, fields)

    def _settle(self, frame: Frame) -> list[TrackerEvent]:
        events = self.ledger.settle(frame)
        self.events += events
        return events


def matched(*alerts: AlertId, rule: Rule = Rule.CON_ID) -> Decide:
    """Return a decision that finds these alerts for everything."""
    return lambda execution: Matched(tuple((alert, rule) for alert in alerts))


def unmatched(execution: Execution) -> Unmatched:
    """Find nothing."""
    return Unmatched("no alert names this contract")


def position(quantity: int, *, contract: Contract = NVDA, account: str = ACCOUNT) -> Position:
    """Return a position row."""
    return Position(account, contract, Decimal(quantity))


def booked(story: Story, exec_id: str, account: str = ACCOUNT) -> BookedExecution:
    """Return an execution as booked."""
    row = story.state.get(EXECUTIONS, f"{account} {exec_id}")
    assert row is not None
    return row


def holding(story: Story, con_id: int = NVDA.con_id, account: str = ACCOUNT) -> Holding:
    """Return what is held of a contract."""
    row = story.state.get(HOLDINGS, ContractKey(account, con_id).text())
    assert row is not None
    return row


def base(story: Story) -> float:
    """Return what was held of the usual contract before the first execution."""
    return float(holding(story).base)


def held(story: Story, con_id: int = NVDA.con_id, account: str = ACCOUNT) -> float:
    """Return how much is held of a contract."""
    return float(holding(story, con_id, account).held)


def kinds(story: Story) -> list[EventKind]:
    """Return what happened so far, by kind."""
    return [event.kind for event in story.events]


def shown(story: Story, alert: AlertId = ALERT) -> AlertUpdate:
    """Return what a record must show."""
    row = story.state.get(OUTBOX, alert_text(alert))
    assert row is not None
    return row.update


def untouched(story: Story, alert: AlertId = ALERT) -> bool:
    """Return whether nothing was ever written for a record."""
    return story.state.get(OUTBOX, alert_text(alert)) is None


def quantity(story: Story, alert: AlertId = ALERT) -> Value:
    """Return the quantity that a record must show."""
    position = shown(story, alert).position
    assert position is not None
    return position["quantity"]


def news(story: Story, alert: AlertId = ALERT) -> Mapping[str, Value]:
    """Return the `last_order_update` that a record must show."""
    last = shown(story, alert).last_order_update
    assert last is not None
    return last


def alert_fields(alert: AlertId) -> tuple[str, str, str, str]:
    """Return an alert as our notes spell it."""
    con_id = "" if alert.option_conid is None else str(alert.option_conid)
    return alert.alerter, alert.ticker, alert.created_at, con_id
