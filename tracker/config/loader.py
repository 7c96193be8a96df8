"""Where settings come from: the file, the environment and the flags, each overriding the one before.

Owns the search for the file, the merge of the three sources, and the error messages: every line names the
source, the key, the cause and the next step. `tracker.config.settings` decides what a valid value is.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import EnvSettingsSource

from tracker.config.settings import (
    KEYS,
    PATHS,
    PREFIX,
    SECTIONS,
    Alerter,
    Alerters,
    Settings,
    SettingsError,
    key_of,
    nearest_key,
)
from tracker.terminal import nearest

DEFAULT_FILE: Final = "settings.toml"
NOT_SETTINGS: Final = frozenset({"TRACKER_SETTINGS", "TRACKER_PAPER_GATEWAY", "TRACKER_POSTGRES_BIN"})
"""Variables of this prefix with a meaning of their own: the settings file; login and server for the tests."""
SECRETS: Final = frozenset(
    {("notify", "urls"), ("notify", "heartbeat_url"), ("flex", "token"), ("shared", "url")}
)
"""Settings whose values are never repeated in a message."""


@dataclass(frozen=True, slots=True)
class _Source:
    """Hold the values of one source, and how a message names the place of a value in it."""

    values: Mapping[str, Any]
    folder: Path
    """The folder that relative paths of this source start from."""
    name: str
    spell: Callable[[str, str], str]
    """How this source writes (section, key); the key may be empty."""
    removal: str
    """How a person removes a value from this source, for error messages."""
    typed: bool = False
    """Whether its values have types; those of environment and flags are text."""

    def place(self, section: str, key: str = "") -> str:
        return f"{self.name} {self.spell(section, key)}"


def load(flags: Mapping[str, str] | None = None, path: str | None = None) -> Settings:
    """Return the settings of file, environment and flags, in rising order.

    `flags` maps `section.key` to text; `path` is what --settings named. Reads os.environ and the working
    directory. Raises SettingsError with one line for each mistake in any of the sources.
    """
    here = Path.cwd()
    file = find_file(path)
    sources = [_environment(here), _flags(flags or {}, here)]
    if file is not None:
        sources.insert(0, _file(file))
    lines: list[str] = []
    merged: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    origins: dict[tuple[str, str], str] = {}
    alerters: tuple[Alerter, ...] = ()
    for source in sources:
        lines.extend(_unknown(source))
        for section in [name for name in SECTIONS if isinstance(source.values.get(name), dict)]:
            for key, value in _checked(section, source, lines).items():
                merged[section][key] = value
                origins[section, key] = source.place(section, key)
        if source.typed and "alerters" in source.values:
            alerters = _checked_alerters(source, lines)
    if lines:
        raise SettingsError(lines)
    base = file.absolute().parent if file else here
    for section, key in PATHS:
        default = SECTIONS[section].model_fields[key].default
        if default is not None:
            merged[section].setdefault(key, base / default)
    sections: dict[str, Any] = {name: SECTIONS[name](**values) for name, values in merged.items()}
    settings = Settings(**sections, alerters=alerters).with_origins(origins)
    if lines := list(settings.files_named_twice()):
        raise SettingsError(lines)
    return settings


def find_file(path: str | None) -> Path | None:
    """Return the settings file to read, None where there is none; raises SettingsError for a named one."""
    named = path if path is not None else os.environ.get("TRACKER_SETTINGS") or None
    if named is None:
        default = Path(DEFAULT_FILE)
        return default if default.exists() else None
    # Both of these raise nothing, whatever was typed: `~name` may be nobody's, and a name may be too long.
    file = os.path.expanduser(named)
    if not os.path.exists(file):
        source = "flag --settings" if path is not None else "environment variable TRACKER_SETTINGS"
        raise SettingsError(
            [f"{source}: the file {named!r} does not exist; correct the path or leave it out"]
        )
    return Path(file)


def _file(path: Path) -> _Source:
    try:
        values = tomllib.loads(path.read_text("utf-8-sig"))
        json.dumps(values, default=str)  # Raises ValueError for a hexadecimal number of that size.
    except tomllib.TOMLDecodeError as error:
        cause = f"not valid TOML: {error}; correct that line"
    except UnicodeDecodeError as error:
        cause = f"not UTF-8 text (at byte {error.start}); save it as UTF-8"
    except ValueError:
        cause = "a number in it has more than 4300 digits; correct it"
    except RecursionError:
        cause = "nested too deeply; no setting needs more than one list"
    except OSError as error:
        cause = f"cannot be read ({error.strerror}); name a file that this user may read"
    else:
        return _Source(values, path.absolute().parent, f"{path}:", _spell_in_file, "remove it", typed=True)
    raise SettingsError([f"{path}: {cause}"])


def _spell_in_file(section: str, key: str) -> str:
    return f"[{section}] {key}".rstrip()


def _environment(folder: Path) -> _Source:
    """Collect TRACKER_SECTION__KEY; pydantic-settings reads them once every name is known to be a setting."""
    given: dict[str, Any] = {}
    for name in os.environ:
        if name.upper().startswith(PREFIX) and name.upper() not in NOT_SETTINGS:
            section, _, key = name[len(PREFIX) :].lower().partition("__")
            given.setdefault(section, {})[key] = os.environ[name]
    if all(key in KEYS.get(section, ()) for section, values in given.items() for key in values):
        given = EnvSettingsSource(Settings)()
    return _Source(given, folder, "environment variable", _spell_in_environment, "unset it")


def _spell_in_environment(section: str, key: str) -> str:
    return PREFIX + "__".join(part.upper() for part in (section, key) if part)


def _flags(flags: Mapping[str, str], folder: Path) -> _Source:
    given: dict[str, Any] = {}
    for name, value in flags.items():
        section, _, key = name.partition(".")
        given.setdefault(section, {})[key] = value
    return _Source(given, folder, "flag", lambda section, key: f"--{section}.{key}", "leave it out")


def _unknown(source: _Source) -> Iterator[str]:
    """Name each key that is no setting, with the known one that was most likely meant."""
    for section, values in source.values.items():
        if section == "alerters":
            if not source.typed:
                place = source.place(section, next(iter(values)))
                yield f"{place}: alerters are listed in the file only, as [[alerters]]; {source.removal}"
        elif section in KEYS and not isinstance(values, dict):
            yield f"{source.place(section)}: it must be a section with keys; correct it or {source.removal}"
        elif isinstance(values, dict) and (section in KEYS or not source.typed):
            for key in [key for key in values if key not in KEYS.get(section, ())]:
                near = source.spell(*nearest_key(section, key))
                yield _unknown_line(source.place(section, key), "key", near, source)
        elif isinstance(values, dict | list):
            near = source.spell(nearest(section, [*KEYS, "alerters"]), "")
            yield _unknown_line(source.place(section), "section", near, source)
        else:
            near = source.spell(*nearest_key("", section))
            yield _unknown_line(f"{source.name} {section}", "key", near, source)


def _unknown_line(place: str, what: str, near: str, source: _Source) -> str:
    # A text in the place of a key may be a url that holds a password.
    shown = _SECRET.sub("://***", place)
    return f"{shown}: unknown {what}; the nearest known one is {near}; correct it or {source.removal}"


def _checked(section: str, source: _Source, lines: list[str]) -> dict[str, Any]:
    """Return the valid values of a section by key, paths absolute; add a line for each that is not."""
    model = SECTIONS[section]
    given = {key: value for key, value in source.values[section].items() if key in KEYS[section]}
    try:
        if source.typed:
            # JSON mode accepts lists and paths as TOML writes them, and converts nothing else.
            valid = model.model_validate_json(json.dumps(given, default=str), strict=True)
        else:
            valid = model.model_validate(given)
    except ValidationError as error:
        lines.extend(_explain(section, source, error))
        return {}
    return {
        key_of(name, model.model_fields[name]): _placed(getattr(valid, name), source.folder)
        for name in valid.model_fields_set
    }


def _placed(value: object, folder: Path) -> object:
    return folder / os.path.expanduser(value) if isinstance(value, Path) else value


def _checked_alerters(source: _Source, lines: list[str]) -> tuple[Alerter, ...]:
    text = json.dumps({"alerters": source.values["alerters"]}, default=str)
    try:
        return Alerters.model_validate_json(text, strict=True).alerters
    except ValidationError as error:
        for mistake in error.errors():
            _, *path = mistake["loc"]
            number = f" {path[0] + 1}" if path and isinstance(path[0], int) else ""
            place = f"{source.name} [[alerters]]{number} {'.'.join(map(str, path[1:]))}".rstrip()
            if mistake["type"] == "extra_forbidden":
                near = nearest(str(path[-1]), list(Alerter.model_fields))
                lines.append(_unknown_line(place, "key", near, source))
            else:
                lines.append(f"{place}: {_cause(mistake)}; correct it")
    return ()


def _explain(section: str, source: _Source, error: ValidationError) -> Iterator[str]:
    for mistake in error.errors():
        key = str(mistake["loc"][0])
        shown = "" if (section, key) in SECRETS else f", not {_short(mistake['input'])}"
        fields = SECTIONS[section].model_fields
        default = next(info.default for name, info in fields.items() if key_of(name, info) == key)
        yield (
            f"{source.place(section, key)}: {_cause(mistake)}{shown};"
            f" correct it, or {source.removal} for the default {_as_written(default)}"
        )


def _as_written(default: object) -> str:
    """Write a default as the settings file would."""
    if isinstance(default, float) and default.is_integer():
        default = int(default)
    return json.dumps("" if default is None else default, default=str)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


_SECRET: Final = re.compile(r"://[^\s\]]*")
_TYPES: Final = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "string": "text",
    "tuple": "a list",
}


def _cause(mistake: ErrorDetails) -> str:
    """Say in plain words what a value must be."""
    kind, context = mistake["type"], mistake.get("ctx", {})
    match kind:
        case "value_error":
            return str(context["error"])
        case "literal_error":
            near = nearest(
                str(mistake["input"]), context["expected"].replace("'", "").replace(" or ", ", ").split(", ")
            )
            return f"it must be {context['expected']} (the nearest one is {near!r})"
        case "greater_than_equal" | "greater_than" | "less_than_equal":
            bound, words = next(iter(context.items())), {"ge": "at least", "gt": "more than", "le": "at most"}
            return f"it must be {words[bound[0]]} {_as_written(bound[1])}"
        case "finite_number":
            return "it must be a finite number"
        case "missing":
            return "it is missing"
        case "string_too_short":
            return "it must not be empty"
    wanted = _TYPES.get(kind.partition("_")[0])
    return f"it must be {wanted}" if wanted else mistake["msg"]
