"""An ID token that is not meant for us, not now, or not from the provider, signs nobody in."""

from __future__ import annotations

import time
from typing import Any

import pytest
from flask.testing import FlaskClient
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from tests.accounts.conftest import SignIn
from webapp.accounts.oidc import DEMO_CLIENT_ID

OURS = RSAKey.generate_key(2048, {"kid": "ours"})
STRANGERS = RSAKey.generate_key(2048, {"kid": "ours"})


LONG_AGO = 1_700_000_000


class Provider:
    """Stands between the app and its provider's token endpoint, with a key of its own."""

    def __init__(self, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch) -> None:
        self.issuer = sign_in.issuer_url
        self.claims: dict[str, Any] = {}
        self.key = OURS
        self.client = sign_in.app.extensions["sign_in_provider"]
        self.client.load_server_metadata()
        monkeypatch.setitem(self.client.server_metadata, "jwks", KeySet([OURS]).as_dict(private=False))
        monkeypatch.setattr(self.client, "fetch_access_token", lambda **_: {"id_token": self.token()})

    def answer_with(self, asked_nonce: str, **changes: Any) -> None:
        now = int(time.time())
        honest = {
            "iss": self.issuer,
            "aud": DEMO_CLIENT_ID,
            "sub": "alice",
            "email": "alice@example.com",
            "email_verified": True,
            "nonce": asked_nonce,
            "iat": now,
            "exp": now + 600,
        }
        self.claims = {name: value for name, value in {**honest, **changes}.items() if value is not None}

    def token(self) -> str:
        return jwt.encode({"alg": "RS256", "kid": "ours"}, self.claims, self.key)


@pytest.fixture
def provider(sign_in: SignIn, monkeypatch: pytest.MonkeyPatch) -> Provider:
    return Provider(sign_in, monkeypatch)


def come_back(sign_in: SignIn, browser: FlaskClient, provider: Provider, **changes: Any) -> str:
    """Where the browser lands when the provider answers with these claims."""
    state = sign_in.start(browser).split("state=")[1].split("&")[0]
    with browser.session_transaction() as cookie:
        nonce = cookie[f"_state_provider_{state}"]["data"]["nonce"]
    provider.answer_with(nonce, **changes)
    return str(browser.get(f"/sign-in/callback?code=any&state={state}").headers["Location"])


def test_an_honest_token_signs_in(sign_in: SignIn, browser: FlaskClient, provider: Provider) -> None:
    assert come_back(sign_in, browser, provider) == "/"


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "somebody-else"},
        {"aud": ["somebody-else", "another"]},
        {"aud": None},
        {"iss": "https://evil.example"},
        {"iss": None},
        {"exp": LONG_AGO},
        {"exp": None},
        {"nonce": "replayed"},
        {"nonce": None},
        {"sub": None},
    ],
    ids=str,
)
def test_a_token_with_a_wrong_claim_is_refused(
    sign_in: SignIn, browser: FlaskClient, provider: Provider, changes: dict[str, Any]
) -> None:
    assert come_back(sign_in, browser, provider, **changes).startswith("/sign-in?problem=bad-token")
    assert browser.get("/settings").status_code == 302


def test_a_token_signed_by_somebody_else_is_refused(sign_in: SignIn, browser: FlaskClient, provider: Provider) -> None:
    provider.key = STRANGERS
    assert come_back(sign_in, browser, provider).startswith("/sign-in?problem=bad-token")


def test_an_address_that_the_provider_calls_unverified_is_refused(
    sign_in: SignIn, browser: FlaskClient, provider: Provider
) -> None:
    assert "problem=email-not-verified" in come_back(sign_in, browser, provider, email_verified=False)


def test_a_person_without_an_address_is_told_so(sign_in: SignIn, browser: FlaskClient, provider: Provider) -> None:
    provider.client.server_metadata.pop("userinfo_endpoint", None)
    try:
        assert "problem=no-email" in come_back(sign_in, browser, provider, email=None)
    finally:
        provider.client.server_metadata.pop("_loaded_at", None)
