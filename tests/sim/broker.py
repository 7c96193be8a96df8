"""The broker: the truth of a simulated life, which no fault touches.

Owns contracts, orders, executions with their corrections, fees and positions. It tells each thing that
happens as an `Event`; what of it reaches the tracker, and when, is the gateway's business.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from random import Random
from typing import Final

from tests.sim.clock import NEW_YORK, SimClock
from tests.sim.options import CLIENT, OTHER_CLIENTS, Options
from tracker.paper import encode_messages, encode_orders, formats
from tracker.paper.contracts import PaperContract, bag, option, stock
from tracker.paper.framing import Fields
from tracker.paper.model import Fee, PaperExecution, PaperOrder, PaperPosition

VERSION: Final = 176
SYMBOLS: Final = (("NVDA", Decimal("122.5")), ("TSLA", Decimal(400)), ("SPX", Decimal(6600)))
ODD_SYMBOLS: Final = (("BRK B", Decimal(500)), ("RUT", Decimal(2400)))
"""A ticker of two parts, and one whose options are AM-settled."""
CLASSES: Final = {"SPX": "SPXW", "BRK B": "BRKB"}
"""The trading class where it is not the symbol."""
ADJUSTED_MULTIPLIER: Final = "33"
EXPIRIES: Final = ("20251121", "20251219")
ACCOUNTS: Final = ("DU1234567", "DU9000001", "DU9000002")
MANUAL: Final = -1
"""Stands for TWS itself among the clients that order; the wire says client 0 and orderId 0."""

AccountContract = tuple[str, int]
"""(account, conId)."""


@dataclass(frozen=True, slots=True)
class Event:
    """Tell one thing that happened: the messages of it, in the order in which TWS sends them."""

    frames: tuple[Fields, ...] = ()
    execution: PaperExecution | None = None
    fee: Fee | None = None
    position: tuple[AccountContract, Decimal] | None = None
    foreign: bool = False
    """Of another client or of TWS itself."""


@dataclass(slots=True, eq=False)
class SimOrder:
    """Hold an order with what the broker alone knows of it."""

    paper: PaperOrder
    perm_id: int
    """The permId it gets sooner or later; 0 for one that never gets any."""
    executions: list[str] = field(default_factory=list)

    @property
    def foreign(self) -> bool:
        return self.paper.manual or self.paper.client_id != CLIENT

    @property
    def rests(self) -> bool:
        """Whether it does not work and may again."""
        return self.paper.status == "Inactive"

    @property
    def live(self) -> bool:
        return not self.paper.done and self.paper.remaining > 0


def described(made: PaperExecution) -> str:
    """Return an execution as a line of the trace says it."""
    order = f"{made.exec_id} perm {made.perm_id} client {made.client_id} {made.order_ref}"
    return f"{made.side} {made.quantity} {made.contract.local_symbol} at {made.price} {made.account} {order}"


class SimBroker:
    """Trade at random and keep the books."""

    def __init__(self, rng: Random, clock: SimClock, options: Options) -> None:
        self._rng = rng
        self._clock = clock
        self._options = options
        self.accounts = ACCOUNTS[: options.accounts]
        self.contracts = _contracts(options)
        self.orders: list[SimOrder] = []
        self.executions: dict[str, PaperExecution] = {}
        """execId -> every version ever reported, in the order of their making."""
        self.texts: dict[str, str] = {}
        """execId -> the time as it is written on the wire."""
        self.fees: dict[str, Fee] = {}
        self.base: dict[AccountContract, Decimal] = {}
        """What was held before the day began."""
        self.positions: dict[AccountContract, Decimal] = {}
        self.changed: set[AccountContract] = set()
        """What ever changed without an execution."""
        self.due_fees: list[tuple[str, bool]] = []
        self._latest: dict[str, str] = {}
        """execId without its version -> the version in force."""
        self._order_ids: dict[int, int] = {}
        self._perm_ids = 188_000
        self._exec_ids = 0x6596B000
        for account in self.accounts:
            for contract in self.contracts:
                if rng.random() < 0.3:
                    quantity = Decimal(rng.choice((-3, 2, 5, 8)))
                    self.base[account, contract.con_id] = quantity
        self.positions.update(self.base)

    # What happens

    def order(
        self, contract: PaperContract, order_ref: str, closing: tuple[str, Decimal] | None = None
    ) -> list[Event]:
        """Take a new order from somebody; `closing` is an account and what it holds, to be closed."""
        rng = self._rng
        account = rng.choice(self.accounts)
        client = rng.choice((CLIENT, *OTHER_CLIENTS, MANUAL))
        action, quantity = self._action(account, contract), self._quantity(contract)
        if closing is not None:
            account, held = closing
            action, quantity = "SELL" if held > 0 else "BUY", abs(held)
        paper = PaperOrder(
            client_id=max(client, CLIENT),
            account=account,
            contract=contract,
            action=action,
            quantity=quantity,
            order_id=0 if client == MANUAL else self._next_order_id(client),
            order_ref=order_ref,
            manual=client == MANUAL,
        )
        never = client != MANUAL and rng.random() < self._options.no_perm_ids
        self._perm_ids += rng.randint(1, 9)
        order = SimOrder(paper, 0 if never else self._perm_ids)
        if rng.random() >= self._options.late_perm_ids:
            paper.perm_id = order.perm_id
        self.orders.append(order)
        return [Event((self._open_order(order), encode_messages.order_status(paper)), foreign=order.foreign)]

    def fill(self, order: SimOrder) -> list[Event]:
        """Fill part of an order, or the rest of it."""
        rng, paper = self._rng, order.paper
        paper.perm_id = order.perm_id
        quantity = paper.remaining if rng.random() < 0.4 else self._part(paper)
        price = self._price(paper.contract)
        made = self._executions_of(order, quantity, price)
        paper.filled += quantity
        paper.cost += quantity * price
        paper.last_price = price
        if not paper.remaining:
            paper.status = "Filled"
        events = [self._executed(order, execution) for execution in made]
        tail = [encode_messages.order_status(paper)]
        if rng.random() < 0.5:
            tail.insert(0, self._open_order(order))
        return [*events, Event(tuple(tail), foreign=order.foreign)]

    def correct(self) -> list[Event]:
        """Correct an earlier execution: other price or quantity, next version of its execId."""
        rng = self._rng
        candidates = [
            execution
            for exec_id in self._latest.values()
            if exec_id.count(".") == 3
            and (execution := self.executions[exec_id]).contract.sec_type != "BAG"
            # What is of another day is in no sweep; a correction that is not pushed would never be known.
            and execution.time.astimezone(NEW_YORK).date() == self._clock.now().astimezone(NEW_YORK).date()
        ]
        if not candidates:
            return []
        was = rng.choice(candidates)
        order = next(order for order in self.orders if was.exec_id in order.executions)
        root, _, version = was.exec_id.rpartition(".")
        quantity = was.quantity
        if rng.random() < 0.5 and not order.paper.contract.legs:
            most = was.quantity + order.paper.remaining
            sizes = (Decimal(0), Decimal(1), was.quantity + 1, most)
            quantity = rng.choice([size for size in sizes if size <= most])
        now = replace(
            was,
            exec_id=f"{root}.{int(version) + 1:02d}",
            quantity=quantity,
            price=self._price(was.contract) if rng.random() < 0.7 else was.price,
        )
        if not order.paper.contract.legs:
            order.paper.filled += now.quantity - was.quantity
            if not order.paper.remaining:
                order.paper.status = "Filled"
        self.texts[now.exec_id] = self.texts[was.exec_id]
        self._move(was, -was.signed)
        return [self._executed(order, now)]

    def cancel(self, order: SimOrder) -> list[Event]:
        """Cancel the rest of an order."""
        order.paper.perm_id = order.perm_id
        order.paper.status = "Cancelled"
        return [Event((encode_messages.order_status(order.paper),), foreign=order.foreign)]

    def rest(self, order: SimOrder) -> list[Event]:
        """Have an order rest that may work again."""
        return self._now_is(order, "Inactive")

    def revive(self, order: SimOrder) -> list[Event]:
        """Have an order work again that rested."""
        return self._now_is(order, "Submitted")

    def _now_is(self, order: SimOrder, status: str) -> list[Event]:
        order.paper.perm_id = order.perm_id
        order.paper.status = status
        return [
            Event((self._open_order(order), encode_messages.order_status(order.paper)), foreign=order.foreign)
        ]

    def retell(self, order: SimOrder) -> list[Event]:
        """Repeat an order's status, as TWS freely does."""
        order.paper.perm_id = order.perm_id
        frames = (self._open_order(order), encode_messages.order_status(order.paper))
        return [Event(frames[self._rng.randint(0, 1) :], foreign=order.foreign)]

    def report_fee(self) -> list[Event]:
        """Report a fee that was due."""
        if not self.due_fees:
            return []
        exec_id, foreign = self.due_fees.pop(self._rng.randrange(len(self.due_fees)))
        return [self._fee(exec_id, foreign)]

    def hold(self, key: AccountContract, quantity: Decimal) -> Event:
        """Hold another quantity, which no execution brings."""
        self.changed.add(key)
        self.positions[key] = quantity
        return Event(position=(key, quantity))

    def restart_order_ids(self) -> None:
        """Have every client count its orders from 1 again, as after a Gateway restart."""
        self._order_ids.clear()

    # What is asked

    def open_order_frames(self) -> list[Fields]:
        """Return what works at the broker, of all clients."""
        frames: list[Fields] = []
        for order in self.orders:
            if order.live:
                order.paper.perm_id = order.perm_id
                frames += (self._open_order(order), encode_messages.order_status(order.paper))
        return frames

    def completed_order_frames(self) -> list[Fields]:
        """Return what ended for good."""
        return [
            encode_orders.completed_order(order.paper, "20251118 10:00:00 US/Eastern", VERSION)
            for order in self.orders
            if not order.live and not order.rests and order.perm_id
        ]

    def contract(self, con_id: int) -> PaperContract:
        """Return a contract by its conId."""
        return next(contract for contract in self.contracts if contract.con_id == con_id)

    def adjusted(self, contract: PaperContract) -> PaperContract | None:
        """Return what a corporate action made of an option like this one, where there is that."""
        alike = (contract.symbol, contract.right, contract.strike, contract.expiry)
        return next(
            (
                one
                for one in self.contracts
                if one.multiplier == ADJUSTED_MULTIPLIER
                and (one.symbol, one.right, one.strike, one.expiry) == alike
            ),
            None,
        )

    def latest(self, exec_id: str) -> str:
        """Return the execId that is in force instead of this one."""
        return self._latest[self._root(exec_id)]

    def execution_frame(self, execution: PaperExecution, request_id: int) -> Fields:
        """Return an execution as a push (-1) or as part of an answer."""
        return encode_messages.execution_details(
            execution, request_id, self.texts[execution.exec_id], VERSION
        )

    def position_frame(self, key: AccountContract, quantity: Decimal) -> Fields:
        """Return one position."""
        account, con_id = key
        return encode_messages.position(PaperPosition(account, self.contract(con_id), quantity))

    # How it is done

    def _executions_of(self, order: SimOrder, quantity: Decimal, price: Decimal) -> list[PaperExecution]:
        paper = order.paper
        self._exec_ids += 1
        head = f"0000e0d5.{self._exec_ids:08x}"
        at = self._clock.now().replace(microsecond=0)
        text = self._time_text()
        whole = PaperExecution(
            exec_id=f"{head}.01.01",
            perm_id=order.perm_id,
            order_id=paper.order_id,
            client_id=paper.client_id,
            account=paper.account,
            contract=paper.contract,
            side="BOT" if paper.buys else "SLD",
            quantity=quantity,
            price=price,
            time=at,
            exchange="CBOE",
            cum_qty=paper.filled + quantity,
            avg_price=price,
            order_ref=paper.order_ref,
        )
        made = [whole]
        for number, leg in enumerate(paper.contract.legs, start=1):
            tail = f".01.01.{number:02d}" if self._options.five_segments else f".{number + 1:02d}.01"
            buys = paper.buys == (leg.action == "BUY")
            size = quantity * leg.ratio
            made.append(
                replace(
                    whole,
                    exec_id=head + tail,
                    contract=paper.contract.leg_contracts[number - 1],
                    side="BOT" if buys else "SLD",
                    quantity=size,
                    cum_qty=paper.filled * leg.ratio + size,
                    price=self._price(paper.contract.leg_contracts[number - 1]),
                )
            )
        for execution in made:
            self.texts[execution.exec_id] = text
        return made

    def _executed(self, order: SimOrder, execution: PaperExecution) -> Event:
        """Book an execution and tell it, with its fee if that is known at once."""
        order.executions.append(execution.exec_id)
        self.executions[execution.exec_id] = execution
        self._latest[self._root(execution.exec_id)] = execution.exec_id
        position = None
        frames = [self.execution_frame(execution, encode_messages.LIVE)]
        fee = None
        if execution.contract.sec_type != "BAG":
            position = self._move(execution, execution.signed)
            if self._rng.random() >= self._options.no_fees:
                if self._rng.random() < self._options.late_fees:
                    self.due_fees.append((execution.exec_id, order.foreign))
                else:
                    told = self._fee(execution.exec_id, order.foreign)
                    frames, fee = [*frames, *told.frames], told.fee
        return Event(tuple(frames), execution, fee, position, foreign=order.foreign)

    def _move(self, execution: PaperExecution, signed: Decimal) -> tuple[AccountContract, Decimal]:
        key = (execution.account, execution.contract.con_id)
        self.positions[key] = self.positions.get(key, Decimal(0)) + signed
        return key, self.positions[key]

    def _fee(self, exec_id: str, foreign: bool) -> Event:
        rng = self._rng
        if exec_id not in self.fees and rng.random() < 0.2:
            # "Not known yet" comes first, and the fee is due still.
            self.due_fees.append((exec_id, foreign))
            pending = Fee(exec_id, Decimal(-1), "USD")
            return Event((encode_messages.commission_report(pending),), fee=pending, foreign=foreign)
        realized = Decimal(rng.randint(-500, 500)) / 10 if rng.random() < 0.5 else None
        self.fees[exec_id] = Fee(exec_id, Decimal(rng.randint(10, 300)) / 100, "USD", realized)
        frames = (encode_messages.commission_report(self.fees[exec_id]),)
        return Event(frames, fee=self.fees[exec_id], foreign=foreign)

    def _open_order(self, order: SimOrder) -> Fields:
        return encode_orders.open_order(order.paper, VERSION)

    @staticmethod
    def _root(exec_id: str) -> str:
        return exec_id if exec_id.count(".") != 3 else exec_id.rpartition(".")[0]

    def _next_order_id(self, client: int) -> int:
        self._order_ids[client] = self._order_ids.get(client, 0) + 1
        if self._options.reused_order_ids and self._rng.random() < 0.1:
            # One modify sent in an outage leaves two live orders with one orderId and two permIds.
            self._order_ids[client] = max(self._order_ids[client] - 1, 1)
        return self._order_ids[client]

    def _action(self, account: str, contract: PaperContract) -> str:
        held = self.positions.get((account, contract.con_id), Decimal(0))
        if held and self._rng.random() < 0.55:
            return "SELL" if held > 0 else "BUY"
        return "SELL" if self._options.shorts and self._rng.random() < 0.3 else "BUY"

    def _quantity(self, contract: PaperContract) -> Decimal:
        whole = Decimal(self._rng.randint(1, 10))
        if self._options.fractional and contract.sec_type == "STK":
            return whole + Decimal(self._rng.randint(1, 9999)) / 10000
        return whole

    def _part(self, paper: PaperOrder) -> Decimal:
        whole = int(paper.remaining)
        return Decimal(self._rng.randint(1, whole)) if whole else paper.remaining

    def _price(self, contract: PaperContract) -> Decimal:
        return Decimal(self._rng.randint(50, 900)) / 100

    def _time_text(self) -> str:
        moment = self._clock.now()
        if self._rng.random() < self._options.strange_times:
            return f"{moment.astimezone(NEW_YORK):%Y%m%d %H:%M:%S} Olympus Mons Time"
        return formats.execution_time(moment, self._options.time_form, NEW_YORK, VERSION)


def _contracts(options: Options) -> list[PaperContract]:
    """Return the stock and some options of each symbol, and a vertical spread if combos are traded."""
    made: list[PaperContract] = []
    symbols = (*SYMBOLS[: options.symbols], *(ODD_SYMBOLS if options.odd_contracts else ()))
    for number, (symbol, strike) in enumerate(symbols):
        first = 700_000_000 + number * 1000
        made.append(stock(symbol, first))
        options_of = [
            option(symbol, expiry, right, strike + step, first + 1 + place, CLASSES.get(symbol, ""))
            for place, (expiry, right, step) in enumerate(
                [
                    (EXPIRIES[0], "C", Decimal(0)),
                    (EXPIRIES[0], "P", Decimal(0)),
                    (EXPIRIES[1], "C", Decimal(0)),
                    (EXPIRIES[0], "C", Decimal(10)),
                ]
            )
        ]
        if options.odd_contracts:
            options_of = [_odd(contract, place) for place, contract in enumerate(options_of)]
            options_of.append(_adjusted(options_of[0], first + 5))
        made += options_of
        if options.combos:
            made.append(bag(symbol, (options_of[0], 1, "BUY"), (options_of[3], 1, "SELL")))
    return made


def _odd(contract: PaperContract, place: int) -> PaperContract:
    """Write a contract's last trade date as AM-settled options and logins in Asia do."""
    if contract.symbol == "RUT":
        # AM-settled: it trades last on the day before the one that people mean.
        return replace(contract, expiry=str(int(contract.expiry) - 1))
    if contract.symbol == "TSLA" and place % 2:
        return replace(contract, expiry=f"{int(contract.expiry) + 1} 05:00:00 Asia/Shanghai")
    return contract


def _adjusted(contract: PaperContract, con_id: int) -> PaperContract:
    """Return what a corporate action made of an option: another deliverable, all else alike."""
    name = f"{contract.symbol}1"
    local = f"{name:<6}{contract.local_symbol[6:]}"
    multiplier = ADJUSTED_MULTIPLIER
    return replace(contract, con_id=con_id, trading_class=name, local_symbol=local, multiplier=multiplier)


def meant_day(contract: PaperContract) -> str:
    """Return the day of expiry that people mean, YYYYMMDD: the one in the local symbol."""
    return "20" + contract.local_symbol[6:12]
