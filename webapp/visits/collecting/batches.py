"""A list of beacons, one at a time: each is counted, dropped or refused by itself, and told which. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from webapp.metrics import beacon_counter
from webapp.visits.backlog import Row
from webapp.visits.collecting.beacon import UNREADABLE, Beacon, find_page_url, read_beacon, read_site_key
from webapp.visits.collecting.ids import beacon_id
from webapp.visits.collecting.intake import KnownSite
from webapp.visits.collecting.refusals import ASKED_TO_RETURN, DroppedError, RefusedError
from webapp.visits.collecting.uncounted import Outcome, Sums, add_to, reason_of, uncounted_row

FindSite = Callable[[str], KnownSite]
"""The site of a key; raises RefusedError when there is none."""
Take = Callable[[Beacon, KnownSite], Row]


@dataclass(frozen=True, slots=True)
class Note:
    """A beacon that is not counted, as the check of its site's installation tells of it."""

    site: KnownSite
    page_url: str
    outcome: Outcome


@dataclass
class Batch:
    """What became of the beacons of one request: rows to be counted, and uncounted ones as rows or summed up."""

    rows: list[Row] = field(default_factory=list)
    uncounted: list[Row] = field(default_factory=list)
    sums: Sums = field(default_factory=dict)
    notes: dict[bytes, Note] = field(default_factory=dict)
    dropped: list[dict[str, object]] = field(default_factory=list)
    refused: list[dict[str, object]] = field(default_factory=list)
    first_refusal: RefusedError | None = None
    longest_wait: RefusedError | None = None

    def refusal(self) -> RefusedError | None:
        """How the whole request is refused when nothing of it can be taken; None when some of it is."""
        first, wait = self.first_refusal, self.longest_wait
        if self.rows or first is None:
            return None
        if wait is not None:
            detail = "None of these beacons was taken. Send them again later; `refused` says which are worth it."
            return RefusedError(wait.status, wait.reason, detail, wait.retry_after_seconds)
        if self.dropped:
            return None
        return RefusedError(422, first.reason, "None of these beacons can be taken; `refused` says why.")

    def answer(self) -> dict[str, Any]:
        """What the sender is told: counted, left out by the site's own rules, and refused."""
        ids = [beacon_id(row.id) for row in self.rows]
        return {"accepted": len(ids), "ids": ids, "dropped": self.dropped, "refused": self.refused}

    def leave_out(self, index: int, outcome: Outcome) -> None:
        """Tell the sender of a beacon that is not counted."""
        beacon_counter(outcome.reason)(1)
        entry: dict[str, object] = {"index": index, "reason": outcome.reason, "detail": outcome.detail}
        if isinstance(outcome, DroppedError):
            self.dropped.append(entry)
        else:
            self._refuse(outcome, entry)

    def note(self, part: bytes, outcome: Outcome, site: KnownSite, beacon: Beacon | None) -> None:
        """Tell the site's owner, who will see how many there were."""
        self.notes[site.site_id] = Note(site, beacon.page_url if beacon else find_page_url(part), outcome)
        reason = reason_of(outcome)
        if beacon is None or reason != outcome.reason:
            add_to(self.sums, site, reason)
        else:
            self.uncounted.append(uncounted_row(beacon, site, outcome))

    def _refuse(self, refusal: RefusedError, entry: dict[str, object]) -> None:
        self.first_refusal = self.first_refusal or refusal
        seconds = refusal.retry_after_seconds
        if seconds is not None:
            entry["retryAfter"] = seconds
            if self.longest_wait is None or seconds > (self.longest_wait.retry_after_seconds or 0):
                self.longest_wait = refusal
        self.refused.append(entry)


def take_all(parts: list[bytes], find_site: FindSite, take: Take) -> Batch:
    """What becomes of each beacon."""
    batch = Batch()
    for index, part in enumerate(parts):
        beacon: Beacon | None = None
        site: KnownSite | None = None
        try:
            beacon = read_beacon(part)
            site = find_site(beacon.site_key)
            batch.rows.append(take(beacon, site))
        except (RefusedError, DroppedError) as outcome:
            batch.leave_out(index, outcome)
            if site := site or _site_of_broken(part, outcome, find_site):
                batch.note(part, outcome, site, beacon)
    if batch.longest_wait is not None and not batch.rows:
        batch.uncounted.clear()  # all of the list comes again, and is noted then
        batch.sums = {key: count for key, count in batch.sums.items() if key[2] == ASKED_TO_RETURN}
    return batch


def _site_of_broken(part: bytes, outcome: Outcome, find_site: FindSite) -> KnownSite | None:
    """Whose it was, when another of its fields was wrong."""
    if outcome.reason not in UNREADABLE:
        return None
    try:
        return find_site(read_site_key(part))
    except RefusedError:
        return None
