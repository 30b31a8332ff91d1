"""How many beacons a second may come, from an address or for a site: token buckets, in this process's memory.

A bucket is one number: the moment at which it will be full again (the generic cell rate algorithm). Where several
processes serve, each lets its share pass: they need not ask anybody, and together they keep the limit.
"""

from __future__ import annotations

import math

BURST_SECONDS = 10.0
"""What comes at once may be as much as in so many seconds: pages that open together, a queue after a tunnel."""
KNOWN_LIMIT = 100_000
ROUNDING = 1e-6


class Buckets:
    """One bucket a key, in one of so many processes. A key that was idle for long is forgotten: its bucket is full."""

    def __init__(self, processes: int = 1) -> None:
        self._processes = processes
        self._full_at: dict[str | bytes, float] = {}

    def share(self, rate: float) -> float:
        """How many a second may pass here of those that may pass everywhere; a full bucket holds one at least."""
        return max(rate / self._processes, 1 / BURST_SECONDS)

    def wait_seconds(self, key: str | bytes, count: float, rate: float, now: float) -> int:
        """0 when so many may pass now, which takes them; else after how many whole seconds they may."""
        full_at = self._full_at.get(key, now)
        if full_at < now:
            full_at = now
        full_at += count / self.share(rate)
        late = full_at - now - BURST_SECONDS
        if late > ROUNDING:
            return max(1, math.ceil(late))
        if len(self._full_at) >= KNOWN_LIMIT and key not in self._full_at:
            self._forget(now)
        self._full_at[key] = full_at
        return 0

    def give_back(self, key: str | bytes, count: float, rate: float) -> None:
        """Undo what `wait_seconds` took just now."""
        if key in self._full_at:
            self._full_at[key] -= count / self.share(rate)

    def _forget(self, now: float) -> None:
        """Keep the buckets that are not full; among very many of those, the newer half."""
        used = {key: full_at for key, full_at in self._full_at.items() if full_at > now}
        if len(used) >= KNOWN_LIMIT:
            used = dict(list(used.items())[KNOWN_LIMIT // 2 :])
        self._full_at = used
