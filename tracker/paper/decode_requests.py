"""Reading the requests that clients send.

Owns how the fields of a request are read, and the errors for those that cannot be. It answers nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from tracker.paper import formats
from tracker.paper.framing import Fields
from tracker.paper.model import PaperExecution

MOST_INTEGER: Final = 2**31 - 1


class RequestError(Exception):
    """Raised where a request cannot be served; carries the code and text of the error to answer with."""

    def __init__(self, code: int, text: str, request_id: int = -1) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.request_id = request_id


class Cursor:
    """Read a request's fields one after another; RequestError where one is missing or not a number."""

    def __init__(self, fields: Fields, start: int = 1) -> None:
        self._fields = fields
        self._at = start
        self.request_id = -1
        """The request id that errors carry, once it is read."""

    @property
    def left(self) -> int:
        return max(len(self._fields) - self._at, 0)

    def text(self) -> str:
        """Take a text."""
        if not self.left:
            kind = self._fields[0][:12]
            raise RequestError(320, f"Error reading request. Request {kind} ends too early.", self.request_id)
        self._at += 1
        return self._fields[self._at - 1]

    def texts(self, count: int) -> Sequence[str]:
        """Take several texts."""
        return [self.text() for _ in range(count)]

    def skip(self, count: int) -> None:
        """Skip fields."""
        self.texts(count)

    def integer(self) -> int:
        """Take a whole number of 32 bits that must be there."""
        text = self.text()
        value = formats.read_integer(text)
        if value is None or abs(value) > MOST_INTEGER:
            raise self.unreadable(text)
        return value

    def optional_integer(self) -> int:
        """Take a whole number of 32 bits, 0 where it is unset."""
        text = self.text()
        if text.lower() in formats.UNSET_TEXTS:
            return 0
        value = formats.read_integer(text)
        if value is None or abs(value) > MOST_INTEGER:
            raise self.unreadable(text)
        return value

    def unreadable(self, text: str) -> RequestError:
        """Return the error for a text that is not such a number."""
        cause = f"Error reading request. Unable to parse data. {text[:40]!r} is not a number."
        return RequestError(320, cause, self.request_id)

    def count(self, most: int) -> int:
        """Read how many items follow: 0 where the number is missing; RequestError for too many."""
        value = formats.read_integer(self.text()) or 0
        if not 0 <= value <= most:
            raise RequestError(
                320, f"Error reading request. {value} items are not possible here.", self.request_id
            )
        return value

    def number(self) -> Decimal | None:
        """Take a number that may be unset."""
        return formats.read_number(self.text())

    def flag(self) -> bool:
        """Take a boolean."""
        return formats.read_flag(self.text())

    def for_request(self) -> int:
        """Take the request id that errors will name."""
        self.request_id = self.integer()
        return self.request_id


@dataclass(frozen=True, slots=True)
class ExecutionFilter:
    """Hold which of the day's executions a client asks for; an empty field means any."""

    request_id: int
    client_id: int
    account: str
    since: datetime | None
    symbol: str
    sec_type: str
    exchange: str
    side: str

    def takes(self, execution: PaperExecution) -> bool:
        """Return whether the execution is asked for; client id 0 means any, as in the library's default."""
        contract = execution.contract
        return (
            (not self.client_id or execution.client_id == self.client_id)
            and (not self.account or execution.account == self.account)
            and (self.since is None or execution.time >= self.since)
            and (not self.symbol or contract.symbol == self.symbol)
            and (not self.sec_type or contract.sec_type == self.sec_type)
            and (not self.exchange or execution.exchange == self.exchange)
            and (not self.side or execution.side == self.side)
        )


def execution_filter(fields: Fields, zone: ZoneInfo) -> ExecutionFilter:
    """Read reqExecutions (7); `zone` is the login's, for a time without one."""
    cursor = Cursor(fields)
    cursor.skip(1)
    request_id = cursor.for_request()
    client_id = formats.read_integer(cursor.text()) or 0
    account, since, symbol, sec_type, exchange, side = cursor.texts(6)
    try:
        moment = formats.read_filter_time(since, zone)
    except ValueError as error:
        raise RequestError(322, f"Error processing request.-'bx' : cause - {error}", request_id) from error
    side = {"BUY": "BOT", "SELL": "SLD", "SSHORT": "SLD"}.get(side.upper(), side.upper())
    return ExecutionFilter(request_id, client_id, account, moment, symbol, sec_type.upper(), exchange, side)
