"""The settings page: the organisation, its people, and its keys. Owners change them, members read them."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, ParamSpec
from uuid import UUID

from email_validator import EmailNotValidError, validate_email
from flask import abort, flash, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from webapp.accounts import queries, service
from webapp.accounts.current import current_organisation, is_owner
from webapp.accounts.models import Role
from webapp.accounts.time_zones import TIME_ZONES
from webapp.accounts.views import bp as bp  # the same blueprint, with the settings' addresses
from webapp.extensions import db
from webapp.pages import render_page

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")

NAME_LENGTH = 100


def for_owners(view: Callable[P, ResponseReturnValue]) -> Callable[P, ResponseReturnValue]:
    """Members may look at settings, but not change them."""

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> ResponseReturnValue:
        if not is_owner():
            abort(403, "Only an owner of the organisation may do that.")
        return view(*args, **kwargs)

    return guarded


@bp.get("/settings")
def settings() -> ResponseReturnValue:
    """Everything on one page."""
    return _page()


@bp.post("/settings")
@for_owners
def update_settings() -> ResponseReturnValue:
    """Another name or time zone."""
    name = _text("name")
    time_zone = _text("time_zone")
    errors = {}
    if not name:
        errors["name"] = f"Give the organisation a name of 1 to {NAME_LENGTH} characters."
    if time_zone not in TIME_ZONES:
        errors["time_zone"] = "Choose a time zone from the list."
    if errors:
        return _page(errors=errors, status=422)
    service.change_organisation(current_organisation(), name=name, time_zone=time_zone)
    db.session.commit()
    return _done("The settings are saved.")


@bp.post("/settings/invitations")
@for_owners
def create_invitation() -> ResponseReturnValue:
    """Keep a place for somebody; Footfall sends no mail, so the owner tells them."""
    role = Role.OWNER if request.form.get("role") == Role.OWNER.value else Role.MEMBER
    try:
        email = validate_email(_text("email"), check_deliverability=False).normalized
    except EmailNotValidError:
        return _page(errors={"email": "Write a whole e-mail address, such as bob@example.com."}, status=422)
    service.invite(current_organisation().id, email, role, current_user.id)
    db.session.commit()
    return _done(f"{email} is invited: whoever signs in with that address joins {current_organisation().name}.")


@bp.post("/settings/invitations/<uuid:invitation_id>/delete")
@for_owners
def destroy_invitation(invitation_id: UUID) -> ResponseReturnValue:
    """Take an invitation back that nobody accepted."""
    if not service.withdraw_invitation(current_organisation().id, invitation_id):
        abort(404)
    db.session.commit()
    return _done("The invitation is withdrawn.")


@bp.post("/settings/members/<uuid:user_id>/delete")
@for_owners
def destroy_member(user_id: UUID) -> ResponseReturnValue:
    """End a membership; the person's next click finds the door closed."""
    try:
        if not service.remove_member(current_organisation().id, user_id):
            abort(404)
    except service.LastOwnerError as error:
        return _page(errors={"member": str(error)}, status=422)
    db.session.commit()
    return _done("The member is removed.")


@bp.post("/settings/api-keys")
@for_owners
def create_api_key() -> ResponseReturnValue:
    """A new key, whose secret is on this one answer and nowhere else: so no redirect, and no cache."""
    try:
        _, secret = service.create_api_key(current_organisation().id, request.form.get("api_key_name", ""))
    except service.BadApiKeyNameError as error:
        return _page(errors={"api_key_name": str(error)}, status=422)
    db.session.commit()
    return _page(secret=secret, status=201)


@bp.post("/settings/api-keys/<uuid:api_key_id>/delete")
@for_owners
def destroy_api_key(api_key_id: UUID) -> ResponseReturnValue:
    """Revoke a key: requests that carry it are refused from now on."""
    api_key = queries.get_api_key(current_organisation().id, api_key_id)
    if api_key is None:
        abort(404)
    api_key.revoke()
    db.session.commit()
    return _done(f"The API key “{api_key.name}” is revoked.")


def _page(*, errors: dict[str, str] | None = None, secret: str = "", status: int = 200) -> ResponseReturnValue:
    organisation = current_organisation()
    response = render_page(
        "accounts/settings.html",
        status=status,
        members=queries.list_members(organisation.id),
        invitations=queries.list_invitations(organisation.id),
        api_keys=queries.list_api_keys(organisation.id),
        time_zones=[(name, name.replace("_", " ")) for name in TIME_ZONES],
        errors=errors or {},
        values=request.form if "time_zone" in request.form else organisation,
        form=request.form,
        secret=secret,
    )
    response.headers["Cache-Control"] = "no-store"
    return response


def _done(message: str) -> ResponseReturnValue:
    flash(message, "success")
    return redirect(url_for("accounts.settings"), 303)


def _text(name: str) -> str:
    """A field's text, or nothing when it is too long to be meant."""
    value = " ".join(request.form.get(name, "").split())
    return value if len(value) <= NAME_LENGTH else ""
