"""The settings: every setting with its default, and where each value came from.

Owns the models and what a valid value is; `tracker.config.loader` fills them. It reads no file, and no module
below the daemon and the command line imports it: they are given plain values.
"""

from __future__ import annotations

import difflib
import os
import re
import socket
import zoneinfo
from collections.abc import Iterable, Iterator, Mapping
from datetime import time, tzinfo
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from tracker.clock import HostZone
from tracker.core.alerters import AlerterNames
from tracker.terminal import nearest

PREFIX: Final = "TRACKER_"
_HOST_LETTERS: Final = 253
"""The longest name that DNS allows."""
_NAME_BYTES: Final = 255
"""The longest name of a file or a folder that file systems allow."""


class SettingsError(Exception):
    """Say which settings are wrong; each of `lines` names the place of one mistake, its cause and the next
    step.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = tuple(lines)
        super().__init__("\n".join(self.lines))


def _split_commas(value: object) -> object:
    """Split `a,b`, as environment and flags write a list, and turn a list into a tuple."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return tuple(value) if isinstance(value, list) else value


def _known_zone(name: str) -> str:
    if name == "":
        return name
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        near = nearest(name, zoneinfo.available_timezones())
        raise ValueError(f"it must be a known time zone (the nearest one is {near!r})") from None
    return name


def _host_name(value: str) -> str:
    try:
        well = bool(value.encode("idna")) and value.split() == [value]
    except UnicodeError:
        well = False
    if not well or not value.isprintable() or len(value) > _HOST_LETTERS:
        raise ValueError("it must be a host name or an address")
    return value


def _size(value: str) -> str:
    if not re.fullmatch("[1-9][0-9]* (KB|MB|GB)", value):
        raise ValueError("it must be a size such as 10 MB")
    return value


def _number_as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _time_of_day(value: str) -> str:
    if value and not re.fullmatch("([01][0-9]|2[0-3]):[0-5][0-9]", value):
        raise ValueError("it must be a time of the day such as 16:30, or empty")
    return value


def _digits(value: str) -> str:
    if value.strip("0123456789"):
        raise ValueError("it must be the query's number, digits only")
    return value


def _service_address(value: str) -> str:
    parts = urlsplit(value)
    local = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if not parts.hostname or parts.query or parts.scheme not in (("https", "http") if local else ("https",)):
        raise ValueError("it must be an https address without a query")
    return value.rstrip("/")


def _web_address(value: str) -> str:
    try:
        parts = urlsplit(value)
        well = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        well = False
    if value and (not well or not value.isascii() or not value.isprintable() or " " in value):
        raise ValueError("it must be an http or https address")
    return value


def _database_address(value: str) -> str:
    of_libpq = value.startswith(("postgresql://", "postgres://")) or re.match(r"\s*\w+\s*=", value)
    if value and (not of_libpq or not value.isprintable()):
        raise ValueError("it must be like postgresql://USER@HOST/DATABASE, or service=NAME")
    return value


def _seat_name(value: str) -> str:
    if not value.isprintable() or value != value.strip() or len(value) > 200:
        raise ValueError("it must be a name of at most 200 characters, without spaces around it")
    return value


def _empty_is_none(value: object) -> object:
    return None if value == "" else value


Texts = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], NoDecode, BeforeValidator(_split_commas)]
Seconds = Annotated[float, Field(gt=0, le=86400, allow_inf_nan=False)]
Host = Annotated[str, AfterValidator(_host_name)]


class Section(BaseModel):
    """Hold what all sections share: no unknown keys, frozen values, checks of files and time zones."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="after")
    @classmethod
    def _names_a_file(cls, value: object) -> object:
        if isinstance(value, Path):
            if not str(value).strip(" .") or "\0" in str(value):
                raise ValueError("it must name a file")
            if any(len(os.fsencode(part)) > _NAME_BYTES for part in value.parts):
                raise ValueError(f"a name in a path has at most {_NAME_BYTES} bytes")
        return value

    @field_validator("timezone", mode="after", check_fields=False)
    @classmethod
    def _check_zone(cls, value: str) -> str:
        return _known_zone(value)


class Gateway(Section):
    """Say where TWS or IB Gateway listens, and how long to wait for it; times in seconds."""

    host: Host = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 4002
    client_id: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    accounts: Texts = ()
    timezone: str = ""
    connect_timeout: Seconds = 10.0
    request_timeout: Seconds = 20.0
    probe_seconds: Seconds = 30.0
    sweep_seconds: Seconds = 15.0
    bind_manual_orders: bool = False


class Stores(Section):
    """The files: the alerts, the two read-only alerter stores, and the journal."""

    alerts: Path = Path("data/alerts/alerts.json")
    contracts: Path = Path("data/alerter_contracts.json")
    stocks: Path = Path("data/alerter_stocks.json")
    journal: Path = Path("data/journal.db")
    timezone: str = ""
    frame_days: Annotated[int, Field(ge=1, le=36500)] = 30
    event_days: Annotated[int, Field(ge=1, le=36500)] = 30


class Status(Section):
    """Say where the daemon answers questions; port 0 takes a free one."""

    host: Host = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8765
    token_file: Path = Path("data/status.token")


class Matching(Section):
    """Say how far apart in time a fill and its alert may be, in seconds."""

    early_fill: Annotated[float, Field(ge=0, le=86400, allow_inf_nan=False)] = 120.0
    retry_for: Annotated[float, Field(ge=0, le=86400, allow_inf_nan=False)] = 900.0


class Closing(Section):
    """Say what happens to a record when its position goes to zero."""

    policy: Literal["mark", "remove", "keep"] = "mark"


class Log(Section):
    """Say what is logged, and to which file besides standard error."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    file: Annotated[Path | None, BeforeValidator(_empty_is_none)] = None
    as_json: Annotated[bool, Field(alias="json")] = False
    mask_accounts: bool = True
    rotation: Annotated[str, AfterValidator(_size)] = "10 MB"
    retention: Annotated[int, Field(ge=1, le=1000)] = 5


class Notify(Section):
    """Say who is notified, and by which messages."""

    urls: Annotated[Texts, Field(repr=False)] = ()
    """Secrets; only `tracker.notify.apprise_services` looks at them."""
    link_down_minutes: Annotated[float, Field(gt=0, le=1440, allow_inf_nan=False)] = 5.0
    report_at: Annotated[str, AfterValidator(_time_of_day)] = "00:00"
    heartbeat_url: Annotated[str, AfterValidator(_web_address), Field(repr=False)] = ""
    """A secret; only `tracker.notify.heartbeat` calls it."""

    @property
    def report_time(self) -> time | None:
        """Return the time of the daily report, None for never."""
        return time.fromisoformat(self.report_at) if self.report_at else None


class Flex(Section):
    """Say which Flex query is fetched from IBKR's web service; nothing is contacted while `token` is
    empty.
    """

    token: Annotated[str, Field(repr=False)] = ""
    """A secret; only `tracker.gateway.flex_service` sends it."""
    query_id: Annotated[str, BeforeValidator(_number_as_text), AfterValidator(_digits)] = ""
    base_url: Annotated[str, AfterValidator(_service_address)] = (
        "https://ndcdyn.interactivebrokers.com/AccountManagement/FlexWebService"
    )


class Shared(Section):
    """Say where several trackers share their alerts in PostgreSQL; nothing is contacted while `url` is
    empty.
    """

    url: Annotated[str, AfterValidator(_database_address), Field(repr=False)] = ""
    """A secret; only `tracker.stores` connects with it."""
    seat: Annotated[str, AfterValidator(_seat_name)] = ""
    poll_seconds: Annotated[float, Field(ge=0.1, le=3600, allow_inf_nan=False)] = 1.0

    @property
    def seat_name(self) -> str:
        """Return the seat of this tracker: the host's name where none is set."""
        return self.seat or socket.gethostname()


class Alerter(Section):
    """Name one source of alerts: its key in alerts.json, the name people use, and its other spellings."""

    name: Annotated[str, Field(min_length=1)]
    title: str = ""
    aliases: tuple[Annotated[str, Field(min_length=1)], ...] = ()


class Alerters(BaseModel):
    """Hold the alerters of the settings, checked as a whole; they add to the built-in ones of
    `core.alerters`.
    """

    alerters: tuple[Alerter, ...]

    @field_validator("alerters", mode="after")
    @classmethod
    def _no_alias_has_two_owners(cls, alerters: tuple[Alerter, ...]) -> tuple[Alerter, ...]:
        AlerterNames((alerter.name, alerter.title, alerter.aliases) for alerter in alerters)
        return alerters


class Settings(BaseSettings):
    """All settings; `load` is the way to one."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, hide_input_in_errors=True
    )

    gateway: Gateway = Gateway()
    stores: Stores = Stores()
    status: Status = Status()
    matching: Matching = Matching()
    closing: Closing = Closing()
    log: Log = Log()
    notify: Notify = Notify()
    flex: Flex = Flex()
    shared: Shared = Shared()
    alerters: tuple[Alerter, ...] = ()

    _origins: dict[tuple[str, str], str] = PrivateAttr(default_factory=dict)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take only what `load` merged: it checks each source by itself, so that it can name the place of a
        mistake.
        """
        return (init_settings,)

    def store_zone(self) -> tzinfo:
        """Return the zone in which the stores write times without one."""
        return _zone(self.stores.timezone)

    def login_zone(self) -> tzinfo:
        """Return the zone of the broker login's times without one, which is also the account's day."""
        return _zone(self.gateway.timezone)

    def with_origins(self, origins: Mapping[tuple[str, str], str]) -> Settings:
        """Note where each configured value came from; `load` alone calls it."""
        self._origins.update(origins)
        return self

    def origin(self, section: str, key: str) -> str:
        """Say where a value came from, as its source writes it."""
        return self._origins.get((section, key), f"default of [{section}] {key}")

    def files_named_twice(self) -> Iterator[str]:
        """Yield a line for each file that two settings name: one use would overwrite what the other wrote.

        The two stores that are only read may be one file.
        """
        used: dict[str, tuple[str, str]] = {}
        for section, key in PATHS:
            path = getattr(getattr(self, section), key)
            for end in ("", *_BESIDE.get(key, ())) if path is not None else ():
                file = os.path.realpath(f"{path}{end}")
                user = used.setdefault(file, (section, key))
                if user[1] != key and {user[1], key} != {"contracts", "stocks"}:
                    yield (
                        f"{self.origin(section, key)}: {file} is in use by {self.origin(*user)};"
                        " give each a file of its own"
                    )
                    break

    def require_folders(self) -> list[Path]:
        """Raise SettingsError for each file whose folder is not there; returns the folders that were made.

        The default folder of our own files is made here, if no setting names another and nothing else is
        missing. The two alerter stores may be absent altogether, so their folder counts only where it was
        configured. With a shared store only the mirror's machine has the files of alerts.
        """
        lines = []
        missing: dict[Path, str] = {}
        for section, key in PATHS:
            path = getattr(getattr(self, section), key)
            configured = (section, key) in self._origins
            if path is None or (key in ("contracts", "stocks") and not configured):
                continue
            if self.shared.url and key in ("alerts", "contracts", "stocks"):
                continue
            where = self.origin(section, key)
            if not configured and key in ("journal", "token_file") and not os.path.isdir(path.parent):
                missing.setdefault(path.parent, where)
            elif os.path.isdir(path):
                lines.append(f"{where}: {path} is a folder; name the file")
            elif not os.path.isdir(path.parent):
                lines.append(
                    f"{where}: the folder {path.parent} does not exist; create it or correct the path"
                )
        for folder, where in () if lines else missing.items():
            try:
                folder.mkdir(parents=True)
            except OSError as error:
                lines.append(
                    f"{where}: the folder {folder} cannot be made: {error.strerror or error};"
                    " create it, or set another path"
                )
        if lines:
            raise SettingsError(lines)
        return list(missing)


def _zone(name: str) -> tzinfo:
    return zoneinfo.ZoneInfo(name) if name else HostZone()


SECTIONS: Final[Mapping[str, type[Section]]] = {
    name: info.annotation
    for name, info in Settings.model_fields.items()
    if isinstance(info.annotation, type) and issubclass(info.annotation, Section)
}


def key_of(name: str, info: FieldInfo) -> str:
    """Return the key by which people write a field."""
    return info.alias or name


KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    section: tuple(key_of(name, info) for name, info in model.model_fields.items())
    for section, model in SECTIONS.items()
}
PATHS: Final = (
    ("stores", "alerts"),
    ("stores", "contracts"),
    ("stores", "stocks"),
    ("stores", "journal"),
    ("status", "token_file"),
    ("log", "file"),
)
_BESIDE: Final = {"alerts": (".lock", ".tracker-backup"), "journal": ("-wal", "-shm", ".lock")}
"""The endings of the files that the tracker makes beside another."""
_MISSPELT: Final = 0.8
"""The similarity required of a misspelt key: at most one letter of five differs."""


def nearest_key(section: str, key: str) -> tuple[str, str]:
    """Return the known (section, key) that was most likely meant; either may be empty.

    A key similar to one of its own section counts as misspelt. Otherwise a key that exists in another section
    was written into the wrong section, and any other key is compared with all sections.
    """
    if near := nearest(key, KEYS.get(section, ()), likeness=_MISSPELT):
        return section, near
    homes = [known for known, keys in KEYS.items() if (key or section) in keys]
    if homes:
        return max(homes, key=lambda known: _likeness(section, known)), key or section
    known = [name for name in KEYS if name == section] or list(KEYS)
    names = [f"{name}.{each}" for name in known for each in KEYS[name]]
    section, _, key = nearest(f"{section}.{key}", names).partition(".")
    return section, key


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()
