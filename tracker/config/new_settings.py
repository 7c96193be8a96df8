"""Write a new settings file: the commented file with every default, and some values changed.

Owns the text of that file, and how a value is spelled in it. It never touches a file that exists.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from tracker.config.loader import load

Given: TypeAlias = Mapping[tuple[str, str], str | int | Sequence[str]]
"""(section, key) -> the value to write."""

_PACKAGE: Final = Path(__file__).resolve().parent
_TEMPLATES: Final = (_PACKAGE / "settings.toml", _PACKAGE.parents[1] / "settings.toml")
"""Where the template is: in the installed package, and in a clone."""
_SECTION: Final = re.compile(r"\[(\w+)\]")
_VALUE: Final = re.compile(r"(\w+) = ")


def settings_text(given: Given) -> str:
    """Return the commented settings file with these values in place of the defaults."""
    template = next(path for path in _TEMPLATES if path.is_file())
    left, section = dict(given), ""
    lines = []
    for line in template.read_text("utf-8").splitlines():
        if found := _SECTION.fullmatch(line):
            section = found[1]
        elif (found := _VALUE.match(line)) and (section, found[1]) in left:
            # JSON spells numbers, texts and lists of texts as TOML does.
            line = f"{found[1]} = {json.dumps(left.pop((section, found[1])), ensure_ascii=False)}"
        lines.append(line)
    assert not left, f"the template has no line for {sorted(left)}"
    return "\n".join((*lines, ""))


def check(given: Given) -> None:
    """Raise SettingsError for an invalid value; settings file and environment are not read."""
    flags = {
        f"{section}.{key}": ",".join(value) if isinstance(value, list | tuple) else str(value)
        for (section, key), value in given.items()
    }
    load(flags, os.devnull)


def write_new(path: Path, text: str) -> None:
    """Write a new file that only its owner can read; raises FileExistsError, OSError."""
    with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
