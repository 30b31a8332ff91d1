"""Which rows answer a question, as SQL for DuckDB. Pure functions.

Three kinds of filters, by what they are about:

- of a *place* (country, device, …): rows of both kinds carry it;
- of a *visit* (its source, its entry and exit page): visits carry it, and activity passes when its visit does;
- of a *row* (page, event, property, product): activity carries it, and a visit passes when one of its rows passes all
  filters of rows together.

A visit counts where it began, so its rows, and a row's visit, are looked for a day around the range.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from webapp.visits.backlog import Kind
from webapp.visits.models import Dimension
from webapp.visits.questions import ENTRY_PAGE, EXIT_PAGE, FIELDS, PAGE, Filter, Operator, Question
from webapp.visits.raw.frames import PLACE, SOURCE

MARGIN = timedelta(days=1)
VISIT_FIELDS = (*SOURCE, ENTRY_PAGE, EXIT_PAGE)
EVENT, PROPERTY, PRODUCT = Dimension.EVENT.value, Dimension.PROPERTY.value, Dimension.PRODUCT.value
NAMED_KINDS = {EVENT: Kind.EVENT, PROPERTY: Kind.EVENT, PRODUCT: Kind.PRODUCT}
SEPARATOR = "\x1f"
IS_VISITOR = f"kind <> {Kind.ENGAGEMENT.value}"
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
class Tables:
    """What stands for the rows of each kind in a statement."""

    activity: str
    visits: str


@dataclass(frozen=True)
class Selection:
    """Conditions on activity and on visits."""

    question: Question
    tables: Tables

    def __post_init__(self) -> None:
        for wanted in self.question.filters:
            if wanted.field not in FIELDS:
                raise ValueError(f"Visits have no field {wanted.field!r}.")

    def activity(self, parameters: Parameters) -> str:
        """The condition on activity."""
        question = self.question
        parts = [_within("visited_ms", question.start, question.end, parameters)]
        parts += _conditions(self._row_filters, parameters) + _conditions(self._filters(PLACE), parameters)
        if self._filters(VISIT_FIELDS):
            parts.append(f"visit IN ({self._passing_visits(parameters)})")
        return " AND ".join(parts)

    def visits(self, parameters: Parameters) -> str:
        """The condition on visits."""
        question = self.question
        parts = [_within("started_ms", question.start, question.end, parameters)]
        parts += _conditions(self._filters((*PLACE, *VISIT_FIELDS)), parameters)
        if self._row_filters:
            parts.append(f"visit IN ({self._visits_of_passing_rows(parameters)})")
        return " AND ".join(parts)

    def _passing_visits(self, parameters: Parameters) -> str:
        question = self.question
        parts = [_within("started_ms", question.start - MARGIN, question.end, parameters)]
        parts += _conditions(self._filters(VISIT_FIELDS), parameters)
        return f"SELECT visit FROM {self.tables.visits} WHERE {' AND '.join(parts)} GROUP BY visit HAVING sum(sign) > 0"

    def _visits_of_passing_rows(self, parameters: Parameters) -> str:
        question = self.question
        parts = [_within("visited_ms", question.start, question.end + MARGIN, parameters), IS_VISITOR]
        parts += _conditions(self._row_filters, parameters)
        return f"SELECT visit FROM {self.tables.activity} WHERE {' AND '.join(parts)}"

    @property
    def _row_filters(self) -> list[Filter]:
        return self._filters((PAGE, *NAMED_KINDS))

    def _filters(self, names: Iterable[str]) -> list[Filter]:
        wanted = set(names)
        return [found for found in self.question.filters if found.field in wanted]


def milliseconds(moment: datetime) -> int:
    """A moment as raw rows have it."""
    return round(moment.timestamp() * 1000)


def json_pointer(key: str) -> str:
    """Where DuckDB finds a property in an object of properties."""
    return "/" + key.replace("~", "~0").replace("/", "~1")


def _within(column: str, start: datetime, end: datetime, parameters: Parameters) -> str:
    return f"{column} >= {parameters.add(milliseconds(start))} AND {column} < {parameters.add(milliseconds(end))}"


def _conditions(filters: list[Filter], parameters: Parameters) -> list[str]:
    conditions = []
    for wanted in filters:
        condition = _alternatives(wanted, parameters)
        conditions.append(f"NOT {condition}" if wanted.operator is Operator.IS_NOT else condition)
    return conditions


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
