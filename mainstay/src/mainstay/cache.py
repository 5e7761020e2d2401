"""A client for django-redis."""

from typing import Any

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse


class Client(Redis):
    """Treats a reply that is not Redis protocol as a connection error, which IGNORE_EXCEPTIONS ignores.

    While Valkey's pod is replaced, another server may answer at its address for a moment.
    """

    def execute_command(self, *args: Any, **options: Any) -> Any:
        try:
            return super().execute_command(*args, **options)
        except InvalidResponse as error:
            raise RedisConnectionError(str(error)) from error
