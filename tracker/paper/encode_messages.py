"""The messages a gateway sends, in the layouts of server versions 157 to 178.

Owns the place of each field, by the version agreed with the client; the two order messages are in
`encode_orders`. It changes nothing: an object of the book goes in, a tuple of texts comes out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_EVEN, Decimal

from tracker.paper import formats, triggers
from tracker.paper.contracts import PaperContract
from tracker.paper.framing import Fields
from tracker.paper.model import Fee, PaperExecution, PaperOrder, PaperPosition

LIVE = -1
"""The request id of an execution that answers no request."""


def contract_fields(contract: PaperContract, strike: str, right: str, exchange: str) -> Fields:
    """Return the eleven fields from conId to tradingClass; strike, right and exchange differ by message."""
    return (
        str(contract.con_id),
        contract.symbol,
        contract.sec_type,
        contract.expiry,
        strike,
        right,
        contract.multiplier,
        exchange,
        contract.currency,
        contract.local_symbol,
        contract.trading_class,
    )


def strike_double(contract: PaperContract) -> str:
    """Return the strike as executions and positions write it, `0.0` where there is none."""
    return "0.0" if contract.strike is None else formats.double(contract.strike)


def order_status(order: PaperOrder) -> Fields:
    """Return message 3."""
    return (
        "3",
        str(order.order_id),
        order.status,
        formats.plain(order.filled),
        formats.plain(order.remaining),
        formats.price(order.average_price),
        str(order.perm_id),
        str(order.parent_id),
        formats.price(order.last_price),
        str(order.client_id),
        triggers.why_held(order),
        "0",
    )


def execution_details(execution: PaperExecution, request_id: int, time_text: str, version: int) -> Fields:
    """Return message 11; `request_id` is LIVE for a push. Below 163 sizes are rounded to whole ones."""
    quantity = execution.quantity
    if version < 163:
        quantity = quantity.quantize(Decimal(1), ROUND_HALF_EVEN)
    contract = execution.contract
    fields = (
        "11",
        str(request_id),
        str(execution.order_id),
        *contract_fields(contract, strike_double(contract), contract.right, execution.exchange),
        execution.exec_id,
        time_text,
        execution.account,
        execution.exchange,
        execution.side,
        formats.plain(quantity),
        formats.price(execution.price),
        str(execution.perm_id),
        str(execution.client_id),
        "0",
        formats.plain(execution.cum_qty),
        formats.price(execution.avg_price),
        execution.order_ref,
        "",
        "",
        "",
        execution.liquidity,
    )
    return (*fields, "0") if version >= 178 else fields


def executions_end(request_id: int) -> Fields:
    """Return message 55."""
    return ("55", "1", str(request_id))


def commission_report(fee: Fee) -> Fields:
    """Return message 59."""
    realized = formats.UNSET_DOUBLE if fee.realized_pnl is None else formats.plain(fee.realized_pnl)
    commission = formats.double(fee.commission)
    return ("59", "1", fee.exec_id, commission, fee.currency, realized, formats.UNSET_DOUBLE, "")


def position(held: PaperPosition) -> Fields:
    """Return message 61."""
    contract = held.contract
    where = contract.primary_exchange if contract.sec_type == "STK" else ""
    return (
        "61",
        "3",
        held.account,
        *contract_fields(contract, strike_double(contract), contract.right, where),
        formats.plain(held.quantity),
        cost_text(held.average_cost),
    )


def position_multi(held: PaperPosition, request_id: int) -> Fields:
    """Return message 71, which has the account after the request id and the model code after the cost."""
    _, _, account, *rest = position(held)
    con_id, symbol, sec_type, expiry, strike, right, multiplier, exchange, *tail = rest
    currency, local_symbol, trading_class, quantity, cost = tail
    head = ("71", "1", str(request_id), account, con_id, symbol, sec_type, expiry, strike, right, multiplier)
    return (*head, exchange, currency, local_symbol, trading_class, quantity, cost, "")


def cost_text(cost: Decimal) -> str:
    """Return an average cost with at most eight digits after the point."""
    return formats.plain(cost.quantize(Decimal("1e-8")))


def portfolio_value(held: PaperPosition, mark: Decimal) -> Fields:
    """Return message 7, valued at `mark`."""
    contract = held.contract
    value = held.quantity * mark * contract.factor
    unrealized = value - held.quantity * held.average_cost
    return (
        "7",
        "8",
        *contract_fields(
            contract,
            strike_double(contract),
            contract.right or "0",
            contract.primary_exchange or contract.exchange,
        ),
        formats.plain(held.quantity),
        formats.double(mark),
        f"{value:.2f}",
        cost_text(held.average_cost),
        f"{unrealized:.2f}",
        f"{held.realized:.2f}",
        held.account,
    )


def account_value(account: str, tag: str, value: str, currency: str) -> Fields:
    """Return message 6."""
    return ("6", "2", tag, value, currency, account)


def account_update_time(text: str) -> Fields:
    """Return message 8."""
    return ("8", "1", text)


def account_download_end(account: str) -> Fields:
    """Return message 54."""
    return ("54", "1", account)


def account_update_multi(
    request_id: int, account: str, model: str, tag: str, value: str, currency: str
) -> Fields:
    """Return message 73."""
    return ("73", "1", str(request_id), account, model, tag, value, currency)


def account_update_multi_end(request_id: int) -> Fields:
    """Return message 74."""
    return ("74", "1", str(request_id))


def account_summary(request_id: int, account: str, tag: str, value: str, currency: str) -> Fields:
    """Return message 63."""
    return ("63", "1", str(request_id), account, tag, value, currency)


def account_summary_end(request_id: int) -> Fields:
    """Return message 64."""
    return ("64", "1", str(request_id))


def profit(request_id: int, daily: Decimal, unrealized: Decimal, realized: Decimal) -> Fields:
    """Return message 94."""
    return ("94", str(request_id), f"{daily:.2f}", f"{unrealized:.2f}", f"{realized:.2f}")


def profit_single(
    request_id: int, held: Decimal, daily: Decimal, unrealized: Decimal, realized: Decimal, value: Decimal
) -> Fields:
    """Return message 95."""
    amounts = (f"{amount:.2f}" for amount in (daily, unrealized, realized, value))
    return ("95", str(request_id), formats.plain(held), *amounts)


def error(request_id: int, code: int, text: str, version: int) -> Fields:
    """Return message 4; request id -1 is a notice. From 166 on it has a reject JSON, here empty."""
    fields = ("4", "2", str(request_id), str(code), text)
    return (*fields, "") if version >= 166 else fields


def next_valid_id(order_id: int) -> Fields:
    """Return message 9."""
    return ("9", "1", str(order_id))


def managed_accounts(accounts: Iterable[str]) -> Fields:
    """Return message 15."""
    return ("15", "1", ",".join(accounts))


def current_time(epoch_seconds: int) -> Fields:
    """Return message 49."""
    return ("49", "1", str(epoch_seconds))


def open_order_end() -> Fields:
    """Return message 53."""
    return ("53", "1")


def completed_orders_end() -> Fields:
    """Return message 102, which has no version field."""
    return ("102",)


def position_end() -> Fields:
    """Return message 62."""
    return ("62", "1")


def position_multi_end(request_id: int) -> Fields:
    """Return message 72."""
    return ("72", "1", str(request_id))


def order_bound(perm_id: int, client_id: int, order_id: int) -> Fields:
    """Return message 100: which number client 0 now has for a manual order."""
    return ("100", str(perm_id), str(client_id), str(order_id))


def contract_data_end(request_id: int) -> Fields:
    """Return message 52."""
    return ("52", "1", str(request_id))


def contract_data(request_id: int, contract: PaperContract, version: int) -> Fields:
    """Return message 10; below 164 with version and mdSizeMultiplier, from then on with sizes."""
    old = version < 164
    under = contract.symbol if contract.sec_type in ("OPT", "FOP", "FUT") else ""
    under_type = {"OPT": "STK", "FOP": "FUT", "FUT": "IND"}.get(contract.sec_type, "")
    fields = (
        "10",
        *(("8",) if old else ()),
        str(request_id),
        contract.symbol,
        contract.sec_type,
        contract.expiry,
        "0" if contract.strike is None else formats.plain(contract.strike),
        contract.right,
        contract.exchange,
        contract.currency,
        contract.local_symbol,
        contract.trading_class,
        contract.trading_class,
        str(contract.con_id),
        "0.01",
        *(("1",) if old else ()),
        contract.multiplier,
        "ACTIVETIM,AD,ADJUST,ALERT,DAY,GTC,LMT,MKT,STP",
        contract.exchange,
        "1",
        "0",
        contract.symbol,
        contract.primary_exchange,
        contract.expiry[:6],
        "",
        "",
        "",
        "US/Eastern",
        "",
        "",
        "",
        "",
        "0",
        "1",
        under,
        under_type,
        "26",
        contract.expiry,
        "COMMON" if contract.sec_type == "STK" else "",
    )
    return fields if old else (*fields, "1", "1", "1")


def symbol_samples(request_id: int, contracts: Sequence[PaperContract], version: int) -> Fields:
    """Return message 79."""
    fields = ["79", str(request_id), str(len(contracts))]
    for contract in contracts:
        where = contract.primary_exchange or contract.exchange
        fields += [str(contract.con_id), contract.symbol, contract.sec_type, where, contract.currency, "0"]
        if version >= 176:
            fields += [contract.symbol, ""]
    return tuple(fields)
