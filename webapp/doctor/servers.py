"""PostgreSQL, both Redis servers, their clocks, and the workers."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import redis

from webapp.config import Settings
from webapp.doctor.finding import Finding, ok, problem, warning
from webapp.embedded.locks import FileLock
from webapp.embedded.servers import has_servers
from webapp.extensions import APP_ROLE
from webapp.health import NotReadyError, check_migrations, short_client, short_connection
from webapp.jobs.queue_names import QUEUES
from webapp.jobs.workers import list_workers

REACH = "See that it runs, and that its setting is right: docs/operating.md lists them."
OLDEST_POSTGRES = 15
CLOCK_WARNING_SECONDS = 2.0
CLOCK_PROBLEM_SECONDS = 60.0
APPEND_ONLY = "Start it with `--appendonly yes`, or turn on persistence (AOF) where it is hosted."
EVICTION = "Start it with `--maxmemory-policy noeviction`: a full server must say so rather than forget."


def check_postgres(settings: Settings) -> list[Finding]:
    with short_connection(settings) as connection:
        version = connection.info.server_version
    words = f"Version {version // 10_000}.{version % 10_000} answers."
    if version // 10_000 < OLDEST_POSTGRES:
        return [problem("PostgreSQL", words, f"Footfall needs version {OLDEST_POSTGRES} or newer.")]
    return [ok("PostgreSQL", words)]


def check_role(settings: Settings) -> list[Finding]:
    """The role that row-level security binds, as every process takes it."""
    query = "SELECT rolbypassrls OR rolsuper, pg_has_role(current_user, oid, 'MEMBER') FROM pg_roles WHERE rolname = %s"
    with short_connection(settings) as connection:
        found = connection.execute(query, [APP_ROLE]).fetchone()
    if found is None:
        return [problem("Role", f"There is no role {APP_ROLE}.", "Run `footfall migrate`, which makes it.")]
    sees_everything, is_member = found
    if not is_member:
        return [problem("Role", f"DATABASE_URL's user may not become {APP_ROLE}.", f"GRANT {APP_ROLE} TO that user;")]
    if sees_everything:
        words = f"{APP_ROLE} sees past row-level security, so organisations are not kept apart."
        return [problem("Role", words, f"ALTER ROLE {APP_ROLE} NOSUPERUSER NOBYPASSRLS;")]
    return [ok("Role", f"{APP_ROLE} can be taken, and row-level security binds it.")]


def check_tables(settings: Settings) -> list[Finding]:
    try:
        check_migrations(settings)
    except NotReadyError as error:
        return [problem("Tables", str(error), "`footfall up` and the service `migrate` do that by themselves.")]
    return [ok("Tables", "They are as this version needs them.")]


def check_broker(settings: Settings) -> list[Finding]:
    """It may lose a second: whatever was not carried out is sent again."""
    return _check_redis(
        settings.redis_url, "broker", loss="what waits there has to be sent again", fsyncs={"always", "everysec"}
    )


def check_beacons(settings: Settings) -> list[Finding]:
    """It may lose nothing that was answered with 202."""
    findings = _check_redis(settings.beacons_redis_url, "beacons", loss="accepted beacons are lost", fsyncs={"always"})
    with short_client(settings.redis_url) as broker, short_client(settings.beacons_redis_url) as beacons:
        if _run_id(broker) == _run_id(beacons):
            words = "Broker and beacons are on one server, which can keep only one promise about the disk."
            findings.append(warning("Redis, beacons", words, "Give each a server of its own."))
    return findings


def check_clocks(settings: Settings) -> list[Finding]:
    """How far each server's clock is from this machine's, give or take the time that asking takes."""
    apart = {
        "PostgreSQL": _seconds_apart(partial(_postgres_seconds, settings)),
        "the broker": _seconds_apart(partial(_redis_seconds, settings.redis_url)),
        "the beacons' Redis": _seconds_apart(partial(_redis_seconds, settings.beacons_redis_url)),
    }
    worst = max(apart, key=lambda name: abs(apart[name]))
    seconds = abs(apart[worst])
    if seconds < CLOCK_WARNING_SECONDS:
        return [ok("Clocks", f"They agree within {max(seconds, 0.01):.2f} s.")]
    judge = problem if seconds >= CLOCK_PROBLEM_SECONDS else warning
    words = f"The clock of {worst} is {seconds:.0f} s {'ahead of' if apart[worst] > 0 else 'behind'} this machine's."
    return [judge("Clocks", words, "Let NTP set the clocks of all machines (systemd-timesyncd or chrony).")]


def check_workers(settings: Settings) -> list[Finding]:
    with short_client(settings.redis_url) as client:
        heard = [worker for worker in list_workers(client) if not worker.is_silent]
    if not heard and has_servers(settings) and not _is_up(settings):
        return [warning("Workers", "Footfall does not run on this data folder.", "Start it: `footfall up`.")]
    unserved = sorted(set(QUEUES) - {queue for worker in heard for queue in worker.queues})
    if unserved:
        words = f"No worker takes from {', '.join(unserved)}, so that work waits."
        return [problem("Workers", words, "Start one: `footfall worker`.")]
    return [ok("Workers", f"{len(heard)} were heard, and together they take every queue.")]


def _check_redis(url: str, name: str, loss: str, fsyncs: set[str]) -> list[Finding]:
    title = f"Redis, {name}"
    with short_client(url) as client:
        info = client.info()
        fsync = _appendfsync(client)
    findings = []
    if not info["aof_enabled"]:
        findings.append(problem(title, f"It writes nothing to disk: when it ends, {loss}.", APPEND_ONLY))
    elif fsync is None:
        words = "It does not say when it syncs its file to disk (appendfsync)."
        findings.append(warning(title, words, f"See for yourself that it is `{min(fsyncs)}`."))
    elif fsync not in fsyncs:
        words = f"It syncs its file `{fsync}`: when its machine loses power, {loss}."
        findings.append(warning(title, words, f"Start it with `--appendfsync {min(fsyncs)}`."))
    if info["maxmemory_policy"] != "noeviction":
        findings.append(problem(title, f"It may evict what waits ({info['maxmemory_policy']}).", EVICTION))
    if info.get("aof_last_write_status", "ok") != "ok":
        findings.append(problem(title, "It could not write its file lately.", "Look at its disk and its log."))
    words = f"Version {info['redis_version']} answers, and keeps what it is given (appendfsync {fsync}, noeviction)."
    return findings or [ok(title, words)]


def _appendfsync(client: redis.Redis) -> str | None:
    """When it syncs; None where a host does not let the configuration be read."""
    try:
        return str(client.config_get("appendfsync")["appendfsync"])
    except redis.ResponseError:
        return None


def _run_id(client: redis.Redis) -> str:
    return str(client.info("server")["run_id"])


def _postgres_seconds(settings: Settings) -> float:
    with short_connection(settings) as connection:
        row = connection.execute("SELECT extract(epoch FROM clock_timestamp())::float").fetchone()
    return float(row[0]) if row else 0.0


def _redis_seconds(url: str) -> float:
    with short_client(url) as client:
        seconds, microseconds = client.time()
    return float(seconds) + float(microseconds) / 1e6


def _seconds_apart(ask: Callable[[], float]) -> float:
    before = time.time()
    theirs = ask()
    return theirs - (before + time.time()) / 2


def _is_up(settings: Settings) -> bool:
    lock = FileLock(settings.data_dir / "up.lock")
    try:
        return not lock.try_share()
    finally:
        lock.close()
