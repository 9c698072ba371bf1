"""Options by their names."""

from dataclasses import dataclass

import pytest

from nstbatch.runtime.errors import UsageError
from nstbatch.runtime.recipe.keywords import names_of, refuse_unknown, take


@dataclass(frozen=True)
class Chair:
    legs: int = 4
    color: str = "white"
    _hidden: int = 0


def test_fields_take_the_options_of_their_names() -> None:
    assert take(Chair, {"legs": 3, "width": 50}) == Chair(3)
    assert take(Chair, {"legs": 3}, legs=5, color="red") == Chair(5, "red"), "what comes from elsewhere counts"
    assert take(Chair, {"_hidden": 7}) == Chair()
    assert names_of(Chair) == ["legs", "color"]


def test_a_name_that_nobody_knows() -> None:
    refuse_unknown(["legs"], names_of(Chair))
    with pytest.raises(UsageError, match="'colour' is not an option; did you mean 'color'"):
        refuse_unknown(["colour"], names_of(Chair))
    with pytest.raises(UsageError, match="'zzz' is not an option; the options are color, legs"):
        refuse_unknown(["zzz"], names_of(Chair))
