"""A daemon as far as the data plane goes: opens it, programs a node, and lives until it is killed.

Arguments: the settings and the node as JSON.
"""

import sys
import time

from flowbind.dataplane.ebpf.plane import EbpfSettings, open_ebpf
from flowbind.model.encoding import from_json
from flowbind.model.tunnel import NodeForwarding


def main() -> None:
    plane = open_ebpf(from_json(sys.argv[1], EbpfSettings))
    plane.reconcile([from_json(sys.argv[2], NodeForwarding)])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    time.sleep(300)


main()
