"""Octets read as choices, so that a fuzzer that changes octets changes what happens."""


class Octets:
    """Reads choices in order. Where nothing is left, every choice is the first one."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> bool:
        """Whether there is anything left."""
        return self._at < len(self._data)

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

    def counted(self) -> bytes:
        """Take octets whose number stands in front of them."""
        return self.some(self.number())
