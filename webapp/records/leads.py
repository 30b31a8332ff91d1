"""What the indexes know of a filter: conditions that every record fulfils which matches, each answered by one index."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, select

from webapp.lib.ids import lowest_uuid7
from webapp.records.entities import Entity
from webapp.records.fields import Context, Field
from webapp.records.filters import Condition, Operator, RecordFilter
from webapp.records.matching import begins, between, bool_of, search_ranges, value_of
from webapp.visits.queries import are_few_visitors, seen_visitor_keys

CREATED_WITHIN = timedelta(minutes=10)
"""So far the moment in a record's id may be from that of its creation."""


@dataclass(frozen=True)
class Lead:
    """A condition on an indexed column. The records of one value stand in the order of their ids in that index."""

    column: str
    is_one_value: bool
    condition: ColumnElement[bool]


def leads_of(entity: Entity, wanted: RecordFilter, context: Context) -> list[Lead]:
    """Every lead in a filter but the tags, the search and the visits; those of one value come first."""
    model = entity.model
    found = [lead for condition in wanted.conditions if (lead := _lead_of(entity, condition, context))]
    if wanted.import_id:
        found.append(Lead("bulk_action_id", True, bool_of(model.bulk_action_id == wanted.import_id)))
    if changed := between(model.updated_at, wanted.updated_since, wanted.updated_until):
        found.append(Lead("updated_at", False, and_(*changed)))
    return sorted(found, key=lambda lead: not lead.is_one_value)


def id_bounds(column: Any, wanted: RecordFilter) -> list[ColumnElement[bool]]:
    """Ids are UUIDv7, made within minutes of their records' creation: so its days bound them."""
    since, until = wanted.created_since, wanted.created_until
    return between(column, since and _lowest_id(since, -1), until and _lowest_id(until, 1))


def ids_by_visits(entity: Entity, organisation_id: UUID, limit: int) -> list[Select[tuple[UUID]]]:
    """The records of all that were seen on the websites, when these are few; else nothing."""
    if not are_few_visitors(organisation_id, limit):
        return []
    model = entity.model
    keys = seen_visitor_keys(organisation_id).subquery()
    called = select(model.id).join(keys, keys.c.visitor_key == getattr(model, entity.key_column))
    found = [called.where(model.organisation_id == organisation_id)]
    if entity.former is not None:
        former = entity.former.c
        formerly = select(former.record_id).join(keys, keys.c.visitor_key == former.key)
        found.append(formerly.where(former.organisation_id == organisation_id))
    return found


def ids_by_search(entity: Entity, organisation_id: UUID, q: str) -> list[Select[tuple[UUID]]]:
    """The records that a search finds, by each of its indexes."""
    model = entity.model
    own = select(model.id).where(model.organisation_id == organisation_id)
    return [own.where(part) for part in search_ranges(entity, model, q)]


def indexed_columns(entity: Entity) -> set[str]:
    """The columns whose index begins with the organisation and them."""
    table = entity.model.__table__
    return {entity.key_column, *(index.columns.keys()[1] for index in table.indexes)}


def _lead_of(entity: Entity, condition: Condition, context: Context) -> Lead | None:
    field = entity.fields_by_name.get(condition.column)
    names: Iterable[str] = (f"{condition.column}_key", condition.column)
    name = next((name for name in names if name in indexed_columns(entity)), None)
    if field is None or name is None or not condition.value:
        return None
    column = getattr(entity.model, name)
    if field.sql_type == "text":
        return _lead_of_text(name, column, _folded(field, condition, context), condition.operator)
    return _lead_of_value(name, column, value_of(field, condition.value, context), condition.operator)


def _folded(field: Field, condition: Condition, context: Context) -> str:
    """The text as the index holds it."""
    if field.type == "tel" and condition.operator is Operator.IS:
        return str(value_of(field, condition.value, context) or condition.value)
    return field.fold(condition.value) if field.is_key else condition.value.lower()


def _lead_of_text(name: str, column: Any, text: str, operator: Operator) -> Lead | None:
    if operator is Operator.IS:
        return Lead(name, True, bool_of(column == text))
    if operator is Operator.BEGINS:
        return Lead(name, False, begins(column, text))
    return None


def _lead_of_value(name: str, column: Any, value: Any, operator: Operator) -> Lead | None:
    if value is None:
        return None
    if operator is Operator.IS:
        return Lead(name, True, bool_of(column == value))
    if operator is Operator.ABOVE:
        return Lead(name, False, bool_of(column > value))
    return Lead(name, False, and_(column < value, column >= 0)) if operator is Operator.BELOW else None


def _lowest_id(moment: datetime, sign: int) -> UUID:
    """The lowest id of a moment, some minutes aside, for any day that a calendar knows."""
    try:
        return lowest_uuid7(moment + sign * CREATED_WITHIN)
    except OverflowError:
        return lowest_uuid7(moment)
