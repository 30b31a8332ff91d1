"""`footfall doctor`: looks at an installation's set-up, and says of everything that is not right what to do."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from rich.console import Console
from rich.table import Table

from webapp.config import Settings
from webapp.doctor import access, machine, servers
from webapp.doctor.finding import Finding, State
from webapp.lib.probe import Probe, ask_all

LONGEST_SECONDS = 20.0
SIGNS = {
    State.OK: "[green]ok[/green]",
    State.WARNING: "[yellow]warning[/yellow]",
    State.PROBLEM: "[red]problem[/red]",
}

Check = Callable[[Settings], list[Finding]]

CHECKS: dict[str, Check] = {
    "PostgreSQL": servers.check_postgres,
    "Role": servers.check_role,
    "Tables": servers.check_tables,
    "Redis, broker": servers.check_broker,
    "Redis, beacons": servers.check_beacons,
    "Clocks": servers.check_clocks,
    "Workers": servers.check_workers,
    "Disk": machine.check_disk,
    "Uploads": machine.check_uploads,
    "Metrics": machine.check_metrics,
    "Countries": machine.check_countries,
    "Mail": machine.check_mail,
    "Addresses": access.check_addresses,
    "Sign-in": access.check_sign_in,
    "Secret": access.check_secret,
    "Proxies": access.check_proxies,
    "Pictures": access.check_pictures,
}


def examine(settings: Settings) -> list[Finding]:
    """Every check's findings, in order; a check that fails or hangs is a finding too."""
    answers = ask_all({name: Probe(partial(check, settings)) for name, check in CHECKS.items()}, LONGEST_SECONDS)
    return [finding for name, answer in answers.items() for finding in _findings(name, answer)]


def has_problem(findings: list[Finding]) -> bool:
    return any(finding.state is State.PROBLEM for finding in findings)


def show(findings: list[Finding], console: Console) -> None:
    """A table for people, and what to do below each line that needs it."""
    table = Table("", "What", "Finding", box=None, pad_edge=False, header_style="bold")
    for finding in findings:
        remedy = f"\n[dim]{_plain(finding.remedy)}[/dim]" if finding.remedy else ""
        table.add_row(SIGNS[finding.state], finding.name, _plain(finding.words) + remedy)
    console.print(table)


def _findings(name: str, answer: list[Finding] | Exception) -> list[Finding]:
    if isinstance(answer, TimeoutError):
        return [Finding(name, State.PROBLEM, f"No answer within {LONGEST_SECONDS:.0f} seconds.", servers.REACH)]
    if isinstance(answer, Exception):
        return [Finding(name, State.PROBLEM, " ".join(str(answer).split()) or type(answer).__name__, servers.REACH)]
    return answer


def _plain(text: str) -> str:
    """What comes from settings and servers is no markup."""
    return text.replace("[", r"\[")
