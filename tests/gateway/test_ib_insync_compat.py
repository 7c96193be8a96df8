"""ib_insync is imported and used without the parts of asyncio that newer Pythons remove."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from loguru import logger

from tests.support.paper_clients import BOUND_SECONDS
from tests.support.project import PROJECT
from tracker.gateway.ib_insync_compat import _LoguruRoute, make_quiet, new_ib

WITHOUT_POLICY = """
import asyncio

for name in ("get_event_loop_policy", "set_event_loop_policy"):
    if hasattr(asyncio, name):
        delattr(asyncio, name)
asyncio.get_event_loop = asyncio.get_running_loop
"""
"""What Python runs at its start, as `sitecustomize`: asyncio as Python 3.16 will have it."""
SECONDS = 120.0


@pytest.fixture
def future(tmp_path: Path) -> dict[str, str]:
    """Return an environment whose Pythons lack the policy and take any warning for an error."""
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_POLICY)
    path = f"{tmp_path}{os.pathsep}{PROJECT}"
    return {**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "error", "TMPDIR": str(tmp_path)}


def run_python(environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environment, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout


def test_policy_is_really_gone(future: dict[str, str]) -> None:
    """The library alone cannot be imported there, so the other tests of it show something."""
    done = subprocess.run(
        [sys.executable, "-c", "import ib_insync"],
        env=future, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "has no attribute 'get_event_loop_policy'" in done.stderr


def test_demo_needs_no_event_loop_policy(future: dict[str, str]) -> None:
    """The daemon, the gateway and the demo around them, each in a process of its own."""
    answer = json.loads(run_python(future, "-m", "tracker", "demo", "--json"))
    assert answer["ok"] is True
    assert answer["problems"] == []


def test_no_module_of_library_asks_policy(future: dict[str, str]) -> None:
    """Whichever of their modules holds one of the functions that ask it, it is asyncio's own there."""
    script = (
        "import asyncio, sys; import tracker.gateway.ib_insync_compat\n"
        "found = [(name, function) for name, module in sorted(sys.modules.items())\n"
        "    if name.partition('.')[0] in ('ib_insync', 'eventkit')\n"
        "    for function in ('getLoop', 'get_event_loop') if hasattr(module, function)]\n"
        "wrong = [(name, function) for name, function in found\n"
        "    if getattr(sys.modules[name], function) is not asyncio.get_running_loop]\n"
        "print(len(found), wrong, hasattr(asyncio, 'get_event_loop_policy'))"
    )
    assert run_python(future, "-c", script) == "9 [] False\n"


@pytest.mark.skipif(sys.version_info >= (3, 16), reason="Python 3.16 has no event loop policy to compare")
def test_import_leaves_asyncio_as_it_was() -> None:
    script = (
        "import asyncio; before = asyncio.get_event_loop_policy\n"
        "import tracker.gateway.ib_insync_compat\n"
        "print(asyncio.get_event_loop_policy is before)"
    )
    assert run_python({**os.environ, "PYTHONPATH": str(PROJECT)}, "-c", script) == "True\n"


def test_announced_version_is_the_one_we_read() -> None:
    """At a later server version the fields of openOrder and execDetails stand in other places."""

    async def first_bytes() -> bytes:
        heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.set_result(await reader.readexactly(17))
            writer.transport.abort()

        server = await asyncio.start_server(listen, "127.0.0.1", 0)
        async with server:
            ib = new_ib()
            connecting = asyncio.ensure_future(
                ib.connectAsync("127.0.0.1", server.sockets[0].getsockname()[1], timeout=BOUND_SECONDS)
            )
            said = await asyncio.wait_for(heard, BOUND_SECONDS)
            connecting.cancel()
            await asyncio.wait([connecting])
            return said

    assert asyncio.run(first_bytes()) == b"API\0\0\0\0\x09v157..176"


def test_log_records_are_bounded() -> None:
    """A thousand malformed messages leave fifty log records, and the number of the rest a minute later."""
    lines: list[str] = []
    make_quiet()
    route = _LoguruRoute()
    sink = logger.add(lambda message: lines.append(str(message)), level="WARNING", format="{message}")
    try:
        for number in range(1_001):
            record = logging.LogRecord("ib_insync.Decoder", logging.ERROR, "", 0, f"bad {number}", (), None)
            record.created = 1e9 if number < 1_000 else 1e9 + 60
            route.handle(record)
    finally:
        logger.remove(sink)
    assert [line.strip() for line in lines[-3:]] == [
        "ib_insync.Decoder: bad 49",
        "950 more log records of ib_insync were left out",
        "ib_insync.Decoder: bad 1000",
    ]
