"""Settings: three sources in rising order, paths, zones, and one clear line for each mistake."""

from __future__ import annotations

import os
import re
import socket
import time
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.project import PROJECT
from tracker.clock import HostZone, now
from tracker.config.loader import load
from tracker.config.settings import KEYS, SECTIONS, Settings, SettingsError, key_of


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Start in an empty folder, without any variable of ours."""
    for name in [name for name in os.environ if name.upper().startswith("TRACKER_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def local_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put the host into New York for one test."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def write(text: str, path: str = "settings.toml") -> Path:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")
    return file


def refusal(
    file: str = "", flags: dict[str, str] | None = None, environment: dict[str, str] | None = None
) -> str:
    """Return the single line with which these settings are refused."""
    write(file)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (environment or {}).items():
            patch.setenv(name, value)
        with pytest.raises(SettingsError) as caught:
            load(flags)
    (line,) = caught.value.lines
    assert "\n" not in line
    return line


def test_without_any_source_the_defaults_hold() -> None:
    settings = load()
    assert (settings.gateway.host, settings.gateway.port, settings.gateway.client_id) == (
        "127.0.0.1",
        4002,
        0,
    )
    assert settings.gateway.accounts == ()
    assert (settings.status.host, settings.status.port) == ("127.0.0.1", 8765)
    assert (settings.matching.early_fill, settings.matching.retry_for) == (120, 900)
    assert settings.closing.policy == "mark"
    assert settings.stores.alerts == Path.cwd() / "data/alerts/alerts.json"
    assert settings.origin("stores", "alerts") == "default of [stores] alerts"


def test_flags_override_environment_and_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flags override environment and environment overrides file."""
    write("[gateway]\nport = 1\nclient_id = 1\nhost = 'file'\n")
    monkeypatch.setenv("TRACKER_GATEWAY__PORT", "2")
    monkeypatch.setenv("tracker_gateway__client_id", "2")
    settings = load({"gateway.port": "3"})
    assert (settings.gateway.port, settings.gateway.client_id, settings.gateway.host) == (3, 2, "file")
    assert settings.origin("gateway", "port") == "flag --gateway.port"
    assert settings.origin("gateway", "client_id") == "environment variable TRACKER_GATEWAY__CLIENT_ID"
    assert settings.origin("gateway", "host") == "settings.toml: [gateway] host"


def test_text_becomes_lists_and_switches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text from environment and flags becomes lists and switches."""
    monkeypatch.setenv("TRACKER_GATEWAY__ACCOUNTS", "DU1234567, DU9000001")
    monkeypatch.setenv("TRACKER_LOG__JSON", "true")
    monkeypatch.setenv("TRACKER_NOTIFY__URLS", "")
    settings = load({"log.mask_accounts": "no", "notify.link_down_minutes": "0.5"})
    assert settings.gateway.accounts == ("DU1234567", "DU9000001")
    assert settings.log.as_json
    assert not settings.log.mask_accounts
    assert settings.notify.urls == ()
    assert settings.notify.link_down_minutes == 0.5


def test_relative_paths_start_at_their_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths start at the folder of their source."""
    file = write("[stores]\nalerts = 'a.json'\n", "etc/tracker.toml")
    monkeypatch.setenv("TRACKER_STORES__CONTRACTS", "c.json")
    settings = load({"stores.stocks": "s.json", "log.file": "~/t.log"}, str(file))
    here = Path.cwd()
    assert settings.stores.alerts == here / "etc/a.json"
    assert settings.stores.contracts == here / "c.json"
    assert settings.stores.stocks == here / "s.json"
    assert settings.stores.journal == here / "etc/data/journal.db", "a default goes with the settings file"
    assert settings.log.file == Path.home() / "t.log"


def test_named_file_goes_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The named file goes before the variable before the folder s own."""
    write("[gateway]\nport = 1\n")
    write("[gateway]\nport = 2\n", "variable.toml")
    write("[gateway]\nport = 3\n", "named.toml")
    assert load().gateway.port == 1
    monkeypatch.setenv("TRACKER_SETTINGS", "variable.toml")
    assert load().gateway.port == 2
    assert load(path="named.toml").gateway.port == 3
    monkeypatch.setenv("TRACKER_SETTINGS", "")
    assert load().gateway.port == 1, "an empty variable names nothing"


def test_missing_named_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A named file that is missing is refused."""
    with pytest.raises(SettingsError, match=r"^flag --settings: the file 'gone.toml' does not exist; "):
        load(path="gone.toml")
    monkeypatch.setenv("TRACKER_SETTINGS", "lost.toml")
    with pytest.raises(SettingsError, match=r"^environment variable TRACKER_SETTINGS: the file 'lost.toml'"):
        load()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[gateway]\nprot = 1", "[gateway] prot: unknown key; the nearest known one is [gateway] port; "),
        ("[gatway]\nport = 1", "[gatway]: unknown section; the nearest known one is [gateway]; "),
        (
            "[matching]\npolicy = 'mark'",
            "[matching] policy: unknown key; the nearest known one is [closing] policy",
        ),
        ("[notify]\nurl = ['x']", "[notify] url: unknown key; the nearest known one is [notify] urls; "),
        ("port = 1", "settings.toml: port: unknown key; the nearest known one is [gateway] port"),
        ("[[alerter]]\nname = 'x'", "[alerter]: unknown section; the nearest known one is [alerters]"),
        ('notify = "json://secret@h"', "[notify]: it must be a section with keys; correct it or remove it"),
        ("gateway = 5", "[gateway]: it must be a section with keys; correct it or remove it"),
        (
            "[gateway]\nport = '4002'",
            "[gateway] port: it must be a whole number, not '4002'; correct it, or remove it",
        ),
        ("[gateway]\nport = true", "[gateway] port: it must be a whole number, not True"),
        ("[gateway]\nport = 4002.5", "[gateway] port: it must be a whole number, not 4002.5"),
        ("[gateway]\nport = 65536", "[gateway] port: it must be at most 65535, not 65536"),
        ("[gateway]\nport = 0", "[gateway] port: it must be at least 1, not 0"),
        ("[status]\nport = -1", "[status] port: it must be at least 0, not -1"),
        ("[gateway]\nhost = 'a b'", "[gateway] host: it must be a host name or an address, not 'a b'"),
        ("[gateway]\nhost = 7", "[gateway] host: it must be text, not 7"),
        ("[gateway]\naccounts = 7", "[gateway] accounts: it must be a list, not 7"),
        ("[gateway]\naccounts = ['']", "[gateway] accounts: it must not be empty, not ''"),
        ("[gateway]\nconnect_timeout = 0", "[gateway] connect_timeout: it must be more than 0, not 0"),
        ("[gateway]\nsweep_seconds = nan", "[gateway] sweep_seconds: it must be a finite number, not nan"),
        ("[gateway]\nbind_manual_orders = 'no'", "bind_manual_orders: it must be true or false, not 'no'"),
        (
            "[gateway]\ntimezone = 'us/estern'",
            "a known time zone (the nearest one is 'US/Eastern'), not 'us/estern'",
        ),
        ("[notify]\nreport_at = '24:00'", "report_at: it must be a time of the day such as 16:30, or empty"),
        ("[stores]\ntimezone = 'America'", "[stores] timezone: it must be a known time zone"),
        ("[stores]\ntimezone = '../x'", "[stores] timezone: it must be a known time zone"),
        ("[stores]\nalerts = ''", "[stores] alerts: it must name a file, not ''"),
        ("[stores]\nalerts = 5", "[stores] alerts: it must be text, not 5"),
        ("[closing]\npolicy = 'marc'", "it must be 'mark', 'remove' or 'keep' (the nearest one is 'mark')"),
        ("[log]\nrotation = 'lots'", "[log] rotation: it must be a size such as 10 MB, not 'lots'"),
        ("[[alerters]]\ntitle = 'x'", "[[alerters]] 1 name: it is missing; correct it"),
        (
            "[[alerters]]\nname = 'x'\ntitel = 'x'",
            "[[alerters]] 1 titel: unknown key; the nearest known one is title",
        ),
        (
            "[[alerters]]\nname = 'x'\naliases = ['robindahood']",
            "[[alerters]]: alias 'robindahood' of alerter",
        ),
        ("[gateway\nport = 1", "settings.toml: not valid TOML: "),
        ("a = " + "[" * 20_000, "settings.toml: "),
        ("[gateway]\nport = " + "9" * 5_000, "a number in it has more than 4300 digits; correct it"),
        ("[gateway]\nport = 0x" + "f" * 5_000, "a number in it has more than 4300 digits; correct it"),
        ("[status]\nhost = 'a..b'", "[status] host: it must be a host name or an address, not 'a..b'"),
        ('[status]\nhost = "a\\u0000b"', "[status] host: it must be a host name or an address"),
        ("[gateway]\nhost = '" + "a" * 300 + "'", "[gateway] host: it must be a host name or an address"),
        ('[stores]\nalerts = "a\\u0000b"', "[stores] alerts: it must name a file"),
        (
            "[stores]\njournal = '" + "j" * 256 + "'",
            "[stores] journal: a name in a path has at most 255 bytes",
        ),
    ],
)
def test_wrong_file_names_place_and_cause(text: str, words: str) -> None:
    """A wrong file is refused with place cause and nearest key."""
    line = refusal(text)
    assert line.startswith("settings.toml: ")
    assert words in line


def test_mark_of_an_editor_is_passed_over(tmp_path: Path) -> None:
    """Some editors of Windows begin each file with a byte order mark, which nobody can see."""
    (tmp_path / "settings.toml").write_bytes(b"\xef\xbb\xbf[gateway]\r\nport = 7\r\n")
    assert load(path="settings.toml").gateway.port == 7


def test_unreadable_file_is_refused(tmp_path: Path) -> None:
    """A file that cannot be read is refused."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(SettingsError, match=r"^folder: cannot be read \(.+\); name a file"):
        load(path="folder")
    (tmp_path / "latin").write_bytes(b"# caf\xe9\n")
    with pytest.raises(SettingsError, match=r"^latin: not UTF-8 text \(at byte 5\); save it as UTF-8"):
        load(path="latin")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        (
            "TRACKER_GATEWAY__PROT",
            "1",
            "TRACKER_GATEWAY__PROT: unknown key; the nearest known one is TRACKER_GATEWAY__PORT",
        ),
        ("TRACKER_GATEWAY_PORT", "1", "unknown key; the nearest known one is TRACKER_GATEWAY__PORT"),
        ("TRACKER_GATEWAY", "{}", "unknown key; the nearest known one is TRACKER_GATEWAY__"),
        ("TRACKER_", "1", "environment variable TRACKER_: unknown key; "),
        ("TRACKER_ALERTERS", "[]", "alerters are listed in the file only, as [[alerters]]; unset it"),
        (
            "TRACKER_STATUS__PORT",
            "",
            "TRACKER_STATUS__PORT: it must be a whole number, not ''; correct it, or unset it",
        ),
        ("TRACKER_STATUS__PORT", "80x", "for the default 8765"),
        ("TRACKER_LOG__JSON", "maybe", "TRACKER_LOG__JSON: it must be true or false, not 'maybe'"),
        (
            "TRACKER_MATCHING__EARLY_FILL",
            "soon",
            "it must be a number, not 'soon'; correct it, or unset it for the default 120",
        ),
    ],
)
def test_a_wrong_variable_is_refused(name: str, value: str, words: str) -> None:
    line = refusal(environment={name: value})
    assert line.startswith("environment variable TRACKER_")
    assert words in line


@pytest.mark.parametrize(
    ("flag", "value", "words"),
    [
        ("gateway.prot", "1", "flag --gateway.prot: unknown key; the nearest known one is --gateway.port; "),
        ("gatway.port", "1", "the nearest known one is --gateway.port; correct it or leave it out"),
        ("gateway.port", "99999", "flag --gateway.port: it must be at most 65535, not '99999'"),
        ("log.file", " ", "flag --log.file"),
    ],
)
def test_a_wrong_flag_is_refused(flag: str, value: str, words: str) -> None:
    assert words in refusal(flags={flag: value})


def test_unrelated_variables_are_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables with another meaning are no settings."""
    monkeypatch.setenv("TRACKER_PAPER_GATEWAY", "127.0.0.1:4002")
    monkeypatch.setenv("OTHER_TRACKER_X", "1")
    assert load() == Settings(**{name: getattr(load(), name) for name in SECTIONS})


def test_every_mistake_is_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every mistake of every source is reported at once."""
    write("[gateway]\nport = 'x'\nprot = 1\n[gatway]\n")
    monkeypatch.setenv("TRACKER_STATUS__PORT", "x")
    with pytest.raises(SettingsError) as caught:
        load({"closing.policy": "no"})
    assert len(caught.value.lines) == 5


@pytest.mark.parametrize("text", ['[notify]\n"json://secret@h" = 1\n', '["json://secret@h"]\nx = 1\n'])
def test_url_in_place_of_key_is_hidden(text: str) -> None:
    """It is an unknown key, and may hold a password."""
    line = refusal(text)
    assert "json://***" in line
    assert "secret" not in line


def test_a_secret_is_never_repeated() -> None:
    line = refusal("[notify]\nurls = [5, 'tgram://secret']\n")
    assert "secret" not in line
    assert "it must be text; correct it" in line


@pytest.mark.parametrize(
    "url", ["secret", "ftp://host/secret", "https://", "https://host:x/secret", "https://host/se cret", "7"]
)
def test_heartbeat_url_is_a_web_address(url: str) -> None:
    line = refusal(f"[notify]\nheartbeat_url = '{url}'\n")
    assert "it must be an http or https address; correct it" in line
    assert "cret" not in line
    write("[notify]\nheartbeat_url = 'https://host:8443/secret?x=1'\n")
    assert load().notify.heartbeat_url == "https://host:8443/secret?x=1"


@pytest.mark.parametrize("url", ["hunter2", "mysql://u:hunter2@h/db", "postgresql:hunter2", "a b=hunter2"])
def test_shared_url_is_a_database(url: str) -> None:
    """A password in it is never repeated."""
    line = refusal(f"[shared]\nurl = '{url}'\n")
    assert "it must be like postgresql://USER@HOST/DATABASE, or service=NAME; correct it" in line
    assert "hunter2" not in line


@pytest.mark.parametrize(
    "url", ["", "postgres://h/db", "postgresql://u:p@a:1,b:2/db", "service=x", " host = x"]
)
def test_shared_url_may_be_any_of_libpq(url: str) -> None:
    write(f"[shared]\nurl = '{url}'\n")
    assert load().shared.url == url
    assert "u:p" not in repr(load())


def test_seat_is_the_host_by_default() -> None:
    assert load().shared.seat_name == socket.gethostname()
    assert load({"shared.seat": "box 7"}).shared.seat_name == "box 7"
    assert "it must be a name of at most 200 characters" in refusal("[shared]\nseat = ' box'\n")


def test_shared_store_needs_no_alerts_folder(tmp_path: Path) -> None:
    """Only the mirror uses stores.alerts then."""
    shared = {"shared.url": "service=x"}
    assert load(shared).require_folders() == [tmp_path / "data"]


def test_long_value_is_cut_off() -> None:
    """A long value is shown cut off."""
    assert len(refusal(f"[gateway]\nport = '{'x' * 5000}'")) < 200


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        setattr(load().gateway, "port", 1)  # noqa: B010 (a plain assignment is refused by mypy already)


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    """A folder that is missing is refused with its source."""
    (tmp_path / "data/alerts").mkdir(parents=True)
    assert load().require_folders() == []
    write("[stores]\nalerts = 'gone/alerts.json'\nstocks = 'away/s.json'\n[log]\nfile = 'data'\n")
    with pytest.raises(SettingsError) as caught:
        load({"status.token_file": "run/token"}).require_folders()
    gone, away, token, log = caught.value.lines
    assert gone == (
        f"settings.toml: [stores] alerts: the folder {tmp_path}/gone does not exist;"
        " create it or correct the path"
    )
    assert away.startswith("settings.toml: [stores] stocks: the folder ")
    assert token.startswith("flag --status.token_file: the folder ")
    assert log == f"settings.toml: [log] file: {tmp_path}/data is a folder; name the file"


def test_default_folder_is_made_last(tmp_path: Path) -> None:
    """Where another folder is missing nothing is made; else what was made is returned."""
    with pytest.raises(SettingsError, match=r"the folder .*data/alerts does not exist"):
        load().require_folders()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "alerts").mkdir()
    assert load({"stores.alerts": "alerts/alerts.json"}).require_folders() == [tmp_path / "data"]
    assert (tmp_path / "data").is_dir()


def test_read_only_stores_may_be_absent(tmp_path: Path) -> None:
    """The read only stores folder counts only where it was configured."""
    (tmp_path / "alerts").mkdir()
    flags = {"stores.alerts": "alerts/a.json", "stores.journal": "j.db", "status.token_file": "t"}
    load(flags).require_folders()
    with pytest.raises(SettingsError, match=r"^flag --stores\.contracts: "):
        load(flags | {"stores.contracts": "data/c.json"}).require_folders()


def test_zones_are_named_or_the_hosts() -> None:
    """Zones are the named ones or the host s."""
    settings = load({"stores.timezone": "Europe/Berlin", "gateway.timezone": "US/Eastern"})
    assert settings.store_zone() == ZoneInfo("Europe/Berlin")
    assert settings.login_zone() == ZoneInfo("US/Eastern")
    assert isinstance(load().store_zone(), HostZone)
    assert isinstance(load().login_zone(), HostZone)


@given(seconds=st.integers(0, 3 * 365 * 86400), fold=st.sampled_from([0, 1]))
@pytest.mark.usefixtures("local_time")
def test_host_zone_agrees_with_its_name(seconds: int, fold: int) -> None:
    """The host s zone agrees with the zone of that name."""
    named, host = ZoneInfo("America/New_York"), HostZone()
    instant = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    there, here = instant.astimezone(named), instant.astimezone(host)
    assert (here.replace(tzinfo=None), here.fold) == (there.replace(tzinfo=None), there.fold)
    assert (here.utcoffset(), here.tzname()) == (there.utcoffset(), there.tzname())
    written = instant.replace(tzinfo=None, fold=fold)
    assert written.replace(tzinfo=host).astimezone(UTC) == written.replace(tzinfo=named).astimezone(UTC)


@pytest.mark.usefixtures("local_time")
def test_host_zone_tells_autumn_hours_apart() -> None:
    """The host s zone tells the two hours of an autumn night apart."""
    summer = datetime(2025, 11, 2, 5, 30, tzinfo=UTC).astimezone(HostZone())
    winter = datetime(2025, 11, 2, 6, 30, tzinfo=UTC).astimezone(HostZone())
    assert summer.replace(tzinfo=None) == winter.replace(tzinfo=None) == datetime(2025, 11, 2, 1, 30)
    assert (summer.fold, winter.fold) == (0, 1)
    assert (summer.tzname(), winter.tzname()) == ("EDT", "EST")
    assert summer.dst() is None
    assert str(HostZone()) == "the host's time zone"


def test_the_clock_gives_aware_utc() -> None:
    before = datetime.now(UTC)
    assert before <= now() <= datetime.now(UTC)
    assert now().tzinfo is UTC


def test_reference_file_names_every_setting() -> None:
    """The reference file names every setting with its default."""
    reference = tomllib.loads((PROJECT / "settings.toml").read_text())
    assert {section: set(values) for section, values in reference.items()} == {
        section: set(keys) for section, keys in KEYS.items()
    }
    for section, model in SECTIONS.items():
        for name, info in model.model_fields.items():
            written = reference[section][key_of(name, info)]
            default = {None: "", (): []}.get(info.default, info.default)
            assert written == (str(default) if isinstance(default, Path) else default), (section, name)


def test_reference_file_loads_to_defaults(tmp_path: Path) -> None:
    """The reference file loads to the defaults."""
    text = (PROJECT / "settings.toml").read_text()
    default = load()
    write(text)
    assert load().model_dump() == default.model_dump()


def test_reference_example_is_valid() -> None:
    """The example in the reference file is valid."""
    text = (PROJECT / "settings.toml").read_text()
    example = text[text.index("# [[alerters]]") :]
    write(re.sub("^# ", "", example, flags=re.MULTILINE))
    (alerter,) = load().alerters
    assert (alerter.name, alerter.title, alerter.aliases) == (
        "my-alerts",
        "My alerts",
        ("mine", "my-spx-alerts"),
    )


def test_unmakeable_default_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A default folder that cannot be made names the cause and the next step."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").write_text("a file in the folder's place")
    with pytest.raises(SettingsError, match="data cannot be made: File exists; create it"):
        load({"stores.alerts": "alerts.json"}).require_folders()
