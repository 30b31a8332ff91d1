"""Signing in, signing out, joining an organisation, and changing from one to another."""

from __future__ import annotations

from urllib.parse import urlsplit
from uuid import UUID

from flask import Blueprint, abort, current_app, flash, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_user, logout_user

from webapp.accounts import access, oidc, service
from webapp.accounts.current import choose_organisation, resume_organisation
from webapp.accounts.queries import ReceivedInvitation
from webapp.config import LOOPBACK_NAMES, Settings
from webapp.extensions import db
from webapp.lib.paths import own_path
from webapp.pages import render_page

bp = Blueprint("accounts", __name__)

NEXT = "next_path"

PROBLEMS = {
    "not-configured": "Nobody can sign in yet: no way to sign in is set up here.",
    "denied": "You did not let the provider tell us who you are, so nobody was signed in.",
    "stale": "That sign-in took too long, was used already, or was started in another browser. Please try again.",
    "provider-down": "The sign-in provider does not answer as it should. Please try again in a minute.",
    "bad-token": "The sign-in provider's answer could not be trusted, so nobody was signed in. Please try again.",
    "refused": "The sign-in provider refused. Please try again, or ask whoever runs this installation.",
    "no-email": "The provider did not tell us your e-mail address, which Footfall needs.",
    "email-not-verified": "Your e-mail address is not verified yet. Confirm it with the provider, then sign in.",
    "no-organisation": "You no longer belong to an organisation. Sign in again to begin one of your own.",
}


@bp.get("/sign-in")
def sign_in() -> ResponseReturnValue:
    """The page with the one button; it also says in plain words what went wrong before."""
    elsewhere = _own_host()
    if elsewhere:
        return redirect(elsewhere)
    next_path = own_path(request.args.get("next"))
    if current_user.is_authenticated:
        return redirect(next_path)
    settings = _settings()
    response = render_page(
        "accounts/sign_in.html",
        settings=settings,
        is_configured=oidc.is_configured(settings),
        label=oidc.button_label(settings),
        next_path=next_path,
        problem=PROBLEMS.get(request.args.get("problem", "")),
    )
    # A fragment's request that lands here because nobody is signed in any more becomes a whole page.
    response.headers["HX-Redirect"] = request.full_path.rstrip("?")
    return response


@bp.get("/sign-in/start")
def sign_in_start() -> ResponseReturnValue:
    """Off to the provider."""
    elsewhere = _own_host()
    if elsewhere:
        return redirect(elsewhere)
    session[NEXT] = own_path(request.args.get("next"))
    try:
        return oidc.send_to_provider(_settings())
    except oidc.SignInError as error:
        return _refuse(error)


@bp.get("/sign-in/callback")
def callback() -> ResponseReturnValue:
    """Back from the provider: the person is known, or told why not."""
    try:
        identity = oidc.identity_from_callback(_settings())
    except oidc.SignInError as error:
        return _refuse(error)
    user = service.sign_in(identity)
    db.session.commit()
    next_path = own_path(session.get(NEXT))
    session.clear()  # what an earlier holder of this cookie put in must not stay
    resume_organisation(user)
    login_user(user)
    return redirect(next_path)


@bp.post("/sign-out")
def sign_out() -> ResponseReturnValue:
    """End the sign-in here and in every other browser: a copy of the cookie opens nothing any more."""
    service.sign_out(current_user)
    db.session.commit()
    logout_user()
    session.clear()
    return redirect(url_for("accounts.sign_in"), 303)


@bp.post("/organisations/<uuid:organisation_id>/switch")
def switch(organisation_id: UUID) -> ResponseReturnValue:
    """Look at another of the person's organisations from now on."""
    if organisation_id not in {place.organisation.id for place in access.places()}:
        abort(404)
    choose_organisation(current_user, organisation_id)
    db.session.commit()
    return redirect("/", 303)


@bp.post("/invitations/<uuid:invitation_id>/accept")
def accept_invitation(invitation_id: UUID) -> ResponseReturnValue:
    """Join the organisation, and look at it from now on."""
    received = _received_or_404(invitation_id)
    organisation_id, name = received.organisation.id, received.organisation.name
    if not service.accept_invitation(current_user, received.invitation):
        abort(404)
    choose_organisation(current_user, organisation_id)
    db.session.commit()
    flash(f"You joined {name}.", "success")
    return redirect("/", 303)


@bp.post("/invitations/<uuid:invitation_id>/decline")
def decline_invitation(invitation_id: UUID) -> ResponseReturnValue:
    """Stay out; the organisation may ask again."""
    received = _received_or_404(invitation_id)
    name = received.organisation.name
    if not service.decline_invitation(received.invitation):
        abort(404)
    db.session.commit()
    flash(f"You declined the invitation of {name}.", "success")
    return redirect(url_for(".settings"), 303)


def _received_or_404(invitation_id: UUID) -> ReceivedInvitation:
    found = (received for received in access.received_invitations() if received.invitation.id == invitation_id)
    return next(found, None) or abort(404)


def _settings() -> Settings:
    settings: Settings = current_app.extensions["settings"]
    return settings


def _refuse(error: oidc.SignInError) -> ResponseReturnValue:
    return redirect(url_for("accounts.sign_in", problem=error.problem, next=session.get(NEXT)), 303)


def _own_host() -> str | None:
    """This address under the public name, when somebody came by another name of this machine.

    The provider sends people back to the public name, where a cookie of 127.0.0.1 would not follow.
    """
    here, public = urlsplit(request.host_url), urlsplit(_settings().public_url)
    if here.hostname == public.hostname or not {here.hostname, public.hostname} <= LOOPBACK_NAMES:
        return None
    return f"{public.scheme}://{public.netloc}{request.full_path.rstrip('?')}"
