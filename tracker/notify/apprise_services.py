"""Open the messaging services that `notify.urls` name, through Apprise.

Owns all use of Apprise: it is an optional extra, loaded only where urls are set. A url is a secret, so no
message, log line or exception of ours ever holds one, nor what Apprise logs about it.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    import apprise

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,20})://")
_CODE: Final = re.compile(r"\berror=(\d{3})\b")


class CannotNotify(Exception):
    """Say why the urls cannot be used, without them, and what to do."""


class Service(Protocol):
    """Send a message to one of the urls."""

    @property
    def label(self) -> str:
        """Return a name for the url without repeating it: its place in the list, and its scheme."""
        ...

    def send(self, title: str, body: str, *, urgent: bool) -> str:
        """Send and wait for the result; returns why it failed, empty where it succeeded."""
        ...


class _StatusListener(logging.Handler):
    """Keep the HTTP status that Apprise last logged on each thread; the rest of its lines may hold
    secrets.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._of = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        found = _CODE.search(record.getMessage())
        if found is not None:
            self._of.code = found.group(1)

    def take(self) -> str:
        code: str = getattr(self._of, "code", "")
        self._of.code = ""
        return code


class AppriseService:
    """Send through Apprise; each url has an object of its own, so that one that hangs delays no other."""

    def __init__(self, label: str, service: apprise.Apprise, listener: _StatusListener) -> None:
        self._label = label
        self._service = service
        self._listener = listener

    @property
    def label(self) -> str:
        return self._label

    def send(self, title: str, body: str, *, urgent: bool) -> str:
        self._listener.take()
        if self._service.notify(
            body, title=title, notify_type="warning" if urgent else "info", body_format="text"
        ):
            return ""
        code = self._listener.take()
        return f"the service answered {code}" if code else "the service cannot be reached, or refused it"


def open_services(urls: Sequence[str]) -> list[Service]:
    """Return a service for each url; raises CannotNotify, which never repeats a url."""
    if not urls:
        return []
    try:
        import apprise
    except ModuleNotFoundError as error:
        raise CannotNotify(
            f"{error.name} is not installed, and messages need it: install the extra `notify` (in the"
            " tracker's folder: pipx install --force '.[notify]'), or take the urls out"
        ) from None
    listener = _listen()
    # Without a time limit of its own it sends on the calling thread, which may hang; its pool's threads
    # would hold up the end of the process.
    asset = apprise.AppriseAsset(app_id="Order tracker", service_timeout=0)
    opened: list[Service] = []
    for place, url in enumerate(urls, 1):
        scheme = _SCHEME.match(url)
        label = f"{place} ({scheme.group(1).lower() if scheme else 'no scheme'})"
        service = apprise.Apprise(asset=asset)
        if not service.add(url):
            raise CannotNotify(
                f"Apprise cannot use url {label}: compare it with the form of its service, as"
                " `apprise --details` lists it"
            )
        opened.append(AppriseService(label, service, listener))
    return opened


def _listen() -> _StatusListener:
    """Receive what Apprise logs instead of printing it; at lower levels it would log the urls."""
    log = logging.getLogger("apprise")
    log.setLevel(logging.WARNING)
    log.propagate = False
    for listener in log.handlers:
        if isinstance(listener, _StatusListener):
            return listener
    listener = _StatusListener()
    log.addHandler(listener)
    return listener
