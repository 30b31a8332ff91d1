"""People of whom nobody is to hear for now, as those in the trash: features that know them say who these are."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from sqlalchemy import ColumnElement, SQLColumnExpression, Text, cast, false, literal, or_, select

from webapp.extensions import db

Hiding = Callable[[UUID, SQLColumnExpression[str]], ColumnElement[bool]]
_hidings: list[Hiding] = []


def register_hiding(hiding: Hiding) -> None:
    """Let a feature say, of the organisation's people by their folded keys, who is hidden."""
    _hidings.append(hiding)


def is_hidden(organisation_id: UUID, identity: SQLColumnExpression[str]) -> ColumnElement[bool]:
    """Whether nobody is to hear of who has this key."""
    return or_(false(), *(hiding(organisation_id, identity) for hiding in _hidings))


def is_key_hidden(organisation_id: UUID, identity: str) -> bool:
    """The same of one key."""
    return bool(db.session.scalar(select(is_hidden(organisation_id, cast(literal(identity), Text)))))
