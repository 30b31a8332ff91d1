"""The one law: entry points commit and send, in that order; everything below only changes rows."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from webapp import worker
from webapp.app import ROOT
from webapp.cli_serve import worker_programs
from webapp.config import Settings
from webapp.jobs.queue_names import QUEUES

ENTRY_POINTS = {"views.py", "api.py", "tasks.py", "cli.py", "scheduler.py", "demo.py"}
ENTRY_POINT_SUFFIXES = ("_views.py", "_api.py", "_tasks.py")
ENTRY_POINT_PREFIXES = ("cli_",)
OTHERS_THAT_MAY = {
    "accounts/api_auth.py": "notes a key's use, before the view and whether or not the view succeeds",
}
TRANSACTION_ENDERS = {"commit", "send", "send_with_options", "enqueue"}


def is_entry_point(path: Path) -> bool:
    return (
        path.name in ENTRY_POINTS
        or path.name.endswith(ENTRY_POINT_SUFFIXES)
        or path.name.startswith(ENTRY_POINT_PREFIXES)
        or path.relative_to(ROOT / "webapp").as_posix() in OTHERS_THAT_MAY
    )


def calls_in(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Names of methods that a piece of code calls, each with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node.func.attr, node.lineno


BELOW = sorted(
    path
    for path in (ROOT / "webapp").rglob("*.py")
    if not is_entry_point(path) and "embedded" not in path.parts  # which speaks to processes, not to the database
)


@pytest.mark.parametrize("path", BELOW, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_below_the_entry_points_nothing_commits_or_sends(path: Path) -> None:
    found = [(name, line) for name, line in calls_in(ast.parse(path.read_text())) if name in TRANSACTION_ENDERS]
    assert found == []


def test_every_exception_still_needs_to_be_one() -> None:
    for name in OTHERS_THAT_MAY:
        tree = ast.parse((ROOT / "webapp" / name).read_text())
        assert {called for called, _ in calls_in(tree)} & TRANSACTION_ENDERS


def test_every_queue_has_a_consumer_in_the_worker(services: Settings) -> None:
    used = {actor.queue_name for actor in worker.broker.actors.values()}
    commands = [program.command for program in worker_programs(services)]
    consumed = {queue for command in commands for queue in command[command.index("--queues") + 1 :]}
    assert used <= set(QUEUES)
    assert consumed == set(QUEUES)
