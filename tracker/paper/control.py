"""The control socket of a running paper gateway: fill, cancel, drop and the like from a shell.

Owns the line protocol: TCP on the loopback, one JSON object or bare word per line, one JSON line back. The
keys are those of a scenario's events without `at`. A line that is no command ends the connection, so that a
web page that sends a POST reaches no command.
"""

from __future__ import annotations

import asyncio
import json
import logging
from decimal import Decimal
from typing import Any, Final

from tracker.paper import formats
from tracker.paper.book_report import book_report
from tracker.paper.model import PaperOrder
from tracker.paper.scenario import Event, ScenarioError, contract_of, event_of
from tracker.paper.scenario_player import ScenarioPlayer
from tracker.paper.scenario_tables import EVENTS, Table
from tracker.paper.scenario_text import event_text
from tracker.paper.server import PaperGateway

MAX_LINE_BYTES: Final = 1 << 16
MAX_CONNECTIONS: Final = 16
_log = logging.getLogger(__name__)
_LOOPBACK: Final = "127.0.0.1"
COMMANDS: Final = ("help", "status", "orders", "book", "contract", *EVENTS)


class NotACommand(Exception):
    """Raised for a line that is no command; the text says why."""


class ControlSocket:
    """Serve commands for a gateway."""

    def __init__(self, gateway: PaperGateway, player: ScenarioPlayer, port: int) -> None:
        self._gateway = gateway
        self._player = player
        self._port = port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """The port listened on; known once started."""
        return self._port

    async def start(self) -> None:
        """Listen on the loopback; OSError where the port is taken."""
        self._server = await asyncio.start_server(self._serve, _LOOPBACK, self._port, limit=MAX_LINE_BYTES)
        self._port = int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening and close every connection."""
        if self._server is not None:
            self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def perform(self, table: dict[str, Any]) -> dict[str, Any]:
        """Do one command; return the answer, which is a refusal where the book does not allow it."""
        try:
            match table.get("do"):
                case "help":
                    return {"ok": True, "commands": _usage()}
                case "status":
                    return {"ok": True, **self._status()}
                case "orders":
                    return {
                        "ok": True,
                        "orders": [_shown(order) for order in self._gateway.book.open_orders()],
                    }
                case "book":
                    return {"ok": True, **book_report(self._gateway.book, self._player.contracts)}
                case "contract":
                    return {"ok": True, **self._learn(table)}
                case _:
                    return {"ok": True, **await self._happen(event_of(table, "command", timed=False))}
        except (ScenarioError, ValueError) as error:
            return _refused(str(error))

    async def _happen(self, event: Event) -> dict[str, Any]:
        """Do what an event of a scenario does, and report it beside what clients do."""
        done = await self._player.perform(event)
        self._gateway.broadcast.tell(f"control port: {event_text(event)}")
        return done

    def _status(self) -> dict[str, Any]:
        book = self._gateway.book
        return {
            "port": self._gateway.port,
            "clients": list(self._gateway.clients),
            "accounts": list(book.accounts),
            "open_orders": len(book.open_orders()),
            "executions": len(book.executions),
        }

    def _learn(self, table: dict[str, Any]) -> dict[str, Any]:
        values = {key: value for key, value in table.items() if key not in ("do", "name")}
        name = table.get("name")
        if not isinstance(name, str) or not name:
            raise ScenarioError("command (contract): name is missing; later commands use it")
        if values.get("kind") == "bag":
            raise ScenarioError("command (contract): kind: only a scenario file can make a combo")
        contract = self._player.learn(name, contract_of(values, "command (contract)"))
        return {"con_id": contract.con_id, "expiry": contract.expiry}

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._writers) >= MAX_CONNECTIONS:
            writer.close()
            return
        task = asyncio.current_task()
        assert task is not None, "a stream server runs its callback in a task"
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            while line := await reader.readline():
                table = command_of(line.decode("utf-8", "replace").strip())
                writer.write(_encoded(await self.perform(table)))
                await writer.drain()
        except NotACommand as error:
            writer.write(_encoded(_refused(f"{error}; the connection is closed")))
        except ConnectionError as error:
            _log.info("paper gateway: a control connection went away: %s", error)
        except ValueError:
            writer.write(_encoded(_refused(f"the line is longer than {MAX_LINE_BYTES} bytes")))
        finally:
            writer.close()
            self._writers.discard(writer)
            self._tasks.discard(task)


def command_of(line: str) -> dict[str, Any]:
    """Return the table that a line means; NotACommand where it is no command."""
    table: Any = {"do": line}
    words = line.split()
    if len(words) == 3 and words[0] == "price":
        table = {"do": "price", "contract": words[1], "price": words[2]}
    if line.startswith("{"):
        try:
            table = json.loads(line, parse_float=Decimal)
        except (ValueError, RecursionError) as error:
            raise NotACommand(f"the line is not JSON: {error}") from None
    do = table.get("do")
    if not isinstance(do, str) or do not in COMMANDS:
        shown = str(do)[:40]
        raise NotACommand(f"do: {shown!r} is not a command; use one of: {', '.join(COMMANDS)}")
    return dict(table)


def _usage() -> dict[str, str]:
    """Return each command and its keys; optional keys are in brackets."""
    usage = {
        "help": "this list; a command without keys can be a bare word, and `price CONTRACT PRICE` is one too",
        "status": "clients, accounts, and how many orders and executions there are",
        "orders": "the orders that work",
        "book": "contracts, executions, fees, positions and how they changed",
        "contract": "name kind, and the keys of its kind: gives an instrument a name for other commands",
    }
    return usage | {do: " ".join(_keys(table)) for do, table in EVENTS.items()}


def _keys(table: type[Table]) -> list[str]:
    named = [(info.alias or name, info.is_required()) for name, info in table.model_fields.items()]
    return [name if needed else f"[{name}]" for name, needed in named]


def _refused(message: str) -> dict[str, Any]:
    return {"ok": False, "error": {"code": "bad_command", "message": message}}


def _encoded(answer: dict[str, Any]) -> bytes:
    return json.dumps(answer).encode() + b"\n"


def _shown(order: PaperOrder) -> dict[str, Any]:
    contract = order.contract
    return {
        "perm_id": order.perm_id,
        "client_id": order.client_id,
        "order_id": order.order_id,
        "account": order.account,
        "contract": contract.local_symbol or contract.symbol,
        "action": order.action,
        "type": order.order_type,
        "limit": None if order.limit is None else formats.double(order.limit),
        "quantity": formats.plain(order.quantity),
        "filled": formats.plain(order.filled),
        "status": order.status,
    }
