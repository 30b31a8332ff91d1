"""What the workers of the outage tests load: all of Footfall's actors, and kinds that leave traces in a file.

A line is appended by one write, so that lines of several processes never mix.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from webapp.config import get_settings
from webapp.jobs.kinds import Kind, Result, Run, register_kind
from webapp.jobs.parameters import Parameter
from webapp.worker import broker

__all__ = ["broker"]

TRACES = "traces.txt"
MILLISECONDS = Parameter("milliseconds", "Milliseconds", "integer", default=0)
STEPS = Parameter("steps", "Steps", "integer", default=1)


def leave_trace(text: str) -> None:
    """Append a line that outlives this process from the moment it is written."""
    path = Path(get_settings().data_dir) / TRACES
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{text}\n".encode())
    os.close(descriptor)


def pause(run: Run) -> Result:
    """Leave a trace, then wait; the database is not asked."""
    leave_trace(f"{run.job_id} {run.number}")
    time.sleep(run.parameters["milliseconds"] / 1000)
    return {"answer": 42}


def walk(run: Run) -> Result:
    """Step by step, with a trace for each and a checkpoint after it."""
    for step in range((run.checkpoint or {}).get("step", 0), run.parameters["steps"]):
        time.sleep(run.parameters["milliseconds"] / 1000)
        leave_trace(f"{run.job_id} {step}")
        run.report(step + 1, run.parameters["steps"], {"step": step + 1})
    return {}


def kill_worker(run: Run) -> Result:
    """As work does that takes all memory."""
    leave_trace(f"{run.job_id} {run.number}")
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


for function in (pause, walk, kill_worker):
    register_kind(Kind(function.__name__, function.__name__.capitalize(), function, parameters=(MILLISECONDS, STEPS)))
