"""Lengths of gradients, rounded once as in C's hypotf, which torch.hypot does not always match."""

import cv2
import torch

CHUNK = 16384  # values whose float64 copies, 256 kB, fit a core's own cache


class Lengths:
    """sqrt(x^2 + y^2): ``vectors``, float32 (2, ...), x then y, into ``lengths`` (...); both contiguous.

    On the CPU the sum and its root are float64, in which squares of float32 are exact; C's hypotf, and so OpenCV,
    computes it this way. torch.hypot's two float32 parts are 1e-7 of a last bit off, so about one value in 4e7, near
    halfway between two float32, rounds to the wrong side. A pair takes 1e8 to 6e8 lengths, and with large motion one
    wrong bit moves regions by pixels. Other devices use ``double_lengths``; a GPU's hypotf is off in the last bit more
    often.
    """

    def __init__(self, vectors: torch.Tensor, lengths: torch.Tensor):
        self.vectors, self.lengths = vectors, lengths
        self.chunks = list(_chunks(vectors.view(2, 1, -1), lengths.view(1, -1))) if lengths.device.type == "cpu" else []

    def update(self) -> torch.Tensor:
        """Computes ``lengths`` from ``vectors`` and returns it."""
        if not self.chunks:
            return self.lengths.copy_(double_lengths(self.vectors))
        for narrow, wide, result, x, y, lengths in self.chunks:
            wide.copy_(narrow)
            cv2.magnitude(x, y, x)
            lengths.copy_(result)
        return self.lengths


def double_lengths(vectors: torch.Tensor) -> torch.Tensor:
    """The same with PyTorch's operations, float64 (...): slower on a CPU."""
    return torch.linalg.vector_norm(vectors, dim=0, dtype=torch.float64)


def _chunks(vectors: torch.Tensor, lengths: torch.Tensor):
    """Views of (2, 1, n) and (1, n) piece by piece, and of one float64 buffer that all pieces share."""
    buffer = torch.empty(2, 1, CHUNK, dtype=torch.float64)
    for narrow, own in zip(vectors.split(CHUNK, -1), lengths.split(CHUNK, -1), strict=True):
        wide = buffer[..., : own.shape[-1]]
        x, y = wide.numpy()
        yield narrow, wide, wide[0], x, y, own
