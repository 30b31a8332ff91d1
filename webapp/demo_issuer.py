"""`python -m webapp.demo_issuer`: a local OpenID issuer, so that the demo signs in as Google's users do.

It asks nobody for a password, so it listens on loopback only, sends people only to this installation's own
callback, and does not start when the pages are public.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flask import Flask, abort, request
from werkzeug.serving import BaseWSGIServer, make_server

from webapp.config import Settings, get_settings
from webapp.process import begin_process

if TYPE_CHECKING:
    from oidc_provider_mock import User

ROOT = Path(__file__).parent.parent
LOOPBACK = "127.0.0.1"

OFFERED_PATHS = ("/.well-known/openid-configuration", "/jwks", "/oauth2/authorize", "/oauth2/token", "/userinfo")


@dataclass(frozen=True)
class DemoPerson:
    """Somebody whom a visitor of the demo can be."""

    subject: str
    name: str
    note: str

    @property
    def email(self) -> str:
        return f"{self.subject}@example.com"


DEMO_PEOPLE = (
    DemoPerson("demo", "Dana Demo", "owns the demo organisation, with its contacts and visits"),
    DemoPerson("alice", "Alice Archer", "has an organisation of her own, still empty"),
    DemoPerson("bob", "Bob Baker", "can be invited by one of the others"),
    DemoPerson("charlie", "Charlie Cole", "belongs elsewhere, and sees nothing of the others"),
)


def create_issuer(callback_url: str) -> Flask:
    """The issuer as a Flask app with our own pages: its package's own would load styles from another site."""
    os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # plain HTTP, on loopback
    app = Flask(
        "webapp.demo_issuer",
        template_folder=str(ROOT / "templates" / "accounts" / "demo_issuer"),
        static_folder=str(ROOT / "static"),
    )
    wsgi_app = app.wsgi_app
    import oidc_provider_mock

    oidc_provider_mock.init_app(app, require_nonce=True, user_claims=[_user(person) for person in DEMO_PEOPLE])
    app.debug = False
    app.wsgi_app = wsgi_app  # type: ignore[method-assign]  # the package wraps it in a debugger
    app.jinja_env.globals["people"] = DEMO_PEOPLE
    app.before_request(lambda: refuse_what_the_demo_does_not_need(callback_url))
    return app


def refuse_what_the_demo_does_not_need(callback_url: str) -> None:
    """Nobody may add people, register clients, or have a code sent elsewhere."""
    if request.endpoint != "static" and request.path not in OFFERED_PATHS:
        abort(404)
    if request.path == "/oauth2/authorize" and request.args.get("redirect_uri") != callback_url:
        abort(400, "This issuer signs people in to its own Footfall only.")


def issuer_server(settings: Settings) -> BaseWSGIServer:
    """A server on loopback; raises OSError when something else has the port."""
    app = create_issuer(f"{settings.public_url}/sign-in/callback")
    return make_server(LOOPBACK, settings.issuer_port, app, threaded=True)


def main() -> int:
    """Serve until stopped."""
    begin_process("issuer")
    settings = get_settings()
    if not settings.uses_demo_issuer:
        sys.stderr.write(
            "The demo's sign-in asks for no password, so it runs only while PUBLIC_URL is on localhost, "
            "DEMO is not 0 and GOOGLE_CLIENT_ID is not set.\n"
        )
        return 2
    _be_quiet()
    issuer_server(settings).serve_forever()
    return 0


def _be_quiet() -> None:
    """The issuer's package uses parts of Authlib that Authlib calls old; nobody who runs the demo can change that."""
    import authlib.deprecate  # noqa: F401  (it turns its warnings on, so it must come before they are turned off)

    warnings.simplefilter("ignore", DeprecationWarning)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)


def _user(person: DemoPerson) -> User:
    from oidc_provider_mock import User

    return User(sub=person.subject, claims={"email": person.email, "email_verified": True, "name": person.name})


if __name__ == "__main__":
    sys.exit(main())
