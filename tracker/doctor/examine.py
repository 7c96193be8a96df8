"""Run all checks, in the order in which their findings are shown.

Owns which checks there are and what each receives. It writes to no store, sends no order, and leaves nothing
behind.
"""

from __future__ import annotations

import dataclasses
import os
import socket
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from tracker import wiring
from tracker.clock import HostZone
from tracker.config.loader import SECRETS
from tracker.config.settings import KEYS, PATHS, Settings
from tracker.core.alert_updates import instant
from tracker.doctor import (
    check_files,
    check_machine,
    check_schedule,
    check_status_socket,
    filesystems,
    read_stores,
)
from tracker.doctor.check_gateway import check_preflight, check_running_tracker
from tracker.doctor.check_shared import check_store
from tracker.doctor.check_time_zones import check_created_at
from tracker.doctor.finding import (
    Finding,
    FolderState,
    Level,
    Place,
    PortState,
    StatusPort,
    as_json,
    counted,
    has_no_fault,
)
from tracker.doctor.probes import Probes
from tracker.doctor.spans import offset
from tracker.status.token import read_token

PATIENCE_SECONDS: Final = 10.0
"""Seconds to wait for one answer of the gateway."""
_LIKELY_ZONES: Final = (
    *("UTC", "America/New_York", "America/Chicago", "America/Los_Angeles"),
    *("Europe/London", "Europe/Berlin", "Asia/Kolkata", "Asia/Tokyo", "Australia/Sydney"),
)
_MIRRORED: Final = ("alerts", "contracts", "stocks")
"""Files that, with shared.url set, only `tracker mirror` uses."""
_SOURCES: Final = ("environment variable", "flag")


def examine_machine(probes: Probes) -> Iterator[Finding]:
    """Yield the findings that need no settings."""
    found = probes.machine()
    yield check_machine.check_python(found)
    yield check_machine.check_zones(found)


def examine(settings: Settings, source: Path | None, probes: Probes, *, offline: bool) -> Iterator[Finding]:
    """Yield all findings; `source` is the settings file, None where there is none."""
    of_machine = list(examine_machine(probes))
    yield from of_machine
    yield check_machine.check_settings("" if source is None else str(source), _overrides(settings))
    holds = [key for key in sorted(SECRETS) if _is_in(settings, *key, source)]
    if source is not None and holds and (mode := read_stores.mode_of(source)) is not None:
        yield check_files.check_settings_file(source, mode, " and ".join(map(".".join, holds)))
    skip = "--offline" if offline else ""
    if not has_no_fault(of_machine):
        # The client library may fail to load.
        skip = "this Python may not be able to load the client library"
    yield from _Examination(settings, probes).findings(skip)


def _is_in(settings: Settings, section: str, key: str, source: Path | None) -> bool:
    """Return whether a setting has a value that the settings file gives."""
    given = bool(getattr(getattr(settings, section), key))
    return given and settings.origin(section, key).startswith(str(source))


def answer(findings: list[Finding], *, now: datetime, offline: bool) -> dict[str, Any]:
    """Return the findings as programs read them; `ok` and `schema` come before."""
    return {
        "checked_at": instant(now),
        "offline": offline,
        "well": has_no_fault(findings),
        "counts": counted(findings),
        "findings": [as_json(finding) for finding in findings],
    }


def _overrides(settings: Settings) -> Mapping[str, int]:
    origins = [settings.origin(section, key) for section, keys in KEYS.items() for key in keys]
    return {name: sum(origin.startswith(f"{name} ") for origin in origins) for name in _SOURCES}


class _Examination:
    """Hold what several checks share."""

    def __init__(self, settings: Settings, probes: Probes) -> None:
        self._settings = settings
        self._probes = probes
        self._now = probes.now()
        self._here = HostZone()
        mountinfo = probes.mountinfo()
        self._mounts_known = mountinfo is not None
        access = filesystems.DiskAccess(probes.disk, mountinfo, probes.space)
        self._places = {
            f"{section}.{key}": self._inspect(access, section, key, path)
            for section, key in PATHS
            if (path := getattr(getattr(settings, section), key)) is not None
            and not (settings.shared.url and key in _MIRRORED)
        }
        status = settings.status
        self._port = probes.port(status.host, status.port, read_token(status.token_file))
        held = [settings.stores.journal, *([] if settings.shared.url else [settings.stores.alerts])]
        self._locks = [read_stores.read_lock(path) for path in held]
        self._ours = _is_ours(self._port, settings.stores.journal)

    def _inspect(self, access: filesystems.DiskAccess, section: str, key: str, path: Path) -> Place:
        origin = self._settings.origin(section, key)
        return filesystems.inspect_place(
            access, f"{section}.{key}", path, origin, configured=not origin.startswith("default of ")
        )

    def findings(self, skip_gateway: str) -> Iterator[Finding]:
        """Yield the findings about these settings; `skip_gateway` says why the gateway is not asked."""
        yield from self._stores()
        place = self._places["stores.journal"]
        yield check_files.check_folder(place)
        bound_to, journal = self._journal(place)
        yield journal
        yield from self._file_system(place)
        yield check_machine.check_space(list(self._places.values()))
        yield from self._neighbours()
        if skip_gateway:
            step = "run `tracker doctor` with the gateway running before you trade"
            yield Finding("gateway", Level.NOTE, f"not checked ({skip_gateway})", step)
        else:
            yield from self._gateway(bound_to)
        zone, name = self._settings.login_zone(), self._zone_name(self._settings.gateway.timezone)
        yield check_schedule.check_account_day(zone, name, self._here, self._now)
        yield check_schedule.check_planned_resets(self._here, self._now)

    def _stores(self) -> Iterator[Finding]:
        if self._settings.shared.url:
            yield from self._shared_store()
        else:
            yield from self._alert_files()

    def _shared_store(self) -> Iterator[Finding]:
        settings, shared = self._settings, self._settings.shared
        try:
            facts = self._probes.store(shared.url, self._probes.now)
        except ModuleNotFoundError as error:
            step = "install the extra `shared`: pipx install --force '.[shared]' in the project's folder"
            yield Finding("shared_store", Level.FAULT, f"shared.url needs psycopg ({error})", step)
            return
        yield from check_store(
            facts,
            seat=shared.seat_name,
            host=socket.gethostname(),
            zone=settings.stores.timezone,
            accounts=settings.gateway.accounts,
            now=self._now,
        )

    def _alert_files(self) -> Iterator[Finding]:
        settings, probes, now = self._settings, self._probes, self._now
        alerts = self._places["stores.alerts"]
        yield check_files.check_folder(alerts)
        records = read_stores.NO_RECORDS
        if alerts.folder is FolderState.EXISTS and not alerts.is_folder:
            records = read_stores.read_records(settings, alerts, probes.pause)
        yield check_files.check_alerts_file(alerts, records)
        yield from self._file_system(alerts)
        if records.count:
            yield check_created_at(
                records.stamps,
                settings.store_zone(),
                self._zone_name(settings.stores.timezone),
                self._other_zones(),
                now=now,
                written_at=records.written_at,
            )
        troubles = read_stores.read_alerter_stores(settings, probes.now)
        for setting in check_files.READ_ONLY:
            place = self._places[setting]
            yield check_files.check_alerter_store(place, troubles.get(place.path, ""))

    def _file_system(self, place: Place) -> Iterator[Finding]:
        if place.folder is FolderState.EXISTS or place.made_at_start:
            yield check_files.check_file_system(place, mounts_known=self._mounts_known)

    def _journal(self, place: Place) -> tuple[str | None, Finding]:
        held = any(lock.holder for lock in self._locks[:1])
        facts = read_stores.read_journal(self._settings.stores.journal, in_use=held)
        return facts.bound_to, check_files.check_journal(place, facts)

    def _neighbours(self) -> Iterator[Finding]:
        """Yield the findings about other folders, other trackers and the status socket."""
        for setting in ("status.token_file", "log.file"):
            if setting in self._places:
                yield check_files.check_folder(self._places[setting])
        if "log.file" in self._places and (log := check_files.check_log(self._places["log.file"])):
            yield log
        yield check_files.check_locks(self._locks, self._port, ours=self._ours)
        yield check_status_socket.check_status_port(self._port, ours=self._ours)
        token = read_stores.read_token_file(self._settings.status.token_file)
        yield check_status_socket.check_token(token, self._port, running=self._ours)

    def _gateway(self, bound_to: str | None) -> Iterator[Finding]:
        settings, gateway = self._settings, self._settings.gateway
        if self._ours and self._port.status is not None:
            yield from check_running_tracker(
                self._port.status,
                client_id=gateway.client_id,
                watched=gateway.accounts,
                binds=gateway.bind_manual_orders,
                host=gateway.host,
                port=gateway.port,
            )
            return
        holder = next((lock.holder for lock in self._locks if lock.holder), "")
        if holder:
            yield self._skipped_for(holder)
            return
        options = wiring.link_options(settings)
        patience = min(gateway.request_timeout, PATIENCE_SECONDS)
        preflight = self._probes.preflight(
            dataclasses.replace(options, request_timeout=patience), self._probes.now
        )
        yield from check_preflight(
            preflight,
            host=gateway.host,
            port=gateway.port,
            client_id=gateway.client_id,
            watched=gateway.accounts,
            binds=gateway.bind_manual_orders,
            bound_to=bound_to,
            early_fill=timedelta(seconds=settings.matching.early_fill),
            zone=settings.login_zone(),
            zone_name=self._zone_name(gateway.timezone),
            now=self._probes.now(),
        )

    def _skipped_for(self, holder: str) -> Finding:
        """Skip the login while a tracker holds the stores: a second login with its client id would cut its
        link.
        """
        found = f"not checked: {holder} may be using its client id"
        return Finding("gateway", Level.NOTE, found, "see other_tracker")

    def _zone_name(self, configured: str) -> str:
        return configured or f"the host's time zone ({offset(self._here, self._now)})"

    def _other_zones(self) -> Mapping[str, tzinfo]:
        """Return the zones that might be meant instead, by the value to set."""
        configured = self._settings.stores.timezone
        zones: dict[str, tzinfo] = {'"" (the host\'s)': self._here} if configured else {}
        return zones | {name: ZoneInfo(name) for name in _LIKELY_ZONES if name != configured}


def _is_ours(port: StatusPort, journal: Path) -> bool:
    """Return whether the tracker on the status port is the one of these stores."""
    return (
        port.state is PortState.TRACKER
        and port.journal is not None
        and os.path.realpath(port.journal) == os.path.realpath(journal)
    )
