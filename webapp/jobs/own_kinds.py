"""Kinds of jobs that need no feature: they show that the workers work, and measure how fast."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from webapp.jobs.kinds import Kind, MayStart, PermanentError, Result, Run, register_kind
from webapp.jobs.parameters import Parameter

QUICK_BATCH = 100


def register_own_kinds() -> None:
    """Make them known."""
    register_kind(REHEARSAL)
    register_kind(NO_OPERATION)


def rehearse(run: Run) -> Result:
    """Go step by step, with a checkpoint after each, so that a worker that stops hands over in between."""
    steps, pause = run.parameters["step_count"], run.parameters["step_milliseconds"] / 1000
    done = (run.checkpoint or {}).get("step_count", 0) % steps  # one that broke after the last begins anew
    run.log(f"Beginning at step {done + 1:,} of {steps:,}." if done else f"Beginning {steps:,} steps.")
    while done < steps:
        time.sleep(pause)
        done += 1
        run.report(done, steps, {"step_count": done})
    return _end(run, steps)


def _end(run: Run, steps: int) -> Result:
    if run.parameters["ending"] == "fails":
        raise PermanentError("This rehearsal was asked to fail for good.")
    if run.parameters["ending"] == "breaks":
        raise RuntimeError("This rehearsal was asked to break in every attempt.")
    run.log("Done.")
    return {"step_count": steps}


def do_nothing(run: Run) -> Result:
    """What remains is the cost of a job as such."""
    return {}


def _rehearsal_title(parameters: Mapping[str, Any]) -> str:
    return f"Rehearsal of {parameters['step_count']:,} steps"


REHEARSAL = Kind(
    name="rehearsal",
    label="Rehearsal",
    run=rehearse,
    description="Goes step by step and changes nothing: to see that the workers work, or what a failure looks like.",
    parameters=(
        Parameter("step_count", "Steps", "integer", default=20, minimum=1, maximum=100_000),
        Parameter("step_milliseconds", "Milliseconds for a step", "integer", default=250, minimum=0, maximum=60_000),
        Parameter(
            "ending",
            "Ending",
            "choice",
            default="completes",
            choices=(
                ("completes", "It completes"),
                ("fails", "It fails for good"),
                ("breaks", "Every attempt breaks, until it is dead"),
            ),
        ),
    ),
    may_start=MayStart.MEMBER,
    title=_rehearsal_title,
)
NO_OPERATION = Kind(
    name="no_operation",
    label="No operation",
    run=do_nothing,
    description="Does nothing: to measure what a job costs as such.",
    batch_size=QUICK_BATCH,
    may_start=MayStart.OWNER,
)
