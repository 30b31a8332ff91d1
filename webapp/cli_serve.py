"""The long-running commands: what they execute, and how they get the servers that they need."""

from __future__ import annotations

import os
import re
import resource
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import click

from webapp.config import ConfigError, Settings
from webapp.embedded.logs import ALARMING
from webapp.embedded.servers import has_servers, running_servers
from webapp.embedded.supervisor import EVERYTHING, Child, StopRequested, Supervisor
from webapp.jobs.queue_names import QUEUES, SYSTEM_QUEUES, VISITS_QUEUE, WORKING_QUEUES
from webapp.lib.log import CONFIG_FILE, PROCESS_VARIABLE
from webapp.metrics import FOLDER_VARIABLE

ROOT = Path(__file__).parent.parent
WEB_THREADS = 64
"""Many more than processors: each request whose body comes slowly keeps one waiting, and none of the database's
connections. Measured on two processors: eight readers get their pages as fast as with 8 threads, beside 40 slow senders
too; 60 readers at once cost 20 MB more."""
WORKER_THREADS = 2
SYSTEM_THREADS = 4
EDGE_BACKLOG = 4096
WORKER_STOP_SECONDS = 20
STOP_SECONDS = WORKER_STOP_SECONDS + 5.0
PATIENT = 5
MOST_PATIENT = 10
"""How nice everything else is to the door, on one machine. Whoever reads pages, or imports, sits and waits; a beacon
that is not answered is sent again, and another with it. Beside somebody who wants the processor too, a niceness of
5 leaves a quarter of it and 10 a tenth; where nobody else wants it, all run at full speed."""
SUPERVISED = "FOOTFALL_SUPERVISED"
LOGS = ("--log-config", str(CONFIG_FILE))


@dataclass(frozen=True)
class Program:
    """A long-running command: its name in logs, what is executed, and what its environment adds."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    niceness: int = 0


def web_program(settings: Settings, host: str) -> Program:
    """Granian over the Flask app: one process, so that its caches are one, and several threads."""
    options = ("--blocking-threads", str(WEB_THREADS), "--workers-kill-timeout", "8")
    return Program("web", (*_granian("wsgi", host, settings.port), *options, "wsgi:app"), niceness=PATIENT)


def edge_program(settings: Settings, host: str) -> Program:
    """Uvicorn over the async app: one thread for parsing and Python, so that no beacon crosses from one to another.

    Streams never end by themselves, so a stop does not wait long for them.
    """
    listening = ("--host", host, "--port", str(settings.edge_port), "--backlog", str(EDGE_BACKLOG))
    parts = ("--loop", "uvloop", "--http", "httptools", "--ws", "none", "--lifespan", "on")
    quiet = ("--no-access-log", "--no-server-header", "--no-proxy-headers", "--log-level", "warning", *LOGS)
    stop = ("--timeout-graceful-shutdown", "2")
    command = (sys.executable, "-m", "uvicorn", *listening, *parts, *quiet, *stop, "asgi:app")
    return Program("edge", command)


def worker_programs(settings: Settings, queues: str | None = None) -> list[Program]:
    """Dramatiq in three groups, so that long work keeps neither visits waiting nor what looks after the work.

    Visits have one process with one thread: roll-ups are written one after the other anyway.
    """
    wanted = _queues(queues)
    programs = []
    if working := [queue for queue in wanted if queue in WORKING_QUEUES]:
        programs.append(_dramatiq("worker", working, settings.worker_processes, WORKER_THREADS))
    if looking_after := [queue for queue in wanted if queue in SYSTEM_QUEUES]:
        programs.append(_dramatiq("system", looking_after, 1, SYSTEM_THREADS))
    if VISITS_QUEUE in wanted:
        programs.append(_dramatiq("visits", [VISITS_QUEUE], 1, 1))
    return programs


def scheduler_program() -> Program:
    """The clock of the installation."""
    return Program("scheduler", (sys.executable, "-m", "webapp.scheduler"))


def allow_many_files() -> None:
    """1,000 event streams stop just short of the usual limit of 1,024 open files: raise it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def child_environment(settings: Settings) -> Mapping[str, str]:
    """What children see: one data folder wherever they run, and this code."""
    return {
        "DATA_DIR": str(settings.data_dir),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        "PYTHONUNBUFFERED": "1",
        FOLDER_VARIABLE: str(settings.metrics_dir),
        SUPERVISED: "1",
    }


def serve(settings: Settings, programs: list[Program]) -> None:
    """Run the programs until told to stop, with the embedded servers if nothing else runs them.

    Under a supervisor, or with servers from elsewhere, a single program simply becomes this process.
    """
    check_metrics_folder(settings)
    if len(programs) == 1 and (SUPERVISED in os.environ or not has_servers(settings)):
        _become(settings, programs[0])
    with running_servers(settings):
        _supervise(settings, programs)


def check_metrics_folder(settings: Settings) -> None:
    """Make the folder that every process counts in; raises ConfigError when that cannot be."""
    try:
        settings.metrics_dir.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=settings.metrics_dir).close()
    except OSError as error:
        raise ConfigError(f"METRICS_DIR {settings.metrics_dir} cannot be written: {error.strerror}.") from error


def as_child(settings: Settings, program: Program, stage: int, shown: re.Pattern[str] = ALARMING) -> Child:
    """The program under a supervisor."""
    environment = environment_of(settings, program)
    return Child(
        program.name, program.command, environment, stage=stage, shown=shown, stop_seconds=STOP_SECONDS,
        niceness=program.niceness,
    )  # fmt: skip


def environment_of(settings: Settings, program: Program) -> dict[str, str]:
    """What a program's environment adds to ours."""
    return {**child_environment(settings), PROCESS_VARIABLE: program.name, **program.environment}


def _become(settings: Settings, program: Program) -> None:
    os.environ.update(environment_of(settings, program))
    os.chdir(ROOT)
    os.execv(program.command[0], program.command)  # noqa: S606  (the command is ours)


def _supervise(settings: Settings, programs: list[Program]) -> None:
    supervisor = Supervisor(settings.data_dir / "logs", click.echo)
    supervisor.handle_signals()
    try:
        for program in programs:
            supervisor.start(as_child(settings, program, stage=0, shown=EVERYTHING))
        supervisor.watch()
    except StopRequested:
        click.echo("Stopping.")
    finally:
        supervisor.stop()


def _granian(interface: str, host: str, port: int) -> tuple[str, ...]:
    listening = ("--interface", interface, "--host", host, "--port", str(port), "--http", "1", "--no-ws")
    return (sys.executable, "-m", "granian", *listening, "--no-access-log", *LOGS, "--workers", "1")


def _dramatiq(name: str, queues: list[str], processes: int, threads: int) -> Program:
    """Each process takes as many messages as it has threads, so that none waits behind a busy one.

    An idle worker looks every 50 ms: with Dramatiq's own second, a page would wait that long to move.
    """
    size = ("--processes", str(processes), "--threads", str(threads))
    stop = ("--worker-shutdown-timeout", str(WORKER_STOP_SECONDS * 1000))
    master = (sys.executable, "-m", "webapp.lib.run_logged", "dramatiq", "webapp.worker", "--skip-logging")
    command = (*master, *size, *stop, "--queues", *queues)
    environment = {"dramatiq_queue_prefetch": str(threads), "dramatiq_worker_timeout": "50"}
    return Program(name, command, environment, MOST_PATIENT if name == "worker" else PATIENT)


def _queues(text: str | None) -> list[str]:
    wanted = [queue.strip() for queue in text.split(",")] if text else list(QUEUES)
    unknown = [queue for queue in wanted if queue not in QUEUES]
    if unknown:
        raise ConfigError(f"There is no queue {unknown[0]!r}; there are {', '.join(QUEUES)}.")
    return wanted
