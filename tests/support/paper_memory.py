"""Place and fill many orders on a paper gateway and print how much memory each took; run as a program."""

from __future__ import annotations

import json
import resource
import sys

from tests.support.paper_clients import NVDA, Clock, make_gateway


def peak_bytes() -> int:
    """Return the most memory this process has had; the unit differs by system."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main(orders: int) -> None:
    clock = Clock()
    gateway = make_gateway(clock)
    gateway.fill(gateway.order(NVDA, "BUY", 2, limit="2.51"))
    start = peak_bytes()
    half = 0
    for number in range(orders):
        gateway.fill(gateway.order(NVDA, "BUY", 2, limit="2.51", order_ref="a/NVDA"))
        if number == orders // 2:
            half = peak_bytes()
    end = peak_bytes()
    clock.advance(days=1)
    gateway.book.roll(clock())
    left = len(gateway.book.orders) + len(gateway.book.executions) + len(gateway.book.fees)
    first, second = (half - start) / (orders / 2), (end - half) / (orders / 2)
    print(json.dumps({"first_half": first, "second_half": second, "left_after_midnight": left}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
