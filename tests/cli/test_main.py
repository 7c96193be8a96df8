"""The command line: usage errors in one line, settings flags, exit codes, and a quick start."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from tests.support.free_ports import free_port
from tests.support.project import PROJECT
from tracker.cli import main
from tracker.cli.commands import COMMANDS
from tracker.config.settings import Settings


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.upper().startswith("TRACKER_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the real command in a process of its own and check its exit code."""
    done = subprocess.run(
        [sys.executable, "-m", "tracker", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    """Return the one line on standard error with which this is refused."""
    assert main.main(arguments) == code
    answer = capsys.readouterr()
    assert answer.out == ""
    assert answer.err.count("\n") == 1, answer.err
    return answer.err.strip()


@contextmanager
def listener(*lines: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """Answer one connection after another, each with one of these lines; yields the port and the requests."""
    requests: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for line in lines:
                connection, _ = server.accept()
                with connection:
                    requests.append(connection.makefile("rb").readline())
                    connection.sendall(line)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1], requests
        thread.join(10)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "tracker: name a command (init, "),
        (["runn"], "tracker: there is no command 'runn'; the nearest one is 'run'"),
        (["--settings", "x", "run"], "tracker: --settings is written before the command; write it after"),
        (["status", "--jsn"], "tracker status: unknown flag --jsn; the nearest known one is --json; see"),
        (["status", "--js"], "unknown flag --js; the nearest known one is --json"),
        (["run", "--setings=x"], "tracker run: unknown flag --setings; the nearest known one is --settings"),
        (["status", "now"], "tracker status: unexpected argument 'now'"),
        (["run", "--settings"], "tracker run: argument --settings: expected one argument"),
        (["run", "--gateway.port"], "tracker run: --gateway.port needs a value"),
        (["run", "--gateway.port", "--log.json=true"], "tracker run: --gateway.port needs a value"),
        (
            ["run", "--gateway.prot", "1"],
            "flag --gateway.prot: unknown key; the nearest known one is --gateway.port",
        ),
        (["run", "--gateway.port=99999"], "flag --gateway.port: it must be at most 65535, not '99999'"),
        (["run", "--settings", "gone.toml"], "flag --settings: the file 'gone.toml' does not exist"),
    ],
)
def test_bad_usage_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    """Bad usage is refused in one line."""
    assert words in refusal(capsys, *arguments)


def test_each_settings_mistake_has_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Each mistake in the settings has its line."""
    Path("settings.toml").write_text("[gateway]\nport = 'x'\nprot = 1\n")
    assert main.main(["status"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("settings.toml: [gateway] ") for line in lines)


def test_missing_folder_ends_run(capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that is missing ends run with its line."""
    Path("settings.toml").write_text(
        "[stores]\nalerts = 'gone/alerts.json'\njournal = 'j'\n[status]\ntoken_file = 't'\n"
    )
    line = refusal(capsys, "run", "--log.level", "ERROR")
    assert line.startswith("settings.toml: [stores] alerts: the folder ")


@pytest.mark.parametrize("command", ["status", "init", "flex check report.xml"])
def test_deleted_working_folder_is_named(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A terminal may still stand in a folder that was removed."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert "the working directory is gone; change to another" in refusal(capsys, *command.split())


def test_flags_may_stand_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flags reach the settings wherever they stand."""
    seen: list[Settings] = []

    def observe(settings: Settings) -> int:
        seen.append(settings)
        return 5

    monkeypatch.setattr("tracker.daemon.run.run", observe)
    Path("other.toml").write_text("[gateway]\nhost = 'box'\n")
    flags = ["--gateway.port", "7497", "--settings", "other.toml", "--log.file=a=b.log"]
    assert main.main(["run", *flags]) == 5, "the daemon's own exit code is passed on"
    assert (seen[0].gateway.port, seen[0].gateway.host) == (7497, "box")
    assert seen[0].log.file == Path.cwd() / "a=b.log"


def test_status_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    """Status says in words how the daemon is."""
    with listener(b'{"ok": true, "schema": 1, "running": true, "subscribed": true}\n') as (port, requests):
        assert main.main(["status", "--status.port", str(port)]) == 0
    assert capsys.readouterr().out == "Running, and receiving fills.\n"
    assert json.loads(requests[0]) == {"command": "status"}, "on loopback the token stays at home"


def test_status_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Status as json is the answer itself."""
    answer = {"ok": True, "schema": 1, "running": True, "unheard_of": [1, None]}
    with listener(json.dumps(answer).encode() + b"\n") as (port, _):
        assert main.main(["status", "--json", "--status.port", str(port)]) == 0
    assert json.loads(capsys.readouterr().out) == answer


def test_daemon_refusal_is_exit_1(capsys: pytest.CaptureFixture[str]) -> None:
    """A refusal of the daemon is exit code 1."""
    line = b'{"ok": false, "error": {"code": "busy", "message": "too many connections"}}\n'
    with listener(line, line) as (port, _):
        assert refusal(capsys, "status", f"--status.port={port}", code=1).endswith("too many connections")
        assert main.main(["status", "--json", f"--status.port={port}"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "busy"


def test_answer_of_another_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """The running tracker's answer lacks a field: no traceback, and JSON shows the answer as it is."""
    line = b'{"ok": true, "schema": 1, "exec_id": "a"}\n'
    with listener(line, line) as (port, _):
        told = refusal(capsys, "dismiss", "1", f"--status.port={port}", code=1)
        assert told.startswith("the answer cannot be shown (KeyError: ")
        assert "the running tracker may be of another version" in told
        assert main.main(["dismiss", "1", "--json", f"--status.port={port}"]) == 0
    assert json.loads(capsys.readouterr().out)["exec_id"] == "a"


def test_missing_daemon_is_exit_3(capsys: pytest.CaptureFixture[str]) -> None:
    """A daemon that is not there is exit code 3."""
    line = refusal(capsys, "status", f"--status.port={free_port()}", code=3)
    assert "start it with `tracker run`" in line
    assert main.main(["status", "--json", f"--status.port={free_port()}"]) == 3
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "not_reachable"


def test_beyond_loopback_the_token_is_sent(capsys: pytest.CaptureFixture[str]) -> None:
    Path("token").write_text("secret\n")
    with listener(b'{"ok": true}\n') as (port, requests):
        flags = [f"--status.port={port}", "--status.host=0.0.0.0", "--status.token_file=token"]
        assert main.main(["status", *flags]) == 0
    assert json.loads(requests[0]) == {"command": "status", "token": "secret"}
    assert "NOT receiving" in capsys.readouterr().out


def test_missing_token_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """A token's file that was deleted is no matter of the user; the tracker writes it again."""
    line = b'{"ok": false, "error": {"code": "token_required", "message": "send the token"}}\n'
    with listener(line, line) as (port, _):
        flags = (f"--status.port={port}", "--status.token_file=token")
        assert "is not there; the tracker writes it again" in refusal(capsys, "undo", "7", *flags, code=1)
        Path("token").mkdir()
        assert "cannot be read; run this command as" in refusal(capsys, "undo", "7", *flags, code=1)


def test_paper_serves_until_stopped() -> None:
    """The paper gateway serves until it is stopped."""
    command = [sys.executable, "-m", "tracker", "paper", "--port", "0", "--accounts", "DU9000001, DU9000002"]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        found = re.fullmatch(r"paper gateway on 127\.0\.0\.1:(\d+), accounts DU9000001, DU9000002\n", said)
        assert found, said
        with socket.create_connection(("127.0.0.1", int(found[1])), 10):
            pass
        process.terminate()
        assert process.wait(20) == 0


def test_paper_listens_at_gateway_port(capsys: pytest.CaptureFixture[str]) -> None:
    """Paper listens where the settings look for a gateway."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refusal(capsys, "paper", "--gateway.port", str(port), code=1)
    assert line == f"tracker paper: port {port} is in use; choose another --port"


def test_recorder_refuses_an_impossible_port(capsys: pytest.CaptureFixture[str]) -> None:
    line = refusal(capsys, "record", "--listen", "99999")
    assert line == "tracker record: --listen must be 0 to 65535, not 99999"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--port", "x"], "tracker paper: argument --port: invalid int value: 'x'"),
        (["--scenario", "gone"], "tracker paper: gone: cannot be read"),
        (["--time-form", "odd"], "tracker paper: "),
    ],
)
def test_paper_refuses_what_it_cannot_use(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert words in refusal(capsys, "paper", *arguments)


def test_demo_refuses_settings(capsys: pytest.CaptureFixture[str]) -> None:
    """The demo has no settings of the user."""
    assert "--gateway.port cannot be used" in refusal(capsys, "demo", "--gateway.port", "1")


def test_ctrl_c_ends_a_command_quietly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(settings: Settings) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("tracker.daemon.run.run", interrupt)
    assert main.main(["run"]) == 130
    assert capsys.readouterr().err == ""


def test_help_fits_80_columns() -> None:
    """Help names every command within 80 columns."""
    overview = run("--help").stdout
    assert max(map(len, overview.splitlines())) <= 80
    for name, command in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(command.summary)}$", overview, re.MULTILINE)


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main.main([name, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert f"usage: tracker {name}" in text
    assert "--settings PATH" in text
    assert ("--json" in text) >= COMMANDS[name].reads


def test_the_version_is_told() -> None:
    assert re.fullmatch(r"tracker \S.*\n", run("--version").stdout)


def test_version_without_installation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The version is unknown where nothing is installed."""

    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", missing)
    assert main.main(["--version"]) == 0
    assert "not installed" in capsys.readouterr().out


def test_help_loads_no_heavy_module() -> None:
    """Help loads none of the heavy modules."""
    script = (
        "import sys; from tracker.cli.main import main; main(['--help'])\n"
        "heavy = {'pydantic', 'ib_insync', 'asyncio', 'loguru', 'numpy', 'textual', 'tracker.config'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, cwd=PROJECT, check=True
    )
    assert done.stderr.strip() == "[]"


def test_closed_pipe_changes_nothing() -> None:
    """A reader that leaves early changes nothing."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tracker", "--help"],
            stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60, cwd=PROJECT, check=False,
        )  # fmt: skip
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


def test_closed_terminal_changes_nothing() -> None:
    """A recorder whose terminal was closed still has its transcript to write."""
    reader, writer = os.openpty()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tracker", "--help"],
            stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60, cwd=PROJECT, check=False,
        )  # fmt: skip
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_unwritable_answer_is_failure() -> None:
    """An answer that cannot be written is a failure."""
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "tracker", "--help"],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, cwd=PROJECT, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("tracker: the answer could not be written: ")


def test_closed_output_is_no_failure() -> None:
    """As `tracker completion bash >&-`; the numbers of the standard streams stay theirs."""
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" <&- >&-', "sh", sys.executable, "-m", "tracker", "completion", "bash"],
        cwd=PROJECT, stderr=subprocess.PIPE, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
