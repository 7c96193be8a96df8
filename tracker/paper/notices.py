"""The texts of the notices that a gateway sends by itself, as recorded or documented.

Owns texts alone.
"""

from __future__ import annotations

from typing import Final

START_UP: Final = (
    (2104, "Market data farm connection is OK:usfarm"),
    (2106, "HMDS data farm connection is OK:ushmds"),
    (2158, "Sec-def data farm connection is OK:secdefil"),
)
"""What every client receives right after startApi."""

READ_ONLY: Final = (
    "Error validating request.-'cS' : cause - The API interface is currently in Read-Only mode."
)
CLIENT_ID_IN_USE: Final = (
    "Unable to connect as the client id is already in use. Retry with a unique client id."
)
NO_MARKET_DATA: Final = "Requested market data is not subscribed. The paper gateway has no market data."

TEXTS: Final = {
    1100: "Connectivity between IB and Trader Workstation has been lost.",
    1101: "Connectivity between IB and Trader Workstation has been restored - data lost.",
    1102: "Connectivity between IB and Trader Workstation has been restored - data maintained."
    " The following farms are connected: usfarm; secdefil. The following farms are not connected: ushmds.",
    1300: "TWS socket port has been reset and this connection is being dropped."
    " Please reconnect on the new port - {port}",
    2103: "Market data farm connection is broken:usfarm",
    2104: START_UP[0][1],
    2105: "HMDS data farm connection is broken:ushmds",
    2106: START_UP[1][1],
    2107: "HMDS data farm connection is inactive but should be available upon demand.ushmds",
    2108: "Market data farm connection is inactive but should be available upon demand.usfarm",
    2110: "Connectivity between Trader Workstation and server is broken. It will be restored automatically.",
    2157: "Sec-def data farm connection is broken:secdefil",
    2158: START_UP[2][1],
}
"""Code -> text."""


def text_of(code: int, port: int) -> str:
    """Return the usual text of a notice; `port` is what 1300 names."""
    return TEXTS.get(code, f"Notice {code}").format(port=port)
