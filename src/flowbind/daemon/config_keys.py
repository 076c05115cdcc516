"""Security associations of a configuration: the key in it, or in a file that only its owner reads.

No key is part of any message here, not even a wrong one.
"""

import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from flowbind.auth.aaa import CHAP_SPI, AaaAssociation
from flowbind.auth.association import (
    FIRST_USABLE_SPI,
    KEY_OCTETS,
    LAST_SPI,
    Algorithm,
    Replay,
    SecurityAssociation,
)
from flowbind.daemon import config_values as values
from flowbind.daemon.config_reader import Findings, Found, Key, read_table

_LONGEST_FILE_OCTETS: Final = 4096
OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO

_SPI: Final = "spi"
_KEY: Final = "key"
_KEY_FILE: Final = "key_file"
_AAA_SPI: Final = "aaa_spi"
_AAA_KEY: Final = "aaa_key"
_AAA_KEY_FILE: Final = "aaa_key_file"
_ALGORITHM: Final = "algorithm"
_TOLERANCE: Final = "timestamp_tolerance_s"
_REPLAY: Final = "replay"
_PROPERTIES: Final = (_ALGORITHM, _TOLERANCE, _REPLAY)
_FURTHER: Final = "association"
_FURTHER_HEADER: Final = "mobile-node.association"

ASSOCIATION_KEYS: Final = (
    Key("spi", _SPI, values.number(FIRST_USABLE_SPI, LAST_SPI), required=True),
    Key("key", _KEY, values.key),
    Key("key-file", _KEY_FILE, values.file_path),
    Key("algorithm", _ALGORITHM, values.member_of(Algorithm)),
    Key("replay", _REPLAY, values.member_of(Replay)),
)
AAA_KEYS: Final = (
    Key("aaa-key", _AAA_KEY, values.key),
    Key("aaa-key-file", _AAA_KEY_FILE, values.file_path),
    Key("aaa-spi", _AAA_SPI, values.number_or(CHAP_SPI, FIRST_USABLE_SPI, LAST_SPI)),
)
FURTHER_KEY: Final = Key(_FURTHER, _FURTHER, values.tables(_FURTHER_HEADER))
"""The array of further associations, in tables with the same keys."""
TOLERANCE_KEY: Final = Key("timestamp-tolerance", _TOLERANCE, values.duration("1s", "1h"))


class Keys:
    """The keys that a configuration file holds or names.

    Relative paths begin at `directory`, the configuration's own. `exposed`: others can read it.
    """

    def __init__(self, findings: Findings, directory: Path, *, exposed: bool) -> None:
        self._findings = findings
        self._directory = directory
        self._exposed = exposed

    def associations(
        self, where: str, table: Mapping[str, object], found: Found, keys: Sequence[Key]
    ) -> tuple[SecurityAssociation, ...]:
        """Take a node's associations out of `found`: the table's own, then those of its array.

        `keys` are those of a table of the array. What stands in none of them is as in the table
        itself, but for SPI and key. What is missing or wrong is noted and left out.
        """
        defaults = {name: found[name] for name in _PROPERTIES if name in found}
        associations = [self._association(where, set(table), found)]
        spis = {each.spi for each in associations if each}
        for position, further in enumerate(found.pop(_FURTHER, ()), 1):
            inside = f"{where}: [[{_FURTHER_HEADER}]] {position}"
            read = defaults | read_table(self._findings, inside, further, keys)
            association = self._association(inside, set(further), read)
            if association and association.spi in spis:
                what = f"spi: an association before has {association.spi} already"
                self._findings.problem(inside, what)
            spis |= {association.spi} if association else set()
            associations.append(association)
        return tuple(each for each in associations if each)

    def aaa(self, where: str, table: Mapping[str, object], found: Found) -> AaaAssociation | None:
        """Take a node's AAA key out of `found`, None if it has none (RFC 4721)."""
        spi: int | None = found.pop(_AAA_SPI, None)
        inline: bytes | None = found.pop(_AAA_KEY, None)
        path: str | None = found.pop(_AAA_KEY_FILE, None)
        given = [each.name for each in AAA_KEYS if each.name in table]
        if not given:
            return None
        if ("aaa-key" in given) == ("aaa-key-file" in given):
            both = "both are there" if "aaa-key" in given else "neither is there"
            self._findings.problem(where, f"expected either aaa-key or aaa-key-file, {both}")
            return None
        key = self._from_file(where, path, "aaa-key-file") if path is not None else inline
        if key is None:
            return None
        if inline is not None and self._exposed:
            self._findings.warn(where, "aaa-key: others than its owner can read this file")
        return AaaAssociation(CHAP_SPI if spi is None else spi, key)

    def _association(self, where: str, given: set[str], found: Found) -> SecurityAssociation | None:
        """Take what makes an association out of `found`; `given` are the names in the table."""
        fields = {name: found.pop(name) for name in _PROPERTIES if name in found}
        spi: int | None = found.pop(_SPI, None)
        inline: bytes | None = found.pop(_KEY, None)
        path: str | None = found.pop(_KEY_FILE, None)
        if len(given & {"key", "key-file"}) != 1:
            both = "both are there" if "key" in given else "neither is there"
            self._findings.problem(where, f"expected either key or key-file, {both}")
            return None
        key = self._from_file(where, path) if path is not None else inline
        if key is None or spi is None:
            return None
        if len(key) < KEY_OCTETS:
            what = f"the key has {len(key)} octets, fewer than the {KEY_OCTETS} of RFC 5944"
            self._findings.warn(where, what)
        if inline is not None and self._exposed:
            self._findings.warn(where, "key: others than its owner can read this file")
        return SecurityAssociation(spi=spi, key=key, **fields)

    def _from_file(self, where: str, path: str, name: str = "key-file") -> bytes | None:
        file = self._directory / path
        try:
            text, mode = _read(file)
            key = values.key(text.strip())
        except OSError as error:
            self._findings.problem(where, f"{name}: {file}: {error.strerror or 'cannot be read'}")
            return None
        except ValueError as error:
            self._findings.problem(where, f"{name}: {file}: {error}")
            return None
        if mode & OTHERS:
            self._findings.warn(where, f"{name}: {file}: others than its owner can read it")
        return key


def _read(file: Path) -> tuple[str, int]:
    """Return a file's text and mode. A pipe would make us wait for whoever writes into it."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as opened:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise ValueError("not a regular file")
        # Octets that are not ASCII become characters that are not hexadecimal.
        return opened.read(_LONGEST_FILE_OCTETS).decode("latin-1"), mode
