"""Sessions that are kept for the next picture, as far as memory reaches."""

from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any

_MOST = 16
"""Sessions that are kept at most: whatever they compute, each has its own copy of the weights in its own layout."""


class SessionCache:
    """The sessions used last; those not used for longest go first.

    Args:
        limit: bytes that all of them may take; one that takes more alone is kept alone. None for no limit.
    """

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._kept: dict[Hashable, tuple[int, Any]] = {}
        self._making = Lock()

    def get(self, key: Hashable, size: int, make: Callable[[], Any]) -> Any:
        """The session of that key; made now, if it is not kept.

        Args:
            key: what it computes.
            size: bytes that it takes when it runs; 0 for one that is always kept.
            make: makes it.
        """
        with self._making:
            entry = self._kept.pop(key, None)
            if entry is None:
                # First: what goes leaves its memory to what comes.
                self._make_room(size)
                entry = size, make()
            # In again at the end: the first is the one not used for longest.
            self._kept[key] = entry
            return entry[1]

    def clear(self) -> None:
        """Drop all."""
        with self._making:
            self._kept.clear()

    def _make_room(self, size: int) -> None:
        if not size:
            return
        sizes = {key: taken for key, (taken, _) in self._kept.items() if taken}
        while sizes and (len(sizes) >= _MOST or (self._limit is not None and sum(sizes.values()) + size > self._limit)):
            oldest = next(iter(sizes))
            del self._kept[oldest], sizes[oldest]
