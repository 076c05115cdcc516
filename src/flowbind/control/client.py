"""The operator's end of the control socket: one request, one answer, one line each."""

import socket
from pathlib import Path
from typing import Final

import msgspec

from flowbind.control.messages import Request, Response
from flowbind.model.encoding import to_json

TIMEOUT_S: Final = 10.0
MAX_ANSWER_OCTETS: Final = 1 << 28


class ControlError(Exception):
    """No daemon could be asked, or what it answered cannot be read. One line for the operator."""


def ask(path: Path, request: Request) -> Response:
    """Send a request to the daemon at `path` and return its answer. Raises ControlError."""
    try:
        line = _exchange(path, to_json(request) + b"\n")
    except FileNotFoundError:
        raise ControlError(f"{path}: no daemon runs here") from None
    except ConnectionRefusedError:
        raise ControlError(f"{path}: the daemon that made this socket has ended") from None
    except TimeoutError:
        raise ControlError(f"{path}: no answer within {TIMEOUT_S:g} s") from None
    except OSError as error:
        raise ControlError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    try:
        response: Response = msgspec.json.decode(line, type=Response)
    except msgspec.MsgspecError as error:
        raise ControlError(f"{path}: an answer that makes no sense: {error}") from error
    return response


def _exchange(path: Path, line: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(TIMEOUT_S)
        connection.connect(str(path))
        connection.sendall(line)
        with connection.makefile("rb") as answers:
            return answers.readline(MAX_ANSWER_OCTETS)
