"""Who is asking, and for which organisation: settled once for each request, and forgotten after it.

The tenant lives in a context variable, which a server's thread keeps from one request to the next. So each
request starts by forgetting it, and ends by putting back what was there before.
"""

from __future__ import annotations

from uuid import UUID

from flask import current_app, g, request, session
from flask_login import current_user

from webapp.accounts.identity import email_key
from webapp.accounts.models import Membership, Organisation, Role, User
from webapp.accounts.queries import Place
from webapp.config import Settings
from webapp.extensions import current_tenant, db, enter_tenant

CHOSEN = "organisation_id"
WITHOUT_BODY = {"GET", "HEAD", "OPTIONS"}


class NoOrganisationError(RuntimeError):
    """The code asked for the organisation in a request that has none."""


def current_organisation() -> Organisation:
    """The organisation that this page or API request is about."""
    organisation: Organisation | None = g.get("organisation")
    if organisation is None:
        raise NoOrganisationError("Nobody signed in and no API key was sent.")
    return organisation


def current_membership() -> Membership:
    """The signed-in person's place in the current organisation; an API key has none."""
    membership: Membership | None = g.get("membership")
    if membership is None:
        raise NoOrganisationError("Nobody signed in.")
    return membership


def is_owner() -> bool:
    """Whether the signed-in person may change the organisation itself."""
    membership: Membership | None = g.get("membership")
    return membership is not None and membership.role is Role.OWNER


def is_operator() -> bool:
    """Whether the signed-in person looks after the whole installation: a setting names verified addresses."""
    settings: Settings = current_app.extensions["settings"]
    if not current_user.is_authenticated or not current_user.email_is_verified:
        return False
    return email_key(current_user.email) in settings.operator_addresses


def forget_tenant() -> None:
    """Begin a request: whatever this thread did before is not this request's business."""
    g.tenant_before = current_tenant()
    enter_tenant(None)


def restore_tenant(error: BaseException | None = None) -> None:
    """End a request: the thread is left as it was found, and what was not committed is given up.

    After the rollback there is no transaction to tell, so leaving costs no statement.
    """
    db.session.rollback()
    if "tenant_before" in g:
        enter_tenant(g.pop("tenant_before"))


def enter_organisation(organisation: Organisation, membership: Membership | None = None) -> None:
    """Let the rest of the request see this organisation's rows and no others."""
    g.organisation = organisation
    g.membership = membership
    enter_tenant(organisation.id)
    if request.method not in WITHOUT_BODY:
        _give_connection_back()


def _give_connection_back() -> None:
    """End the transaction before the body is read, which may take as long as the sender likes.

    What is loaded stays loaded: a plain rollback would have each row read again.
    """
    loaded = list(db.session)
    db.session.expunge_all()
    db.session.rollback()
    db.session.add_all(loaded)


def choose_organisation(user: User, organisation_id: UUID) -> None:
    """Remember which organisation a person wants to see: in this browser, and at their next sign-in."""
    session[CHOSEN] = organisation_id.hex
    user.last_organisation_id = organisation_id


def resume_organisation(user: User) -> None:
    """Begin a sign-in where the last one was."""
    if user.last_organisation_id is not None:
        session[CHOSEN] = user.last_organisation_id.hex


def chosen_place(places: tuple[Place, ...]) -> Place | None:
    """The organisation in the cookie if the person still belongs to it, else the one they know longest."""
    wanted = session.get(CHOSEN)
    return next((place for place in places if place.organisation.id.hex == wanted), places[0] if places else None)
