"""The JSON object is a promise: these keys and no others."""

import json

import pytest

from flowbind.lab.results import complaints, to_json


def test_the_object_is_exactly_the_promised_one(make_story):
    shown = json.loads(to_json(make_story()))
    assert shown.keys() == {"ok", "phases"}
    assert shown["ok"] is True
    assert len(shown["phases"]) == 8
    for phase in shown["phases"]:
        assert phase.keys() == {"name", "ok", "flows"}
        assert phase["ok"] is True
        for flow in phase["flows"]:
            assert flow.keys() == {"name", "expected", "observed", "sent", "lost"}
            assert flow["observed"].keys() == {"wlan", "lte", "cdma"}
            assert all(isinstance(count, int) for count in flow["observed"].values())
            assert isinstance(flow["sent"], int)
            assert isinstance(flow["lost"], int)


def test_one_flow_that_fails_fails_its_phase_and_the_story(make_story):
    result = make_story(failing=True)
    shown = json.loads(to_json(result))
    assert shown["ok"] is False
    assert [phase["ok"] for phase in shown["phases"]].count(False) == 1
    assert len(complaints(result)) == 1
    assert "phase 4" in complaints(result)[0]


@pytest.mark.parametrize("flaw", ["no phases", "evidence"])
def test_a_story_without_phases_or_with_bad_evidence_is_not_ok(make_story, flaw):
    story = make_story()
    changed = {"phases": ()} if flaw == "no phases" else {"failures": ("captures missed 3",)}
    kept = {name: getattr(story, name) for name in story.__struct_fields__}
    assert not type(story)(**{**kept, **changed}).ok
