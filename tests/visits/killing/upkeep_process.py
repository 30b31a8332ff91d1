"""Looks after raw rows without a pause, with small files, and kills itself between two steps now and then.

`python -m tests.visits.killing.upkeep_process SEED ORGANISATION`; with a site and visitors behind them, it erases those
and ends.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID

from webapp.app import create_app
from webapp.config import get_settings
from webapp.extensions import db, tenant
from webapp.jobs.broker import broker  # noqa: F401  (before any actor is declared)
from webapp.jobs.tasks import dispatch
from webapp.visits.counting.rebuilds import start_rebuild
from webapp.visits.queries import list_sites
from webapp.visits.raw import erasing, sealing, tasks, upkeep
from webapp.visits.raw.erasing import erase_visitors
from webapp.visits.raw.sealing import Sealer

STEPS: Sequence[tuple[object, str]] = (
    (sealing, "write_month"), (tasks, "announce"), (Sealer, "store"), (Sealer, "_read_back"), (tasks, "list_files"),
    (upkeep, "expire"), (tasks, "_sweep_one"), (erasing, "announce"), (erasing, "list_files"),
)  # fmt: skip
CHANCE = 0.003


def main(seed: str, organisation: str, *erased: str) -> None:
    random, organisation_id = Random(f"{seed} {os.getpid()}"), UUID(organisation)  # or it would die at one place only
    _make_small()
    with create_app().app_context():
        chance = 0.1 if erased else CHANCE
        for place, name in STEPS:
            setattr(place, name, _deadly(getattr(place, name), random, chance))
        db.session.commit = _deadly(db.session.commit, random, chance / 2)  # type: ignore[method-assign]
        if erased:
            _erase(organisation_id, UUID(erased[0]), [int(number) for number in erased[1:]])
            return
        while True:
            _rebuild_one(random, organisation_id)
            tasks.look_after_raw_rows.fn()


def _make_small() -> None:
    """Chunks and files are enough at once, and what was replaced goes soon."""
    upkeep.ENOUGH_CHUNKS, upkeep.ENOUGH_FILES = 3, 3
    upkeep.OLD_AFTER = timedelta(0)
    upkeep.HELD_FOR, upkeep.WRITING_FOR = timedelta(seconds=15), timedelta(seconds=20)


def _deadly(function: Callable[..., Any], random: Random, chance: float) -> Callable[..., Any]:
    """The function, before or after which the process may end without a word."""

    def call(*given: Any, **named: Any) -> Any:
        _die(random, chance)
        answer = function(*given, **named)
        _die(random, chance)
        return answer

    return call


def _die(random: Random, chance: float) -> None:
    if random.random() < chance:
        os.kill(os.getpid(), signal.SIGKILL)


def _rebuild_one(random: Random, organisation_id: UUID) -> None:
    """By a job, as people and the product itself have it done."""
    with tenant(organisation_id):
        start_rebuild(organisation_id, random.choice([site.id for site in list_sites(organisation_id)]))
        db.session.commit()
    dispatch()


def _erase(organisation_id: UUID, site_id: UUID, visitors: list[int]) -> None:
    with tenant(organisation_id):
        erase_visitors(Sealer(get_settings()), organisation_id, [site_id], visitors, db.session.commit)


if __name__ == "__main__":
    main(*sys.argv[1:])
