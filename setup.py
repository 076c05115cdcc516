"""Which modules are compiled, if FLOWBIND_COMPILED=1 asks for it; else the wheel is pure Python.

`make compiled` builds that wheel. The modules are those that each request passes through, as they
stand. What a compiled module keeps in a Struct has to be Frozen or Sparse (src/flowbind/frozen.py).
"""

import os

from setuptools import setup

HOT = {
    "wire": "authentication errors extension flow_binding iana message multipath nai registration"
    " traffic_selector",
    "auth": "authenticator nonces replay",
    "engine": "deadlines refusal",
    "engine/home_agent": "agent bindings denials flows projection replies validation",
}


def modules() -> list[str]:
    """Return the files to compile, relative to this one."""
    return [f"src/flowbind/{path}/{name}.py" for path in HOT for name in HOT[path].split()]


if __name__ == "__main__":
    if os.environ.get("FLOWBIND_COMPILED") == "1":
        from mypyc.build import mypycify

        extensions = mypycify(modules(), opt_level="3", debug_level="0")
    else:
        extensions = []
    setup(ext_modules=extensions)
