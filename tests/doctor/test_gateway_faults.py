"""Doctor meets the gateway: each fault planted there is found, over a real socket."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.daemon_rig import Rig, record
from tests.support.doctor_rig import Diagnosis, Setup, command, play
from tests.support.paper_clients import NVDA, raw_client
from tracker.clock import now
from tracker.paper.server import PaperGateway
from tracker.stores.lock import FileLock


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("TRACKER_")]:
        monkeypatch.delenv(name)


def test_a_closed_port_is_found(tmp_path: Path) -> None:
    async def story(setup: Setup, gateway: PaperGateway) -> None:
        await gateway.stop()
        found = await setup.examine()
        found.check_only("gateway_port", "nothing listens on", "start TWS or IB Gateway")
        assert "clock" not in found.checks

    play(tmp_path, story)


def test_other_program_on_gateway_port(tmp_path: Path) -> None:
    """What is no gateway on the port is found."""

    async def story(setup: Setup, gateway: PaperGateway) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")
            await reader.read()
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            setup.flags = {"gateway.port": str(server.sockets[0].getsockname()[1])}
            found = await setup.examine()
        found.check_only("gateway_port", "is not TWS or IB Gateway", "gateway.port")

    play(tmp_path, story)


def test_client_id_in_use(tmp_path: Path) -> None:
    """A client id in use is found."""

    async def story(setup: Setup, gateway: PaperGateway) -> None:
        async with raw_client(gateway, client_id=0):
            found = await setup.examine()
            assert gateway.clients == (0,)
        found.check_only("login", "another session uses client id 0", "gateway.client_id")

    play(tmp_path, story)


def test_clocks_that_differ_are_found(tmp_path: Path) -> None:
    async def story(setup: Setup, gateway: PaperGateway) -> None:
        found = await setup.examine()
        found.check_only("clock", "9 min", "time server")
        assert "behind" in found["clock"]["found"]

    play(tmp_path, story, now=lambda: now() - timedelta(minutes=9, seconds=30))


def test_live_login_with_paper_journal(tmp_path: Path) -> None:
    """A live login where the journal holds paper fills is found."""

    async def story(setup: Setup, gateway: PaperGateway) -> None:
        setup.bind_journal("paper")
        setup.flags = {"gateway.accounts": ""}
        found = await setup.examine()
        found.check_only("account", "this is a live login, and the journal holds paper fills", "of their own")

    play(tmp_path, story, accounts=("U1234567",))


def test_login_without_watched_account(tmp_path: Path) -> None:
    """A login without the watched account is found."""

    async def story(setup: Setup, gateway: PaperGateway) -> None:
        found = await setup.examine()
        found.check_only(
            "account", "names DU1234567, which this login does not manage", "correct the setting"
        )

    play(tmp_path, story, accounts=("U1234567",))


def test_tracker_is_not_the_master(tmp_path: Path) -> None:
    """A tracker that is not the master is warned."""

    async def story(setup: Setup, gateway: PaperGateway) -> None:
        gateway.fill(gateway.order(NVDA, "BUY", 2, limit="2.51"))
        found = await setup.examine()
        assert found.well
        assert found.of("warning") == ["master_client_id"]
        assert "only the Master API client receives" in found["fees"]["found"]

    play(tmp_path, story, master_client_id=None)


def test_unknown_things_are_notes(tmp_path: Path) -> None:
    """What cannot be known is a note."""

    async def story(setup: Setup, gateway: PaperGateway) -> None:
        gateway.faults.ignored_requests |= {49, 99}
        setup.flags = {"gateway.request_timeout": "0.2"}
        found = await setup.examine()
        assert found.well
        assert found.of("note") == ["clock", "master_client_id", "fees", "read_only_api"]
        assert "unknown" in found["read_only_api"]["found"]

    play(tmp_path, story)


def test_read_only_api_off(tmp_path: Path) -> None:
    """The read only api that is off is noted."""

    async def story(setup: Setup, gateway: PaperGateway) -> None:
        found = await setup.examine()
        assert found["read_only_api"]["level"] == "note"
        assert found["read_only_api"]["found"].startswith("off")

    play(tmp_path, story, read_only=False)


def test_login_in_another_zone(tmp_path: Path) -> None:
    """A login in another zone is warned of."""

    async def story(setup: Setup, gateway: PaperGateway) -> None:
        found = await setup.examine()
        assert found.of("warning") == ["login_zone"]
        assert 'gateway.timezone = "Asia/Tokyo"' in found["login_zone"]["next_step"]

    play(tmp_path, story, zone="Asia/Tokyo")


# A tracker that runs


def test_silent_tracker_keeps_its_client_id(tmp_path: Path) -> None:
    """A tracker that does not answer keeps its client id too."""

    async def story(setup: Setup, gateway: PaperGateway) -> None:
        with FileLock(setup.journal, "tracker run, process 4711"):
            found = await setup.examine()
        found.check_only("other_tracker", "process 4711", "stop that one first")
        assert "process 4711 may be using its client id" in found["gateway"]["found"]
        assert not gateway.received

    play(tmp_path, story)


def test_running_tracker_keeps_its_client_id(tmp_path: Path) -> None:
    """A running tracker is asked and keeps its client id."""

    async def story() -> None:
        async with Rig(tmp_path) as rig:
            rig.write({"robindahood-alerts": {"NVDA": record()}})
            await rig.start()
            done = await asyncio.to_thread(command, tmp_path, "--json", *rig.flags())
            found = Diagnosis(json.loads(done.stdout))
            assert rig.process is not None
            assert f"process {rig.process.pid} uses these stores" in found["other_tracker"]["found"]
            assert found["login"]["level"] == "ok", done.stdout
            assert "paper login: DU1234567" in found["account"]["found"]
            assert "gateway_port" not in found.checks
            assert [fields[0] for _, fields in rig.gateway.received].count("71") == 1
            assert rig.gateway.clients == (0,)

    asyncio.run(story())


def test_other_journal_on_status_port(tmp_path: Path) -> None:
    """A tracker of another journal on the status port is found."""

    async def story() -> None:
        ours = tmp_path / "ours"
        ours.mkdir()
        async with Rig(tmp_path) as rig:
            rig.write({})
            await rig.start()
            setup = Setup(ours, rig.gateway.port)
            setup.flags = {"status.port": str(rig.status_port), "gateway.client_id": "5"}
            found = await setup.examine()
            found.check_only("status_socket", "a tracker of another journal", "another status.port")
            assert found["login"]["level"] == "ok"

    asyncio.run(story())
