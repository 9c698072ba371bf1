"""Names that lead nowhere but below the folder that they are of."""

import os
from typing import Self


class Name(str):
    """A relative name: plain components, with ``/`` between them.

    What comes from a file, a URL or another host becomes one before it is joined to a folder.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Check a text.

        Raises:
            ValueError: it is absolute or empty, has ``.``, ``..``, an empty component or NUL, or is nothing that a file of
                this host can be called.
        """
        if "\0" in text or any(part in ("", ".", "..") for part in text.split("/")):
            raise ValueError(f"{text!r} is no plain relative name")
        os.fsencode(text)
        return super().__new__(cls, text)
