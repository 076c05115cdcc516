"""`flowbind check --machine`: can this host forward? Nothing is started or changed.

The JSON object is documented in docs/json.md and only ever grows.
"""

import os
import sys
from typing import Final

from msgspec import Struct

from flowbind.dataplane.base import Attach
from flowbind.dataplane.ebpf.machine import attaches_by_links, missing
from flowbind.dataplane.ebpf.plane import OBJECT
from flowbind.model.encoding import to_json

_OK: Final = 0
_LACKING: Final = 1
_TCX: Final = "tcx"


class MachineReport(Struct, frozen=True, kw_only=True):
    """`attach` is how programs would be attached, None if something is missing."""

    ok: bool
    kernel: str
    attach: str | None
    missing: tuple[str, ...]


def run_machine_check(*, as_json: bool) -> int:
    """Print whether this host can forward, or all that is missing; return the exit status."""
    report = _look()
    if as_json:
        sys.stdout.write(to_json(report).decode() + "\n")
    elif report.ok:
        sys.stdout.write(f"Linux {report.kernel}: can forward, programs at {report.attach}\n")
    for line in report.missing:
        sys.stderr.write(f"flowbind: {line}\n")
    return _OK if report.ok else _LACKING


def _look() -> MachineReport:
    lines = missing(OBJECT)
    attach = None
    if not lines:
        attach = _TCX if attaches_by_links() else Attach.CLSACT.value
    return MachineReport(ok=not lines, kernel=os.uname().release, attach=attach, missing=lines)
