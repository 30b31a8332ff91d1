"""Structured logs: one JSON object a line, with the ids of whatever is being done.

The servers (Granian, Uvicorn, Dramatiq) are pointed here too, so that every process logs alike.
"""

from __future__ import annotations

import json
import logging
import logging.config
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from webapp.config import get_settings

CONFIG_FILE = Path(__file__).parent / "log.json"
PROCESS_VARIABLE = "FOOTFALL_PROCESS"
NO_FIELDS: Mapping[str, object] = {}

_fields: ContextVar[Mapping[str, object]] = ContextVar("footfall_log_fields", default=NO_FIELDS)


def set_up() -> None:
    """Let this process log as the settings say; doing it again does no harm."""
    logging.config.dictConfig(json.loads(CONFIG_FILE.read_text()))
    logging.getLogger().setLevel(get_settings().log_level)
    logging.captureWarnings(True)


def process_name() -> str:
    """What this process is called in logs, metrics and traces: web, edge, worker, …"""
    return os.environ.get(PROCESS_VARIABLE) or Path(sys.argv[0]).stem


@contextmanager
def logged(**fields: object) -> Iterator[None]:
    """Every record inside, on this thread, carries these fields as well as those from around it."""
    before = _fields.get()
    _fields.set({**before, **fields})
    try:
        yield
    finally:
        _fields.set(before)


def log_fields() -> Mapping[str, object]:
    """What every record of this context carries."""
    return _fields.get()


def process_handler() -> logging.Handler:
    """The one handler of every process: to standard error, in the format and from the level that are set."""
    settings = get_settings()
    handler = StandardError()
    handler.setLevel(settings.log_level)
    handler.setFormatter(JsonLines() if settings.log_format == "json" else TextLines())
    return handler


class StandardError(logging.StreamHandler[TextIO]):
    """Writes to what `sys.stderr` is at the time: Dramatiq gives each of its processes a pipe for it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


class JsonLines(logging.Formatter):
    """A record as one line of JSON, with the context's fields and those of `extra={"fields": …}`."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _moment_of(record).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "process": process_name(),
            "process_id": record.process,
            **_fields_of(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = record.stack_info
        return json.dumps(line, default=str)


class TextLines(logging.Formatter):
    """The same for people."""

    def format(self, record: logging.LogRecord) -> str:
        words = [f"{_moment_of(record):%H:%M:%S}", record.levelname, record.name, record.getMessage()]
        words += [f"{name}={value}" for name, value in _fields_of(record).items()]
        trace = [self.formatException(record.exc_info)] if record.exc_info else []
        return "\n".join([" ".join(words), *trace])


def _fields_of(record: logging.LogRecord) -> dict[str, Any]:
    return {**_fields.get(), **getattr(record, "fields", NO_FIELDS)}


def _moment_of(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)
