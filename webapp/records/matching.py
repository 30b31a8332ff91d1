"""A filter as conditions on a record's columns."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, String, and_, any_, cast, false, func, literal, not_, or_

from webapp.records.beside import compare_number, number_of
from webapp.records.entities import ATTRIBUTE_PREFIX, Entity
from webapp.records.fields import Context, FaultError, Field
from webapp.records.filters import Condition, Operator, RecordFilter
from webapp.records.former import was_seen_formerly
from webapp.records.known_sets import KnownSet, is_wanted
from webapp.records.phones import beginning_of
from webapp.visits.queries import was_seen

HIGHEST = "\U0010ffff"


def conditions_of(
    entity: Entity, record: Any, organisation_id: UUID, wanted: RecordFilter, context: Context
) -> list[ColumnElement[bool]]:
    """What a record, or an alias of its table, must fulfil, besides belonging to the organisation."""
    found = between(record.created_at, wanted.created_since, wanted.created_until)
    found += between(record.updated_at, wanted.updated_since, wanted.updated_until)
    found += [or_(*search_ranges(entity, record, wanted.q))] if wanted.q else []
    found += [bears(record, tag) for tag in wanted.tags]
    found += [compare(entity, record, condition, context) for condition in wanted.conditions]
    found += [bool_of(record.bulk_action_id == wanted.import_id)] if wanted.import_id else []
    if wanted.is_seen is not None:
        seen = was_seen(organisation_id, getattr(record, entity.key_column))
        if entity.former is not None:
            seen = or_(seen, was_seen_formerly(entity, organisation_id, record))
        found.append(bool_of(seen if wanted.is_seen else not_(seen)))
    return [*found, *(is_wanted(organisation_id, known, record) for known in settled_sets(wanted))]


def settled_sets(wanted: RecordFilter) -> tuple[KnownSet, ...]:
    """The sets of a filter's behaviours. Without them nobody may be found: everybody would pass for who did it."""
    if len(wanted.sets) != len(wanted.did):
        raise ValueError("The behaviours of this filter are not settled.")
    return wanted.sets


def search_ranges(entity: Entity, record: Any, q: str) -> list[ColumnElement[bool]]:
    """Any of the search's columns begins with the text.

    As ranges of bytes: operators that PostgreSQL trusts below a row-level policy, so that it uses the indexes.
    """
    folded = entity.key.fold(q)
    ranges = []
    for name in entity.search_keys:
        field = entity.fields_by_name.get(name)
        text = folded if name.endswith("_key") else beginning_of(q) if field and field.type == "tel" else q
        ranges.append(begins(getattr(record, name), text))
    return ranges


def begins(column: Any, text: str) -> ColumnElement[bool]:
    """Whether a column with byte order begins with the text, in a form that an index of it answers."""
    return and_(column >= text, column < text + HIGHEST)


def bears(record: Any, tag: str) -> ColumnElement[bool]:
    """Whether the record has the tag: of a record that is read anyway, its own array tells it soonest."""
    return bool_of(literal(tag) == any_(record.tags))


def compare(entity: Entity, record: Any, condition: Condition, context: Context) -> ColumnElement[bool]:
    """A comparison, of texts without regard to case. What cannot be a value of the field is none of them."""
    field = entity.fields_by_name.get(condition.column)
    if beside := entity.beside.get(condition.column):
        return compare_number(number_of(entity, beside, record), condition)
    if condition.column in entity.attached:
        return _compare_presence(getattr(record, condition.column), condition)
    if field is None:
        name = condition.column.removeprefix(ATTRIBUTE_PREFIX)
        return _compare_text(func.coalesce(record.attributes[name].astext, ""), condition)
    if field.sql_type == "text[]":
        return _compare_tags(record, condition)
    column = getattr(record, field.name)
    if condition.operator in {Operator.BLANK, Operator.FILLED}:
        return _compare_presence(column, condition)
    if field.sql_type == "text":
        return _compare_field(entity, record, field, condition, context)
    return _compare_value(column, field, condition, context)


def _compare_presence(column: Any, condition: Condition) -> ColumnElement[bool]:
    return bool_of(column.is_(None) if condition.operator is Operator.BLANK else column.is_not(None))


def _compare_field(
    entity: Entity, record: Any, field: Field, condition: Condition, context: Context
) -> ColumnElement[bool]:
    if field.is_key and condition.operator in {Operator.IS, Operator.BEGINS}:
        key, folded = getattr(record, entity.key_column), field.fold(condition.value)
        return bool_of(key == folded) if condition.operator is Operator.IS else begins(key, folded)
    if field.type == "tel" and condition.operator in {Operator.IS, Operator.IS_NOT}:
        phone = value_of(field, condition.value, context) or condition.value
        same = bool_of(getattr(record, field.name) == phone)
        return same if condition.operator is Operator.IS else not_(func.coalesce(same, False))
    return _compare_text(func.coalesce(getattr(record, field.name), ""), condition)


def _compare_text(column: Any, condition: Condition) -> ColumnElement[bool]:
    lowered, value = func.lower(column), condition.value.lower()
    if condition.operator is Operator.BLANK:
        return bool_of(column == "")
    if condition.operator is Operator.FILLED:
        return bool_of(column != "")
    if condition.operator is Operator.BEGINS:
        return bool_of(func.starts_with(lowered, value))
    if condition.operator is Operator.CONTAINS:
        return bool_of(func.strpos(lowered, value) > 0)
    return bool_of(lowered == value if condition.operator is Operator.IS else lowered != value)


def _compare_tags(record: Any, condition: Condition) -> ColumnElement[bool]:
    if condition.operator is Operator.BLANK:
        return bool_of(func.cardinality(record.tags) == 0)
    if condition.operator is Operator.FILLED:
        return bool_of(func.cardinality(record.tags) > 0)
    has = bears(record, condition.value)
    return has if condition.operator is Operator.IS else not_(has)


def _compare_value(column: Any, field: Field, condition: Condition, context: Context) -> ColumnElement[bool]:
    value = value_of(field, condition.value, context)
    if value is None:
        return false()
    if condition.operator is Operator.ABOVE:
        return bool_of(column > value)
    if condition.operator is Operator.BELOW:
        return bool_of(column < value)
    same = column == value
    return bool_of(same) if condition.operator is Operator.IS else bool_of(column.is_distinct_from(value))


def value_of(field: Field, text: str, context: Context) -> UUID | Decimal | bool | str | None:
    """The text as a value of the field; a member may be given by id, too."""
    try:
        value: UUID | Decimal | bool | str | None = field.parse(text, context)
    except FaultError:
        return _uuid_or_none(text) if field.sql_type == "uuid" else None
    return value


def _uuid_or_none(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def between(column: Any, since: Any, until: Any) -> list[ColumnElement[bool]]:
    """From the first, which is in, to the second, which is out; either may be missing."""
    return [*([column >= since] if since else []), *([column < until] if until else [])]


def bool_of(expression: Any) -> ColumnElement[bool]:
    """A comparison, typed."""
    found: ColumnElement[bool] = expression
    return found


def text_of(column: Any) -> ColumnElement[str]:
    """A column as text, for cursors."""
    return cast(column, String)
