"""Several styles: as one, and each by itself."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.errors import UsageError
from nstbatch.runtime.output.journal import Journal
from nstbatch.runtime.output.lock import hold
from nstbatch.runtime.painting.stylizer import Stylizer
from nstbatch.runtime.planning.discovery import discover, find_styles
from nstbatch.runtime.planning.placement import Destination, make_items
from nstbatch.runtime.planning.plan import make_plan
from nstbatch.runtime.recipe.fingerprint import Subject
from process import Call
from seams import Bench, SeamEngine, files, paint, picture


def test_several_styles_from_the_command_line(bundle: Bundle, samples: Path, tmp_path: Path, nstbatch: Call) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    shutil.copy(samples / "photos" / "town.jpg", photos)
    shutil.copy(samples / "ember.jpg", photos)
    arguments = (photos, "--style", samples / "starry.jpg", "--style", photos / "ember.jpg", "--bundle", bundle.path)
    options = ("--size", 40, "--iterations", 2)
    result = nstbatch(*arguments, *options, "--style-blend", "3:1")
    assert result.returncode == 0, result.stderr
    output = tmp_path / "photos-starry+ember"
    assert [path.name for path in output.glob("*.jpg")] == ["town.jpg"], "a style in the folder is no photo"
    assert "1 up to date" in nstbatch(*arguments, *options, "--style-blend", "6:2").stdout
    assert "1 painted" in nstbatch(*arguments, *options).stdout
    for shares, code in (("3", 2), ("3:x", 2), ("3:0", 2), ("1:2:3", 2)):
        assert nstbatch(*arguments, *options, "--style-blend", shares).returncode == code


def test_each_style_by_itself(tmp_path: Path) -> None:
    """Photos x styles in one batch: the same bytes as a run for each style, and its own journal."""
    styles = [picture(tmp_path / "styles" / f"{name}.png", seed=seed) for seed, name in enumerate("xyz", start=20)]
    photos = [picture(tmp_path / "in" / f"{name}.png", seed=seed) for seed, name in enumerate("ab", start=30)]
    settings = {"size": 40, "iterations": 4, "scales": "32,40"}
    for path in styles:
        Bench(path, tmp_path / "alone" / path.stem, settings=settings).run(tmp_path / "in")
    engine = SeamEngine()
    stylizer = Stylizer.open(engine, styles, style_each=True, **settings)
    found = find_styles([tmp_path / "styles"])
    assert found == styles
    items = make_items(
        discover([tmp_path / "in"], styles=found), found, Destination(output=tmp_path / "out"), style_each=True
    )
    assert len({stylizer.facts.recipe.fingerprint(Subject("p", 48, "PNG", style=i)) for i in range(3)}) == 3
    roots = {item.root for item in items}
    for batch in ({"overlap": 4, "lock_step": True}, {}):
        with hold(list(roots)):
            journals = {root: Journal.read(root) for root in roots}
            plan = make_plan(items, journals, stylizer.facts.recipe)
            rows = list(paint(plan, stylizer, journals, **batch))
        assert {row.outcome.value for row in rows} == {"painted" if batch else "up to date"}
        assert files(tmp_path / "out") == files(tmp_path / "alone")
    encoded = [graph for graph in engine.calls if graph == "encode"]
    assert len(encoded) == len(photos) * len(styles) * 2 + len(styles) * 2, "each photo at each size; each style once a size"
    with pytest.raises(UsageError, match="neither --style-blend nor --style-mask"):
        Stylizer.open(SeamEngine(), styles, style_each=True, style_blend=[1, 1, 1])
    twins = [styles[0], picture(tmp_path / "more" / "x.jpg")]
    with pytest.raises(UsageError, match="would both be written to"):
        make_items(discover([tmp_path / "in"], styles=twins), twins, Destination(output=tmp_path / "out"), style_each=True)


def test_a_folder_of_styles(bundle: Bundle, tmp_path: Path, nstbatch: Callable[..., Any]) -> None:
    picture(tmp_path / "in" / "a.png")
    for name in ("x", "y"):
        picture(tmp_path / "styles" / f"{name}.png", seed=ord(name))
    (tmp_path / "styles" / "damaged.jpg").write_text("no picture")
    options = ("--bundle", bundle.path, "--provider", "cpu", "--size", 40, "--scales", 1, "--iterations", 2)
    first = nstbatch(tmp_path / "in", "--style", tmp_path / "styles", "--style-each", *options)
    assert first.returncode == 3
    assert "2 painted, 1 failed" in first.stdout
    assert "damaged.jpg: not a picture" in first.stderr
    assert sorted(path.parent.name for path in tmp_path.glob("in-*/a.png")) == ["in-x", "in-y"]
    second = nstbatch(tmp_path / "in", "--style", tmp_path / "styles" / "x.png", *options)
    assert "1 up to date" in second.stdout, "as painted in that style alone"
    refused = nstbatch(tmp_path / "in", "--style", tmp_path / "styles", *options)
    assert (refused.returncode, "--style-each paints in each" in refused.stderr) == (2, True)
    empty = tmp_path / "empty"
    empty.mkdir()
    refused = nstbatch(tmp_path / "in", "--style", empty, "--style-each", *options)
    assert (refused.returncode, "no pictures there" in refused.stderr) == (2, True)
