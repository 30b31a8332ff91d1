"""The verbs over people, organisations, invitations and keys; whoever calls them commits."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from uuid import UUID

from sqlalchemy import delete, update
from sqlalchemy.dialects.postgresql import insert

from webapp.accounts import api_keys, queries
from webapp.accounts.identity import Identity, email_key, organisation_name_for, slug_for
from webapp.accounts.models import ApiKey, Invitation, Membership, Organisation, Role, User
from webapp.extensions import db, tenant
from webapp.lib.clock import utc_now
from webapp.lib.ids import uuid7

SLUG_NUMBERS = range(2, 100)
API_KEY_NAME_LENGTH = 100


class BadApiKeyNameError(ValueError):
    """A key needs a name by which people know it again."""


class LastOwnerError(Exception):
    """An organisation needs somebody who may change it."""


def sign_in(identity: Identity) -> User:
    """The person with this identity; at first, with what they were invited to or an organisation of their own.

    Later invitations wait for the person's answer: whoever is known already is not moved by a stranger.
    The upsert locks the person's row until the commit, so that of two first sign-ins at once the second waits
    and finds what the first has made.
    """
    user, is_new = _upsert_user(identity)
    if is_new and identity.email_is_verified:
        _accept_invitations(user, identity.email_key)
    if not queries.list_places(user.id):
        create_organisation(organisation_name_for(identity), owner_id=user.id)
    return user


def sign_out(user: User) -> None:
    """End the person's sign-ins, in every browser, and with them every copy of their cookies."""
    user.sign_in_number = User.sign_in_number + 1
    db.session.flush()


def create_organisation(
    name: str, *, owner_id: UUID | None = None, slug: str | None = None, time_zone: str = "UTC"
) -> Organisation:
    """A new organisation with a slug that nobody has, owned by this person (if any)."""
    organisation_id = next(
        made for wanted in _slugs(slug or slug_for(name)) if (made := _insert_organisation(wanted, name, time_zone))
    )
    if owner_id is not None:
        with tenant(organisation_id):
            _join(organisation_id, owner_id, Role.OWNER)
    return db.session.get_one(Organisation, organisation_id)


def change_organisation(organisation: Organisation, *, name: str, time_zone: str) -> None:
    """Give the organisation another name or another clock."""
    organisation.name = name
    organisation.time_zone = time_zone


def invite(organisation_id: UUID, email: str, role: Role = Role.MEMBER, invited_by: UUID | None = None) -> None:
    """Keep a place for whoever proves this address; inviting again changes the role and opens the place again."""
    row = {"email": email.strip(), "role": role, "invited_by": invited_by, "created_at": utc_now(), "accepted_at": None}
    statement = (
        insert(Invitation)
        .values(organisation_id=organisation_id, id=uuid7(), email_key=email_key(email), **row)
        .on_conflict_do_update(index_elements=["organisation_id", "email_key"], set_=row)
    )
    with tenant(organisation_id):
        db.session.execute(statement)


def accept_invitation(user: User, invitation: Invitation) -> bool:
    """Join the organisation; whether the invitation was still open."""
    with tenant(invitation.organisation_id):
        if not _claim(invitation):
            return False
        _join(invitation.organisation_id, user.id, invitation.role)
    return True


def decline_invitation(invitation: Invitation) -> bool:
    """Give the place up; whether the invitation was still open."""
    with tenant(invitation.organisation_id):
        return withdraw_invitation(invitation.organisation_id, invitation.id)


def withdraw_invitation(organisation_id: UUID, invitation_id: UUID) -> bool:
    """Whether there was an invitation to take back."""
    statement = delete(Invitation).where(
        Invitation.organisation_id == organisation_id, Invitation.id == invitation_id, Invitation.accepted_at.is_(None)
    )
    return _row_count(statement) == 1


def remove_member(organisation_id: UUID, user_id: UUID) -> bool:
    """Whether there was such a member; raises LastOwnerError rather than leave nobody in charge.

    Owners are locked first, so that two who remove each other at once do not both succeed.
    """
    owners = set(queries.lock_owners(organisation_id))
    if owners == {user_id}:
        raise LastOwnerError("An organisation keeps at least one owner.")
    statement = delete(Membership).where(Membership.organisation_id == organisation_id, Membership.user_id == user_id)
    return _row_count(statement) == 1


def create_api_key(organisation_id: UUID, name: str) -> tuple[ApiKey, str]:
    """A new key and its secret, which is told this once and kept nowhere; raises BadApiKeyNameError."""
    name = " ".join(name.split())
    if not 1 <= len(name) <= API_KEY_NAME_LENGTH:
        raise BadApiKeyNameError(f"Name the key in 1 to {API_KEY_NAME_LENGTH} characters.")
    secret = api_keys.new_secret(organisation_id)
    api_key = ApiKey(organisation_id=organisation_id, name=name, secret_hash=api_keys.hash_of(secret))
    with tenant(organisation_id):
        db.session.add(api_key)
        db.session.flush()
    return api_key, secret


def _upsert_user(identity: Identity) -> tuple[User, bool]:
    """The person's row, and whether it is new."""
    new_id = uuid7()
    changing = {
        "email": identity.email,
        "email_is_verified": identity.email_is_verified,
        "name": identity.name,
        "signed_in_at": utc_now(),
    }
    statement = (
        insert(User)
        .values(id=new_id, issuer=identity.issuer, subject=identity.subject, created_at=utc_now(), **changing)
        .on_conflict_do_update(index_elements=["issuer", "subject"], set_=changing)
        .returning(User)
    )
    user = db.session.scalars(statement, execution_options={"populate_existing": True}).one()
    return user, user.id == new_id


def _accept_invitations(user: User, key: str) -> None:
    for invitation in queries.list_open_invitations(key):
        accept_invitation(user, invitation)


def _claim(invitation: Invitation) -> bool:
    """Whether this sign-in is the one that accepts: an invitation is good for one person."""
    statement = (
        update(Invitation)
        .where(
            Invitation.organisation_id == invitation.organisation_id,
            Invitation.id == invitation.id,
            Invitation.accepted_at.is_(None),
        )
        .values(accepted_at=utc_now())
        .execution_options(synchronize_session=False)
    )
    return _row_count(statement) == 1


def _join(organisation_id: UUID, user_id: UUID, role: Role) -> None:
    """Belong to the organisation; somebody who already does keeps their role."""
    db.session.execute(
        insert(Membership)
        .values(organisation_id=organisation_id, user_id=user_id, role=role, created_at=utc_now())
        .on_conflict_do_nothing()
    )


def _insert_organisation(slug: str, name: str, time_zone: str) -> UUID | None:
    """The new organisation's id, or None when somebody has the slug."""
    return db.session.scalar(
        insert(Organisation)
        .values(id=uuid7(), slug=slug, name=name, time_zone=time_zone, created_at=utc_now())
        .on_conflict_do_nothing(index_elements=["slug"])
        .returning(Organisation.id)
    )


def _slugs(wanted: str) -> Iterator[str]:
    yield wanted
    yield from (f"{wanted}-{number}" for number in SLUG_NUMBERS)
    while True:
        yield f"{wanted}-{secrets.token_hex(4)}"


def _row_count(statement: object) -> int:
    return int(db.session.execute(statement).rowcount)  # type: ignore[call-overload]
