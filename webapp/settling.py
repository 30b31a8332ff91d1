"""What a web process does once before its first page."""

from __future__ import annotations

import gc

from flask import Flask
from sqlalchemy.orm import configure_mappers

COLLECT_AFTER = 10_000
"""So many new objects, net, before the youngest are looked through: about what a page makes at its most."""


def settle(app: Flask) -> None:
    """Make ready what the first pages would, and keep it out of the garbage collector's sight.

    It would look through all of it, some 300,000 objects, every thirty pages or so, and whoever asked for that page
    would wait a fifth of a second.
    """
    configure_mappers()
    for name in app.jinja_env.list_templates():
        app.jinja_env.get_template(name)
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 10, 50)
