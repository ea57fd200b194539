"""Recordings of blobs from Caffe or a CaffeNet: reads and writes them, and makes the matching views of a net's blobs.

docs/parity.md describes the keys of such a file.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from converter.errors import PytsnError
from converter.files import atomic_path, explain_os_error, open_regular
from converter.npy_files import read_npz

BGR_MEAN = (104.0, 117.0, 123.0)
FLOW_MEAN = 128.0
_KINDS = ("mean", "std", "full")


def input_means(channels: int) -> np.ndarray:
    """The means that the released nets subtract from pixels, float32 (C, 1, 1): flow (multiples of 10 planes) 128; BGR
    images, of one or more segments, 104, 117, 123; anything else 128."""
    if channels % 10 and channels % 3 == 0:
        means = np.tile(np.array(BGR_MEAN, np.float32), channels // 3)
    else:
        means = np.full(channels, FLOW_MEAN, np.float32)
    return means.reshape(-1, 1, 1)


@dataclass(frozen=True)
class Recording:
    """The blobs that another implementation computed.

    ``inputs``: blob -> float32, as the net takes it. ``entries``: key -> values, in recorded order; a key is the blob's
    name, alone or after ``mean:`` or ``std:`` (over its pixels, (N, C)) or ``full:`` (some samples and the first
    channels). ``samples``: which samples the ``full:`` entries hold, None if the file does not say.
    """

    source: str
    inputs: dict[str, np.ndarray]
    entries: dict[str, np.ndarray]
    samples: tuple[int, ...] | None = None

    def blobs(self) -> list[str]:
        """The blobs recorded, in recorded order."""
        return list(dict.fromkeys(blob_of(key) for key in self.entries))

    def views(self, blobs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Each entry as computed from ``blobs``; entries of other blobs are left out."""
        return {key: self._view(key, blobs[name]) for key in self.entries if (name := blob_of(key)) in blobs}

    def _view(self, key: str, blob: np.ndarray) -> np.ndarray:
        kind, name = _split_key(key)
        if kind == "full":
            return self._part(key, name, blob)
        if kind and blob.ndim < 2:
            raise PytsnError(f"{self.source}: '{key}': blob '{name}' of shape {blob.shape} has no pixels")
        if kind:
            flat = blob.reshape(*blob.shape[:2], -1)  # (N, C, H, W) -> (N, C, H * W)
            return flat.mean(2, dtype=np.float64) if kind == "mean" else flat.std(2, dtype=np.float64)
        return blob

    def _part(self, key: str, name: str, blob: np.ndarray) -> np.ndarray:
        """The recorded samples and the first channels of a blob."""
        part = self.entries[key]
        if part.ndim < 2 or blob.ndim < 2:
            raise PytsnError(
                f"{self.source}: '{key}' has shape {part.shape}, the blob {blob.shape}: (N, C, ..) is needed"
            )
        samples = (
            self.samples if self.samples is not None else self._find_samples(part, self.entries.get(f"mean:{name}"))
        )
        if len(samples) != len(part) or not all(0 <= sample < len(blob) for sample in samples):
            raise PytsnError(
                f"{self.source}: '{key}' holds {len(part)} samples; which of the {len(blob)} they are is unknown"
            )
        return blob[list(samples)][:, : part.shape[1]]

    @staticmethod
    def _find_samples(part: np.ndarray, means: np.ndarray | None) -> tuple[int, ...]:
        """Finds the samples by their means, recorded for every sample; our own values play no part in the choice."""
        if means is None or means.ndim != 2 or means.shape[1] < part.shape[1]:
            return tuple(range(len(part)))
        own = part.reshape(*part.shape[:2], -1).mean(2, dtype=np.float64)  # (K, c, H, W) -> (K, c)
        distance = np.abs(own[:, None] - means[None, :, : part.shape[1]]).max(2)  # (K, N, c) -> (K, N)
        return tuple(int(index) for index in distance.argmin(1))


def _split_key(key: str) -> tuple[str, str]:
    kind, separator, name = key.partition(":")
    return (kind, name) if separator and kind in _KINDS else ("", key)


def blob_of(key: str) -> str:
    """The blob of a recording's entry."""
    return _split_key(key)[1]


def read_recording(path: str | os.PathLike, net_inputs: Mapping[str, tuple[int, ...] | None]) -> Recording:
    """Reads a recording for a net with these inputs. Nothing is unpickled.

    ``inputs`` is empty if the file has none. Raises PytsnError for files that are not an .npz of numbers.
    """
    arrays = _read_npz(path)
    samples = arrays.pop("full_samples", None)
    if samples is not None and samples.dtype.kind not in "iu":
        raise PytsnError(f"{path}: 'full_samples' holds {samples.dtype}, numbers of samples were expected")
    inputs = _pop_inputs(arrays, list(net_inputs), path)
    return Recording(str(path), inputs, arrays, None if samples is None else tuple(int(i) for i in samples.reshape(-1)))


def _read_npz(path: str | os.PathLike) -> dict[str, np.ndarray]:
    try:
        with open_regular(path) as file:
            if file.read(6) == b"\x93NUMPY":
                raise PytsnError(f"{path}: a single array: an .npz with one array a blob was expected")
            arrays = read_npz(file)
    except OSError as error:
        raise explain_os_error(error, path) from None
    except (ValueError, MemoryError) as error:
        raise PytsnError(f"{path}: not an .npz of plain arrays: {str(error)[:200]}") from None
    strange = [key for key, values in arrays.items() if values.dtype.kind not in "fiub"]
    if strange:
        raise PytsnError(f"{path}: '{strange[0]}' holds {arrays[strange[0]].dtype}, numbers were expected")
    return arrays


def _pop_inputs(arrays: dict[str, np.ndarray], names: list[str], path) -> dict[str, np.ndarray]:
    inputs = {key[6:]: arrays.pop(key) for key in list(arrays) if key.startswith("input:")}
    if not names:
        return {}
    if "input" in arrays:
        inputs[names[0]] = arrays.pop("input")
    if "crops_uint8" in arrays:
        crops = arrays.pop("crops_uint8")
        if crops.ndim != 4:
            raise PytsnError(f"{path}: crops_uint8 has shape {crops.shape}, (N, C, H, W) was expected")
        inputs[names[0]] = crops - input_means(crops.shape[1])
    inputs = inputs or {name: arrays.pop(name) for name in names if name in arrays}
    return {name: np.ascontiguousarray(values, np.float32) for name, values in inputs.items()}


def random_inputs(shapes: Mapping[str, tuple[int, ...]], batch: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Test inputs for a net, blob -> float32: random pixels (0 to 255) minus the means for images, else normal values.

    The first axis becomes ``batch`` in every input where it has the same size as in the first input.
    """
    random, own = np.random.RandomState(seed), next((shape[0] for shape in shapes.values() if shape), None)
    inputs = {}
    for name, shape in shapes.items():
        size = (batch, *shape[1:]) if shape[:1] == (own,) else shape
        if len(shape) == 4:
            inputs[name] = random.randint(0, 256, size).astype(np.float32) - input_means(shape[1])
        else:
            inputs[name] = np.asarray(random.standard_normal(size), np.float32)
    return inputs


def run_net(net, inputs: Mapping[str, np.ndarray], blobs: Iterable[str]) -> dict[str, np.ndarray]:
    """The named blobs of a CaffeNet, float32, without gradients. Raises PytsnError for inputs that do not fit."""
    import torch

    try:
        with torch.no_grad():
            found = net({name: torch.from_numpy(values) for name, values in inputs.items()}, list(blobs))
    except RuntimeError as error:  # from torch: an image smaller than a kernel, say
        shapes = ", ".join(f"{name} {values.shape}" for name, values in inputs.items())
        raise PytsnError(f"inputs of these shapes do not fit the net: {shapes}: {str(error).splitlines()[0]}") from None
    return {blob: values.numpy() for blob, values in found.items()}


def record_blobs(
    net,
    inputs: Mapping[str, np.ndarray],
    path: str | os.PathLike,
    blobs: Iterable[str] | None = None,
    whole: bool = True,
) -> None:
    """Records a CaffeNet: its inputs and its blobs (default: all), whole or as ``mean:`` and ``std:``."""
    arrays = {f"input:{name}": values for name, values in inputs.items()}
    for blob, values in run_net(net, inputs, net.blob_names if blobs is None else blobs).items():
        if whole or values.ndim < 3:
            arrays[blob] = values
        else:
            flat = values.reshape(*values.shape[:2], -1)
            arrays[f"mean:{blob}"], arrays[f"std:{blob}"] = (f(2).astype(np.float32) for f in (flat.mean, flat.std))
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # no blob is named allow_pickle
