"""Whether this process serves, and whether what it needs does: asked by `footfall up`, proxies and monitors."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import cache, partial
from http import HTTPStatus
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg
import redis
from flask import Flask, current_app
from flask.typing import ResponseReturnValue

from webapp.config import Settings
from webapp.jobs.workers import list_workers
from webapp.lib.probe import Probe, ask_all
from webapp.lib.storage import StorageMissingError, storage_at

ANSWER_SECONDS = 3.0
SERVER_SECONDS = 2
NOT_CACHED = {"Cache-Control": "no-store"}
MIGRATIONS = Path(__file__).parent.parent / "migrations"
NO_SUCH_KEY = "footfall/readyz"
NO_FOLDER = "The folder of uploads is missing, or may not be written."

logger = logging.getLogger(__name__)


class NotReadyError(Exception):
    """Something answers, but not as it must; the words are for everybody."""


def init_app(app: Flask) -> None:
    """Register `GET /healthz`, which asks nobody else: a slow database is no reason to restart the pages; and
    `GET /readyz`, which asks everybody."""
    settings: Settings = app.extensions["settings"]
    app.extensions["probes"] = {name: Probe(check) for name, check in checks(settings).items()}
    app.add_url_rule("/healthz", "healthz", healthz)
    app.add_url_rule("/readyz", "readyz", readyz)


def healthz() -> tuple[str, dict[str, str]]:
    return "ok\n", {"Content-Type": "text/plain; charset=utf-8", **NOT_CACHED}


def readyz() -> ResponseReturnValue:
    """Every dependency with its state: 200 when all of them answer as they must, else 503."""
    problems = ask_dependencies()
    states = {
        name: {"state": "problem", "detail": problem} if problem else {"state": "ok"}
        for name, problem in problems.items()
    }
    is_ready = not any(problems.values())
    body = {"state": "ok" if is_ready else "problem", "dependencies": states}
    return body, HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE, NOT_CACHED


def ask_dependencies() -> dict[str, str | None]:
    """What is wrong with each dependency, in words that tell no secrets; None when nothing is."""
    answers = ask_all(current_app.extensions["probes"], ANSWER_SECONDS)
    return {name: _words(name, answer) for name, answer in answers.items()}


def _words(name: str, answer: object) -> str | None:
    if not isinstance(answer, Exception):
        return None
    if isinstance(answer, NotReadyError):
        return str(answer)
    logger.warning("The dependency %s does not answer: %s", name, answer)
    return "It does not answer."


def checks(settings: Settings) -> dict[str, Callable[[], None]]:
    """A check for each dependency, which returns, raises, or hangs."""
    return {
        "database": partial(check_database, settings),
        "migrations": partial(check_migrations, settings),
        "broker": partial(check_redis, settings.redis_url),
        "beacons": partial(check_redis, settings.beacons_redis_url),
        "uploads": partial(check_uploads, settings),
        "workers": partial(check_workers, settings),
    }


def check_database(settings: Settings) -> None:
    with short_connection(settings) as connection:
        connection.execute("SELECT 1")


def check_migrations(settings: Settings) -> None:
    with short_connection(settings) as connection:
        if connection.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
            raise NotReadyError("There are no tables yet. Run `footfall migrate`.")
        found = {row[0] for row in connection.execute("SELECT version_num FROM alembic_version")}
    if found != migration_heads():
        raise NotReadyError(
            f"The tables are at {', '.join(sorted(found)) or 'no migration'}, this version of Footfall needs "
            f"{', '.join(sorted(migration_heads()))}. Run `footfall migrate`."
        )


@cache
def migration_heads() -> set[str]:
    """The newest migrations that this code has."""
    from alembic.script import ScriptDirectory

    return set(ScriptDirectory(str(MIGRATIONS)).get_heads())


def check_redis(url: str) -> None:
    with short_client(url) as client:
        client.ping()


def check_uploads(settings: Settings) -> None:
    """Ask for what is not there: the answer costs nothing, and only a store that works knows it."""
    try:
        folder = upload_folder(settings)
    except OSError as error:
        raise NotReadyError(NO_FOLDER) from error
    if folder:
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise NotReadyError(NO_FOLDER)
        return
    try:
        storage_at(settings.uploads_url).size(NO_SUCH_KEY)
    except StorageMissingError:
        return


def upload_folder(settings: Settings) -> Path | None:
    """The folder that uploads lie in, unless it is a bucket. Whoever uploads first makes it."""
    parts = urlsplit(settings.uploads_url)
    if parts.scheme != "file":
        return None
    folder = Path(unquote(parts.path))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def check_workers(settings: Settings) -> None:
    with short_client(settings.redis_url) as client:
        if all(worker.is_silent for worker in list_workers(client)):
            raise NotReadyError("No worker was heard lately, so background work waits.")


def short_connection(settings: Settings) -> psycopg.Connection:
    """As the owner, with no patience, and not out of the pages' pool, which may be used up."""
    return psycopg.connect(
        settings.database_url,
        autocommit=True,
        connect_timeout=SERVER_SECONDS,
        options=f"-c statement_timeout={SERVER_SECONDS}s",
    )


def short_client(url: str) -> redis.Redis:
    """A client with no patience."""
    return redis.Redis.from_url(url, socket_timeout=SERVER_SECONDS, socket_connect_timeout=SERVER_SECONDS)
