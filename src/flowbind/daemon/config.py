"""The settings of a daemon, from one TOML file (docs/configuration.md documents every key).

A path in a setting stays a string here: nothing is opened but the configuration and the key files.
"""

from msgspec import Struct

from flowbind.model.config import HomeAgentConfig, MobileNodeConfig


class HomeAgentSettings(Struct, frozen=True):
    """All that `flowbind home-agent run` needs: the engine's part, and what is about this host.

    `interfaces` None stands for every interface that is up at the start. `warnings` are lines for
    the operator about a file that was accepted.
    """

    engine: HomeAgentConfig
    socket: str = "/run/flowbind/home-agent.sock"
    store: str = "sqlite:///var/lib/flowbind/home-agent.db"
    device: str = "mip0"
    pin_path: str = "/sys/fs/bpf/flowbind/home-agent"
    interfaces: tuple[str, ...] | None = None
    shortcut: bool = True
    log_level: str = "info"
    warnings: tuple[str, ...] = ()


class MobileNodeSettings(Struct, frozen=True):
    """All that `flowbind mobile-node run` needs: the engine's part, and what is about this host."""

    engine: MobileNodeConfig
    socket: str = "/run/flowbind/mobile-node.sock"
    store: str = "sqlite:///var/lib/flowbind/mobile-node.db"
    device: str = "mip0"
    pin_path: str = "/sys/fs/bpf/flowbind/mobile-node"
    default_route: bool = True
    log_level: str = "info"
    warnings: tuple[str, ...] = ()


Settings = HomeAgentSettings | MobileNodeSettings


class ConfigError(Exception):
    """A configuration that cannot be used: one line for each thing that is wrong with it."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
