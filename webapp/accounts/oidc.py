"""OpenID Connect: to the provider and back with somebody's proven identity; Google, any other, or the demo's."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.flask_client import FlaskOAuth2App, OAuth
from flask import Flask, current_app, session
from joserfc.errors import JoseError
from werkzeug.wrappers import Response

from webapp.accounts.identity import Identity
from webapp.config import GOOGLE_ISSUER, Settings

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 10
STATES_KEPT = 3
"""How many sign-ins one browser may have open at once: each takes a part of the cookie's 4 KB."""

DEMO_CLIENT_ID = "footfall-demo"
DEMO_ISSUER = "urn:footfall:demo-issuer"
"""The demo's people stay themselves when the demo moves to another port."""

STATE_PREFIX = "_state_provider_"


class SignInError(Exception):
    """Sign-in did not succeed; `problem` is a key of `PROBLEMS`."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


def init_app(app: Flask) -> None:
    """Know the provider of these settings; it is asked for its addresses when first needed."""
    settings: Settings = app.extensions["settings"]
    app.extensions["sign_in_provider"] = _provider(app, settings) if is_configured(settings) else None


def is_configured(settings: Settings) -> bool:
    """Whether anybody can sign in at all."""
    return settings.uses_demo_issuer or bool(settings.google_client_id and settings.google_client_secret)


def button_label(settings: Settings) -> str:
    """What the sign-in button says."""
    if settings.uses_demo_issuer:
        return "Try the demo"
    return "Continue with Google" if settings.issuer_url == GOOGLE_ISSUER else "Continue with single sign-on"


def send_to_provider(settings: Settings) -> Response:
    """The redirect that starts a sign-in; raises SignInError when the provider does not answer."""
    provider = _current_provider()
    _drop_old_states()
    try:
        _check_issuer(provider, settings)
        redirect: Response = provider.authorize_redirect(f"{settings.public_url}/sign-in/callback")
    except (requests.RequestException, ValueError, RuntimeError) as error:
        raise _refused(provider, "provider-down", error) from error
    return redirect


def identity_from_callback(settings: Settings) -> Identity:
    """Who came back from the provider, checked; raises SignInError."""
    provider = _current_provider()
    try:
        _check_issuer(provider, settings)
        token = provider.authorize_access_token(claims_options=_claims_options(settings, provider.client_id))
        claims = _claims(provider, token)
    except AuthlibBaseError as error:
        raise _refused(provider, _problem_of(error), error) from error
    except JoseError as error:
        raise _refused(provider, "bad-token", error) from error
    except (requests.RequestException, ValueError, RuntimeError) as error:
        raise _refused(provider, "provider-down", error) from error
    return _identity(DEMO_ISSUER if settings.uses_demo_issuer else settings.issuer_url, claims)


def _provider(app: Flask, settings: Settings) -> FlaskOAuth2App:
    """Of this app alone: two apps in one process may have two providers."""
    demo = settings.uses_demo_issuer
    return OAuth(app).register(
        "provider",
        client_id=DEMO_CLIENT_ID if demo else settings.google_client_id,
        client_secret=DEMO_CLIENT_ID if demo else settings.google_client_secret,
        server_metadata_url=f"{settings.issuer_url}/.well-known/openid-configuration",
        client_kwargs={
            "scope": "openid email profile",
            "code_challenge_method": "S256",
            "default_timeout": TIMEOUT_SECONDS,
        },
    )


def _current_provider() -> FlaskOAuth2App:
    provider = current_app.extensions["sign_in_provider"]
    if provider is None:
        raise SignInError("not-configured")
    return provider


def _check_issuer(provider: FlaskOAuth2App, settings: Settings) -> None:
    """Discovery must speak for the issuer that was asked (OpenID Connect Discovery, section 4.3)."""
    issuer = str(provider.load_server_metadata().get("issuer", "")).rstrip("/")
    if issuer != settings.issuer_url:
        raise ValueError(f"{settings.issuer_url} describes another issuer: {issuer!r}.")


def _claims_options(settings: Settings, client_id: str) -> dict[str, Any]:
    """Both spellings of the issuer, since settings and providers differ over the last slash."""
    return {
        "iss": {"essential": True, "values": [settings.issuer_url, settings.issuer_url + "/"]},
        "aud": {"essential": True, "value": client_id},
    }


def _claims(provider: FlaskOAuth2App, token: dict[str, Any]) -> Mapping[str, Any]:
    """The ID token's claims; the address from userinfo when the provider leaves it out of the token."""
    claims = token.get("userinfo")
    if not claims:
        raise ValueError("The provider sent no ID token.")
    if claims.get("email") or not provider.server_metadata.get("userinfo_endpoint"):
        return dict(claims)
    more = provider.userinfo(token=token)
    if more.get("sub") != claims["sub"]:
        raise ValueError("The provider's userinfo is about somebody else.")
    return {**more, **claims}


def _identity(issuer: str, claims: Mapping[str, Any]) -> Identity:
    email = str(claims.get("email") or "").strip()
    if not email:
        raise SignInError("no-email")
    if claims.get("email_verified") in (False, "false"):
        raise SignInError("email-not-verified")
    return Identity(
        issuer=issuer,
        subject=str(claims["sub"]),
        email=email,
        email_is_verified=claims.get("email_verified") in (True, "true"),
        name=str(claims.get("name") or "").strip() or email.partition("@")[0],
    )


def _problem_of(error: AuthlibBaseError) -> str:
    known = {"access_denied": "denied", "mismatching_state": "stale", "invalid_grant": "stale"}
    return known.get(error.error, "refused")


def _refused(provider: FlaskOAuth2App, problem: str, error: Exception) -> SignInError:
    """Forget what the provider said of itself, so that the next attempt asks it again (its keys may be new)."""
    logger.warning("Sign-in failed (%s): %s", problem, error)
    if problem in {"provider-down", "bad-token"}:
        provider.server_metadata.pop("_loaded_at", None)
        provider.server_metadata.pop("jwks", None)
    return SignInError(problem)


def _drop_old_states() -> None:
    states = sorted((key for key in session if key.startswith(STATE_PREFIX)), key=lambda key: session[key]["exp"])
    for key in states[: max(0, len(states) - STATES_KEPT + 1)]:
        session.pop(key)
