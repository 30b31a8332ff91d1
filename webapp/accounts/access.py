"""The front door: every page needs a signed-in member, but for a short public list."""

from __future__ import annotations

from urllib.parse import urlsplit
from uuid import UUID

from flask import Flask, current_app, g, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user, logout_user
from flask_wtf.csrf import validate_csrf

from webapp.accounts import current, queries
from webapp.accounts.models import Organisation, User
from webapp.accounts.queries import Place, ReceivedInvitation
from webapp.extensions import csrf, htmx, login_manager
from webapp.problems import Problem, is_api_request

PUBLIC_ENDPOINTS = frozenset(
    {
        "static",
        "healthz",
        "readyz",
        "metrics",
        "openapi.spec",
        "api_docs",
        "accounts.sign_in",
        "accounts.sign_in_start",
        "accounts.callback",
        "shared_visits.index",
        "shared_visits.show_list",
        "shared_visits.suggest_values",
        "shared_visits.list_csv",
        "shared_visits.list_json",
        "shared_visits.numbers_csv",
        "shared_visits.numbers_json",
        "shared_visits.show_journeys",
        "shared_visits.journeys_csv",
        "shared_visits.journeys_json",
        "shared_visits.goals_file",
        "unsubscribe.show",
        "unsubscribe.destroy",
    }
)


def init_app(app: Flask) -> None:
    """Settle who asks before any view runs; the API asks for its key itself (`api_auth`)."""
    login_manager.login_view = "accounts.sign_in"
    login_manager.user_loader(load_user)
    login_manager.unauthorized_handler(send_to_sign_in)
    app.before_request(admit)
    app.before_request(check_form)
    app.teardown_request(current.restore_tenant)
    app.context_processor(template_context)


def admit() -> ResponseReturnValue | None:
    """Let the request through with its organisation, or send the person to the sign-in page.

    An address that leads nowhere is not guarded: it answers 404, in the looks of whoever asks.
    """
    current.forget_tenant()
    if is_api_request() or request.endpoint in PUBLIC_ENDPOINTS:
        return None
    if not current_user.is_authenticated:
        return send_to_sign_in() if request.endpoint else None
    return _enter(places())


def check_form() -> None:
    """Look for the form's token. This reads the body, so it comes after `admit`: a stranger's is not read."""
    if current_app.config["WTF_CSRF_ENABLED"]:
        csrf.protect(apply_exemptions=True)


def check_token(token: str = "") -> None:
    """Look for a form's token in a header, or for this one: for views whose bodies are too large to be read before."""
    if not current_app.config["WTF_CSRF_ENABLED"]:
        return
    try:
        validate_csrf(request.headers.get("X-CSRFToken") or token)
    except ValueError as error:
        raise Problem(400, "This page is out of date", "Load it again, then choose the file once more.") from error


def load_user(cookie_id: str) -> User | None:
    """The person in the cookie, with their organisations, by one statement; nobody when they signed out since.

    Tried once: when the database is away, the page that says so asks again, and is shown to nobody in particular.
    """
    if g.get("was_loading_user"):
        return None
    g.was_loading_user = True
    found = queries.get_user_with_places(UUID(cookie_id.partition(":")[0]))
    g.was_loading_user = False
    if found is None or found[0].get_id() != cookie_id:
        return None
    user, g.places = found
    return user


def places() -> tuple[Place, ...]:
    """The signed-in person's organisations."""
    if not current_user.is_authenticated:
        return ()
    found: tuple[Place, ...] = g.get("places", ())
    return found


def received_invitations() -> list[ReceivedInvitation]:
    """The organisations that wait for the signed-in person's answer."""
    return queries.list_received_invitations(current_user) if current_user.is_authenticated else []


def send_to_sign_in() -> ResponseReturnValue:
    """To the sign-in page, and back to this one afterwards if it was only being read."""
    wanted = _page_path()
    return redirect(url_for("accounts.sign_in", next=None if wanted == "/" else wanted))


def _page_path() -> str | None:
    """The page that the browser shows: of a part of one, which htmx asks for, the whole."""
    if htmx and htmx.current_url:
        page = urlsplit(htmx.current_url)
        return f"{page.path}?{page.query}" if page.query else page.path
    return request.full_path.rstrip("?") if request.method in {"GET", "HEAD"} else None


def template_context() -> dict[str, object]:
    """What every page's frame shows: whose organisation it is, and which others there are."""
    return {
        "current_organisation": g.get("organisation"),
        "current_membership": g.get("membership"),
        "current_organisations": _organisations_by_name,
        "received_invitations": received_invitations,
        "is_owner": current.is_owner(),
        "is_operator": current.is_operator,
    }


def _organisations_by_name() -> list[Organisation]:
    return sorted((place.organisation for place in places()), key=lambda organisation: organisation.name.casefold())


def _enter(places: tuple[Place, ...]) -> ResponseReturnValue | None:
    place = current.chosen_place(places)
    if place is not None:
        current.enter_organisation(place.organisation, place.membership)
        return None
    logout_user()
    session.clear()
    return redirect(url_for("accounts.sign_in", problem="no-organisation"))
