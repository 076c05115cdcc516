"""Octets read as choices, so that a fuzzer that changes octets changes what happens."""

from flowbind.wire.message import offset_of_extensions


class Octets:
    """Reads choices in order. Where nothing is left, every choice is the first one."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> bool:
        """Whether there is anything left."""
        return self._at < len(self._data)

    def exactly(self, count: int) -> bytes:
        """Take so many octets; what is not there is 0."""
        return self.some(count).ljust(count, b"\x00")

    def some(self, count: int) -> bytes:
        """Take so many octets, or as many as there are."""
        taken = self._data[self._at : self._at + count]
        self._at += count
        return taken

    def number(self, size: int = 1) -> int:
        """Take an unsigned number of so many octets."""
        return int.from_bytes(self.some(size), "big")

    def below(self, end: int) -> int:
        """Take a number from 0 on and below `end`, of at most 256."""
        return self.number() % end

    def message(self, kinds: tuple[int, ...]) -> bytes:
        """Take a message of one of these types, without its authentication."""
        kind = self.number()
        kind = kind if kind in kinds else kinds[kind % len(kinds)]
        fixed = self.exactly(offset_of_extensions(bytes((kind,))) - 1)
        return bytes((kind,)) + fixed + self.counted()

    def counted(self) -> bytes:
        """Take octets whose number stands in front of them."""
        return self.some(self.number())
