"""The embedded servers as a set: who uses them, who stops them.

Every command that needs them holds a shared lock, and the last to leave stops them. `footfall up`
holds the lock alone and runs the servers as its own children; other commands then just use them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from webapp.config import Settings
from webapp.embedded.errors import ServerError
from webapp.embedded.locks import FileLock, alone
from webapp.embedded.postgres import find_cluster, is_accepting, start_postgres, stop_postgres
from webapp.embedded.processes import wait_until
from webapp.embedded.redis import find_redis, is_answering, start_redis, stop_redis

OTHERS_SECONDS = 120.0


def redis_names(settings: Settings) -> list[str]:
    """The Redis servers that are ours to run."""
    wanted = {"broker": settings.embedded_broker, "beacons": settings.embedded_beacons}
    return [name for name, is_embedded in wanted.items() if is_embedded]


def has_servers(settings: Settings) -> bool:
    """Whether any server is ours to run."""
    return settings.embedded_postgres or bool(redis_names(settings))


@contextmanager
def running_servers(settings: Settings) -> Iterator[None]:
    """Inside, every embedded server answers; the last user to leave stops them."""
    if not has_servers(settings):
        yield
        return
    lock = FileLock(_lock_path(settings))
    is_shared = False
    try:
        is_shared = _join(settings, lock)
        yield
    finally:
        if is_shared:
            _leave(settings, lock)
        lock.close()


def start_servers(settings: Settings) -> None:
    """Start whatever does not answer yet."""
    if settings.embedded_postgres:
        start_postgres(settings)
    for name in redis_names(settings):
        start_redis(settings, name)


def stop_servers(settings: Settings) -> None:
    """Stop whatever runs."""
    for name in redis_names(settings):
        stop_redis(settings, name)
    if settings.embedded_postgres:
        stop_postgres(settings)
    remove_runtime_folder(settings)


def remove_runtime_folder(settings: Settings) -> None:
    """The folder of sockets has no use without servers; what is in it has, so then it stays."""
    with contextlib.suppress(OSError):
        settings.runtime_dir.rmdir()


@contextmanager
def owned_servers(settings: Settings, echo: Callable[[str], None]) -> Iterator[None]:
    """For `footfall up`: nobody else starts or stops the servers inside; what ran before is stopped."""
    lock = FileLock(_lock_path(settings))
    try:
        _take_over(settings, lock, echo)
        yield
        remove_runtime_folder(settings)
    finally:
        lock.close()


def _join(settings: Settings, lock: FileLock) -> bool:
    """True when the servers are this user's to stop too; False when `footfall up` owns them."""
    with alone(_mutex_path(settings)):
        if lock.try_share():
            start_servers(settings)
            return True
    if not wait_until(lambda: _all_answer(settings), OTHERS_SECONDS):
        raise ServerError("`footfall up` runs on this data folder, but its servers do not answer. See its output.")
    return False


def _leave(settings: Settings, lock: FileLock) -> None:
    with alone(_mutex_path(settings)):
        if lock.try_alone():
            stop_servers(settings)


def _take_over(settings: Settings, lock: FileLock, echo: Callable[[str], None]) -> None:
    if not lock.try_alone():
        echo("Waiting for another footfall command to finish with the database.")
    if not wait_until(lock.try_alone, OTHERS_SECONDS):
        raise ServerError("Another footfall command still uses this data folder's servers. End it and try again.")
    stop_servers(settings)


def _all_answer(settings: Settings) -> bool:
    if settings.embedded_postgres and not is_accepting(find_cluster(settings)):
        return False
    return all(is_answering(find_redis(settings, name)) for name in redis_names(settings))


def _lock_path(settings: Settings) -> Path:
    return settings.data_dir / "servers.lock"


def _mutex_path(settings: Settings) -> Path:
    return settings.data_dir / "servers.start.lock"
