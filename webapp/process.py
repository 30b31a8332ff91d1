"""How each long-running process begins: under its name in the logs, the metrics and the traces."""

from __future__ import annotations

import gc
import os

from flask import Flask
from sqlalchemy.orm import configure_mappers

from webapp import metrics, tracing
from webapp.lib import log

COLLECT_AFTER = 10_000
"""So many new objects, net, before the youngest are looked through: about what a page makes at its most."""


def begin_process(name: str) -> None:
    """Call it before anything else, and after any fork. `footfall` may have given a better name, as "visits"."""
    name = os.environ.setdefault(log.PROCESS_VARIABLE, name)
    log.set_up()
    metrics.begin(name)
    tracing.begin(name)


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
