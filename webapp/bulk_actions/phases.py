"""Which work belongs to which phase of which verb: each verb registers its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from webapp.bulk_actions.chunks import Sends
from webapp.bulk_actions.models import BulkActionChunk, Phase, Verb
from webapp.lib.storage import Storage

Work = Callable[[BulkActionChunk, Storage], Sends]


@dataclass(frozen=True)
class PhaseWork:
    """What is done with a chunk, in one transaction.

    `give_up` ends a chunk whose attempts are spent, so that the others can go on; it must not do again what may have
    stopped the worker, and when it is called for the second time, not even look at the records. Without it the
    whole bulk action fails.
    """

    work: Work
    give_up: Work | None = None


_phases: dict[tuple[Verb, Phase], PhaseWork] = {}


def register_phase(verb: Verb, phase: Phase, work: Work, *, give_up: Work | None = None) -> None:
    """Say what is done in a phase of a verb."""
    _phases[verb, phase] = PhaseWork(work, give_up)


def phase_work(verb: Verb, phase: Phase) -> PhaseWork:
    """What is done in a phase of a verb; raises KeyError for one that nobody registered."""
    return _phases[verb, phase]
