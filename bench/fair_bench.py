"""How long does a small import take that somebody starts during another organisation's large one?

Two `footfall worker` processes work on embedded servers of this bench's own. The reference is the same small
import with nothing beside it. Small ones come one after another from the large one's beginning to its end, each into
an organisation that has no contacts yet, so that all of them have the same to do.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID

from flask import Flask

from bench.import_bench import BLOCK_BYTES, POLL_SECONDS, SUBJECTS, file_of, workers
from bench.support import empty_app, print_figures
from webapp.config import Settings

ALONE_COUNT = 5
MOST_ALLOWED_RATIO = 2.0
PHASES = ("plan", "stage", "merge")


@dataclass(frozen=True)
class Small:
    """A small import: seconds from its start to its first chunk's work and to its end, and what went on beside it."""

    begun: float
    ended: float
    phase: str


def import_file(app: Flask, name: str, path: Path, look: Callable[[Any], None]) -> tuple[float, float]:
    """Import a file into a new organisation; `look` sees it at every poll. Returns seconds to its begin and its end."""
    from webapp.bulk_actions.drafts import start_upload
    from webapp.bulk_actions.importing import start_import
    from webapp.bulk_actions.tasks import send_work
    from webapp.extensions import db, tenant
    from webapp.lib.storage import storage_at

    settings: Settings = app.extensions["settings"]
    organisation_id = _organisation(app, name)
    with app.app_context(), tenant(organisation_id), path.open("rb") as file:
        bulk_action = start_upload(
            organisation_id,
            None,
            path.name,
            iter(lambda: file.read(BLOCK_BYTES), b""),
            storage=storage_at(settings.uploads_url),
            limit_bytes=settings.upload_limit_bytes,
        )
        start_import(bulk_action)
        db.session.commit()
        send_work()
        began, begun = time.perf_counter(), 0.0
        while not bulk_action.state.is_final:
            db.session.rollback()
            time.sleep(POLL_SECONDS)
            db.session.refresh(bulk_action)
            begun = begun or (time.perf_counter() - began if bulk_action.started_at else 0.0)
            look(bulk_action)
        if bulk_action.state.value != "completed" or bulk_action.created_count != bulk_action.row_count:
            raise RuntimeError(f"The import of {name} ended as {bulk_action.state.value}: {bulk_action.error}")
        return begun, time.perf_counter() - began


def _organisation(app: Flask, name: str) -> UUID:
    from webapp.accounts.models import Organisation
    from webapp.extensions import db

    with app.app_context():
        organisation = Organisation(slug=name, name=name)
        db.session.add(organisation)
        db.session.commit()
        return organisation.id


class Large(threading.Thread):
    """The large import, and the phase that it is in."""

    def __init__(self, app: Flask, path: Path, look: Callable[[Any], None] = lambda _: None) -> None:
        super().__init__(daemon=True)
        self._app, self._path, self._others_look = app, path, look
        self.phase, self.seconds = "", 0.0

    def run(self) -> None:
        _, self.seconds = import_file(self._app, "large", self._path, self._look)
        self.phase = ""

    def _look(self, bulk_action: Any) -> None:
        self.phase = bulk_action.phase.value if bulk_action.started_at else ""
        self._others_look(bulk_action)


def small_ones(app: Flask, path: Path, large: Large) -> list[Small]:
    """One after another, as long as the large one has work; the last, which outlives it, does not count."""
    found: list[Small] = []
    while large.is_alive() and not large.phase:
        time.sleep(POLL_SECONDS)
    while phase := large.phase:
        begun, ended = import_file(app, f"beside-{len(found)}", path, lambda _: None)
        if large.phase:
            found.append(Small(begun, ended, phase))
    large.join()
    return found


def measure(large_count: int, small_count: int) -> bool:
    large_path, small_path = (file_of(SUBJECTS["contacts"], count) for count in (large_count, small_count))
    with empty_app() as (app, settings, environment), workers(settings, environment):
        alone = [import_file(app, f"alone-{n}", small_path, lambda _: None)[1] for n in range(ALONE_COUNT)]
        large = Large(app, large_path)
        large.start()
        beside = small_ones(app, small_path, large)
    ratio = median(one.ended for one in beside) / median(alone)
    print_figures("fair", {**figures_of(alone, beside), "large s": round(large.seconds, 1), "ratio": round(ratio, 2)})
    return ratio <= MOST_ALLOWED_RATIO


def figures_of(alone: list[float], beside: list[Small]) -> dict[str, Any]:
    """Seconds of the small imports, and how many there were beside each phase of the large one."""
    ended = [one.ended for one in beside]
    return {
        "alone s": round(median(alone), 2),
        "beside s": round(median(ended), 2),
        "beside, slowest s": round(max(ended), 2),
        "begins after s": round(median(one.begun for one in beside), 2),
        "begins after at most s": round(max(one.begun for one in beside), 2),
        "small imports": {phase: sum(one.phase == phase for one in beside) for phase in PHASES},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--small-rows", type=int, default=10_000)
    arguments = parser.parse_args()
    return 0 if measure(arguments.rows, arguments.small_rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
