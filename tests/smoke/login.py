"""The gateway that the smoke tests run against: the shipped one, or a real paper login.

Owns the choice, the refusal of anything but paper accounts, and what a login was found to do.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from tests.support.paper_clients import RawClient, raw_client
from tracker.clock import now
from tracker.paper.contracts import PaperContract, stock
from tracker.paper.framing import Fields
from tracker.paper.order_engine import FillPolicy
from tracker.paper.server import PaperGateway

VARIABLE: Final = "TRACKER_PAPER_GATEWAY"
WATCH_VARIABLE: Final = "PAPER_WATCH_SECONDS"
"""How long to wait for an order that a person places by hand in TWS; only a real login needs it."""
SYMBOL_VARIABLE: Final = "PAPER_SYMBOL"
"""A liquid US stock to trade one share of; SPY unless said."""
REAL_SECONDS: Final = 60.0
"""How long a real login may take for anything."""
SHIPPED_SECONDS: Final = 15.0
OBSERVER: Final = 0
TRADER: Final = 71


class NoPaperLogin(Exception):
    """The login has an account that is not a paper account; nothing may be traded on it."""


@dataclass(slots=True)
class Login:
    """Hold where a gateway listens and whether it is the shipped one."""

    host: str
    port: int
    shipped: PaperGateway | None = None
    findings: dict[str, str] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return REAL_SECONDS if self.shipped is None else SHIPPED_SECONDS

    @asynccontextmanager
    async def client(self, client_id: int) -> AsyncIterator[RawClient]:
        """Connect by hand, and leave at once where an account is no paper account."""
        async with raw_client(self, client_id) as client:
            refuse_live_accounts(client.of("15")[0][2].split(","))
            yield client


def address(environment: Mapping[str, str]) -> tuple[str, int] | None:
    """Return the real login's host and port, None where none is named; ValueError for another form."""
    text = environment.get(VARIABLE, "")
    if not text:
        return None
    found = re.fullmatch(r"(.+):(\d{1,5})", text)
    if found is None:
        raise ValueError(f"{VARIABLE} must be host:port, such as 127.0.0.1:4002, not {text!r}")
    return found[1], int(found[2])


@asynccontextmanager
async def login() -> AsyncIterator[Login]:
    """Start the shipped gateway, or name the real one, which must have nothing but paper accounts."""
    real = address(os.environ)
    if real is not None:
        found = Login(*real)
        async with found.client(TRADER):
            yield found
        return
    async with PaperGateway(now=now, fills=FillPolicy(rest=True)) as gateway:
        yield Login(gateway.host, gateway.port, gateway)


def refuse_live_accounts(accounts: Iterable[str]) -> None:
    """Raise NoPaperLogin unless every account is a paper account, which begin with DU or DF."""
    named = [account for account in accounts if account]
    live = [account for account in named if not account.startswith(("DU", "DF"))]
    if live or not named:
        raise NoPaperLogin(
            f"these tests place orders, and {len(live)} of {len(named)} accounts are no paper accounts"
        )


def share() -> PaperContract:
    """Return the stock to trade, without a conId: the gateway knows it by its symbol."""
    return stock(os.environ.get(SYMBOL_VARIABLE, "SPY"), con_id=0, exchange="", trading_class="")


def time_form(text: str) -> str:
    """Name the form of an execution's time."""
    if re.fullmatch(r"\d{8}-\d\d:\d\d:\d\d", text):
        return "UTC with a dash, no zone"
    if re.fullmatch(r"\d{8} +\d\d:\d\d:\d\d", text):
        return "local time without a zone"
    found = re.fullmatch(r"\d{8} +\d\d:\d\d:\d\d (.+)", text)
    return f"local time in zone {found[1]}" if found else f"another form: {text}"


def is_manual(fields: Fields) -> bool:
    """Return whether an openOrder is about an order by hand: client 0, and no number or a bound one."""
    return fields[0] == "5" and fields[24] == "0" and int(fields[1]) <= 0
