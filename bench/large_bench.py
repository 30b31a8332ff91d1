"""How much memory does a worker need for ten million rows, and what becomes of small imports meanwhile?

By hand, since it takes a quarter of an hour: `python -m bench large`. Two `footfall worker` processes work on
embedded servers of this bench's own. They import the small size first, then the large one; the reference of
each figure of the large one is that of the small one, and that of a small import is the same one alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import median
from typing import Any

from flask import Flask

from bench.fair_bench import Large, import_file
from bench.import_bench import SUBJECTS, PeakMemory, file_of, workers
from bench.support import empty_app, print_figures

MOST_ALLOWED_RATIO = 1.1
MOST_ALLOWED_MEGABYTES = 400
STEPS = 10


class Curve:
    """The most that a worker has held so far, at every tenth of an import."""

    def __init__(self, memory: PeakMemory) -> None:
        self._memory = memory
        self.megabytes: dict[str, int] = {}

    def look(self, bulk_action: Any) -> None:
        """Called at every poll of the import."""
        done = (bulk_action.staged_count + bulk_action.merged_count) / 2
        step = int(done * STEPS / bulk_action.row_count) if bulk_action.planned_at and bulk_action.row_count else 0
        self.megabytes.setdefault(f"{step * 100 // STEPS} %", round(self._memory.peak_bytes / 1024**2))


def measure(row_count: int, large_count: int, small_count: int) -> bool:
    contacts = SUBJECTS["contacts"]
    usual, large, small = (file_of(contacts, count) for count in (row_count, large_count, small_count))
    with empty_app() as (app, settings, environment), workers(settings, environment) as pid:
        memory = PeakMemory(pid)
        memory.start()
        alone = [import_file(app, f"alone-{n}", small, lambda _: None)[1] for n in range(3)]
        usual_seconds = import_file(app, "usual", usual, lambda _: None)[1]
        usual_bytes = memory.peak_bytes
        curve = Curve(memory)
        beside: list[tuple[float, float]] = []
        seconds = _import_with_others(app, large, small, curve, beside)
        peak_bytes = memory.stop()
    print_figures(
        "large",
        {
            "rows": large_count,
            "rows/s": round(large_count / seconds),
            f"rows/s of {row_count:,}": round(row_count / usual_seconds),
            "worker peak MB": round(peak_bytes / 1024**2),
            f"worker peak MB of {row_count:,}": round(usual_bytes / 1024**2),
            "ratio": round(peak_bytes / usual_bytes, 2),
            "curve MB": curve.megabytes,
            "small alone s": round(median(alone), 2),
            "small beside s": [round(ended, 2) for _, ended in beside],
            "small begins after s": [round(begun, 2) for begun, _ in beside],
        },
    )
    return peak_bytes <= usual_bytes * MOST_ALLOWED_RATIO and peak_bytes <= MOST_ALLOWED_MEGABYTES * 1024**2


def _import_with_others(app: Flask, large: Path, small: Path, curve: Curve, beside: list[tuple[float, float]]) -> float:
    """Seconds of the large import; a small one of another organisation begins every half minute."""
    thread = Large(app, large, curve.look)
    thread.start()
    while thread.is_alive():
        thread.join(30)
        if thread.phase:
            beside.append(import_file(app, f"beside-{len(beside)}", small, lambda _: None))
    return thread.seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--large-rows", type=int, default=10_000_000)
    parser.add_argument("--small-rows", type=int, default=10_000)
    given = parser.parse_args()
    return 0 if measure(given.rows, given.large_rows, given.small_rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
