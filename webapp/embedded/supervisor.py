"""Child processes under watch: started in order, started again when they die, stopped in order.

One thread, no signals between threads: the loop reads the children's output, notices ends, starts
again what is due, and sees a stop request within a tenth of a second.
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO, cast

from webapp.embedded.errors import ServerError
from webapp.embedded.logs import ALARMING, Output
from webapp.embedded.places import Owner
from webapp.embedded.processes import die_with_parent, lower_priority

TICK_SECONDS = 0.1
BACK_OFF_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0, 15.0)
HEALTHY_SECONDS = 20.0
READ_BYTES = 64 * 1024
EVERYTHING = re.compile("")
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequested(BaseException):
    """Somebody pressed Ctrl-C or sent SIGTERM."""


@dataclass(frozen=True)
class Child:
    """A process to run: `stage` says when it stops (0 first), `before` runs ahead of every start.

    The higher its `niceness`, the longer it waits for a processor that others want too.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    owner: Owner | None = None
    stage: int = 0
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0
    hurried_seconds: float = 1.0
    shown: re.Pattern[str] = ALARMING
    before: Callable[[], None] | None = None
    niceness: int = 0


class Running:
    """A child's present process and its history of deaths."""

    def __init__(self, child: Child, output: Output) -> None:
        self.child = child
        self.output = output
        self.process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0
        self.start_at: float | None = None
        self.death_count = 0

    def has_ended(self) -> bool:
        """Whether the process is over; it stays a zombie, so that its group's id is not given away."""
        if self.process is None or self.process.returncode is not None:
            return True
        return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def send(self, number: signal.Signals) -> None:
        """Signal the process alone: masters stop their own workers."""
        if self.process is not None and not self.has_ended():
            self.process.send_signal(number)

    def bury(self) -> int:
        """End what is left of the process's group, then let the kernel forget it."""
        if self.process is None:
            return 0
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        code = self.process.wait()
        self.process = None
        return code


class Supervisor:
    """Runs children until it is asked to stop."""

    def __init__(self, log_folder: Path, echo: Callable[[str], None]) -> None:
        self._log_folder = log_folder
        self._echo = echo
        self._selector = selectors.DefaultSelector()
        self._running: list[Running] = []
        self._stop_count = 0
        self._is_stopping = False

    def handle_signals(self) -> None:
        """Take Ctrl-C, SIGTERM and a closed terminal as requests to stop."""
        for number in STOP_SIGNALS:
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                signal.signal(number, self._on_signal)

    def start(self, child: Child) -> None:
        """Start a child that is to run until the end."""
        self._start(self._new(child))

    def run_once(self, child: Child) -> int:
        """Run a child to its end and return its exit code; the others are watched meanwhile."""
        running = self._new(child)
        self._start(running)
        while not running.has_ended():
            self.tick(restart_except=running)
        return self._end(running)

    def wait_for(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Watch the children until `condition` holds; False when it does not in time."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            self.tick()
        return True

    def watch(self) -> None:
        """Watch until a stop is requested, which raises StopRequested."""
        while True:
            self.tick()

    def tick(self, restart_except: Running | None = None) -> None:
        """One round: read output, start again what died; raises StopRequested once when asked to stop."""
        self._read(TICK_SECONDS)
        if self._stop_count and not self._is_stopping:
            raise StopRequested
        for running in self._running:
            if running is not restart_except:
                self._look_after(running)

    def stop(self) -> None:
        """Stop all children, stage by stage; a second request to stop hurries."""
        self._is_stopping = True
        for stage in sorted({running.child.stage for running in self._running}):
            self._stop_all([running for running in self._running if running.child.stage == stage])
        self._running.clear()
        self._selector.close()

    def death_count(self, name: str) -> int:
        """How often a child has died lately."""
        return max((running.death_count for running in self._running if running.child.name == name), default=0)

    def log_path(self, name: str) -> Path:
        """Where a child's whole output is kept."""
        return self._log_folder / f"{name}.log"

    def _new(self, child: Child) -> Running:
        running = Running(child, Output(child.name, self.log_path(child.name), self._echo, child.shown))
        self._running.append(running)
        return running

    def _start(self, running: Running) -> None:
        child = running.child
        if child.before:
            child.before()
        running.process = _spawn(child)
        running.started_at, running.start_at = time.monotonic(), None
        assert running.process.stdout is not None
        os.set_blocking(running.process.stdout.fileno(), False)
        self._selector.register(running.process.stdout, selectors.EVENT_READ, running)

    def _look_after(self, running: Running) -> None:
        if running.start_at is not None and time.monotonic() >= running.start_at:
            self._restart(running)
        elif running.start_at is None and running.has_ended():
            if time.monotonic() - running.started_at > HEALTHY_SECONDS:
                running.death_count = 0
            self._plan_restart(running, f"ended ({_how(self._release(running))})")

    def _restart(self, running: Running) -> None:
        try:
            self._start(running)
        except (ServerError, OSError) as error:
            self._plan_restart(running, f"cannot be started: {error}")

    def _plan_restart(self, running: Running, what: str) -> None:
        delay = BACK_OFF_SECONDS[min(running.death_count, len(BACK_OFF_SECONDS) - 1)]
        running.death_count += 1
        running.start_at = time.monotonic() + delay
        self._echo(f"{running.child.name} {what}; starting it again in {delay:g} s.")

    def _stop_all(self, stage: list[Running]) -> None:
        for running in stage:
            running.send(running.child.stop_signal)
        asked_at = time.monotonic()
        while any(not running.has_ended() for running in stage):
            self._read(TICK_SECONDS)
            for running in stage:
                if time.monotonic() - asked_at > self._patience(running.child) and not running.has_ended():
                    self._echo(f"{running.child.name} did not stop in time; ending it.")
                    self._release(running)
        for running in stage:
            self._end(running)

    def _patience(self, child: Child) -> float:
        return child.stop_seconds if self._stop_count < 2 else child.hurried_seconds

    def _end(self, running: Running) -> int:
        code = self._release(running)
        running.output.close()
        if running in self._running:
            self._running.remove(running)
        return code

    def _release(self, running: Running) -> int:
        """Read the last output and let the process go, with whatever is left of its group."""
        process = running.process
        if process is None:
            return 0
        code = running.bury()
        if process.stdout is not None:
            self._drain(running, process.stdout)
            process.stdout.close()
        return code

    def _read(self, seconds: float) -> None:
        if not self._selector.get_map():
            time.sleep(seconds)
        for key, _ in self._selector.select(seconds):
            self._drain(key.data, cast(IO[bytes], key.fileobj))

    def _drain(self, running: Running, stream: IO[bytes]) -> None:
        """Take all there is; at the end of the stream stop listening."""
        while data := _read_some(stream.fileno()):
            running.output.feed(data)
        is_over = data is not None or running.process is None
        if is_over and stream.fileno() in self._selector.get_map():
            self._selector.unregister(stream)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop_count += 1


def _spawn(child: Child) -> subprocess.Popen[bytes]:
    """In a session of its own, so that Ctrl-C reaches the supervisor alone and order is kept."""
    owner = child.owner
    process = subprocess.Popen(
        child.command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **child.environment},
        cwd="/" if owner else None,  # the caller's folder may be private
        start_new_session=True,
        user=owner.uid if owner else None,
        group=owner.gid if owner else None,
        extra_groups=[] if owner else None,
        preexec_fn=die_with_parent(os.getpid(), child.stop_signal),
    )
    lower_priority(process.pid, child.niceness)
    return process


def _read_some(descriptor: int) -> bytes | None:
    """Bytes, nothing at the end of the stream, None when there is nothing yet."""
    try:
        return os.read(descriptor, READ_BYTES)
    except BlockingIOError:
        return None


def _how(code: int) -> str:
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"
