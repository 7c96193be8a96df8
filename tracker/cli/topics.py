"""The documents by topic, as `tracker help TOPIC` prints them.

Owns which documents there are: every page below the package, by its file's name.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import tracker


@cache
def topics() -> dict[str, Path]:
    """Return the pages by topic, in order."""
    pages = Path(tracker.__file__).parent.rglob("*.md")
    return dict(sorted((page.stem.lower().replace("_", "-"), page) for page in pages))


def text_of(topic: str) -> str | None:
    """Return a page's text; None where there is none of that name."""
    page = topics().get(topic.lower().replace("_", "-"))
    return page.read_text("utf-8") if page is not None else None
