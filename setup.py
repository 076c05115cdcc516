"""Which modules are compiled, if FLOWBIND_COMPILED=1 asks for it; else the wheel is pure Python.

`make compiled` builds that wheel. The modules are those that every datagram passes through, as they
stand. What a compiled module keeps in a Struct has to be Frozen or Sparse (src/flowbind/frozen.py).
"""

import os
from pathlib import Path

from setuptools import setup

SOURCE = Path("src/flowbind")
PATTERNS = ("wire/[!_]*.py", "auth/[!_]*.py", "engine/[!_]*.py", "engine/home_agent/[!_]*.py")


def modules() -> list[str]:
    """Return the files to compile, relative to this one."""
    return sorted(str(each) for pattern in PATTERNS for each in SOURCE.glob(pattern))


if __name__ == "__main__":
    if os.environ.get("FLOWBIND_COMPILED") == "1":
        from mypyc.build import mypycify

        extensions = mypycify(modules(), opt_level="3", debug_level="0")
    else:
        extensions = []
    setup(ext_modules=extensions)
