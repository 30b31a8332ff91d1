"""`python -m tests.visits.people.killable`: erase people in processes that die at a line of one's choice.

For each line that is read (an organisation and a number), a child process does the job's work and kills itself as it
comes to that line, counted over the modules that do it. The answer says whether it came so far.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Any
from uuid import UUID

from flask import Flask

from webapp.app import create_app
from webapp.extensions import tenant
from webapp.visits.people import erasing, erasing_tasks
from webapp.visits.raw import erasing as raw_erasing
from webapp.visits.raw import sealing

WATCHED = {module.__file__ for module in (erasing, erasing_tasks, raw_erasing, sealing)}


def main() -> None:
    app = create_app()
    print("ready", flush=True)
    for text in sys.stdin:
        organisation_id, number = text.split()
        child = os.fork()
        if child == 0:
            run_until_killed(app, UUID(organisation_id), int(number))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print("killed" if os.WIFSIGNALED(status) else f"ended {status}", flush=True)


def run_until_killed(app: Flask, organisation_id: UUID, line_number: int) -> None:
    lines_left = line_number

    def on_line(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal lines_left
        if frame.f_code.co_filename not in WATCHED:
            return None
        lines_left -= event == "line"
        if lines_left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return on_line

    with app.app_context(), tenant(organisation_id):
        asked = erasing.list_waiting(organisation_id)
        sys.settrace(on_line)
        erasing_tasks.erase_them(organisation_id, asked)


if __name__ == "__main__":
    main()
