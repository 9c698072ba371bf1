"""What an output folder remembers."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nstbatch.runtime.files.stamp import Stamp
from nstbatch.runtime.output.journal import Entry, Journal
from nstbatch.runtime.output.names import Key

texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=30) | st.sampled_from(
    ["caf\udce9", "new\nline", "\u2028", "a\\u0000b", "\U0001f600"]
)
whole = st.integers(-(2**63), 2**63 - 1)


def keys(text: str) -> Key | None:
    with contextlib.suppress(ValueError):
        return Key(text)
    return None


entries = st.builds(
    Entry,
    target=texts.map(keys).filter(lambda key: key is not None),
    source=texts,
    outcome=st.sampled_from(["painted", "failed"]),
    reason=texts,
    finished=texts,
    nstbatch=texts,
    fingerprint=texts,
    asked=texts,
    photo_sha256=texts,
    photo_stamp=st.none() | st.builds(Stamp, whole, whole, whole),
    long_side=st.integers(0, 1 << 40),
    output_sha256=texts,
    output_size=whole,
    output_mtime_ns=whole,
    loss=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    evaluations=whole,
    seconds=st.floats(0, 1e9),
)


def journal_in(folder: Path) -> Journal:
    (folder / ".nstbatch").mkdir(exist_ok=True)
    return Journal.read(folder)


@settings(max_examples=200, deadline=None)
@given(entries)
def test_a_line_is_one_line_and_gives_the_entry_back(entry: Entry) -> None:
    line = entry.to_json()
    assert "\n" not in line
    assert line.isascii(), "a name that is no UTF-8 does not spoil the file"
    assert Entry.from_json(line.encode()) == entry


@settings(max_examples=60, deadline=None)
@given(lines=st.lists(entries, min_size=1, max_size=6), data=st.data())
def test_torn_anywhere_it_loses_the_last_line_at_most(
    lines: list[Entry], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    journal = journal_in(folder)
    sizes = [0]
    for entry in lines:
        journal.append(entry)
        sizes.append(journal.path.stat().st_size)
    journal.close()
    cut = data.draw(st.integers(0, sizes[-1]))
    with journal.path.open("r+b") as file:
        file.truncate(cut)
    whole = [entry for entry, end in zip(lines, sizes[1:], strict=True) if end <= cut + 1]
    found = Journal.read(folder)
    assert found.skipped <= 1
    assert found.painted == {e.target: e for e in whole if e.outcome == "painted"}
    after = Entry("new", "s", "painted", "", "", "")
    found.append(after)
    found.close()
    again = Journal.read(folder)
    assert again.painted == {**found.painted, "new": after}, "the torn line did not swallow the next"
    assert again.skipped == found.skipped


def test_the_newest_line_counts_and_all_paintings_are_known(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    first = Entry("a.jpg", "s", "painted", "", "", "", output_sha256="one")
    failed = Entry("a.jpg", "s", "failed", "truncated", "", "")
    second = Entry("a.jpg", "s", "painted", "", "", "", output_sha256="two")
    for entry in (first, failed, failed, second):
        journal.append(entry)
    journal.close()
    assert len(journal.path.read_text().splitlines()) == 3
    for found in (journal, Journal.read(tmp_path)):
        assert found.painted == {"a.jpg": second}
        assert found.failed == {}
        assert found.known == {"a.jpg": {"one", "two"}}


def test_lines_of_another_version_and_rubbish_are_skipped(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    entry = Entry("a.jpg", "s", "painted", "", "", "")
    newer = json.loads(entry.to_json()) | {"v": 2}
    more = json.loads(entry.to_json()) | {"a field of a later version": 1}
    line = json.loads(entry.to_json())
    wrong = [
        {"target": "../../a.jpg"},
        {"target": "/etc/a.jpg"},
        {"target": "a/./b.jpg"},
        {"target": ".nstbatch/a.jpg"},
        {"target": "report_files/a.jpg"},
        {"target": "a\0.jpg"},
        {"target": "a\ud800.jpg"},
        {"target": None},
        {"target": 7},
        {"source": "a\0"},
        {"outcome": "eaten"},
        {"loss": float("nan")},
        {"loss": "low"},
        {"seconds": float("inf")},
        {"output_size": 1.5},
        {"output_size": 10**30},
        {"photo_stamp": [1, 2, 3]},
        {"curve": [[1, 40, None]]},
    ]
    deep = entry.to_json().replace('"curve": []', f'"curve": {"[" * 100_000}{"]" * 100_000}')
    huge = entry.to_json().replace('"reason": ""', f'"reason": "{"x" * 2**21}"')
    rubbish = [json.dumps(newer), "[]", "null", "{}", "\xff\xfe", '{"v": 1}', "x" * 100_000, json.dumps(more), ""]
    rubbish += [deep, huge, *(json.dumps(line | change) for change in wrong)]
    journal.path.write_text("\n".join(rubbish))
    found = Journal.read(tmp_path)
    assert found.painted == {"a.jpg": entry}
    assert found.skipped == 7 + 2 + len(wrong)


def test_only_so_many_curves_are_kept_and_of_the_newest(tmp_path: Path) -> None:
    written = journal_in(tmp_path)
    for number in (0, 1, 2, 0, 3):
        curve = [[float(number), 1.0]]
        written.append(Entry(f"{number}.png", "a", "painted", "", "", "", output_sha256=f"{number}", curve=curve))
    assert not any(entry.curve for entry in written.painted.values()), "a run has no use for them"
    # As of a picture that had failed, and is sound again.
    written.append(written.painted["3.png"])
    written.close()
    found = Journal.read(tmp_path, curves=3)
    assert {key: entry.curve for key, entry in found.painted.items()} == {
        "0.png": [[0.0, 1.0]],
        "1.png": [],
        "2.png": [],
        "3.png": [[3.0, 1.0]],
    }
    assert found.again(curves=9).painted["1.png"].curve == [[1.0, 1.0]]
    assert not found.again().painted["1.png"].curve


def test_no_journal_is_an_empty_one(tmp_path: Path) -> None:
    assert Journal.read(tmp_path / "nowhere").painted == {}
