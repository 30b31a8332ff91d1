"""Kills one thing after another at seeded moments, and starts each again a while later."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from random import Random

from tests.visits.killing.installation import VisitsOutfit

VICTIMS = ("edge", "visits", "postgres", "beacons", "broker", "scheduler", "system")
LONGEST_PAUSE_SECONDS = 2.5
LONGEST_AWAY_SECONDS = 2.0


@dataclass
class Killer:
    """Until its time is over; every victim comes once before any comes again."""

    outfit: VisitsOutfit
    random: Random
    seconds: float
    victims: tuple[str, ...] = VICTIMS
    kills: Counter[str] = field(default_factory=Counter)
    errors: list[Exception] = field(default_factory=list)

    def run(self) -> None:
        """Kill, now and then two at once."""
        until = time.monotonic() + self.seconds
        queue: list[str] = []
        while time.monotonic() < until:
            if len(queue) < 2:
                queue += self.random.sample(self.victims, len(self.victims))
            time.sleep(self.random.uniform(0, LONGEST_PAUSE_SECONDS))
            together = 2 if self.random.random() < 0.25 and queue[0] != queue[1] else 1
            self._kill([queue.pop(0) for _ in range(together)])
            self.outfit.revive()

    def _kill(self, names: list[str]) -> None:
        for name in names:
            self.outfit.kill(name)
            self.kills[name] += 1
        time.sleep(self.random.uniform(0, LONGEST_AWAY_SECONDS))
        threads = [threading.Thread(target=self._start_again, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _start_again(self, name: str) -> None:
        try:
            self.outfit.start_again(name)
        except Exception as error:
            self.errors.append(error)
