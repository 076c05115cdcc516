"""The control socket: real sockets, a real event loop, and hostile lines."""

import asyncio
import socket
import stat
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from flowbind.control.client import ControlError, ask
from flowbind.control.messages import (
    Done,
    Failed,
    FlowsRequest,
    RegisterRequest,
    Response,
    StatusRequest,
)
from flowbind.daemon.control_server import ControlServer
from flowbind.daemon.errors import DaemonError


@pytest.fixture
def path():
    # tmp_path may be longer than the 107 octets that the name of a socket can have.
    with tempfile.TemporaryDirectory(prefix="fb") as directory:
        yield Path(directory) / "run" / "daemon.sock"


async def say_it_again(request):
    return Done(repr(request))


def serving(path, talk, answer=say_it_again):
    """Serve while `talk` runs in another thread; return what it returned."""

    async def main():
        server = ControlServer(path)
        try:
            await server.start(answer)
            return await asyncio.to_thread(talk)
        finally:
            server.close()

    return asyncio.run(main())


def lines(path, octets, count):
    """Send octets, return the lines that come back."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(5)
        connection.connect(str(path))
        connection.sendall(octets)
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as answers:
            return [answers.readline() for _ in range(count)]


def test_a_request_is_answered(path):
    request = RegisterRequest("wlan0")
    assert serving(path, lambda: ask(path, request)) == Done(repr(request))


def test_one_connection_may_ask_often(path):
    found = serving(path, lambda: lines(path, b'{"type":"status"}\n' * 3, 4))
    assert [bool(line) for line in found] == [True, True, True, False]


def test_only_its_owner_may_open_the_socket(path):
    mode = serving(path, lambda: stat.S_IMODE(path.stat().st_mode))
    assert mode == 0o600


def test_the_socket_goes_with_the_daemon(path):
    serving(path, lambda: None)
    assert not path.exists()


@pytest.mark.parametrize(
    "octets",
    [
        b"\n",
        b"{}\n",
        b"\xff\xfe\n",
        b'{"type":"shutdown"}\n',
        b'{"type":"register","x":[[[\n',
        b'{"type":"status","x":' + 10_000 * b"[" + b"\n",
        b'{"type":"sta\xfftus"}\n',
    ],
    ids=["empty", "untyped", "binary", "unknown", "unfinished", "deep", "not-utf-8"],
)
def test_nonsense_is_refused_in_one_line_and_the_next_request_answered(path, octets):
    found = serving(path, lambda: lines(path, octets + b'{"type":"status"}\n', 2))
    assert b'"failed"' in found[0]
    assert b'"done"' in found[1]


def test_a_line_without_end_is_cut_off(path):
    def talk():
        with suppress(OSError):
            lines(path, b"x" * (2 << 20), 1)
        return ask(path, StatusRequest())

    assert serving(path, talk) == Done(repr(StatusRequest()))


def test_a_request_before_the_daemon_is_ready_is_told_so(path):
    server = ControlServer(path)
    told = asyncio.run(server._answer(StatusRequest()))
    assert told == Failed("the daemon is starting")
    server.close()


def test_one_that_waits_for_its_answer_keeps_nobody_else_waiting(path):
    asked = threading.Event()
    others_are_answered = asyncio.Event()
    answered: list[Response] = []

    async def answer(request):
        if isinstance(request, FlowsRequest):
            asked.set()
            await others_are_answered.wait()
        else:
            others_are_answered.set()
        return Done(repr(request))

    def talk():
        slow = threading.Thread(target=lambda: answered.append(ask(path, FlowsRequest())))
        slow.start()
        assert asked.wait(5)
        answer_to_other = ask(path, StatusRequest())
        slow.join(5)
        return [answer_to_other, *answered]

    assert serving(path, talk, answer) == [Done(repr(StatusRequest())), Done(repr(FlowsRequest()))]


def test_the_socket_of_a_crashed_daemon_is_replaced(path):
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(path))
    with pytest.raises(ControlError, match="has ended"):
        ask(path, StatusRequest())
    assert serving(path, lambda: ask(path, StatusRequest())) == Done(repr(StatusRequest()))


def test_a_daemon_that_lives_is_not_displaced(path):
    def talk():
        with pytest.raises(DaemonError, match="another daemon answers"):
            ControlServer(path)
        return ask(path, StatusRequest())

    assert isinstance(serving(path, talk), Done)


def test_a_file_in_the_way_is_left_alone(path):
    path.parent.mkdir()
    path.write_text("precious")
    with pytest.raises(DaemonError, match="no socket"):
        ControlServer(path)
    assert path.read_text() == "precious"


def test_a_path_that_is_too_long_is_named(path):
    with pytest.raises(DaemonError, match="too long"):
        ControlServer(path.parent / ("x" * 120))


def test_nobody_there_is_said(path):
    with pytest.raises(ControlError, match="no daemon runs here"):
        ask(path, StatusRequest())
