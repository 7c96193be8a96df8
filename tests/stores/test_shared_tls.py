"""The shared store over TLS: sslmode=verify-full in the url is all it takes; a wrong server is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.postgres import PASSWORD, Database, Server, make_certificate, takes_tls
from tests.support.shared_rig import SharedRig
from tests.support.store_cases import id_of, some_records, update
from tracker.clock import now
from tracker.core.model import Outcome
from tracker.core.ports import StoreRefused
from tracker.doctor.check_shared import check_store
from tracker.stores.shared_probe import look_at_store

NVDA_ID = id_of(some_records(), "robindahood-alerts", "NVDA")
PROGRAMS = takes_tls()

pytestmark = pytest.mark.skipif(
    PROGRAMS is None, reason="no PostgreSQL with TLS or no openssl: apt-get install postgresql openssl"
)


class Encrypted(NamedTuple):
    """A store whose server takes TLS, and the certificate that vouches for it."""

    rig: SharedRig
    certificate: Path

    def url(self, certificate: Path, host: str = "127.0.0.1") -> str:
        url = self.rig.database.url_of("tracker_seat").replace("127.0.0.1", host)
        return f"{url}?sslmode=verify-full&sslrootcert={certificate}"


@pytest.fixture(scope="module")
def encrypted() -> Iterator[Encrypted]:
    with Server(PROGRAMS) as server:
        certificate = server.encrypt()
        with server.database() as database, SharedRig(database) as rig:
            rig.put(some_records())
            yield Encrypted(rig, certificate)


def test_verified_server_is_used(encrypted: Encrypted) -> None:
    """Every connection is encrypted, and doctor says so of a server that is not on this machine."""
    url = encrypted.url(encrypted.certificate)
    store = encrypted.rig.store(url=url)
    store.hold("first")
    assert list(store.apply([update(NVDA_ID)])) == [Outcome.APPLIED]
    ways = encrypted.rig.database.rows(
        "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename <> 'owner'"
    )
    assert ways == [(True,)]
    facts = look_at_store(url, now)
    assert (facts.trouble, facts.encrypted, facts.verified) == ("", True, True)
    beyond = facts._replace(address="10.0.0.7")
    found = check_store(beyond, seat="left", host="left-host", zone="UTC", accounts=[], now=now())
    assert "encrypted, and the server's certificate is checked" in [each.found for each in found]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("another's", "certificate verify failed"),
        ("missing", "root certificate file .* does not exist"),
        ("name", 'does not match host name "localhost"'),
    ],
)
def test_wrong_server_is_refused(encrypted: Encrypted, tmp_path: Path, wrong: str, words: str) -> None:
    """Such a connection never carries the password, and no message does."""
    certificate = make_certificate(tmp_path)[0] if wrong == "another's" else encrypted.certificate
    if wrong == "missing":
        certificate = tmp_path / "none.crt"
    url = encrypted.url(certificate, "localhost" if wrong == "name" else "127.0.0.1")
    store = encrypted.rig.store(url=url)
    store.hold("first")
    with pytest.raises(StoreRefused, match=words) as refused:
        store.check()
    assert "correct sslmode and sslrootcert in shared.url, or the server's certificate" in str(refused.value)
    assert PASSWORD not in str(refused.value) + look_at_store(url, now).trouble


def test_server_without_tls_is_refused(database: Database) -> None:
    with SharedRig(database) as rig:
        store = rig.store(url=f"{database.url_of('tracker_seat')}?sslmode=require")
        store.hold("first")
        with pytest.raises(StoreRefused, match=r"does not support SSL.* correct sslmode"):
            store.check()
