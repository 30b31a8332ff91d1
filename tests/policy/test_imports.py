"""Who may import whom: the layers, and an edge without Flask."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from webapp.app import ROOT

EDGE_MODULES = ["asgi", "webapp.edge", "webapp.visits.collecting.collect", "webapp.live.stream", "webapp.lib.problem"]
FORBIDDEN_AT_THE_EDGE = ("flask", "sqlalchemy", "apiflask", "werkzeug", "dramatiq")


def modules_loaded_by(module: str) -> set[str]:
    """What a fresh interpreter holds after importing the module."""
    code = f"import json, sys; import {module}; print(json.dumps(sorted(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(json.loads(run.stdout))


@pytest.mark.parametrize("module", EDGE_MODULES)
def test_the_edge_loads_neither_flask_nor_the_orm(module: str) -> None:
    packages = {name.partition(".")[0] for name in modules_loaded_by(module)}
    assert not packages & set(FORBIDDEN_AT_THE_EDGE)


def test_the_layers_point_one_way() -> None:
    run = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr
