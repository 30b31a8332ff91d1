"""A child's output: all of it in a file of bounded size, what matters on the terminal."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

LOG_BYTES = 5 * 1024 * 1024
LINE_BYTES = 64 * 1024
LOUD = frozenset({"WARNING", "ERROR", "CRITICAL"})
ALARMING = re.compile(r"\b(WARNING|ERROR|CRITICAL|FATAL|PANIC)\b|^Traceback |Error: |Exception: ")


class BoundedLog:
    """A log file that starts anew at its bound and keeps one predecessor."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._file = path.open("ab")

    def write(self, data: bytes) -> None:
        """Append at once, so that a crash loses nothing."""
        if self._file.tell() + len(data) > LOG_BYTES:
            self._rotate()
        self._file.write(data)
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _rotate(self) -> None:
        self._file.close()
        self._path.replace(self._path.with_name(f"{self._path.name}.1"))
        self._file = self._path.open("ab")


class Output:
    """Cuts a child's output into lines, keeps all of them, shows the interesting ones under its name."""

    def __init__(self, name: str, log: Path, echo: Callable[[str], None], shown: re.Pattern[str]) -> None:
        self._name = name
        self._log = BoundedLog(log)
        self._echo = echo
        self._shown = shown
        self._rest = b""
        self._in_traceback = False

    def feed(self, data: bytes) -> None:
        """Take the next piece of output."""
        self._log.write(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LINE_BYTES:
            lines, self._rest = [*lines, self._rest], b""
        for line in lines:
            self._show(line.decode(errors="replace").rstrip())

    def close(self) -> None:
        """Show the last line, though it had no end."""
        if self._rest:
            self._show(self._rest.decode(errors="replace"))
        self._rest = b""
        self._log.close()

    def _show(self, line: str) -> None:
        record = _record_in(line)
        if record is not None:
            self._show_record(record)
        else:
            self._show_plain(line)

    def _show_record(self, record: dict[str, str]) -> None:
        """A record of ours, as people read it. What a quiet one says in its message alarms nobody."""
        level, message = record["level"], f"{record['level']} {record['message']}"
        if not self._shown.search(message if level in LOUD else level):
            return
        for line in [message, *str(record.get("exception", "")).splitlines()]:
            self._say(line)

    def _show_plain(self, line: str) -> None:
        if line.startswith("Traceback "):
            self._in_traceback = True
        if line and (self._in_traceback or self._shown.search(line)):
            self._say(line)
        if self._in_traceback and line and not line.startswith((" ", "Traceback ")):
            self._in_traceback = False

    def _say(self, line: str) -> None:
        self._echo(f"{self._name:>9} | {line}")


def _record_in(line: str) -> dict[str, str] | None:
    """The record that a line of JSON holds; None for any other line."""
    if not line.startswith("{"):
        return None
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and {"level", "message"} <= record.keys() else None
