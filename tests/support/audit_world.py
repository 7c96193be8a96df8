"""A ledger, a store and a broker that agree, and the ways to change one of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from msgspec import Struct
from msgspec.structs import replace

from tracker.core.audit.discrepancies import Audit
from tracker.core.audit.inputs import (
    BrokerView,
    DecidedView,
    ExecutionView,
    HeldView,
    LedgerView,
    OrderView,
    OwnedView,
    RecordView,
    StoreView,
)
from tracker.core.audit.rules import audit
from tracker.core.model import (
    Alert,
    AlertId,
    AlertUpdate,
    CompletedOrder,
    Contract,
    Execution,
    Position,
    Side,
    Value,
)
from tracker.core.ports import Shown

ACCOUNT = "DU1234567"
OTHER_ACCOUNT = "DU9000001"
MORNING = datetime(2025, 11, 18, 5, tzinfo=UTC)
FILLED = datetime(2025, 11, 18, 15, 43, tzinfo=UTC)
ASKED = FILLED + timedelta(hours=1)
NOW = ASKED + timedelta(seconds=5)

NVDA = Contract(700100200, "NVDA", "OPT", date(2025, 11, 21), Decimal("122.5"), "C")
TSLA = Contract(76792991, "TSLA", "STK")
AAPL = Contract(265598, "AAPL", "STK")


def alert_id(alerter: str, ticker: str, con_id: int | None = None) -> AlertId:
    return AlertId(alerter, ticker, "2025-11-18T10:42:07.318245", con_id)


ROBIN = alert_id("robindahood-alerts", "NVDA", NVDA.con_id)
DEMSLAYER = alert_id("demslayer", "NVDA", NVDA.con_id)
DAY_TRADER = alert_id("real-day-trading", "TSLA")
IDLE = alert_id("prof-and-kian-alerts", "AAPL")


def fill(
    exec_id: str, contract: Contract, signed: int, *, perm_id: int = 188, client_id: int = 7
) -> Execution:
    return Execution(
        exec_id=exec_id,
        account=ACCOUNT,
        contract=contract,
        side=Side.BUY if signed > 0 else Side.SELL,
        quantity=Decimal(abs(signed)),
        price=Decimal("2.5"),
        time=FILLED,
        time_text="",
        time_known=True,
        perm_id=perm_id,
        order_id=42,
        client_id=client_id,
        cum_qty=None,
        avg_price=None,
        order_ref="",
        request_id=-1,
    )


FIRST = fill("0000e0d5.6596b0d8.01.01", NVDA, 4)
SECOND = fill("0000e0d5.6596b0d9.01.01", NVDA, 6)
STOCK = fill("0000e0d5.6596b0da.01.01", TSLA, 100, perm_id=189)


def update(alert: AlertId, quantity: int, perm_id: int, *, is_open: bool = True) -> AlertUpdate:
    order: dict[str, Value] = {
        "order_id": "42",
        "perm_id": perm_id,
        "filled_qty": quantity,
        "remaining_qty": 0,
    }
    return AlertUpdate(alert, is_open, order, {"quantity": quantity})


def record(alert: AlertId, shown: Shown, *, con_ids: frozenset[int] = frozenset()) -> RecordView:
    return RecordView(Alert(alert, shown.open, FILLED, con_ids, alert.ticker, bool(con_ids)), shown)


def shows(decision: AlertUpdate) -> Shown:
    return Shown(decision.open, decision.last_order_update, decision.position)


class World(Struct, frozen=True):
    """Hold the three views of one moment; `found` audits them."""

    ledger: LedgerView
    store: StoreView
    broker: BrokerView | None

    def found(self) -> Audit:
        return audit(self.ledger, self.store, self.broker, now=NOW, fee_grace=timedelta(minutes=10))

    def with_record(self, alert: AlertId, change: Callable[[RecordView], RecordView | None]) -> World:
        records: list[RecordView] = []
        for each in self.store.records or ():
            changed = change(each) if each.alert.id == alert else each
            if changed is not None:
                records.append(changed)
        return replace(self, store=replace(self.store, records=records))

    def with_more(self, *records: RecordView) -> World:
        return replace(self, store=replace(self.store, records=[*(self.store.records or ()), *records]))

    def with_held(self, contract: Contract, change: Callable[[HeldView], HeldView]) -> World:
        held = [change(each) if each.contract == contract else each for each in self.ledger.held]
        return replace(self, ledger=replace(self.ledger, held=held))

    def with_execution(self, execution: Execution, change: Callable[[ExecutionView], ExecutionView]) -> World:
        views = [change(each) if each.execution == execution else each for each in self.ledger.executions]
        return replace(self, ledger=replace(self.ledger, executions=views))

    def with_decision(self, alert: AlertId, change: Callable[[DecidedView], DecidedView]) -> World:
        views = [change(each) if each.update.alert == alert else each for each in self.ledger.decided]
        return replace(self, ledger=replace(self.ledger, decided=views))

    def broker_holds(self, contract: Contract, quantity: int) -> World:
        assert self.broker is not None
        positions = [each for each in self.broker.positions or () if each.contract != contract]
        if quantity:
            positions.append(Position(ACCOUNT, contract, Decimal(quantity)))
        return replace(self, broker=replace(self.broker, positions=positions))

    def broker_lists(self, *executions: Execution) -> World:
        assert self.broker is not None
        return replace(self, broker=replace(self.broker, executions=executions))

    def with_broker(self, **changes: object) -> World:
        assert self.broker is not None
        return replace(self, broker=replace(self.broker, **changes))

    def with_ledger(self, **changes: object) -> World:
        return replace(self, ledger=replace(self.ledger, **changes))


def all_agrees() -> World:
    """Return a world in order: NVDA shared by two alerts, TSLA of one, AAPL of none, an idle record."""
    decisions = (update(ROBIN, 10, 188), update(DEMSLAYER, 10, 188), update(DAY_TRADER, 100, 189))
    ledger = LedgerView(
        client_id=0,
        held=(
            HeldView(
                ACCOUNT,
                NVDA,
                Decimal(10),
                executed=Decimal(10),
                owned=(OwnedView((ROBIN, DEMSLAYER), Decimal(10)),),
            ),
            HeldView(ACCOUNT, TSLA, Decimal(100), owned=(OwnedView((DAY_TRADER,), Decimal(100)),)),
        ),
        executions=(ExecutionView(FIRST), ExecutionView(SECOND), ExecutionView(STOCK)),
        decided=tuple(map(DecidedView, decisions)),
        orders=(OrderView(188, "order 188", Decimal(10), Decimal(10)),),
    )
    nvda = frozenset([NVDA.con_id])
    store = StoreView(
        "alerts.json",
        (
            record(ROBIN, shows(decisions[0]), con_ids=nvda),
            record(DEMSLAYER, shows(decisions[1]), con_ids=nvda),
            record(DAY_TRADER, shows(decisions[2])),
            record(IDLE, Shown(False)),
        ),
    )
    broker = BrokerView(
        asked_at=ASKED,
        positions=(
            Position(ACCOUNT, NVDA, Decimal(10)),
            Position(ACCOUNT, TSLA, Decimal(100)),
            Position(ACCOUNT, AAPL, Decimal(50)),
        ),
        executions=(FIRST, SECOND, STOCK),
        answered={ACCOUNT: MORNING},
        open_orders=(),
        completed_orders=(CompletedOrder(188, ACCOUNT, "Filled"), CompletedOrder(190, ACCOUNT, "Cancelled")),
    )
    return World(ledger, store, broker)
