"""Carrying out the events of a scenario and the commands of the control socket.

Owns the names that events give to orders and executions, and the player that keeps the time. It receives
parsed events and acts on a gateway; it parses nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any, Final

from tracker.paper import formats, position_events
from tracker.paper.contracts import PaperContract, bag, future, option, stock
from tracker.paper.model import PaperExecution, PaperOrder, PaperPosition
from tracker.paper.scenario import Event, Scenario, ScenarioError
from tracker.paper.scenario_text import event_text
from tracker.paper.server import PaperGateway

Answer = dict[str, str | int]
MAKERS: Final[dict[str, Callable[..., PaperContract]]] = {"stock": stock, "option": option, "future": future}


class ScenarioPlayer:
    """Hold a gateway and the names of what was made on it."""

    def __init__(
        self, gateway: PaperGateway, now: Callable[[], datetime], scenario: Scenario | None = None
    ) -> None:
        """Make a scenario's contracts and opening positions; `now` is for expiries such as `today+3`."""
        self._gateway = gateway
        self._book = gateway.book
        self._now = now
        self._orders: dict[str, PaperOrder] = {}
        self._executions: dict[str, PaperExecution] = {}
        self._contracts: dict[str, PaperContract] = {}
        if scenario is not None:
            for name, values in scenario.contracts.items():
                self.learn(name, values, scenario.legs.get(name, ()))
            for values in scenario.positions:
                self._position({**values, "push": False})
            # Opening positions are no adjustments.
            gateway.book.adjustments.clear()

    @property
    def contracts(self) -> Mapping[str, PaperContract]:
        """The instruments by the names that events give them."""
        return self._contracts

    def learn(
        self, name: str, values: Mapping[str, Any], legs: Iterable[tuple[str, int, str]] = ()
    ) -> PaperContract:
        """Make an instrument that events can name; `legs` are a combo's (name, ratio, action)."""
        made = self._contract(values, legs, self._now().astimezone(self._gateway.book.zone))
        self._contracts[name] = self._gateway.book.learn(made)
        return made

    async def perform(self, event: Event) -> Answer:
        """Carry out one event; return what was made. ScenarioError where the book does not allow it."""
        if event.do == "restart":
            await self._restart(event.values)
            return {}
        return self.perform_at_once(event)

    def perform_at_once(self, event: Event) -> Answer:
        """Carry out one event that takes no time, which is any but a restart."""
        try:
            return _DO[event.do](self, dict(event.values))
        except ValueError as error:
            raise ScenarioError(f"{event.where}: {error}") from error

    def find_order(self, reference: str | int | None) -> PaperOrder:
        """Return an order by name or permId, for None the oldest that works; ValueError for none."""
        book = self._gateway.book
        if reference is None:
            for order in book.open_orders():
                return order
            raise ValueError("there is no working order")
        found = self._orders.get(reference) if isinstance(reference, str) else None
        if found is None and str(reference).isdecimal():
            found = book.orders.get(int(str(reference)))
        if found is None:
            raise ValueError(f"there is no order {reference!r}")
        return found

    def find_execution(self, reference: str | int) -> PaperExecution:
        """Return an execution by its name or execId; ValueError for none."""
        name = str(reference)
        found = self._executions.get(name) or self._gateway.book.executions.get(name)
        if found is None:
            raise ValueError(f"there is no execution {reference!r}")
        return found

    def _contract(
        self, values: Mapping[str, Any], legs: Iterable[tuple[str, int, str]], today: datetime
    ) -> PaperContract:
        given: dict[str, Any] = dict(values)
        kind = given.pop("kind")
        if kind == "bag":
            return bag(
                given["symbol"], *((self._contracts[leg], ratio, action) for leg, ratio, action in legs)
            )
        if "expiry" in given:
            given["expiry"] = expiry_of(given["expiry"], today)
        return MAKERS[kind](**given)

    def _order(self, values: dict[str, Any]) -> Answer:
        name = values.pop("name", "")
        contract = self._named_contract(values.pop("contract"))
        side, quantity = values.pop("side"), values.pop("quantity")
        order = self._gateway.order(
            contract, side, quantity, values.pop("type", "LMT"), values.pop("limit", None), **values
        )
        if name:
            self._orders[name] = order
        return {"perm_id": order.perm_id, "order_id": order.order_id}

    def _fill(self, values: dict[str, Any]) -> Answer:
        name = values.pop("name", "")
        order = self.find_order(values.pop("order", None))
        execution = self._gateway.fill(order, **_fee_arguments(values))
        return self._remember(name, execution)

    def _execute(self, values: dict[str, Any]) -> Answer:
        name = values.pop("name", "")
        contract = self._named_contract(values.pop("contract"))
        side, quantity, price = (values.pop(key) for key in ("side", "quantity", "price"))
        return self._remember(
            name, self._gateway.execute(contract, side, quantity, price, **_fee_arguments(values))
        )

    def _correct(self, values: dict[str, Any]) -> Answer:
        name = values.pop("name", "")
        execution = self.find_execution(values.pop("execution"))
        return self._remember(name, self._gateway.correct(execution, **values))

    def _repeat(self, values: dict[str, Any]) -> Answer:
        execution = self.find_execution(values["execution"])
        for _ in range(values.get("times", 1)):
            self._gateway.repeat(execution, values.get("to"))
        return {"exec_id": execution.exec_id}

    def _fee(self, values: dict[str, Any]) -> Answer:
        execution = self.find_execution(values.pop("execution"))
        fee = self._gateway.fee(execution, **values)
        return {"exec_id": fee.exec_id, "commission": str(fee.commission)}

    def _change(self, values: dict[str, Any]) -> Answer:
        order = self.find_order(values.pop("order"))
        self._gateway.change(order, **values)
        return {"perm_id": order.perm_id}

    def _cancel(self, values: dict[str, Any]) -> Answer:
        order = self.find_order(values.pop("order"))
        self._gateway.cancel(order, **values)
        return {"perm_id": order.perm_id}

    def _position(self, values: dict[str, Any]) -> Answer:
        contract = self._named_contract(values["contract"])
        account = values.get("account") or self._gateway.book.accounts[0]
        if account not in self._gateway.book.accounts:
            raise ValueError(f"{account} is not one of the accounts {', '.join(self._gateway.book.accounts)}")
        push = values.get("push", True)
        self._gateway.set_position(account, contract, values["quantity"], values.get("cost", 0), push=push)
        return {"con_id": contract.con_id}

    def _split(self, values: dict[str, Any]) -> Answer:
        contract = self._named_contract(values["contract"])
        new, old = values["new"], values.get("old", Decimal(1))
        return self._adjusted(values, position_events.split(self._book, contract, new, old, self._now()))

    def _merge(self, values: dict[str, Any]) -> Answer:
        contract, into = (self._named_contract(values[key]) for key in ("contract", "into"))
        new, old = values["new"], values.get("old", Decimal(1))
        changed = position_events.merge(self._book, contract, into, new, old, self._now())
        return self._adjusted(values, changed)

    def _transfer(self, values: dict[str, Any]) -> Answer:
        contract = self._named_contract(values["contract"])
        source, target = values.get("from_account", ""), values.get("to_account", "")
        changed = position_events.transfer(
            self._book, contract, values["quantity"], source, target, self._now()
        )
        return self._adjusted(values, changed)

    def _assign(self, values: dict[str, Any]) -> Answer:
        contract, stock = (self._named_contract(values[key]) for key in ("contract", "stock"))
        account = values.get("account") or self._book.accounts[0]
        changed = position_events.assign(
            self._book, contract, stock, values["quantity"], account, self._now()
        )
        return self._adjusted(values, changed)

    def _expire(self, values: dict[str, Any]) -> Answer:
        contract = self._named_contract(values["contract"])
        return self._adjusted(values, position_events.expire(self._book, contract, self._now()))

    def _renumber(self, values: dict[str, Any]) -> Answer:
        changed = position_events.renumber(self._book, values["account"], values["into"], self._now())
        return self._adjusted(values, changed)

    def _adjusted(self, values: dict[str, Any], changed: list[PaperPosition]) -> Answer:
        """Push the positions that an event changed; return how many."""
        if values.get("push", True):
            self._gateway.engine.push_positions(changed)
        return {"changed": len(changed)}

    def _price(self, values: dict[str, Any]) -> Answer:
        contract = self._named_contract(values["contract"])
        if contract.sec_type == "BAG":
            raise ValueError("a combo has no price of its own; its orders fill by the policy or by hand")
        self._gateway.engine.set_price(contract, values["price"])
        return {"con_id": contract.con_id}

    def _notice(self, values: dict[str, Any]) -> Answer:
        self._gateway.notice(values["code"], values.get("text"), to=values.get("to"))
        return {}

    def _drop(self, values: dict[str, Any]) -> Answer:
        self._gateway.drop_connections(values.get("to"))
        return {}

    def _fault(self, values: dict[str, Any]) -> Answer:
        if "late_positions" in values:
            broadcast = self._gateway.broadcast
            (broadcast.hold_positions if values.pop("late_positions") else broadcast.release_positions)()
        if "missing_positions" in values:
            missing = {self._named_contract(name).con_id for name in values.pop("missing_positions")}
            self._gateway.faults.missing_positions = missing
        for name, value in values.items():
            wanted = {"ignored_requests": set, "late_fee_seconds": float}.get(name)
            setattr(self._gateway.faults, name, value if wanted is None else wanted(value))
        return {}

    def _raw(self, values: dict[str, Any]) -> Answer:
        self._gateway.push_raw(*values["fields"], to=values.get("to"))
        return {}

    def _garbage(self, values: dict[str, Any]) -> Answer:
        self._gateway.push_bytes(bytes.fromhex(values["hex"]), to=values.get("to"))
        return {}

    async def _restart(self, values: Mapping[str, Any]) -> None:
        await self._gateway.stop()
        if values.get("reuse_order_ids"):
            self._gateway.book.restart_order_ids()
        await asyncio.sleep(float(str(values.get("down_seconds", 0))))
        await self._gateway.start()

    def _named_contract(self, name: str) -> PaperContract:
        if name not in self._contracts:
            raise ValueError(f"there is no contract {name!r}")
        return self._contracts[name]

    def _remember(self, name: str, execution: PaperExecution) -> Answer:
        if name:
            self._executions[name] = execution
        return {"exec_id": execution.exec_id, "quantity": formats.plain(execution.quantity)}


_DO: Final[dict[str, Callable[[ScenarioPlayer, dict[str, Any]], Answer]]] = {
    "order": ScenarioPlayer._order,
    "fill": ScenarioPlayer._fill,
    "execute": ScenarioPlayer._execute,
    "correct": ScenarioPlayer._correct,
    "repeat": ScenarioPlayer._repeat,
    "fee": ScenarioPlayer._fee,
    "change": ScenarioPlayer._change,
    "cancel": ScenarioPlayer._cancel,
    "position": ScenarioPlayer._position,
    "split": ScenarioPlayer._split,
    "merge": ScenarioPlayer._merge,
    "transfer": ScenarioPlayer._transfer,
    "assign": ScenarioPlayer._assign,
    "expire": ScenarioPlayer._expire,
    "renumber": ScenarioPlayer._renumber,
    "price": ScenarioPlayer._price,
    "notice": ScenarioPlayer._notice,
    "drop": ScenarioPlayer._drop,
    "fault": ScenarioPlayer._fault,
    "raw": ScenarioPlayer._raw,
    "garbage": ScenarioPlayer._garbage,
}


async def play(
    scenario: Scenario,
    gateway: PaperGateway,
    player: ScenarioPlayer,
    tell: Callable[[str], None],
    speed: float = 1.0,
) -> None:
    """Play a scenario, `speed` times as fast; ScenarioError where an event cannot be carried out."""
    loop = asyncio.get_running_loop()
    if scenario.begins_with_client:
        await gateway.broadcast.arrived.wait()
    begin = loop.time()
    for (at, packet), events in groupby(scenario.events, key=lambda event: (event.at, event.packet)):
        await asyncio.sleep(max(begin + float(at) / speed - loop.time(), 0))
        if packet:
            with gateway.one_packet():
                for event in events:
                    tell(f"{at} s: {event_text(event)}")
                    player.perform_at_once(event)
            continue
        for event in events:
            tell(f"{at} s: {event_text(event)}")
            await player.perform(event)
    tell("the scenario is over")


def expiry_of(written: str, today: datetime) -> str:
    """Return YYYYMMDD for `today`, `today+N` or a day as it is."""
    start, _, days = written.partition("+")
    return f"{today + timedelta(days=int(days or 0)):%Y%m%d}" if start == "today" else written


def _fee_arguments(values: dict[str, Any]) -> dict[str, Any]:
    """Turn the keys of an execution into those of the gateway's methods."""
    fee: bool | Decimal = values.pop("fee", True)
    commission = values.pop("commission", None)
    time_text = values.pop("time_text", None)
    return {**values, "fee": fee if commission is None else commission, "time": time_text}
