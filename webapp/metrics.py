"""What is counted while it happens, in whichever process: requests, beacons, jobs, rows, connections.

Where PROMETHEUS_MULTIPROC_DIR names a folder, each process keeps its numbers in files of its own there, and
`/metrics` adds them up; without it (in tests, in short commands) they stay in this process.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Callable
from functools import cache
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, values
from prometheus_client.multiprocess import MultiProcessCollector

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
LIVE_GAUGES = "gauge_livesum_"
HOST = socket.gethostname()
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
JOB_BUCKETS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)

folder = Path(os.environ[FOLDER_VARIABLE]) if os.environ.get(FOLDER_VARIABLE) else None


def process_identity() -> str:
    """Names this process's files: containers that share the folder have equal process ids, but not equal names."""
    return f"{HOST}-{os.getpid()}"


def _join(folder: Path) -> None:
    """Take part in the folder. The lock says that this process is alive, and the kernel drops it at its end.

    After a restart under the same identity it goes on counting, but the present begins anew.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(_lock_path(folder, process_identity()), os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    (folder / f"{LIVE_GAUGES}{process_identity()}.db").unlink(missing_ok=True)
    values.ValueClass = values.MultiProcessValue(process_identity)  # type: ignore[no-untyped-call]


def _lock_path(folder: Path, identity: str) -> Path:
    return folder / f"{identity}.lock"


if folder:  # before the first metric is made, which opens its file
    _join(folder)

registry = CollectorRegistry()

_requests = Counter("footfall_http_requests", "Requests answered.", ["method", "endpoint", "status"], registry=registry)
_request_seconds = Histogram(
    "footfall_http_request_seconds",
    "From a request's arrival to the beginning of its answer.",
    ["endpoint"],
    buckets=REQUEST_BUCKETS,
    registry=registry,
)
_beacons = Counter("footfall_beacons", "Beacons accepted, or refused for a reason.", ["outcome"], registry=registry)
_laid_aside = Counter(
    "footfall_laid_aside_beacons", "Beacons that were accepted and could not be stored.", ["error"], registry=registry
)
_upkeep_failures = Counter(
    "footfall_upkeep_failures", "Sites of which raw rows could not be looked after.", ["part"], registry=registry
)
_jobs = Counter("footfall_jobs", "Jobs that ended.", ["kind", "state"], registry=registry)
_job_wait_seconds = Histogram(
    "footfall_job_wait_seconds", "From when a job was due to its start.", buckets=JOB_BUCKETS, registry=registry
)
_job_run_seconds = Histogram(
    "footfall_job_run_seconds", "From a job's start to its end.", ["kind"], buckets=JOB_BUCKETS, registry=registry
)
_import_rows = Counter("footfall_import_rows", "Rows of imports by outcome.", ["outcome"], registry=registry)
_pool_connections = Gauge(
    "footfall_database_pool_connections",
    "Connections to PostgreSQL of the processes of a name, and the threads that wait for one.",
    ["process", "state"],
    registry=registry,
    multiprocess_mode="livesum",
)
_processes = Gauge(
    "footfall_processes", "Processes that run.", ["process"], registry=registry, multiprocess_mode="livesum"
)
open_streams = Gauge(
    "footfall_live_streams", "Event streams that are open.", registry=registry, multiprocess_mode="livesum"
)


def count_request(method: str, endpoint: str, status: int, seconds: float) -> None:
    """Count a request that was answered; an unknown method is anybody's invention, so they are one."""
    _requests.labels(method if method in METHODS else "other", endpoint, str(status)).inc()
    _request_seconds.labels(endpoint).observe(seconds)


@cache
def beacon_counter(outcome: str) -> Callable[[float], None]:
    """What counts beacons of one outcome: "accepted", or the reason for which they were refused."""
    return _beacons.labels(outcome).inc


def count_laid_aside(error: str, count: int) -> None:
    """Count beacons that were accepted and could not be stored, by the name of what is wrong with them."""
    _laid_aside.labels(error).inc(count)


def count_upkeep_failure(part: str) -> None:
    """Count a site of which one part of the upkeep of raw rows failed."""
    _upkeep_failures.labels(part).inc()


def count_job_end(
    kind: str, state: str, wait_seconds: float | None = None, run_seconds: float | None = None, count: int = 1
) -> None:
    """Count a job that reached a final state, once, where its end is recorded; no times for one that never ran."""
    _jobs.labels(kind, state).inc(count)
    if wait_seconds is not None:
        _job_wait_seconds.observe(max(wait_seconds, 0.0))
    if run_seconds is not None:
        _job_run_seconds.labels(kind).observe(max(run_seconds, 0.0))


def count_import_rows(outcome: str, count: int) -> None:
    """Count rows of imports: "created", "updated", "unchanged", "duplicate" or "rejected"."""
    if count:
        _import_rows.labels(outcome).inc(count)


@cache
def pool_gauge(process: str, state: str) -> Gauge:
    """How many connections of this process are in a state, or how many threads wait for one."""
    return _pool_connections.labels(process, state)


def begin(process: str) -> None:
    """Say that this process runs, for as long as it does."""
    _processes.labels(process).set(1)


def whole_registry() -> CollectorRegistry:
    """Everybody's numbers: those of this process alone where there is no folder."""
    if folder is None:
        return registry
    forget_ended(folder)
    whole = CollectorRegistry()
    MultiProcessCollector(whole, str(folder))  # type: ignore[no-untyped-call]
    return whole


def forget_ended(folder: Path) -> None:
    """Remove what ended processes said of the present. What they counted stays, since no counter may fall."""
    for gauges in folder.glob(f"{LIVE_GAUGES}*.db"):
        if _has_ended(_lock_path(folder, gauges.stem.removeprefix(LIVE_GAUGES))):
            gauges.unlink(missing_ok=True)


def empty(folder: Path) -> None:
    """Begin anew: for whoever knows that no process of ours runs."""
    for pattern in ("*.db", "*.lock"):
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)


def _has_ended(lock: Path) -> bool:
    """Whether nobody holds the lock."""
    try:
        descriptor = os.open(lock, os.O_RDWR)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
