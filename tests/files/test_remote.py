"""Photos, styles, bundles and outputs behind URLs: in memory, and on a real S3 server on the loopback."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.files import remote
from nstbatch.runtime.files.location import to_location
from nstbatch.runtime.output.names import STATE
from stores import OPTIONS, Store, in_process


@pytest.mark.slow
def test_everything_by_url_is_as_on_this_host(
    bundle: Bundle, store: Store, stored: list[str], stored_style: str, tmp_path: Path, samples: Path
) -> None:
    for path in bundle.path.iterdir():
        store.put(f"vgg19/{path.name}", path.read_bytes())
    local = tmp_path / "local"
    in_process(tmp_path / "in", "-r", "--style", samples / "starry.jpg", "-o", local, "--bundle", bundle.path, *OPTIONS)
    command = [f"{store.url}/in", "-r", "--style", stored_style, "--bundle", f"{store.url}/vgg19", *OPTIONS]
    first = in_process(*command)
    assert first.exit_code == 0, first.output
    assert f"{stored[0]} -> {store.url}/in-starry/a.png in " in first.output
    expected = {path.relative_to(local).as_posix(): path.read_bytes() for path in local.rglob("*.png")}
    assert store.paintings("in-starry") == expected
    assert len(expected) == 3
    journals = [name for name in store.names() if f"{STATE}/journal" in name]
    assert len(journals) == 1, "lines were merged"
    assert "in-starry/report.html" in store.names()
    assert sum("report_files" in name for name in store.names()) == 7, "of photos, paintings, and the style"

    assert "0 painted, 0 failed, 3 up to date" in in_process(*command).output
    # Another host has nothing of this one's cache.
    shutil.rmtree(tmp_path / "cache")
    assert "0 painted, 0 failed, 3 up to date" in in_process(*command).output
    assert "3 to do" not in in_process(*command, "--dry-run").output
    report = in_process("report", f"{store.url}/in-starry")
    assert report.output == f"{store.url}/in-starry/report.html\n"
    assert store.get("in-starry/report.html").decode().count('"painting": "./') == 3


def test_a_listing_is_read_page_by_page(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    many = Store(f"{s3}/many")
    for n in range(45):
        many.put(f"{n:03d}.png", b"")
    many.put("below/x.png", b"")
    monkeypatch.setattr(remote, "_PAGE", 10)
    asked = 0
    pages = type(many.fs)._iterdir

    async def counted(self: Any, *arguments: Any, **options: Any) -> Any:
        nonlocal asked
        async for info in pages(self, *arguments, **options):
            asked += 1
            yield info

    monkeypatch.setattr(type(many.fs), "_iterdir", counted)
    names = remote.listing(to_location(many.url), recursive=False)  # type: ignore[arg-type]
    found = dict([next(names)])
    assert asked == 10, "no more than a page is held"
    found |= dict(names)
    assert len(found) == 46
    assert found["below"] is None
    deep = dict(remote.listing(to_location(many.url), recursive=True))  # type: ignore[arg-type]
    assert len(deep) == 46
    assert "below/x.png" in deep
