"""Which sessions are kept."""

from hypothesis import given
from hypothesis import strategies as st

from nstbatch.runtime.engine.session_cache import _MOST, SessionCache


@given(
    asked=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5)), max_size=60),
    limit=st.one_of(st.none(), st.integers(0, 40)),
)
def test_what_was_used_last_is_kept_as_far_as_memory_reaches(asked: list[tuple[int, int]], limit: int | None) -> None:
    cache = SessionCache(limit)
    kept: list[tuple[int, int]] = []
    for key in asked:
        size = key[0] % 13
        made = []
        assert cache.get(key, size, lambda key=key, made=made: made.append(key) or key) == key
        assert bool(made) == (key not in kept), "made exactly when it was not there"
        if key in kept:
            kept.remove(key)
        # The model: of those with a size, the newest that fit beside the new one.
        elif size:
            while (sized := [k for k in kept if k[0] % 13]) and (
                len(sized) >= _MOST or (limit is not None and sum(k[0] % 13 for k in sized) + size > limit)
            ):
                kept.remove(sized[0])
        kept.append(key)
        sizes = [k[0] % 13 for k in kept]
        assert limit is None or sum(sizes) <= max(limit, size, *sizes)


def test_clear_drops_all() -> None:
    cache = SessionCache(None)
    made: list[int] = []
    for _ in range(2):
        cache.get("a", 0, lambda: made.append(1))
        cache.clear()
    assert len(made) == 2
