"""The files under scripts/deploy: systemd and compose take them, and what they name is there."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ruamel.yaml import YAML

from tests.daemon.test_end_to_end import play
from tests.support.daemon_rig import Rig
from tests.support.free_ports import free_port
from tests.support.project import PROJECT
from tracker.cli import main
from tracker.cli.commands import COMMANDS
from tracker.config.loader import load
from tracker.config.settings import KEYS
from tracker.console import BAD_USAGE

DEPLOY = PROJECT / "scripts" / "deploy"
UNIT = DEPLOY / "order-tracker.service"
COMPOSE = DEPLOY / "compose.yaml"
MOST_EXPOSED = 3.0

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd is not on this machine"
)


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=60, check=False)


def said_by_unit(key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", UNIT.read_text(), re.M)


def program() -> str:
    return said_by_unit("ExecStart")[0].split()[0]


def verify(folder: Path, text: str) -> str:
    """Return all that systemd finds to say of a unit; it wants the program to be there."""
    copy = folder / UNIT.name
    copy.write_text(text.replace(program(), sys.executable))
    done = run("systemd-analyze", "verify", copy)
    return done.stderr + done.stdout + ("" if done.returncode == 0 else f"exit code {done.returncode}")


@needs_systemd
def test_systemd_finds_no_fault_in_the_unit(tmp_path: Path) -> None:
    text = UNIT.read_text()
    assert verify(tmp_path, text) == ""
    assert "Unknown key" in verify(tmp_path, text.replace("WatchdogSec", "WatchdogSecs"))


@needs_systemd
def test_the_unit_exposes_little() -> None:
    done = run("systemd-analyze", "security", "--offline=true", "--no-pager", UNIT)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found is not None, done.stdout + done.stderr
    assert float(found.group(1)) < MOST_EXPOSED


def test_unit_can_start_the_tracker(tmp_path: Path) -> None:
    """With the watchdog and readiness that the daemon is about, and no second try for bad settings."""
    _, name, *arguments = said_by_unit("ExecStart")[0].split()
    given = main._parse(name, COMMANDS[name], arguments)
    (tmp_path / "settings.toml").touch()
    load(given.flags, str(tmp_path / "settings.toml"))
    assert said_by_unit("Type") == ["notify"]
    assert said_by_unit("WatchdogSec")
    assert said_by_unit("RestartPreventExitStatus") == [str(BAD_USAGE)]


def check(path: Path) -> subprocess.CompletedProcess[str]:
    """Hold a file against the schema of the compose specification that the checker ships."""
    return run(sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", path)


def test_the_compose_file_is_one(tmp_path: Path) -> None:
    done = check(COMPOSE)
    assert done.returncode == 0, done.stdout + done.stderr
    broken = tmp_path / COMPOSE.name
    broken.write_text(COMPOSE.read_text().replace("stop_grace_period", "stop_grace"))
    done = check(broken)
    assert done.returncode == 1
    assert "stop_grace" in done.stdout


def services() -> dict[str, dict[str, Any]]:
    with COMPOSE.open() as file:
        found: dict[str, dict[str, Any]] = YAML(typ="safe").load(file)["services"]
    return found


def test_compose_file_names_known_settings() -> None:
    """The compose file names settings that exist and mounts folders."""
    tracker = services()["tracker"]
    for name in tracker["environment"]:
        section, _, key = name.removeprefix("TRACKER_").lower().partition("__")
        assert key in KEYS[section], name
    alerts = Path(tracker["environment"]["TRACKER_STORES__ALERTS"])
    assert str(alerts.parent) in [volume["target"] for volume in tracker["volumes"]]
    build = tracker["build"]
    assert ((DEPLOY / build["context"]).resolve() / build["dockerfile"]).is_file()
    assert str(tracker["environment"]["TRACKER_GATEWAY__HOST"]) in services()


def test_image_files_exist() -> None:
    """What is copied is in the project, and let through by the ignore file."""
    text = (DEPLOY / "Containerfile").read_text()
    copied = [word for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.M) for word in line.split()]
    assert {"pyproject.toml", "tracker"} <= set(copied)
    let_through = (DEPLOY / "Containerfile.dockerignore").read_text().splitlines()
    for name in copied:
        assert (DEPLOY.parents[1] / name).exists()
        assert f"!{name}" in let_through


def test_image_packages_are_pinned_by_hash() -> None:
    """Each dependency has one version that pyproject.toml allows, and each version its hashes."""
    project = tomllib.loads((DEPLOY.parents[1] / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["project"]["optional-dependencies"]["notify"]]
    for file, texts in (
        ("requirements.txt", wanted),
        ("build-requirements.txt", project["build-system"]["requires"]),
    ):
        blocks = re.findall(r"^(\S+)==(\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$",
                            (DEPLOY / file).read_text(), re.M)  # fmt: skip
        pins = {name: version for name, version, _ in blocks}
        assert len(blocks) == len(re.findall("==", (DEPLOY / file).read_text()))
        for requirement in map(Requirement, texts):
            assert pins[canonicalize_name(requirement.name)] in requirement.specifier, requirement


def test_unit_keeps_secrets_private() -> None:
    """No core dump holds the token, and other users read no file that the tracker makes."""
    lines = UNIT.read_text().splitlines()
    assert "LimitCORE=0" in lines
    assert "UMask=0077" in lines


def test_http_parser_has_no_known_flaw() -> None:
    """Before 0.16 h11 takes a malformed end of a chunk (CVE-2025-43859)."""
    project = tomllib.loads((DEPLOY.parents[1] / "pyproject.toml").read_text())
    (h11,) = [each for each in map(Requirement, project["project"]["dependencies"]) if each.name == "h11"]
    assert "0.14.0" not in h11.specifier
    assert "0.16.0" in h11.specifier


def test_container_health_check_tells_ill(tmp_path: Path) -> None:
    """Run as the container would, against a daemon with and without a readable store."""

    async def story(rig: Rig) -> None:
        rig.write({})
        await rig.start()
        assert await ask(rig.status_port) == 0
        rig.alerts_path.unlink()
        rig.alerts_path.mkdir()
        await rig.until(lambda: away(rig))
        assert await ask(rig.status_port) != 0
        assert await ask(free_port()) != 0

    async def away(rig: Rig) -> bool:
        return bool((await rig.status())["store"]["away"])

    async def ask(port: int) -> int:
        kind, _, *arguments = services()["tracker"]["healthcheck"]["test"]
        assert kind == "CMD"
        arguments[-1] = arguments[-1].replace(":8765/", f":{port}/")
        done = await asyncio.to_thread(run, sys.executable, *arguments)
        return done.returncode

    play(tmp_path, story)
