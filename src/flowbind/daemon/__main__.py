"""`python -m flowbind.daemon ROLE -c FILE`."""

import gc
import sys

from flowbind.daemon.main import main

# A start with many nodes makes millions of objects, all of which stay. `process.until_told`, which
# comes after it, lets the collector begin.
gc.disable()
sys.exit(main())
