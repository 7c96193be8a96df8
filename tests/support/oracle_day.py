"""Build a hand-worked day as events for the oracle, with the contracts and alerts of the scenarios."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.sim.rules_oracle import facts as f
from tests.sim.rules_oracle.facts import Contract
from tests.sim.rules_oracle.oracle import Expected, expected
from tests.sim.rules_oracle.settings import Settings

NOON = datetime(2026, 11, 18, 17, 0, tzinfo=UTC)
"""Wednesday, noon in New York."""
ACC, ACC2 = "DU9000001", "DU9000002"


def option(
    con_id: int,
    symbol: str = "TSLA",
    strike: str = "95",
    right: str = "C",
    expiry: str = "20301220",
    trading_class: str | None = None,
    local: str = "",
    multiplier: str = "100",
) -> Contract:
    return Contract(
        con_id, symbol, "OPT", right, Decimal(strike), expiry, local, trading_class or symbol, multiplier
    )


C95, C100, P95 = option(95), option(100, strike="100"), option(96, right="P")
STK = Contract(7, "TSLA", local_symbol="TSLA", trading_class="NMS")
A, B, D = "real-day-trading/TSLA", "robindahood-alerts/TSLA", "demslayer/TSLA"

Records = dict[str, dict[str, dict[str, Any]]]


def alert(
    contract: Contract | None, ticker: str = "", created: str | None = "", **more: Any
) -> dict[str, Any]:
    """Return a record for a contract, shares where there is none of options; created six hours ago."""
    created = (NOON - timedelta(hours=6)).replace(tzinfo=None).isoformat() if created == "" else created
    details: dict[str, Any] = {"ticker": ticker, "strike": None, "side": None, "expiry": None}
    con_ids = []
    if contract is not None and contract.is_option:
        day = contract.expiry
        details |= {
            "strike": str(contract.strike),
            "side": contract.right,
            "expiry": f"{day[4:6]}/{day[6:]}/{day[:4]}",
        }
        con_ids = [contract.con_id]
    record: dict[str, Any] = {
        "open": False,
        "option_conids": con_ids,
        "option_conid": con_ids[0] if con_ids else None,
        "conid": 1,
        "alert_details": details,
    }
    if created is not None:
        record["created_at"] = created
    for name, value in more.items():
        if name in ("strike", "side", "expiry"):
            details[name] = value
        else:
            record[name] = value
    return record


def seen(*values: object) -> tuple[object, ...]:
    """Return values to compare at once, whatever kinds of numbers they are."""
    return values


def no_id(record: dict[str, Any]) -> dict[str, Any]:
    return {**record, "option_conid": None, "option_conids": []}


class Day:
    """Collect events; the host's clock runs on with each, the broker's is `skew` behind it."""

    def __init__(self, records: Records | None = None, *, start: bool = True, **settings: Any) -> None:
        self.events: list[f.Event] = []
        self.now = NOON
        self.skew = timedelta(0)
        self.settings = Settings(**settings)
        self.records: Records = records if records is not None else {}
        self.number = 0
        self.connection = 0
        if start:
            self.add(f.Started(self.now))
            self.connect()
            self.read(self.records)

    def add(self, event: f.Event) -> None:
        self.events.append(event)

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.add(f.TimePassed(self.now))

    def connect(self, accounts: frozenset[str] = frozenset()) -> None:
        self.connection += 1
        self.add(f.Connected(self.now, self.connection, accounts))

    def read(
        self, records: Records | None, contracts: Mapping[str, Any] | None = None, zone: str = "UTC"
    ) -> None:
        if records is not None:
            self.records = records
        self.add(f.StoreRead(self.now, records, contracts or {}, zone))

    def ago(self, seconds: float) -> str:
        """Return created_at as the writer stamps it now."""
        return (self.now - timedelta(seconds=seconds)).replace(tzinfo=None).isoformat()

    def fill(
        self,
        contract: Contract,
        quantity: float | str,
        price: float | str = "2.5",
        *,
        at: float = 0,
        ref: str = "",
        perm: int | None = None,
        live: bool = True,
        account: str = ACC,
        exec_id: str = "",
    ) -> str:
        """Book a fill of the broker's time `at` seconds from now; return its execId."""
        self.number += 1
        exec_id = exec_id or f"0000e0d5.{self.number:08x}.01.01"
        signed = Decimal(str(quantity))
        self.add(
            f.Executed(
                self.now,
                exec_id,
                account,
                contract,
                "BOT" if signed >= 0 else "SLD",
                abs(signed),
                Decimal(str(price)),
                (self.now - self.skew + timedelta(seconds=at)).replace(microsecond=0),
                live,
                500 + self.number if perm is None else perm,
                order_id=self.number,
                order_ref=ref,
            )
        )
        self.now += timedelta(seconds=1)
        return exec_id

    def correct(self, exec_id: str, quantity: float, price: float | None = None, live: bool = True) -> str:
        old = next(one for one in self.events if isinstance(one, f.Executed) and one.exec_id == exec_id)
        root, _, version = exec_id.rpartition(".")
        new = f"{root}.{int(version) + 1:02d}"
        self.add(
            f.Executed(
                self.now,
                new,
                old.account,
                old.contract,
                old.side,
                Decimal(str(quantity)),
                old.price if price is None else Decimal(str(price)),
                old.time,
                live,
                old.perm_id,
                old.client_id,
                old.order_id,
                old.order_ref,
            )
        )
        self.now += timedelta(seconds=1)
        return new

    def decide(self, action: Any, exec_id: str, name: str = "", *, number: int = 0) -> None:
        self.add(f.PersonDecided(self.now, action, exec_id, name, number=number))

    def sweep(self) -> None:
        self.add(f.SweepAsked(self.now, self.connection))
        self.add(f.SweepEnded(self.now, self.connection))
        self.add(f.SweepChecked(self.now, self.connection))

    def answer(self, held: dict[Any, float], *, sweep: bool = True, complete: bool = True) -> None:
        """Answer positions; keys are contracts or (account, contract)."""
        if sweep:
            self.sweep()
        self.add(f.PositionsAsked(self.now, self.connection))
        rows = {
            (key if isinstance(key, tuple) else (ACC, key)): Decimal(str(quantity))
            for key, quantity in held.items()
        }
        told = {(account, contract.con_id): quantity for (account, contract), quantity in rows.items()}
        self.add(f.PositionsAnswered(self.now, self.connection, told, complete, self.now - self.skew))

    def right(self) -> Expected:
        return expected(self.events, self.settings)


OTHER = Contract(55, "AAPL")
"""Keeps an account's answers from being empty."""


def shows(day: Day, name: str, quantity: float | None, *, is_open: bool | None = None) -> None:
    """Check what an alert shows; None for an alert that nothing was ever given to."""
    one = day.right().alert(name)
    if quantity is None:
        assert not one.shown
        return
    assert one.shown
    assert one.quantity == Decimal(str(quantity))
    assert one.open is (bool(quantity) if is_open is None else is_open)


def bought_ten() -> Day:
    """Return a day on which ten shares were bought for an alert, beside a position of no concern."""
    day = Day({"real-day-trading": {"TSLA": alert(None)}})
    day.answer({OTHER: 1})
    day.fill(STK, 10, 200)
    return day


def answer_with_fourteen(day: Day, meanwhile: Callable[[], object]) -> None:
    """Ask for positions after a sweep, let something happen, and answer that 14 shares are held."""
    day.sweep()
    day.add(f.PositionsAsked(day.now, 1))
    meanwhile()
    held = {(ACC, 7): Decimal(14), (ACC, 55): Decimal(1)}
    day.add(f.PositionsAnswered(day.now, 1, held, broker_time=day.now))
