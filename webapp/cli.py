"""The `footfall` command. Heavy modules are imported by the command that needs them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from webapp.config import ConfigError, Settings, get_settings

if TYPE_CHECKING:
    from webapp.accounts.models import Organisation
    from webapp.doctor.finding import Finding


class PlainErrors(click.Group):
    """Ends foreseeable errors in one plain line instead of a traceback."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except Exception as error:
            message = _plain_words(error)
            if not message:
                raise
            raise click.ClickException(message) from error


@click.group(cls=PlainErrors, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Footfall: a self-hosted customer desk.

    Settings come from the environment: PORT, EDGE_PORT, DEMO_PORT, DATA_DIR, DATABASE_URL, REDIS_URL,
    BEACONS_REDIS_URL, PUBLIC_URL, EDGE_URL and more (docs/operating.md lists them all).
    """


@main.command()
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the pages (PORT, 8000).")
@click.option("--data-dir", type=click.Path(file_okay=False), help="Folder of all data (DATA_DIR, var).")
@click.option("--no-demo", is_flag=True, help="No demo organisation, website or sign-in.")
def up(port: int | None, data_dir: str | None, no_demo: bool) -> None:
    """Run all of it here: servers, pages, edge, workers, scheduler, demo."""
    given = {"PORT": port, "DATA_DIR": data_dir, "DEMO": "0" if no_demo else None}
    os.environ.update({name: str(value) for name, value in given.items() if value is not None})
    from webapp.cli_up import run_everything

    run_everything(get_settings(), _host(), _say)


@main.command()
@click.option("--host", envvar="HOST", default="127.0.0.1", show_default=True, help="Address to listen on (HOST).")
def web(host: str) -> None:
    """Serve the pages and the API on PORT."""
    from webapp.cli_serve import serve, web_program

    serve(get_settings(), [web_program(get_settings(), host)])


@main.command()
@click.option("--host", envvar="HOST", default="127.0.0.1", show_default=True, help="Address to listen on (HOST).")
def edge(host: str) -> None:
    """Take the tracker's beacons and serve live streams on EDGE_PORT."""
    from webapp.cli_serve import allow_many_files, edge_program, serve

    allow_many_files()
    serve(get_settings(), [edge_program(get_settings(), host)])


@main.command()
@click.option("--queues", help="Only these, separated by commas: jobs, imports, results, dead_letters, default, visits")
def worker(queues: str | None) -> None:
    """Do background work; without --queues, all of it."""
    from webapp.cli_serve import serve, worker_programs

    serve(get_settings(), worker_programs(get_settings(), queues))


@main.command()
def scheduler() -> None:
    """Send what is due; one works at a time, however many are started."""
    from webapp.cli_serve import scheduler_program, serve

    serve(get_settings(), [scheduler_program()])


@main.command()
def migrate() -> None:
    """Bring the database's tables up to date."""
    from flask_migrate import upgrade

    with _app():
        upgrade()


@main.command()
def demo() -> None:
    """Make the demo organisation with contacts, products and 14 months of visits, unless it is there.

    The tables are brought up to date first.
    """
    from flask_migrate import upgrade

    from webapp.demo import seed

    with _app():
        upgrade()
        seed(_say)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="For programs: a list of objects.")
def doctor(as_json: bool) -> None:
    """Look at the set-up, and say what to do about everything that is not right.

    Ends with exit code 1 when there is a problem.
    """
    import json
    from dataclasses import asdict

    from rich.console import Console

    from webapp.doctor import examine, has_problem, show

    with _servers() as trouble:
        findings = [*trouble, *examine(get_settings())]
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        show(findings, Console())
    sys.exit(1 if has_problem(findings) else 0)


@main.group("api-key")
def api_key() -> None:
    """Keys for the API."""


@api_key.command("create")
@click.option("--organisation", "slug", required=True, metavar="SLUG", help="Whose key.")
@click.option("--name", required=True, help="What it is for.")
def create_api_key(slug: str, name: str) -> None:
    """Make a key and print its secret, which is kept nowhere else."""
    with _app(), _organisation(slug) as organisation:
        from webapp.accounts.service import BadApiKeyNameError, create_api_key
        from webapp.extensions import db

        try:
            _, secret = create_api_key(organisation.id, name)
        except BadApiKeyNameError as error:
            raise click.ClickException(str(error)) from error
        db.session.commit()
        click.echo(secret)


@main.group()
def site() -> None:
    """Websites whose visits are counted."""


@site.command("create")
@click.option("--organisation", "slug", required=True, metavar="SLUG", help="Whose website.")
@click.option("--name", required=True, help="How the pages call it.")
@click.option("--origin", required=True, metavar="URL", help="Where it lives, as https://www.example.com.")
def create_site(slug: str, name: str, origin: str) -> None:
    """Register a website and print its site key."""
    with _app(), _organisation(slug) as organisation:
        from webapp.extensions import db
        from webapp.visits.service import BadSiteError, create_site

        try:
            made = create_site(organisation.id, name, origin)
        except BadSiteError as error:
            raise click.ClickException(str(error)) from error
        db.session.commit()
        click.echo(made.site_key)


@main.group("laid-aside")
def laid_aside() -> None:
    """Beacons that were accepted and could not be stored."""


@laid_aside.command("list")
def list_laid_aside() -> None:
    """How many of which site, and why."""
    with _app():
        from webapp.visits.counting.recount_tasks import list_laid_aside

        for line in list_laid_aside():
            where = f"{line.organisation_name or 'no organisation'}, {line.site_name or 'no site'}"
            click.echo(
                f"{line.number:,} of {where}, {line.first_at:%Y-%m-%d} to {line.last_at:%Y-%m-%d}: {line.reason}"
            )


@laid_aside.command("count")
def count_laid_aside() -> None:
    """Count them again, each once; what still cannot be stored stays."""
    with _app():
        from webapp.extensions import tenant
        from webapp.visits.counting.recount_tasks import count_again, list_organisations

        counted_count = kept_count = 0
        for organisation_id in list_organisations():
            with tenant(organisation_id):
                for recounted in count_again(organisation_id):
                    counted_count += recounted.counted_count
                    kept_count += recounted.kept_count
        click.echo(f"{counted_count:,} counted, {kept_count:,} still cannot be stored.")


@main.group()
def generate() -> None:
    """Write realistic made-up data to standard output."""


@generate.command()
@click.argument("count", type=click.IntRange(0))
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same data.")
def contacts(count: int, seed: int) -> None:
    """Write COUNT contacts as CSV."""
    from webapp.generate.contacts import write

    write(sys.stdout, count, seed)


@generate.command()
@click.argument("count", type=click.IntRange(0))
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same data.")
def products(count: int, seed: int) -> None:
    """Write COUNT products as CSV."""
    from webapp.generate.products import write

    write(sys.stdout, count, seed)


@generate.command()
@click.argument("count", type=click.IntRange(0))
@click.option("--seed", default=1, show_default=True, help="The same seed and end give the same data.")
@click.option("--site-key", default="SITE_KEY", show_default=True, help="The site that they report to.")
@click.option(
    "--end",
    metavar="ISO",
    callback=lambda _context, _option, value: _moment(value),
    help="When the last was seen, as 2026-01-31T12:00:00Z; now, unless given.",
)
def beacons(count: int, seed: int, site_key: str, end: datetime) -> None:
    """Write COUNT beacons as JSON, one a line, seen in the 24 hours before the end.

    /collect takes them for a day after it; older ones it refuses.
    """
    from webapp.generate.beacons import write

    write(sys.stdout, count, seed, end=end, site_key=site_key)


@contextmanager
def _app() -> Iterator[Settings]:
    """An app context with its database, started for this command if nothing else runs it."""
    from webapp.embedded.servers import running_servers

    settings = get_settings()
    with running_servers(settings):
        from webapp.app import create_app

        with create_app(settings).app_context():
            yield settings


@contextmanager
def _servers() -> Iterator[list[Finding]]:
    """The embedded servers, started if nothing else runs them; what keeps them from it is a finding."""
    from webapp.doctor.finding import problem
    from webapp.embedded.errors import ServerError
    from webapp.embedded.servers import running_servers

    with ExitStack() as stack:
        try:
            stack.enter_context(running_servers(get_settings()))
        except ServerError as error:
            yield [problem("Servers", str(error), "See the log that it names.")]
        else:
            yield []


@contextmanager
def _organisation(slug: str) -> Iterator[Organisation]:
    """The organisation of this name, with its rows visible inside."""
    from webapp.accounts.queries import find_organisation
    from webapp.extensions import tenant

    organisation = find_organisation(slug)
    if organisation is None:
        raise click.ClickException(f"There is no organisation {slug!r}.")
    with tenant(organisation.id):
        yield organisation


def _plain_words(error: Exception) -> str:
    """What to say of an error that its message explains; nothing for a fault of ours."""
    from webapp.embedded.errors import ServerError

    if isinstance(error, ConfigError | ServerError):
        return str(error)
    if type(error).__name__ == "OperationalError":
        return f"The database cannot be used: {str(getattr(error, 'orig', None) or error).strip()}"
    if type(error).__module__ == "redis.exceptions":
        return f"Redis cannot be used: {error}"
    return ""


def _moment(value: str | None) -> datetime:
    """A moment that was given, in UTC unless it says otherwise, or now."""
    from webapp.generate.beacons import EARLIEST_END
    from webapp.lib.clock import utc_now

    try:
        moment = datetime.fromisoformat(value) if value else utc_now()
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(f"{value!r} is not a moment in ISO 8601, as 2026-01-31T12:00:00Z.") from error
    if moment < EARLIEST_END:
        raise click.BadParameter(f"The end must be {EARLIEST_END:%Y-%m-%d} or later.")
    return moment


def _host() -> str:
    return os.environ.get("HOST") or "127.0.0.1"


def _say(line: str) -> None:
    """Print a line at once; a closed terminal is no reason to fail."""
    try:
        click.echo(line)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main(prog_name="footfall")
