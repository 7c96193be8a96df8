"""Read an IBKR Flex report, an XML file, into its statements, hours and rows.

Owns which rows of a report count and which hours it covers, and refuses a report that lacks something:
nothing of such a file is imported. The file is read twice, one row after the other: what it holds, then
whether each row can be read; `flex_spool.py` keeps the rows, so a report may be larger than memory. Its XML
is read in `flex_xml.py`, its dates in `flex_dates.py`, its bookings in `flex_bookings.py`, its rows in
`flex_rows.py`; `flex_columns.py` says what is needed. It never asks IBKR for a report and decides nothing.

Rules
- Only rows with level of detail EXECUTION count; the other levels repeat them. A report that has only other
  levels is refused: it does not list the trades that there were.
- A report of trades covers its trade dates that were over when it was made; each ends at 20:20 New York. One
  of trade confirmations covers those of its day up to some minutes before it was made.
- A row without an account is one of its statement's account.
- A needed column that no row has, and a value that cannot be read, refuse the file by the query's own label.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Final

from tracker.core.limits import quoted
from tracker.gateway.flex_bookings import Repeated, settle
from tracker.gateway.flex_check import broken, left_out
from tracker.gateway.flex_columns import (
    ADVISABLE,
    EXECUTION,
    OTHERS,
    SECTIONS,
    TRADES,
    WITH_EXECUTIONS,
    Columns,
    FlexSection,
    Row,
    is_booked,
    is_cancel,
    level_of,
)
from tracker.gateway.flex_dates import FORMATS, DateFormat, evening_of, formats_of, hours_of, read_time
from tracker.gateway.flex_rows import DAY, EXPIRY, LATE, NUMBER, TIME, exec_id_of, own_id_of
from tracker.gateway.flex_spool import RowSpool
from tracker.gateway.flex_xml import STATEMENT, FlexUnreadable, FlexXml, Progress

__all__ = ["FlexReport", "FlexUnreadable", "QueryCheck", "Statement", "check_report", "read_report"]

_LATEST: Final = timedelta(minutes=15)
"""A report of confirmations holds the trades up to so long before it was made; IBKR says 5 to 10 min."""
_NEVER: Final = datetime.min.replace(tzinfo=UTC)
_DATES: Final = ("dateTime", "tradeDate", "expiry")
_IDS: Final = ("transactionID", "ibExecID", "tradeID")
"""The attributes by which a message names a row; the first that it has is used."""
_BROKEN_SHOWN: Final = 20
_AGAIN: Final = "run it again and import the new file"


@dataclass(frozen=True, slots=True)
class Statement:
    """Hold one account's part of a report."""

    account: str
    begins: datetime
    ends: datetime
    """The hours whose executions it holds, in aware UTC; empty where both are equal."""
    absent: tuple[str, ...] = ()
    """The useful sections that it lacks, as the XML spells them."""
    cancels: tuple[Row, ...] = ()
    """Its rows that cancel a trade which no row of the report has."""


@dataclass(frozen=True, slots=True)
class FlexReport:
    """Hold the content of a report that lacks nothing."""

    path: Path
    statements: tuple[Statement, ...]
    executions: int
    """How many executions it holds, including cancelled ones."""
    left_out: Mapping[int, tuple[str, ...]]
    """The contracts whose terms the query leaves out, by conid, with the labels of the missing fields."""
    others: tuple[tuple[str, Row], ...]
    """The rows of its other sections, each after the section's name, with its day under `DAY`, and its time
    under `TIME` where it has one."""
    _reader: _ReportReader

    def rows(self) -> Iterator[Row]:
        """Yield its executions in force in the order of time, attributes as text."""
        return self._reader.rows()


def read_report(path: Path, progress: Progress = lambda done, total: None) -> FlexReport:
    """Read a Flex report; `progress` is told how many of how many bytes are done. Raises FlexUnreadable."""
    try:
        return _ReportReader(FlexXml(path, progress)).report()
    except OSError as error:
        raise _no_room(path, error) from None


@dataclass(frozen=True, slots=True)
class QueryCheck:
    """Hold everything that is wrong with a report, so that its query can be corrected at once."""

    problems: tuple[FlexUnreadable, ...]
    """The reasons to refuse it; of broken rows only the first ones."""
    advisable: tuple[str, ...] = ()
    """The labels of fields that are useful and not required."""
    report: FlexReport | None = None
    """None where there is a problem."""


def check_report(path: Path, progress: Progress = lambda done, total: None) -> QueryCheck:
    """Find everything that a report lacks, and its broken rows."""
    try:
        reader = _ReportReader(FlexXml(path, progress))
        problems = tuple(islice(reader.problems(), _BROKEN_SHOWN))
    except FlexUnreadable as error:
        return QueryCheck((error,))
    except OSError as error:
        return QueryCheck((_no_room(path, error),))
    advisable = tuple(reader.advisable())
    return QueryCheck(problems, advisable, None if problems else reader.made())


def _no_room(path: Path, error: OSError) -> FlexUnreadable:
    return FlexUnreadable(
        f"the rows of {path} cannot be kept in {tempfile.gettempdir()}: {error.strerror or error};"
        " free some space there"
    )


@dataclass(slots=True)
class _StatementPart:
    """Gather the content of one statement."""

    head: Row
    sections: set[str] = field(default_factory=set)
    columns: dict[str, Columns] = field(default_factory=dict)
    begins: datetime = _NEVER
    ends: datetime = _NEVER
    levels: set[str] = field(default_factory=set)
    cancels: set[tuple[str, str]] = field(default_factory=set)
    """The names of its rows that cancel a trade."""

    @property
    def account(self) -> str:
        return self.head.get("accountId", "")

    def days(self) -> list[str]:
        return [self.head.get(name, "") for name in ("fromDate", "toDate")]


class _Others:
    """Gather the rows of the other sections: what several statements list counts once."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, Row]] = []
        self._listed: Counter[frozenset[tuple[str, str]]] = Counter()
        self._part: _StatementPart | None = None
        self._here: Counter[frozenset[tuple[str, str]]] = Counter()
        """How often the present statement lists a row."""

    def add(self, part: _StatementPart, section: str, row: Row) -> None:
        if part is not self._part:
            self._part, self._here = part, Counter()
        values = frozenset({"": section, **row}.items())
        self._here[values] += 1
        if self._here[values] > self._listed[values]:
            self._listed[values] += 1
            self.rows.append((section, row))


class _ReportReader:
    """Read one file several times."""

    def __init__(self, xml: FlexXml) -> None:
        self._xml = xml
        self._path = xml.path
        self._parts: list[_StatementPart] = []
        self._dates: set[str] = set()
        self._repeated = Repeated()
        self._spool = RowSpool()
        self._cancels: tuple[Row, ...] = ()
        self._left_out: dict[int, dict[str, None]] = {}
        self._others: list[tuple[str, Row]] = []
        self._executions = 0
        self._unnamed: dict[str, list[str]] = {}
        """The tradeIDs of trades without execId that have equal values."""
        self._form = FORMATS[0]

    def report(self) -> FlexReport:
        for problem in self.problems():
            raise problem
        return self.made()

    def made(self) -> FlexReport:
        """Return the report, for which `problems` yielded nothing."""
        left_out = {con_id: tuple(labels) for con_id, labels in self._left_out.items()}
        statements = tuple(
            Statement(
                part.account,
                part.begins,
                part.ends,
                absent=tuple(name for name in OTHERS if name not in part.sections),
                cancels=tuple(row for row in self._cancels if _name_of(row) in part.cancels),
            )
            for part in self._parts
        )
        return FlexReport(self._path, statements, self._executions, left_out, tuple(self._others), self)

    def problems(self) -> Iterator[FlexUnreadable]:
        """Yield the reasons to refuse the report; raises FlexUnreadable where the reading cannot go on."""
        self._survey()
        if not self._parts:
            raise FlexUnreadable(
                f"{self._path} holds no FlexStatement; download an Activity Flex Query as XML"
            )
        lacking = [problem for part in self._parts for problem in self._lacks(part)]
        yield from lacking
        if lacking:
            return
        self._form = _form_of(self._path, self._parts, self._dates)
        for part in self._parts:
            part.begins, part.ends = _hours(part, self._form)
        yield from self._check()

    def advisable(self) -> list[str]:
        """Return the labels of useful fields that no row has and that are not required."""
        return [
            section.label_of(name)
            for section in (SECTIONS[name] for name in WITH_EXECUTIONS)
            for name in ADVISABLE
            if (there := self._columns_of(section)) and name not in there
        ]

    def _columns_of(self, section: FlexSection) -> set[str]:
        columns = [part.columns[section.name].there for part in self._parts if section.name in part.columns]
        return set().union(*columns)

    def rows(self) -> Iterator[Row]:
        yield from self._spool.rows()

    # What it holds

    def _survey(self) -> None:
        for element in self._xml.elements():
            if element.tag == STATEMENT and not element.section:
                self._parts.append(_StatementPart(element.attributes))
            elif not element.tag:
                self._parts[-1].sections.add(element.section)
            elif (section := SECTIONS.get(element.section)) is None:
                continue
            elif element.tag == section.row:
                self._note(self._parts[-1], section, section.renamed(element.attributes))
            elif section.name in WITH_EXECUTIONS:
                # Order, SymbolSummary, Lot and others: they repeat executions, which must be there, too.
                self._parts[-1].levels.add(element.tag)

    def _note(self, part: _StatementPart, section: FlexSection, row: Row) -> None:
        if section.name not in WITH_EXECUTIONS:
            self._dates.update(row[name] for name in (*_DATES, "date", "reportDate") if row.get(name))
            return
        level = level_of(section, row)
        part.levels.add(level)
        if level in (EXECUTION, ""):
            part.columns.setdefault(section.name, Columns()).add(row)
        if level != EXECUTION:
            return
        self._dates.update(row[name] for name in _DATES if row.get(name))
        of = self._of(part, section, row)
        self._repeated.add(of)
        if is_cancel(of):
            part.cancels.add(_name_of(of))

    def _lacks(self, part: _StatementPart) -> Iterator[FlexUnreadable]:
        """Yield what a statement lacks; if it lacks anything, its rows are not checked."""
        name = part.account
        held = [SECTIONS[each] for each in WITH_EXECUTIONS if each in part.sections]
        if not name:
            yield FlexUnreadable(
                f"{self._path} does not say whose statement it holds; download an Activity Flex Query as XML"
            )
        if not held:
            yield FlexUnreadable(
                f"{self._path} has no Trades for account {name}: tick the fields {_where()}", ("Trades",)
            )
            return
        level = held[0].label_of("levelOfDetail")
        if part.levels and EXECUTION not in part.levels:
            levels = ", ".join(sorted(part.levels - {""})).lower()
            by = f"by {levels} only" if levels else "and not by which level"
            yield FlexUnreadable(
                f"{self._path} lists trades of {name} {by}:"
                f" tick {level} and the option Executions {_where(held[0])}",
                (level, "Executions"),
            )
        elif "" in part.levels:
            yield FlexUnreadable(
                f"{self._path} holds a trade of {name} whose {level} cannot be read; download the report"
                " again; nothing of it was imported"
            )
        for section in held:
            missing = list(part.columns[section.name].missing()) if section.name in part.columns else []
            labels = [section.label_of(each) for each in missing]
            if labels:
                them = "it" if len(labels) == 1 else "them"
                yield FlexUnreadable(
                    f"{self._path} lacks {', '.join(labels)} for account {name}:"
                    f" tick {them} {_where(section)}",
                    labels,
                )

    # Whether it can be read

    def _check(self) -> Iterator[FlexUnreadable]:
        """Check every row; yields the broken ones."""
        apart: list[Row] = []
        others = _Others()
        for part, section, row in self._rows():
            if section.name not in WITH_EXECUTIONS:
                others.add(part, section.name, self._with_day(row))
                continue
            dated = self._dated(row, part)
            if reason := broken(dated):
                yield self._broken(dated, section, reason)
                continue
            for name in left_out(dated):
                self._left_out.setdefault(int(dated["conid"]), {})[section.label_of(name)] = None
            dated = self._numbered(dated)
            if dated in self._repeated:
                apart.append(dated)
            else:
                self._executions += 1
                self._spool.add(dated)
        self._others = others.rows
        settled = settle(apart)
        for row in settled.rows:
            self._spool.add(row)
        self._executions += settled.executions
        self._cancels = settled.cancels

    def _broken(self, row: Row, section: FlexSection, reason: str) -> FlexUnreadable:
        name, _, rest = reason.partition(" ")
        key = next((each for each in _IDS if row.get(each)), _IDS[0])
        return FlexUnreadable(
            f"{self._path} holds a trade of {row['accountId']} that cannot be read, {section.label_of(key)}"
            f" {quoted(row.get(key, ''))}: {section.label_of(name)} {rest}. Download the report again, or"
            " close its days by hand with `tracker gaps accept`; nothing of it was imported"
        )

    # Rows

    def _rows(self) -> Iterator[tuple[_StatementPart, FlexSection, Row]]:
        """Yield the executions and the rows of the other sections that the tracker reads."""
        parts = iter(self._parts)
        part = self._parts[0]
        for element in self._xml.elements():
            if element.tag == STATEMENT and not element.section:
                part = next(parts)
                continue
            section = SECTIONS.get(element.section)
            if section is None or element.tag != section.row:
                continue
            row = section.renamed(element.attributes)
            if section.name not in WITH_EXECUTIONS or level_of(section, row) == EXECUTION:
                yield part, section, self._of(part, section, row)

    def _of(self, part: _StatementPart, section: FlexSection, row: Row) -> Row:
        """Return a row with its account; raises FlexUnreadable for an account of another statement."""
        of = row.get("accountId") or part.account
        if of == row.get("accountId") == part.account:
            return row
        if of != part.account and section.name in WITH_EXECUTIONS:
            raise FlexUnreadable(
                f"{self._path} holds a trade of {of} in the statement of {part.account}: do not consolidate"
                f" accounts in the query, {_AGAIN}"
            )
        return {**row, "accountId": of}

    def _dated(self, row: Row, part: _StatementPart) -> Row:
        """Return a row with its time and expiry, each empty where it cannot be read."""
        moment = self._moment(row)
        expiry = self._form.read_day(row.get("expiry", ""))
        dated = {
            **row,
            TIME: "" if moment is None else moment.isoformat(),
            EXPIRY: "" if expiry is None else expiry.isoformat(),
        }
        if moment is not None and moment < part.begins:
            dated[LATE] = "yes"
        return dated

    def _numbered(self, row: Row) -> Row:
        """Return a trade without execId with its number among the trades of the report with equal values."""
        if row.get("ibExecID") or is_cancel(row) or is_booked(row):
            return row
        ids = self._unnamed.setdefault(exec_id_of({**row, NUMBER: "1"}), [])
        own = own_id_of(row)
        if own not in ids:
            ids.append(own)
        return {**row, NUMBER: str(ids.index(own) + 1)}

    def _moment(self, row: Row) -> datetime | None:
        if row.get("dateTime"):
            return self._form.read_moment(row["dateTime"])
        day = self._form.read_day(row.get("tradeDate", ""))
        moment = None if day is None else read_time(day, row.get("tradeTime", ""))
        if day is None or moment is None:
            return None
        # A trade date begins in the evening of the day before.
        return moment if moment < evening_of(day) else read_time(day - timedelta(days=1), row["tradeTime"])

    def _with_day(self, row: Row) -> Row:
        days = (self._form.read_day(row.get(name, "")) for name in ("dateTime", "date", "reportDate"))
        day = next((day for day in days if day is not None), None)
        moment = self._form.read_moment(row.get("dateTime", ""))
        expiry = self._form.read_day(row.get("expiry", ""))
        return {
            **row,
            EXPIRY: "" if expiry is None else expiry.isoformat(),
            DAY: "" if day is None else day.isoformat(),
            TIME: "" if moment is None else moment.isoformat(),
        }


def _where(section: FlexSection = SECTIONS[TRADES]) -> str:
    option = " (option Executions)" if section.name == TRADES else ""
    return f"in the query's section {section.label}{option}, {_AGAIN}"


def _name_of(cancel: Row) -> tuple[str, str]:
    return cancel["accountId"], cancel.get("transactionID", "")


# Dates


def _form_of(path: Path, parts: Sequence[_StatementPart], dates: set[str]) -> DateFormat:
    """Return the form of the report's dates: of those that read each statement's days, the one that reads
    most dates.
    """
    if not all(text for part in parts for text in part.days()):
        raise FlexUnreadable(
            f"{path} does not say which days it covers; download an Activity Flex Query as XML"
        )
    heads = {text for part in parts for text in part.days()}
    heads |= {text for part in parts if (text := part.head.get("whenGenerated"))}
    read = formats_of(heads)
    # A custom period may end after the day on which the report was made.
    candidates = [form for form in read if all(_in_order(part, form) for part in parts)] or read
    best = candidates
    if len(candidates) > 1:
        reads = [sum(form.read_day(text) is not None for text in dates) for form in candidates]
        best = [form for form, count in zip(candidates, reads, strict=True) if count == max(reads)]
    example = min(heads, key=len)[:20]
    if not best:
        raise FlexUnreadable(
            f"{path} has dates like {example}, in none of the forms that are read"
            f" ({', '.join(form.name for form in FORMATS)}): choose one of them as the query's Date Format,"
            f" {_AGAIN}"
        )
    every = sorted(heads | dates) if len(best) > 1 else []
    if len({tuple(form.read_day(text) for text in every) for form in best}) > 1:
        raise FlexUnreadable(
            f"{path} has dates like {example}, which may be {' or '.join(form.name for form in best)}: choose"
            f" yyyyMMdd as the query's Date Format, {_AGAIN}"
        )
    return best[0]


def _in_order(part: _StatementPart, form: DateFormat) -> bool:
    days = [form.read_day(text) for text in (*part.days(), part.head.get("whenGenerated", ""))]
    known = [day for day in days if day is not None]
    return known == sorted(known)


def _hours(part: _StatementPart, form: DateFormat) -> tuple[datetime, datetime]:
    first, last = _day(part.head["fromDate"], form), _day(part.head["toDate"], form)
    made = part.head.get("whenGenerated", "")
    if TRADES in part.sections:
        day = form.read_day(made)
        return hours_of(first, last if day is None else min(last, day - timedelta(days=1)))
    begins, ends = hours_of(first, last)
    moment = form.read_moment(made)
    if moment is None:
        return begins, begins
    return begins, max(begins, min(ends, moment - _LATEST))


def _day(text: str, form: DateFormat) -> date:
    day = form.read_day(text)
    assert day is not None, "the form was chosen to read it"
    return day
