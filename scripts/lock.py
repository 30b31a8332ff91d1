"""Renews the lock files from pyproject.toml: `make lock`. Versions that still fit are kept."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = {
    "requirements.lock": ["pyproject.toml"],
    "requirements-dev.lock": ["pyproject.toml", "--extra", "dev", "--constraint", "requirements.lock"],
    "requirements-node.lock": ["scripts/requirements-node.in"],
}
OPTIONS = ["--universal", "--python-version", "3.11", "--generate-hashes", "--no-header", "--no-annotate", "--quiet"]


def main() -> None:
    """Pass `--upgrade` to take the newest versions."""
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "uv"], check=True)
    for lock, sources in LOCKS.items():
        print(f"Renewing {lock} …", flush=True)
        command = [sys.executable, "-m", "uv", "pip", "compile", *sources, *OPTIONS, *sys.argv[1:], "-o", lock]
        subprocess.run(command, cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
