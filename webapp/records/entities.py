"""The kinds of records, each declared once: its fields, its tables, how it is named, sorted and searched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sqlalchemy import Table

from webapp.records.fields import Field

ATTRIBUTES = "attributes"
ATTRIBUTE_PREFIX = "attributes."
"""Before the name of one of a record's own attributes, in mappings, filters and lists of columns."""


@dataclass(frozen=True)
class Beside:
    """A number kept beside records, in a table that has the organisation, the records' key, and `number`.

    A record without a row there has none, which is zero.
    """

    label: str
    model: Any
    number: Any


@dataclass(frozen=True, eq=False)
class Entity:
    """A kind of record.

    `name` is its table, its address and its name in the API. `sorts` are the orders of its list by name: the
    column of each, or None for that of creation, which is the id's own. `search_keys` are columns with byte
    order in which a search for a beginning looks. `attached` are columns with their labels that people do not type:
    lists find records with and without them. `beside` are numbers kept beside the records.
    lists find records with and without them. Records that `visits_websites` have the key by which visitors say who
    they are. `former` has the keys that records had before, of those for which they matter.
    """

    name: str
    singular: str
    fields: tuple[Field, ...]
    model: Any
    staged: Table
    deleted: Table
    tags: Table
    sorts: Mapping[str, str | None]
    search_keys: tuple[str, ...]
    label_of: Callable[[Any], str]
    shown_columns: tuple[str, ...]
    attached: Mapping[str, str] = field(default_factory=dict)
    beside: Mapping[str, Beside] = field(default_factory=dict)
    visits_websites: bool = False
    former: Table | None = None

    @cached_property
    def title(self) -> str:
        """The name at the beginning of a line: "Contacts"."""
        return self.name.capitalize()

    @cached_property
    def key(self) -> Field:
        """The field that tells two records apart."""
        return next(field for field in self.fields if field.is_key)

    @cached_property
    def key_column(self) -> str:
        """The column of the key as it is compared."""
        return f"{self.key.name}_key"

    @property
    def former_keys(self) -> Table:
        """The table of keys that records had before; only of those that keep them."""
        if self.former is None:
            raise LookupError(f"Former keys of {self.name} are not kept.")
        return self.former

    @cached_property
    def fields_by_name(self) -> dict[str, Field]:
        return {field.name: field for field in self.fields}

    @cached_property
    def field_names(self) -> tuple[str, ...]:
        return tuple(self.fields_by_name)

    @cached_property
    def data_columns(self) -> tuple[str, ...]:
        """Every column of a record that is not generated, the organisation and the id first."""
        return tuple(column.name for column in self.model.__table__.columns if column.computed is None)

    def noun(self, count: int) -> str:
        """ "contact" for one, else "contacts"."""
        return self.singular if count == 1 else self.name

    def label_of_column(self, name: str) -> str:
        """What people call a field or an own attribute."""
        field = self.fields_by_name.get(name) or self.beside.get(name)
        return field.label if field else self.attached.get(name) or name.removeprefix(ATTRIBUTE_PREFIX)


_entities: dict[str, Entity] = {}


def register_entity(entity: Entity) -> Entity:
    """Let the other features know of a kind of record."""
    _entities[entity.name] = entity
    return entity


def get_entity(name: str) -> Entity:
    """The kind of record of this name; raises KeyError."""
    return _entities[name]


def find_entity(name: str) -> Entity | None:
    return _entities.get(name)


def list_entities() -> list[Entity]:
    """All kinds of records, by name."""
    return sorted(_entities.values(), key=lambda entity: entity.name)
