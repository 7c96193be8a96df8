"""What all tests share: Hypothesis without a clock, since a loaded machine is no bug; fixtures; processes.

The whole suite runs in several processes (scripts/test), file by file: tests of one file never run beside
each other, and share what is costly to make.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import settings

from tests.support.alert_bench import Bench
from tests.support.store_cases import some_records
from tracker.journal.journal import Journal

if TYPE_CHECKING:
    from tests.support.postgres import Database, Server

settings.register_profile("house", deadline=None, print_blob=True)
settings.load_profile("house")

# A shell that starts the tests in the background has them ignore Ctrl-C, and so would every process that they
# start to press it there.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

LONGEST: Final = (
    "daemon/unexplained_positions",
    *("daemon/crash", "daemon/neighbour", "demo/demo", "daemon/scenarios", "reconcile/in_daemon"),
    *("cli/tables", "daemon/end_to_end", "watch/app", "sim/simulation", "scripts/bench", "sim/replay"),
    *("paper/conformance", "daemon/downtime", "reconcile/standalone", "notify/end_to_end", "packaging"),
    *("paper/tracked", "daemon/link_health", "daemon/random_mornings", "scripts/soak", "paper/crowd"),
    *("daemon/random_programs", "doctor/report_file", "recordings/playback", "recordings/proxy"),
    *("recordings/replay", "recordings/recorded_programs", "daemon/systemd", "gateway/flex"),
    *("daemon/faults", "daemon/browser_page", "pipeline/host_clock"),
    *("scripts/newcomers_hour", "daemon/hostile_neighbours", "gateway/flex_spool", "daemon/dead_mans_switch"),
    *("stores/shared", "sim/shared_faults", "daemon/shared_store", "stores/shared_schema"),
    *("daemon/private_files", "daemon/careless_stores", "daemon/flex_fetch", "paper/requests_answered"),
    *("paper/order_programs", "sim/rule_mutations", "daemon/stopping", "mirror/mirror_process"),
    *("watch/orders", "daemon/hostile_gateway", "daemon/terminal_text", "cli/plans", "pipeline/arbitrary"),
    *("daemon/position_recheck", "daemon/event_cursor", "sim/worked_year", "stores/alert_store_contract"),
)
"""Files that take more than ten seconds, the longest first: nobody has to wait for one of them at the end."""
PROCESSES_ARE_MEASURED: Final = "COVERAGE_PROCESS_CONFIG"
"""What coverage sets to be started in each process that is started."""
MOST_PROCESSES: Final = 6
"""With more of them the longest file alone sets the time."""


def file_of_tests(name: str) -> Path:
    """Return the file of `package/module` (or `module`) under tests/."""
    folder, _, module = name.rpartition("/")
    return Path(__file__).parent / folder / f"test_{module}.py"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return one more than there are processors, since many tests wait for what takes its time by design."""
    return min((os.cpu_count() or 1) + 1, MOST_PROCESSES)


def pytest_configure(config: pytest.Config) -> None:
    """Measure no coverage in the processes that tests start, unless $MEASURE_PROCESSES says so.

    It makes the whole suite a third longer. Every rule of the core is tested in the tests' own processes.
    """
    if hasattr(config, "workerinput") and not os.environ.get("MEASURE_PROCESSES"):
        os.environ.pop(PROCESSES_ARE_MEASURED, None)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option by which `scripts/test --pythons` leaves out what takes long."""
    parser.addoption(
        "--quick", action="store_true", help="leave out the files that take more than ten seconds"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the longest files where others run beside them; leave them out of a quick run."""
    ranks = {file_of_tests(name): rank for rank, name in enumerate(LONGEST)}
    if config.getoption("quick"):
        config.hook.pytest_deselected(items=[item for item in items if item.path in ranks])
        items[:] = [item for item in items if item.path not in ranks]
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not measure coverage in the processes that a test starts, since it doubles what they do.

    For lives that end by SIGKILL, which leave no data, and for many that only repeat what a few in the test's
    own process do.
    """
    monkeypatch.delenv(PROCESSES_ARE_MEASURED, raising=False)


@pytest.fixture
def hangs_up() -> Iterator[None]:
    """Let the end of a terminal reach the processes that a test starts, also under `nohup`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    made.put(some_records())
    yield made
    made.disk.failing.clear()
    made.disk.crash_at = -1
    for store in made.stores:
        store.close()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with closing(Journal(tmp_path / "journal.db")) as journal:
        yield journal


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """One PostgreSQL for all tests of this process; a test that stops it starts it again."""
    from tests.support.postgres import Server

    with Server() as server:
        yield server


@pytest.fixture
def database(postgres: Server) -> Iterator[Database]:
    """A fresh database; the server runs, whatever the test before did to it."""
    if not postgres.runs:
        postgres.start()
    with postgres.database() as database:
        yield database
        if postgres.runs:
            postgres.thaw()
