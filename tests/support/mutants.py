"""Put damaged pictures through the decoder, in a process with a limit of memory.

    python tests/support/mutants.py COUNT [--memory MIB]

Each is a sound file of one of many kinds, with bytes changed, cut out, doubled or moved, a header field blown up, or its end
torn off. Counts what came of them, the slowest, and the peak of memory, as JSON.
"""

import argparse
import io
import json
import random
import re
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from nstbatch.runtime.errors import ImageError
from nstbatch.runtime.pictures.encoding import encode_picture
from nstbatch.runtime.pictures.photo import probe_photo, read_photo

SECONDS = 5
MEGAPIXELS = 4.0


def sound() -> list[bytes]:
    """Files of every kind that a folder holds, with metadata, alpha, palettes, 16 bits and several frames."""
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 4), np.uint8)
    rgba = Image.fromarray(noise, "RGBA").resize((72, 54), Image.Resampling.BICUBIC)
    rgb = rgba.convert("RGB")
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Camera"
    exif.get_ifd(0x8769)[0x9003] = "2026:11:20 12:00:00"
    deep = Image.fromarray(np.asarray(rgb.convert("L")).astype(np.uint16) * 257)
    made = [
        (rgb, "JPEG", {"exif": exif, "dpi": (300, 300)}),
        (rgb, "JPEG", {"progressive": True}),
        (rgb.convert("CMYK"), "JPEG", {}),
        (rgb, "PNG", {"exif": exif}),
        (rgba, "PNG", {}),
        (rgb.quantize(16), "PNG", {"transparency": 3}),
        (deep, "PNG", {}),
        (rgba, "WEBP", {"lossless": True, "exif": exif}),
        (rgb, "WEBP", {}),
        (rgb, "TIFF", {}),
        (rgba, "TIFF", {"compression": "tiff_deflate"}),
        (rgb, "TIFF", {"compression": "tiff_lzw"}),
        (rgb.quantize(8), "GIF", {}),
        (rgb, "BMP", {}),
        (rgb, "PNG", {"save_all": True, "append_images": [rgb.rotate(180)]}),
        (rgb, "MPO", {"save_all": True, "append_images": [rgb.rotate(180)]}),
    ]
    files = []
    for image, kind, options in made:
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        files.append(buffer.getvalue())
    return files


def mutate(data: bytes, chance: random.Random) -> bytes:
    """One to three kinds of damage."""
    content = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        place = chance.randrange(len(content)) if content else 0
        # Headers are where sizes and offsets stand.
        near = chance.randrange(min(len(content), 120)) if content else 0
        span = chance.randint(1, 40)
        match chance.randrange(7):
            case 0:
                content[place : place + 1] = bytes([chance.randrange(256)])
            case 1:
                content[near : near + 1] = bytes([chance.randrange(256)])
            case 2:
                content[near : near + 4] = chance.choice(
                    [b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\0\1\0\0"]
                )
            case 3:
                del content[place : place + span]
            case 4:
                content[place:place] = content[place : place + span]
            case 5:
                content[place:place] = bytes(chance.randrange(256) for _ in range(span))
            case _:
                del content[chance.randrange(len(content) + 1) :]
    return bytes(content)


def main(count: int, memory: int) -> dict[str, object]:
    """The counts."""
    resource.setrlimit(resource.RLIMIT_AS, (memory * 2**20, memory * 2**20))
    files = sound()
    outcome: Counter[str] = Counter()
    crashes: list[str] = []
    slowest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photo.jpg"
        for seed in range(count):
            chance = random.Random(seed)
            path.write_bytes(mutate(files[seed % len(files)], chance))
            began = time.monotonic()
            # A decoder that hangs is ended by the default action of SIGALRM, and with it this process.
            signal.alarm(SECONDS)
            try:
                probe_photo(path, MEGAPIXELS)
                encode_picture(read_photo(path, MEGAPIXELS).picture, ".png")
                outcome["decoded"] += 1
            except ImageError as error:
                outcome["refused"] += 1
                if "\n" in str(error) or str(path) not in str(error):
                    crashes.append(f"{seed}: not one line with the file's name: {error}")
            except BaseException as error:
                crashes.append(f"{seed}: {type(error).__name__}: {error}")
            signal.alarm(0)
            slowest = max(slowest, time.monotonic() - began)
    # Not getrusage: its peak is inherited from the process that started this one.
    peak = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024  # type: ignore[index]
    return {"tried": count, **outcome, "crashes": crashes, "slowest_seconds": slowest, "peak_mib": peak, "limit_mib": memory}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int)
    parser.add_argument("--memory", type=int, default=1024, metavar="MIB")
    asked = parser.parse_args()
    json.dump(main(asked.count, asked.memory), sys.stdout)
