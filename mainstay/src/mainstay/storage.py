"""The storage of static files."""

from functools import lru_cache
from typing import Any

from django.conf import settings
from whitenoise.storage import CompressedManifestStaticFilesStorage


class StaticFilesStorage(CompressedManifestStaticFilesStorage):
    """WhiteNoise's storage, which computes each URL once: the manifest does not change while a process runs.

    With DEBUG a URL is computed each time, as Django does, since files change.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._cached_url = lru_cache(maxsize=1024)(super().url)

    def url(self, name: Any, force: bool = False) -> str:
        url: str = super().url(name, force) if settings.DEBUG else self._cached_url(name, force)
        return url
