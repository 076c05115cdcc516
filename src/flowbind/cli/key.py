"""Keys for security associations."""

import secrets
from typing import Final

import typer

KEY_OCTETS: Final = 16

key_app = typer.Typer(no_args_is_help=True, help="Keys that a node and its home agent share.")


@key_app.callback()
def key() -> None:
    """Keys that a node and its home agent share."""


@key_app.command("new")
def key_new() -> None:
    """Print a fresh 128-bit key in hex, as `key-file` takes it (RFC 5944 5.1)."""
    typer.echo(secrets.token_hex(KEY_OCTETS))
