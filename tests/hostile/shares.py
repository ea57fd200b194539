"""How much of a long run each kind of work gets."""

from collections.abc import Mapping, Sequence
from typing import Protocol


class Shared(Protocol):
    """Something that has a share, relative to the others."""

    @property
    def share(self) -> int: ...


def shares(count: int, table: Mapping[str, Shared], only: Sequence[str] | None) -> dict[str, int]:
    """How many of each, by their shares: ``count`` together, at least one of each. only: names, None for all."""
    chosen = list(only or table)
    total = sum(table[name].share for name in chosen)
    counts = {name: max(1, count * table[name].share // total) for name in chosen}
    counts[chosen[0]] += max(0, count - sum(counts.values()))
    return counts
