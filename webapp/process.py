"""How each long-running process begins: under its name in the logs, the metrics and the traces."""

from __future__ import annotations

import os

from webapp import metrics, tracing
from webapp.lib import log


def begin_process(name: str) -> None:
    """Call it before anything else, and after any fork. `footfall` may have given a better name, as "visits"."""
    name = os.environ.setdefault(log.PROCESS_VARIABLE, name)
    log.set_up()
    metrics.begin(name)
    tracing.begin(name)
