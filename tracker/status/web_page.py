"""The page for a browser: its bytes, and the headers that allow it to run only its own script.

Owns page.html as it is served. The page is one file, fetches nothing from another host, and its policy names
its script and its style by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import Final


@cache
def page() -> bytes:
    """Return the page."""
    return (files("tracker.status") / "page.html").read_bytes()


def _hash(element: bytes) -> str:
    """Return the hash that the page's policy names for its one inline element of this kind."""
    (content,) = re.findall(b"<" + element + b">(.*?)</" + element + b">", page(), re.S)
    return f"'sha256-{base64.b64encode(hashlib.sha256(content).digest()).decode()}'"


def _policy() -> str:
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {_hash(b'script')}",
            f"style-src {_hash(b'style')}",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ]
    )


PAGE_HEADERS: Final = (
    ("Content-Security-Policy", _policy()),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
)
