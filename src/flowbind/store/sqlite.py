"""A store in one SQLite file: a row for each node, written through to the disk at each commit.

With a write-ahead log and synchronous=FULL, SQLite calls fsync once for each transaction: what
`commit` has returned from outlives the process and the power. The connection holds the file's lock
from the start to `close`, so that two daemons never share a file.
"""

import os
import sqlite3
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby
from pathlib import Path
from typing import Final

import msgspec

from flowbind.effects import DeleteNode, SaveNode
from flowbind.model.binding import NodeRecord
from flowbind.model.encoding import from_msgpack, to_msgpack
from flowbind.store.base import StoreError

SCHEMA_VERSION: Final = 1
APPLICATION_ID: Final = 0x666C6F77
"""The octets `flow`, by which a file of another program is told from ours."""

_CREATE: Final = (
    "CREATE TABLE node (home_address INTEGER PRIMARY KEY, record BLOB NOT NULL)",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)
# Not REPLACE, which deletes a row and inserts another: it takes twice as long.
_SAVE: Final = (
    "INSERT INTO node (home_address, record) VALUES (?, ?)"
    " ON CONFLICT (home_address) DO UPDATE SET record = excluded.record"
)
_DELETE: Final = "DELETE FROM node WHERE home_address = ?"
_COUNT_TABLES: Final = "SELECT count(*) FROM sqlite_schema"
_LOAD: Final = "SELECT home_address, record FROM node ORDER BY home_address"


class SqliteStore:
    """Keeps the records in the file at `path`, which is made if it is missing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database: sqlite3.Connection | None = None
        with self._failing("opened"):
            _make_file(path)
            self._database = sqlite3.connect(
                path, timeout=0, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare(self._database)
            except BaseException:
                self.close()
                raise

    def _prepare(self, database: sqlite3.Connection) -> None:
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        with _transaction(database):
            empty = self._check_format(database)
        # Only now: the file of another program must stay as it is.
        if database.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
            raise self._error("opened", "there can be no write-ahead log")
        database.execute("PRAGMA synchronous = FULL")
        if empty:
            with _transaction(database):
                for statement in _CREATE:
                    database.execute(statement)

    def _check_format(self, database: sqlite3.Connection) -> bool:
        version = _number(database, "PRAGMA user_version")
        application = _number(database, "PRAGMA application_id")
        if not (version or application or _number(database, _COUNT_TABLES)):
            return True
        if application != APPLICATION_ID:
            raise self._error("opened", "it is the database of another program")
        if version != SCHEMA_VERSION:
            text = f"its format is version {version}, and not {SCHEMA_VERSION}"
            raise self._error("opened", text)
        return False

    def load(self) -> tuple[NodeRecord, ...]:
        """Return every record, ordered by home address. Raises StoreError."""
        with self._failing("read"):
            return tuple(_decode(*row) for row in self._opened().execute(_LOAD))

    def commit(self, changes: Sequence[SaveNode | DeleteNode]) -> None:
        """Make all changes durable, in order, or none of them. Raises StoreError."""
        with self._failing("written"), _transaction(self._opened()) as database:
            for saving, group in groupby(changes, _is_save):
                database.executemany(_SAVE if saving else _DELETE, map(_row, group))

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        database, self._database = self._database, None
        if database is not None:
            with self._failing("closed"):
                database.close()

    def _opened(self) -> sqlite3.Connection:
        if self._database is None:
            raise self._error("used", "it is closed")
        return self._database

    @contextmanager
    def _failing(self, done: str) -> Generator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, msgspec.MsgspecError, ValueError) as problem:
            raise self._error(done, _reason(problem)) from problem

    def _error(self, done: str, reason: str) -> StoreError:
        return StoreError(f"{self._path}: the store cannot be {done}: {reason}")


def _make_file(path: Path) -> None:
    if not path.parent.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


@contextmanager
def _transaction(database: sqlite3.Connection) -> Generator[sqlite3.Connection]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield database
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            with suppress(sqlite3.Error):
                database.execute("ROLLBACK")
        raise


def _number(database: sqlite3.Connection, query: str) -> int:
    return int(database.execute(query).fetchone()[0])


def _is_save(change: SaveNode | DeleteNode) -> bool:
    return isinstance(change, SaveNode)


def _row(change: SaveNode | DeleteNode) -> tuple[int, bytes] | tuple[int]:
    if isinstance(change, SaveNode):
        return int(change.record.home_address), to_msgpack(change.record)
    return (int(change.home_address),)


def _decode(home_address: int, data: bytes) -> NodeRecord:
    record = from_msgpack(data, NodeRecord)
    if int(record.home_address) != home_address:
        raise ValueError(f"the row of {home_address} is about {record.home_address}")
    return record


def _reason(problem: Exception) -> str:
    if isinstance(problem, OSError) and problem.strerror:
        return problem.strerror.lower()
    if isinstance(problem, sqlite3.OperationalError) and "locked" in str(problem):
        return "another process holds it (is a daemon running already?)"
    return str(problem)
