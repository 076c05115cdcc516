"""The command line of the traffic programs."""

import argparse

from flowbind.lab.traffic import download, fan, stream
from flowbind.lab.traffic.running import address


def main() -> None:
    """Run one program until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m flowbind.lab.traffic")
    programs = parser.add_subparsers(dest="program", required=True)

    command = programs.add_parser("stream", help="two-way UDP streams")
    command.add_argument("--answer", action="store_true", help="begin when the other end does")
    command.add_argument("streams", nargs="+", type=stream.parse_spec)

    command = programs.add_parser("serve", help="serve the download")
    command.add_argument("--flow", default="http")
    command.add_argument("local", type=address)

    command = programs.add_parser("download", help="fetch and check it")
    command.add_argument("--flow", default="http")
    command.add_argument("local", type=address)
    command.add_argument("peer", type=address)

    command = programs.add_parser("echo", help="send back what comes")
    command.add_argument("host")
    command.add_argument("port", type=int)
    command.add_argument("--ports", type=int, default=10)

    command = programs.add_parser("fan", help="many small flows")
    command.add_argument("--flow", default="unnamed")
    command.add_argument("--udp", type=int, default=380)
    command.add_argument("--tcp", type=int, default=20)
    command.add_argument("--ports", type=int, default=10)
    command.add_argument("--pace", type=float, default=2.0)
    command.add_argument("local", type=address)
    command.add_argument("peer", type=address)

    _run(parser.parse_args())


def _run(given: argparse.Namespace) -> None:
    match given.program:
        case "stream":
            stream.run(given.streams, answering=given.answer)
        case "serve":
            download.serve(given.local, given.flow)
        case "download":
            download.download(given.local, given.peer, given.flow)
        case "echo":
            fan.echo(given.host, range(given.port, given.port + given.ports))
        case _:
            fan.fan(
                fan.FanSpec(
                    flow=given.flow,
                    local=given.local,
                    peer=given.peer,
                    ports=given.ports,
                    udp=given.udp,
                    tcp=given.tcp,
                    pace=given.pace,
                )
            )


if __name__ == "__main__":
    main()
