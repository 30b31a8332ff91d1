"""The demo's issuer signs people in to its own installation, on this machine, and does nothing else."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import requests

from tests.accounts.conftest import SignIn, issuer_settings, sign_in, sign_in_app

__all__ = ["issuer_settings", "sign_in", "sign_in_app"]  # fixtures


@pytest.mark.parametrize(
    "setting",
    [{"PUBLIC_URL": "https://desk.example"}, {"GOOGLE_CLIENT_ID": "id"}, {"DEMO": "0"}],
    ids=str,
)
def test_it_does_not_start_where_sign_in_is_real(setting: dict[str, str]) -> None:
    command = [sys.executable, "-m", "webapp.demo_issuer"]
    run = subprocess.run(command, env={**os.environ, **setting}, capture_output=True, text=True, timeout=60)
    assert run.returncode == 2
    assert "asks for no password" in run.stderr


def test_it_listens_on_loopback_and_names_itself(sign_in: SignIn) -> None:
    metadata = requests.get(f"{sign_in.issuer_url}/.well-known/openid-configuration", timeout=10).json()
    assert metadata["issuer"] == sign_in.issuer_url
    assert sign_in.issuer_url.startswith("http://localhost:")


def test_it_offers_its_people_without_loading_anything_from_elsewhere(sign_in: SignIn) -> None:
    page = requests.get(sign_in.start(sign_in.app.test_client()), timeout=10).text
    assert "Dana Demo" in page
    assert "//" not in page.replace("<!doctype", "")


def test_it_sends_nobody_to_another_site(sign_in: SignIn) -> None:
    url = sign_in.start(sign_in.app.test_client()).replace("localhost%3A8000", "evil.example")
    url = url.replace("http://localhost:8000/sign-in/callback", "http://evil.example/")
    assert requests.get(url, timeout=10).status_code == 400


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/users/mallory"), ("POST", "/oauth2/clients"), ("GET", "/oidc/login"), ("GET", "/")]
)
def test_what_the_demo_does_not_need_is_not_there(sign_in: SignIn, method: str, path: str) -> None:
    assert requests.request(method, sign_in.issuer_url + path, json={}, timeout=10).status_code == 404
