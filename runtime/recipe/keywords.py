"""Options by name, as the command line and Python give them, and the values that they are fields of."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, TypeVar

from ..errors import UsageError

T = TypeVar("T")

Options = Mapping[str, Any]
"""Values of options by name. An option keeps its name from the command line to the field that holds it."""


def take(kind: type[T], options: Options, **others: Any) -> T:
    """A dataclass whose fields have the values of the options of their names.

    Args:
        kind: the dataclass.
        options: those without a field are left alone.
        others: fields that come from elsewhere.
    """
    return kind(**({name: options[name] for name in names_of(kind) if name in options} | others))


def names_of(*kinds: type) -> list[str]:
    """The names of the fields of dataclasses."""
    return [field.name for kind in kinds for field in fields(kind) if not field.name.startswith("_")]


def refuse_unknown(options: Iterable[str], known: Iterable[str]) -> None:
    """Refuse an option that nobody takes, and name the one that was probably meant.

    Raises:
        UsageError: there is such an option.
    """
    known = list(dict.fromkeys(known))
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            advice = f"did you mean '{near[0]}'?" if near else f"the options are {', '.join(sorted(known))}"
            raise UsageError(f"'{name}' is not an option; {advice}")
