"""The alerters' stored contracts of a simulated life, which fill in what a record lacks.

Owns what is stored, for the tracker's side and as text for the oracle. It is drawn apart from the rest of the
life: a life without any is the same as it would be otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Final

from tests.sim.broker import meant_day
from tests.sim.spellings import ALERTERS
from tracker.core.alerters import AlerterNames
from tracker.core.expiry import read_expiry
from tracker.core.model import Alert, StoredContract
from tracker.core.stored_contracts import fill_in
from tracker.paper.contracts import PaperContract

_CHANCE: Final = 0.3
_VAGUE: Final = 0.4
"""Of the records that lack what is stored."""
_EXPIRED: Final = "20251114"
"""A Friday before every life."""


class StoredContracts:
    """Hold what alerter_contracts.json says in one life."""

    def __init__(self, seed: int, contracts: Sequence[PaperContract]) -> None:
        self._rng = rng = Random(f"stored contracts of {seed}")
        self.texts: dict[str, Mapping[str, str]] = {}
        """alerter -> its contract, as text."""
        self._names = AlerterNames()
        options = [contract for contract in contracts if contract.sec_type == "OPT"]
        for alerter in ALERTERS if rng.random() < _CHANCE else ():
            contract = rng.choice(options)
            self.texts[alerter] = {
                "symbol": contract.symbol,
                "side": contract.right,
                "strike": str(contract.strike),
                "expiry": rng.choice((_EXPIRED, meant_day(contract))),
            }
        self._stored = [
            StoredContract(
                alerter,
                each.symbol,
                each.right,
                each.strike,
                read_expiry(self.texts[alerter]["expiry"], None),
            )
            for alerter in self.texts
            for each in options
            if self._is_about(alerter, each)
        ]

    def _is_about(self, alerter: str, contract: PaperContract) -> bool:
        text = self.texts[alerter]
        said = (text["symbol"], text["side"], text["strike"])
        return said == (contract.symbol, contract.right, str(contract.strike))

    def lacks_expiry(self, alerter: str, contract: PaperContract) -> bool:
        """Draw whether a record that is written now leaves its expiry to the stored contract."""
        known = next((name for name in self.texts if self._names.same(name, alerter)), None)
        return known is not None and self._is_about(known, contract) and self._rng.random() < _VAGUE

    def add(self, alert: Alert) -> Alert:
        """Return a record with what its alerter's stored contract fills in."""
        mine = [each for each in self._stored if self._names.same(each.alerter, alert.id.alerter)]
        return fill_in(alert, mine)
