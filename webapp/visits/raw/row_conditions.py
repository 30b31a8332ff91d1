"""Whether a row of raw rows passes a filter, as SQL for DuckDB, and the values of a statement. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from webapp.visits.backlog import Kind
from webapp.visits.models import Dimension
from webapp.visits.questions import ENTRY_PAGE, EXIT_PAGE, PAGE, Filter, Operator

EVENT, PROPERTY, PRODUCT = Dimension.EVENT.value, Dimension.PROPERTY.value, Dimension.PRODUCT.value
NAMED_KINDS = {EVENT: Kind.EVENT, PROPERTY: Kind.EVENT, PRODUCT: Kind.PRODUCT}
SEPARATOR = "\x1f"
PATH = "regexp_extract({column}, '^[^/]*//[^/]*(/.*)$', 1)"
"""What follows the host of a page."""
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


def row_condition(wanted: Filter, parameters: Parameters) -> str:
    """Whether a row passes a filter."""
    condition = one_of(wanted, parameters)
    return f"(NOT {condition})" if wanted.operator is Operator.IS_NOT else condition


def row_conditions(filters: Iterable[Filter], parameters: Parameters) -> list[str]:
    """The same of several filters."""
    return [row_condition(wanted, parameters) for wanted in filters]


def one_of(wanted: Filter, parameters: Parameters) -> str:
    """Whether a row has one of a filter's values, which `is not` forbids. No values at all are had by nothing."""
    compare = _comparison_of(wanted)
    return f"({' OR '.join(compare(value, parameters) for value in wanted.values) or 'false'})"


def json_pointer(key: str) -> str:
    """Where DuckDB finds a property in an object of properties."""
    return "/" + key.replace("~", "~0").replace("/", "~1")


def _comparison_of(wanted: Filter) -> Callable[[str, Parameters], str]:
    comparison = COMPARISONS[wanted.operator]

    def is_like(value: str, parameters: Parameters) -> str:
        return comparison.format(column=wanted.field, value=parameters.add(value))

    def is_page(value: str, parameters: Parameters) -> str:
        """Pages are kept by their whole address; a path that nobody put a site's origins before is one on any host."""
        is_path = value.startswith("/") and wanted.operator is not Operator.CONTAINS
        column = PATH.format(column=wanted.field) if is_path else wanted.field
        return comparison.format(column=column, value=parameters.add(value))

    def is_named(value: str, parameters: Parameters) -> str:
        kind = NAMED_KINDS[wanted.field].value
        return f"(kind = {kind} AND {comparison.format(column='name', value=parameters.add(value))})"

    def has_property(value: str, parameters: Parameters) -> str:
        event, key, text = (*value.split(SEPARATOR, 2), "", "")[:3]
        found = f"json_extract_string(nullif(props, ''), {parameters.add(json_pointer(key))})"
        is_equal = comparison.format(column=f"coalesce({found}, '')", value=parameters.add(text))
        has_key = f"{found} IS NOT NULL"
        return f"(kind = {Kind.EVENT.value} AND name = {parameters.add(event)} AND {has_key} AND {is_equal})"

    if wanted.field in {PAGE, ENTRY_PAGE, EXIT_PAGE}:
        return is_page
    if wanted.field == PROPERTY:
        return has_property
    return is_named if wanted.field in NAMED_KINDS else is_like
