"""Names of accounts and people are replaced, and one that is left is found."""

from __future__ import annotations

import pytest

from tests.support.paper_clients import NVDA, fields_of_order
from tracker.core.journal_entries import Fields
from tracker.recordings.redaction import LEFT_OUT, EarlyRedactor, NameLeft, Redactor
from tracker.recordings.transcript import CLIENT, GATEWAY, Line, LinkClosed, Said, Side

ORDER = ("5", "1", "700100200", "NVDA", "OPT", "20301220", "122.5", "C", "100", "SMART", "USD",
         "NVDA  301220C00122500", "NVDA", "BUY", "4", "LMT", "2.5", "0.0", "DAY", "")  # fmt: skip
EXECUTION = ("11", "-1", "1", "700100200", "NVDA", "OPT", "20301220", "122.5", "C", "100", "CBOE", "USD",
             "NVDA  301220C00122500", "NVDA", "00099b75.6d8f16ae.01.01", "20251118 12:00:00 EST")  # fmt: skip


def said(by: Side, *fields: str) -> Said:
    return Said(0.0, 1, by, fields)


def execution(account: str, order_ref: str = "", model: str = "") -> Said:
    """Return an execution as the gateway pushes it at 176."""
    tail = (account, "CBOE", "BOT", "4", "2.5", "188", "7", "0", "4", "2.5", order_ref, "", "", model, "2")
    return said(GATEWAY, *EXECUTION, *tail)


def redacted(*lines: Line, hidden: tuple[str, ...] = (), accounts: tuple[str, ...] = ()) -> list[Fields]:
    """Return the fields of each message without names, after the check that recordings run."""
    redactor = Redactor(hidden, accounts)
    for line in lines:
        redactor.learn(line)
    clean = [redactor.redact(line) for line in lines]
    for line in clean:
        redactor.check(line, "it")
    return [line.fields for line in clean if isinstance(line, Said)]


def test_same_name_gets_same_replacement() -> None:
    """An account in the list, an execution, a position and a text; paper stays paper, live stays live."""
    found = redacted(
        said(GATEWAY, "15", "1", "DU7654321,U1112223"),
        execution("DU7654321"),
        said(GATEWAY, "61", "3", "U1112223", "265598", "AAPL", "STK", "", "0", "", "", "", "USD", "AAPL"),
        said(GATEWAY, "4", "2", "7", "201", "Order rejected - reason: account DU7654321 has no cash", ""),
        said(CLIENT, "7", "3", "9", "0", "DU7654321", "", "", "", "", ""),
    )  # fmt: skip
    assert found[0] == ("15", "1", "DU9000001,U9000001")
    assert found[1][16] == "DU9000001"
    assert found[2][2] == "U9000001"
    assert found[3][4] == "Order rejected - reason: account DU9000001 has no cash"
    assert found[4][4] == "DU9000001"


def test_replacement_is_no_real_account() -> None:
    """Two logins with the number that would be the first replacement."""
    found = redacted(said(GATEWAY, "15", "1", "DU9000001,DU5555555"))
    assert found == [("15", "1", "DU9000002,DU9000003")]


def test_references_and_models_are_replaced() -> None:
    found = redacted(
        execution("DU7654321", "smith family", "Retirement"), execution("DU7654321", "smith family")
    )
    assert (found[0][26], found[0][29], found[1][26]) == ("ref-1", "model-1", "ref-1")


def test_name_learned_late_is_replaced_early() -> None:
    """A text names a reference before the order that has it shows up."""
    found = redacted(
        said(GATEWAY, "4", "2", "7", "399", "Order Message: Smith Family is held", ""),
        execution("DU7654321", "smith family"),
    )
    assert found[0][4] == "Order Message: ref-1 is held"


@pytest.mark.parametrize(
    ("reference", "stays"),
    [
        ("robindahood-alerts/NVDA", True),
        ("tracker:RobinDaHood/NVDA", True),
        ("robindahood-alerts/SMITH", False),
        ("my-own-room/NVDA", False),
        ("robindahood-alerts", False),
    ],
)
def test_alert_named_by_reference_stays(reference: str, *, stays: bool) -> None:
    """Matching depends on it; only a built-in alerter with the ticker of the order's contract."""
    (found,) = redacted(execution("DU7654321", reference))
    assert (found[26] == reference) is stays


def test_prices_and_contracts_stay() -> None:
    (found,) = redacted(execution("DU7654321", "NVDA"))
    assert found[:16] == EXECUTION
    assert found[17:26] == ("CBOE", "BOT", "4", "2.5", "188", "7", "0", "4", "2.5")
    assert found[26] == "ref-1"


SECRETS: dict[str, str] = {
    "account": "DU7654321",
    "orderRef": "smith family trust",
    "ocaGroup": "smiths-bracket",
    "faGroup": "AuntMary",
    "faProfile": "UncleJoe",
    "faPercentage": "mostly",
    "modelCode": "RetireEarly",
    "settlingFirm": "Smith&Sons",
    "designatedLocation": "BasementDesk",
    "clearingAccount": "smith-clearing",
    "extOperator": "op-john",
    "mifid2DecisionMaker": "john-decides",
    "mifid2ExecutionTrader": "john-executes",
    "rule80A": "JOHNS",
}


def test_every_name_of_an_order_is_replaced() -> None:
    """As ib_insync writes placeOrder at 176, where names stand in places that vary with the order."""
    order = fields_of_order(1, NVDA, action="BUY", totalQuantity=4, orderType="LMT", lmtPrice=2.5, **SECRETS)
    (found,) = redacted(Said(0.0, 1, CLIENT, order))
    assert len(found) == len(order)
    for name, secret in SECRETS.items():
        assert secret in order, name
        assert all(secret not in text for text in found), name
    unchanged = [one for one, other in zip(order, found, strict=True) if one == other]
    assert len(unchanged) == len(order) - len(SECRETS)


def test_advisor_texts_are_replaced() -> None:
    """Groups come as XML; their names are replaced elsewhere too."""
    xml = '<?xml version="1.0"?><Group><name>AuntMary</name><String>DU7654321</String></Group>'
    found = redacted(
        said(GATEWAY, "16", "1", "1", xml), said(GATEWAY, "4", "2", "7", "201", "no group AUNTMARY", "")
    )
    assert found[0] == ("16", "1", "1", "text-1")
    assert found[1][4] == "no group text-2"


def test_unknown_message_keeps_harmless_fields() -> None:
    found = redacted(said(GATEWAY, "250", "1", "2.5", "John Smith", "20251118 12:00:00", "Filled"))
    assert found == [("250", "1", "2.5", "text-1", "20251118 12:00:00", "Filled")]


def test_public_word_is_replaced_in_place() -> None:
    """A reference that is also the symbol cannot be told from it."""
    found = redacted(execution("DU7654321", "NVDA"), said(GATEWAY, "4", "2", "7", "399", "BUY 4 NVDA", ""))
    assert (found[0][26], found[0][4], found[1][4]) == ("ref-1", "NVDA", "BUY 4 NVDA")


def test_escaped_name_is_found_in_texts() -> None:
    """Newer gateways escape what is not ASCII in texts."""
    found = redacted(
        execution("DU7654321", "Müller"), said(GATEWAY, "4", "2", "7", "399", r"held for M\xfcller", "")
    )
    assert found[1][4] == "held for ref-1"


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("Müller", r"M\xfcller"),
        (r"M\xfcller", "MÜLLER"),
        ("Müller", r"M\u00fcller"),
        ("Müller", "Mu\u0308ller"),
        ("Müller", "MÃ¼ller"),
        ("Müller", "M%C3%BCller"),
        ("Smith & Sons", "SMITH &amp; SONS"),
        ("Smith & Sons", "Smith+%26+Sons"),
        ("Smith & Sons", "Smith &\n  Sons"),
        ('the "old" fund', r"the \"old\" fund"),
        ("4155550199", "4155550199"),
    ],
)
def test_name_is_found_however_written(name: str, written: str) -> None:
    """Escaped for ASCII, JSON, XML or a URL, decomposed, decoded wrongly, broken into lines; a number."""
    found = redacted(
        execution("DU7654321", name), said(GATEWAY, "4", "2", "7", "399", f"held for {written}, wait", "")
    )
    assert found[1][4] == "held for ref-1, wait"


@pytest.mark.parametrize(
    "xml",
    [
        "<a><alias>Aunt &amp; Mary</alias></a>",
        "<a><alias><![CDATA[Aunt & Mary]]></alias></a>",
        "<a name='Aunt &amp; Mary'/>",
    ],
)
def test_name_in_advisor_text_is_known(xml: str) -> None:
    found = redacted(said(GATEWAY, "16", "1", "3", xml), said(GATEWAY, "4", "2", "7", "1", "Aunt & Mary", ""))
    assert "Mary" not in str(found)


def test_account_in_small_letters_is_found() -> None:
    """In a text for people, also where no other message names it."""
    found = redacted(said(GATEWAY, "4", "2", "7", "399", "no cash in du7654321a, see u1112223", ""))
    assert found[0][4] == "no cash in DU9000001, see U9000001"


def test_bulletin_is_replaced_whole() -> None:
    """It may greet its reader by a name that no other message has."""
    found = redacted(said(GATEWAY, "14", "1", "3", "1", "Dear Mr Smith, call us", "NYSE"))
    assert found == [("14", "1", "3", "1", "text-1", "NYSE")]


def test_message_without_number_is_replaced() -> None:
    """Whatever stands where a message's number is; nor does that make it a public word."""
    found = redacted(said(CLIENT, "John Smith", "1"), said(GATEWAY, "4", "2", "7", "399", "John Smith", ""))
    assert found == [("text-1", "1"), ("4", "2", "7", "399", "text-1", "")]


def test_account_of_an_allocation_is_known() -> None:
    """Of any look, where nothing else has named it yet."""
    head = (*ORDER, "", "O", "0", "", "7", "188", "0", "0", "0", "", "188.0/desk-seven/100")
    found = redacted(said(GATEWAY, *head), said(GATEWAY, "4", "2", "7", "399", "desk-seven", ""))
    assert found[0][30] == "188.0/account-1/100"
    assert found[1][4] == "account-1"


def test_hidden_words_are_replaced_everywhere() -> None:
    found = redacted(said(GATEWAY, "4", "2", "7", "399", "Dear Mr Smithers, hello", ""), hidden=("Smithers",))
    assert found[0][4] == "Dear Mr text-1, hello"


def test_version_moves_the_model_code() -> None:
    """From 177 on an order has no faProfile, so the model code stands in its place."""

    def order(version: str) -> list[Fields]:
        head = (*ORDER, "DU7654321", "O", "0", "", "7", "188", "0", "0", "0", "", "188.0/DU7654321/100")
        tail = ("", "", "", "Retire", "") if version == "177" else ("", "", "", "Joe", "Retire", "")
        return redacted(said(GATEWAY, "API", version, "20251118 12:00:00 EST"), said(GATEWAY, *head, *tail))

    assert order("176")[1][31:] == ("", "", "", "group-1", "model-1", "")
    assert order("177")[1][31:] == ("", "", "", "model-1", "")
    assert order("177")[1][30] == "188.0/DU9000001/100"


def test_messages_are_redacted_as_they_come() -> None:
    """What could hold a name that is seen later is left out; a login's versions and a contract stay."""
    redactor = EarlyRedactor(["CBOE"])
    lines = [
        said(CLIENT, "API", "v157..176"),
        said(GATEWAY, "API", "176", "20251118 12:00:00 EST"),
        said(GATEWAY, "4", "2", "-1", "2104", "farm is OK:usfarm", ""),
        execution("DU7654321", "smith family"),
    ]
    found = [redactor.redact(line) for line in lines]
    assert found[:2] == lines[:2]
    assert found[2] == said(GATEWAY, "4", "2", "-1", "2104", LEFT_OUT, "")
    assert isinstance(found[3], Said)
    assert found[3].fields[3:10] == EXECUTION[3:10]
    assert (found[3].fields[10], found[3].fields[16], found[3].fields[26]) == (LEFT_OUT, "DU9000001", "ref-1")
    assert redactor.redact(LinkClosed(0.0, 1, CLIENT)) == LinkClosed(0.0, 1, CLIENT)


def test_left_name_is_found() -> None:
    """The check reads what was written without knowing its layout."""
    redactor = Redactor()
    redactor.learn(execution("DU7654321", "smith family"))
    redactor.check(LinkClosed(0.0, 1, CLIENT), "line 2")
    for text, kind in (("to Smith Family", "ref"), ("acct=du7654321", "account")):
        with pytest.raises(NameLeft, match=rf"line 3 still holds a name that is to be replaced \({kind}\)"):
            redactor.check(said(GATEWAY, "10", text), "line 3")
    with pytest.raises(NameLeft, match="line 4 still holds what looks like an account number"):
        redactor.check(said(GATEWAY, "10", "U4443332"), "line 4")


def test_known_accounts_of_any_look_are_replaced() -> None:
    """Those of the settings, which need not look like account numbers."""
    found = redacted(said(GATEWAY, "4", "2", "7", "399", "for desk-seven", ""), accounts=("desk-seven",))
    assert found[0][4] == "for account-1"


@pytest.mark.parametrize("reference", ["Submit", "ref", "Filled", "account", "BUY", "1042", "2.5"])
def test_name_like_protocol_word_stops_nothing(reference: str) -> None:
    """It is replaced in its place, and what only looks like it stays."""
    status = ("3", "1", "Submitted", "0", "4", "0", "188", "0", "0", "7", "", "0")
    found = redacted(execution("DU7654321", reference), said(GATEWAY, *status))
    assert found[0][26] == "ref-1"
    assert found[1] == status


def test_hidden_word_is_replaced_within_words() -> None:
    """Even where it stands for something harmless."""
    found = redacted(
        execution("DU7654321"),
        said(GATEWAY, "4", "2", "7", "399", "MrSmithersX", ""),
        hidden=("Smithers", "CBOE"),
    )
    assert found[1][4] == "Mrtext-2X"
    assert "CBOE" not in found[0]


def test_replacement_holds_no_account() -> None:
    """The paper number that would be given first ends like a live account of the same login."""
    found = redacted(said(GATEWAY, "15", "1", "DU5555555,U9000001"))
    assert found == [("15", "1", "DU9000002,U9000002")]


def test_name_that_hides_all_replacements() -> None:
    with pytest.raises(NameLeft, match=r"a name \(ref\) cannot be replaced"):
        redacted(execution("DU7654321", "smith"), hidden=("ref-",))


def test_letters_with_three_cases_are_found() -> None:
    """A long s is a small s to a search that ignores case, and to nothing else."""
    found = redacted(execution("DU7654321", "smith"), said(GATEWAY, "4", "2", "7", "399", "\u017fmith", ""))
    assert "mith" not in found[1][4]
