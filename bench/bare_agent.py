"""What Python can do at all: receive, verify, reply, and remember nothing.

The yardstick for the home agent: the same requests, the same processor, and neither bindings, nor
tunnels, nor a disk.
"""

import socket
import sys

from bench import mobile_nodes
from bench.network import HOME_AGENT

PORT = 4340
_MAX_DATAGRAM = 2048
_HOME_ADDRESS = slice(4, 8)


def main() -> None:
    """Answer until ended by a signal; the argument is the number of mobile nodes."""
    keys = mobile_nodes.keys(int(sys.argv[1]))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as agent:
        agent.bind((HOME_AGENT, PORT))
        print("ready", flush=True)
        while True:
            payload, sender = agent.recvfrom(_MAX_DATAGRAM)
            reply = mobile_nodes.reply_to(payload, keys[payload[_HOME_ADDRESS]])
            if reply is not None:
                agent.sendto(reply, sender)


if __name__ == "__main__":
    main()
