"""Where all that happens by chance is drawn from: one seed, and a source for each kind of it.

With a source of their own, kinds of trouble do not depend on each other: without one of them a run
stays much the same, so what a failure does not need can be left out.
"""

from random import Random

KINDS = (
    "attacker", "clocks", "crashes", "effects", "flaps", "home-link", "keys", "nat", "operator",
    "outages", "revocation", "silence", "weather",
)  # fmt: skip


class Chances:
    """The sources of one run. `without` names kinds of trouble that are not to happen."""

    def __init__(self, seed: int, without: frozenset[str] = frozenset()) -> None:
        self._seed = seed
        self.without = without

    def of(self, name: str) -> Random:
        """Return a source of its own for something."""
        return Random(f"{self._seed} {name}")

    def allow(self, kind: str) -> bool:
        """Tell whether this kind of trouble may happen."""
        return kind not in self.without
