"""`tracker paper`: a gateway with its scenario and its control socket, until it is ended.

Owns the options, how they are combined with a scenario's own settings, and the run. It reads no settings file
and no clock; the command line calls `serve`.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Final, TypeVar
from zoneinfo import ZoneInfo

from tracker.paper import alert_contracts, framing
from tracker.paper.control import ControlSocket
from tracker.paper.order_engine import FillPolicy
from tracker.paper.scenario import Scenario, ScenarioError, parse
from tracker.paper.scenario_player import ScenarioPlayer, play
from tracker.paper.scenario_tables import GatewaySettings
from tracker.paper.server import PaperGateway

Choice = TypeVar("Choice")
DEFAULT_ACCOUNTS: Final = ("DU1234567",)
DEFAULT_ZONE: Final = "US/Eastern"
MAX_SCENARIO_BYTES: Final = 1 << 20


class OptionError(Exception):
    """Raised where an option of `tracker paper` cannot be used; the text says which and why."""


@dataclass(frozen=True, slots=True)
class PaperOptions:
    """Hold the options of the command line; None leaves one to the scenario, else to the default."""

    port: int = 4002
    """4002 is the real Gateway's paper port; 0 takes a free one."""
    host: str = "127.0.0.1"
    accounts: tuple[str, ...] | None = None
    master_client_id: int | None = None
    """Default 0, so that a tracker with client id 0 sees everything; -1 for none."""
    read_only: bool | None = None
    latency: float | None = None
    partials: int | None = None
    rest: bool | None = None
    seed: int = 1
    scenario: str = ""
    """A file, or the name of a shipped one (see `shipped_scenarios`)."""
    control_port: int | None = None
    """None: no control socket; 0 takes a free port."""
    time_form: str | None = None
    zone: str | None = None
    alerts: str | None = None
    """An alerts.json whose conIds can be ordered; it is read once and never written."""
    server_version: int = framing.MAX_VERSION
    quiet: bool = False
    """Print nothing about what clients and the control port do."""


def shipped_scenarios() -> tuple[str, ...]:
    """Return the names of the scenarios that come with the package."""
    folder = resources.files("tracker.paper") / "scenarios"
    return tuple(sorted(item.name[:-5] for item in folder.iterdir() if item.name.endswith(".toml")))


def load_scenario(name: str) -> Scenario:
    """Read a scenario file, or a shipped scenario by its name; ScenarioError where it cannot be used."""
    path = Path(name)
    if name in shipped_scenarios():
        source = (resources.files("tracker.paper") / "scenarios" / f"{name}.toml").read_text("utf-8")
        return parse(source, name)
    try:
        if path.stat().st_size > MAX_SCENARIO_BYTES:
            raise ScenarioError(f"{name}: the file is longer than {MAX_SCENARIO_BYTES} bytes, the limit")
        source = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ScenarioError(f"{name}: this is not UTF-8 text: {error}") from None
    except OSError as error:
        known = ", ".join(shipped_scenarios())
        raise ScenarioError(
            f"{name}: cannot be read: {error.strerror}; included scenarios: {known}"
        ) from None
    return parse(source, name)


def learn_alerts(gateway: PaperGateway, name: str, today: date) -> int:
    """Make the contracts of an alert file known; returns how many. OptionError where it cannot be read."""
    try:
        contracts = alert_contracts.contracts_of(Path(name).read_text("utf-8"), today)
    except (OSError, ValueError, RecursionError) as error:
        raise OptionError(f"--alerts {name} cannot be read: {error}") from error
    for contract in contracts:
        gateway.book.learn(contract)
    return len(contracts)


def make_gateway(
    options: PaperOptions, scenario: Scenario | None, now: Callable[[], datetime]
) -> PaperGateway:
    """Return the gateway that options and scenario describe; OptionError where they make none."""
    said = GatewaySettings() if scenario is None else scenario.gateway
    usual = FillPolicy()
    master = _first(options.master_client_id, said.master_client_id, 0)
    zone = _first(options.zone, said.zone, DEFAULT_ZONE)
    latency = None if said.latency is None else float(said.latency)
    try:
        _check(options, zone)
        policy = FillPolicy(
            _first(options.latency, latency, usual.latency_seconds),
            _first(options.partials, said.partials, usual.partials),
            _first(options.rest, said.rest, usual.rest),
        )
        return PaperGateway(
            options.host,
            options.port,
            accounts=_first(options.accounts, said.accounts, DEFAULT_ACCOUNTS),
            seed=options.seed,
            now=now,
            master_client_id=None if master < 0 else master,
            read_only=_first(options.read_only, said.read_only, False),
            time_form=_first(options.time_form, said.time_form, "zone"),
            zone=zone,
            max_version=options.server_version,
            fills=policy,
        )
    except ValueError as error:
        raise OptionError(str(error)) from error


async def serve(
    options: PaperOptions,
    *,
    now: Callable[[], datetime],
    tell: Callable[[str], None],
    stop: asyncio.Event | None = None,
) -> None:
    """Serve until `stop` is set, by default by SIGINT or SIGTERM.

    `now` returns the aware UTC time. `tell` is called with each line for people: the ports first, then what
    clients do, unless `options.quiet` is set. Raises OptionError and ScenarioError for what cannot be used or
    played to its end, OSError where a port is taken.
    """
    scenario = load_scenario(options.scenario) if options.scenario else None
    gateway = make_gateway(options, scenario, now)
    count = 0 if options.alerts is None else learn_alerts(gateway, options.alerts, gateway.engine.today())
    ending = stopped_by_signals() if stop is None else stop
    async with gateway:
        player = ScenarioPlayer(gateway, now, scenario)
        control = None
        if options.control_port is not None:
            control = ControlSocket(gateway, player, options.control_port)
            await _start(control, options.control_port)
        tell(f"paper gateway on {options.host}:{gateway.port}, accounts {', '.join(gateway.book.accounts)}")
        if control is not None:
            tell(f"control socket on 127.0.0.1:{control.port}")
        if options.alerts is not None:
            tell(f"contracts of {options.alerts} that can be ordered by conId: {count}")
        if not options.quiet:
            # Written later, so that a line that cannot be written stops no order half way.
            gateway.broadcast.tell = partial(_tell_later, tell)
        try:
            await _run(scenario, gateway, player, ending, tell)
        finally:
            if control is not None:
                await control.stop()


async def _start(control: ControlSocket, port: int | None) -> None:
    try:
        await control.start()
    except OSError as error:
        why = error.strerror or error
        raise OptionError(f"--control-port {port} cannot be used ({why}); choose another one") from error


async def _run(
    scenario: Scenario | None,
    gateway: PaperGateway,
    player: ScenarioPlayer,
    ending: asyncio.Event,
    tell: Callable[[str], None],
) -> None:
    waiting = asyncio.create_task(ending.wait())
    playing = None
    if scenario is not None:
        tell(f"scenario: {scenario.title}")
        playing = asyncio.create_task(play(scenario, gateway, player, tell))
    try:
        if playing is not None:
            await asyncio.wait((waiting, playing), return_when=asyncio.FIRST_COMPLETED)
            if playing.done():
                playing.result()
        await waiting
    finally:
        for task in (waiting, playing):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError, ScenarioError):
                    await task


def _tell_later(tell: Callable[[str], None], line: str) -> None:
    asyncio.get_running_loop().call_soon(tell, line)


def stopped_by_signals() -> asyncio.Event:
    """Return an event that SIGINT and SIGTERM set."""
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ending.set)
    return ending


def _first(option: Choice | None, said: Choice | None, default: Choice) -> Choice:
    if option is not None:
        return option
    return default if said is None else said


def _check(options: PaperOptions, zone: str) -> None:
    if not 0 <= options.port <= 65535:
        raise ValueError(f"port must be 0 to 65535, not {options.port}")
    if options.control_port is not None and not 0 <= options.control_port <= 65535:
        raise ValueError(f"control port must be 0 to 65535, not {options.control_port}")
    try:
        ZoneInfo(zone)
    except (OSError, LookupError):
        raise ValueError(f"zone {zone!r} is not a time zone; use a name such as US/Eastern") from None
