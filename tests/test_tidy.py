"""The rules for all code here: who may import whom, one clock, one name for one thing, short files."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.conftest import LONGEST, file_of_tests
from tests.support.project import PROJECT

LONGEST_FUNCTION: Final = 60
LONGEST_FILE: Final = 500
MOST_TOP_MODULES: Final = 8
"""Modules directly under tracker/, `__init__.py` included."""
SHARED_FILE_NAMES: Final = frozenset({"__init__.py", "text.py", "command.py"})
"""File names that several packages may have, since the package says whose it is."""

LONG_FUNCTIONS: Final[dict[str, tuple[int, str]]] = {}
"""Where a longer function reads better, `path:name` -> (its lines at most, the reason)."""
LONG_FILES: Final[dict[str, tuple[int, str]]] = {}
"""The same for files, `path` -> (lines, reason)."""

NO_PART_OF_CORE: Final = frozenset(
    {
        *("asyncio", "concurrent", "multiprocessing", "select", "selectors", "signal", "threading"),
        *("http", "io", "logging", "os", "pathlib", "shutil", "socket", "sqlite3", "ssl", "subprocess"),
        *("sys", "tempfile", "urllib"),
        *("random", "secrets", "time", "uuid"),
    }
)
"""What reaches outside the process, or makes a second run differ from the first."""
VALUES_OF_CORE: Final = frozenset(
    {"msgspec", "msgspec.Struct", "msgspec.field", "msgspec.structs", "msgspec.structs.replace"}
)
"""What the core's values are made of; nothing of it reaches outside the process."""
OUTER: Final = frozenset(
    {
        *("cli", "config", "console", "daemon", "demo", "doctor", "mirror", "reconcile", "recordings"),
        "wiring",
    }
)
MAY_IMPORT: Final[dict[str, frozenset[str]]] = {
    "core": frozenset({"core"}),
    "gateway": frozenset({"core", "gateway"}),
    "journal": frozenset({"core", "journal"}),
    "stores": frozenset({"core", "stores"}),
    "status": frozenset({"core", "status", "terminal"}),
    "notify": frozenset({"core", "notify", "queries", "terminal"}),
    "paper": frozenset({"paper"}),
    "pipeline": frozenset({"core", "journal", "pipeline"}),
    "queries": frozenset({"core", "journal", "queries", "status", "stores", "terminal"}),
    "watch": frozenset({"queries", "status", "terminal", "watch"}),
    "clock": frozenset(),
    "logs": frozenset({"clock", "logs", "terminal"}),
    "terminal": frozenset(),
    "progress": frozenset({"terminal"}),
    "config": frozenset({"clock", "config", "core", "terminal"}),
}
"""Package or module of tracker -> the others it may import; what is not named here composes them."""
LIBRARY_HOMES: Final = {
    # Their import asks for an event loop in a way that newer Pythons refuse.
    "ib_insync": ("tracker/gateway/ib_insync_compat.py",),
    "eventkit": ("tracker/gateway/ib_insync_compat.py",),
    # What is kept as rows is made of it, and written with it.
    "msgspec": (
        *("tracker/core/", "tracker/journal/", "tracker/stores/", "tracker/gateway/normalise.py"),
        *("tracker/pipeline/", "tracker/gateway/flex_columns.py", "tracker/reconcile/audit.py"),
        *("tracker/status/arguments.py", "tracker/queries/socket_commands.py"),
    ),
    "pydantic": ("tracker/config/", "tracker/paper/scenario"),
    "pydantic_core": ("tracker/config/",),
    "pydantic_settings": ("tracker/config/",),
    "tenacity": ("tracker/gateway/", "tracker/notify/"),
    "apprise": ("tracker/notify/apprise_services.py",),
    "sqlite3": ("tracker/journal/",),
    "psycopg": ("tracker/stores/shared",),
    "h11": ("tracker/status/", "tracker/gateway/flex_download.py"),
    "textual": ("tracker/watch/",),
    # Textual's own base, for styled text.
    "rich": ("tracker/watch/",),
}
CLOCK_CALLS: Final = frozenset(
    {
        "datetime.now",
        "datetime.utcnow",
        "datetime.today",
        "date.today",
        "time.time",
        "time.time_ns",
        "time.localtime",
    }
)
VAGUE_NAMES: Final = re.compile(
    r"Manager|Handler|Processor|Helper|Utils?(?![a-z])|(^|_)(manager|handler|processor|helper|utils?)s?(_|$)"
)
PRINTERS: Final = (
    "tracker/cli/main.py",
    "tracker/console.py",
    "tracker/demo",
    "scripts/",
    "tests/",
)
MACHINE_PATHS: Final = re.compile(r"(?<![\w.~])/(work|root|home|Users|tmp/w)/|\.pyenv")


def listed(*endings: str) -> list[str]:
    """Return the project's files with these endings: what git tracks or would, relative to the project."""
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=PROJECT, capture_output=True, check=False,
    )  # fmt: skip
    if done.returncode == 0:
        names = done.stdout.decode().split("\0")
    else:
        # An unpacked source archive has no git; its folders are the project's own.
        names = [
            str(path.relative_to(PROJECT))
            for folder in ("tracker", "tests", "scripts")
            for path in (PROJECT / folder).rglob("*")
        ]
    return sorted(name for name in names if name.endswith(endings) and (PROJECT / name).is_file())


MODULES: Final = listed(".py")
OURS: Final = [name for name in MODULES if name.startswith("tracker/")]
TREES: Final = {name: ast.parse((PROJECT / name).read_text("utf-8"), name) for name in MODULES}


def imported(name: str) -> Iterator[tuple[str, int]]:
    """Yield (dotted module, line) for every import of a module, those inside functions included."""
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}:{node.lineno}: write imports in full"
            assert node.module is not None
            yield node.module, node.lineno
            for alias in node.names:
                yield f"{node.module}.{alias.name}", node.lineno


def part(dotted: str) -> str:
    """Return the part of tracker that a module belongs to: `tracker.core.model` is of `core`."""
    return dotted.split(".")[1] if "." in dotted else ""


def part_of_file(name: str) -> str:
    return part(name.removesuffix(".py").replace("/", "."))


def dotted_name(node: ast.expr) -> str:
    """Return the last two names of `a.b.c`, so that `datetime.datetime.now` is `datetime.now`."""
    if isinstance(node, ast.Attribute):
        owner = node.value
        if isinstance(owner, ast.Attribute):
            return f"{owner.attr}.{node.attr}"
        if isinstance(owner, ast.Name):
            return f"{owner.id}.{node.attr}"
    return ""


def test_modules_are_found() -> None:
    assert {"tracker/core/model.py", "tracker/cli/main.py", "tests/test_tidy.py"} <= set(MODULES)


def test_arrows_point_inwards() -> None:
    wrong = [
        f"{name}:{line}: {part_of_file(name)} must not import {module}"
        for name in OURS
        if part_of_file(name) in MAY_IMPORT
        for module, line in imported(name)
        if module.startswith("tracker.") and part(module) not in MAY_IMPORT[part_of_file(name)]
    ]
    assert wrong == []


def test_only_outer_modules_import_outer() -> None:
    wrong = [
        f"{name}:{line}: {module}"
        for name in OURS
        if part_of_file(name) not in OUTER | {"__main__"}
        for module, line in imported(name)
        if module.startswith("tracker.") and part(module) in OUTER
    ]
    assert wrong == []


def test_architecture_lists_the_arrows() -> None:
    """The table of packages in ARCHITECTURE.md says the same as MAY_IMPORT and OUTER."""
    text = (PROJECT / "ARCHITECTURE.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]*?) *\|$", text, re.M))
    listed_parts = {part_of_file(name) for name in OURS} - {"__init__", "__main__"}
    assert set(rows) == listed_parts
    for name, cell in rows.items():
        if name in MAY_IMPORT:
            assert set(re.findall(r"`(\w+)`", cell)) == MAY_IMPORT[name] - {name}, name
        else:
            assert (name in OUTER, cell) == (True, "any: outermost"), name


def test_the_core_is_pure() -> None:
    wrong = []
    for name in OURS:
        if part_of_file(name) == "core":
            for module, line in imported(name):
                top = module.partition(".")[0]
                if top == "tracker" or module in VALUES_OF_CORE:
                    continue
                if top not in sys.stdlib_module_names or top in NO_PART_OF_CORE:
                    wrong.append(f"{name}:{line}: {module}")
    assert wrong == []


def test_each_library_has_one_home() -> None:
    wrong = [
        f"{name}:{line}: {module} belongs to {LIBRARY_HOMES[top]}"
        for name in OURS
        for module, line in imported(name)
        if (top := module.partition(".")[0]) in LIBRARY_HOMES and not name.startswith(LIBRARY_HOMES[top])
    ]
    # Tests and scripts may use what they like, but import these as the tracker does.
    wrong += [
        f"{name}:{line}: import what you need of {module} from {LIBRARY_HOMES[top][0]}"
        for name in MODULES
        if name not in OURS
        for module, line in imported(name)
        if (top := module.partition(".")[0]) in ("ib_insync", "eventkit")
    ]
    assert wrong == []


def test_only_clock_reads_time() -> None:
    wrong = [
        f"{name}:{node.lineno}: {dotted_name(node)}"
        for name in OURS
        if name != "tracker/clock.py"
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.Attribute) and dotted_name(node) in CLOCK_CALLS
    ]
    # `from time import time` would pass the search above.
    wrong += [
        f"{name}:{line}: {module}"
        for name in OURS
        for module, line in imported(name)
        if module in ("time.time", "time.time_ns", "time.localtime")
    ]
    assert wrong == []


def test_no_vague_names() -> None:
    wrong = [
        name for name in MODULES if any(VAGUE_NAMES.search(word) for word in Path(name).with_suffix("").parts)
    ]
    for name in MODULES:
        wrong.extend(
            f"{name}:{node.lineno}: {node.name}"
            for node in ast.walk(TREES[name])
            if isinstance(node, ast.ClassDef) and VAGUE_NAMES.search(node.name)
        )
    assert wrong == []


def beside_paper() -> list[str]:
    """Return the modules among which names are unique; paper/ stands alone and may repeat them."""
    return [name for name in OURS if part_of_file(name) != "paper"]


def repeated(places: dict[str, list[str]]) -> dict[str, list[str]]:
    return {name: found for name, found in places.items() if len(found) > 1}


def test_class_names_are_unique() -> None:
    """A class name stands for one thing in all of tracker/, outside of paper/."""
    places: dict[str, list[str]] = {}
    for name in beside_paper():
        for node in ast.walk(TREES[name]):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(f"{name}:{node.lineno}")
    assert repeated(places) == {}


def test_file_names_are_unique() -> None:
    """A file name stands for one thing in all of tracker/, outside of paper/."""
    places: dict[str, list[str]] = {}
    for name in beside_paper():
        if Path(name).name not in SHARED_FILE_NAMES:
            places.setdefault(Path(name).name, []).append(name)
    assert repeated(places) == {}


def test_few_modules_outside_packages() -> None:
    """What is directly under tracker/ is what every package may need; all else has a package."""
    top = [name for name in OURS if name.count("/") == 1]
    assert len(top) <= MOST_TOP_MODULES, top


def functions(name: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_functions_are_short() -> None:
    wrong = []
    for name in MODULES:
        for node in functions(name):
            assert node.end_lineno is not None
            lines = node.end_lineno - node.lineno + 1
            if lines > LONG_FUNCTIONS.get(f"{name}:{node.name}", (LONGEST_FUNCTION, ""))[0]:
                wrong.append(f"{name}:{node.lineno}: {node.name} has {lines} lines")
    assert wrong == []


def test_files_are_short() -> None:
    wrong = []
    for name in MODULES:
        lines = len((PROJECT / name).read_text("utf-8").splitlines())
        if lines > LONG_FILES.get(name, (LONGEST_FILE, ""))[0]:
            wrong.append(f"{name}: {lines} lines")
    assert wrong == []


def test_exceptions_are_needed_and_explained() -> None:
    for name, (lines, reason) in LONG_FILES.items():
        assert reason
        assert LONGEST_FILE < len((PROJECT / name).read_text("utf-8").splitlines()) <= lines, name
    for place, (lines, reason) in LONG_FUNCTIONS.items():
        assert reason
        name, _, function = place.rpartition(":")
        longest = max(
            (node.end_lineno or 0) - node.lineno + 1 for node in functions(name) if node.name == function
        )
        assert LONGEST_FUNCTION < longest <= lines, place


def test_modules_have_docstrings() -> None:
    silent = [
        name for name in MODULES if not name.endswith("__init__.py") and not ast.get_docstring(TREES[name])
    ]
    assert silent == []


def test_init_files_hold_no_code() -> None:
    wrong = [
        name
        for name in MODULES
        if name.endswith("__init__.py")
        and any(
            not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
            for node in TREES[name].body
        )
    ]
    assert wrong == []


def test_public_names_have_docstrings() -> None:
    silent = [
        f"{name}:{node.lineno}: {node.name}"
        for name in OURS
        for node in TREES[name].body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert silent == []


def test_only_answers_are_printed() -> None:
    wrong = [
        f"{name}:{node.lineno}"
        for name in MODULES
        if not name.startswith(PRINTERS)
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert wrong == []


def swallows(node: ast.ExceptHandler) -> bool:
    """Return whether a broad except does nothing at all with what it caught."""
    names = (
        {child.id for child in ast.walk(node.type) if isinstance(child, ast.Name)}
        if node.type
        else {"Exception"}
    )
    broad = bool(names & {"Exception", "BaseException"})
    return broad and all(isinstance(step, ast.Pass | ast.Continue) for step in node.body)


def test_no_broad_except_swallows() -> None:
    wrong = [
        f"{name}:{node.lineno}"
        for name in MODULES
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.ExceptHandler) and swallows(node)
    ]
    assert wrong == []


def test_ignores_have_reasons() -> None:
    # mypy and ruff see to it that an ignore names its rule; here, that a reason follows.
    bare = re.compile(r"#\s*(type: ignore(\[[\w\-, ]+\])?|noqa(: ?[A-Z0-9, ]+)?|pragma: no cover)\s*$")
    wrong = [
        f"{name}:{number}"
        for name in MODULES
        for number, line in enumerate((PROJECT / name).read_text("utf-8").splitlines(), 1)
        if bare.search(line)
    ]
    assert wrong == []


def test_cited_pages_are_here() -> None:
    """A page that code names is in the repository: nothing that matters is only outside of it."""
    here = {Path(name).name for name in listed(".md")}
    wrong = [
        f"{name}: {page}"
        for name in MODULES
        for page in re.findall(r"\b\w+\.md\b", (PROJECT / name).read_text("utf-8"))
        if page not in here
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "name", listed(".py", ".toml", ".md", ".yml", ".yaml", ".service", "Containerfile", "scripts/environment")
)
def test_file_is_finished(name: str) -> None:
    if name == "tests/test_tidy.py":
        return
    for number, line in enumerate((PROJECT / name).read_text("utf-8").splitlines(), 1):
        assert not re.search(r"\b(TODO|FIXME|XXX|HACK)\b", line), f"{name}:{number}"
        assert not re.match(r"(<{7}|={7}|>{7})( |$)", line), f"{name}:{number}: a merge that was not finished"
        assert not MACHINE_PATHS.search(line), f"{name}:{number}"


def test_longest_files_exist() -> None:
    assert [name for name in LONGEST if not file_of_tests(name).is_file()] == []
