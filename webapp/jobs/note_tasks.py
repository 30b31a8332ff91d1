"""What an attempt says while it runs: how far it is, and lines for its log."""

from __future__ import annotations

import logging
import time
from contextvars import ContextVar
from typing import Any
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from webapp.extensions import database_is_away, db
from webapp.jobs.announcing import tell_pages
from webapp.jobs.claims import note_progress
from webapp.jobs.outcomes import CancelledByPersonError, HandOverError, LogLine, clean
from webapp.jobs.recording import add_logs, log_row
from webapp.jobs.workers import this_worker
from webapp.lib.clock import utc_now

REPORT_SECONDS = 0.25
SAMPLE_SECONDS = 1.0
LINE_LIMIT = 1_000
MESSAGE_LIMIT = 2_000
LOG_LIMIT = 200_000
"""Lines, characters of a line, and characters of an attempt's whole log."""

logger = logging.getLogger(__name__)
current_notes: ContextVar[Notes | None] = ContextVar("footfall_job_notes", default=None)


class Notes:
    """What an attempt says while it runs: how far it is, and lines for its log."""

    def __init__(self, organisation_id: UUID, job_id: UUID, number: int) -> None:
        self._organisation_id = organisation_id
        self._job_id = job_id
        self._number = number
        self._lines: list[LogLine] = []
        self._position = self._length = 0
        self._is_log_full = False
        self._written_at = self._sampled_at = 0.0
        self.progress_count: int | None = None
        self.total_count: int | None = None
        self.checkpoint: dict[str, Any] | None = None

    def report(self, progress_count: int, total_count: int | None, checkpoint: dict[str, Any] | None) -> None:
        """Keep it, write it when it is time, and raise what stops the job here."""
        self.progress_count, self.total_count = progress_count, total_count
        if checkpoint is not None:
            self.checkpoint = checkpoint
        is_due = time.monotonic() - self._written_at > REPORT_SECONDS
        if (is_due or checkpoint is not None) and self._write():
            raise CancelledByPersonError
        if checkpoint is not None and this_worker().stopping.is_set():
            raise HandOverError

    def add_text(self, text: str) -> None:
        """A line for the job's page."""
        self.add("INFO", text)

    def add(self, level: str, text: str) -> None:
        """Keep a line, up to a limit; it is written with the next report, or at the end."""
        if self._is_log_full:
            return
        words = clean(text)[:MESSAGE_LIMIT]
        self._length += len(words)
        self._position += 1
        self._is_log_full = self._position == LINE_LIMIT or self._length > LOG_LIMIT
        words = "What came after this was left out." if self._is_log_full else words
        self._lines.append(LogLine(self._position, utc_now(), level, words))

    def take_lines(self) -> list[LogLine]:
        """Lines that were not written yet."""
        lines, self._lines = self._lines, []
        return lines

    def _write(self) -> bool:
        """Commit what is known; whether somebody asked the job to stop.

        A database that is away is no reason to give up work that goes on: the end will say how far it came.
        """
        now = time.monotonic()
        should_sample = now - self._sampled_at > SAMPLE_SECONDS
        try:
            is_cancelled = self._write_rows(should_sample)
        except SQLAlchemyError as error:
            db.session.rollback()
            if not database_is_away(error):
                raise
            logger.warning("A job's progress could not be written: %s", error)
            return False
        self._written_at = now
        self._sampled_at = now if should_sample else self._sampled_at
        tell_pages(self._organisation_id, [self._job_id])
        return is_cancelled

    def _write_rows(self, should_sample: bool) -> bool:
        is_cancelled = note_progress(
            self._organisation_id,
            self._job_id,
            self._number,
            self.progress_count or 0,
            self.total_count,
            clean(self.checkpoint),
            utc_now() if should_sample else None,
        )
        add_logs(self._organisation_id, [log_row(self._job_id, self._number, line) for line in self._lines])
        db.session.commit()
        self._lines = []
        return is_cancelled


class JobLogHandler(logging.Handler):
    """Copies what is logged while a job runs, by whatever library, into the job's own log."""

    def emit(self, record: logging.LogRecord) -> None:
        notes = current_notes.get()
        if notes is None or record.name.startswith("webapp.jobs."):
            return
        try:
            notes.add(record.levelname, record.getMessage())
        except Exception:  # as every handler does: a bad call of the logger is no reason for the work to fail
            self.handleError(record)


def keep_logs_of_jobs() -> None:
    """Let the root logger's lines, from INFO on, reach the jobs that wrote them; twice changes nothing."""
    root = logging.getLogger()
    if not any(isinstance(handler, JobLogHandler) for handler in root.handlers):
        root.addHandler(JobLogHandler(logging.INFO))
