"""Real daemons on the hosts, from configurations that a test may change."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.netns.hosts import inside

KEYS = {"mn": "00112233445566778899aabbccddeeff", "mn2": "0123456789abcdef0123456789abcdef"}
NAMES = {"mn": "node5@fleet.example", "mn2": "node6@fleet.example"}
HOME_ADDRESSES = {"mn": "10.9.0.5", "mn2": "10.9.0.6"}
INTERFACES = {"mn": ("ha0", "ha1"), "mn2": ("ha0",)}
ROLES = {"ha": "home-agent", "mn": "mobile-node", "mn2": "mobile-node"}

Table = dict[str, object]


class Configured:
    """Daemons in the namespaces of their hosts.

    `tables` are the configurations by host: the daemon's own table first, then those behind it.
    """

    def __init__(self, directory: Path, pins: Path) -> None:
        self._directory, self._pins = directory, pins
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.tables: dict[str, list[tuple[str, Table]]] = {
            host: [
                ("[mobile-node]", {
                    "home-address": HOME_ADDRESSES[host], "home-agent": "198.51.100.1",
                    "spi": 256, "key": KEYS[host], "lifetime": "10s",
                }),
                *(("[[interface]]", {"name": name, "bid": bid, "access": "wlan"})
                  for bid, name in enumerate(INTERFACES[host], start=1)),
            ]
            for host in KEYS
        }  # fmt: skip
        self.tables["ha"] = [
            ("[home-agent]", {"address": "198.51.100.1", "home-networks": ["10.9.0.0/24"]}),
            *(("[[mobile-node]]", {"home-address": HOME_ADDRESSES[host], "spi": 256,
                                   "key": KEYS[host]}) for host in KEYS),
        ]  # fmt: skip
        for host in ROLES:
            self.change(
                host,
                socket=f"{directory}/{host}.sock",
                store=f"sqlite://{directory}/{host}.db",
                pin_path=f"{pins}/{host}",
            )

    def change(self, host: str, at: int = 0, **values: object) -> None:
        """Change values of a table of a host's configuration; None takes one out."""
        table = self.tables[host][at][1]
        for key, value in values.items():
            table[key.replace("_", "-")] = value
            if value is None:
                del table[key.replace("_", "-")]

    def start(self, host: str) -> None:
        path = self._directory / f"{host}.toml"
        path.write_text(
            "".join(
                f"{header}\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in table.items())
                for header, table in self.tables[host]
            )
        )
        with inside(host):
            self._running[host] = subprocess.Popen(
                [sys.executable, "-m", "flowbind.daemon", ROLES[host], "-c", str(path)]
            )

    def stop(self, host: str) -> None:
        process = self._running.pop(host)
        process.terminate()
        assert process.wait(10) == 0

    def stop_all(self) -> None:
        for host in tuple(self._running):
            self.stop(host)

    def ask(self, host: str, command: str) -> dict:
        """Ask a daemon with --json; nothing if it does not answer."""
        done = subprocess.run(
            [sys.executable, "-c", "from flowbind.cli.main import main; main()", command,
             "--json", "--socket", str(self._directory / f"{host}.sock")],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return json.loads(done.stdout) if done.returncode == 0 else {}

    def counted(self, host: str, name: str) -> int:
        return int(self.ask(host, "status")["counters"].get(name, 0))

    def up(self, host: str, paths: int) -> str:
        """Wait until so many paths of a node are up; returns its home address."""
        until = time.monotonic() + 20
        rows = []
        while time.monotonic() < until:
            rows = self.ask(host, "paths").get("paths", [])
            if sum(row["state"] == "up" for row in rows) == paths:
                return str(self.ask(host, "status")["home_address"])
            time.sleep(0.1)
        pytest.fail(f"{host}: not {paths} paths up: {rows}")
