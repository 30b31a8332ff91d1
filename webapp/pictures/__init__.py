"""Pictures found elsewhere, kept and served here with their authors' credit."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apiflask import APIFlask


def init_app(app: APIFlask) -> None:
    """Register the kind of job, the pages and the API."""
    from webapp.jobs.kinds import register_kind
    from webapp.pictures import api, views
    from webapp.pictures.kinds import FIND_PICTURE

    register_kind(FIND_PICTURE)
    app.register_blueprint(views.blueprint)
    app.register_blueprint(api.blueprint)
