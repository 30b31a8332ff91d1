"""Runs the tests: two processes side by side, then those marked `alone` by themselves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NO_TESTS = 5
PASSES = (["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder", "-m", "not alone"], ["-m", "alone"])


def main() -> int:
    """Arguments go to pytest; the exit code is 1 when anything failed, or when no test ran at all."""
    codes = [run(options) for options in PASSES]
    has_failed = any(code not in {0, NO_TESTS} for code in codes)
    return 1 if has_failed or set(codes) == {NO_TESTS} else 0


def run(options: list[str]) -> int:
    """One pass of pytest."""
    return subprocess.run([sys.executable, "-m", "pytest", *options, *sys.argv[1:]], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
