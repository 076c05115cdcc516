"""The stage of the story: the topology, both daemons, the traffic, the observers."""

import sys
from pathlib import Path

from flowbind.lab import agents, observe, processes, topology
from flowbind.lab.agents import Agent, wait_until
from flowbind.lab.errors import LabError
from flowbind.lab.observe import FlowKey, FlowMatch, Observation
from flowbind.lab.signalling import SignallingTail
from flowbind.lab.traffic.tally import Ledger

FAN_UDP, FAN_TCP = 380, 20
FAN_PACE = 2.0
RTP_PACE, SIP_PACE, TELEMETRY_PACE = 200, 20, 50

_TCP, _UDP = 6, 17
_RTP_PORT, _SIP_PORT, _TELEMETRY_PORT = 16384, 5060, 9999
_FAN_PORT, _FAN_PORTS = 7000, 10
_FAN_LOCAL_PORT = 20000
_TELEMETRY_LOCAL_PORT = 30000
_READY_S = 15.0

FLOWS: dict[str, tuple[FlowMatch, ...]] = {
    "sip": (FlowMatch(_UDP, (5060, 5061)),),
    "rtp": (FlowMatch(_UDP, (16384, 16484)),),
    "http": (FlowMatch(_TCP, (80, 80)),),
    "telemetry": (FlowMatch(_UDP, (_TELEMETRY_PORT, _TELEMETRY_PORT)),),
    "unnamed": (
        FlowMatch(_UDP, (_FAN_PORT, _FAN_PORT + _FAN_PORTS - 1)),
        FlowMatch(_TCP, (_FAN_PORT, _FAN_PORT + _FAN_PORTS - 1)),
    ),
}

TITLES = {
    "sip": "voice: SIP",
    "rtp": "voice: RTP",
    "http": "HTTP download",
    "unnamed": f"{FAN_UDP + FAN_TCP} flows no rule names",
    "telemetry": "telemetry",
}


class Stage:
    """Everything that runs. `close` ends it and removes it, whatever state it is in."""

    def __init__(self, signalling_pcap: Path | None = None) -> None:
        self.home_agent = Agent(agents.HOME_AGENT)
        self.mobile_node = Agent(agents.MOBILE_NODE)
        self.observation = Observation(FLOWS)
        self.ledger = Ledger()
        self.signalling_pcap = signalling_pcap or observe.CAPTURE_DIRECTORY / "signalling.pcap"
        self.signalling = SignallingTail(self.signalling_pcap)
        self.last_paths: dict[FlowKey, str] = {}
        self._captures: list[observe.Capture] = []
        self._senders: list[processes.Process] = []
        self._receivers: list[processes.Process] = []

    def open(self) -> None:
        """Build the topology, start the observers and both daemons."""
        topology.build()
        agents.write_configurations()
        self._captures = observe.start_access_captures()
        for capture in self._captures:
            self.observation.watch(capture.name, capture.path)
        self._captures.append(observe.start_signalling_capture(self.signalling_pcap))
        self.home_agent.start()
        self.mobile_node.start()

    def start_traffic(self) -> None:
        """Start voice, the download and the fan; they run until `stop_traffic`."""
        here, there = topology.HOME_ADDRESS, topology.CORRESPONDENT
        streams = (("rtp", _RTP_PORT, RTP_PACE, 172), ("sip", _SIP_PORT, SIP_PACE, 400))
        self._start_streams("voice", streams)
        self._start("correspondent", "serve", f"{there}:80", receiver=False)
        self._start("mobile-node", "download", f"{here}:40080", f"{there}:80", receiver=True)
        self._start("correspondent", "echo", there, str(_FAN_PORT), receiver=True)
        self._start(
            "mobile-node", "fan", "--udp", str(FAN_UDP), "--tcp", str(FAN_TCP),
            "--pace", str(FAN_PACE), f"{here}:{_FAN_LOCAL_PORT}", f"{there}:{_FAN_PORT}",
            receiver=False,
        )  # fmt: skip

    def start_telemetry(self) -> None:
        """Start the stream that phase 6 drops."""
        self._start_streams("telemetry", (("telemetry", _TELEMETRY_PORT, TELEMETRY_PACE, 100),))

    def _start_streams(self, name: str, streams: tuple[tuple[str, int, int, int], ...]) -> None:
        def specs(here: str, there: str) -> list[str]:
            found: list[str] = []
            for flow, port, pace, size in streams:
                ports = {topology.CORRESPONDENT: port, topology.HOME_ADDRESS: _local_port(port)}
                found.append(f"{flow},{here}:{ports[here]},{there}:{ports[there]},{pace},{size}")
            return found

        home, correspondent = topology.HOME_ADDRESS, topology.CORRESPONDENT
        self._start(
            "correspondent", "stream", "--answer", *specs(correspondent, home), name=name,
            receiver=False,
        )  # fmt: skip
        self._start("mobile-node", "stream", *specs(home, correspondent), name=name, receiver=False)

    def _start(
        self, node: str, program: str, *arguments: str, receiver: bool, name: str = ""
    ) -> None:
        process = processes.start(
            node,
            f"{name or program}-{node}",
            [sys.executable, "-m", "flowbind.lab.traffic", program, *arguments],
        )
        self.ledger.watch(process.output)
        (self._receivers if receiver else self._senders).append(process)
        wait_until(
            f"{process.name} is ready ({process.last_words()})",
            lambda: self.ledger.is_ready(process.output) or process.ended(),
            _READY_S,
        )
        if process.ended():
            raise LabError(f"{process.name} ended: {process.last_words()}")

    def stop_traffic(self) -> list[str]:
        """Stop sending, let everything arrive, and name the programs that had ended early."""
        early = [each.name for each in (*self._senders, *self._receivers) if each.ended()]
        for group in (self._senders, self._receivers):
            for process in group:
                process.ask_to_end()
            for process in group:
                process.stop()
            group.clear()
        self.ledger.poll()
        return early

    def stop_captures(self) -> int:
        """End the captures, read them to their end, return how many packets they missed."""
        dropped = observe.dropped_by(self._captures)
        self._captures = []
        self.observation.poll()
        self.signalling.poll()
        return dropped

    def close(self) -> None:
        """End every process of the lab and remove all that it made."""
        take_down()


def _local_port(port: int) -> int:
    # Voice uses the same port at both ends, as SIP and RTP do.
    return _TELEMETRY_LOCAL_PORT if port == _TELEMETRY_PORT else port


def take_down() -> int:
    """Remove the lab, whoever built it; return how many processes there were to end."""
    ended = processes.end_all()
    topology.remove()
    return ended
