"""Where our programs are attached, in one of the two ways, and how one becomes the other.

The kernel asks the programs of TCX first, and the filters at clsact only about packets that all of
those have passed on (TC_ACT_UNSPEC). So the new way is made before the old one goes: what the first
program takes the second never sees, and what the first passes on the second passes on as well. The
qdisc of the filters stays until nothing is attached any more, for the kernel drops packets when it
makes or removes one.
"""

from pathlib import Path

from flowbind.dataplane.base import Attach
from flowbind.dataplane.ebpf.filters import Filters
from flowbind.dataplane.ebpf.libbpf import Library
from flowbind.dataplane.ebpf.links import Links, kernel_has_links
from flowbind.dataplane.ebpf.pins import LINKS, QDISCS


class Attachments:
    """The programs of one plane, whose pins are below `path`. `handle` is that of its filters."""

    def __init__(self, library: Library, path: Path, handle: int, attach: Attach) -> None:
        self._filters = Filters(library, handle, path / QDISCS)
        self._links = Links(library, path / LINKS)
        self._use_links = attach is Attach.AUTO and kernel_has_links(library)
        for each in (self._links, self._filters):
            each.forget_gone()

    def attach(self, interface: str, attach_point: int, program_fd: int) -> None:
        """Attach a program, or put it in the place of ours in one step. Raises DataPlaneError."""
        both: tuple[Links | Filters, ...] = (self._links, self._filters)
        new, old = both if self._use_links else reversed(both)
        new.attach(interface, attach_point, program_fd)
        old.detach(interface, attach_point)

    def detach(self, interface: str, attach_point: int) -> None:
        """Take our program off, if it is there. A foreign one stays."""
        self._links.detach(interface, attach_point)
        self._filters.detach(interface, attach_point)
        self._filters.remove_qdisc(interface)
