"""Import ib_insync in one place, make it cheap and keep it quiet.

Owns the import (which asks for an event loop), the loop that the library works on, the short texts that
replace its eager ones, and the routing of its log records into ours. It never changes what the library
decodes or sends. Tests and scripts import the library through it, too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from loguru import logger


class _NoPolicy:
    """Replace the event-loop policy while eventkit is imported."""

    def get_event_loop(self) -> None:
        """Return no loop: eventkit keeps it only for `emit_threadsafe`, which nobody here calls."""


@contextmanager
def _loopless_import() -> Iterator[None]:
    """Let eventkit ask for an event loop at its import, when none is running.

    It asks the policy. Without a current loop Python 3.12 and 3.13 warn, 3.14 raises, and 3.16 has no
    policies any more.
    """
    name = "get_event_loop_policy"
    absent = object()
    before = getattr(asyncio, name, absent)
    setattr(asyncio, name, _NoPolicy)
    try:
        yield
    finally:
        if before is absent:
            delattr(asyncio, name)
        else:
            setattr(asyncio, name, before)


with _loopless_import():
    import eventkit
    import ib_insync
    from eventkit import Event
    from eventkit.ops import create, timing, transform
    from ib_insync import client, connection, contract, objects, order, util, wrapper
    from ib_insync.client import Client
    from ib_insync.contract import Contract
    from ib_insync.decoder import Decoder
    from ib_insync.ib import IB
    from ib_insync.objects import Execution, ExecutionFilter, Fill
    from ib_insync.order import Order, OrderStatus, Trade


def _use_running_loop() -> None:
    """Make both libraries use the running loop; each of their modules has its own function to get it.

    Their functions ask the event-loop policy, which Python 3.14 deprecates and 3.16 removes. Here they are
    only called while a loop runs, so it is the same loop.
    """
    asking_modules: tuple[Any, ...] = (util, client, connection, wrapper)
    for module in asking_modules:
        module.getLoop = asyncio.get_running_loop
    asking_modules = (eventkit.util, eventkit.event, create, timing, transform)
    for module in asking_modules:
        module.get_event_loop = asyncio.get_running_loop


_use_running_loop()

__all__ = [
    "IB",
    "Client",
    "Contract",
    "Decoder",
    "Execution",
    "ExecutionFilter",
    "Fill",
    "Order",
    "OrderStatus",
    "Trade",
    "ib_insync",
    "make_cheap",
    "make_quiet",
    "new_ib",
]

RECORDS_PER_MINUTE: Final = 50
_MINUTE: Final = 60.0
MESSAGE_LIMIT: Final = 400
"""The longest text taken from a log record of the library, in characters."""


def new_ib() -> IB:
    """Return a fresh IB object, cheap and quiet, for one connection: its state outlives a link."""
    make_cheap()
    make_quiet()
    constructor: Any = IB  # Its __init__ carries no types.
    made: IB = constructor()
    return made


def _short_repr(self: object) -> str:
    return "<ib_insync object>"


def _as_dict(holder: object) -> dict[str, Any]:
    """Return the same as the library's own function, without a getattr for each field."""
    return dict(vars(holder))


_trade_event: Final = Event("events of single trades, which nobody here listens to")


def _share_events(trade: Trade) -> None:
    target: Any = trade  # The attributes are only known to the method that this one replaces.
    for name in Trade.events:
        setattr(target, name, _trade_event)


def make_cheap() -> None:
    """Remove the cost of unused features from the library; process-wide, and safe to call again.

    Every orderStatus and execDetails formats the whole trade, with all its fills and its whole log, into an
    f-string even where logging is off, so the cost of a fill grows with the fills before it: texts become
    constant. Every trade makes 21 event objects of its own: they become one, since only the events of the
    IB object are listened to. Objects become dicts at once, not field by field.
    """
    reader: Any = wrapper
    reader.dataclassAsDict = _as_dict
    trade_class: Any = order.Trade
    trade_class.__post_init__ = _share_events
    for cls in (
        contract.Contract,
        *contract.Contract.__subclasses__(),
        contract.ComboLeg,
        objects.Execution,
        objects.CommissionReport,
        objects.Fill,
        objects.Position,
        objects.PortfolioItem,
        objects.TradeLogEntry,
        order.Order,
        order.OrderState,
        order.OrderStatus,
        order.Trade,
    ):
        target: Any = cls  # Assigning a method to a class is what mypy forbids and what is meant here.
        target.__repr__ = _short_repr
        target.__str__ = _short_repr


class _LoguruRoute(logging.Handler):
    """Pass the library's log records on to loguru: a limited number each minute, at the level that fits
    here.
    """

    def __init__(self) -> None:
        super().__init__()
        self._minute_began = 0.0
        self._passed = 0

    def emit(self, record: logging.LogRecord) -> None:
        if not self._is_within_allowance(record.created):
            return
        level = "WARNING"
        if record.name in ("ib_insync.client", "ib_insync.wrapper", "ib_insync.ib"):
            # The link's state says the same in plain words; and the library calls it an error when the status
            # of another client's order comes, which a tracker gets every day.
            level = "DEBUG"
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text = f"{text[:MESSAGE_LIMIT]} ({record.exc_info[1]!r})"
        logger.opt(depth=6).log(level, "{}: {}", record.name, text[: 2 * MESSAGE_LIMIT])

    def _is_within_allowance(self, created: float) -> bool:
        """Count a record; malformed messages can cause very many, and each is in the journal anyway."""
        if created - self._minute_began >= _MINUTE:
            if self._passed > RECORDS_PER_MINUTE:
                left_out = self._passed - RECORDS_PER_MINUTE
                logger.warning("{} more log records of ib_insync were left out", left_out)
            self._minute_began, self._passed = created, 0
        self._passed += 1
        return self._passed <= RECORDS_PER_MINUTE


def make_quiet() -> None:
    """Route the records of ib_insync and eventkit from WARNING up to loguru; safe to call again."""
    for name in ("ib_insync", "eventkit"):
        library_logger = logging.getLogger(name)
        library_logger.setLevel(logging.WARNING)
        library_logger.propagate = False
        if not any(isinstance(handler, _LoguruRoute) for handler in library_logger.handlers):
            library_logger.addHandler(_LoguruRoute())
