"""What is read about organisations, the people in them, and their keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, func, select, true
from sqlalchemy.orm import InstrumentedAttribute, aliased

from webapp.accounts.identity import email_key
from webapp.accounts.models import ApiKey, Invitation, Membership, Organisation, Role, User
from webapp.extensions import db


@dataclass(frozen=True)
class Place:
    """One organisation that a person belongs to."""

    membership: Membership
    organisation: Organisation


@dataclass(frozen=True)
class ReceivedInvitation:
    """An invitation as whoever it is for sees it."""

    invitation: Invitation
    organisation: Organisation
    inviter: User | None


@dataclass(frozen=True)
class Member:
    """One person of an organisation."""

    user_id: UUID
    name: str
    email: str
    membership: Membership
    signed_in_at: datetime


def get_user_with_places(user_id: UUID) -> tuple[User, tuple[Place, ...]] | None:
    """A person and all their organisations, the longest-known first, by one statement; it needs no tenant."""
    membership = _memberships_of(User.id)
    rows = db.session.execute(
        select(User, membership, Organisation)
        .select_from(User)
        .outerjoin(membership, true())
        .outerjoin(Organisation, Organisation.id == membership.organisation_id)
        .where(User.id == user_id)
        .order_by(membership.created_at, membership.organisation_id)
    ).all()
    if not rows:
        return None
    return rows[0][0], tuple(Place(row[1], row[2]) for row in rows if row[1] is not None)


def list_places(user_id: UUID) -> Sequence[Place]:
    """A person's organisations, the longest-known first; it needs no tenant."""
    found = get_user_with_places(user_id)
    return found[1] if found else ()


def list_open_invitations(email_key: str) -> Sequence[Invitation]:
    """Places kept for this address in any organisation; it needs no tenant."""
    invitation = _open_invitations(email_key)
    return db.session.scalars(select(invitation).order_by(invitation.created_at)).all()


def list_received_invitations(user: User) -> list[ReceivedInvitation]:
    """What this person may join: only for an address that the provider has verified; it needs no tenant."""
    if not user.email_is_verified:
        return []
    invitation = _open_invitations(email_key(user.email))
    membership = _memberships_of(user.id)
    rows = db.session.execute(
        select(invitation, Organisation, User)
        .join(Organisation, Organisation.id == invitation.organisation_id)
        .outerjoin(User, User.id == invitation.invited_by)
        .where(invitation.organisation_id.not_in(select(membership.organisation_id)))
        .order_by(invitation.created_at)
    )
    return [ReceivedInvitation(*row) for row in rows]


def get_organisation(organisation_id: UUID) -> Organisation | None:
    """One organisation."""
    return db.session.get(Organisation, organisation_id)


def find_organisation(slug: str) -> Organisation | None:
    """The organisation that a person names on the command line."""
    return db.session.scalar(select(Organisation).where(Organisation.slug == slug))


def list_members(organisation_id: UUID) -> list[Member]:
    """The organisation's people, by name."""
    rows = db.session.execute(
        select(User, Membership)
        .join(Membership, Membership.user_id == User.id)
        .where(Membership.organisation_id == organisation_id)
        .order_by(User.name, User.id)
    )
    return [Member(user.id, user.name, user.email, membership, user.signed_in_at) for user, membership in rows]


def get_member_names(organisation_id: UUID) -> dict[UUID, str]:
    """The names of the organisation's people, by their ids."""
    return {member.user_id: member.name for member in list_members(organisation_id)}


def lock_owners(organisation_id: UUID) -> Sequence[UUID]:
    """The organisation's owners, locked until the transaction ends."""
    return db.session.scalars(
        select(Membership.user_id)
        .where(Membership.organisation_id == organisation_id, Membership.role == Role.OWNER)
        .order_by(Membership.user_id)
        .with_for_update()
    ).all()


def list_invitations(organisation_id: UUID) -> Sequence[Invitation]:
    """The organisation's invitations that nobody has accepted yet."""
    return db.session.scalars(
        select(Invitation)
        .where(Invitation.organisation_id == organisation_id, Invitation.accepted_at.is_(None))
        .order_by(Invitation.created_at)
    ).all()


def get_invitation(organisation_id: UUID, invitation_id: UUID) -> Invitation | None:
    """One invitation."""
    return db.session.get(Invitation, (organisation_id, invitation_id))


def list_api_keys(organisation_id: UUID) -> Sequence[ApiKey]:
    """The organisation's keys that still work, the newest first."""
    return db.session.scalars(
        select(ApiKey)
        .where(ApiKey.organisation_id == organisation_id, ApiKey.revoked_at.is_(None))
        .order_by(ApiKey.id.desc())
    ).all()


def get_api_key(organisation_id: UUID, api_key_id: UUID) -> ApiKey | None:
    """One key, by its id."""
    return db.session.get(ApiKey, (organisation_id, api_key_id))


def find_api_key(organisation_id: UUID, secret_hash: bytes) -> tuple[ApiKey, Organisation] | None:
    """The working key with this hash and its organisation, by one statement."""
    row = db.session.execute(
        select(ApiKey, Organisation)
        .join(Organisation, Organisation.id == ApiKey.organisation_id)
        .where(
            ApiKey.organisation_id == organisation_id, ApiKey.secret_hash == secret_hash, ApiKey.revoked_at.is_(None)
        )
    ).one_or_none()
    return (row[0], row[1]) if row else None


def _open_invitations(email_key: str) -> type[Invitation]:
    """Invitation, read through the function that looks across organisations."""
    lent = func.footfall_invitations(email_key).table_valued(*_columns(Invitation), name="open_invitations")
    return aliased(Invitation, lent, adapt_on_names=True)


def _memberships_of(user_id: InstrumentedAttribute[UUID] | UUID) -> type[Membership]:
    """Membership, read through the function that looks across organisations."""
    lent = func.footfall_memberships(user_id).table_valued(*_columns(Membership), name="places")
    return aliased(Membership, lent.lateral(), adapt_on_names=True)


def _columns(model: type[Membership] | type[Invitation]) -> list[ColumnElement[object]]:
    return [db.column(column.name, column.type) for column in model.__table__.columns]
