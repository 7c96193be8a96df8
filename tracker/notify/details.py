"""Look up what a notification says about an alert or a fill, beyond what its event carries.

Turns rows of the ledger's state into plain values. It changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from tracker.core.alert_updates import number
from tracker.core.alerters import AlerterNames
from tracker.core.state import ALERTS, EXECUTIONS, LedgerState
from tracker.core.state_rows import AlertState
from tracker.queries.as_json import contract_words, why_undecided
from tracker.queries.report_text import span
from tracker.queries.round_trips import round_trips

_MOST_FILLS: Final = 200
"""The most fills of a contract whose past is folded again for a message."""


@dataclass(frozen=True, slots=True)
class FillDetails:
    """Hold one fill in words."""

    what: str
    """As in `BUY 4 NVDA 2030-12-20 122.5 C at 2.5`."""
    time: datetime
    why: str
    """Why it needs a person; empty where it needs none."""


@dataclass(frozen=True, slots=True)
class AlertDetails:
    """Hold what an alert shows now, and the fill that last changed it."""

    fill: FillDetails
    rule: str
    """The rule by which that fill belongs to the alert, `ownership` for one that closed."""
    held: str
    average: str
    closed: bool
    """Whether it is closed again, so that `fill` is not the one that opened it."""
    closed_by: str
    """`expired` where no fill closed it; empty otherwise."""
    realized: str
    """Profit of the order as far as the broker has reported it; empty before."""
    emptied: bool
    """Whether its only fill was corrected, or assigned to another alert."""
    round_trip: str = ""
    """For a closed alert: its quantity, prices, profit and duration in words; empty if not known."""


class Details:
    """Answer from the ledger's state."""

    def __init__(self, state: LedgerState, names: AlerterNames | None = None) -> None:
        self._state = state
        self._names = names or AlerterNames()

    def alert(self, name: str, created_at: str) -> AlertDetails | None:
        """Return what the record of that name and creation shows; None where that is not known."""
        for alert_state in self._state.find(ALERTS, "name", name):
            shown = alert_state.shown
            if alert_state.alert.created_at != created_at or shown is None:
                continue
            last, position = shown.last_order_update or {}, shown.position or {}
            fill = self.fill(str(last.get("account")), str(last.get("exec_id")))
            if fill is None:
                return None
            realized = last.get("realized_pnl")
            return AlertDetails(
                fill,
                rule=str(last.get("matched_by")),
                held=str(position.get("quantity")),
                average=_plain(position.get("avg_price")),
                closed=position.get("closed_at") is not None or position.get("opened_at") is None,
                closed_by=str(position.get("closed_by") or ""),
                realized="" if realized is None else _plain(realized),
                emptied=position.get("opened_at") is None,
                round_trip=self._round_trip(alert_state) if position.get("closed_at") is not None else "",
            )
        return None

    def _round_trip(self, alert_state: AlertState) -> str:
        """Sum up the last round trip of a record; empty for a contract with very many fills.

        The past of the contract is folded again for it, on the loop that also receives fills.
        """
        keys = [
            key
            for key in alert_state.contracts
            if len(self._state.find(EXECUTIONS, "contract", key.text())) <= _MOST_FILLS
        ]
        trips = [trip for key in keys for trip in round_trips(self._state, key, self._names)]
        over = [trip for trip in trips if trip.alert == alert_state.alert and trip.closed_at is not None]
        if not over:
            return ""
        trip = max(over, key=lambda each: str(each.closed_at))
        length = trip.held_for
        if length is None or trip.closing_price is None or not trip.priced:
            return ""
        prices = f"in at {_short(trip.avg_price)}, out at {_short(trip.closing_price)}"
        made = f"profit {_short(trip.profit)} before fees"
        return f"{number(trip.opened)} {prices}: {made}, held {span(int(length.total_seconds()))}"

    def fill(self, account: str, exec_id: str) -> FillDetails | None:
        """Return an execution in words; None where it is not known."""
        booked = self._state.get(EXECUTIONS, f"{account} {exec_id}")
        if booked is None:
            return None
        execution = booked.execution
        contract = contract_words(execution.contract)
        quantity, price = number(execution.quantity), number(execution.price)
        return FillDetails(
            f"{execution.side.value} {quantity} {contract} at {price}", execution.time, why_undecided(booked)
        )


def _short(value: Decimal) -> str:
    return f"{float(value):.8g}"


def _plain(value: object) -> str:
    """Write a number without the rounding errors of binary fractions."""
    return f"{value:.10g}" if isinstance(value, int | float) else str(value)
