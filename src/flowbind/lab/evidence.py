"""What must hold of the captures as a whole, whatever the phases found."""

import subprocess
import sys
from pathlib import Path

from flowbind.lab import agents, observe, topology
from flowbind.lab.errors import LabError
from flowbind.lab.signalling import disagreements_of_tshark
from flowbind.lab.stage import Stage

_DECODE = "from flowbind.cli.main import main; main()"
_SHOWN = 5


def check_evidence(stage: Stage) -> tuple[list[str], list[str]]:
    """End the captures and check them; return what holds and what does not."""
    holds: list[str] = []
    fails: list[str] = []
    for check in (
        _captures_whole,
        _nothing_leaked,
        _encapsulated_as_agreed,
        _decoded_whole,
        _tshark_agrees,
    ):
        try:
            holds.append(check(stage))
        except LabError as error:
            fails.append(str(error))
    return holds, fails


def _captures_whole(stage: Stage) -> str:
    dropped = stage.stop_captures()
    if dropped:
        raise LabError(f"the captures missed {dropped} packets, so the counts are too low")
    return "the captures missed no packet"


def _nothing_leaked(stage: Stage) -> str:
    leaked = sum(stage.observation.leaked.values())
    if leaked:
        raise LabError(f"{leaked} packets bore the home address outside of a tunnel")
    return "no packet bore the home address outside of a tunnel"


def _encapsulated_as_agreed(stage: Stage) -> str:
    seen = {each.name: stage.observation.tunnels(each.name) for each in topology.ACCESSES}
    strays = {
        each.name: seen[each.name]
        for each in topology.ACCESSES
        if seen[each.name].keys() != {each.encapsulation}
    }
    if strays:
        raise LabError(f"packets in an encapsulation that was not negotiated: {strays}")
    counts = (
        f"{sum(seen[each.name].values())} by {each.encapsulation} over {each.title}"
        for each in topology.ACCESSES
    )
    return f"every path used its encapsulation: {', '.join(counts)}"


def _decoded_whole(stage: Stage) -> str:
    signals = stage.signalling.signals
    refused = stage.signalling.refused()
    if refused or not signals:
        raise LabError(f"{len(refused)} of {len(signals)} messages not decoded: {refused[:_SHOWN]}")
    key = f"{agents.SPI}={agents.KEY_FILE.read_text().strip()}"
    command = [sys.executable, "-c", _DECODE, "decode", str(stage.signalling_pcap), "--key", key]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise LabError(f"flowbind decode failed: {said[-1] if said else done.returncode}")
    return f"flowbind decode reads all {len(signals)} messages and verifies their authenticators"


def _tshark_agrees(stage: Stage) -> str:
    signals = stage.signalling.signals
    copy = Path(observe.CAPTURE_DIRECTORY / "signalling-without-type-154.pcap")
    found = disagreements_of_tshark(signals, copy)
    if found:
        raise LabError(f"tshark disagrees {len(found)} times: {'; '.join(found[:_SHOWN])}")
    return f"tshark agrees field by field on all {len(signals)} messages without type 154"
