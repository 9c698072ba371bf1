"""The list of presets."""

from click.testing import CliRunner

from nstbatch.cli.app import app
from nstbatch.runtime.recipe.presets import PRESETS


def test_presets_are_listed() -> None:
    result = CliRunner().invoke(app, ["presets"])
    assert result.exit_code == 0
    for name, preset in PRESETS.items():
        assert name in result.output
        assert preset.formula in result.output
        assert preset.source in result.output
