"""The Markdown files of the tree, and what is in them."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "bench").glob("*.md"),
        *(ROOT / "tests").rglob("*.md"),
    ]
)

_FENCE = re.compile(r"^```(\S*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block: its document, the line of its first fence, its language and its text."""

    document: str
    line: int
    language: str
    text: str


def blocks(language):
    """Every block in this language, of every document."""
    found = []
    for document in DOCUMENTS:
        text = document.read_text()
        for fence in _FENCE.finditer(text):
            if fence[1] == language:
                line = text.count("\n", 0, fence.start()) + 1
                found.append(Block(str(document.relative_to(ROOT)), line, language, fence[2]))
    return found


def prose(text):
    """A document without its fenced blocks."""
    return _FENCE.sub("", text)


def name_of(block):
    return f"{block.document}:{block.line}"
