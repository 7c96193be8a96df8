"""The real daemon beside stores that are absent, cut off, or hold what cannot be used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.daemon.test_end_to_end import ROBIN, play
from tests.support.daemon_rig import CALL, Rig, details, record


def buy(rig: Rig, quantity: int = 4) -> None:
    rig.gateway.fill(rig.gateway.order(CALL, "BUY", quantity, limit="2.51"))


@pytest.mark.parametrize("how", ["cut off", "absent"])
def test_fill_waits_for_the_alerts(tmp_path: Path, how: str) -> None:
    """The store is away at the start, for longer than a fill is decided again."""

    async def story(rig: Rig) -> None:
        whole = rig.write({ROBIN: {"NVDA": record()}})
        rig.options = ["--matching.retry_for", "1"]
        await rig.start()
        assert await rig.stop() == 0
        if how == "absent":
            rig.alerts_path.unlink()
        else:
            rig.alerts_path.write_text(whole[:60])
        await rig.start()
        buy(rig)
        await rig.until(lambda: rig.status_of("store", "away", "read"))
        await rig.idle_sweep()
        await rig.idle_sweep()
        rig.alerts_path.write_text(whole)
        await rig.until(lambda: rig.read()["open"])
        assert rig.read()["position"]["quantity"] == 4
        assert await rig.stop() == 0

    play(tmp_path, story)


def test_deleted_file_is_an_outage(tmp_path: Path) -> None:
    """While an alert is open: not ready, with the reason, until it is back; what came is written then."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start()
        buy(rig)
        await rig.until(lambda: rig.read()["open"])
        await rig.idle()
        whole = rig.alerts_path.read_text()
        rig.alerts_path.unlink()

        async def not_ready() -> bool:
            answer = await rig.ask("ready")
            return not answer["ready"] and "is gone; put it back" in str(answer["reasons"])

        await rig.until(not_ready)
        buy(rig, 1)
        await rig.idle_sweep()
        assert not rig.alerts_path.exists()
        rig.alerts_path.write_text(whole)
        await rig.until(lambda: rig.read()["position"]["quantity"] == 5)
        await rig.logged("1 alert read from")
        assert await rig.stop() == 0

    play(tmp_path, story)


def test_new_tracker_reports_absent_file(tmp_path: Path) -> None:
    """A path without a file is no reason to wait for a journal that never read one; it is said loudly."""

    async def story(rig: Rig) -> None:
        await rig.start()
        await rig.logged(f"{rig.alerts_path} is not there")
        assert await rig.status_of("store", "absent")
        buy(rig)
        await rig.idle()
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.until(lambda: rig.read()["open"])
        assert await rig.stop() == 0

    play(tmp_path, story)


def test_careless_records_stop_nothing(tmp_path: Path) -> None:
    """Half an emoji, a strike of 400,000 digits, an integer and a nesting that Python cannot read."""

    async def story(rig: Rig) -> None:
        careless = {
            "NVDA": record(option_conid=None, alert_details=details(expiry="OCT25 \ud83d")),
            "BAD": record(alert_details=details(strike="1e400000")),
        }
        text = rig.write({ROBIN: {"NVDA": record()}, "wolf": careless})
        nested = '{"DEEP": {"x": ' + "[" * 3_000 + "]" * 3_000 + '}, "LONG": {"x": ' + "9" * 5_000 + "}}"
        rig.alerts_path.write_text(text[:-2] + ', "more": ' + nested + "\n}")
        (rig.folder / "alerter_contracts.json").write_text(
            '{"wolf \\ud83d": {"strike": ' + "9" * 5_000 + "}}"
        )
        await rig.start()
        buy(rig)
        await rig.until(lambda: '"open": true' in rig.alerts_path.read_text())
        assert await rig.stop() == 0
        assert nested in rig.alerts_path.read_text()
        assert "Traceback" not in rig.log()

    play(tmp_path, story)


def test_second_run_leaves_the_token_alone(tmp_path: Path) -> None:
    """It finds the status port taken, ends, and has written no token of its own."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start()
        token = (tmp_path / "status.token").read_text()
        (tmp_path / "other").mkdir()
        other = Rig(tmp_path / "other")
        other.gateway = rig.gateway
        other.status_port = rig.status_port
        other.options = ["--status.token_file", str(tmp_path / "status.token")]
        await other.start(ready=False)
        assert await other.ended() == 1
        assert f"status.port {rig.status_port}: Address already in use; end what listens there" in other.log()
        assert (tmp_path / "status.token").read_text() == token
        assert await rig.stop() == 0

    play(tmp_path, story)


def test_deleted_token_is_written_again(tmp_path: Path) -> None:
    """Commands that need it go on without a restart, and the log says what happened."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        await rig.start()
        path = tmp_path / "status.token"
        token = path.read_text()
        path.unlink()
        await rig.until(path.exists)
        assert path.read_text() == token
        assert await rig.stop() == 0
        assert rig.log().count("status.token was gone; it is written again") == 1

    play(tmp_path, story)


@pytest.mark.parametrize("name", ["journal.db.lock", "alerts.json.lock"])
def test_pipe_as_lock_ends_with_reason(tmp_path: Path, name: str) -> None:
    """Exit 5, and the log names the file and the next step."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        os.mkfifo(tmp_path / name)
        await rig.start(ready=False)
        assert await rig.ended() == 5
        assert f"{name} is not a regular file; remove it" in rig.log()
        assert "Traceback" not in rig.log()

    play(tmp_path, story)


def test_unwritable_token_names_the_setting(tmp_path: Path) -> None:
    """A token file in a place that takes no files: exit 2, the setting, the cause and the next step."""

    async def story(rig: Rig) -> None:
        rig.write({ROBIN: {"NVDA": record()}})
        rig.options = ["--status.token_file", "/proc/self/status.token"]
        await rig.start(ready=False)
        assert await rig.ended() == 2
        assert "status.token_file" in rig.log()
        assert "Traceback" not in rig.log()

    play(tmp_path, story)
