"""What people call the import that a record came with. Imports are a feature above this one, so it registers here."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

ImportName = Callable[[UUID, UUID], str | None]
"""(organisation, import) to what people call it, or None when it is not known any more."""


def _unknown(organisation_id: UUID, import_id: UUID) -> str | None:
    return None


_names: list[ImportName] = [_unknown]


def register_import_names(name_of: ImportName) -> None:
    """Say how imports are called."""
    _names[:] = [name_of]


def import_name(organisation_id: UUID, import_id: UUID | None) -> str | None:
    """What people call this import, if there is one and it is known."""
    return _names[0](organisation_id, import_id) if import_id else None
