"""A daemon that speaks the control protocol and nothing else; the command line to ask it."""

import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from flowbind.cli import operator
from flowbind.cli.main import main
from flowbind.control.messages import Request, Response


class Daemon:
    """Answers every request with `answer` and keeps what it was asked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answer: Response | bytes = b""
        self.asked: list[Request] = []
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._server.bind(str(path))
        self._server.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._server.accept()
            with connection, connection.makefile("rb") as lines:
                line = lines.readline()
                if not line:
                    return
                self.asked.append(msgspec.json.decode(line, type=Request))
                answer = self.answer
                octets = answer if isinstance(answer, bytes) else msgspec.json.encode(answer)
                connection.sendall(octets + b"\n")

    def close(self) -> None:
        # A connection that says nothing ends the thread.
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as last:
            last.connect(str(self.path))
        self._thread.join()
        self._server.close()


@pytest.fixture
def run_directory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    # tmp_path may be longer than the 107 octets that the name of a socket can have.
    with tempfile.TemporaryDirectory(prefix="fb") as directory:
        monkeypatch.setattr(operator, "RUN_DIRECTORY", Path(directory))
        yield Path(directory)


@pytest.fixture
def start_daemon(run_directory: Path) -> Iterator[Callable[[str], Daemon]]:
    """Start a daemon of the given role at its default socket."""
    started: list[Daemon] = []

    def start(role: str) -> Daemon:
        started.append(Daemon(run_directory / f"{role}.sock"))
        return started[-1]

    yield start
    for daemon in started:
        daemon.close()


@pytest.fixture
def mobile_node(start_daemon: Callable[[str], Daemon]) -> Daemon:
    return start_daemon("mobile-node")


class Outcome(msgspec.Struct):
    """What one command did."""

    status: int
    out: str
    err: str


Flowbind = Callable[..., Outcome]


@pytest.fixture
def flowbind(capsys: pytest.CaptureFixture[str]) -> Flowbind:
    """Run the command line as a shell would."""

    def run(*arguments: str) -> Outcome:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        captured = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Outcome(ended.value.code, captured.out, captured.err)

    return run
