"""Which records of a list are wanted: read from an address or from JSON, and written back.

In an address, and in JSON with a list for each name: `q` a beginning, `tag` (several), `where` as
"field:operator:value" (several), `created_from`, `created_to`, `updated_from`, `updated_to` days of the
organisation's zone, `import` the bulk action that the records came with, `seen` yes or no, `did` (several) what
people did on the organisation's websites, as `webapp.visits.behaviour.conditions` writes it.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, tzinfo
from uuid import UUID

from webapp.records.entities import ATTRIBUTE_PREFIX, Entity
from webapp.records.known_sets import KnownSet
from webapp.visits.behaviour.conditions import BadBehaviourError, Behaviour, read_behaviour, write_behaviours

MAX_TEXT = 200
MAX_CONDITIONS = 20
MAX_DIGITS = 15
MAX_BEHAVIOURS = 5
"""Each of them is a look at raw rows."""
ARGUMENTS = (
    "q", "tag", "where", "created_from", "created_to", "updated_from", "updated_to", "import", "seen", "did",
)  # fmt: skip
REPEATED = ("tag", "where", "did")
"""Those that may be given several times."""


class FilterError(ValueError):
    """A filter cannot be read; the message says what to change."""


class Operator(enum.Enum):
    """How a field is compared."""

    IS = "is"
    IS_NOT = "is_not"
    BEGINS = "begins"
    CONTAINS = "contains"
    ABOVE = "above"
    BELOW = "below"
    AT_LEAST = "at_least"
    BLANK = "blank"
    FILLED = "filled"

    @property
    def needs_value(self) -> bool:
        return self not in {Operator.BLANK, Operator.FILLED}


OPERATOR_LABELS = {
    Operator.IS: "is",
    Operator.IS_NOT: "is not",
    Operator.BEGINS: "begins with",
    Operator.CONTAINS: "contains",
    Operator.ABOVE: "is above",
    Operator.BELOW: "is below",
    Operator.AT_LEAST: "is at least",
    Operator.BLANK: "is blank",
    Operator.FILLED: "is filled",
}
TEXT_OPERATORS = (
    Operator.IS, Operator.IS_NOT, Operator.BEGINS, Operator.CONTAINS, Operator.BLANK, Operator.FILLED,
)  # fmt: skip
ATTACHED_OPERATORS = (Operator.BLANK, Operator.FILLED)
BESIDE_OPERATORS = (Operator.IS, Operator.AT_LEAST, Operator.BELOW)
OPERATORS: dict[str, tuple[Operator, ...]] = {
    "numeric": (Operator.IS, Operator.IS_NOT, Operator.ABOVE, Operator.BELOW, Operator.BLANK, Operator.FILLED),
    "boolean": (Operator.IS,),
    "uuid": (Operator.IS, Operator.IS_NOT, Operator.BLANK, Operator.FILLED),
    "text[]": (Operator.IS, Operator.IS_NOT, Operator.BLANK, Operator.FILLED),
}


def operators_of(entity: Entity, column: str) -> tuple[Operator, ...]:
    """The comparisons that a field, an attached column, a number beside, or an own attribute knows."""
    if column in entity.beside:
        return BESIDE_OPERATORS
    if column in entity.attached:
        return ATTACHED_OPERATORS
    field = entity.fields_by_name.get(column)
    return OPERATORS.get(field.sql_type, TEXT_OPERATORS) if field else TEXT_OPERATORS


@dataclass(frozen=True)
class Condition:
    """A comparison of one field, or of the own attribute "attributes.<name>"."""

    column: str
    operator: Operator
    value: str = ""

    def as_text(self) -> str:
        """As it stands in an address."""
        return f"{self.column}:{self.operator.value}:{self.value}"


@dataclass(frozen=True)
class RecordFilter:
    """All of it must hold. Moments are UTC-aware; `until` is the first one that is out.

    `sets` are what became of `did`: those who did each of them, as `webapp.records.behaviour_sets` settles it.
    """

    q: str = ""
    tags: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()
    created_since: datetime | None = None
    created_until: datetime | None = None
    updated_since: datetime | None = None
    updated_until: datetime | None = None
    import_id: UUID | None = None
    is_seen: bool | None = None
    did: tuple[Behaviour, ...] = ()
    sets: tuple[KnownSet, ...] = field(default=(), compare=False)

    @property
    def is_empty(self) -> bool:
        return self == RecordFilter()


def read_filter(arguments: Mapping[str, Sequence[str]], entity: Entity, zone: tzinfo) -> RecordFilter:
    """The filter in these arguments; raises FilterError. Blank ones, and those of other names, count as not given."""
    wheres = _all(arguments, "where")
    if len(wheres) > MAX_CONDITIONS:
        raise FilterError(f"At most {MAX_CONDITIONS} comparisons can be combined.")
    return RecordFilter(
        q=_plain(_one(arguments, "q")),
        tags=tuple(sorted({_plain(tag) for tag in _all(arguments, "tag")})),
        conditions=tuple(_condition(text, entity) for text in wheres),
        created_since=_day(arguments, "created_from", zone),
        created_until=_day(arguments, "created_to", zone, days=1),
        updated_since=_day(arguments, "updated_from", zone),
        updated_until=_day(arguments, "updated_to", zone, days=1),
        import_id=_uuid(_one(arguments, "import")),
        is_seen=_yes_or_no(_one(arguments, "seen")),
        did=_behaviours(_all(arguments, "did"), entity),
    )


def write_filter(record_filter: RecordFilter, zone: tzinfo) -> dict[str, list[str]]:
    """The arguments of a filter, without those that are not given: what `read_filter` reads."""
    seen = {True: "yes", False: "no", None: ""}[record_filter.is_seen]
    arguments: dict[str, Iterable[str]] = {
        "q": [record_filter.q],
        "tag": record_filter.tags,
        "where": [condition.as_text() for condition in record_filter.conditions],
        "created_from": [_as_day(record_filter.created_since, zone)],
        "created_to": [_as_day(record_filter.created_until, zone, days=1)],
        "updated_from": [_as_day(record_filter.updated_since, zone)],
        "updated_to": [_as_day(record_filter.updated_until, zone, days=1)],
        "import": [str(record_filter.import_id or "")],
        "seen": [seen],
        "did": write_behaviours(record_filter.did),
    }
    filled = {name: [value for value in values if value] for name, values in arguments.items()}
    return {name: values for name, values in filled.items() if values}


def _condition(text: str, entity: Entity) -> Condition:
    """ "city:is:Berlin"; the name of an own attribute may hold colons, so it is told by the operator after it."""
    column, operator, value = _split(text)
    if column not in {*entity.field_names, *entity.attached, *entity.beside} and not column.startswith(
        ATTRIBUTE_PREFIX
    ):
        raise FilterError(f"There is no field called “{column}”.")
    if operator not in operators_of(entity, column):
        label = entity.label_of_column(column)
        raise FilterError(f"“{label}” cannot be compared by “{OPERATOR_LABELS[operator]}”.")
    if operator.needs_value and not value:
        raise FilterError(f"Say what to compare “{entity.label_of_column(column)}” with.")
    if column in entity.beside and not (value.isdecimal() and len(value) <= MAX_DIGITS):
        raise FilterError(f"“{entity.label_of_column(column)}” is compared with a whole number, such as 10.")
    return Condition(column, operator, value if operator.needs_value else "")


def _behaviours(texts: Sequence[str], entity: Entity) -> tuple[Behaviour, ...]:
    """Each once, in their order."""
    if texts and not entity.visits_websites:
        raise FilterError(f"What was done on websites tells contacts apart, not {entity.name}.")
    try:
        found = tuple(dict.fromkeys(read_behaviour(text) for text in texts))
    except BadBehaviourError as error:
        raise FilterError(str(error)) from error
    if len(found) > MAX_BEHAVIOURS:
        raise FilterError(f"At most {MAX_BEHAVIOURS} things that people did can be combined.")
    return found


def _split(text: str) -> tuple[str, Operator, str]:
    parts = text.split(":")
    for position in range(1, len(parts)):
        if parts[position] in {operator.value for operator in Operator}:
            column = ":".join(parts[:position])
            return column, Operator(parts[position]), _plain(":".join(parts[position + 1 :]))
    raise FilterError(f"“{text[:60]}” is not a comparison such as city:is:Berlin.")


def _all(arguments: Mapping[str, Sequence[str]], name: str) -> list[str]:
    found = arguments.get(name, ())
    values = [found] if isinstance(found, str) else found
    return [str(value) for value in values if str(value).strip()]


def _one(arguments: Mapping[str, Sequence[str]], name: str) -> str:
    return next(iter(_all(arguments, name)), "")


def _plain(text: str) -> str:
    kept = " ".join(text.replace("\x00", "").encode("utf-8", "ignore").decode().split())
    if len(kept) > MAX_TEXT:  # its beginning alone would match more
        raise FilterError(f"“{kept[:20]}…” is too long: a filter's texts have at most {MAX_TEXT} characters.")
    return kept


def _day(arguments: Mapping[str, Sequence[str]], name: str, zone: tzinfo, days: int = 0) -> datetime | None:
    text = _one(arguments, name)
    if not text:
        return None
    try:
        day = date.fromisoformat(text) + timedelta(days=days)
        return datetime.combine(day, time.min, tzinfo=zone)
    except (ValueError, OverflowError) as error:
        raise FilterError(f"“{text[:20]}” is not a day such as 2026-11-22.") from error


def _as_day(moment: datetime | None, zone: tzinfo, days: int = 0) -> str:
    return (moment.astimezone(zone).date() - timedelta(days=days)).isoformat() if moment else ""


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError as error:
        raise FilterError("There is no such import.") from error


def _yes_or_no(text: str) -> bool | None:
    if text not in {"", "yes", "no"}:
        raise FilterError("“seen” is yes or no.")
    return {"yes": True, "no": False, "": None}[text]
