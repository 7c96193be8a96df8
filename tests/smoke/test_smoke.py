"""Smoke tests: the tracker and a separate client on a paper login.

They run against the shipped gateway, or against a real IB Gateway or TWS when TRACKER_PAPER_GATEWAY=host:port
is set; then they trade one share of a stock there and print what the login was found to do.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.smoke.login import (
    OBSERVER,
    TRADER,
    WATCH_VARIABLE,
    Login,
    NoPaperLogin,
    address,
    is_manual,
    login,
    refuse_live_accounts,
    share,
    time_form,
)
from tests.support.daemon_rig import Rig
from tests.support.paper_clients import RawClient, fields_of_order, until
from tracker.clock import now

ALERTER = "robindahood-alerts"


def run(scene: Callable[[Login], Awaitable[None]]) -> None:
    async def inside() -> None:
        async with login() as found:
            await scene(found)

    asyncio.run(inside())


class Trader:
    """Place orders as a client of its own and clean up whatever is left."""

    def __init__(self, client: RawClient, found: Login) -> None:
        self.client = client
        self.login = found
        self.account = client.of("15")[0][2].split(",")[0]
        self.next_id = int(client.of("9")[0][2])

    def place(self, side: str, **terms: Any) -> int:
        self.next_id += 1
        order = {"action": side, "totalQuantity": 1, "account": self.account, "tif": "DAY", **terms}
        self.client.send(*fields_of_order(self.next_id, share(), **order))
        return self.next_id

    async def until_status(self, order_id: int, *wanted: str) -> None:
        def reached() -> bool:
            complaints = [
                f[3:5] for f in self.client.of("4") if f[2] == str(order_id) and f[3] in ("201", "200", "321")
            ]
            assert not complaints, f"the gateway refused the order: {complaints}"
            return any(f[1] == str(order_id) and f[2] in wanted for f in self.client.of("3"))

        await until(
            reached, f"order {order_id} {' or '.join(wanted)} (is the market open?)", self.login.seconds
        )


def test_live_account_is_refused() -> None:
    """A login with a live account is refused."""
    for accounts in (["DU1234567", "U0000000"], ["F0000000"], [""], []):
        with pytest.raises(NoPaperLogin):
            refuse_live_accounts(accounts)
    refuse_live_accounts(["DU1234567", "DF9000001", ""])


def test_login_address_is_checked() -> None:
    """The address of a real login is checked."""
    assert address({}) is None
    assert address({"TRACKER_PAPER_GATEWAY": "127.0.0.1:4002"}) == ("127.0.0.1", 4002)
    with pytest.raises(ValueError, match="must be host:port"):
        address({"TRACKER_PAPER_GATEWAY": "4002"})


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("20251118-17:00:00", "UTC with a dash, no zone"),
        ("20251118  12:00:00", "local time without a zone"),
        ("20251118 12:00:00 US/Eastern", "local time in zone US/Eastern"),
        ("noon", "another form: noon"),
    ],
)
def test_forms_of_times_are_told_apart(text: str, form: str) -> None:
    assert time_form(text) == form


def test_resting_order_seen_and_cancelled() -> None:
    """A resting order of another client is seen and cancelled."""

    async def scene(found: Login) -> None:
        async with found.client(OBSERVER) as observer, found.client(TRADER + 1) as client:
            trader = Trader(client, found)
            client.send(49, 1)
            (answer,) = await client.until("49", seconds=found.seconds)
            assert abs(int(answer[2]) - now().timestamp()) < 300
            order_id = trader.place(
                "BUY",
                orderType="LMT",
                lmtPrice=1.0,
                orderRef="tracker-smoke",
                overridePercentageConstraints=True,
            )
            try:
                await trader.until_status(order_id, "Submitted", "PreSubmitted")
                observer.send(16, 1)
                await observer.until("53", seconds=found.seconds)
                mine = [f for f in observer.of("5") if f[23] == "tracker-smoke" and f[1] == str(order_id)]
                assert mine
                assert mine[-1][24] == str(TRADER + 1)
            finally:
                client.send(4, 1, order_id, "")
            await trader.until_status(order_id, "Cancelled", "ApiCancelled")

    run(scene)


def test_fill_opens_and_sale_closes(tmp_path: Path) -> None:
    """A fill opens an alert and its sale closes it."""

    async def scene(found: Login) -> None:
        rig = Rig(tmp_path)
        try:
            write_alert(rig)
            await rig.start(
                "--gateway.host", found.host, "--gateway.port", str(found.port), "--gateway.client_id", "0"
            )
            async with found.client(TRADER + 1) as client:
                trader = Trader(client, found)
                bought = trader.place("BUY", orderType="MKT", orderRef="tracker-smoke")
                await trader.until_status(bought, "Filled")
                await rig.until(lambda: record(rig)["open"] is True, found.seconds)
                assert record(rig)["last_order_update"]["filled_qty"] == 1
                sold = trader.place("SELL", orderType="MKT", orderRef="tracker-smoke")
                await trader.until_status(sold, "Filled")
                await rig.until(lambda: record(rig)["open"] is False, found.seconds)
                assert record(rig)["position"]["quantity"] == 0
            assert await rig.stop() == 0
        finally:
            if rig.process is not None and rig.process.returncode is None:
                rig.process.kill()
                await rig.process.wait()

    run(scene)


def test_login_only_facts_are_reported(capsys: pytest.CaptureFixture[str]) -> None:
    """What only a login can tell is reported."""
    reports: list[dict[str, str]] = []

    async def scene(found: Login) -> None:
        async with found.client(OBSERVER) as observer, found.client(TRADER + 1) as client:
            trader = Trader(client, found)
            bought = trader.place("BUY", orderType="MKT")
            await trader.until_status(bought, "Filled")
            execution = (await client.until("11", seconds=found.seconds))[0]
            found.findings["zone of the handshake"] = " ".join(client.handshake[1].split(" ")[2:])
            found.findings["execution times"] = time_form(execution[15])
            sold = trader.place("SELL", orderType="MKT")
            await trader.until_status(sold, "Filled")
            await report_fees(found, client, observer)
            await report_ends(found, observer, trader.account)
            await report_manual(found, observer)
        reports.append(found.findings)

    run(scene)
    (findings,) = reports
    if os.environ.get("TRACKER_PAPER_GATEWAY"):
        with capsys.disabled():
            print("\nwhat this login does:")
            for name, value in findings.items():
                print(f"  {name}: {value}")
        return
    assert findings == {
        "zone of the handshake": findings["zone of the handshake"],
        "execution times": "local time in zone US/Eastern",
        "fees of the client's own fills": "come",
        "fees of other clients' fills at client 0": "come",
        "End of executions without acctCode": "is sent",
        "End of executions with acctCode": "is sent",
        "unbound manual orders at client 0": "come live, with orderId 0",
    }


async def report_fees(found: Login, client: RawClient, observer: RawClient) -> None:
    for name, one in (
        ("fees of the client's own fills", client),
        ("fees of other clients' fills at client 0", observer),
    ):
        came = await within(found, partial(one.of, "59"))
        found.findings[name] = "come" if came else "do not come"


async def report_ends(found: Login, observer: RawClient, account: str) -> None:
    def ended(number: int) -> bool:
        return any(f[2] == str(number) for f in observer.of("55"))

    for number, (name, account_code) in enumerate((("without", ""), ("with", account)), start=9001):
        observer.send(7, 3, number, 0, account_code, "", "", "", "", "")
        came = await within(found, partial(ended, number))
        found.findings[f"End of executions {name} acctCode"] = "is sent" if came else "is withheld"


async def report_manual(found: Login, observer: RawClient) -> None:
    name = "unbound manual orders at client 0"
    seconds = found.seconds if found.shipped is not None else float(os.environ.get(WATCH_VARIABLE, "0"))
    if not seconds:
        found.findings[name] = f"not looked at: set {WATCH_VARIABLE}=120 and place an order by hand meanwhile"
        return
    before = len(observer.frames)
    if found.shipped is not None:
        found.shipped.order(share(), "BUY", 1, limit=Decimal("1.0"), manual=True)

    def came() -> list[str]:
        return [f[1] for f in observer.frames[before:] if is_manual(f)]

    try:
        await until(came, seconds=seconds)
        found.findings[name] = f"come live, with orderId {came()[0]}"
    except AssertionError:
        found.findings[name] = f"none came within {seconds:g} s"


async def within(found: Login, condition: Callable[[], object]) -> bool:
    try:
        await until(condition, seconds=min(found.seconds, 20.0))
    except AssertionError:
        return False
    return True


def write_alert(rig: Rig) -> None:
    rig.alerts_path.parent.mkdir(parents=True, exist_ok=True)
    alert = {
        "open": False,
        "created_at": now().replace(tzinfo=None).isoformat(),
        "option_conids": [],
        "option_conid": None,
        "sentiment": "bullish",
        "conid": 0,
        "alert_details": {"ticker": share().symbol, "is_bullish": True},
    }
    rig.alerts_path.write_text(json.dumps({ALERTER: {share().symbol: alert}}, indent=2))


def record(rig: Rig) -> dict[str, Any]:
    return rig.read(ALERTER, share().symbol)
