"""How a level's pixels are divided among the programs of a Triton launch."""

from dataclasses import dataclass

#: maximum of pixels that one program keeps in registers: ten numbers each
_LARGEST, _SHORTEST = 64 * 64, 16
_PIXELS_A_WARP = 256


@dataclass(frozen=True)
class Tile:
    """rows x columns pixels in a program with ``warps`` warps (of 32 threads); sides are powers of two.

    steps: iterations per launch. Tiles overlap by 2 ``steps`` pixels: in each iteration the unknown pixels beyond a
    tile's edge invalidate one pixel more, and those are left to the neighbour. 0: the tile is the whole level, nothing
    is invalidated, and one launch does all iterations.
    """

    rows: int
    columns: int
    steps: int
    warps: int

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Tiles down and across a level."""
        return _count(height, self.rows, self.steps), _count(width, self.columns, self.steps)


#: candidates on a GPU for levels of more than one tile; the first is used without measuring. Fewer steps read and write
#: the fields more often, more steps compute more pixels twice
TILES = (Tile(32, 64, 4, 16), Tile(32, 32, 2, 8), Tile(32, 64, 4, 8))


def _count(side: int, tile: int, steps: int) -> int:
    return 1 if side <= tile else 1 - (tile - side) // (tile - 2 * steps)


def whole_level(height: int, width: int) -> Tile | None:
    """The tile for the whole of a small level; None for a level too large for one program."""
    rows, columns = (max(_SHORTEST, power_of_two(side)) for side in (height, width))
    pixels = rows * columns
    return Tile(rows, columns, 0, min(16, max(4, pixels // _PIXELS_A_WARP))) if pixels <= _LARGEST else None


def power_of_two(number: int) -> int:
    """The smallest power of two that is at least ``number``."""
    return 1 << (number - 1).bit_length()
