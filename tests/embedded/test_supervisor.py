"""The supervisor, as a real process over real children."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from webapp.embedded.logs import LOG_BYTES, BoundedLog
from webapp.embedded.processes import is_gone, wait_until

FOREVER = "while True: time.sleep(0.05)"
STUBBORN = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"


class Supervised:
    """A supervisor's process, its output, and where its children note what happens to them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output = folder / "output"
        self.process: subprocess.Popen[bytes] | None = None

    def child(self, name: str, code: str = FOREVER, **more: Any) -> dict[str, Any]:
        """A Python child that notes its process id, and its end when SIGTERM asks for it."""
        notes = str(self.folder / "notes")
        prelude = (
            "import os, signal, subprocess, sys, time\n"
            f"def note(what): open({notes!r}, 'a').write(f'{{what}} {name} {{os.getpid()}}\\n')\n"
            "def on_term(*_): note('ended'); sys.exit(0)\n"
            "signal.signal(signal.SIGTERM, on_term)\nnote('started')\n"
        )
        return {"name": name, "command": [sys.executable, "-c", prelude + code], **more}

    def start(self, *children: dict[str, Any]) -> None:
        command = [sys.executable, "-m", "tests.embedded.supervise", str(self.folder / "logs"), json.dumps(children)]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        names = {child["name"] for child in children}
        assert wait_until(lambda: {name for _, name, _ in self.notes("started")} == names, 20), self.text()

    def notes(self, what: str) -> list[tuple[str, str, int]]:
        path = self.folder / "notes"
        lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
        return [(kind, name, int(pid)) for kind, name, pid in lines if kind == what]

    def text(self) -> str:
        return self.output.read_text()

    def send(self, number: signal.Signals) -> None:
        assert self.process
        self.process.send_signal(number)

    def wait(self, seconds: float = 20) -> int:
        assert self.process
        return self.process.wait(seconds)


def is_over(pid: int) -> bool:
    return not psutil.pid_exists(pid) or is_gone(psutil.Process(pid))


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Supervised]:
    supervised = Supervised(tmp_path)
    yield supervised
    if supervised.process and supervised.process.poll() is None:
        supervised.process.kill()
        supervised.process.wait()
    for _, _, pid in supervised.notes("started"):
        if not is_over(pid):
            os.kill(pid, signal.SIGKILL)


def test_a_dead_child_is_back_within_a_second(supervised: Supervised) -> None:
    supervised.start(supervised.child("worker"))
    os.kill(supervised.notes("started")[0][2], signal.SIGKILL)
    assert wait_until(lambda: len(supervised.notes("started")) == 2, 10)  # a busy machine starts Python slowly
    assert "worker ended (killed by SIGKILL); starting it again in 0.2 s." in supervised.text()


def test_a_child_that_dies_at_once_is_started_ever_more_slowly(supervised: Supervised) -> None:
    supervised.start(supervised.child("broken", "sys.exit(3)"))
    assert wait_until(lambda: len(supervised.notes("started")) == 3, 10)
    delays = [line.rsplit(" in ", 1)[1] for line in supervised.text().splitlines() if "exit code 3" in line]
    assert delays[:2] == ["0.2 s.", "0.5 s."]


def test_sigterm_stops_all_children_in_the_order_of_their_stages(supervised: Supervised) -> None:
    stages = {"web": 0, "worker": 1, "redis": 2}
    supervised.start(*[supervised.child(name, stage=stage) for name, stage in reversed(stages.items())])
    supervised.send(signal.SIGTERM)
    assert supervised.wait() == 0
    assert [name for _, name, _ in supervised.notes("ended")] == ["web", "worker", "redis"]
    assert supervised.text().endswith("stopped\n")


def test_a_child_that_will_not_stop_is_killed_after_its_time(supervised: Supervised) -> None:
    supervised.start(supervised.child("stubborn", f"{STUBBORN}\n{FOREVER}", stop_seconds=0.5))
    supervised.send(signal.SIGINT)
    assert supervised.wait() == 0
    assert "stubborn did not stop in time" in supervised.text()
    assert is_over(supervised.notes("started")[0][2])


def test_a_second_ctrl_c_hurries(supervised: Supervised) -> None:
    child = supervised.child("stubborn", f"{STUBBORN}\n{FOREVER}", stop_seconds=60.0, hurried_seconds=0.2)
    supervised.start(child)
    time.sleep(0.3)
    supervised.send(signal.SIGINT)
    assert wait_until(lambda: "stopping" in supervised.text(), 5)
    supervised.send(signal.SIGINT)
    assert supervised.wait(5) == 0


def test_no_child_outlives_a_killed_supervisor(supervised: Supervised) -> None:
    supervised.start(supervised.child("web"), supervised.child("worker"))
    supervised.send(signal.SIGKILL)
    supervised.wait()
    assert wait_until(lambda: all(is_over(pid) for _, _, pid in supervised.notes("started")), 5)


def test_a_dead_masters_own_children_go_with_it(supervised: Supervised) -> None:
    fork = f"\nif os.fork() == 0:\n    note('forked')\n    {STUBBORN}\n"
    supervised.start(supervised.child("master", f"{fork}{FOREVER}"))
    assert wait_until(lambda: len(supervised.notes("forked")) == 1, 5)
    os.kill(supervised.notes("started")[0][2], signal.SIGKILL)
    assert wait_until(lambda: is_over(supervised.notes("forked")[0][2]), 5)


def test_a_childs_warnings_are_shown_and_all_it_says_is_kept(supervised: Supervised) -> None:
    code = "print('all is well'); print('WARNING: it rains', flush=True)\n" + FOREVER
    supervised.start(supervised.child("web", code))
    assert wait_until(lambda: "WARNING: it rains" in supervised.text(), 5)
    assert "all is well" not in supervised.text()
    assert "all is well" in (supervised.folder / "logs" / "web.log").read_text()


def test_a_child_that_closes_its_output_is_left_alone(supervised: Supervised) -> None:
    supervised.start(supervised.child("silent", f"os.close(1); os.close(2)\n{FOREVER}"))
    time.sleep(0.5)
    assert supervised.process
    assert psutil.Process(supervised.process.pid).cpu_times().user < 2
    assert len(supervised.notes("started")) == 1


def test_a_nice_child_is_so_in_its_session_and_beside_other_sessions(supervised: Supervised) -> None:
    supervised.start(supervised.child("web", niceness=5), supervised.child("edge"))
    pids = {name: pid for _, name, pid in supervised.notes("started")}
    assert wait_until(lambda: os.getpriority(os.PRIO_PROCESS, pids["web"]) == 5, 5)
    assert os.getpriority(os.PRIO_PROCESS, pids["edge"]) == 0
    group = Path(f"/proc/{pids['web']}/autogroup")
    assert not group.exists() or wait_until(lambda: group.read_text().split()[-1] in {"5", ""}, 5), group.read_text()


def test_a_log_never_outgrows_its_bound(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "web.log")
    for _ in range(3 * LOG_BYTES // 100_000):
        log.write(b"x" * 100_000)
    log.close()
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert len(sizes) == 2
    assert max(sizes) <= LOG_BYTES
