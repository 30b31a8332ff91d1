"""Which rows answer a question, as SQL for DuckDB. Pure functions.

Four kinds of filters, by what they are about:

- of a *place* (country, device, …): rows of both kinds carry it;
- of a *visit* (its source, its entry and exit page): visits carry it, and activity passes when its visit does;
- of what was *done* in a visit (event, property, product): a visit passes when one of its rows has it, or, with "is
  not", when none has; activity passes when its visit does. Several such filters may each be had by another row;
- of a *row* (page, and what a question asks of `rows`): activity carries it, and a visit passes when one of its rows
  passes all of them together.

A visit counts where it began, so its rows, and a row's visit, are looked for a day around the range. A row may bear
the number of a visit that became another one since: such numbers are followed both ways.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from webapp.visits.backlog import Kind
from webapp.visits.models import RawKind
from webapp.visits.questions import ENTRY_PAGE, EXIT_PAGE, FIELDS, PAGE, Filter, Operator, Question
from webapp.visits.raw.frames import ACTIVITY_SCHEMA, PLACE, SOURCE, TIME_COLUMNS, VISIT_SCHEMA
from webapp.visits.raw.row_conditions import NAMED_KINDS, Parameters, one_of, row_conditions
from webapp.visits.raw.visit_tables import (
    DID,
    DID_IT,
    PASSING,
    PASSING_VISITS,
    SHOWN,
    SIGNED,
    UNSURE,
    UNSURE_VISITS,
    VISITS_OF_ROWS,
)

MARGIN = timedelta(days=1)
VISIT_FIELDS = (*SOURCE, ENTRY_PAGE, EXIT_PAGE)
ROW_FIELDS = (PAGE, *NAMED_KINDS)
"""What a single row has, as a step of a funnel is."""
IS_VISITOR = f"kind <> {Kind.ENGAGEMENT.value}"
COLUMNS = {RawKind.ACTIVITY: ", ".join(ACTIVITY_SCHEMA), RawKind.VISIT: ", ".join(VISIT_SCHEMA)}
NO_ROWS = {RawKind.ACTIVITY: "no_activity", RawKind.VISIT: "no_visits"}
"""Tables without a row, for when there is no file."""
STANDING = """
    signed AS MATERIALIZED (SELECT visit, sign, {told} FROM {rows} WHERE sign <> 0),
    changed AS MATERIALIZED (SELECT visit FROM signed WHERE sign < 0),
    own AS MATERIALIZED (
        SELECT visit, {told} FROM signed ANTI JOIN changed USING (visit)
        UNION ALL
        SELECT visit, {told} FROM signed SEMI JOIN changed USING (visit) GROUP BY ALL HAVING sum(sign) > 0
    ),
    standing AS MATERIALIZED (
        SELECT visit AS number, visit, {told} FROM own
        UNION ALL
        SELECT became.visit, own.visit, own.{told} FROM became JOIN own ON own.visit = became.joined
    )
"""


@dataclass(frozen=True)
class Part:
    """Files whose rows are chosen in the same way.

    `parameter` stands for the files in a statement. All rows of files that lie inside the range are of its time.
    Rows before `complete_from_ms` are passed over: retention took others of that time.
    """

    kind: RawKind
    parameter: str
    is_inside: bool
    complete_from_ms: int = 0

    def conditions(self, in_range: str, others: list[str]) -> str:
        """Which rows of the files are chosen."""
        complete = [f"{TIME_COLUMNS[self.kind]} >= {self.complete_from_ms}"] if self.complete_from_ms else []
        return " AND ".join([*([] if self.is_inside else [in_range]), *complete, *others]) or "true"


@dataclass(frozen=True)
class Selection:
    """The rows that answer a question, as tables for a statement."""

    question: Question
    parts: tuple[Part, ...]
    asks_entries: bool = False
    """Whether a visit's own entry is asked before its rows, so that only those that it fails are looked for there.

    The entry is one of the rows, at the visit's own place and page: where it passes, the visit does.
    """

    def __post_init__(self) -> None:
        for wanted in (*self.question.filters, *self.question.rows):
            if wanted.field not in FIELDS:
                raise ValueError(f"Visits have no field {wanted.field!r}.")

    @property
    def row_filters(self) -> list[Filter]:
        """What every row of activity is asked for by itself."""
        return [*self._filters([PAGE]), *self.question.rows]

    @property
    def may_ask_entries(self) -> bool:
        """Whether all that a row is asked for is known of a visit's entry."""
        return bool(self.row_filters) and all(wanted.field == PAGE for wanted in self.row_filters)

    def activity(self, parameters: Parameters, condition: str = "") -> str:
        """The activity of the range that passes all filters, and a condition on it."""
        conditions = [condition] if condition else []
        conditions += row_conditions([*self.row_filters, *self._filters(PLACE)], parameters)
        if self._filters(VISIT_FIELDS):
            conditions.append(f"visit IN (SELECT visit FROM {PASSING})")
        conditions += self._who_did()
        return self._rows(RawKind.ACTIVITY, self.question.start, self.question.end, conditions, parameters)

    def visits(self, parameters: Parameters) -> str:
        """The visits that began in the range and pass all filters."""
        by_row = f"visit IN (SELECT visit FROM {SHOWN})"
        if not self.row_filters:
            return self._visits([], parameters)
        if not self.asks_entries:
            return self._visits([by_row], parameters)
        entered = self._visits([self._entered(parameters)], parameters)
        others = self._visits([f"NOT {self._entered(parameters)}", by_row], parameters)
        return f"(SELECT * FROM {entered} UNION ALL SELECT * FROM {others})"

    def visits_by_entry(self, parameters: Parameters) -> str:
        """The same for whoever looks for entries on pages of rows that pass, which need not be found once more."""
        return self._visits([], parameters) if self.may_ask_entries else self.visits(parameters)

    def count_entries(self, parameters: Parameters) -> str:
        """How many visits of the range and of its places there are, and how many of them enter on a wanted page."""
        conditions = row_conditions(self._filters(PLACE), parameters)
        rows = self._rows(RawKind.VISIT, self.question.start, self.question.end, conditions, parameters)
        return f"SELECT count(*), count(*) FILTER (WHERE {self._entered(parameters)}) FROM {rows}"

    def define(self, name: str, parameters: Parameters) -> str:
        """What is in a table of `visit_tables`, which a reading makes when a statement names it."""
        made = {SIGNED: self._signed, PASSING: lambda _: PASSING_VISITS, SHOWN: self._shown, UNSURE: self._unsure}
        return made[name](parameters) if name in made else self._did(name, parameters)

    def joins(self, parameters: Parameters) -> str:
        """Visits that went into another. What a visit of the range took up may have begun after the range."""
        start, end = self.question.start - MARGIN, self.question.end + MARGIN
        return f"SELECT visit, joined FROM {self._rows(RawKind.VISIT, start, end, ['joined <> 0'], parameters)}"

    def rows_of_visits(self, parameters: Parameters, condition: str) -> str:
        """All activity that visits of the range may have, whatever the filters."""
        return self._rows(RawKind.ACTIVITY, self.question.start, self.question.end + MARGIN, [condition], parameters)

    def visits_nearby(self, parameters: Parameters) -> str:
        """All visits of which activity of the range may be, whatever the filters."""
        start, end = self.question.start - MARGIN, self.question.end
        return self._rows(RawKind.VISIT, start, end, ["sign <> 0"], parameters)

    def passing_rows_after(self, parameters: Parameters) -> str:
        """Activity behind the range that visits of it may have, as far as each row by itself passes the filters."""
        end = self.question.end
        # Files that lie inside the range are not asked for the time by themselves.
        conditions = [f"visited_ms >= {parameters.add(milliseconds(end))}"]
        conditions += row_conditions([*self.row_filters, *self._filters(PLACE)], parameters)
        return self._rows(RawKind.ACTIVITY, end, end + MARGIN, conditions, parameters)

    def standing_visits(self, parameters: Parameters, rows: str = "", told: str = "referrer") -> str:
        """The table `standing` of the visits that began in the range and pass all filters, for WITH.

        It has each `number` under which a visit's rows may be found, with the `visit` itself and what is `told` of it.
        `rows` are those visits, where they are known already.
        """
        return STANDING.format(rows=rows or self.visits(parameters), told=told)

    def _entered(self, parameters: Parameters) -> str:
        """Whether a visit's entry passes what every row is asked for."""
        entries = [replace(wanted, field=ENTRY_PAGE) for wanted in self.row_filters]
        return f"({' AND '.join(row_conditions(entries, parameters))})"

    def _visits(self, conditions: list[str], parameters: Parameters) -> str:
        """The visits that began in the range and pass the filters that are not of rows, and these conditions."""
        own = row_conditions(self._filters((*PLACE, *VISIT_FIELDS)), parameters)
        every = [*own, *conditions, *self._who_did()]
        return self._rows(RawKind.VISIT, self.question.start, self.question.end, every, parameters)

    def _who_did(self) -> list[str]:
        """Conditions on the number of a visit."""
        return [
            f"visit {'NOT ' if wanted.operator is Operator.IS_NOT else ''}IN (SELECT visit FROM {DID.format(number=n)})"
            for n, wanted in enumerate(self._filters(NAMED_KINDS))
        ]

    def _did(self, name: str, parameters: Parameters) -> str:
        """The rows may lie a day before the range, in a visit that reaches into it, or after it."""
        wanted = {DID.format(number=n): found for n, found in enumerate(self._filters(NAMED_KINDS))}[name]
        start, end = self.question.start - MARGIN, self.question.end + MARGIN
        return DID_IT.format(rows=self._rows(RawKind.ACTIVITY, start, end, [one_of(wanted, parameters)], parameters))

    def _signed(self, parameters: Parameters) -> str:
        """The changes of visits to which activity of the range may belong."""
        conditions = ["sign <> 0", *row_conditions(self._filters((*PLACE, *VISIT_FIELDS)), parameters)]
        start, end = self.question.start - MARGIN, self.question.end
        return f"SELECT visit, sign FROM {self._rows(RawKind.VISIT, start, end, conditions, parameters)}"

    def _shown(self, parameters: Parameters) -> str:
        conditions = [IS_VISITOR, *row_conditions([*self.row_filters, *self._filters(PLACE)], parameters)]
        if self.asks_entries:
            conditions.append(f"visit IN (SELECT visit FROM {UNSURE})")
        start, end = self.question.start, self.question.end + MARGIN
        return VISITS_OF_ROWS.format(rows=self._rows(RawKind.ACTIVITY, start, end, conditions, parameters))

    def _unsure(self, parameters: Parameters) -> str:
        conditions = ["sign <> 0", f"NOT {self._entered(parameters)}"]
        return UNSURE_VISITS.format(rows=self._visits(conditions, parameters))

    def _rows(
        self, kind: RawKind, start: datetime, end: datetime, conditions: list[str], parameters: Parameters
    ) -> str:
        time = f"{TIME_COLUMNS[kind]} >= {parameters.add(milliseconds(start))}"
        time += f" AND {TIME_COLUMNS[kind]} < {parameters.add(milliseconds(end))}"
        tables = [
            f"SELECT {COLUMNS[kind]} FROM read_parquet(${part.parameter}) WHERE {part.conditions(time, conditions)}"
            for part in self.parts
            if part.kind is kind
        ]
        nothing = f"SELECT * FROM {NO_ROWS[kind]} WHERE {' AND '.join([time, *conditions])}"
        return f"({' UNION ALL '.join(tables or [nothing])})"

    def _filters(self, names: Iterable[str]) -> list[Filter]:
        wanted = set(names)
        return [found for found in self.question.filters if found.field in wanted]


def spans_of(question: Question) -> dict[RawKind, tuple[datetime, datetime]]:
    """Where rows lie that a question may look at."""
    did = any(wanted.field in NAMED_KINDS for wanted in question.filters)
    return {
        RawKind.ACTIVITY: (question.start - MARGIN if did else question.start, question.end + MARGIN),
        RawKind.VISIT: (question.start - MARGIN, question.end + MARGIN),
    }


def milliseconds(moment: datetime) -> int:
    """A moment as raw rows have it."""
    return round(moment.timestamp() * 1000)
