"""Who sends beacons and does not give up: every beacon again under its id until it is answered, as the tracker does."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from tests.visits.killing.beacons import Made, Maker, say_when_sent
from tests.visits.support import BROWSER
from webapp.visits.backlog import Row
from webapp.visits.collecting.signatures import sign

Answer = tuple[int, bytes] | None
"""Status and body; None when nobody answered, so that nobody knows."""
ANSWER_SECONDS = 10.0
LONGEST_REST_SECONDS = 1.0
"""A tracker rests for as long as it is told; here the load must not end with the first refusal."""


@dataclass
class Ledger:
    """What was sent and what became of it."""

    accepted: dict[UUID, Row] = field(default_factory=dict)
    unsure: dict[UUID, Row] = field(default_factory=dict)
    """Given up without an answer that says: counted once or not at all."""
    told_dropped: Counter[tuple[UUID, str]] = field(default_factory=Counter)
    unsure_drops: Counter[tuple[UUID, str]] = field(default_factory=Counter)
    tries: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def accept(self, made: list[Made]) -> None:
        with self.lock:
            self.accepted.update((one.id, one.row) for one in made)


def _is_unsure(outcome: Answer) -> bool:
    """Nobody answered, or the edge did not hear from Redis in time, which may have kept the beacon all the same."""
    return outcome is None or outcome[0] == 503


class Sender(threading.Thread):
    """One connection after the other to the edge, until told to stop, and then until all is answered."""

    def __init__(self, edge_url: str, strict: list[Maker], loose: Maker, ledger: Ledger, random: Random) -> None:
        super().__init__(daemon=True)
        self._place = urlsplit(edge_url)
        self._strict, self._loose = strict, loose
        self._ledger, self._random = ledger, random
        self._connection: http.client.HTTPConnection | None = None
        self.stopping = threading.Event()

    def run(self) -> None:
        try:
            while not self.stopping.is_set():
                self._random.choice(
                    [self._send_one, self._send_one, self._send_one, self._send_queue, self._send_signed,
                     self._send_loose, self._send_wrong]
                )()  # fmt: skip
                time.sleep(self._random.uniform(0, 0.02))
        except Exception as error:
            self._ledger.wrong.append(repr(error))

    def _maker(self) -> Maker:
        return self._random.choice(self._strict)

    def _send_one(self) -> None:
        maker = self._maker()
        self._deliver([maker.make(maker.visitor())], maker)

    def _send_queue(self) -> None:
        """A browser that was offline."""
        maker = self._maker()
        visitor = maker.visitor()
        self._deliver([maker.make(visitor) for _ in range(self._random.randint(2, 30))], maker, is_list=True)

    def _send_signed(self) -> None:
        """The site's own server, for many visitors."""
        maker = self._maker()
        made = [maker.make(maker.visitor(), is_signed=True) for _ in range(self._random.randint(1, 60))]
        self._deliver(made, maker, is_list=True, is_signed=True)

    def _send_loose(self) -> None:
        """Whose moment only the server knows, and who gives up after the first try."""
        made = say_when_sent(self._loose.make(self._loose.visitor()))
        outcome = self._try([made], self._loose, is_list=False, is_signed=False)
        if _is_unsure(outcome):
            with self._ledger.lock:
                self._ledger.unsure[made.id] = made.row
        elif outcome and outcome[0] == 202:
            self._ledger.accept([made])

    def _send_wrong(self) -> None:
        """A beacon that is refused, and counted as that; nobody sends it again."""
        maker = self._maker()
        made = maker.make(maker.visitor())
        made.beacon["pageUrl"] = "javascript:alert(1)"
        outcome = self._try([made], maker, is_list=False, is_signed=False)
        key = (maker.site.id, "bad-page-url")
        with self._ledger.lock:
            if _is_unsure(outcome):
                self._ledger.unsure_drops[key] += 1
            elif outcome and outcome[0] == 422:
                self._ledger.told_dropped[key] += 1

    def _deliver(self, made: list[Made], maker: Maker, *, is_list: bool = False, is_signed: bool = False) -> None:
        failures = 0
        sent_again = self._random.random() < 0.05
        open_ones = made
        while open_ones:
            outcome = self._try(open_ones, maker, is_list=is_list, is_signed=is_signed)
            accepted, open_ones = self._read(outcome, open_ones, is_list=is_list)
            self._ledger.accept(accepted)
            if open_ones:
                failures += 1
                time.sleep(self._random.random() * min(LONGEST_REST_SECONDS, 0.05 * 2**failures))
            elif sent_again:
                sent_again, open_ones = False, made

    def _read(self, outcome: Answer, made: list[Made], *, is_list: bool) -> tuple[list[Made], list[Made]]:
        """Those that are accepted, and those to be sent again."""
        if outcome is None or outcome[0] in {429, 503}:
            return [], made
        status, body = outcome
        if status != 202:
            self._ledger.wrong.append(f"{status}: {body[:300]!r}")
            return [], []
        if not is_list:
            return made, []
        told: dict[str, Any] = json.loads(body)
        ids = {UUID(text) for text in told["ids"]}
        again = {one["index"] for one in told["refused"] if "retryAfter" in one}
        lost = [one for one in told["refused"] if "retryAfter" not in one] + told["dropped"]
        self._ledger.wrong += map(str, lost)
        return [one for one in made if one.id in ids], [one for index, one in enumerate(made) if index in again]

    def _try(self, made: list[Made], maker: Maker, *, is_list: bool, is_signed: bool) -> Answer:
        beacons = [one.beacon for one in made]
        body = json.dumps(beacons if is_list else beacons[0]).encode()
        headers = {"Content-Type": "text/plain;charset=UTF-8", "User-Agent": BROWSER}
        if is_signed:
            headers["X-Footfall-Signature"] = sign(maker.site.identify_secret, body)
        else:
            headers |= {"Origin": maker.origin, "X-Forwarded-For": made[0].address}
        outcome = self._ask(body, headers)
        self._ledger.tries[str(outcome[0]) if outcome else "no answer"] += 1
        return outcome

    def _ask(self, body: bytes, headers: dict[str, str]) -> Answer:
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(
                    self._place.hostname or "", self._place.port, timeout=ANSWER_SECONDS
                )
            self._connection.request("POST", "/collect", body, headers)
            answer = self._connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            return None
