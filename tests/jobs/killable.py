"""`python -m tests.jobs.killable`: start recurring jobs in processes that die at a line of one's choice.

For each number that is read, a child process runs the actor and kills itself as it comes to that line, counted over
the modules that make the job. The answer says whether it came so far.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Any

from flask import Flask

from tests.jobs.support import register_test_kinds
from webapp.app import create_app
from webapp.jobs import recurring, recurring_tasks

WATCHED = {recurring.__file__, recurring_tasks.__file__}


def main() -> None:
    app = create_app()
    register_test_kinds()
    print("ready", flush=True)
    for text in sys.stdin:
        child = os.fork()
        if child == 0:
            run_until_killed(app, int(text))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print("killed" if os.WIFSIGNALED(status) else "done", flush=True)


def run_until_killed(app: Flask, line_number: int) -> None:
    lines_left = line_number

    def on_line(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal lines_left
        if frame.f_code.co_filename not in WATCHED:
            return None
        lines_left -= event == "line"
        if lines_left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return on_line

    sys.settrace(on_line)
    with app.app_context():
        recurring_tasks.start_recurring_jobs.fn()


if __name__ == "__main__":
    main()
