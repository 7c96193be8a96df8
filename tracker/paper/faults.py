"""The faults that a test or a scenario can switch on.

Owns the switches and what each means; the broadcast, the responses and the connections obey them.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Faults:
    """Hold the switches; each may be changed at any time and takes effect with the next message."""

    withhold_exec_end: bool = False
    """Never send execDetailsEnd (55), as TWS 10.25 and 10.30 do at times."""
    withhold_open_order_end: bool = False
    withhold_position_end: bool = False
    withhold_completed_end: bool = False
    silent: bool = False
    """Send nothing at all, with the socket up; what would have been sent is lost."""
    ignored_requests: set[int] = field(default_factory=set)
    """Message ids of requests that get no answer."""
    refuse_client_id: bool = False
    """Answer startApi with 326 and close, whatever the id."""
    drop_on_connect: bool = False
    """Accept a connection and close it at once."""
    duplicate: int = 1
    """How many copies of each execDetails are sent, live or in an answer."""
    reorder: bool = False
    """Hold back an order's first openOrder and orderStatus until its first execution was sent."""
    late_fee_seconds: float = 0.0
    """How long commissionReports lag behind their execution (9.9 s have been seen)."""
    bad_zone: str = ""
    """A display name of a zone to write execution times in, such as `PST` or `India Standard Time`."""
    missing_positions: set[int] = field(default_factory=set)
    """conIds that answers about positions leave out, and that are not pushed."""
    no_perm_ids: bool = False
    """Write permId 0 into openOrder, orderStatus and execDetails, as TWS does while it waits for one."""
