"""The Flask app: settings, extensions and features, in one list a person can read."""

from __future__ import annotations

from pathlib import Path

from apiflask import APIFlask
from flask import Flask

from webapp.config import Settings, get_settings
from webapp.extensions import APP_ROLE, csrf, db, htmx, login_manager, migrate
from webapp.incoming import MAX_BODY_BYTES, IncomingRequest
from webapp.lib.proxies import TrustedProxies
from webapp.pool import WatchedPool

ROOT = Path(__file__).parent.parent
POOL_SIZE = 20
POOL_WAIT_SECONDS = 30
SILENT_SERVER = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
"""A server that vanished without a word counts as gone after 25 seconds, not when TCP gives up after many minutes."""


def create_app(settings: Settings | None = None) -> APIFlask:
    """A configured app; raises ConfigError when a setting cannot be used."""
    settings = settings or get_settings()
    app = APIFlask(
        "webapp",
        title="Footfall",
        version="1",
        docs_path=None,  # webapp.openapi has a page without inline scripts
        spec_path="/openapi.json",
        template_folder=str(ROOT / "templates"),
        static_folder=str(ROOT / "static"),
    )
    _configure(app, settings)
    _add_extensions(app)
    _add_features(app)
    return app


def _configure(app: Flask, settings: Settings) -> None:
    app.extensions["settings"] = settings
    app.request_class = IncomingRequest
    app.config.update(
        SECRET_KEY=settings.secret_key,
        SQLALCHEMY_DATABASE_URI=sqlalchemy_url(settings.database_url),
        SQLALCHEMY_ENGINE_OPTIONS=engine_options(),
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.public_url.startswith("https://"),
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
        MAX_FORM_MEMORY_SIZE=MAX_BODY_BYTES,
        WTF_CSRF_TIME_LIMIT=None,
        WTF_CSRF_CHECK_DEFAULT=False,  # it reads the form: `webapp.accounts.access` checks it once it knows who asks
    )
    if settings.trusted_proxies:
        app.wsgi_app = TrustedProxies(app.wsgi_app, settings.trusted_proxies)  # type: ignore[method-assign]


def sqlalchemy_url(database_url: str) -> str:
    """The same server, by psycopg 3."""
    return "postgresql+psycopg://" + database_url.split("://", 1)[1]


def engine_options() -> dict[str, object]:
    """Every connection takes the app's role, which row-level security binds, as it opens.

    PostgreSQL looks once a second whether the client is still there, so that a killed worker's
    locks are free at once, not when its statement has ended.

    The pages have more threads than connections: a request holds none while its body arrives, and in a burst
    the others wait for their turn. More connections would not make two processors faster.
    """
    options = f"-c role={APP_ROLE} -c client_connection_check_interval=1000"
    return {
        "poolclass": WatchedPool,
        "pool_size": POOL_SIZE,
        "max_overflow": 0,
        "pool_timeout": POOL_WAIT_SECONDS,
        "pool_pre_ping": True,
        "hide_parameters": True,  # what people typed has no place in a log
        "connect_args": {"options": options, **SILENT_SERVER},
    }


def _add_extensions(app: Flask) -> None:
    db.init_app(app)
    migrate.init_app(app, db, directory=str(ROOT / "migrations"))
    login_manager.init_app(app)
    csrf.init_app(app)
    htmx.init_app(app)


def _add_features(app: APIFlask) -> None:
    """Each feature registers its own blueprints, commands and template helpers."""
    from webapp import (
        accounts,
        bulk_actions,
        contacts,
        health,
        jobs,
        openapi,
        operations,
        overview,
        pages,
        pictures,
        problems,
        products,
        signals,
        visits,
    )

    own = (accounts, jobs, pictures, visits, contacts, products, bulk_actions, overview, operations)
    for feature in (signals, health, pages, problems, *own, openapi):
        feature.init_app(app)
