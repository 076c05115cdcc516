"""The SQLite store: what it survives and what it refuses."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from flowbind.effects import DeleteNode, SaveNode
from flowbind.store import StoreError
from flowbind.store.sqlite import APPLICATION_ID, SCHEMA_VERSION, SqliteStore

COMMITTER = Path(__file__).with_name("committer.py")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "lib" / "flowbind.db"


@pytest.fixture
def opened(path):
    """Open the store of the test; what is left open is closed."""
    stores: list[SqliteStore] = []

    def make():
        stores.append(SqliteStore(path))
        return stores[-1]

    yield make
    for each in stores:
        each.close()


def with_database(path, *statements):
    """Change the file behind the store's back."""
    path.parent.mkdir(exist_ok=True)
    database = sqlite3.connect(path)
    for statement in statements:
        database.execute(statement)
    database.commit()
    database.close()


def test_makes_its_directory_and_a_file_for_nobody_else(path, opened, record):
    opened().commit([SaveNode(record(5))])
    files = list(path.parent.iterdir())
    assert path in files
    assert {each.stat().st_mode & 0o777 for each in files} == {0o600}


def test_keeps_the_records_from_one_opening_to_the_next(opened, record):
    first = opened()
    first.commit([SaveNode(record(5)), SaveNode(record(6))])
    first.commit([DeleteNode(record(6).home_address)])
    first.close()
    assert opened().load() == (record(5),)


def test_a_second_opener_is_refused_and_the_first_goes_on(opened, record):
    first = opened()
    first.commit([SaveNode(record(5))])
    with pytest.raises(StoreError, match=r"another process holds it \(is a daemon running"):
        opened()
    first.commit([SaveNode(record(6))])
    assert len(first.load()) == 2
    first.close()
    assert len(opened().load()) == 2


def test_another_process_is_refused(path, opened):
    opened()
    done = subprocess.run(
        [sys.executable, str(COMMITTER), str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert f"{path}: the store cannot be opened: another process holds it" in done.stderr


def test_all_changes_of_a_commit_are_made_or_none(path, opened, record):
    store = opened()
    store.commit([SaveNode(record(5))])
    store._opened().execute(
        "CREATE TEMP TRIGGER refuse BEFORE INSERT ON main.node WHEN NEW.home_address % 256 = 7 "
        "BEGIN SELECT RAISE(FAIL, 'no room'); END"
    )
    changes = [DeleteNode(record(5).home_address), SaveNode(record(6)), SaveNode(record(7))]
    with pytest.raises(StoreError, match="cannot be written: no room"):
        store.commit(changes)
    assert store.load() == (record(5),)
    store.commit([SaveNode(record(8))])
    store.close()
    assert opened().load() == (record(5), record(8))


def unchanged(path, opened, match):
    before = path.read_bytes()
    with pytest.raises(StoreError, match=match) as refused:
        opened()
    assert str(refused.value).startswith(f"{path}: the store cannot be opened: ")
    assert "\n" not in str(refused.value)
    assert path.read_bytes() == before


def test_the_database_of_another_program_is_refused_and_left_alone(path, opened):
    with_database(path, "CREATE TABLE cookies (name)")
    unchanged(path, opened, "it is the database of another program")


def test_another_application_is_refused_and_left_alone(path, opened):
    with_database(path, "PRAGMA application_id = 1", "CREATE TABLE node (x)")
    unchanged(path, opened, "it is the database of another program")


def test_a_newer_format_is_refused_and_left_alone(path, opened, record):
    store = opened()
    store.commit([SaveNode(record(5))])
    store.close()
    with_database(path, f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    unchanged(path, opened, "its format is version 2, and not 1")


def test_a_file_that_is_no_database_is_refused_and_left_alone(path, opened):
    path.parent.mkdir()
    path.write_bytes(b"[home-agent]\n" * 100)
    unchanged(path, opened, "file is not a database")


def test_a_damaged_file_is_refused(path, opened, record):
    store = opened()
    store.commit([SaveNode(record(octet)) for octet in range(200)])
    store.close()
    damaged = bytearray(path.read_bytes())
    damaged[4096:] = b"\xff" * (len(damaged) - 4096)
    path.write_bytes(damaged)
    store = opened()
    with pytest.raises(StoreError, match="cannot be read: database disk image is malformed"):
        store.load()


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x80", b"\x93\x01"])
def test_a_damaged_record_is_refused(path, opened, record, data):
    store = opened()
    store.commit([SaveNode(record(5))])
    store.close()
    with_database(path, f"UPDATE node SET record = x'{data.hex()}'")  # noqa: S608
    with pytest.raises(StoreError, match="cannot be read: "):
        opened().load()


def test_a_record_under_the_address_of_another_is_refused(path, opened, record):
    store = opened()
    store.commit([SaveNode(record(5))])
    store.close()
    with_database(path, "UPDATE node SET home_address = home_address + 1")
    with pytest.raises(StoreError, match=r"is about 10\.9\.0\.5"):
        opened().load()


def test_a_directory_that_cannot_be_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be opened: not a directory"):
        SqliteStore(tmp_path / "file" / "flowbind.db")


@pytest.mark.root
@pytest.mark.parametrize("where", ["there.db", "new/there.db"])
def test_a_directory_that_may_not_be_written_is_named(tmp_path, where):
    directory = tmp_path / "of-root"
    directory.mkdir(0o755)
    for each in (tmp_path, *tmp_path.parents[:2]):
        each.chmod(0o755)
    os.seteuid(65534)
    try:
        with pytest.raises(StoreError, match="cannot be opened: permission denied"):
            SqliteStore(directory / where)
    finally:
        os.seteuid(0)
    assert list(directory.iterdir()) == []


def test_a_path_that_is_a_directory_is_named(tmp_path):
    with pytest.raises(StoreError, match="cannot be opened: is a directory"):
        SqliteStore(tmp_path)


def test_every_acknowledged_commit_outlives_a_kill(path, opened):
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, str(COMMITTER), str(path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        acknowledged = [process.stdout.readline() for _ in range(50)]
        process.send_signal(signal.SIGKILL)
        acknowledged += process.stdout.readlines()
        process.wait()
        process.stdout.close()
        last = max(int(line) for line in acknowledged if line.endswith("\n"))
        store = opened()
        (low, high) = (each.identification for each in store.load())
        # Both records of a commit, of the last acknowledged one or of one under way.
        assert low == high
        assert last <= high <= last + 1
        store.close()


def test_marks_the_file_as_its_own(path, opened):
    opened().close()
    database = sqlite3.connect(path)
    (application,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    database.close()
    assert (application, version) == (APPLICATION_ID, SCHEMA_VERSION)
