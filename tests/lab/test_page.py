"""The page stands alone, is well-formed, and shows what was found."""

import re
import xml.etree.ElementTree as ET

from flowbind.lab.page import page
from flowbind.lab.results import StoryResult
from flowbind.lab.story import PHASES


def parse(text):
    return ET.fromstring(text.removeprefix("<!DOCTYPE html>\n"))  # noqa: S314 - our own page


def test_it_is_well_formed_and_shows_every_phase(make_story):
    text = " ".join(parse(page(make_story())).itertext())
    for name, _ in PHASES:
        assert name in text
    assert "Everything held" in text


def test_nothing_is_fetched_and_nothing_runs(make_story):
    text = page(make_story())
    assert not re.findall(r"<(script|link|img|iframe|object|embed|base)\b", text)
    assert not re.findall(r"\b(?:src|href|srcset|data)\s*=", text)
    assert "@import" not in text
    assert "url(" not in text
    assert set(re.findall(r"https?://[^\"' ]+", text)) <= {"http://www.w3.org/1999/xhtml"}


def test_each_phase_has_plots_with_a_curve_per_network(make_story):
    text = page(make_story())
    assert text.count('class="plot"') == 4 + 8 * 3 + 3
    for network in ("wlan", "lte", "cdma"):
        assert f'class="line {network}"' in text
    assert "packets/s" in text


def test_a_failure_is_shown_with_its_numbers(make_story):
    text = page(make_story(failing=True))
    assert "7 of 900 were lost" in text
    assert "Not everything held" in text
    assert "7 of 8 phases hold" in text


def test_text_from_outside_is_escaped(make_story):
    assert "something &lt;happens&gt;" in page(make_story())


def test_a_story_that_never_began_still_makes_a_page():
    empty = StoryResult(phases=(), evidence=(), failures=("the home agent did not start",))
    parse(page(empty))
    assert "the home agent did not start" in page(empty)
