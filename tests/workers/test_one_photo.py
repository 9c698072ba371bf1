"""The course of one photo: memory that runs out, decoding ahead, encoding behind."""

import itertools
import threading
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from nstbatch.runtime.errors import ImageError, OutOfMemoryError
from nstbatch.runtime.pictures.encoding import Encoded, encode_picture
from nstbatch.runtime.pictures.photo import Photo, Picture, read_photo
from nstbatch.runtime.planning.plan import Policy
from nstbatch.runtime.workers.one_photo import Codec
from seams import Bench, SeamEngine, after, files, outcomes, picture


def memory_runs_out(times: int) -> Callable[[], SeamEngine]:
    counter = itertools.count(1)

    def before(graph: str) -> None:
        if graph == "gradient" and next(counter) <= times:
            raise OutOfMemoryError("onnxruntime could not evaluate 'gradient': Failed to allocate memory")

    return lambda: SeamEngine(before)


def test_out_of_memory_is_a_row_that_names_a_size(bench: Bench, tmp_path: Path) -> None:
    bench.engine = memory_runs_out(1)
    bench.settings |= {"size": 48, "scales": "1"}
    report = bench.run(tmp_path / "in")
    assert outcomes(report) == {"a.png": "failed", "b.png": "painted", "c.png": "painted"}
    assert "try --size 34, or --shrink-to-fit" in report.rows[0].reason


def test_out_of_memory_with_shrink_to_fit_is_tried_once_at_half_the_pixels(bench: Bench, tmp_path: Path) -> None:
    bench.settings |= {"size": 48, "scales": "1"}
    bench.engine = memory_runs_out(1)
    policy = Policy(shrink_to_fit=True)
    report = bench.run(tmp_path / "in", policy=policy)
    assert set(outcomes(report).values()) == {"painted"}
    assert "at 34 px, since memory did not suffice" in report.rows[0].reason
    assert "at 34 px" not in report.rows[1].reason
    bench.engine = SeamEngine
    assert set(outcomes(bench.run(tmp_path / "in", policy=policy)).values()) == {"up to date"}
    assert outcomes(bench.run(tmp_path / "in"))["a.png"] == "painted", "the full size was asked for"
    bench.engine = memory_runs_out(2)
    report = bench.run(tmp_path / "in", policy=Policy(shrink_to_fit=True, force=True))
    assert outcomes(report) == {"a.png": "failed", "b.png": "painted", "c.png": "painted"}


def test_the_next_photo_is_decoded_and_the_last_one_encoded_meanwhile(bench: Bench, tmp_path: Path) -> None:
    painter = threading.current_thread()
    read: list[tuple[str, bool]] = []
    encoded = []
    decoding = {"b.png": threading.Event(), "c.png": threading.Event()}

    def slow_read(path: Path, *limits: float) -> Photo:
        read.append((path.name, threading.current_thread() is painter))
        photo = read_photo(path, *limits)
        if path.name in decoding:
            decoding[path.name].set()
        return photo

    def encode(*arguments: object) -> Encoded:
        encoded.append(threading.current_thread() is painter)
        return encode_picture(*arguments)  # type: ignore[arg-type]

    calls = itertools.count()

    def before(graph: str) -> None:
        # In the middle of the first photo the second is waited for: were it not decoded meanwhile, this would time out.
        if graph == "gradient" and next(calls) == 4:
            assert decoding["b.png"].wait(30)

    bench.engine = lambda: SeamEngine(before)
    assert outcomes(bench.run(tmp_path / "in", codec=Codec(slow_read, encode))) == dict.fromkeys(
        ("a.png", "b.png", "c.png"), "painted"
    )
    assert read == [("a.png", True), ("b.png", False), ("c.png", False)]
    assert encoded == [False] * 3


def test_a_photo_that_changed_after_it_was_decoded_ahead_is_read_anew(bench: Bench, tmp_path: Path) -> None:
    def change() -> None:
        picture(tmp_path / "in" / "b.png", seed=77)

    # In the last evaluation of the first photo, when the second is long decoded.
    bench.engine = lambda: SeamEngine(after(8, change))
    assert outcomes(bench.run(tmp_path / "in"))["b.png"] == "painted"
    bench.engine = SeamEngine
    assert outcomes(bench.run(tmp_path / "in")) == dict.fromkeys(("a.png", "b.png", "c.png"), "up to date")


def test_a_picture_that_cannot_be_encoded_is_a_row_in_its_place_and_kept(bench: Bench, tmp_path: Path) -> None:
    def encode(result: Picture, extension: str) -> Encoded:
        if next(count) == 1:
            raise ImageError("no such luck")
        return encode_picture(result, extension)

    count = itertools.count()
    report = bench.run(tmp_path / "in", codec=Codec(encode=encode))
    assert (
        report.rows[1].reason
        == "cannot be written as .png (no such luck); it is kept as b.png.png, and --name decides the format"
    )
    assert sorted(files(bench.output)) == ["a.png", "b.png.png", "c.png"]
    reference = Bench(bench.style, tmp_path / "reference")
    reference.run(tmp_path / "in")
    with Image.open(bench.output / "b.png.png") as kept, Image.open(reference.output / "b.png") as expected:
        assert kept.tobytes() == expected.tobytes()
    assert [(row.item.source.name, row.outcome.value) for row in report.rows] == [
        ("a.png", "painted"),
        ("b.png", "failed"),
        ("c.png", "painted"),
    ]


def test_a_painting_that_is_kept_replaces_nothing_that_is_to_be_kept(bench: Bench, tmp_path: Path) -> None:
    def encode(result: Picture, extension: str) -> Encoded:
        raise ImageError("no such luck")

    bench.output.mkdir()
    (bench.output / "b.png.png").write_text("mine")
    report = bench.run(tmp_path / "in", codec=Codec(encode=encode), policy=Policy(keep_existing=True))
    assert report.rows[1].reason == "b.png.png is there already, and --keep-existing forbids to replace it"
    assert (bench.output / "b.png.png").read_text() == "mine"
    assert sorted(files(bench.output)) == ["a.png.png", "b.png.png", "c.png.png"]
