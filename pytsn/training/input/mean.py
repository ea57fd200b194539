"""The mean and scale of a data layer: ``mean_value`` or ``mean_file``, and ``scale``."""

from collections.abc import Sequence

import numpy as np
import torch
from google.protobuf.message import DecodeError

from converter import caffe_tsn_pb2 as pb
from converter.core_threads import on_all_cores
from converter.errors import PytsnError
from converter.files import read_bytes
from pytsn.training.input.augmentation import choose_crop
from pytsn.training.input.sample import ReadOptions, SamplePlan


class Mean:
    """(value - mean) * scale in float32. ``values``: float32 (C,), one for each channel, zeros without a mean;
    ``image``: float32 (C, H, W) of a mean file, else None; ``scale``. Source: data_transformer.cpp.
    """

    def __init__(self, param: pb.TransformationParameter, channels: int) -> None:
        """Raises PytsnError if mean_value and mean_file are both given or do not fit ``channels``."""
        self.scale = param.scale
        values = list(param.mean_value) or [0.0]
        if param.mean_value and param.HasField("mean_file"):
            raise PytsnError("mean_file and mean_value are both given: remove one")
        if len(values) > 1 and channels % len(values):
            raise PytsnError(f"{len(values)} mean_values for {channels} channels: give one, or as many as divide them")
        self.values = np.resize(np.array(values, np.float32), channels)  # a group repeats
        self.image = _read_mean(param.mean_file, channels) if param.HasField("mean_file") else None

    def apply(self, data: torch.Tensor, plans: Sequence[SamplePlan], options: ReadOptions) -> torch.Tensor:
        """uint8 or float32 (N, C, S, S) -> float32 (N, C, S, S), on the CPU's cores."""
        mean = torch.from_numpy(self.values)[:, None, None].expand(data.shape)
        if self.image is not None:
            mean = _parts(self.image, plans, options)
        result = torch.empty(data.shape)

        def finish(sample: int) -> None:
            values = result[sample].copy_(data[sample]).sub_(mean[sample])
            if self.scale != 1:
                values.mul_(self.scale)

        on_all_cores(finish, range(len(data)))
        return result


def _parts(image: np.ndarray, plans: Sequence[SamplePlan], options: ReadOptions) -> torch.Tensor:
    """The part of the mean image under each crop: (N, C, S, S). With multi_scale Caffe always takes the upper left
    corner."""
    height, width = image.shape[1:]
    parts = []
    for plan in plans:
        crop = choose_crop(height, width, options.crop, plan.draws)
        top, left = (0, 0) if options.crop.multi_scale else (crop.top, crop.left)
        side_h, side_w = (options.crop.size,) * 2 if options.crop.size else (height, width)
        part = image[:, top : top + side_h, left : left + side_w]
        parts.append(part[..., ::-1] if plan.mirror else part)
    return torch.from_numpy(np.stack(parts))


def _read_mean(path: str, channels: int) -> np.ndarray:
    blob = pb.BlobProto()
    try:
        blob.ParseFromString(read_bytes(path))
    except DecodeError:
        raise PytsnError(f"{path}: not a mean file of Caffe's (a binary BlobProto)") from None
    shape = tuple(blob.shape.dim) or (blob.num, blob.channels, blob.height, blob.width)
    values = np.array(blob.data, np.float32)
    if len(shape) != 4 or shape[0] != 1 or shape[1] != channels or np.prod(shape) != len(values):
        raise PytsnError(f"{path}: a mean of shape {shape} with {len(values)} values does not fit {channels} channels")
    return values.reshape(shape[1:])
