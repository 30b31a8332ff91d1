"""Is a port free? Asked before anything is started, so that the answer can be plain."""

from __future__ import annotations

import errno
import socket

from webapp.embedded.errors import ServerError


def check_ports(ports: dict[str, int], host: str = "127.0.0.1") -> None:
    """Raise ServerError naming the first setting whose port is taken or cannot be had."""
    for name, port in ports.items():
        reason = _why_not(host, port)
        if reason:
            raise ServerError(f"Port {port} {reason}. Choose another: {name}={_free_port(host, port)} make run")
    for name, port in ports.items():
        twin = next((other for other, number in ports.items() if number == port and other != name), None)
        if twin:
            raise ServerError(f"{name} and {twin} are both {port}. Give each a port of its own.")


def _why_not(host: str, port: int) -> str:
    if not 0 < port < 65536:
        return "is not a port number"
    try:
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
    except PermissionError:
        return "may not be used by an ordinary user"
    except OSError as error:
        return "is already in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
    return "is already in use" if _somebody_listens("::1", port) else ""


def _somebody_listens(host: str, port: int) -> bool:
    """A browser tries localhost's IPv6 address first, and would meet that other program there."""
    try:
        with socket.create_connection((host, port), timeout=0.5):
            return True
    except OSError:
        return False


def _free_port(host: str, port: int) -> int:
    """A round number nearby whose successors are free too, as the next ports follow from it."""
    for candidate in range(max(8000, port // 100 * 100 + 100), 60000, 100):
        if not any(_why_not(host, candidate + step) for step in range(4)):
            return candidate
    return port + 100
