"""`python -m bench [NAME]`: all benchmarks but those by hand, one after the other, or one by name."""

from __future__ import annotations

import subprocess
import sys

BENCHMARKS = ("collect", "roll_up", "import", "fair", "verbs", "records", "live", "jobs", "visits")
BY_HAND = ("large", "product_views")


def main() -> int:
    names = sys.argv[1:] or list(BENCHMARKS)
    unknown = [name for name in names if name not in (*BENCHMARKS, *BY_HAND)]
    if unknown:
        print(
            f"There is no benchmark {unknown[0]!r}; there are: {', '.join((*BENCHMARKS, *BY_HAND))}.", file=sys.stderr
        )
        return 2
    worst = 0
    for name in names:
        print(f"\n== {name}", flush=True)
        worst = max(worst, subprocess.run([sys.executable, "-m", f"bench.{name}_bench"], check=False).returncode)
    return worst


if __name__ == "__main__":
    raise SystemExit(main())
