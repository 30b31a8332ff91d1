"""`python -m webapp.lib.run_logged MODULE …` runs a module that sets up no logs itself, or only where it has to."""

from __future__ import annotations

import runpy
import sys

from webapp.lib.log import set_up


def main() -> None:
    """Log as every process of ours, then be the module with the remaining arguments."""
    set_up()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
