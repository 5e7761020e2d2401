"""The client of the cache, whose lost server is ignored (django-redis's IGNORE_EXCEPTIONS)."""

from typing import Any

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse


class Client(Redis):
    """Takes an answer that is none of Redis's for a lost server: a proxy's `HTTP/1.1 400`, where the server is away."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        try:
            return super().execute_command(*args, **options)
        except InvalidResponse as error:
            raise RedisConnectionError(str(error)) from error
