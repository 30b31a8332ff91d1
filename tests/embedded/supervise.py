"""Runs a supervisor over the children that its first argument declares, as a process of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from webapp.embedded.supervisor import Child, StopRequested, Supervisor


def main() -> None:
    declared = json.loads(sys.argv[2])
    supervisor = Supervisor(Path(sys.argv[1]), lambda line: print(line, flush=True))
    supervisor.handle_signals()
    try:
        for child in declared:
            supervisor.start(Child(**{**child, "command": tuple(child["command"])}))
        print("ready", flush=True)
        supervisor.watch()
    except StopRequested:
        print("stopping", flush=True)
    finally:
        supervisor.stop()
    print("stopped", flush=True)


main()
