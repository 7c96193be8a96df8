"""What `status` says of a link in trouble: the right state, a plain reason, soon, at a bounded rate."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import Any

from tests.daemon.test_end_to_end import ROBIN, play
from tests.support.daemon_rig import CALL, Rig, record
from tracker.gateway.link import LinkOptions

SOON = 2.0
"""Seconds from the moment a trouble can be known to the moment that status tells it."""


async def _link(rig: Rig) -> dict[str, Any]:
    try:
        found: dict[str, Any] = (await rig.status())["link"]
    except ConnectionError:
        return {"state": "", "reason": ""}
    return found


async def _listening(rig: Rig) -> None:
    async def answers() -> bool:
        return bool((await _link(rig))["state"])

    await rig.until(answers)


async def _says(rig: Rig, state: str, *words: str, seconds: float = SOON) -> dict[str, Any]:
    """Wait until the link is in this state for a reason with these words."""
    last: dict[str, Any] = {}

    async def said() -> bool:
        last.update(await _link(rig))
        return last["state"] == state and all(word in last["reason"] for word in words)

    try:
        await rig.until(said, seconds=seconds)
    except AssertionError as error:
        raise AssertionError(f"status says {last}") from error
    return last


def test_sweep_pause_grows_within_bounds() -> None:
    """A sweep pauses longer on a busy day but never too long for a proof."""
    options = LinkOptions("127.0.0.1", 4002, 0, UTC)
    assert [options.sweep_pause(listed) for listed in (0, 3_000, 20_000, 90_000)] == [15, 15, 100, 240]
    assert replace(options, sweep_seconds=250).sweep_pause(90_000) == 250


def test_a_refused_port(tmp_path: Path) -> None:
    """Nothing listens there; the next attempt has a time."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.gateway.stop()
        await rig.start(ready=False)
        await _listening(rig)
        link = await _says(rig, "waiting", "nothing listens")
        assert link["next_attempt_at"] is not None
        assert not (await rig.status())["subscribed"]
        assert await rig.stop() == 0

    play(tmp_path, story)


def test_link_that_drops_at_once_retries(tmp_path: Path) -> None:
    """It counts as a failed attempt each time, and the attempts grow rarer."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        rig.gateway.faults.drop_on_connect = True
        await rig.start(ready=False)
        await _listening(rig)
        link = await _says(rig, "waiting", "closed")
        await asyncio.sleep(SOON)  # To count the attempts of a known time.
        assert (await _link(rig))["attempts"] <= link["attempts"] + 3
        rig.gateway.faults.drop_on_connect = False
        await rig.until(rig.subscribed, seconds=30)

    play(tmp_path, story)


def test_a_client_id_in_use(tmp_path: Path) -> None:
    """326 is seen at once, not after a timeout."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        rig.gateway.faults.refuse_client_id = True
        await rig.start(ready=False)
        await _listening(rig)
        await _says(rig, "waiting", "client id 0 is in use")

    play(tmp_path, story)


def test_a_silent_peer_is_dropped(tmp_path: Path) -> None:
    """The socket stays up and says nothing; a probe finds out, and the link is made again."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start("--gateway.probe_seconds", "0.5", "--gateway.request_timeout", "1")
        rig.gateway.faults.silent = True
        await _says(rig, "waiting", "probe", seconds=1 + 1 + SOON)
        rig.gateway.faults.silent = False
        rig.gateway.fill(rig.gateway.order(CALL, "BUY", 2, limit="2"))
        await rig.until(lambda: rig.read()["open"], seconds=30)

    play(tmp_path, story)


def test_a_peer_that_never_sends_end(tmp_path: Path) -> None:
    """It runs, receives fills, and says that its sweep proves nothing."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        rig.gateway.faults.withhold_exec_end = True
        order = rig.gateway.order(CALL, "BUY", 10, limit="2")
        rig.gateway.fill(order, 3)
        await rig.start("--gateway.request_timeout", "2", "--gateway.sweep_seconds", "3600")
        await rig.until(lambda: rig.read()["open"])
        status = await rig.status()
        assert status["link"]["last_sweep_timed_out"]
        assert status["last_polled_at"] is None
        rig.gateway.fill(order, 7)
        await rig.until(lambda: rig.read()["position"]["quantity"] == 10, seconds=1.5)

    play(tmp_path, story)


def test_ibkr_lost_and_found(tmp_path: Path) -> None:
    """1100 takes `subscribed` away, 1102 gives it back after a sweep."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start()
        rig.gateway.notice(1100)
        await _says(rig, "upstream_down", "IBKR")
        rig.gateway.notice(1102)
        await _says(rig, "up")
        await rig.until(rig.subscribed)

    play(tmp_path, story)


def test_wrong_kind_of_login_is_refused(tmp_path: Path) -> None:
    """A journal with paper fills takes no live login, and says what to do."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start()
        assert await rig.stop() == 0

    play(tmp_path, story)

    async def live(rig: Rig) -> None:
        await rig.start(ready=False)
        await _listening(rig)
        await _says(rig, "refused", "live login", "paper")

    play(tmp_path, live, accounts=("U1234567",))


def test_an_advisors_master_login_is_refused(tmp_path: Path) -> None:
    """Its executions would be counted twice."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start(ready=False)
        await _listening(rig)
        await _says(rig, "refused", "advisor")

    play(tmp_path, story, accounts=("DF1234567", "DU1234567"))
