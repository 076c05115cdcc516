"""Keys for security associations."""

import secrets
from pathlib import Path
from typing import Annotated

import typer

from flowbind.auth.association import KEY_OCTETS
from flowbind.cli.daemons import become

key_app = typer.Typer(no_args_is_help=True, help="Keys that a node and its home agent share.")


@key_app.callback()
def key() -> None:
    """Keys that a node and its home agent share."""


@key_app.command("new")
def key_new() -> None:
    """Print a fresh 128-bit key in hex, as `key-file` takes it (RFC 5944 5.1)."""
    typer.echo(secrets.token_hex(KEY_OCTETS))


@key_app.command("rotate")
def key_rotate(
    file: Annotated[Path, typer.Argument(help="Configuration of either end.")],
    home_address: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="The node, at a home agent of several.")
    ] = None,
    nai: Annotated[str | None, typer.Option(metavar="NAI", help="The same, by its name.")] = None,
) -> None:
    """Write a node's next key into a file, and print how both ends come to use it.

    No configuration is changed, and no key is printed.
    """
    node = [] if home_address is None else [f"--home-address={home_address}"]
    node += [] if nai is None else [f"--nai={nai}"]
    become("rotate-key", *node, "--", str(file))
