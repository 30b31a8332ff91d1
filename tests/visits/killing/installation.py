"""An installation that takes and counts visits, whose every process and server can be killed and started again."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.error import URLError
from urllib.request import urlopen

import psutil

from tests.outfit import ROOT, Outfit, kill_family, kill_postgres, kill_redis
from webapp.cli_serve import Program, edge_program, environment_of, scheduler_program, worker_programs
from webapp.embedded import postgres, redis

SERVERS = ("postgres", "beacons", "broker")
PATIENCE_SECONDS = 60.0


@dataclass
class VisitsOutfit(Outfit):
    """The edge, the roll-up's worker, the scheduler and both groups of other workers, as `footfall up` starts them."""

    alive: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    others: dict[str, Program] = field(default_factory=dict)
    """What a test runs beside them."""
    ended_alone: list[str] = field(default_factory=list)
    """Processes that ended though nobody killed them, as one may whose server is away: a supervisor starts it again."""

    @property
    def programs(self) -> dict[str, Program]:
        edge = edge_program(self.settings, "127.0.0.1")
        own = (edge, scheduler_program(), *worker_programs(self.settings))
        return {**{one.name: one for one in own}, **self.others}

    def start_program(self, name: str) -> None:
        program = self.programs[name]
        environment = {**self.environment, **environment_of(self.settings, program)}
        with (self.settings.data_dir / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                program.command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        self.alive[name] = process
        self.processes.append(process)

    def start_programs(self) -> None:
        """All, and return when the edge serves."""
        for name in self.programs:
            self.start_program(name)
        self.wait_for_the_edge()

    def revive(self) -> None:
        """Start whatever ended by itself."""
        for name, process in list(self.alive.items()):
            if process.poll() is not None:
                self.ended_alone.append(name)
                _end_orphans(process)
                self.start_program(name)

    def wait_for_the_edge(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            with suppress(URLError, OSError), urlopen(f"{self.settings.edge_url}/healthz", timeout=2):
                return
            assert time.monotonic() < deadline, "the edge does not answer"
            time.sleep(0.05)

    def kill(self, name: str) -> None:
        """`kill -9`, of a process with all that belongs to it, or of a server."""
        if name == "postgres":
            kill_postgres(self)
        elif name in SERVERS:
            kill_redis(self, name)
        else:
            with suppress(psutil.NoSuchProcess, ProcessLookupError):
                kill_family(self.alive[name])

    def start_again(self, name: str) -> None:
        if name == "postgres":
            postgres.start_postgres(self.settings)
        elif name in SERVERS:
            redis.start_redis(self.settings, name)
        else:
            self.start_program(name)


def _end_orphans(process: subprocess.Popen[bytes]) -> None:
    """What a process left behind in its session."""
    for other in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError):
            if os.getsid(other.pid) == process.pid:
                other.kill()
