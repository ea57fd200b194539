"""RGB difference: differences of consecutive RGB frames as a net's input, computed from the frames when needed.

A snippet is L + 1 frames; the input is the L differences I(t+1) - I(t), each with three planes in the frames' order
(B, G, R): 15 planes for L = 5. Differences are signed by default (the authors' later PyTorch code, yjxiong/tsn-pytorch,
models.py); ``absolute`` takes |I(t+1) - I(t)| as the first implementation did. Paper: arXiv 1608.00859, section 3.2.

Frames are cropped, resized and mirrored as uint8, then subtracted as float32. No mean is subtracted, as it would
cancel. Mirroring a crop mirrors its differences but, unlike flow, keeps their sign.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch  # --help needs DIFFERENCES and must not wait for torch

#: how differences are taken
DIFFERENCES = ("signed", "absolute")


def frame_differences(planes: "torch.Tensor", frames: int, segments: int = 1, kind: str = "signed") -> "torch.Tensor":
    """Differences of consecutive frames, on the device of ``planes``.

    planes: uint8 (N, segments * frames * P, H, W), segments outermost, P planes per frame (3, or 1 if grey).
    Returns float32 (N, segments * (frames - 1) * P, H, W) in the same order: -255 to 255, or 0 to 255 for ``kind``
    absolute.
    """
    stacks = planes.unflatten(1, (segments, frames, -1)).float()  # (N, S * F * P, H, W) -> (N, S, F, P, H, W)
    differences = stacks[:, :, 1:] - stacks[:, :, :-1]
    if kind == "absolute":
        differences = differences.abs_()
    return differences.flatten(1, 3)  # (N, S, F - 1, P, H, W) -> (N, S * (F - 1) * P, H, W)
