"""Words of an operator's text, and the numbers they stand for. Every error names its column."""

import re
from collections.abc import Callable
from typing import Final, TypeVar

from msgspec import Struct

from flowbind.model.match_words import CODE_POINTS, PROTOCOLS, SERVICES
from flowbind.wire.traffic_selector import Span

T = TypeVar("T")

_WORD: Final = re.compile(r"[^\s,]+|,")
_LONGEST_RANGE: Final = 64
_NUMBER: Final = re.compile(r"[0-9]{1,10}|0x[0-9a-f]{1,8}", re.ASCII)


class MatchError(ValueError):
    """A text that means nothing. `position` counts characters from 0, the message from 1."""

    def __init__(self, text: str, position: int, what: str) -> None:
        super().__init__(f"column {position + 1}: {what}")
        self.text = text
        self.position = position
        self.what = what


class Quantity(Struct, frozen=True):
    """A kind of number: what it is called, how large it gets and which names it goes by."""

    noun: str
    highest: int
    names: dict[str, int]

    def value(self, word: str) -> int | None:
        """Read a name or a number, decimal or 0x; None if it is neither."""
        if word in self.names:
            return self.names[word]
        if not _NUMBER.fullmatch(word):
            return None
        return int(word, 16 if word.startswith("0x") else 10)

    def span(self, word: str) -> Span:
        """Read a value or a range. Raises ValueError with what was expected."""
        ends = self._ends(word)
        if ends is None:
            raise ValueError(f"expected {self.noun}, found {word!r}")
        first, last = ends
        if max(first, last) > self.highest:
            raise ValueError(f"expected {self.noun} up to {self.highest}, found {max(first, last)}")
        if first > last:
            raise ValueError(f"the range {word} is reversed")
        return Span(first, None if first == last else last)

    def _ends(self, word: str) -> tuple[int, int] | None:
        value = self.value(word)
        if value is not None:
            return value, value
        # Names have hyphens of their own: `voice-admit-ef` is a range.
        for hyphen in re.finditer("-", word[:_LONGEST_RANGE]):
            first, last = self.value(word[: hyphen.start()]), self.value(word[hyphen.end() :])
            if first is not None and last is not None:
                return first, last
        return None

    def single(self, word: str) -> int:
        """Read one value. Raises ValueError with what was expected."""
        span = self.span(word)
        if span.end is not None:
            raise ValueError(f"expected {self.noun}, not a range")
        return span.start


PORT: Final = Quantity("a port", 0xFFFF, SERVICES)
PROTOCOL: Final = Quantity("a protocol", 0xFF, PROTOCOLS)
CODE_POINT: Final = Quantity("a DSCP", 0x3F, CODE_POINTS)
SPI: Final = Quantity("an SPI", 0xFFFFFFFF, {})
IDENTIFICATION: Final = Quantity("an Identification", 0xFFFF, {})
FLOW_LABEL: Final = Quantity("a flow label", 0xFFFFFF, {})


class Words:
    """The words of a text, taken one by one in lower case; a comma is a word of its own."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._found = [(each[0].lower(), each.start()) for each in _WORD.finditer(text)]
        self._next = 0

    @property
    def position(self) -> int:
        """Where the next word begins, or where one would be expected."""
        if self._next < len(self._found):
            return self._found[self._next][1]
        return len(self.text.rstrip())

    def peek(self) -> str | None:
        """Return the next word and leave it there."""
        return self._found[self._next][0] if self._next < len(self._found) else None

    def take(self, expected: str) -> str:
        """Take the next word, of which there must be one."""
        word = self.peek()
        if word is None:
            raise self.expected(expected)
        self._next += 1
        return word

    def take_if(self, *wanted: str) -> str | None:
        """Take the next word if it is one of these."""
        word = self.peek()
        if word not in wanted:
            return None
        self._next += 1
        return word

    def error(self, what: str, position: int | None = None) -> MatchError:
        """Make the error about the next word, or about what is at `position`."""
        return MatchError(self.text, self.position if position is None else position, what)

    def expected(self, what: str) -> MatchError:
        """Make the error that something else stands here."""
        word = self.peek()
        return self.error(f"expected {what}, found {'the end' if word is None else repr(word)}")

    def span(self, quantity: Quantity) -> Span:
        """Take a value or a range of a quantity."""
        return self._read(quantity, quantity.span)

    def value(self, quantity: Quantity) -> int:
        """Take one value of a quantity."""
        return self._read(quantity, quantity.single)

    def _read(self, quantity: Quantity, read: Callable[[str], T]) -> T:
        position = self.position
        word = self.take(quantity.noun)
        try:
            return read(word)
        except ValueError as problem:
            raise self.error(str(problem), position) from None
