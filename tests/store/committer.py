"""Commits one pair of records after another to the file named, and prints the number of each."""

import itertools
import sys
from ipaddress import IPv4Address
from pathlib import Path

from flowbind.effects import SaveNode
from flowbind.model.binding import NodeRecord
from flowbind.store.sqlite import SqliteStore


def main() -> None:
    store = SqliteStore(Path(sys.argv[1]))
    held = store.load()
    for number in itertools.count(held[0].identification + 1 if held else 1):
        pair = (NodeRecord(IPv4Address(home), number) for home in ("10.9.0.5", "10.9.0.6"))
        store.commit([SaveNode(record) for record in pair])
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()


main()
