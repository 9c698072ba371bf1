"""Which pictures are evaluated in tiles, and by what."""

from collections.abc import Callable
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from ..assembly.regional import with_regions
from ..bundle.memory import encoding_bytes, evaluation_bytes
from ..bundle.spec import Bundle, BundleSpec
from ..engine.binding import Array
from ..engine.engine import Engine
from ..engine.host import maps_freely, memory_limit
from ..files.cache import cache_dir
from ..files.scratch import Empty, Scratch, mapped, zeros
from ..optimizer.host_vectors import belongs_in_file
from ..pictures.regions import Guidance
from ..recipe.provider import AUTO, TILE_OFF
from ..recipe.size import Size, TileSize
from .tiled import Mosaic, TiledTargets
from .tiles import halo_of, step_of

_LARGEST = 1024
"""Most pixels of a tile's side that is chosen here: above, the halo is a small part of it, see `bench/tiling.py`."""

_SHARE = 0.4
"""Of the memory, for the evaluation of a tile."""


class Tiling:
    """How an engine's pictures are evaluated that memory does not hold in one piece.

    Args:
        engine: that evaluates those that it holds.
        check: raises a ProviderError where another engine, of the same provider, computes something else.

    Attributes:
        size: of tiles; None where there are to be none.
    """

    def __init__(self, engine: Engine, check: Callable[[Engine], None] = lambda _: None) -> None:
        self._engine = engine
        self._check = check
        self._free = engine.free_memory()
        self.size = self._size()

    def _size(self) -> TileSize | None:
        chosen = self._engine.host.tile
        if chosen == TILE_OFF or (chosen == AUTO and self._free is None):
            return None
        spec = self._engine.bundle.manifest.spec
        step = step_of(spec)
        if chosen != AUTO:
            return TileSize(max(step, int(chosen) // step * step), halo_of(spec), always=True)
        return tile_size(spec, self._free or 0)

    @cached_property
    def engine(self) -> Engine:
        """What evaluates tiles: the same engine, or one of the same weights with regions.

        Raises:
            BundleError: the package has no such graphs.
            ProviderError: see ``check``.
        """
        engine = self._engine
        bundle: Bundle = with_regions(engine.bundle, engine.host.cache or cache_dir())
        if bundle is engine.bundle:
            return engine
        other = engine.of(bundle)
        self._check(other)
        return other

    def takes(self, size: Size) -> bool:
        """Whether a picture is evaluated in tiles, by who knows of no plan."""
        tile = self.size
        if tile is None or size.long_side <= tile.side:
            return False
        spec = self._engine.bundle.manifest.spec
        whole = evaluation_bytes(spec, size.pixels, spec.regions)
        return tile.always or (self._free is not None and whole > self._free)

    def encodes(self, size: Size) -> bool:
        """Whether the Gram matrices of a style of that size are computed in tiles."""
        tile = self.size
        if tile is None or size.long_side <= tile.side:
            return False
        spec = self._engine.bundle.manifest.spec
        return tile.always or encoding_bytes(size.pixels) > evaluation_bytes(spec, tile.pixels, max(1, spec.regions))

    def grams(self, image: Array, guidance: Guidance | None) -> dict[str, NDArray[np.float32]]:
        """Gram matrices of a style, as `encode` gives them: ``[1, C, C]``, or of regions."""
        grams = self._mosaic(image, guidance).grams(image)
        if self._engine.bundle.manifest.spec.regions:
            return grams
        return {name: gram[:, 0] for name, gram in grams.items()}

    def targets(
        self, content: Array, guidance: Guidance | None, grams: dict[str, Array], empty: Empty = zeros
    ) -> TiledTargets:
        """What a photo in tiles is compared with, see `TiledTargets.of`."""
        if self.engine is not self._engine:
            # What coarser levels took is needed now.
            self._engine.release()
        aside = Scratch(self._engine.host.cache)
        return TiledTargets.of(self._mosaic(content, guidance), content, grams, aside, empty)

    def arrays(self, count: int, history: int) -> Empty:
        """What makes the arrays of a picture of so many elements: in memory, or in a file where that has not the room."""
        memory = memory_limit()
        if memory is None or not belongs_in_file(count, history, memory):
            return zeros
        return partial(mapped, self._engine.host.cache)

    def _mosaic(self, image: Array, guidance: Guidance | None) -> Mosaic:
        assert self.size is not None, "there are tiles"
        return Mosaic.of(self.engine, Size.of_array(image.shape), self.size.side, guidance)

    def cancel(self) -> None:
        """End an evaluation that is under way, see `Engine.cancel`."""
        if "engine" in self.__dict__:
            self.engine.cancel()


def tile_size(spec: BundleSpec, free: int) -> TileSize:
    """The largest tiles that there is the memory for.

    Args:
        spec: of the bundle.
        free: bytes.
    """
    step, halo = step_of(spec), halo_of(spec)
    # Of an address space, every thread and allocator takes parts that nobody uses.
    most = (_SHARE if maps_freely() else _SHARE / 2) * free
    sizes = (TileSize(side, halo, always=False) for side in range(_LARGEST, step, -step))
    fitting = (size for size in sizes if evaluation_bytes(spec, size.pixels, max(1, spec.regions)) <= most)
    return next(fitting, TileSize(step, halo, always=False))
