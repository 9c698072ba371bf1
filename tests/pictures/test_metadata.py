"""Metadata of photos: kept where they can be, dropped entry by entry where they cannot, and never the picture."""

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from nstbatch.runtime.pictures.encoding import encode_picture
from nstbatch.runtime.pictures.metadata import EXIF, GPS, IFD0, INTEROP, Metadata, read_metadata
from nstbatch.runtime.pictures.photo import Picture, read_photo, read_picture
from nstbatch.runtime.recipe.size import Size

FULL = Metadata(
    exif={
        IFD0: {271: "Maker", 315: "Jürgen ©".encode().decode("latin-1")},
        EXIF: {36864: b"0232", 36867: "2024:05:06 07:08:09", 37500: b"\0\1\2notes", 33434: (1, 60), 40962: 9, 40961: 65535},
        GPS: {1: "N", 2: (48.5, 2.0, 3.25)},
        INTEROP: {1: "R03"},
    },
    xmp=b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description exif:GPSLatitude="48,31N" dc:title="a"/></x:xmpmeta>',
    iptc=b"\x1c\x02\x05\0\x05title",
    comment=b"from a scanner",
    dpi=(300.0, 300.0),
)


def file_of(metadata: Metadata, extension: str, size: tuple[int, int] = (40, 36)) -> bytes:
    return encode_picture(Picture(Image.new("RGB", size, "red"), metadata=metadata), extension).data


def read(data: bytes) -> Metadata:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return read_metadata(image)


@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp", ".tiff"])
def test_each_format_keeps_what_it_has_a_place_for(extension: str, tmp_path: Path) -> None:
    encoded = encode_picture(Picture(Image.new("RGB", (40, 36)), metadata=FULL), extension)
    (tmp_path / f"x{extension}").write_bytes(encoded.data)
    found = read_picture(tmp_path / f"x{extension}").metadata
    exif = {number: dict(entries) for number, entries in FULL.exif.items()}
    exif[EXIF] |= {40962: 40, 40963: 36, 40961: 1}
    exif[INTEROP] = {1: "R98"}
    assert found.exif == exif, "and true of the painting"
    assert found.xmp == FULL.xmp
    assert found.iptc == (FULL.iptc if extension in (".jpg", ".tiff") else b"")
    assert found.comment == (FULL.comment if extension == ".jpg" else b"")
    assert found.dpi is None if extension == ".webp" else found.dpi == pytest.approx((300, 300), rel=1e-3)
    lost = {".jpg": [], ".tiff": ["comment"], ".png": ["IPTC", "comment"], ".webp": ["IPTC", "comment"]}[extension]
    assert [note.partition(":")[0] for note in encoded.notes] == lost


def test_a_tiff_with_directories_is_read_by_another_library(tmp_path: Path) -> None:
    (tmp_path / "x.tif").write_bytes(file_of(FULL, ".tif"))
    with tifffile.TiffFile(tmp_path / "x.tif") as file:
        tags = file.pages[0].tags
        assert tags["ExifTag"].value["DateTimeOriginal"] == "2024:05:06 07:08:09"
        assert tags["ExifTag"].value["ExifVersion"] == "0232"
        assert tags["GPSTag"].value["GPSLatitudeRef"] == "N"
        assert tags["Artist"].value == "Jürgen ©"
        assert tags[700].value == FULL.xmp
        codes = [tag.code for tag in tags]
        assert codes == sorted(codes), "as TIFF 6.0 has it"
        np.testing.assert_array_equal(file.asarray()[3, 5], (255, 0, 0))


def tiff(tags: dict[int, Any], **options: Any) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (36, 40, 3), np.uint8))
    image.save(buffer, "TIFF", tiffinfo=tags, **options)
    return buffer.getvalue()


def with_exif(block: bytes) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 36), "red").save(buffer, "JPEG", exif=b"Exif\0\0" + block)
    return buffer.getvalue()


def entry(tag: int, kind: int, count: int, value: bytes) -> bytes:
    return struct.pack("<HHL", tag, kind, count) + value.ljust(4, b"\0")


def block(*entries: bytes, following: int = 0) -> bytes:
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + b"".join(entries) + struct.pack("<L", following)


MAKER = entry(271, 2, 3, b"me\0")
DOUBLE = struct.pack("<d", 1.5)

ODD: dict[str, bytes] = {
    "text that is a double": with_exif(block(MAKER, entry(305, 12, 1, struct.pack("<L", 38))) + DOUBLE),
    "a rational of x/0": with_exif(block(MAKER, entry(282, 5, 1, struct.pack("<L", 38))) + struct.pack("<LL", 72, 0)),
    "EXIF's directory is the first one": with_exif(block(MAKER, entry(EXIF, 4, 1, struct.pack("<L", 8)))),
    "a directory that follows itself": with_exif(block(MAKER, following=8)),
    "a directory behind the end": with_exif(block(MAKER, entry(EXIF, 4, 1, struct.pack("<L", 9999)))),
    "a directory that is text": with_exif(block(MAKER, entry(EXIF, 2, 4, b"abc\0"))),
    "a value behind the end": with_exif(block(MAKER, entry(305, 2, 5000, struct.pack("<L", 30)))),
    "an orientation that is text": with_exif(block(MAKER, entry(274, 2, 2, b"3\0"))),
    "an orientation of 77": with_exif(block(MAKER, entry(274, 3, 1, struct.pack("<H", 77)))),
    "resolution in unit 9": tiff({271: "me", 282: 72.0, 283: 72.0, 296: 9}),
    "layers, thumbnails and the old size": tiff({271: "me", 37724: b"8BIM" * 500, 34377: b"8BIM" * 20}),
    "a TIFF with a directory": file_of(Metadata(exif={IFD0: {271: "me"}, EXIF: {36867: "2024:05:06 07:08:09"}}), ".tif"),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp", ".tiff"])
def test_odd_entries_cost_themselves(name: str, extension: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.bin").write_bytes(ODD[name])
    picture = read_picture(tmp_path / "x.bin")
    assert picture.size == (40, 36)
    encoded = encode_picture(picture, extension)
    found = read(encoded.data)
    assert found.exif[IFD0][271] == "me", "its neighbours are kept"
    assert not {37724, 34377, 274} & found.exif[IFD0].keys()
    assert len(encoded.data) < 6000
    assert capfd.readouterr() == ("", ""), "no lines of libtiff's"


def test_what_is_left_out_is_noted(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(ODD["text that is a double"])
    photo = read_photo(tmp_path / "x.jpg")
    assert photo.notes == ("EXIF: entry 0x0131 is not of its kind, and is left out",)


def test_a_directory_that_is_not_there_is_not_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    def of_pillow_12(exif: Image.Exif, number: int) -> dict[int, Any]:
        if number == INTEROP:
            raise KeyError(number)
        return original(exif, number)

    original = Image.Exif.get_ifd
    monkeypatch.setattr(Image.Exif, "get_ifd", of_pillow_12)
    assert read_metadata(Image.new("RGB", (40, 36))).notes == ()


def test_of_exif_that_is_too_long_the_largest_entries_go() -> None:
    long = Metadata(exif={IFD0: {271: "me"}, EXIF: {37510: bytes(90_000), 37500: bytes(30_000)}}, xmp=bytes(70_000))
    encoded = encode_picture(Picture(Image.new("RGB", (40, 36)), metadata=long), ".jpg")
    found = read(encoded.data)
    assert found.exif[IFD0] == {271: "me"}
    assert set(found.exif[EXIF]) == {37500, 40961, 40962, 40963}
    assert len(encoded.notes) == 2
    assert "0x9286" in encoded.notes[0]
    assert "XMP" in encoded.notes[1]
    assert read(encode_picture(Picture(Image.new("RGB", (40, 36)), metadata=long), ".png").data).exif[EXIF][37510]


def test_gps_is_stripped_everywhere() -> None:
    for extension in (".jpg", ".png", ".webp", ".tif"):
        data = file_of(FULL.without_gps(), extension)
        assert GPS not in read(data).exif
        assert b"GPS" not in data
        assert b"Maker" in data
        assert b'dc:title="a"' in read(data).xmp
    element = b"<a><exif:GPSLatitude>1</exif:GPSLatitude><exif:GPSTimeStamp rdf:x='1'/><b/></a>"
    assert Metadata(xmp=element).without_gps().xmp == b"<a><b/></a>"


def test_xmp_says_nothing_of_the_old_picture(tmp_path: Path) -> None:
    info = PngInfo()
    text = '<x tiff:Orientation="6" a="1"><xmp:Thumbnails><rdf:li>/9j/4AAQ</rdf:li></xmp:Thumbnails><keep/></x>'
    info.add_itxt("XML:com.adobe.xmp", text)
    Image.new("RGB", (40, 36)).save(tmp_path / "x.png", pnginfo=info)
    assert read_picture(tmp_path / "x.png").metadata.xmp == b'<x a="1"><keep/></x>'


def test_exif_behind_the_pixels_of_a_png(tmp_path: Path) -> None:
    data = file_of(Metadata(exif={IFD0: {271: "me"}}), ".png")
    start = data.index(b"eXIf") - 4
    (length,) = struct.unpack(">L", data[start : start + 4])
    chunk = data[start : start + 12 + length]
    end = data.index(b"IEND") - 4
    (tmp_path / "x.png").write_bytes(data[:start] + data[start + len(chunk) : end] + chunk + data[end:])
    assert read_picture(tmp_path / "x.png").metadata.exif[IFD0][271] == "me"


VALUES = st.one_of(
    st.integers(-(2**40), 2**40),
    st.floats(),
    st.binary(max_size=40),
    st.text(max_size=20),
    st.tuples(st.floats(), st.integers()),
    st.lists(st.integers(0, 255), max_size=5).map(tuple),
    st.none(),
)


@settings(max_examples=200, deadline=None)
@given(
    exif=st.dictionaries(
        st.sampled_from([IFD0, EXIF, GPS, INTEROP]),
        st.dictionaries(st.integers(0, 65535), VALUES, max_size=6),
    ),
    xmp=st.binary(max_size=60),
    iptc=st.binary(max_size=60),
    comment=st.binary(max_size=60),
    extension=st.sampled_from([".jpg", ".png", ".webp", ".tif"]),
)
def test_whatever_the_metadata_the_picture_is_written(
    exif: dict[int, dict[int, Any]], xmp: bytes, iptc: bytes, comment: bytes, extension: str
) -> None:
    encoded = encode_picture(
        Picture(Image.new("RGB", (33, 32), "red"), metadata=Metadata(exif, xmp, iptc, comment)), extension
    )
    with Image.open(io.BytesIO(encoded.data)) as image:
        image.load()
        assert image.size == (33, 32)
        assert image.convert("RGB").getpixel((9, 9))[0] > 240  # type: ignore[index]


def test_of_a_painting_only_what_there_is_is_made_true() -> None:
    assert Metadata().of_painting(Size(3, 4)) == Metadata()
    assert Metadata(exif={IFD0: {271: "me"}}).of_painting(Size(3, 4)).exif == {IFD0: {271: "me"}}
