"""The bases of the data in those modules that `setup.py` compiles.

mypyc passes over the keywords of a class statement: `class Multipath(Struct, frozen=True)` would
not be frozen once it is compiled. What a base has set, msgspec inherits. This module is never
compiled; subclasses repeat the keywords for type checkers.
"""

from msgspec import Struct


class Frozen(Struct, frozen=True):
    """A Struct that cannot be changed."""


class Sparse(Struct, frozen=True, omit_defaults=True):
    """A Struct that cannot be changed and is encoded without what has its default."""
