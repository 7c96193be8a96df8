"""Check the machine: Python and its libraries, zone data, the settings' source, disk space.

Pure: facts in, findings out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from tracker.doctor.finding import Finding, Level, Machine, Place, Space

FIRST_PYTHON: Final = (3, 11)
LAST_TESTED_PYTHON: Final = (3, 15)
LIBRARY: Final = "ib_insync"
LIBRARY_VERSION: Final = "0.9.86"
"""The version of ib_insync that pyproject.toml pins, since capture depends on its decoder."""
CONFLICTING: Final = ("ib_async", "aeventkit")
"""Packages that install files into the folder of eventkit, which ib_insync needs."""
ZONES: Final = ("America/New_York", "US/Eastern", "EST", "MET", "Europe/Berlin", "Asia/Tokyo")
"""Zone names that the broker writes; slim container images lack some."""

SPACE_FAULT: Final = 50 * 1024 * 1024
"""Bytes that a day's frames and a new copy of the alerts may need."""
SPACE_WARNING: Final = 1024 * 1024 * 1024
FILES_FAULT: Final = 50
FILES_WARNING: Final = 1000


def check_python(machine: Machine) -> Finding:
    """Check the Python and the libraries that it loads."""
    shown = ".".join(str(part) for part in machine.python)
    minor = machine.python[:2]
    if minor < FIRST_PYTHON:
        return Finding("python", Level.FAULT, f"Python {shown}", "run the tracker with Python 3.11 or later")
    conflicting = [name for name in CONFLICTING if name in machine.versions]
    if conflicting:
        return Finding(
            "python",
            Level.FAULT,
            f"Python {shown}, with {' and '.join(conflicting)} beside {LIBRARY}: they overwrite one another",
            "give the tracker an environment of its own, as `pipx install` does",
        )
    library = machine.versions.get(LIBRARY, "")
    if library != LIBRARY_VERSION:
        return Finding(
            "python",
            Level.FAULT,
            f"Python {shown}, {LIBRARY} {library or 'not installed'}",
            f"install {LIBRARY} {LIBRARY_VERSION}, as installing the tracker does",
        )
    ours = machine.versions.get("order-tracker", "run from its source")
    found = f"Python {shown}, {LIBRARY} {library}, tracker {ours}"
    if minor > LAST_TESTED_PYTHON:
        tested = ".".join(map(str, LAST_TESTED_PYTHON))
        step = f"run `tracker demo` once to try it: the tracker is tested with Python 3.11 to {tested}"
        return Finding("python", Level.NOTE, found, step)
    return Finding("python", Level.OK, found)


def check_zones(machine: Machine) -> Finding:
    """Check whether the zones that the broker names are known; without its zone a fill has no time."""
    if machine.missing_zones:
        return Finding(
            "zone_data",
            Level.FAULT,
            f"unknown: {', '.join(machine.missing_zones)}",
            "install the package tzdata beside the tracker",
        )
    return Finding("zone_data", Level.OK, f"{machine.zones} time zones known")


def check_settings(source: str, overrides: Mapping[str, int]) -> Finding:
    """Say where the settings came from; `source` is the file, empty where there is none.

    `overrides` counts the values of environment and flags.
    """
    found = source or "there is no settings file, so the defaults apply"
    extra = [f"{count} by {name}" for name, count in overrides.items() if count]
    if extra:
        found += f"; {', '.join(extra)}"
    if source or extra:
        return Finding("settings", Level.OK, found)
    step = "name a file with --settings PATH, or start in the folder of settings.toml, unless you meant that"
    return Finding("settings", Level.NOTE, found, step)


def settings_errors(lines: Sequence[str]) -> Iterator[Finding]:
    """Yield a fault for each mistake in the settings; the text after its last semicolon is the next step."""
    for line in lines:
        place, _, step = line.rpartition("; ")
        yield Finding("settings", Level.FAULT, place or line, step if place else "")


def check_space(places: Sequence[Place]) -> Finding:
    """Check the free space where the tracker writes; the fullest file system decides."""
    known: dict[int, tuple[Space, Place]] = {}
    for place in places:
        if place.space is not None:
            known.setdefault(place.space.device, (place.space, place))
    if not known:
        return Finding("disk_space", Level.NOTE, "unknown: no folder exists yet")
    space, place = min(known.values(), key=lambda each: each[0].free_bytes)
    files, scarce = min(
        ((each.free_files, at) for each, at in known.values() if each.free_files is not None),
        key=lambda each: each[0],
        default=(None, place),
    )
    found = f"{_size(space.free_bytes)} free at {place.parent}"
    step = "free disk space: the tracker stops on a full disk, and fills wait for its next start"
    if files is not None and files < FILES_WARNING:
        level = Level.FAULT if files < FILES_FAULT else Level.WARNING
        if space.free_bytes >= SPACE_WARNING or level is Level.FAULT:
            return Finding("disk_space", level, f"room for {files} more files at {scarce.parent}", step)
    if space.free_bytes < SPACE_WARNING:
        level = Level.FAULT if space.free_bytes < SPACE_FAULT else Level.WARNING
        return Finding("disk_space", level, found, step)
    return Finding("disk_space", Level.OK, found)


def _size(count: int) -> str:
    for unit, size in (("TB", 1 << 40), ("GB", 1 << 30), ("MB", 1 << 20)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count // 1024} KB"
