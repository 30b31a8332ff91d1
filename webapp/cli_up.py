"""`footfall up`: every part of an installation on one machine, under one supervisor."""

from __future__ import annotations

import os
import re
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from webapp import metrics
from webapp.cli_serve import (
    PATIENT,
    Program,
    allow_many_files,
    as_child,
    check_metrics_folder,
    edge_program,
    scheduler_program,
    web_program,
    worker_programs,
)
from webapp.config import Settings
from webapp.embedded import postgres, redis
from webapp.embedded.errors import ServerError, with_log_tail
from webapp.embedded.locks import FileLock
from webapp.embedded.logs import ALARMING
from webapp.embedded.ports import check_ports
from webapp.embedded.servers import owned_servers, redis_names
from webapp.embedded.supervisor import EVERYTHING, Child, StopRequested, Supervisor

SERVING, SCHEDULING, WORKING, REDIS, POSTGRES = range(5)  # the order of stopping
READY_SECONDS = 120.0
SERVER_STOP_SECONDS = 30.0
SERVER_HURRIED_SECONDS = 5.0
FATAL = re.compile(r"\b(PANIC|could not (?!receive|send)|Fatal error|FATAL CONFIG|Can't|No space left)")

# Granian finds several threads too many for a machine; ours wait for the database most of the time.
WEB_ALARMS = re.compile(rf"^(?!.*Configuration allows spawning)(?=.*(?:{ALARMING.pattern}))")

Echo = Callable[[str], None]


def run_everything(settings: Settings, host: str, echo: Echo) -> None:
    """Set up and run until Ctrl-C or SIGTERM; raises ServerError before anything starts if it cannot."""
    allow_many_files()
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with _only_one(settings):
        check_ports(_ports(settings), host)
        check_metrics_folder(settings)
        metrics.empty(settings.metrics_dir)
        with owned_servers(settings, echo):
            _supervise(settings, host, echo)


def _supervise(settings: Settings, host: str, echo: Echo) -> None:
    supervisor = Supervisor(settings.data_dir / "logs", echo)
    supervisor.handle_signals()
    try:
        _start_servers(settings, supervisor, echo)
        _prepare_database(settings, supervisor, echo)
        _start_programs(settings, supervisor, host, echo)
        _announce(settings, echo)
        supervisor.watch()
    except StopRequested:
        echo("Stopping. (Ctrl-C again hurries.)")
    finally:
        supervisor.stop()
    echo("Stopped.")


@contextmanager
def _only_one(settings: Settings) -> Iterator[None]:
    lock = FileLock(settings.data_dir / "up.lock")
    try:
        if not lock.try_alone():
            raise ServerError(
                f"Footfall already runs on {settings.data_dir} (process {lock.read() or 'unknown'}). "
                "Stop it first, or choose another data folder: DATA_DIR=… PORT=… make run"
            )
        lock.write(str(os.getpid()))
        yield
    finally:
        lock.close()


def _ports(settings: Settings) -> dict[str, int]:
    ports = {"PORT": settings.port, "EDGE_PORT": settings.edge_port}
    if settings.demo:
        ports["DEMO_PORT"] = settings.demo_port
    if settings.uses_demo_issuer:
        ports["ISSUER_PORT"] = settings.issuer_port
    return ports


def _start_servers(settings: Settings, supervisor: Supervisor, echo: Echo) -> None:
    for name in redis_names(settings):
        echo(f"Starting Redis ({name}).")
        server = redis.find_redis(settings, name)
        _start_server(supervisor, _redis_child(server), partial(redis.is_answering, server))
    if settings.embedded_postgres:
        cluster = postgres.find_cluster(settings)
        echo("Starting PostgreSQL." if cluster.exists else "Creating the database.")
        _start_server(supervisor, _postgres_child(cluster), partial(postgres.is_accepting, cluster))
        postgres.ensure_database(cluster)


def _start_server(supervisor: Supervisor, child: Child, is_ready: Callable[[], bool]) -> None:
    def is_settled() -> bool:
        return is_ready() or supervisor.death_count(child.name) > 2

    supervisor.start(child)
    if not supervisor.wait_for(is_settled, postgres.START_SECONDS) or not is_ready():
        raise with_log_tail(f"{child.name} does not start.", supervisor.log_path(child.name))


def _redis_child(server: redis.RedisServer) -> Child:
    return Child(
        name=f"redis-{server.name}",
        command=server.command,
        stage=REDIS,
        stop_seconds=SERVER_STOP_SECONDS,
        hurried_seconds=SERVER_HURRIED_SECONDS,
        shown=FATAL,
        before=partial(redis.prepare, server),
    )


def _postgres_child(cluster: postgres.Cluster) -> Child:
    """SIGINT is PostgreSQL's fast shutdown: it does not wait for clients, and loses nothing."""
    return Child(
        name="postgres",
        command=cluster.command,
        environment={"LC_ALL": "C"},
        owner=cluster.owner,
        stage=POSTGRES,
        stop_signal=postgres.STOP_SIGNAL,
        stop_seconds=SERVER_STOP_SECONDS,
        hurried_seconds=SERVER_HURRIED_SECONDS,
        shown=FATAL,
        before=partial(postgres.prepare, cluster),
        niceness=PATIENT,
    )


def _prepare_database(settings: Settings, supervisor: Supervisor, echo: Echo) -> None:
    echo("Bringing the tables up to date.")
    if not settings.demo:
        _run_command(settings, supervisor, "migrate", ALARMING)
        return
    echo("Making sure of the demo data (DEMO=0 leaves it out).")
    _run_command(settings, supervisor, "demo", EVERYTHING)


def _run_command(settings: Settings, supervisor: Supervisor, name: str, shown: re.Pattern[str]) -> None:
    program = Program(name, (sys.executable, "-m", "webapp.cli", name))
    code = supervisor.run_once(as_child(settings, program, SERVING, shown))
    if code:
        raise ServerError(f"`footfall {name}` failed; see above, or {supervisor.log_path(name)}.")


def _start_programs(settings: Settings, supervisor: Supervisor, host: str, echo: Echo) -> None:
    """The pages first: while the workers load, somebody can look at them already."""
    echo("Starting the pages, the edge, the workers and the scheduler.")
    supervisor.start(as_child(settings, web_program(settings, host), SERVING, WEB_ALARMS))
    for program in [edge_program(settings, host), *_demo_programs(settings)]:
        supervisor.start(as_child(settings, program, SERVING))
    _wait_for_health(settings, supervisor, host)
    for program in worker_programs(settings):
        supervisor.start(as_child(settings, program, WORKING))
    supervisor.start(as_child(settings, scheduler_program(), SCHEDULING))


def _demo_programs(settings: Settings) -> list[Program]:
    programs = []
    if settings.demo:
        programs.append(Program("demo-site", (sys.executable, "-m", "webapp.demo_site")))
    if settings.uses_demo_issuer:
        programs.append(Program("issuer", (sys.executable, "-m", "webapp.demo_issuer")))
    return programs


def _wait_for_health(settings: Settings, supervisor: Supervisor, host: str) -> None:
    local = "127.0.0.1" if host in {"0.0.0.0", "::"} else host  # noqa: S104  (compared, not listened on)
    for name, port in (("web", settings.port), ("edge", settings.edge_port)):
        if not supervisor.wait_for(partial(_is_healthy, f"http://{local}:{port}/healthz"), READY_SECONDS):
            raise with_log_tail(f"{name} does not answer on port {port}.", supervisor.log_path(name))


def _announce(settings: Settings, echo: Echo) -> None:
    echo("")
    echo(f"Footfall is ready: open {settings.public_url} in your browser.")
    if settings.demo:
        echo(f"The demo website, whose visits it counts: {settings.demo_url}")
    echo(f"Data and logs are in {settings.data_dir}. Ctrl-C stops everything.")


def _is_healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310  (always http)
            return bool(answer.status == 200)
    except OSError:
        return False
