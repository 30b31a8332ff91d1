"""The operators' pages: queues, workers, dead letters and jobs of the whole installation."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apiflask import APIFlask


def init_app(app: APIFlask) -> None:
    """Register the pages."""
    from webapp.operations import (  # noqa: F401  (they add pages to the blueprint)
        dead_letter_views,
        job_views,
        laid_aside_views,
    )
    from webapp.operations.views import blueprint

    app.register_blueprint(blueprint)
