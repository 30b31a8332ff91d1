"""A real OpenID issuer in a process of its own, and an app that asks it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import pytest
import requests
from apiflask import APIFlask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.conftest import empty_everything
from webapp.app import create_app
from webapp.config import Settings


@dataclass(frozen=True)
class SignIn:
    """An app whose people sign in at a local issuer, as a browser would."""

    app: APIFlask
    issuer_url: str

    def start(self, client: FlaskClient, path: str = "/sign-in/start") -> str:
        """The provider's address that the app sends the browser to."""
        return str(client.get(path).headers["Location"])

    def consent(self, authorize_url: str, subject: str) -> str:
        """The way back that the issuer names once somebody chose who to be."""
        answer = requests.post(authorize_url, data={"sub": subject}, allow_redirects=False, timeout=10)
        return self.path_of(answer.headers["Location"])

    def deny(self, authorize_url: str) -> str:
        """The way back after "Cancel"."""
        answer = requests.post(authorize_url, data={"action": "deny"}, allow_redirects=False, timeout=10)
        return self.path_of(answer.headers["Location"])

    def as_person(self, client: FlaskClient, subject: str, path: str = "/sign-in/start") -> TestResponse:
        """The whole way; the answer is that of the callback."""
        return client.get(self.consent(self.start(client, path), subject))

    @staticmethod
    def path_of(url: str) -> str:
        parts = urlsplit(url)
        return f"{parts.path}?{parts.query}"


@pytest.fixture(scope="session")
def issuer_settings(services: Settings) -> Iterator[Settings]:
    """Settings of an installation whose demo issuer is up: the very process that `footfall up` starts."""
    settings = replace(services, issuer_port=free_port())
    environment = {**os.environ, "ISSUER_PORT": str(settings.issuer_port)}
    process = subprocess.Popen([sys.executable, "-m", "webapp.demo_issuer"], env=environment)
    try:
        wait_until_it_answers(f"{settings.issuer_url}/jwks")
        yield settings
    finally:
        process.terminate()
        process.wait(10)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_it_answers(url: str) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            requests.get(url, timeout=1).raise_for_status()
        except requests.ConnectionError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(f"{url} does not answer.")


@pytest.fixture(scope="session")
def sign_in_app(issuer_settings: Settings) -> APIFlask:
    app = create_app(issuer_settings)
    app.config.update(TESTING=True, WTF_CSRF_ENABLED=False)
    return app


@pytest.fixture
def sign_in(sign_in_app: APIFlask, issuer_settings: Settings) -> SignIn:
    """The app on empty tables."""
    empty_everything(issuer_settings)
    return SignIn(sign_in_app, issuer_settings.issuer_url)


@pytest.fixture
def browser(sign_in: SignIn) -> FlaskClient:
    """Somebody's browser, in which nobody is signed in."""
    return sign_in.app.test_client()
