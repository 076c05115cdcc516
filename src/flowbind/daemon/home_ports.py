"""The sockets that a mobile node deregisters from when it is at home (RFC 5944 3.6.1.1)."""

import logging
from collections.abc import Callable
from ipaddress import IPv4Address

from flowbind.daemon.errors import DaemonError
from flowbind.daemon.sockets import Port
from flowbind.effects import SendDatagram

_log = logging.getLogger("flowbind")


def _unheard(_port: Port) -> None:
    """Stand in for who listens, as long as nobody does."""


class HomePorts:
    """One for each interface that the node has sent from its home address on.

    `listen` is called with each that is opened. What has another source goes to `otherwise`.
    """

    def __init__(
        self,
        home_address: Callable[[], IPv4Address | None],
        otherwise: Callable[[SendDatagram], None],
    ) -> None:
        self._home_address = home_address
        self._otherwise = otherwise
        self._ports: dict[str, Port] = {}
        self.listen: Callable[[Port], None] = _unheard

    def send(self, datagram: SendDatagram) -> None:
        """Send a datagram out of the interface that it names."""
        name = datagram.interface
        if name is None or datagram.source != self._home_address():
            self._otherwise(datagram)
            return
        if name not in self._ports:
            try:
                self._ports[name] = Port(datagram.source, 0, name)
            except DaemonError as error:
                # As if it were lost: it is repeated.
                _log.debug("%s: %s", name, error)
                return
            self.listen(self._ports[name])
        self._ports[name].send(datagram)

    def close(self, interface: str) -> None:
        """Send nothing from the home address on this interface any more."""
        port = self._ports.pop(interface, None)
        if port is not None:
            port.close()

    def close_all(self) -> None:
        """Close every socket."""
        for interface in tuple(self._ports):
            self.close(interface)
