"""Caffe's random numbers: one Mersenne Twister and boost 1.74's distributions, bit for bit.

Caffe draws nearly everything (fillers, CPU dropout, the seeds of data layers) from one global generator, in order of
execution; to repeat a run, the same numbers are needed in the same order. ``CaffeRng`` is that generator, and also the
type of the data layers' private generators. Its draws are tested against recordings of boost (tests/recordings/rng).
"""

import secrets
from collections.abc import MutableSequence
from typing import Any

import numpy as np

from converter.errors import PytsnError
from pytsn.caffe_random.ziggurat import SPARE, unit_normals

_TOP = 0xFFFFFFFF
_STATE_SIZE = 624
_BLOCK = 1 << 16

_F = np.float32


class CaffeRng:
    """MT19937 seeded as ``boost::mt19937(seed)``: seed is taken modulo 2^32."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.MT19937(0)
        self._bits._legacy_seeding(int(seed) & _TOP)  # Matsumoto and Nishimura's init_genrand, as in boost

    @classmethod
    def from_entropy(cls) -> "CaffeRng":
        """A generator with an unpredictable seed, as in Caffe without ``random_seed``."""
        return cls(secrets.randbits(32))

    def raw(self) -> int:
        """The next 32-bit output."""
        return int(self._bits.random_raw())

    def raws(self, count: int) -> np.ndarray:
        """The next outputs: uint64 (count,), each below 2^32."""
        return self._bits.random_raw(count)

    def uniform(self, count: int, low: float, high: float) -> np.ndarray:
        """float32 (count,) in [low, high], both taken as float32. Raises PytsnError unless low <= high.

        Source: math_functions.cpp, caffe_rng_uniform (it draws below the next float after ``high``), and boost's
        uniform_real_distribution.hpp: all in float32; a value that rounding raises to the bound is drawn again.
        """
        least, most = _F(low), _F(high)
        if not least <= most:
            raise PytsnError(f"uniform draws: low {least:g} is above high {most:g}")
        values = np.empty(count, _F)
        done = 0
        while done < count:
            new = _uniform(self.raws(min(count - done, _BLOCK)), least, np.nextafter(most, _F(np.inf)))
            values[done : done + len(new)] = new
            done += len(new)
        return values

    def gaussian(self, count: int, mean: float, std: float) -> np.ndarray:
        """float32 (count,) of a normal distribution; ``mean`` and ``std`` are taken as float32.

        Source: caffe_rng_gaussian and boost's normal_distribution<float> (pytsn/caffe_random/ziggurat.py).
        """
        values = np.empty(count, _F)
        done = 0
        while done < count:
            wanted = min(count - done, _BLOCK)
            before = self._bits.state
            new, used = unit_normals(self.raws(wanted + wanted // 32 + SPARE), wanted)
            self._bits.state = before
            self._bits.random_raw(used, output=False)
            values[done : done + len(new)] = new
            done += len(new)
        return values * _F(std) + _F(mean)

    def bernoulli(self, count: int, p: float | np.floating, single: bool = False) -> np.ndarray:
        """int64 (count,) of 0 and 1, 1 with probability ``p``. No draw at all when p is 0.

        ``single``: compare in float32, as sparse fillers do; dropout's probability is a double. Source:
        caffe_rng_bernoulli and boost's bernoulli_distribution.hpp.
        """
        if not 0 <= p <= 1:
            raise PytsnError(f"bernoulli draws: the probability must lie in [0, 1], found {p:g}")
        if p == 0:
            return np.zeros(count, np.int64)
        kind: type[np.floating] = _F if single else np.float64
        return (self.raws(count).astype(kind) <= kind(p) * kind(_TOP)).astype(np.int64)

    def uniform_int(self, bound: int) -> int:
        """One integer in 0..bound (bound < 2^32 - 1). Source: boost's uniform_int_distribution.hpp: outputs fall into
        bound + 1 buckets of equal size; outputs beyond them are drawn again."""
        if bound == 0:
            return 0
        bucket = (_TOP + 1) // (bound + 1)
        while True:
            value = self.raw() // bucket
            if value <= bound:
                return value

    def shuffle(self, items: MutableSequence) -> None:
        """Shuffles in place: Fisher and Yates from the back. Source: util/rng.hpp."""
        for last in range(len(items) - 1, 0, -1):
            chosen = self.uniform_int(last)
            items[last], items[chosen] = items[chosen], items[last]

    def state(self) -> np.ndarray:
        """uint32 (625,): the generator's 624 words and its position in them."""
        state = self._bits.state["state"]
        return np.append(state["key"], state["pos"]).astype(np.uint32)

    def set_state(self, state: np.ndarray) -> None:
        """Restores a result of ``state()``. Raises PytsnError for anything else."""
        state = np.asarray(state)
        if state.shape != (_STATE_SIZE + 1,) or state.dtype != np.uint32 or state[-1] > _STATE_SIZE:
            raise PytsnError(f"random state: 625 words of uint32 expected, found {state.dtype} {state.shape}")
        words: Any = {"key": state[:-1].copy(), "pos": int(state[-1])}
        self._bits.state = {"bit_generator": "MT19937", "state": words}


def _uniform(raws: np.ndarray, low: np.float32, bound: np.float32) -> np.ndarray:
    half = _F(0.5)
    if bound * half - low * half > np.finfo(_F).max / 2:  # the span itself would overflow
        return _F(2) * _uniform(raws, low * half, bound * half)
    values = raws.astype(_F) * _F(2.0**-32) * (bound - low) + low
    return values[values < bound]
