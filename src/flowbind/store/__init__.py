"""What survives a restart: `open_store` gives the store that a configuration names."""

from pathlib import Path
from typing import Final

from flowbind.store.base import BindingStore, StoreError
from flowbind.store.memory import MemoryStore
from flowbind.store.sqlite import SqliteStore

__all__ = ["BindingStore", "StoreError", "check_store_url", "open_store"]

_MEMORY: Final = "memory:"
_SQLITE: Final = "sqlite://"


def check_store_url(url: str) -> Path | None:
    """Return the path that a store URL names, None for `memory:`. Raises StoreError for others.

    `sqlite:///var/lib/file.db` is the absolute path /var/lib/file.db: the third slash is its own.
    """
    if url == _MEMORY:
        return None
    if url.startswith(_SQLITE):
        path = url.removeprefix(_SQLITE)
        if path.startswith("/") and not path.endswith("/") and "\0" not in path:
            return Path(path)
        raise StoreError(f"{url!r} names no file: write sqlite:///absolute/path")
    if url.startswith(("redis://", "rediss://")):
        # The rest of such a URL may hold a password.
        raise StoreError("redis:// is not available in this version: use sqlite:///path or memory:")
    raise StoreError(f"{url!r} is neither sqlite:///path nor memory:")


def open_store(url: str) -> BindingStore:
    """Open the store that a URL names. Raises StoreError."""
    path = check_store_url(url)
    return MemoryStore() if path is None else SqliteStore(path)
