"""One year of one account as a person would write it down, and what its alerts show at each month's end.

Both tables are written by hand from the rules. A line is New York's date and time, and what happens then:

- `alert ALERTER TICKER CONTRACT`: the alert writer writes that record, in the place of an older one.
- `buy`, `sell` QUANTITY CONTRACT `at` PRICE, perhaps `for` REFERENCE: an order, filled at once.
- `bust CONTRACT`: its last execution is taken back on the same day.
- `rebook CONTRACT`: the broker's books cancel it and book it again, under the same execId, for 40 cents more.
- `split CONTRACT NEW:OLD`, `becomes OLD NEW RATIO`, `transfer QUANTITY CONTRACT`: nobody trades.
- `assign QUANTITY OPTION STOCK`, `expire OPTION`: at the end of the day.
- `told CONTRACT SPLIT`, `told OLD NEW RATIO`: a person says it to the tracker that runs.
- `stop`, `start`: the tracker does not run meanwhile.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final, NamedTuple

from tracker.paper.contracts import PaperContract, option, stock

CONTRACTS: Final[dict[str, PaperContract]] = {
    "SPY": stock("SPY", con_id=756733),
    "NVDA": stock("NVDA", con_id=4815747),
    "NVDA2": stock("NVDA", con_id=4815748),
    "AMD": stock("AMD", con_id=4391),
    "COIN": stock("COIN", con_id=481691285),
    "META": stock("META", con_id=107113386),
    "META2": stock("META", con_id=107113387),
    "TSLA-C300": option("TSLA", "20250221", "C", 300, con_id=700000001),
    "AMD-P100": option("AMD", "20250221", "P", 100, con_id=700000002),
    "COIN-C200": option("COIN", "20250516", "C", 200, con_id=700000003),
    "AMD-C120": option("AMD", "20250620", "C", 120, con_id=700000004),
    "TSLA-C350": option("TSLA", "20250919", "C", 350, con_id=700000005),
    "COIN-C250": option("COIN", "20251219", "C", 250, con_id=700000006),
}

HELD_BEFORE: Final = {"SPY": Decimal(1)}

YEAR: Final = """
2025-01-06 09:40  alert robindahood-alerts NVDA NVDA
2025-01-06 10:05  buy 10 NVDA at 120
2025-01-13 09:35  alert real-day-trading TSLA TSLA-C300
2025-01-13 09:50  buy 4 TSLA-C300 at 5
2025-01-15 11:00  buy 2 TSLA-C300 at 8
2025-01-22 14:30  sell 3 TSLA-C300 at 9

2025-02-10 10:00  alert prof-and-kian-alerts AMD AMD-P100
2025-02-10 10:20  sell 5 AMD-P100 at 1.5
2025-02-14 16:20  assign 2 AMD-P100 AMD
2025-02-21 16:20  expire TSLA-C300
2025-02-21 16:20  expire AMD-P100
2025-02-24 10:00  sell 200 AMD at 101

2025-03-07 20:25  split NVDA 4:1
2025-03-10 10:00  told NVDA 4:1
2025-03-12 12:00  sell 20 NVDA at 35

2025-04-08 09:45  alert robindahood-alerts COIN COIN-C200
2025-04-08 10:00  buy 4 COIN-C200 at 6
2025-04-08 10:01  buy 2 COIN-C200 at 6.5
2025-04-08 15:00  bust COIN-C200
2025-04-15 10:00  buy 4 COIN-C200 at 7
2025-04-16 09:00  rebook COIN-C200

2025-05-13 00:20  stop
2025-05-13 11:00  sell 8 COIN-C200 at 9
2025-05-14 09:40  alert real-day-trading META META
2025-05-14 10:00  buy 5 META at 500
2025-05-15 10:00  buy 5 META at 510
2025-05-16 00:10  start

2025-06-03 09:40  alert prof-and-kian-alerts AMD AMD-C120
2025-06-03 10:00  buy 2 AMD-C120 at 3
2025-06-20 16:20  assign 2 AMD-C120 AMD
2025-06-23 10:00  sell 200 AMD at 140

2025-07-11 20:25  becomes META META2 1:1
2025-07-14 10:00  told META META2 1:1
2025-07-16 10:00  sell 4 META2 at 520

2025-08-05 12:00  transfer -5 NVDA
2025-08-15 20:25  becomes NVDA NVDA2 1:5
2025-08-18 10:00  told NVDA NVDA2 1:5

2025-09-03 09:40  alert robindahood-alerts NVDA NVDA2
2025-09-03 10:00  buy 2 NVDA2 at 160
2025-09-04 09:40  alert robindahood-alerts TSLA TSLA-C350
2025-09-04 10:00  sell 2 TSLA-C350 at 4
2025-09-12 10:00  buy 2 TSLA-C350 at 1

2025-10-15 20:30  buy 4 META2 at 530

2025-11-05 09:40  alert robindahood-alerts COIN COIN-C250
2025-11-05 09:41  alert real-day-trading COIN COIN-C250
2025-11-05 10:00  buy 3 COIN-C250 at 10
2025-11-20 16:20  assign 1 COIN-C250 COIN
2025-11-21 10:00  sell 100 COIN at 300

2025-12-10 10:00  sell 1 COIN-C250 at 12 for real-day-trading/COIN
2025-12-19 16:20  expire COIN-C250
2025-12-22 10:00  sell 5 NVDA2 at 170
"""

MONTHS: Final = """
             01      02      03     04     05      06      07      08     09     10      11     12
RH/NVDA      10@120  10@120  20@30  20@30  20@30   20@30   20@30   3@150  5@154  5@154   5@154  closed
RDT/TSLA     3@6     closed  closed closed closed  closed  closed  closed closed closed  closed closed
PK/AMD       -       closed  closed closed closed  closed  closed  closed closed closed  closed closed
RH/COIN      -       -       -      8@6.5  closed  closed  closed  closed closed closed  2@10   closed
RDT/META     -       -       -      -      10@505  10@505  6@505   6@505  6@505  10@515  10@515 10@515
RH/TSLA      -       -       -      -      -       -       -       -      closed closed  closed closed
RDT/COIN     -       -       -      -      -       -       -       -      -      -       2@10   closed
"""
"""What is left of each alert and its average price; `-` where there is no record yet."""

ALERTERS: Final = {
    "RH": "robindahood-alerts",
    "RDT": "real-day-trading",
    "PK": "prof-and-kian-alerts",
}


class Line(NamedTuple):
    """Hold one line of the year; `at` is New York's time."""

    at: str
    verb: str
    words: tuple[str, ...]


def lines() -> list[Line]:
    """Return the year, line by line."""
    split = [line.split() for line in YEAR.splitlines() if line]
    return [Line(f"{day}T{clock}:00", verb, tuple(words)) for day, clock, verb, *words in split]


def expected(month: int) -> dict[str, str]:
    """Return what each alert shows at the end of a month, by `ALERTER/TICKER`."""
    rows = [line.split() for line in MONTHS.splitlines()[2:]]
    return {
        f"{ALERTERS[name.split('/')[0]]}/{name.split('/')[1]}": values[month - 1] for name, *values in rows
    }


def ratio(text: str) -> Decimal:
    """Return new units for one old unit, of `NEW:OLD`."""
    new, old = text.split(":")
    return Decimal(new) / Decimal(old)
