"""What the traffic programs share: addresses on the command line, stopping in order."""

import signal
import socket
from types import FrameType

Address = tuple[str, int]

WAKE_S = 0.05
DRAIN_S = 1.0


def address(text: str) -> Address:
    """Read `HOST:PORT`."""
    host, _, port = text.rpartition(":")
    return host, int(port)


class Stop:
    """Becomes true when the program is told to end."""

    def __init__(self) -> None:
        self._asked = False
        signal.signal(signal.SIGTERM, self._on_signal)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._asked = True

    def __bool__(self) -> bool:
        return self._asked


def udp_socket(local: Address) -> socket.socket:
    """Bind a non-blocking UDP socket with a buffer that outlasts a busy machine."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    sock.setblocking(False)
    sock.bind(local)
    return sock
