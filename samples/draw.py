"""Draw the samples: four "photographs" and three "paintings", with NumPy and Pillow, the same on every machine.

    python samples/draw.py

Writes ``samples/photos/*.jpg``, the styles ``samples/*.jpg``, ``samples/masks/*.png`` for some of them, and small copies of
one of each for the exporter's check of itself in ``exporter/parity/``.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Field = NDArray[np.float64]
Colour = tuple[float, float, float]

HERE = Path(__file__).resolve().parent
WIDTH, HEIGHT = 480, 336
"""What they are drawn at."""
SIZE = (400, 280)
"""What they are saved at, so that two plain cores paint four in less than five minutes."""
QUALITY = 92


def noise(rng: np.random.Generator, height: int, width: int, cell: float, octaves: int = 5) -> Field:
    """Fractal value noise in 0..1, the largest features ``cell`` pixels wide."""
    total = np.zeros((height, width))
    weight = 1.0
    for octave in range(octaves):
        size = max(cell / 2**octave, 1.0)
        grid = rng.random((int(height / size) + 3, int(width / size) + 3)).astype(np.float32)
        layer = Image.fromarray(grid).resize(
            (int(grid.shape[1] * size) + 1, int(grid.shape[0] * size) + 1), Image.Resampling.BICUBIC
        )
        total += weight * np.asarray(layer, np.float64)[int(size) :, int(size) :][:height, :width]
        weight *= 0.5
    total -= total.min()
    return total / total.max()


def grid() -> tuple[Field, Field]:
    """Coordinates y and x of every pixel, in pixels."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)
    return y, x


def ramp(value: Field, stops: list[tuple[float, Colour]]) -> Field:
    """Colours ``[H, W, 3]`` of a gradient with the given stops."""
    positions = [p for p, _ in stops]
    return np.stack([np.interp(value, positions, [c[i] for _, c in stops]) for i in range(3)], axis=-1)


def blend(below: Field, above: Field | Colour, alpha: Field) -> Field:
    """``above`` over ``below`` with an opacity of 0..1 for each pixel."""
    a = np.clip(alpha, 0, 1)[..., None]
    return below * (1 - a) + np.asarray(above) * a


def smoothstep(value: Field, low: float, high: float) -> Field:
    """0 below ``low``, 1 above ``high``, smooth in between."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def lit(height: Field, strength: float) -> Field:
    """Shading of a height field lit from the upper left: about 1 where it is flat."""
    dy, dx = np.gradient(height)
    return np.clip(1 - strength * (dx + dy), 0.3, 1.7)


def photograph(pixels: Field, rng: np.random.Generator) -> Image.Image:
    """The finish of a camera: a little vignette, softness and grain."""
    y, x = grid()
    radius = np.hypot((x - WIDTH / 2) / WIDTH, (y - HEIGHT / 2) / HEIGHT)
    pixels = pixels * (1 - 0.45 * radius**2)[..., None] + rng.normal(0, 2.0, pixels.shape)
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    return image.filter(ImageFilter.GaussianBlur(0.5))


def mountains(rng: np.random.Generator) -> Image.Image:
    """Ranges in haze behind a lake at dusk, with firs on the near shore."""
    y, x = grid()
    horizon = 215.0
    sky = ramp(
        y / horizon,
        [(0, (58, 92, 150)), (0.5, (140, 160, 190)), (0.8, (244, 190, 140)), (1, (255, 214, 160))],
    )
    clouds = smoothstep(noise(rng, HEIGHT, WIDTH, 120) + 0.25 * np.sin(y / 14), 0.55, 0.95)
    sky = blend(sky, ramp(y / horizon, [(0, (205, 205, 220)), (1, (255, 170, 120))]), 0.8 * clouds)
    sun = np.hypot(x - 335, y - 168)
    scene = blend(blend(sky, (255, 226, 170), np.exp(-sun / 42)), (255, 250, 230), smoothstep(-sun, -15, -12))
    far, near = np.array((150.0, 150.0, 185.0)), np.array((38.0, 52.0, 62.0))
    for i in range(5):
        depth = i / 4
        base = 120 + 22 * i
        ridge = noise(rng, 4, WIDTH, 110 - 12 * i, 6)[0]
        crest = base - (95 - 14 * i) * (ridge - 0.35)
        relief = noise(rng, HEIGHT, WIDTH, 46, 6)
        colour = (far * (1 - depth) + near * depth) * lit(relief * 46, 0.30 + 0.2 * depth)[..., None]
        snow = smoothstep(relief - (y - crest[None]) / 60, 0.25, 0.4) * (1 - depth) ** 1.5
        colour = blend(colour, (238, 236, 245), snow * (i < 3))
        haze = smoothstep(y, base - 20, base + 70) * 0.55 * (1 - depth)
        scene = blend(scene, blend(colour, (240, 205, 180), haze), smoothstep(y - crest[None], 0, 1.5))
    lake = y > horizon
    ripple = noise(rng, HEIGHT, WIDTH // 6, 8).repeat(6, axis=1)
    mirror = np.clip(2 * horizon - y + 14 * (ripple - 0.5) * (1 + (y - horizon) / 60), 0, HEIGHT - 1).astype(int)
    reflection = scene[mirror, x.astype(int)] * (0.72 + 0.12 * ripple[..., None])
    scene = np.where(lake[..., None], blend(reflection, (70, 92, 120), np.full_like(y, 0.25)), scene)
    for start, bottom, size in [(0, 332, 46), (1, 318, 30), (2, 344, 60)]:
        for position in (
            np.arange(-10 + 7 * start, WIDTH, 24 + 9 * start)
            + rng.uniform(-9, 9, 100)[: len(range(-10 + 7 * start, WIDTH, 24 + 9 * start))]
        ):
            if 150 + 40 * start < position < 330 - 20 * start:
                continue
            tall = size * rng.uniform(0.8, 1.7)
            level = (y - (bottom - tall)) / tall
            saw = 0.5 + 0.5 * np.abs(((level * 9) % 1) - 0.2)
            inside = (np.abs(x - position) < 0.24 * tall * level * saw + 0.8) & (level > 0) & (y < bottom)
            tone = np.array((18, 34, 30)) + 10 * rng.random(3)
            scene = blend(scene, tone * (0.8 + 0.6 * noise(rng, HEIGHT, WIDTH, 9, 2))[..., None], inside * 1.0)
    return photograph(scene, rng)


def town(rng: np.random.Generator) -> Image.Image:
    """A row of gabled houses along a canal, with their reflections."""
    y, x = grid()
    quay = 226
    sky = ramp(y / quay, [(0, (86, 140, 205)), (1, (214, 228, 238))])
    clouds = smoothstep(noise(rng, HEIGHT, WIDTH, 110, 6), 0.5, 0.85)
    image = Image.fromarray(blend(sky, (250, 248, 244), clouds).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    walls = [
        (196, 92, 70),
        (226, 190, 120),
        (120, 134, 150),
        (232, 222, 200),
        (160, 62, 56),
        (202, 156, 104),
        (104, 120, 98),
    ]
    left, i = -14, 0
    while left < WIDTH:
        wide, tall = int(rng.integers(52, 76)), int(rng.integers(92, 138))
        wall, roof = walls[i % len(walls)], tuple(int(v) for v in rng.integers(60, 110) * np.array((1.15, 0.75, 0.65)))
        top = quay - tall
        peak = top - int(rng.integers(26, 46))
        draw.rectangle((left, top, left + wide, quay), fill=wall)
        if i % 3 == 1:  # a stepped gable
            for step in range(5):
                inset = step * wide // 11
                edge = top - (step + 1) * (top - peak) // 5
                draw.rectangle((left + inset, edge, left + wide - inset, top), fill=wall)
        else:
            draw.polygon([(left - 3, top), (left + wide // 2, peak), (left + wide + 3, top)], fill=roof)
        draw.line((left, top, left, quay), fill=tuple(int(v * 0.6) for v in wall), width=2)
        columns = 3
        for row in range(max(2, tall // 32)):
            for column in range(columns):
                wx = left + 8 + column * (wide - 10) // columns
                wy = top + 10 + row * 29
                if wy + 18 > quay - 6:
                    continue
                glow = rng.random() < 0.3
                draw.rectangle((wx - 1, wy - 1, wx + 11, wy + 18), fill=(244, 240, 228))
                draw.rectangle((wx, wy, wx + 10, wy + 17), fill=(250, 214, 120) if glow else (52, 62, 78))
                draw.line((wx + 5, wy, wx + 5, wy + 17), fill=(244, 240, 228))
                draw.line((wx, wy + 8, wx + 10, wy + 8), fill=(244, 240, 228))
        door = left + wide // 2 - 6
        draw.rectangle((door, quay - 24, door + 13, quay), fill=(62, 40, 32))
        left += wide
        i += 1
    scene = np.asarray(image, np.float64)
    brick = 0.9 + 0.2 * noise(rng, HEIGHT, WIDTH, 5, 2)
    shade = 0.82 + 0.3 * noise(rng, HEIGHT, WIDTH, 90, 3)
    built = (y < quay) & (np.abs(scene - blend(sky, (250, 248, 244), clouds).astype(np.uint8)).sum(-1) > 0)
    scene = np.where(built[..., None], scene * (brick * shade)[..., None], scene)
    scene = np.where(((y >= quay) & (y < quay + 9))[..., None], np.array((126, 118, 108)) * brick[..., None], scene)
    ripple = noise(rng, HEIGHT, WIDTH // 5, 7).repeat(5, axis=1)
    depth = y - quay - 9
    mirror = np.clip(quay - 1.1 * depth + 16 * (ripple - 0.5) * (0.3 + depth / 50), 0, HEIGHT - 1).astype(int)
    shift = np.clip(x + 7 * (noise(rng, HEIGHT, WIDTH, 26) - 0.5) * (1 + depth / 30), 0, WIDTH - 1).astype(int)
    water = blend(scene[mirror, shift] * 0.62, (44, 74, 82), 0.28 + 0.3 * smoothstep(ripple, 0.4, 0.9))
    scene = np.where((depth > 0)[..., None], water, scene)
    boat = Image.fromarray(np.clip(scene, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(boat)
    draw.polygon([(286, 276), (402, 274), (388, 296), (302, 298)], fill=(92, 48, 34))
    draw.polygon([(286, 276), (402, 274), (398, 281), (290, 283)], fill=(206, 174, 122))
    draw.line((352, 276, 346, 196), fill=(70, 50, 40), width=3)
    draw.polygon([(349, 200), (392, 268), (352, 270)], fill=(222, 212, 190))
    return photograph(np.asarray(boat, np.float64), rng)


def hill_line(x: Field) -> Field:
    """Height of the tree's hill at x."""
    line: Field = 262 - 46 * np.exp(-(((x - 205) / 150) ** 2)) + 10 * np.sin(x / 60)
    return line


def tree(rng: np.random.Generator) -> Image.Image:
    """An old tree on a hill of grass under summer clouds."""
    y, x = grid()
    sky = ramp(y / 240, [(0, (62, 122, 196)), (1, (190, 216, 236))])
    puffs = noise(rng, HEIGHT, WIDTH, 150, 7)
    clouds = smoothstep(puffs, 0.48, 0.72)
    scene = blend(sky, np.array((255, 253, 248)) * (0.78 + 0.24 * lit(puffs * 90, 0.6))[..., None].clip(0, 1), clouds)
    woods = 222 - 16 * noise(rng, 4, WIDTH, 60)[0] - 8 * noise(rng, 4, WIDTH, 8)[0]
    scene = blend(
        scene, np.array((92, 122, 118)) * (0.8 + 0.4 * noise(rng, HEIGHT, WIDTH, 10))[..., None], (y > woods) * 1.0
    )
    hill = hill_line(x)
    blades = noise(rng, HEIGHT // 6, WIDTH, 4, 2).repeat(6, axis=0)[:HEIGHT]
    patches = noise(rng, HEIGHT, WIDTH, 70)
    grass = (
        ramp(patches, [(0, (64, 104, 40)), (0.5, (126, 156, 58)), (1, (196, 188, 92))]) * (0.7 + 0.55 * blades)[..., None]
    )
    grass *= (0.8 + 0.5 * smoothstep(y, 230, HEIGHT))[..., None]
    scene = blend(scene, grass, smoothstep(y - hill, 0, 2))
    flowers = (rng.random((HEIGHT, WIDTH)) < 0.012) & (y > hill + 8)
    for colour, share in (((226, 60, 52), 0.4), ((250, 236, 120), 0.75), ((240, 240, 250), 1.0)):
        spots = flowers & (rng.random((HEIGHT, WIDTH)) < share)
        soft = np.asarray(Image.fromarray((spots * 255).astype(np.uint8)).filter(ImageFilter.MaxFilter(3)), np.float64) / 255
        scene = blend(scene, colour, soft * 0.9)
        flowers &= ~spots
    shadow = np.exp(-(((x - 268) / 92) ** 2) - ((y - 262) / 13) ** 2) * (y > hill)
    scene = blend(scene, (34, 52, 26), 0.7 * shadow)
    image = Image.fromarray(np.clip(scene, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)

    tips: list[tuple[float, float]] = []

    def branch(px: float, py: float, angle: float, length: float, width: float) -> None:
        qx, qy = px + length * np.cos(angle), py - length * np.sin(angle)
        draw.line((px, py, qx, qy), fill=(66, 48, 36), width=max(1, round(width)))
        draw.line((px - width / 4, py, qx - width / 4, qy), fill=(104, 80, 60), width=max(1, round(width / 3)))
        if length < 13:
            tips.append((qx, qy))
            return
        for turn in (-0.48, -0.05, 0.46):
            branch(qx, qy, angle + turn + rng.normal(0, 0.16), length * rng.uniform(0.62, 0.82), width * 0.62)

    branch(208, 240, np.pi / 2 + 0.06, 52, 17)
    leaves = np.asarray(image, np.float64)
    for px, py in tips:
        for _ in range(3):
            cx, cy, r = px + rng.normal(0, 8), py + rng.normal(0, 6), rng.uniform(5, 11)
            blob = np.exp(-((((x - cx) ** 2 + (y - cy) ** 2) / r**2) ** 2))
            light = np.clip(0.75 - (cy - 110) / 220 - (cx - 208) / 420 + rng.normal(0, 0.1), 0.25, 1.1)
            leaves = blend(leaves, np.array((112, 140, 48)) * light, 0.75 * blob * (rng.random((HEIGHT, WIDTH)) > 0.22))
    return photograph(leaves, rng)


def jug_outline(y: Field, x: Field) -> tuple[Field, Field]:
    """Place across the jug, from -1 to 1 inside, and distance to the middle of its handle."""
    profile = np.interp(y[:, 0], [62, 74, 92, 120, 168, 206, 240, 252], [26, 22, 24, 40, 56, 54, 40, 34])
    beside = (y < 62) | (y > 252)
    return np.where(beside, 2.0, (x - 150) / profile[:, None]), np.abs(np.hypot((x - 205) / 1.0, (y - 128) / 1.35) - 27)


def still_life(rng: np.random.Generator) -> Image.Image:
    """Fruit and a blue jug on a wooden table, lit from a window."""
    y, x = grid()
    wall = (
        ramp((x + 0.6 * y) / 600, [(0, (206, 190, 160)), (1, (88, 78, 72))])
        * (0.9 + 0.2 * noise(rng, HEIGHT, WIDTH, 60))[..., None]
    )
    edge = 206.0
    grain = noise(rng, HEIGHT, WIDTH // 12, 14, 4).repeat(12, axis=1) + 0.25 * np.sin(
        y * 1.1 + 3 * noise(rng, HEIGHT, WIDTH, 90)
    )
    table = ramp(grain, [(0, (84, 50, 30)), (0.6, (150, 98, 58)), (1.1, (190, 138, 88))])
    scene = np.where((y > edge)[..., None], table * (1.15 - 0.5 * x / WIDTH)[..., None], wall)

    def sphere(cx: float, cy: float, r: float, colour: Colour, rough: float) -> None:
        nonlocal scene
        shadow = np.exp(-(((x - cx - 0.7 * r) / (1.5 * r)) ** 2) - ((y - cy - 0.82 * r) / (0.34 * r)) ** 2)
        scene = blend(scene, (26, 16, 12), 0.75 * shadow * (y > edge))
        nx, ny = (x - cx) / r, (y - cy) / r
        inside = smoothstep(-(nx**2 + ny**2), -1.03, -0.97)
        nz = np.sqrt(np.clip(1 - nx**2 - ny**2, 0, 1))
        light = np.clip(-0.55 * nx - 0.6 * ny + 0.6 * nz, 0, 1)
        skin = np.asarray(colour) * (1 + rough * (noise(rng, HEIGHT, WIDTH, 12, 4) - 0.5))[..., None]
        ball = skin * (0.22 + 0.95 * light)[..., None] + 190 * (light**24)[..., None]
        scene = blend(scene, ball, inside)

    u, handle = jug_outline(y, x)
    shadow = np.exp(-(((x - 232) / 96) ** 2) - ((y - 250) / 15) ** 2)
    scene = blend(scene, (26, 16, 12), 0.7 * shadow)
    light = 0.2 + 0.95 * np.clip(np.cos((u + 0.45) * 1.25), 0, 1)
    bands = smoothstep(np.sin(y / 5.5) + 1.2 * np.sin(u * 9) * (np.abs(y - 160) < 26), 0.55, 0.8)
    glaze = blend(
        ramp(y / HEIGHT, [(0, (52, 86, 150)), (1, (30, 56, 116))]), (228, 228, 220), bands * (np.abs(y - 160) < 46)
    )
    jug = glaze * light[..., None] + 170 * np.exp(-(((u + 0.5) / 0.09) ** 2))[..., None] * (y > 80)[..., None]
    scene = blend(scene, jug, np.abs(u) < 1)
    scene = blend(scene, np.array((44, 74, 136)) * 0.8, smoothstep(-handle, -6, -4.6) * (x > 196))
    for cx, cy, r, colour, rough in [
        (268, 218, 37, (214, 70, 42), 0.5),
        (334, 232, 33, (232, 150, 40), 0.25),
        (300, 262, 35, (170, 178, 60), 0.5),
        (384, 250, 36, (196, 48, 48), 0.6),
        (222, 274, 21, (92, 40, 92), 0.4),
        (252, 290, 19, (112, 52, 104), 0.4),
        (198, 296, 18, (80, 36, 84), 0.4),
    ]:
        sphere(cx, cy, r, colour, rough)
    return photograph(scene, rng)


def strokes(
    rng: np.random.Generator,
    colour: Field,
    angle: Field,
    passes: list[tuple[int, float, float]],
    vary: float,
) -> Image.Image:
    """Paint ``colour`` with strokes that follow ``angle``; each pass is (number, length, width) of its strokes."""
    height, width = angle.shape
    image = Image.fromarray(np.clip(colour * 0.6, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for number, length, thick in passes:
        for _ in range(number):
            px, py = rng.uniform(0, width), rng.uniform(0, height)
            here = colour[int(py), int(px)]
            tone = np.clip(here * (1 + rng.normal(0, vary)) + rng.normal(0, 9, 3), 0, 255)
            points = [(px, py)]
            for _ in range(int(length / 3)):
                iy, ix = int(np.clip(py, 0, height - 1)), int(np.clip(px, 0, width - 1))
                px, py = px + 3 * np.cos(angle[iy, ix]), py + 3 * np.sin(angle[iy, ix])
                points.append((px, py))
            wide = max(1, round(thick * rng.uniform(0.7, 1.2)))
            dark = tuple(int(v * 0.72) for v in tone)
            bright = tuple(int(min(255, v * 1.16 + 6)) for v in tone)
            draw.line([(a + 0.7, b + 0.9) for a, b in points], fill=dark, width=wide, joint="curve")
            draw.line(points, fill=tuple(int(v) for v in tone), width=max(1, wide - 1), joint="curve")
            if wide > 2:
                draw.line([(a - 0.6, b - 0.8) for a, b in points], fill=bright, width=1)
    return image.filter(ImageFilter.UnsharpMask(1, 60, 0))


def starry(rng: np.random.Generator) -> Image.Image:
    """A night sky of swirling strokes over a dark village and a cypress."""
    y, x = grid()
    hills = 252 - 26 * noise(rng, 4, WIDTH, 170, 3)[0] + 10 * np.sin(x[0] / 70)
    angle = 0.25 * np.sin(x / 80) + 0.35 * (noise(rng, HEIGHT, WIDTH, 140, 3) - 0.5)
    tone = 0.30 + 0.35 * noise(rng, HEIGHT, WIDTH, 90, 3)
    for cx, cy, r, spin in [(205, 112, 88, 1), (300, 152, 58, -1), (60, 66, 50, 1)]:
        d = np.hypot(x - cx, y - cy)
        pull = np.exp(-((d / r) ** 2))
        around = np.arctan2(y - cy, x - cx) + spin * (np.pi / 2 - 0.22)
        angle = np.where(pull > 0.12, around * pull**0.3 + angle * (1 - pull**0.3), angle)
        tone = tone + pull * (0.16 + 0.3 * np.sin(d / 5.2 - spin * np.arctan2(y - cy, x - cx) * 2))
    colour = ramp(
        tone,
        [(0, (14, 26, 78)), (0.3, (28, 62, 142)), (0.55, (62, 118, 186)), (0.8, (140, 188, 206)), (1.1, (226, 228, 190))],
    )
    stars = [
        (410, 62, 34),
        (118, 38, 15),
        (352, 44, 12),
        (30, 150, 14),
        (262, 32, 11),
        (456, 150, 15),
        (150, 178, 11),
        (388, 128, 10),
    ]
    for cx, cy, r in stars:
        d = np.hypot(x - cx, y - cy)
        colour = blend(colour, (246, 206, 74), np.exp(-((d / (1.5 * r)) ** 2)) * 0.9)
        colour = blend(colour, (255, 240, 176), smoothstep(-d, -0.75 * r, -0.4 * r))
        near = np.exp(-((d / (2.1 * r)) ** 2))
        angle = np.where(near > 0.2, np.arctan2(y - cy, x - cx) + np.pi / 2, angle)
    land = y > hills[None]
    ground = ramp(noise(rng, HEIGHT, WIDTH, 50), [(0, (16, 30, 48)), (0.5, (30, 66, 88)), (1, (70, 112, 96))])
    colour = np.where(land[..., None], ground, colour)
    slope = np.arctan(np.gradient(hills))[None].repeat(HEIGHT, 0)
    angle = np.where(land, slope + 0.3 * np.sin(x / 16), angle)
    for cx, base, wide, tall in [
        (170, 300, 26, 20),
        (214, 308, 30, 24),
        (262, 302, 24, 18),
        (306, 310, 28, 22),
        (352, 304, 22, 18),
        (236, 284, 12, 44),
    ]:
        house = (np.abs(x - cx) < wide / 2) & (y < base) & (y > base - tall)
        roof = (np.abs(x - cx) < (y - (base - tall - 16)) * wide / 30) & (y <= base - tall) & (y > base - tall - 16)
        colour = np.where(house[..., None], np.array((52, 74, 112)), colour)
        colour = np.where(roof[..., None], np.array((92, 58, 54)), colour)
        window = (np.abs(x - cx) < 3.2) & (np.abs(y - base + tall / 2) < 4)
        colour = np.where(window[..., None], np.array((250, 206, 84)), colour)
        angle = np.where(house | roof, np.pi / 2, angle)
    sway = 62 + 10 * np.sin(y / 24) + 4 * np.sin(y / 7)
    cypress = (np.abs(x - sway) < 34 * smoothstep(y, 30, 330) + 3 * np.sin(y / 5)) & (y > 40)
    colour = np.where(
        cypress[..., None], ramp(noise(rng, HEIGHT, WIDTH, 16), [(0, (10, 20, 18)), (1, (52, 66, 38))]), colour
    )
    angle = np.where(cypress, np.pi / 2 + 0.5 * np.sin(y / 13 + x / 9), angle)
    return strokes(rng, colour, angle, [(2600, 30, 8), (5200, 22, 5), (5200, 14, 3)], 0.12)


def ember(rng: np.random.Generator) -> Image.Image:
    """An expressionist evening: bands of red and orange sky flowing over a dark fjord."""
    y, x = grid()
    flow = y + 17 * np.sin(x / 62 + y / 90) + 26 * (noise(rng, HEIGHT, WIDTH, 130, 3) - 0.5)
    angle = np.arctan2(-np.gradient(flow, axis=1), np.gradient(flow, axis=0))
    bands = 0.5 + 0.5 * np.sin(flow / 9.5)
    warm = ramp(bands, [(0, (150, 26, 18)), (0.35, (214, 66, 24)), (0.7, (242, 136, 34)), (1, (252, 206, 92))])
    cold = ramp(bands, [(0, (14, 26, 52)), (0.5, (34, 72, 96)), (0.8, (84, 120, 110)), (1, (196, 160, 104))])
    colour = blend(warm, cold, smoothstep(flow, 172, 196))
    whirl = np.hypot((x - 330) / 1.6, y - 236)
    colour = blend(
        colour, ramp(0.5 + 0.5 * np.sin(whirl / 6), [(0, (20, 34, 62)), (1, (120, 150, 140))]), smoothstep(-whirl, -52, -36)
    )
    angle = np.where(whirl < 46, np.arctan2(y - 236, (x - 330) / 1.6) + np.pi / 2, angle)
    path = np.abs(x - 120 - 0.9 * (y - 200)) < 6 + 0.55 * np.maximum(y - 190, 0)
    planks = ramp(0.5 + 0.5 * np.sin((x + 1.4 * y) / 6), [(0, (84, 38, 26)), (1, (190, 112, 66))])
    lower = path & (y > 196)
    colour = np.where(lower[..., None], planks, colour)
    angle = np.where(lower, 0.85, angle)
    return strokes(rng, colour, angle, [(2200, 60, 9), (3600, 48, 6), (3000, 34, 3)], 0.10)


def mosaic(rng: np.random.Generator) -> Image.Image:
    """A mosaic of small stones: a teal and gold peacock pattern in dark grout."""
    y, x = grid()
    cell = 9.0
    rows, columns = int(HEIGHT / cell) + 2, int(WIDTH / cell) + 2
    jitter = rng.uniform(-0.32, 0.32, (rows, columns, 2))
    stone_y = (np.arange(rows)[:, None] + jitter[..., 0]) * cell
    stone_x = (np.arange(columns)[None] + 0.5 * (np.arange(rows) % 2)[:, None] + jitter[..., 1]) * cell
    nearest = np.full((HEIGHT, WIDTH), np.inf)
    second = np.full((HEIGHT, WIDTH), np.inf)
    owner = np.zeros((HEIGHT, WIDTH), int)
    row, column = (y / cell).astype(int), (x / cell).astype(int)
    for i in (-1, 0, 1):
        for j in (-2, -1, 0, 1):
            r, c = np.clip(row + i, 0, rows - 1), np.clip(column + j, 0, columns - 1)
            d = np.abs(x - stone_x[r, c]) ** 1.6 + np.abs(y - stone_y[r, c]) ** 1.6
            closer = d < nearest
            second = np.where(closer, nearest, np.where((d < second) & (r * columns + c != owner), d, second))
            owner = np.where(closer, r * columns + c, owner)
            nearest = np.minimum(nearest, d)
    py, px = stone_y.ravel(), stone_x.ravel()
    scale_row = np.floor(py / 56)
    cx = (np.floor(px / 96 - 0.5 * (scale_row % 2)) + 0.5 + 0.5 * (scale_row % 2)) * 96
    radius = np.hypot(px - cx, (py - (scale_row + 1) * 56) * 1.05)
    palette = ramp(
        radius / 62,
        [
            (0, (24, 26, 66)),
            (0.22, (30, 62, 132)),
            (0.34, (222, 176, 62)),
            (0.46, (28, 128, 126)),
            (0.72, (92, 176, 120)),
            (0.84, (232, 204, 116)),
            (0.95, (150, 58, 40)),
            (1.2, (20, 62, 84)),
        ],
    )
    palette = np.clip(palette * rng.normal(1, 0.13, (len(palette), 1)) + rng.normal(0, 8, palette.shape), 0, 255)
    border = smoothstep(second - nearest, 3.0, 7.5)
    colour = blend(np.broadcast_to((38.0, 32.0, 30.0), (HEIGHT, WIDTH, 3)), palette[owner], border)
    colour = colour * lit(border * 3 + noise(rng, HEIGHT, WIDTH, 6, 2), 0.22)[..., None]
    return Image.fromarray(np.clip(colour, 0, 255).astype(np.uint8))


SKY, LAND = (40, 80, 220), (30, 140, 40)


def tree_mask() -> Image.Image:
    """Sky and land of `tree`; its crown is of the sky."""
    y, x = grid()
    return regions(y < np.minimum(hill_line(x), 204))


def starry_mask() -> Image.Image:
    """Sky and land of `starry`."""
    y, _ = grid()
    return regions(y < 240)


def regions(sky: NDArray[np.bool_]) -> Image.Image:
    """A mask of two colours."""
    return Image.fromarray(np.where(sky[..., None], SKY, LAND).astype(np.uint8))


def all_sky() -> Image.Image:
    """A mask that gives a whole style to the sky."""
    return Image.new("RGB", (WIDTH, HEIGHT), SKY)


def all_land() -> Image.Image:
    """A mask that gives a whole style to the land."""
    return Image.new("RGB", (WIDTH, HEIGHT), LAND)


def still_life_mask() -> Image.Image:
    """White where the jug of `still_life` is."""
    y, x = grid()
    u, handle = jug_outline(y, x)
    return Image.fromarray(np.where((np.abs(u) < 1) | ((handle < 6) & (x > 196)), 255, 0).astype(np.uint8))


MASKS: dict[str, Callable[[], Image.Image]] = {
    "tree": tree_mask,
    "starry": starry_mask,
    "still_life": still_life_mask,
    "sky": all_sky,
    "land": all_land,
}
PHOTOS: dict[str, Callable[[np.random.Generator], Image.Image]] = {
    "mountains": mountains,
    "town": town,
    "tree": tree,
    "still_life": still_life,
}
STYLES: dict[str, Callable[[np.random.Generator], Image.Image]] = {"starry": starry, "ember": ember, "mosaic": mosaic}


def main() -> None:
    """Draw every sample and save it."""
    parity = HERE.parent / "exporter" / "parity"
    for folder in (HERE / "photos", HERE / "masks", parity):
        folder.mkdir(parents=True, exist_ok=True)
    for seed, (name, draw) in enumerate({**PHOTOS, **STYLES}.items(), start=1):
        image = draw(np.random.default_rng(seed))
        path = (HERE / "photos" if name in PHOTOS else HERE) / f"{name}.jpg"
        image.resize(SIZE, Image.Resampling.LANCZOS).save(path, quality=QUALITY, subsampling=0)
        print(path.relative_to(HERE.parent))
        for role, chosen in (("photo", "town"), ("style", "starry")):
            if name == chosen:
                small = image.copy()
                small.thumbnail((192, 192))
                small.save(parity / f"{role}.jpg", quality=QUALITY)
    for name, draw_mask in MASKS.items():
        path = HERE / "masks" / f"{name}.png"
        # Each pixel keeps one of the mask's colours.
        draw_mask().resize(SIZE, Image.Resampling.NEAREST).save(path, optimize=True)
        print(path.relative_to(HERE.parent))


if __name__ == "__main__":
    main()
