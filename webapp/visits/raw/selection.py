"""Which rows answer a question, as SQL for DuckDB. Pure functions.

Three kinds of filters, by what they are about:

- of a *place* (country, device, …): rows of both kinds carry it;
- of a *visit* (its source, its entry and exit page): visits carry it, and activity passes when its visit does;
- of a *row* (page, event, property, product): activity carries it, and a visit passes when one of its rows passes all
  filters of rows together.

A visit counts where it began, so its rows, and a row's visit, are looked for a day around the range. A row may bear
the number of a visit that became another one since: such numbers are followed both ways.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from webapp.visits.backlog import Kind
from webapp.visits.models import Dimension, RawKind
from webapp.visits.questions import ENTRY_PAGE, EXIT_PAGE, FIELDS, PAGE, Filter, Operator, Question
from webapp.visits.raw.frames import ACTIVITY_SCHEMA, PLACE, SOURCE, TIME_COLUMNS, VISIT_SCHEMA

MARGIN = timedelta(days=1)
VISIT_FIELDS = (*SOURCE, ENTRY_PAGE, EXIT_PAGE)
EVENT, PROPERTY, PRODUCT = Dimension.EVENT.value, Dimension.PROPERTY.value, Dimension.PRODUCT.value
NAMED_KINDS = {EVENT: Kind.EVENT, PROPERTY: Kind.EVENT, PRODUCT: Kind.PRODUCT}
ROW_FIELDS = (PAGE, *NAMED_KINDS)
SEPARATOR = "\x1f"
IS_VISITOR = f"kind <> {Kind.ENGAGEMENT.value}"
COLUMNS = {RawKind.ACTIVITY: ", ".join(ACTIVITY_SCHEMA), RawKind.VISIT: ", ".join(VISIT_SCHEMA)}
NO_ROWS = {RawKind.ACTIVITY: "no_activity", RawKind.VISIT: "no_visits"}
"""Tables without a row, for when there is no file."""
PASSING_VISITS = """
    SELECT visit FROM {rows} AS own ANTI JOIN (SELECT visit FROM {rows} WHERE sign < 0) AS changed USING (visit)
    WHERE sign > 0
    UNION ALL
    SELECT visit FROM {rows} AS own SEMI JOIN (SELECT visit FROM {rows} WHERE sign < 0) AS changed USING (visit)
    GROUP BY visit HAVING sum(sign) > 0
"""
"""Few visits changed after they were written: only those are added up, which saves a fifth of the time."""
JOINS = "became_0 AS MATERIALIZED (SELECT visit, joined FROM {rows})"
FURTHER = """
    became_{after} AS MATERIALIZED (
        SELECT visit, joined FROM became_{before}
        UNION SELECT near.visit, far.joined FROM became_{before} AS near JOIN became_{before} AS far
            ON far.visit = near.joined
    )
"""
DOUBLINGS = 6
"""Each step follows visits twice as far as the one before: up to 64 joins, one after the other, which is more than
half hours in the margin. Most sites have few joins, and then a step takes nothing. SQL's own recursion takes twice as
long for the whole question, since nobody can tell beforehand how many rows it finds."""
WITH_JOINED = """
    WITH {became}, passing AS MATERIALIZED ({passing})
    SELECT visit FROM passing
    UNION ALL SELECT became_{last}.{found} FROM became_{last} SEMI JOIN passing ON passing.visit = became_{last}.{known}
"""
"""Numbers that pass, and those that stand for the same visits."""
STANDING = """
    {became}, signed AS MATERIALIZED (SELECT visit, sign, referrer FROM {rows} WHERE sign <> 0),
    changed AS MATERIALIZED (SELECT visit FROM signed WHERE sign < 0),
    own AS MATERIALIZED (
        SELECT visit, referrer FROM signed ANTI JOIN changed USING (visit)
        UNION ALL
        SELECT visit, referrer FROM signed SEMI JOIN changed USING (visit) GROUP BY ALL HAVING sum(sign) > 0
    ),
    standing AS MATERIALIZED (
        SELECT visit AS number, visit, referrer FROM own
        UNION ALL
        SELECT became_{last}.visit, own.visit, own.referrer
        FROM became_{last} JOIN own ON own.visit = became_{last}.joined
    )
"""
COMPARISONS = {
    Operator.IS: "{column} = {value}",
    Operator.IS_NOT: "{column} = {value}",
    Operator.BEGINS: "starts_with({column}, {value})",
    Operator.CONTAINS: "contains({column}, {value})",
}


@dataclass
class Parameters:
    """Values of a statement, each under a name of its own."""

    values: dict[str, Any] = field(default_factory=dict)

    def add(self, value: Any) -> str:
        """The placeholder that stands for the value."""
        name = f"p{len(self.values)}"
        self.values[name] = value
        return f"${name}"


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

    def __post_init__(self) -> None:
        for wanted in self.question.filters:
            if wanted.field not in FIELDS:
                raise ValueError(f"Visits have no field {wanted.field!r}.")

    def activity(self, parameters: Parameters, condition: str = "") -> str:
        """The activity of the range that passes all filters, and a condition on it."""
        conditions = [condition] if condition else []
        conditions += _conditions([*self._row_filters, *self._filters(PLACE)], parameters)
        if self._filters(VISIT_FIELDS):
            conditions.append(f"visit IN ({self._passing_visits(parameters)})")
        return self._rows(RawKind.ACTIVITY, self.question.start, self.question.end, conditions, parameters)

    def visits(self, parameters: Parameters) -> str:
        """The visits that began in the range and pass all filters."""
        conditions = _conditions(self._filters((*PLACE, *VISIT_FIELDS)), parameters)
        if self._row_filters:
            conditions.append(f"visit IN ({self._visits_of_passing_rows(parameters)})")
        return self._rows(RawKind.VISIT, self.question.start, self.question.end, conditions, parameters)

    def rows_of_visits(self, parameters: Parameters, condition: str) -> str:
        """All activity that visits of the range may have, whatever the filters."""
        return self._rows(RawKind.ACTIVITY, self.question.start, self.question.end + MARGIN, [condition], parameters)

    def standing_visits(self, parameters: Parameters) -> str:
        """The table `standing` of the visits that began in the range and pass all filters, for WITH.

        It has each `number` under which a visit's rows may be found, with the `visit` itself and its referrer.
        """
        became = self._became(parameters)
        return STANDING.format(rows=self.visits(parameters), became=became, last=DOUBLINGS)

    def _passing_visits(self, parameters: Parameters) -> str:
        conditions = _conditions(self._filters((*PLACE, *VISIT_FIELDS)), parameters)
        start, end = self.question.start - MARGIN, self.question.end
        passing = PASSING_VISITS.format(rows=self._rows(RawKind.VISIT, start, end, conditions, parameters))
        return self._with_joined(passing, "visit", "joined", parameters)

    def _visits_of_passing_rows(self, parameters: Parameters) -> str:
        conditions = [IS_VISITOR, *_conditions([*self._row_filters, *self._filters(PLACE)], parameters)]
        start, end = self.question.start, self.question.end + MARGIN
        passing = f"SELECT visit FROM {self._rows(RawKind.ACTIVITY, start, end, conditions, parameters)}"
        return self._with_joined(passing, "joined", "visit", parameters)

    def _with_joined(self, passing: str, found: str, known: str, parameters: Parameters) -> str:
        became = self._became(parameters)
        return WITH_JOINED.format(became=became, passing=passing, found=found, known=known, last=DOUBLINGS)

    def _became(self, parameters: Parameters) -> str:
        start, end = self.question.start - MARGIN, self.question.end
        rows = self._rows(RawKind.VISIT, start, end, ["joined <> 0"], parameters)
        steps = [FURTHER.format(before=step, after=step + 1) for step in range(DOUBLINGS)]
        return ", ".join([JOINS.format(rows=rows), *steps])

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

    @property
    def _row_filters(self) -> list[Filter]:
        return self._filters(ROW_FIELDS)

    def _filters(self, names: Iterable[str]) -> list[Filter]:
        wanted = set(names)
        return [found for found in self.question.filters if found.field in wanted]


def milliseconds(moment: datetime) -> int:
    """A moment as raw rows have it."""
    return round(moment.timestamp() * 1000)


def json_pointer(key: str) -> str:
    """Where DuckDB finds a property in an object of properties."""
    return "/" + key.replace("~", "~0").replace("/", "~1")


def row_condition(wanted: Filter, parameters: Parameters) -> str:
    """Whether a row passes a filter."""
    condition = _alternatives(wanted, parameters)
    return f"(NOT {condition})" if wanted.operator is Operator.IS_NOT else condition


def _conditions(filters: list[Filter], parameters: Parameters) -> list[str]:
    return [row_condition(wanted, parameters) for wanted in filters]


def _alternatives(wanted: Filter, parameters: Parameters) -> str:
    """One of the values. No values at all are passed by nothing."""
    compare = _comparison_of(wanted)
    return f"({' OR '.join(compare(value, parameters) for value in wanted.values) or 'false'})"


def _comparison_of(wanted: Filter) -> Callable[[str, Parameters], str]:
    comparison = COMPARISONS[wanted.operator]

    def is_like(value: str, parameters: Parameters) -> str:
        return comparison.format(column=wanted.field, value=parameters.add(value))

    def is_named(value: str, parameters: Parameters) -> str:
        kind = NAMED_KINDS[wanted.field].value
        return f"(kind = {kind} AND {comparison.format(column='name', value=parameters.add(value))})"

    def has_property(value: str, parameters: Parameters) -> str:
        event, key, text = (*value.split(SEPARATOR, 2), "", "")[:3]
        found = f"json_extract_string(nullif(props, ''), {parameters.add(json_pointer(key))})"
        is_equal = comparison.format(column=f"coalesce({found}, '')", value=parameters.add(text))
        has_key = f"{found} IS NOT NULL"
        return f"(kind = {Kind.EVENT.value} AND name = {parameters.add(event)} AND {has_key} AND {is_equal})"

    if wanted.field == PROPERTY:
        return has_property
    return is_named if wanted.field in NAMED_KINDS else is_like
