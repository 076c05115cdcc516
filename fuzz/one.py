"""One target under the fuzzer: `python -m fuzz.one NAME [CORPUS ...] [-option=value ...]`.

The options are those of libFuzzer. A file instead of a corpus is handled once, which is how a crash
is seen again.
"""

import sys

import atheris

with atheris.instrument_imports(include=["flowbind"], enable_loader_override=False):
    from fuzz.targets import TARGETS


def main() -> None:
    """Fuzz until the options say that it is enough, or something breaks."""
    target = TARGETS[sys.argv[1]]
    atheris.Setup([sys.argv[0], *sys.argv[2:]], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
