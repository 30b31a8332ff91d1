"""People of whom nobody is to hear for now, as those in the trash: features that know them say who these are."""

from __future__ import annotations

from collections.abc import Callable, Collection
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, SQLColumnExpression, Text, cast, false, func, literal, or_, select

from webapp.extensions import db

Hiding = Callable[[UUID, SQLColumnExpression[str]], ColumnElement[bool]]
_hidings: list[Hiding] = []


def register_hiding(hiding: Hiding) -> None:
    """Let a feature say, of the organisation's people by their folded keys, who is hidden."""
    _hidings.append(hiding)


def is_hidden(organisation_id: UUID, identity: SQLColumnExpression[str]) -> ColumnElement[bool]:
    """Whether nobody is to hear of who has this key."""
    return or_(false(), *(hiding(organisation_id, identity) for hiding in _hidings))


def list_hidden(organisation_id: UUID, identities: Collection[str]) -> set[str]:
    """Those of whom nobody is to hear."""
    keys = literal(list(identities), ARRAY(Text()))
    asked = func.unnest(keys).table_valued("identity").render_derived().c.identity
    return set(db.session.scalars(select(asked).where(is_hidden(organisation_id, asked)))) if identities else set()


def is_key_hidden(organisation_id: UUID, identity: str) -> bool:
    """The same of one key."""
    return bool(db.session.scalar(select(is_hidden(organisation_id, cast(literal(identity), Text)))))
