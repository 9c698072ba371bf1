"""How styles go together."""

from pathlib import Path

import pytest

from nstbatch.runtime.errors import StyleError, UsageError
from nstbatch.runtime.pictures.styles import Styles, check_styles, read_masks, read_style
from seams import picture


@pytest.mark.parametrize(
    ("count", "blend", "each", "masks", "message"),
    [
        (0, None, False, 0, "at least one style"),
        (2, (1.0, 2.0), True, 0, "takes neither"),
        (2, None, True, 2, "takes neither"),
        (2, (1.0,), False, 0, "1 shares for 2 styles"),
        (2, (1.0, 0.0), False, 0, "shares above 0"),
        (2, (1.0, float("nan")), False, 0, "shares above 0"),
        (2, (1.0, float("inf")), False, 0, "shares above 0"),
        (2, None, False, 1, "1 --style-mask for 2 --style"),
    ],
)
def test_what_does_not_go_together(
    count: int, blend: tuple[float, ...] | None, each: bool, masks: int, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        check_styles(count, blend, each, masks)


def test_shares_are_equal_unless_given(tmp_path: Path) -> None:
    paths = [picture(tmp_path / f"{seed}.png", seed=seed) for seed in range(2)]
    assert Styles.read(paths).shares == (1.0, 1.0)
    assert Styles.read(paths, [3, 1]).shares == (3, 1)
    assert Styles.read([read_style(path) for path in paths]) == Styles.read(paths), "what is read is not read again"


def test_what_cannot_be_read_is_named_with_its_role(tmp_path: Path) -> None:
    path = tmp_path / "text.jpg"
    path.write_text("no picture")
    with pytest.raises(StyleError, match=r"^style: .*text\.jpg: not a picture"):
        read_style(path)
    with pytest.raises(StyleError, match=r"^init: .*text\.jpg: not a picture"):
        read_style(path, role="init")
    with pytest.raises(StyleError, match=r"^style mask: .*text\.jpg: not a picture"):
        read_masks([path])
