"""Events for programs."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from places import ROOT
from process import QUICK, Call


@pytest.fixture
def valid() -> Callable[[str], list[dict[str, Any]]]:
    """Parses events and holds each against the documented schema."""
    schema = json.loads((ROOT / "docs" / "events.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)

    def parse(text: str) -> list[dict[str, Any]]:
        events = [json.loads(line) for line in text.splitlines()]
        for event in events:
            validator.validate(event)
        return events

    return parse


def test_events(
    nstbatch: Call, photos: Path, common: list[object], valid: Callable[[str], list[dict[str, Any]]], tmp_path: Path
) -> None:
    odd = photos / os.fsdecode(b"caf\xe9\n.jpg")
    odd.write_bytes((photos / "a.jpg").read_bytes())
    (photos / "bad.jpg").write_text("x")
    done = nstbatch(photos, *common, *QUICK, "--json")
    assert done.returncode == 3
    events = valid(done.stdout)
    # A picture is saved while the next is in work, or before it.
    assert [e["event"] for e in events if e["event"] != "start"] == ["plan", *["picture"] * 4, "end"]
    begun = [e["source"] for e in events if e["event"] == "start"]
    assert begun == [e["source"] for e in events if e["event"] == "picture" and e["outcome"] == "painted"]
    for source in begun:
        of_it = [e["event"] for e in events if e.get("source") == source]
        assert of_it == ["start", "picture"]
    assert events[0] | {"time": 0} == {
        "v": 1,
        "event": "plan",
        "time": 0,
        "todo": 3,
        "up_to_date": 0,
        "kept": 0,
        "refused": 1,
    }
    assert events[-2]["source"] == str(odd)
    assert events[-1]["exit_code"] == 3
    assert (events[-1]["painted"], events[-1]["failed"]) == (3, 1)
    assert [e["outcome"] for e in valid(nstbatch(photos, *common, *QUICK, "--json").stdout) if e["event"] == "picture"] == [
        "up_to_date", "up_to_date", "failed", "up_to_date",
    ]  # fmt: skip
    # Whatever ends a run, the last event says so.
    (event,) = valid(nstbatch(photos, "--style", tmp_path / "absent.jpg", "--json").stdout)
    assert (event["event"], event["exit_code"]) == ("end", 2)
    assert "absent.jpg: No such file" in event["error"]
