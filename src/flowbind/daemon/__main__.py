"""`python -m flowbind.daemon ROLE -c FILE`."""

import sys

from flowbind.daemon.main import main

sys.exit(main())
