"""The two order messages, openOrder (5) and completedOrder (101), in the layouts of versions 157 to 178.

Owns the place of each field of an order, and what the real gateway writes into unset ones, as seen in
recordings. It changes nothing and decides nothing.
"""

from __future__ import annotations

from decimal import Decimal

from tracker.paper import formats
from tracker.paper.contracts import PaperContract
from tracker.paper.encode_messages import contract_fields
from tracker.paper.framing import Fields
from tracker.paper.margins import Preview
from tracker.paper.model import PaperOrder

UNSET = formats.UNSET_DOUBLE


def open_order(order: PaperOrder, version: int, preview: Preview | None = None) -> Fields:
    """Return message 5: 136 fields for a simple order at 170 to 176, 135 from 177 on.

    `preview` is the answer to whatIf.
    """
    return (
        "5",
        str(order.order_id),
        *_contract(order.contract),
        *_core(order, formats.plain(order.quantity)),
        order.order_ref,
        str(order.client_id),
        str(order.perm_id),
        *_pick(
            order, ("outside_rth", "0"), ("hidden", "0"), ("discretionary_amt", "0"), ("good_after_time", "")
        ),
        f"{order.perm_id}.{order.modifications}/{order.account}/100",
        *_allocation(order, version),
        *_pick(order, ("auction_strategy", "0")),
        *_auction(order),
        *_pick(order, ("display_size", formats.UNSET_INTEGER), ("block_order", "0"), ("sweep_to_fill", "0")),
        *_pick(order, ("all_or_none", "0"), ("min_qty", ""), ("oca_type", "3"), ("e_trade_only", "0")),
        *_pick(order, ("firm_quote_only", "0"), ("nbbo_price_cap", "")),
        str(order.parent_id),
        *_pick(order, ("trigger_method", "0")),
        *_volatility(order),
        # deltaNeutralOrderType is the text None where there is none, so its eight fields are always there.
        *("0", "", "", "", "?", "0", "0", ""),
        *_pick(order, ("continuous_update", "0"), ("reference_price_type", "0")),
        *_pick(
            order,
            ("trail_stop_price", ""),
            ("trailing_percent", ""),
            ("basis_points", ""),
            ("basis_type", ""),
        ),
        *_combo(order.contract),
        *_scale_and_hedge(order),
        *_pick(order, ("opt_out_smart_routing", "0")),
        *_clearing_and_algo(order),
        *_pick(order, ("solicited", "0"), ("what_if", "0")),
        *(_state(order) if preview is None else _preview(order, preview)),
        *_randomize_and_conditions(order),
        *_adjusted(order),
        *_pick(order, ("soft_dollar_name", ""), ("soft_dollar_value", ""), ("soft_dollar_display", "")),
        *_pick(order, ("cash_qty", "0"), ("dont_use_auto_price", "1"), ("oms_container", "0")),
        *_pick(order, ("discretionary_up_to_limit", "0"), ("price_mgmt_algo", "0")),
        *(_pick(order, ("duration", "")) if version >= 158 else ()),
        *(_pick(order, ("post_to_ats", "")) if version >= 160 else ()),
        *(_pick(order, ("auto_cancel_parent", "0")) if version >= 162 else ()),
        *(_peg(order) if version >= 170 else ()),
    )


def completed_order(order: PaperOrder, completed_time: str, version: int) -> Fields:
    """Return message 101: no orderId, clientId or parentId; a filled one's total quantity is 0."""
    filled = order.filled if order.status == "Filled" else Decimal(0)
    return (
        "101",
        *_contract(order.contract),
        *_core(order, "0" if filled else formats.plain(order.quantity)),
        order.order_ref,
        str(order.perm_id),
        *_pick(
            order, ("outside_rth", "0"), ("hidden", "0"), ("discretionary_amt", "0"), ("good_after_time", "")
        ),
        *_allocation(order, version),
        *_auction(order),
        *_pick(order, ("display_size", formats.UNSET_INTEGER), ("sweep_to_fill", "0"), ("all_or_none", "0")),
        *_pick(order, ("min_qty", ""), ("oca_type", "3"), ("trigger_method", "0")),
        *_volatility(order),
        *("0", "0", "0", ""),
        *_pick(order, ("continuous_update", "0"), ("reference_price_type", "0")),
        *_pick(order, ("trail_stop_price", ""), ("trailing_percent", "")),
        *_combo(order.contract),
        *_scale_and_hedge(order),
        *_clearing_and_algo(order),
        *_pick(order, ("solicited", "0")),
        order.status,
        *_randomize_and_conditions(order),
        _trail_stop(order),
        *_pick(order, ("lmt_price_offset", UNSET), ("cash_qty", "0"), ("dont_use_auto_price", "1")),
        *_pick(order, ("oms_container", "0"), ("auto_cancel_date", "")),
        formats.plain(filled),
        formats.UNSET_INTEGER,
        *_pick(order, ("auto_cancel_parent", "0")),
        *("Not an insider or substantial shareholder", "0", "0", formats.UNSET_LONG),
        completed_time,
        order.completed_status,
        *(_peg(order) if version >= 170 else ()),
    )


def _pick(order: PaperOrder, *wanted: tuple[str, str]) -> Fields:
    return tuple(order.terms.get(name, default) for name, default in wanted)


def _contract(contract: PaperContract) -> Fields:
    strike = "0" if contract.strike is None else formats.plain(contract.strike)
    return contract_fields(contract, strike, contract.right or "?", contract.exchange)


def _core(order: PaperOrder, quantity: str) -> Fields:
    return (
        order.action,
        quantity,
        order.order_type,
        formats.double(order.limit or Decimal(0)),
        formats.double(order.aux or Decimal(0)),
        order.tif,
        *_pick(order, ("oca_group", "")),
        order.account,
        *_pick(order, ("open_close", ""), ("origin", "0")),
    )


def _allocation(order: PaperOrder, version: int) -> Fields:
    return (
        *_pick(order, ("fa_group", ""), ("fa_method", ""), ("fa_percentage", "")),
        *(_pick(order, ("fa_profile", "")) if version < 177 else ()),
        *_pick(order, ("model_code", ""), ("good_till_date", ""), ("rule_80a", "0" if order.manual else "")),
        *_pick(order, ("percent_offset", ""), ("settling_firm", ""), ("short_sale_slot", "0")),
        *_pick(order, ("designated_location", ""), ("exempt_code", "-1")),
    )


def _auction(order: PaperOrder) -> Fields:
    names = ("starting_price", "stock_ref_price", "delta", "stock_range_lower", "stock_range_upper")
    return tuple(order.terms.get(name, "") for name in names)


def _volatility(order: PaperOrder) -> Fields:
    return _pick(
        order, ("volatility", ""), ("volatility_type", "0"), ("delta_neutral_type", "None"), ("dn_aux", "")
    )


def _combo(contract: PaperContract) -> Fields:
    legs = tuple(
        text
        for leg in contract.legs
        for text in (str(leg.con_id), str(leg.ratio), leg.action, leg.exchange, "0", "0", "", "-1")
    )
    return (contract.legs_text, str(len(contract.legs)), *legs, "0", "0")


def _scale_and_hedge(order: PaperOrder) -> Fields:
    hedge = order.terms.get("hedge_type", "")
    return (
        *_pick(order, ("scale_init", formats.UNSET_INTEGER), ("scale_subs", formats.UNSET_INTEGER)),
        # scalePriceIncrement: its seven further fields are not modelled, so it is always unset.
        "",
        hedge,
        *((order.terms.get("hedge_param", ""),) if hedge else ()),
    )


def _clearing_and_algo(order: PaperOrder) -> Fields:
    algo = order.terms.get("algo_strategy", "")
    return (
        *_pick(order, ("clearing_account", ""), ("clearing_intent", "IB"), ("not_held", "0")),
        "0",
        algo,
        *(("0",) if algo else ()),
    )


def _state(order: PaperOrder) -> Fields:
    charged = order.status == "Filled" and order.commission is not None
    return (
        order.status,
        *(UNSET,) * 9,
        formats.double(order.commission) if charged and order.commission is not None else "",
        "",
        "",
        order.contract.currency if charged else "",
        "",
    )


def _preview(order: PaperOrder, preview: Preview) -> Fields:
    """Return the state that answers whatIf: margins before, their change, and after; then the commission."""
    amounts = (*preview.before, *preview.change, *preview.after)
    commission = formats.double(preview.commission)
    margins = (f"{amount:.2f}" for amount in amounts)
    return (order.status, *margins, commission, UNSET, UNSET, order.contract.currency, "")


def _randomize_and_conditions(order: PaperOrder) -> Fields:
    fields = [*_pick(order, ("randomize_size", "0"), ("randomize_price", "0"))]
    if order.order_type == "PEG BENCH":
        fields += [
            *_pick(order, ("reference_contract", "0"), ("pegged_decrease", "0"), ("pegged_change", "0"))
        ]
        fields += [*_pick(order, ("reference_change", "0"), ("reference_exchange", ""))]
    fields.append(str(len(order.conditions)))
    for condition in order.conditions:
        fields += condition
    if order.conditions:
        fields += [*_pick(order, ("conditions_ignore_rth", "0"), ("conditions_cancel", "0"))]
    return tuple(fields)


def _adjusted(order: PaperOrder) -> Fields:
    return (
        *_pick(order, ("adjusted_order_type", "None"), ("trigger_price", UNSET)),
        _trail_stop(order),
        *_pick(order, ("lmt_price_offset", UNSET), ("adjusted_stop", UNSET), ("adjusted_stop_limit", UNSET)),
        *_pick(order, ("adjusted_trailing", UNSET), ("adjusted_unit", "0")),
    )


def _trail_stop(order: PaperOrder) -> str:
    """Return a trailing stop, which the gateway makes up: a stop order's stop, else one beyond the limit."""
    if "trail_stop_price" in order.terms:
        return order.terms["trail_stop_price"]
    if order.order_type == "STP" and order.aux is not None:
        return formats.double(order.aux)
    if order.limit is None or order.contract.legs:
        return UNSET
    return formats.double(order.limit + (1 if order.buys else -1))


def _peg(order: PaperOrder) -> Fields:
    names = ("min_trade_qty", "min_compete_size", "compete_offset", "mid_offset_whole", "mid_offset_half")
    return tuple(order.terms.get(name, "") for name in names)
