"""Let a browser read with a cookie made from the token, once it has shown the token itself.

Owns the cookie. Other programs of this machine may receive it, since browsers send a cookie to every port of
a host: so it allows only what can be read over HTTP, and reveals nothing of the token.
"""

from __future__ import annotations

import hmac
from typing import Final

_NAME: Final = "tracker_page"
_PURPOSE: Final = b"read over HTTP"


class PageAccess:
    """Make and check the cookie of one daemon; `token` is empty where there is none."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._secret = hmac.new(token.encode(), _PURPOSE, "sha256").hexdigest() if token else ""

    def is_token(self, given: str) -> bool:
        """Return whether this is the daemon's token."""
        return bool(self._token) and _same(given, self._token)

    def cookie(self, port: str) -> str:
        """Return the header that gives a browser the cookie; `port` is the one it knows the daemon by."""
        return f"{_NAME}_{port}={self._secret}; Path=/; HttpOnly; SameSite=Strict"

    def token_for(self, cookies: str, port: str) -> str:
        """Return the token for a request with the cookie, empty for any other."""
        for part in cookies.split(";"):
            name, _, value = part.strip().partition("=")
            if name == f"{_NAME}_{port}" and self._secret and _same(value, self._secret):
                return self._token
        return ""


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode())
