"""Effects as the TOML of a case file."""

import json
from typing import Any

Table = dict[str, Any]


def block(effect: Table) -> list[str]:
    """Write one effect."""
    lines = ["[[event.effects]]"]
    for key, value in effect.items():
        lines += _assignment(key, value)
    return lines


def _assignment(key: str, value: Any) -> list[str]:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [f"{key} = [", *[f"    {inline(each)}," for each in value], "]"]
    return [f"{key} = {inline(value)}"]


def inline(value: Any) -> str:
    """Write one value in a line."""
    if isinstance(value, dict):
        inner = ", ".join(f"{key} = {inline(each)}" for key, each in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list):
        return f"[{', '.join(inline(each) for each in value)}]"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value)
