"""A link to a file of the tree leads to that file, and one to a section to that section."""

import re

import pytest

from tests.docs.documents import DOCUMENTS, ROOT, prose

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_ELSEWHERE = re.compile(r"^[a-z]+:")


def anchors(text):
    """The anchors of a document's headings, as web pages of repositories make them."""
    headings = (heading.lower().replace(" ", "-") for heading in _HEADING.findall(prose(text)))
    return {re.sub(r"[^\w-]", "", heading) for heading in headings}


def relative_links():
    return [
        (document, link)
        for document in DOCUMENTS
        for link in _LINK.findall(prose(document.read_text()))
        if not _ELSEWHERE.match(link)
    ]


@pytest.mark.parametrize(
    ("document", "link"),
    relative_links(),
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_a_link_leads_somewhere(document, link):
    path, _, anchor = link.partition("#")
    there = (document.parent / path).resolve() if path else document
    assert there.is_relative_to(ROOT)
    assert there.exists()
    if anchor:
        assert anchor in anchors(there.read_text())


def test_every_document_can_be_reached_from_the_readme():
    readme, reached = ROOT / "README.md", set()
    ahead = [readme]
    while ahead:
        here = ahead.pop()
        if here in reached or here.suffix != ".md":
            continue
        reached.add(here)
        for link in _LINK.findall(prose(here.read_text())):
            there = (here.parent / link.partition("#")[0]).resolve()
            if not _ELSEWHERE.match(link) and there.is_file():
                ahead.append(there)
    assert reached == set(DOCUMENTS)
