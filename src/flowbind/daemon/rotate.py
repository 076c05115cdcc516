"""`flowbind key rotate`: the next key of a node, and how both ends come to use it (RFC 5944 5.1).

The key goes into a file and nowhere else. No configuration is touched: what is printed are the
lines to put there, in an order in which neither end ever sends what the other does not take.
"""

import json
import os
import secrets
import sys
import tomllib
from collections.abc import Mapping
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from flowbind.auth.association import (
    FIRST_USABLE_SPI,
    KEY_OCTETS,
    LAST_SPI,
    SecurityAssociation,
)
from flowbind.daemon.config import ConfigError, HomeAgentSettings, read_settings
from flowbind.model.config import MobileNodeConfig, MobileNodeEntry

_OK: Final = 0
_FAILED: Final = 1
_UNUSABLE: Final = 2

_PLAN: Final = """\
new key for {node}, SPI {spi}, mode 0600: {file}

Copy it to the other machine by a way that nobody reads (scp), mode 0600 there too. After each step
let `flowbind check` read the file before you restart the daemon; what forwards goes on meanwhile.

1  At the home agent: behind the other keys of [[mobile-node]] {node} add

     [[mobile-node.association]]
     spi = {spi}
     key-file = {key_file}

   and restart the home agent. From now on it takes the old key and the new one.

2  At the mobile node: in [mobile-node], in the place of spi = {old} and its key or key-file, put

     spi = {spi}
     key-file = {key_file}

   and restart the mobile node. `flowbind status` there must count `accepted` before you go on.

3  At the home agent: remove what you added, put the same two lines as in step 2 in the place of
   spi = {old} and its key or key-file, and restart the home agent. Nobody takes the old key any
   more: remove it at both ends."""


class _Node(Struct, frozen=True):
    """A mobile node as one of the two ends is configured for it; `table` is what TOML says."""

    home_address: IPv4Address | None
    nai: str | None
    associations: tuple[SecurityAssociation, ...]
    table: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What an operator knows it by."""
        return str(self.home_address or self.nai)


def run_rotate(path: Path, name: str | None) -> int:
    """Make the next key of a node and print what is to be done; return the exit status."""
    try:
        plan = rotate(path, name)
    except ConfigError as error:
        for problem in error.problems:
            sys.stderr.write(f"flowbind: {problem}\n")
        return _UNUSABLE
    except OSError as error:
        sys.stderr.write(f"flowbind: {error.filename}: {error.strerror}\n")
        return _FAILED
    sys.stdout.write(plan + "\n")
    return _OK


def rotate(path: Path, name: str | None) -> str:
    """Write the next key of a node into a new file beside its present one; return the plan.

    `path` is the configuration of either end; at a home agent `name` is the home address or the NAI
    of the node. Raises ConfigError, also while the node has several associations, and OSError if
    there can be no such file, for instance since there is one already.
    """
    node = _node(path, name)
    old, *others = (each.spi for each in node.associations)
    if others:
        spis = ", ".join(map(str, (old, *others)))
        what = f"{node.name} has several associations (SPI {spis}): end that change first"
        raise ConfigError((f"{path}: {what}",))
    spi = _next_spi(old)
    key_file = _key_file(node, old, spi)
    file = path.parent / key_file
    _write_key(file)
    return _PLAN.format(
        node=node.name, spi=spi, old=old, file=file, key_file=_quoted(str(key_file))
    )


def _node(path: Path, name: str | None) -> _Node:
    settings = read_settings(path)
    # It has just been read without a problem: every table has become a node.
    tables = tomllib.loads(path.read_text("utf-8"))["mobile-node"]
    nodes: list[MobileNodeEntry | MobileNodeConfig]
    if isinstance(settings, HomeAgentSettings):
        nodes = [*settings.engine.mobile_nodes]
    else:
        nodes = [settings.engine]
        tables = [tables]
    found = [
        _Node(node.home_address, node.nai, node.associations, table)
        for node, table in zip(nodes, tables, strict=True)
        if name in {None, str(node.home_address), node.nai}
    ]
    if len(found) != 1:
        wanted = "has several mobile nodes: say which by --home-address or --nai"
        what = f"has no mobile node {name}" if name else wanted
        raise ConfigError((f"{path}: {what}",))
    return found[0]


def _next_spi(old: int) -> int:
    return old + 1 if old < LAST_SPI else FIRST_USABLE_SPI


def _key_file(node: _Node, old: int, spi: int) -> Path:
    """Name the new file after the present one, as node5, node5-257, node5-258, and so on."""
    present = node.table.get("key-file")
    if present is None:
        return Path(f"{node.name.replace('/', '_')}-{spi}.key")
    name = Path(present).name.removesuffix(f"-{old}")
    return Path(present).with_name(f"{name}-{spi}")


def _write_key(file: Path) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as opened:
        opened.write(secrets.token_hex(KEY_OCTETS) + "\n")
        opened.flush()
        os.fsync(descriptor)


def _quoted(text: str) -> str:
    """Write a printable text as a basic string of TOML, which JSON's are too."""
    return json.dumps(text, ensure_ascii=False)
