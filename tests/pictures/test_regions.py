"""Masks: regions of a style to regions of a photo, and what is kept of it."""

import json
import pickle
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from nstbatch.exporter.objective import region_grams
from nstbatch.exporter.vgg import TruncatedVGG, Weights
from nstbatch.runtime.assembly.sources import WeightsSource
from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.engine.engine import Engine
from nstbatch.runtime.engine.host import Host
from nstbatch.runtime.engine.tensorrt import Profile
from nstbatch.runtime.errors import ImageError, StyleError, UsageError
from nstbatch.runtime.painting.agreement import check_agreement
from nstbatch.runtime.painting.lockstep import LockStep
from nstbatch.runtime.painting.objective import Objective, encode
from nstbatch.runtime.painting.painting import PhotoJob
from nstbatch.runtime.painting.stylizer import Stylizer
from nstbatch.runtime.painting.terms import compare
from nstbatch.runtime.pictures.photo import Picture
from nstbatch.runtime.pictures.regions import Guidance, Mask, assign, find_regions, guide
from nstbatch.runtime.recipe.presets import TermWeights
from nstbatch.runtime.recipe.size import Size
from process import Call
from seams import SHALLOW, Export

SPEC = replace(SHALLOW, regions=True)
RED, BLUE, GREEN = (220, 30, 20), (20, 30, 220), (30, 200, 40)
QUICK = {"size": 48, "scales": "1", "iterations": 12, "provider": "cpu"}


@pytest.fixture(scope="module")
def regions(exported: Export) -> Bundle:
    return exported(SPEC)


def halves(left: tuple[int, int, int], right: tuple[int, int, int], size: tuple[int, int] = (64, 48)) -> Image.Image:
    image = Image.new("RGB", size, left)
    image.paste(right, (size[0] // 2, 0, *size))
    return image


def saved(image: Image.Image, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


def mask(image: Image.Image, path: Path) -> Mask:
    return Mask.read(saved(image, path))


def noise(seed: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """Smooth, in all colours."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def test_region_grams_are_weighted_means_of_outer_products() -> None:
    rng = np.random.default_rng(0)
    F, m = rng.standard_normal((2, 3, 4, 5)), rng.random((2, 4, 4, 5))
    m[0, 1] = 0
    m /= np.maximum(m.sum((2, 3), keepdims=True), 1e-9)
    expected = np.einsum("nchw,ndhw,nrhw->nrcd", F, F, m)
    found = region_grams(torch.from_numpy(F), torch.from_numpy(m))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)
    features = torch.from_numpy(F).requires_grad_()
    assert torch.autograd.gradcheck(lambda f: region_grams(f, torch.from_numpy(m)), features)


def test_masked_graph_equals_autograd(regions: Bundle) -> None:
    """Loss and gradient of three regions, of odd sizes, against torch's ordinary backward pass in float64."""
    rng = np.random.default_rng(1)
    height, width, count = 45, 61, 3
    photo, other = (np.cumsum(rng.standard_normal((1, 3, height, width)), 3) * 20 + 120 for _ in range(2))
    guidance = Guidance(rng.integers(0, 256, (count, 30, 40), np.uint8))
    engine = Engine(regions, Host(provider="cpu"))
    other_guidance = Guidance(rng.integers(0, 256, (count, 9, 11), np.uint8))
    style = encode(engine, other.astype(np.float32), other_guidance)
    targets = replace(encode(engine, photo[:, :, ::-1].astype(np.float32).copy(), guidance), grams=style.grams)
    weights = TermWeights([1e-6], [2e-8, 2e-8, 3e-10, 3e-10, 3e-10], 0.5)
    objective = Objective(engine, targets, weights)
    loss, gradient, terms = objective(photo.astype(np.float32))

    loaded = Weights.of(WeightsSource(SPEC.weights).load(SPEC.network)[0])
    network = TruncatedVGG(SPEC.network, SPEC.pooling, [*SPEC.content_taps, *SPEC.style_taps], loaded.to(torch.float64))
    image = torch.from_numpy(photo).requires_grad_()
    features = network(image)
    expected = [((features["conv2_2"] - torch.from_numpy(targets.contents["content.conv2_2"])) ** 2).mean()]
    for tap in SPEC.style_taps:
        F = features[tap][0].flatten(1)
        term = torch.zeros((), dtype=torch.float64)
        for r, share in enumerate(guidance.channels.mean((1, 2)) / 255):
            m = torch.from_numpy(targets.masks[f"mask.{tap}"][0, r].astype(np.float64)).flatten()
            difference = (F * m) @ F.T - torch.from_numpy(style.grams[f"gram.{tap}"][0, r].astype(np.float64))
            term = term + share * (difference**2).mean()
        expected.append(term)
    dx, dy = image[..., 1:] - image[..., :-1], image[..., 1:, :] - image[..., :-1, :]
    expected.append((dx**2).mean() + (dy**2).mean())
    total = sum(w * e for w, e in zip(objective.weighing.weights, expected, strict=True))
    total.backward()
    np.testing.assert_allclose(terms, objective.weighing.weights * [float(e.detach()) for e in expected], rtol=1e-4)
    assert loss == pytest.approx(float(total.detach()) / objective.unit, rel=1e-4)
    reference = image.grad.numpy() / objective.unit
    assert np.linalg.norm(gradient - reference) < 1e-3 * np.linalg.norm(reference)


def test_one_region_that_is_all_is_the_plain_objective(regions: Bundle) -> None:
    engine = Engine(regions, Host(provider="cpu"))
    photo = np.asarray(noise(3), np.float32).transpose(2, 0, 1)[None]
    targets = encode(engine, photo)
    F = targets.contents["content.conv2_2"][0].reshape(128, -1).astype(np.float64)
    np.testing.assert_allclose(
        targets.grams["gram.conv2_2"][0, 0], F @ F.T / F.shape[1], rtol=1e-4, atol=1e-6 * float((F**2).sum() / F.shape[1])
    )
    np.testing.assert_allclose(targets.metrics()["metric.conv2_2"][0, 0], np.eye(128))
    (agreement,) = check_agreement(engine, ["float32"])
    assert agreement.gradient == 0


@given(
    channels=arrays.arrays(np.uint8, st.tuples(st.integers(1, 4), st.integers(1, 20), st.integers(1, 20))),
    size=st.tuples(st.integers(32, 90), st.integers(32, 90)),
)
def test_masks_of_taps_sum_to_one_or_nothing(channels: np.ndarray, size: tuple[int, int]) -> None:
    guidance = Guidance(channels)
    for tap, halvings in (("conv1_1", 0), ("conv2_1", 1)):
        masks = guidance.masks(SPEC, Size(*size))[f"mask.{tap}"]
        assert masks.shape == (1, len(channels), size[1] >> halvings, size[0] >> halvings)
        assert masks.dtype == np.float32
        assert (masks >= 0).all()
        np.testing.assert_allclose(masks[0].sum((1, 2)), channels.any((1, 2)), atol=1e-3)


def test_regions_are_found_in_spite_of_jpeg_and_soft_edges(tmp_path: Path) -> None:
    image = halves(RED, BLUE, (400, 300)).resize((401, 301), Image.Resampling.BICUBIC)
    found = find_regions([mask(image, tmp_path / "m.jpg")])
    assert len(found) == 2
    for color, expected in zip(sorted(found), (BLUE, RED), strict=True):
        np.testing.assert_allclose(color, expected, atol=12)
    grey = Image.fromarray(np.repeat(np.array([[0, 128, 255]], np.uint8), 40, 0).repeat(20, 1))
    assert sorted(find_regions([mask(grey, tmp_path / "g.png")])) == [(0, 0, 0), (128, 128, 128), (255, 255, 255)]
    both = [mask(halves(RED, BLUE), tmp_path / "1.png"), mask(halves(GREEN, BLUE), tmp_path / "2.png")]
    assert set(find_regions(both)) == {RED, GREEN, BLUE}, "a colour of two masks is one region"
    with pytest.raises(ImageError, match=r"photo.png: has too many colours for a mask"):
        find_regions([mask(noise(0, (200, 200)), tmp_path / "photo.png")])


def test_channels_of_a_mask(tmp_path: Path) -> None:
    image = mask(halves(RED, BLUE), tmp_path / "m.png")
    sharp, soft = (assign(image, [BLUE, RED], feather) for feather in (0, 5))
    assert (sharp[0, :, 32:] == 255).all()
    assert (sharp[0, :, :32] == 0).all()
    assert (sharp.sum(0) == 255).all()
    assert abs(soft.astype(int).sum(0) - 255).max() <= 1
    edge = soft[0, 24].astype(int)
    assert (np.diff(edge) >= 0).all()
    assert ((edge > 0) & (edge < 255)).sum() >= 6


def test_masks_that_make_no_sense(tmp_path: Path) -> None:
    content = mask(halves(RED, GREEN), tmp_path / "m.png")
    with pytest.raises(ImageError, match=r"m.png: no mask of the style has its colour #1ec828; they have #dc1e14 #141edc"):
        guide(Size(640, 480), [RED, BLUE], content, None)
    with pytest.raises(ImageError, match=r"m.png: a mask of 64 x 48 does not fit a picture of 48 x 64"):
        guide(Size(48, 64), [RED, GREEN], None, content)


def test_each_region_gets_its_own_style(regions: Bundle, tmp_path: Path) -> None:
    """The style is red at the left and blue at the right; the photo's masks ask for the one and the other way round."""
    rng = np.random.default_rng(0)
    texture = rng.integers(0, 60, (48, 64, 3))
    style = saved(
        Image.fromarray((np.asarray(halves((160, 10, 10), (10, 10, 160))) + texture).astype(np.uint8)), tmp_path / "s.png"
    )
    style_mask = saved(halves(RED, BLUE), tmp_path / "m" / "s.png")
    stylizer = Stylizer.open(regions, style, style_mask=[style_mask], **QUICK, content_weight=1e-4)
    assert set(stylizer.regions) == {RED, BLUE}
    photo = Picture(Image.fromarray(rng.integers(60, 190, (48, 64, 3), np.uint8)))
    for name, (left, right) in {"as": (RED, BLUE), "swapped": (BLUE, RED)}.items():
        painted = np.asarray(stylizer(photo, mask=saved(halves(left, right), tmp_path / f"{name}.png")).image, np.float64)
        redness = painted[..., 0] - painted[..., 2]
        sign = 1 if left == RED else -1
        assert sign * redness[:, :24].mean() > 30
        assert sign * redness[:, 40:].mean() < -30
    with pytest.raises(UsageError, match="go together"):
        stylizer(photo)


def test_styles_of_regions_are_blended_where_both_are(regions: Bundle, tmp_path: Path) -> None:
    pictures = [saved(noise(seed), tmp_path / f"{seed}.png") for seed in (1, 2)]
    masks = [saved(halves(RED, BLUE), tmp_path / "m1.png"), saved(halves(RED, RED), tmp_path / "m2.png")]
    blend = Stylizer.open(regions, pictures, style_mask=masks, style_blend=[3, 1], **QUICK)
    red, blue = blend.regions.index(RED), blend.regions.index(BLUE)
    one = Stylizer.open(regions, pictures[0], style_mask=masks[:1], **QUICK)
    two = Stylizer.open(regions, pictures[1], style_mask=masks[1:], **QUICK)
    assert len({blend.style.sha256, one.style.sha256, two.style.sha256}) == 3
    for name, found in blend.style.grams(48).items():
        first, second = one.style.grams(48)[name], two.style.grams(48)[name]
        expected = 0.75 * first[0, one.regions.index(RED)] + 0.25 * second[0, 0]
        np.testing.assert_allclose(found[0, red], expected, rtol=1e-5)
        np.testing.assert_allclose(found[0, blue], first[0, one.regions.index(BLUE)], rtol=1e-5)


def test_what_is_protected_stays_to_the_byte(regions: Bundle, tmp_path: Path) -> None:
    photo = Picture(noise(5, (120, 90)))
    kept = saved(halves((255, 255, 255), (0, 0, 0), (60, 45)), tmp_path / "kept.png")
    stylizer = Stylizer.open(regions, saved(noise(6), tmp_path / "s.png"), **QUICK, colors="photo")
    painted, before = (np.asarray(i) for i in (stylizer(photo, protect=kept, feather=0).image, photo.rgb))
    assert (painted[:, :58] == before[:, :58]).all()
    assert (painted[:, 62:] != before[:, 62:]).any(2).mean() > 0.5
    everything = saved(halves((255, 255, 255), (255, 255, 255)), tmp_path / "all.png")
    assert (np.asarray(stylizer(photo, protect=everything, feather=0).image) == before).all()


def test_masks_in_a_batch_of_one_evaluation(regions: Bundle, tmp_path: Path) -> None:
    stylizer = Stylizer.open(
        Engine(regions, Host(provider="cpu", threads=1)),
        saved(noise(7), tmp_path / "s.png"),
        style_mask=[saved(halves(RED, BLUE), tmp_path / "m.png")],
        **{name: value for name, value in QUICK.items() if name != "provider"},
    )
    photos = [Picture(noise(seed)) for seed in (8, 9)]
    masks = [mask(halves(*colors), tmp_path / "c.png") for colors in ((RED, BLUE), (BLUE, RED))]
    guidances = [guide(Size(64, 48), stylizer.regions, each, None) for each in masks]
    alone = [stylizer.begin(PhotoJob(photo, guidance=g)).step().loss for photo, g in zip(photos, guidances, strict=True)]
    paintings = [stylizer.begin(PhotoJob(photo, guidance=g)) for photo, g in zip(photos, guidances, strict=True)]
    steps: list[Future] = [Future() for _ in paintings]
    LockStep().step(list(zip(paintings, steps, strict=True)))
    assert [step.result(0).loss for step in steps] == pytest.approx(alone, rel=1e-5)
    again = pickle.loads(pickle.dumps(guidances[0]))
    assert (again.channels == guidances[0].channels).all(), "as it travels to a worker"


def test_masks_take_a_bundle_with_regions(bundle: Bundle, regions: Bundle, tmp_path: Path) -> None:
    style, colors = saved(noise(1), tmp_path / "s.png"), saved(halves(RED, BLUE), tmp_path / "m.png")
    with pytest.raises(UsageError, match="nstbatch export --regions"):
        Stylizer.open(bundle, style, style_mask=[colors], provider="cpu")
    with pytest.raises(UsageError, match="nstbatch export --regions"):
        Stylizer.open(bundle, style, provider="cpu")(Picture(noise(2)), protect=colors)
    with pytest.raises(UsageError, match="2 --style-mask for 1 --style"):
        Stylizer.open(regions, style, style_mask=[colors, colors], provider="cpu")
    with pytest.raises(StyleError, match=r"style mask: .*tall.png: a mask of 48 x 64 does not fit"):
        Stylizer.open(regions, style, style_mask=[saved(halves(RED, BLUE, (48, 64)), tmp_path / "tall.png")], provider="cpu")


def test_a_profile_names_masks() -> None:
    options = Profile(Size(48, 32), Size(48, 48), Size(64, 48)).options("tensorrt", SPEC, regions=2)
    assert options["trt_profile_max_shapes"].endswith(
        "mask.conv1_1:1x2x48x64,mask.conv1_2:1x2x48x64,mask.conv2_1:1x2x24x32,mask.conv2_2:1x2x24x32,mask.conv3_1:1x2x12x16"
    )


def test_masks_of_a_folder(bundle: Bundle, regions: Bundle, tmp_path: Path, nstbatch: Call) -> None:
    for seed, name in enumerate(("a.png", "b.jpg", "below/c.png", "none.png")):
        saved(noise(seed), tmp_path / "in" / name)
    # A folder of masks among the photos is no folder of photos.
    masks = tmp_path / "in" / "masks"
    saved(halves(RED, BLUE), masks / "a.png")
    saved(halves(RED, GREEN), masks / "b.png")
    saved(halves(BLUE, RED), masks / "below" / "c.png")
    style, style_mask = saved(noise(9), tmp_path / "s.png"), saved(halves(RED, BLUE), tmp_path / "m.png")
    arguments = (tmp_path / "in", "-r", "--style", style, "--style-mask", style_mask, "--bundle", regions.path)
    options = ("--size", 40, "--scales", 1, "--iterations", 2, "-o", tmp_path / "out", "--provider", "cpu")
    first = nstbatch(*arguments, *options, "--content-mask", masks)
    assert first.returncode == 3, first.stderr
    assert "2 painted, 2 failed" in first.stdout
    assert "no mask of the style has its colour #1ec828" in first.stderr
    assert f"{masks}: has no mask of it, such as none.png" in first.stderr
    saved(halves(BLUE, RED), masks / "a.png")
    saved(halves(BLUE, RED), masks / "b.png")
    second = nstbatch(*arguments, *options, "--content-mask", masks, "-v")
    assert "2 painted, 1 failed, 1 up to date" in second.stdout
    assert "the options have changed" in second.stdout + second.stderr
    alone = nstbatch(*arguments[:-2], *options, "--bundle", regions.path)
    assert (alone.returncode, "--style-mask and --content-mask go together" in alone.stderr) == (2, True)
    plain = nstbatch(tmp_path / "in", "--style", style, "--protect", masks / "a.png", "--bundle", bundle.path, *options)
    assert (plain.returncode, "nstbatch export --regions" in plain.stderr) == (2, True), "before any picture"
    gone = nstbatch(tmp_path / "in", "--style", style, "--protect", tmp_path / "gone", *options)
    assert (gone.returncode, "no such file or folder of masks" in gone.stderr) == (2, True)


def test_losses_of_a_painting_with_masks(regions: Bundle, tmp_path: Path, nstbatch: Call) -> None:
    photo, style = saved(noise(1), tmp_path / "a.png"), saved(noise(2), tmp_path / "s.png")
    style_mask, content_mask = saved(halves(RED, BLUE), tmp_path / "m.png"), saved(halves(BLUE, RED), tmp_path / "c.png")
    masks = ("--style-mask", style_mask, "--content-mask", content_mask, "--feather", 0)
    common = (photo, photo, "--style", style, "--bundle", regions.path, "--provider", "cpu", "--json")
    swapped, plain = (json.loads(nstbatch("losses", *common, *options).stdout) for options in (masks, ()))
    assert [term["kind"] for term in swapped["terms"]] == [term["kind"] for term in plain["terms"]]
    assert swapped["terms"][0]["value"] == plain["terms"][0]["value"] == 0
    stylizer = Stylizer.open(regions, style, style_mask=[style_mask], size=512, provider="cpu")
    guidance = guide(Size(64, 48), stylizer.regions, Mask.read(content_mask), None, feather=0)
    terms = compare(stylizer, Picture(noise(1)), Picture(noise(1)), guidance).terms
    assert [term["value"] for term in swapped["terms"]] == pytest.approx([term.value for term in terms], rel=1e-5)
    assert swapped["loss"] != pytest.approx(plain["loss"], rel=0.01)
    refused = nstbatch("losses", *common, *masks[:2])
    assert (refused.returncode, "go together" in refused.stderr) == (2, True)
