"""Organisations, the people in them, sign-in, and API keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apiflask import APIFlask


def init_app(app: APIFlask) -> None:
    """Ask for a signed-in member on every page, and let people sign in."""
    from webapp.accounts import access, oidc
    from webapp.accounts.settings_views import bp

    oidc.init_app(app)
    access.init_app(app)
    app.register_blueprint(bp)
