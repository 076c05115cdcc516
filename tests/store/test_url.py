"""Which store a URL names."""

from pathlib import Path

import pytest

from flowbind.store import StoreError, check_store_url, open_store
from flowbind.store.memory import MemoryStore
from flowbind.store.sqlite import SqliteStore


def test_urls_that_name_a_store(tmp_path):
    assert check_store_url("memory:") is None
    assert check_store_url("sqlite:///var/lib/flowbind.db") == Path("/var/lib/flowbind.db")
    memory, sqlite = open_store("memory:"), open_store(f"sqlite://{tmp_path}/x.db")
    assert isinstance(memory, MemoryStore)
    assert isinstance(sqlite, SqliteStore)
    assert (tmp_path / "x.db").exists()
    sqlite.close()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "neither sqlite:///path nor memory:"),
        ("memory", "neither sqlite:///path nor memory:"),
        ("memory:x", "neither sqlite:///path nor memory:"),
        ("/var/lib/flowbind.db", "neither sqlite:///path nor memory:"),
        ("postgres://host/db", "neither sqlite:///path nor memory:"),
        ("sqlite:", "neither sqlite:///path nor memory:"),
        ("sqlite://", "names no file: write sqlite:///absolute/path"),
        ("sqlite://relative.db", "names no file"),
        ("sqlite:///", "names no file"),
        ("sqlite:///directory/", "names no file"),
        ("sqlite:///null\0octet", "names no file"),
        ("redis://host", "redis:// is not available in this version"),
    ],
)
def test_urls_that_name_none(url, words):
    with pytest.raises(StoreError, match=words):
        check_store_url(url)
    with pytest.raises(StoreError, match=words):
        open_store(url)


def test_a_password_is_not_repeated():
    with pytest.raises(StoreError) as refused:
        open_store("rediss://user:secret@host")
    assert "secret" not in str(refused.value)
