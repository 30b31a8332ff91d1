"""PostgreSQL and Redis out of Python wheels, and the supervisor behind `footfall up`.

Nothing here knows Flask: tests and commands start the servers with the same calls.
"""

from webapp.embedded.errors import ServerError
from webapp.embedded.postgres import start_postgres, stop_postgres
from webapp.embedded.redis import start_redis, stop_redis
from webapp.embedded.servers import running_servers

__all__ = ["ServerError", "running_servers", "start_postgres", "start_redis", "stop_postgres", "stop_redis"]
