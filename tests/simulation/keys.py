"""The keys of the nodes at both ends, and the change of one, step by step."""

from collections import deque
from enum import Enum, auto
from random import Random

from msgspec import structs

from flowbind.auth.association import SecurityAssociation
from flowbind.model.config import HomeAgentConfig, MobileNodeConfig
from tests.simulation.scenario import Scenario, association

Associations = tuple[SecurityAssociation, ...]


class End(Enum):
    """Whose configuration a step changes."""

    AGENT = auto()
    NODE = auto()


class Keys:
    """What the files of both ends say by now. A step holds once its daemon is started again.

    Nodes are numbered in the order of the scenario.
    """

    def __init__(self, scenario: Scenario, chance: Random) -> None:
        self._scenario = scenario
        self._chance = chance
        self._node = [each.associations for each in scenario.nodes]
        self._agent = list(self._node)
        self._steps: list[deque[tuple[End, Associations]]] = [deque() for _ in scenario.nodes]

    @property
    def agent_config(self) -> HomeAgentConfig:
        """The configuration of the home agent."""
        known = zip(self._scenario.agent.mobile_nodes, self._agent, strict=True)
        entries = tuple(structs.replace(entry, associations=keys) for entry, keys in known)
        return structs.replace(self._scenario.agent, mobile_nodes=entries)

    def node_config(self, number: int) -> MobileNodeConfig:
        """The configuration of a node."""
        return structs.replace(self._scenario.nodes[number], associations=self._node[number])

    def begin(self, number: int, *, in_order: bool) -> None:
        """Begin to change the key of a node, unless that is under way.

        In order there is no moment at which the home agent does not know the key that the node
        uses, so nothing is lost. Out of order there is, and it has to end well nevertheless.
        """
        if self._steps[number]:
            return
        old = self._agent[number]
        new = association(self._chance, old)
        both = self._chance.choice(((new, *old), (*old, new)))
        plans = [[(End.AGENT, both), (End.NODE, (new,)), (End.AGENT, (new,))]]
        if not in_order:
            plans.append([(End.NODE, (new, *old)), (End.AGENT, both), (End.AGENT, (new,))])
            plans.append([(End.AGENT, (new,)), (End.NODE, (new, *old)), (End.NODE, (new,))])
        self._steps[number].extend(self._chance.choice(plans))

    def step(self, number: int) -> End | None:
        """Write the next step into its file; returns whose daemon is to be started again."""
        if not self._steps[number]:
            return None
        end, associations = self._steps[number].popleft()
        files = self._agent if end is End.AGENT else self._node
        files[number] = associations
        return end
