"""Normal deviates from 32-bit random numbers, as in boost 1.74's ``normal_distribution<float>``.

The method is Marsaglia and Tsang's ziggurat ("The Ziggurat Method for Generating Random Variables", 2000): 128 layers
of equal area under exp(-x^2 / 2), and 256 under exp(-x) for the normal's tail. One 32-bit number picks a layer (its low
8 bits, the lowest of which is the sign for the normal) and a position in it (its high 24 bits); about 1 in 90 needs
more numbers. All arithmetic is float32 except one comparison, because results near a corner depend on the rounding.
"""

import functools
from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import Any, TypeVar

import numpy as np

#: where the tail of the normal ziggurat starts, and the width of a box of one layer's area and the curve's height there
_NORMAL_START = Decimal("3.4426198558966521214243204914673397043375973858491")
_NORMAL_BASE = Decimal("3.7130862467403632609186546204588261086123033344354")
#: the same start for the exponential ziggurat; its box is wider by 1
_EXPONENTIAL_START = Decimal("7.6971174701310497140446280480152154991139686400499")
#: 32-bit numbers from here on become 2^32 as float32: a fraction of 1, which boost discards
_ROUNDS_TO_ONE = 0xFFFFFF80
#: no value starts so close to the end of a block that its numbers could run out: a tail takes at least 3, and an eighth
#: of the tails are tried again
SPARE = 256

_F = np.float32
#: one number of an array, or a whole array: the arithmetic is the same
Numbers = TypeVar("Numbers", np.ndarray, np.float32)


@functools.cache
def _layers(
    count: int,
    start: Decimal,
    base: Decimal,
    density: Callable[[Decimal], Decimal],
    inverse: Callable[[Decimal], Decimal],
) -> tuple[np.ndarray, np.ndarray]:
    """Right edges x (count + 1, falling to 0) and heights y (rising from 0 to 1) of the layers, float64."""
    with localcontext() as context:
        context.prec = 50  # the recursion loses about 15 digits
        edges, area = [base, start], base * density(start)
        while len(edges) < count:
            edges.append(inverse(area / edges[-1] + density(edges[-1])))
        heights = [Decimal(0), *map(density, edges[1:]), Decimal(1)]
        return np.array([*edges, 0], np.float64), np.array(heights, np.float64)


def _bell(x: Decimal) -> Decimal:
    return (-x * x / 2).exp()


def _bell_inverse(y: Decimal) -> Decimal:
    return (-2 * y.ln()).sqrt()


def _decay(x: Decimal) -> Decimal:
    return (-x).exp()


def _decay_inverse(y: Decimal) -> Decimal:
    return -y.ln()


def _normal_layers() -> tuple[np.ndarray, np.ndarray]:
    return _layers(128, _NORMAL_START, _NORMAL_BASE, _bell, _bell_inverse)


def _exponential_layers() -> tuple[np.ndarray, np.ndarray]:
    return _layers(256, _EXPONENTIAL_START, _EXPONENTIAL_START + 1, _decay, _decay_inverse)


def _exp(x: Numbers) -> Numbers:
    """exp as in C's expf: rounded once (numpy's own float32 exp is off by up to 2.5 units in the last place)."""
    return np.exp(x.astype(np.float64)).astype(_F)


def unit_normals(raws: np.ndarray, count: int) -> tuple[np.ndarray, int]:
    """Up to ``count`` standard normal deviates from 32-bit numbers, in their order.

    raws: uint64 (M,), M > SPARE. Returns float32 (<= count,) and the number of raws used; returns fewer than ``count``
    values if only SPARE numbers are left. Source: boost 1.74, random/normal_distribution.hpp and
    random/detail/int_float_pair.hpp.
    """
    end = len(raws) - SPARE
    edges, _ = _normal_layers()
    layer = ((raws[:end] & 255) >> 1).astype(np.intp)
    x = _fraction(raws[:end]) * edges.astype(_F)[layer]
    values = np.where(raws[:end] & 1, x, -x)
    kept = x < edges[layer + 1]  # compared in float64, as boost does
    slow = np.flatnonzero(~kept)
    inside = _in_wedge(x[slow], layer[slow], raws[slow + 1])
    after: dict[int, int] = {}  # where the next value starts, after a value that used several numbers
    free = 0
    for place, good in zip(slow.tolist(), inside.tolist(), strict=True):
        if place < free:
            continue  # used by the value before
        free = place + 2
        if layer[place] == 0:
            tail, free = _tail(raws, place + 1)
            good, values[place] = True, tail if raws[place] & 1 else -tail
        elif raws[place + 1] >= _ROUNDS_TO_ONE:
            free = _usable(raws, place + 1) + 1
            good = _in_wedge(x[[place]], layer[[place]], raws[[free - 1]])[0]
        kept[place : place + 1], kept[place + 1 : free] = good, False
        after[place] = free
    places = np.flatnonzero(kept)[:count]
    used = max(end, free) if len(places) < count else after.get(places[-1], places[-1] + 1)
    return values[places], int(used)


def _fraction(raws: np.ndarray) -> Any:
    """The high 24 bits as float32 in [0, 1), for an array or a single number."""
    return (raws >> 8).astype(_F) * _F(2.0**-24)


def _unit(raws: np.ndarray) -> Any:
    """All 32 bits as float32 in [0, 1), for an array or a single number: boost's uniform_01."""
    return raws.astype(_F) * _F(2.0**-32)


def _usable(raws: np.ndarray, place: int) -> int:
    """The first position from ``place`` on whose number uniform_01 does not discard."""
    while raws[place] >= _ROUNDS_TO_ONE:
        place += 1
    return place


def _in_wedge(x: np.ndarray, layer: np.ndarray, raws: np.ndarray) -> np.ndarray:
    """True where a point at x, at the height in its layer given by ``raws``, is under the bell curve.

    Two straight lines decide most cases; boost's rounding of them decides at the border, so they are kept.
    """
    edges, heights = _normal_layers()
    right, low = edges.astype(_F)[layer], heights.astype(_F)[layer]
    up = _unit(raws)
    y = low + up * (heights[layer + 1] - heights[layer]).astype(_F)
    from_chord = (edges[layer] - edges[layer + 1]).astype(_F) * up - (right - x)
    from_tangent = y - (low + (right - x) * low * right)
    convex = edges[layer] >= 1
    over, under = np.where(convex, from_chord, from_tangent), np.where(convex, from_tangent, from_chord)
    return (over < 0) & ((under < 0) | (y < _exp(-(x * x / _F(2)))))


def _tail(raws: np.ndarray, place: int) -> tuple[np.float32, int]:
    """A deviate beyond the ziggurat's start, and the position after the numbers used: draws two exponential deviates
    until they fit under the bell curve."""
    start = _F(float(_NORMAL_START))
    while True:
        x, place = _exponential(raws, place)
        y, place = _exponential(raws, place)
        x = x / start
        if 2 * y > x * x:
            return x + start, place


def _exponential(raws: np.ndarray, place: int) -> tuple[np.float32, int]:
    """One deviate of density exp(-x), float32. Source: boost 1.74, random/exponential_distribution.hpp."""
    edges, heights = _exponential_layers()
    shift = _F(0)
    while True:
        layer, x = int(raws[place] & 255), _fraction(raws[place])
        x, place = x * _F(edges[layer]), place + 1
        if x < _F(edges[layer + 1]):
            return shift + x, place
        if layer == 0:
            shift += _F(edges[1])  # the tail of an exponential has the shape of the whole
            continue
        place = _usable(raws, place)
        up, place = _unit(raws[place]), place + 1
        if _under_decay(x, up, edges[layer : layer + 2], heights[layer : layer + 2]):
            return x + shift, place


def _under_decay(x: np.float32, up: np.float32, edges: np.ndarray, heights: np.ndarray) -> bool:
    y = _F(heights[0]) + up * _F(heights[1] - heights[0])
    from_chord = _F(edges[0] - edges[1]) * up - (_F(edges[0]) - x)
    from_tangent = y - (_F(heights[1]) + (_F(edges[1]) - x) * _F(heights[1]))
    return bool(from_chord < 0 and (from_tangent < 0 or y < _exp(-x)))
