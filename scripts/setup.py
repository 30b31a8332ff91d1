"""Sets up a bare checkout: virtual environment, locked packages, files out of npm's, and for tests a browser.

Runs on the standard library alone, as any user. A step whose inputs have not changed is skipped.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BIN = VENV / "bin"
VENDOR = ROOT / "static" / "vendor"
DATA = ROOT / "vendor"
OLDEST_NODE = 18

# From the packages in package-lock.json: what the pages load, under the name that they load it by.
VENDOR_FILES = {
    "htmx.org/dist/htmx.min.js": "htmx.min.js",
    "htmx.org/dist/ext/hx-sse.min.js": "hx-sse.min.js",
    "plotly.js-basic-dist-min/plotly-basic.min.js": "plotly-basic.min.js",
    "swagger-ui-dist/swagger-ui-bundle.js": "swagger-ui-bundle.js",
    "swagger-ui-dist/swagger-ui.css": "swagger-ui.css",
    "tus-js-client/dist/tus.min.js": "tus.min.js",
}
# What the edge reads and nobody is served.
DATA_FILES = {"@ip-location-db/geo-whois-asn-country-mmdb/geo-whois-asn-country.mmdb": "countries.mmdb"}
TRACKER = ROOT / "tracker" / "tracker.js"
MINIFIED_TRACKER = VENDOR / "tracker.min.js"
TERSER = ROOT / "node_modules" / "terser" / "bin" / "terser"
TERSER_OPTIONS = ("--ecma", "2017", "--compress", "passes=3,unsafe_arrows=true", "--mangle", "--comments", "false")
FIREFOX_NAMES = ("firefox", "firefox-esr")
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CONSOLE_SCRIPT = """\
#!{python}
import sys
from webapp.cli import main
sys.exit(main(prog_name="footfall"))
"""


class SetupError(Exception):
    """Set-up cannot go on; the message says what is missing and how to get it."""


def main() -> None:
    """Set up what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dev", action="store_true", help="also what tests and checks need")
    parser.add_argument("--browser", action="store_true", help="also make sure of a Chromium and a Firefox")
    wanted = parser.parse_args()
    try:
        with_lock(lambda: set_up(wanted.dev, wanted.browser))
    except SetupError as error:
        sys.exit(f"Set-up stopped: {error}")


def set_up(dev: bool, browser: bool) -> None:
    """All steps, in order."""
    make_environment()
    install_packages("requirements-dev.lock" if dev else "requirements.lock")
    link_project()
    install_npm_files()
    minify_tracker()
    if browser:
        ensure_browser("Chromium", "CHROMIUM", CHROMIUM_NAMES, "chromium")
        ensure_browser("Firefox", "FIREFOX", FIREFOX_NAMES, "firefox-esr")


def with_lock(work: Callable[[], None]) -> None:
    """Two set-ups at once would spoil each other's files: the second waits, and finds all done."""
    folder = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        work()
    finally:
        os.close(folder)


def make_environment() -> None:
    """`.venv`, unless there is one whose Python still works."""
    if (BIN / "python").exists() and (BIN / "pip").exists():
        return
    version = ".".join(map(str, sys.version_info[:3]))
    with step(f"Making a virtual environment in .venv (Python {version})"):
        shutil.rmtree(VENV, ignore_errors=True)
        outcome = subprocess.run([sys.executable, "-m", "venv", str(VENV)], capture_output=True, text=True, check=False)
    if outcome.returncode:
        shutil.rmtree(VENV, ignore_errors=True)
        raise SetupError(
            f"{sys.executable} cannot make a virtual environment with pip in it. On Debian and Ubuntu install the "
            f"package python3-venv (as root: apt-get install python3-venv), or name another Python: "
            f"make PYTHON=/path/to/python3.12\n{outcome.stdout}{outcome.stderr}"
        )


def install_packages(lock_name: str) -> None:
    """Exactly the packages of a lock file, each checked against its hash."""
    lock = ROOT / lock_name
    stamp = VENV / f".{lock_name}.stamp"
    inputs = digest(lock)
    larger = VENV / ".requirements-dev.lock.stamp"
    if is_done(stamp, inputs) or (lock_name == "requirements.lock" and is_done(larger, digest(dev_lock()))):
        return
    count = len(re.findall(r"^[\w.-]+(?:\[[^]]*\])?==", lock.read_text(), re.MULTILINE))
    with step(f"Installing Python packages ({lock_name}, up to {count})"):
        pip("install", "--require-hashes", "--no-deps", "-r", str(lock))
    stamp.write_text(inputs)


def dev_lock() -> Path:
    """The lock that contains all of the other one."""
    return ROOT / "requirements-dev.lock"


def link_project() -> None:
    """Let the environment import this checkout, and give it the `footfall` command; nothing is built."""
    folder = next(VENV.glob("lib/python3.*/site-packages"))
    write_if_changed(folder / "footfall.pth", f"{ROOT}\n")
    script = BIN / "footfall"
    write_if_changed(script, CONSOLE_SCRIPT.format(python=BIN / "python"))
    script.chmod(script.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


def install_npm_files() -> None:
    """npm's packages by lock file, then the few files that are used: pages' into static/vendor, data into vendor."""
    targets = {source: VENDOR / name for source, name in VENDOR_FILES.items()}
    targets |= {source: DATA / name for source, name in DATA_FILES.items()}
    stamp = VENDOR / ".stamp"
    inputs = digest(ROOT / "package-lock.json") + "".join(map(str, targets.values()))
    if is_done(stamp, inputs) and all(target.exists() for target in targets.values()) and TERSER.exists():
        return
    npm = find_npm()
    with step("Installing browser libraries and the countries of addresses (package-lock.json)"):
        run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], "npm")
        for source, target in targets.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / "node_modules" / source, target)
    stamp.write_text(inputs)


def minify_tracker() -> None:
    """tracker.js as it is served. The first line says of which source it was made; what serves it leaves that out."""
    first_line = f"// {hashlib.sha256(TRACKER.read_bytes()).hexdigest()}\n"
    if MINIFIED_TRACKER.exists() and MINIFIED_TRACKER.read_text().startswith(first_line):
        return
    with step("Minifying tracker.js"):
        node = str(Path(find_npm()).with_name("node"))
        run([node, str(TERSER), str(TRACKER), *TERSER_OPTIONS, "--output", f"{MINIFIED_TRACKER}.new"], "terser")
        MINIFIED_TRACKER.write_text(first_line + Path(f"{MINIFIED_TRACKER}.new").read_text())
        Path(f"{MINIFIED_TRACKER}.new").unlink()


def find_npm() -> str:
    """The machine's npm where its Node is new enough, else one out of a Python wheel."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and node_version(node) >= OLDEST_NODE:
        return npm
    if not (BIN / "npm").exists():
        with step("Installing Node (requirements-node.lock), as this machine has none"):
            pip("install", "--require-hashes", "--no-deps", "-r", str(ROOT / "requirements-node.lock"))
    return str(BIN / "npm")


def node_version(node: str) -> int:
    """Its major version, or 0 when it does not run."""
    outcome = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    found = re.match(r"v(\d+)", outcome.stdout)
    return int(found[1]) if found else 0


def ensure_browser(name: str, setting: str, programs: Sequence[str], package: str) -> None:
    """A browser for the tests: found, or installed when that is ours to do."""
    named = os.environ.get(setting)
    if named and not shutil.which(named):
        raise SetupError(f"{setting}={named} is no program.")
    if named or any(map(shutil.which, programs)) or (name == "Chromium" and has_playwright_chromium()):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        elsewhere = "; elsewhere: .venv/bin/playwright install chromium" if name == "Chromium" else ""
        raise SetupError(
            f"the browser tests need {name}, and none was found. Install it (Debian, as root: apt-get install "
            f"{package}{elsewhere}), or name one: {setting}=/path/to/{programs[0]}"
        )
    with step(f"Installing {name} for the browser tests (apt-get)"):
        run(["apt-get", "update", "-q"], "apt-get")
        run(["apt-get", "install", "-q", "-y", "--no-install-recommends", package], "apt-get")


def has_playwright_chromium() -> bool:
    """Whether Playwright's own download is there."""
    folder = os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache" / "ms-playwright"
    return any(Path(folder).glob("chromium-*"))


class step:  # noqa: N801  (reads as a statement)
    """Says what is being done, and how long it took."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __enter__(self) -> None:
        print(f"{self.what} …", flush=True)
        self.started_at = time.monotonic()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            print(f"  done in {time.monotonic() - self.started_at:.0f} s", flush=True)


def pip(*arguments: str) -> None:
    """The environment's own pip."""
    run([str(BIN / "python"), "-m", "pip", "--disable-pip-version-check", "-q", *arguments], "pip")


def run(command: Sequence[str], name: str) -> None:
    """Run a command; its output is shown only when it fails."""
    environment = {**os.environ, "PATH": f"{os.environ.get('PATH', os.defpath)}{os.pathsep}{BIN}"}
    environment |= {"DEBIAN_FRONTEND": "noninteractive", "NODE_USE_SYSTEM_CA": "1"}  # trust what the machine trusts
    outcome = subprocess.run(
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if outcome.returncode:
        raise SetupError(f"{name} failed (exit code {outcome.returncode}):\n{outcome.stdout}{outcome.stderr}")


def digest(lock: Path) -> str:
    """What a step depends on: its lock file and the Python that installs it."""
    python = os.path.realpath(BIN / "python")
    return hashlib.sha256(lock.read_bytes() + python.encode()).hexdigest()


def is_done(stamp: Path, inputs: str) -> bool:
    """Whether the step was finished with these very inputs."""
    return stamp.exists() and stamp.read_text() == inputs


def write_if_changed(path: Path, text: str) -> None:
    """Leave the file alone when it is right already."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


if __name__ == "__main__":
    main()
