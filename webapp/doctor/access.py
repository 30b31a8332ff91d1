"""How people come in: addresses, sign-in, the secret, proxies; and what reaches out."""

from __future__ import annotations

from ipaddress import ip_network
from urllib.parse import urlsplit

import requests

from webapp.config import GOOGLE_ISSUER, Settings
from webapp.doctor.finding import Finding, ok, problem, warning

DISCOVERY = "/.well-known/openid-configuration"
ISSUER_SECONDS = 5.0
SHORTEST_SECRET = 32


def check_addresses(settings: Settings) -> list[Finding]:
    if settings.is_local:
        return [ok("Addresses", f"{settings.public_url} is for this machine alone.")]
    plain = [name for name, url in _addresses(settings).items() if urlsplit(url).scheme != "https"]
    if plain:
        words = (
            f"{' and '.join(plain)} {'are' if len(plain) > 1 else 'is'} not https, so cookies and visits travel open."
        )
        return [
            problem("Addresses", words, "Serve both by https; the Caddyfile does, and gets its certificate itself.")
        ]
    return [ok("Addresses", f"People come to {settings.public_url}, beacons to {settings.edge_url}.")]


def check_sign_in(settings: Settings) -> list[Finding]:
    if settings.uses_demo_issuer:
        words = "The demo's sign-in, which asks for no password and answers this machine only."
        return [ok("Sign-in", words)]
    missing = [name for name, value in _credentials(settings).items() if not value]
    if missing:
        remedy = f"Register {settings.public_url}/sign-in/callback at the provider, and set its id and secret."
        return [problem("Sign-in", f"Nobody can sign in: {' and '.join(missing)} not set.", remedy)]
    return [_check_issuer(settings.issuer_url)]


def check_secret(settings: Settings) -> list[Finding]:
    kept = settings.data_dir / "secret_key"
    if len(settings.secret_key) < SHORTEST_SECRET:
        return [problem("Secret", "SECRET_KEY is short enough to be guessed.", "Make one: openssl rand -base64 48")]
    if settings.is_local or not kept.exists() or kept.read_text().strip() != settings.secret_key:
        return [ok("Secret", "Cookies and live addresses are signed.")]
    words = f"SECRET_KEY is not set; the one in {kept} is used, which other machines do not have."
    return [warning("Secret", words, "Set SECRET_KEY to the same value for every process.")]


def check_proxies(settings: Settings) -> list[Finding]:
    proxies = settings.trusted_proxies
    try:
        networks = [ip_network(proxy, strict=False) for proxy in proxies]
    except ValueError as error:
        return [problem("Proxies", f"TRUSTED_PROXIES: {error}.", "Give addresses or networks, as 10.0.0.0/8.")]
    if any(network.prefixlen == 0 for network in networks):
        words = "TRUSTED_PROXIES trusts everybody, who may then claim any address."
        return [problem("Proxies", words, "Name only your own reverse proxies.")]
    if not proxies and not settings.is_local:
        words = "No reverse proxy is trusted, so behind one every request seems to come from it."
        return [warning("Proxies", words, "Set TRUSTED_PROXIES to its address, if there is one.")]
    return [ok("Proxies", f"Trusted: {', '.join(proxies)}." if proxies else "None, and none is needed here.")]


def check_pictures(settings: Settings) -> list[Finding]:
    if settings.unsplash_access_key:
        return [ok("Pictures", "UNSPLASH_ACCESS_KEY is set.")]
    return [ok("Pictures", "Not set up: without UNSPLASH_ACCESS_KEY no job finds pictures.")]


def _addresses(settings: Settings) -> dict[str, str]:
    return {"PUBLIC_URL": settings.public_url, "EDGE_URL": settings.edge_url}


def _credentials(settings: Settings) -> dict[str, str]:
    return {"GOOGLE_CLIENT_ID": settings.google_client_id, "GOOGLE_CLIENT_SECRET": settings.google_client_secret}


def _check_issuer(issuer: str) -> Finding:
    """Whether the provider describes itself, as it is asked at every first sign-in."""
    try:
        answer = requests.get(f"{issuer}{DISCOVERY}", timeout=ISSUER_SECONDS)
        answer.raise_for_status()
        is_description = "authorization_endpoint" in answer.json()
    except (requests.RequestException, ValueError) as error:
        return problem("Sign-in", f"{issuer} does not describe itself: {error}", "Look at OIDC_ISSUER and the network.")
    if not is_description:
        return problem("Sign-in", f"{issuer} is no OpenID provider.", "Look at OIDC_ISSUER.")
    name = "Google" if issuer == GOOGLE_ISSUER else issuer
    return ok("Sign-in", f"{name} answers, and id and secret are set.")
