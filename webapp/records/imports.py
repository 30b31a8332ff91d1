"""What lists know of the imports that records came with: the feature that imports registers how to look."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from webapp.records.entities import Entity


@dataclass(frozen=True)
class Import:
    """A file that records came with, and when."""

    id: UUID
    file_name: str
    created_at: datetime


@dataclass(frozen=True)
class Imports:
    """How to find an organisation's import, and its latest ones of a kind of record that brought any."""

    find: Callable[[UUID, UUID], Import | None]
    list_recent: Callable[[UUID, Entity], Sequence[Import]]


_registered: list[Imports] = []


def register_imports(imports: Imports) -> None:
    """Let lists name imports."""
    _registered[:] = [imports]


def find_import(organisation_id: UUID, import_id: UUID | None) -> Import | None:
    """The import of a filter; None without one, or for one that there never was."""
    return _registered[0].find(organisation_id, import_id) if import_id and _registered else None


def list_offered_imports(organisation_id: UUID, entity: Entity, chosen: Import | None) -> list[Import]:
    """The latest imports, newest first, and the one that is chosen, however old it is."""
    found = list(_registered[0].list_recent(organisation_id, entity)) if _registered else []
    return found if chosen is None or chosen in found else [*found, chosen]
