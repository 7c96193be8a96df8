"""PgBouncer in transaction mode before a server of the tests' own.

It refuses to run as root, which then runs it as nobody.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.free_ports import free_port
from tests.support.postgres import ALL_SERVERS, PASSWORD

_BOUND_SECONDS = 20.0


def pgbouncer() -> str | None:
    """Return the program, None where there is none and none is needed ($TESTS_NEED_ALL_SERVERS)."""
    found = shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")
    assert found or not os.environ.get(ALL_SERVERS), (
        f"${ALL_SERVERS} is set, and there is no PgBouncer: apt-get install pgbouncer"
    )
    return found


@contextmanager
def pooled(port: int, *users: str) -> Iterator[int]:
    """Give the port of a pooler before that of a server; these users may pass."""
    program, mine = pgbouncer(), free_port()
    assert program is not None, "whoever asks has looked"
    with tempfile.TemporaryDirectory(prefix="tracker-pgbouncer-") as name:
        folder = Path(name)
        (folder / "users").write_text("".join(f'"{user}" "{PASSWORD}"\n' for user in users))
        settings = folder / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\n* = host=127.0.0.1 port={port}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {mine}\nunix_socket_dir =\n"
            f"auth_type = trust\nauth_file = {folder / 'users'}\npool_mode = transaction\n"
            "default_pool_size = 2\n"
        )
        folder.chmod(0o755)
        as_root = os.geteuid() == 0
        process = subprocess.Popen(
            [program, settings],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user="nobody" if as_root else None,
        )
        try:
            _wait_for(mine, process)
            yield mine
        finally:
            process.kill()
            process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + _BOUND_SECONDS
    while True:
        assert process.poll() is None, f"PgBouncer ended with {process.returncode}"
        assert time.monotonic() < ends, "PgBouncer does not listen"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
