"""One site whose raw rows cannot be looked after keeps nobody else's from it; it is told in the end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

from webapp.extensions import database_is_away, db, tenant
from webapp.metrics import count_upkeep_failure

logger = logging.getLogger(__name__)
TOLD_LIMIT = 20


class UpkeepError(Exception):
    """Some of it failed; the message says what. All the rest is done."""


class Guard:
    """Goes on after a site's failure, and remembers it."""

    def __init__(self, part: str) -> None:
        self._part = part
        self._failed: list[str] = []

    @contextmanager
    def over(self, organisation_id: UUID, site_id: UUID) -> Iterator[None]:
        """Whatever fails inside fails for this site alone, but for the database: without it nothing goes on."""
        with tenant(organisation_id):
            try:
                yield
            except Exception as error:
                db.session.rollback()
                if database_is_away(error):
                    raise
                logger.exception("To %s failed for site %s of organisation %s.", self._part, site_id, organisation_id)
                count_upkeep_failure(self._part)
                self._failed.append(f"site {site_id} of organisation {organisation_id}: {_said(error)}")

    def finish(self) -> None:
        """Raise UpkeepError when something failed."""
        if self._failed:
            more = len(self._failed) - TOLD_LIMIT
            told = [*self._failed[:TOLD_LIMIT], *([f"and {more:,} more"] if more > 0 else [])]
            raise UpkeepError(f"To {self._part} failed for {'; '.join(told)}")


def do_all(parts: Sequence[Callable[[], None]]) -> None:
    """Do each part, whatever became of those before it; raises UpkeepError in the end."""
    failed: list[str] = []
    for part in parts:
        try:
            part()
        except UpkeepError as error:
            failed.append(str(error))
        except Exception as error:
            db.session.rollback()
            if database_is_away(error):
                raise
            logger.exception("%s failed.", part.__name__)
            count_upkeep_failure(part.__name__)
            failed.append(f"{part.__name__}: {_said(error)}")
    if failed:
        raise UpkeepError(". ".join(failed))


def _said(error: Exception) -> str:
    return f"{type(error).__name__} {error}".strip()
