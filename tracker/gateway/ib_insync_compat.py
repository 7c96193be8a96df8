"""ib_insync, imported in one place and kept cheap and quiet.

Owns the import (which asks for an event loop), the short texts that replace its eager ones, and the road of
its log records into ours. It never changes what the library decodes or sends.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from loguru import logger


@contextmanager
def _loop_for_import() -> Iterator[None]:
    """Give eventkit the event loop that it takes at import, where none is running.

    Without one Python 3.12 and 3.13 warn, and after an `asyncio.run` the import fails outright. eventkit uses
    that loop only for `emit_threadsafe`, which nobody here calls.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        try:
            yield
        finally:
            asyncio.set_event_loop(None)
            loop.close()
    else:
        yield


with _loop_for_import():
    from eventkit import Event
    from ib_insync import contract, objects, order, wrapper
    from ib_insync.client import Client
    from ib_insync.contract import Contract
    from ib_insync.flexreport import FlexReport
    from ib_insync.ib import IB
    from ib_insync.objects import Execution, ExecutionFilter, Fill
    from ib_insync.order import Order, OrderStatus, Trade

__all__ = [
    "IB",
    "Client",
    "Contract",
    "Execution",
    "ExecutionFilter",
    "Fill",
    "FlexReport",
    "Order",
    "OrderStatus",
    "Trade",
    "make_cheap",
    "make_quiet",
    "new_ib",
]

MESSAGE_LIMIT: Final = 400
"""Longest text taken over from a library log record, in characters."""


def new_ib() -> IB:
    """Return a fresh IB object, cheap and quiet, for one connection: its state outlives a link."""
    make_cheap()
    make_quiet()
    constructor: Any = IB  # Its __init__ carries no types.
    made: IB = constructor()
    return made


def _short_repr(self: object) -> str:
    return f"<{type(self).__name__}>"


def _as_dict(holder: object) -> dict[str, Any]:
    """Return what the library's own function does, without asking for each field."""
    return dict(vars(holder))


_trade_event: Final = Event("events of single trades, which nobody here listens to")


def _share_events(trade: Trade) -> None:
    target: Any = trade  # The attributes are only known to the method that this one replaces.
    for name in Trade.events:
        setattr(target, name, _trade_event)


def make_cheap() -> None:
    """Take the cost of unused things out of the library; process-wide, and safe to call again.

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
    """Hand the library's log records to loguru, at the level that they deserve here."""

    def emit(self, record: logging.LogRecord) -> None:
        level = "WARNING"
        if record.name in ("ib_insync.client", "ib_insync.wrapper", "ib_insync.ib"):
            # The session says the same in plain words, and an orderStatus of another client's order, which
            # the library calls an error, is everyday for a tracker.
            level = "DEBUG"
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text = f"{text[:MESSAGE_LIMIT]} ({record.exc_info[1]!r})"
        logger.opt(depth=6).log(level, "{}: {}", record.name, text[: 2 * MESSAGE_LIMIT])


def make_quiet() -> None:
    """Route the records of ib_insync and eventkit from WARNING up to loguru; safe to call again."""
    for name in ("ib_insync", "eventkit"):
        library_logger = logging.getLogger(name)
        library_logger.setLevel(logging.WARNING)
        library_logger.propagate = False
        if not any(isinstance(handler, _LoguruRoute) for handler in library_logger.handlers):
            library_logger.addHandler(_LoguruRoute())
