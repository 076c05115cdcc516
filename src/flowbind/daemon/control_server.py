"""The control socket: one line of JSON in, one line of JSON out, as often as the operator likes."""

import asyncio
import logging
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from flowbind.control.messages import Failed, Request, Response
from flowbind.daemon.errors import DaemonError
from flowbind.model.encoding import to_json

_log = logging.getLogger("flowbind")

_MAX_REQUEST_OCTETS: Final = 1 << 20
_SOCKET_MODE: Final = 0o600

Answer = Callable[[Request], Coroutine[Any, Any, Response]]


class ControlServer:
    """Answers whoever may open the socket: root, unless its owner is changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket = _bind(path)
        self._answer: Answer = _not_yet
        self._server: asyncio.Server | None = None

    async def start(self, answer: Answer) -> None:
        """Begin to answer."""
        self._answer = answer
        self._server = await asyncio.start_unix_server(
            self._serve, sock=self._socket, limit=_MAX_REQUEST_OCTETS
        )

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, ValueError):
            # ValueError: the line is longer than any request is.
            while line := await reader.readline():
                request = read_request(line)
                if isinstance(request, Failed):
                    response: Response = request
                else:
                    response = await self._answer(request)
                writer.write(to_json(response) + b"\n")
                await writer.drain()
        writer.close()

    def close(self) -> None:
        """Answer no more, and remove the socket."""
        if self._server is not None:
            self._server.close()
        self._socket.close()
        self._path.unlink(missing_ok=True)


def read_request(line: bytes) -> Request | Failed:
    """Read one line, whatever is in it: a request, or why it is none."""
    try:
        request: Request = msgspec.json.decode(line, type=Request)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        # Text that is no UTF-8, and brackets in brackets without end, are no MsgspecError.
        return Failed(f"not a request: {error}")
    return request


async def _not_yet(_request: Request) -> Response:
    return Failed("the daemon is starting")


def _bind(path: Path) -> socket.socket:
    _clear(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        listener.bind(str(path))
        path.chmod(_SOCKET_MODE)
    except OSError as error:
        listener.close()
        raise DaemonError(f"{path}: {error.strerror or error}") from error
    return listener


def _clear(path: Path) -> None:
    """Remove a socket that a crash left behind. Raises DaemonError if somebody listens there."""
    if not path.exists():
        return
    if not path.is_socket():
        raise DaemonError(f"{path}: there is a file that is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock:
        try:
            knock.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)
            return
    raise DaemonError(f"{path}: another daemon answers here")
