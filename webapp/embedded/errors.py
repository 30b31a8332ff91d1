"""What can go wrong with an embedded server."""

from __future__ import annotations

from pathlib import Path


class ServerError(Exception):
    """A server cannot be started or stopped; the message says why and what to do."""


def with_log_tail(message: str, log: Path, line_count: int = 5) -> ServerError:
    """The same error with the server's own last words."""
    try:
        lines = log.read_text(errors="replace").splitlines()[-line_count:]
    except OSError:
        lines = []
    return ServerError("\n".join([message, *(f"  {line}" for line in lines), f"The whole log: {log}"]))
