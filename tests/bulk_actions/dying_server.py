"""A server for tests that is killed (-9) at a place of its own work that nobody else could hit: `PLACE` as argument.

before-count   the second piece is in the store, and its row is not written
before-commit  the row is written, and not committed
before-join    every byte is there, and the pieces are not joined
after-join     the draft's file is there, and its row is not committed
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from werkzeug.serving import make_server

from webapp.app import create_app
from webapp.bulk_actions import resumable


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(place: str, port: int) -> None:
    count_piece, finish, count = resumable.count_piece, resumable.finish, 0

    def counting(*arguments: Any) -> None:
        nonlocal count
        count += 1
        if count == 2 and place == "before-count":
            die()
        count_piece(*arguments)
        if count == 2 and place == "before-commit":
            die()

    def finishing(*arguments: Any) -> Any:
        if place == "before-join":
            die()
        bulk_action = finish(*arguments)
        if place == "after-join":
            die()
        return bulk_action

    vars(resumable).update(count_piece=counting, finish=finishing)
    make_server("127.0.0.1", port, create_app(), threaded=True).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1], int(os.environ["PORT"]))
