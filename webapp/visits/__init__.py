"""Visits: beacons from websites, rolled up, asked and drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apiflask import APIFlask


def init_app(app: APIFlask) -> None:
    """Register what the app needs of this feature."""
    from webapp.visits import models  # noqa: F401
