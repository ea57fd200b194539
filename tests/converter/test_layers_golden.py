"""Every layer that real Caffe recorded: values, gradients, and what the pass did to the parameters."""

from pathlib import Path

import numpy as np
import pytest
import torch
from google.protobuf import text_format

from converter import caffe_tsn_pb2 as pb
from converter.layers import LAYERS, CaffeLayer, Context
from tests.converter.layer_build import outputs

FOLDER = Path(__file__).parent.parent / "recordings" / "layers"
RECORDINGS = sorted(path.name for path in FOLDER.glob("*.npz"))

# Share of the largest magnitude in the blob: float32 sums in another order than in Caffe's BLAS differ by about 1e-7 of
# it a term, and no blob here sums more than a few hundred terms.
TOLERANCE = 1e-5


class Recording:
    """A recorded net of single layers: its parameters, arrays and phase."""

    def __init__(self, name: str) -> None:
        stem, self.phase, _ = name.split(".")
        self.net = text_format.Parse((FOLDER / f"{stem}.prototxt").read_text(), pb.NetParameter())
        with np.load(FOLDER / name, allow_pickle=False) as arrays:
            self.arrays = {key: arrays[key] for key in arrays.files}

    def tensor(self, key: str) -> torch.Tensor:
        return torch.from_numpy(self.arrays[key].copy())

    def bottoms(self, param: pb.LayerParameter) -> list[torch.Tensor]:
        return [self.tensor(name).requires_grad_(name != "label") for name in param.bottom]

    def layer(self, param: pb.LayerParameter, bottoms: list[torch.Tensor]) -> CaffeLayer:
        """The layer with the recorded blobs loaded, in its phase."""
        context = Context(self.phase.upper(), torch.Generator().manual_seed(0))
        module = LAYERS[param.type](param, [tuple(x.shape) for x in bottoms], context)
        for i, name in enumerate(module.blob_names):
            assert module.caffe_shape(name) == self.arrays[f"blob{i}"].shape
            blob = getattr(module, name)
            blob.data.copy_(self.tensor(f"blob{i}").reshape(blob.shape))
        assert f"blob{len(module.blob_names)}" not in self.arrays
        return module


def check(found: torch.Tensor | None, wanted: np.ndarray, what: str) -> None:
    """Equal shapes and values within TOLERANCE; no gradient at all stands for zeros."""
    found = np.zeros_like(wanted) if found is None else found.detach().numpy().reshape(wanted.shape)
    difference = np.abs(found - wanted).max()
    assert difference <= TOLERANCE * np.abs(wanted).max(), f"{what}: off by {difference}"


def test_recordings_are_there():
    """Guards the parametrised test, which would pass on an empty folder."""
    assert len(RECORDINGS) == 36
    assert {name.split(".")[0] for name in RECORDINGS} == {path.stem for path in FOLDER.glob("*.prototxt")}


@pytest.mark.golden
def test_recordings_are_all_of_caffes(golden):
    assert sorted(path.name for path in (golden / "layers").glob("*.npz")) == RECORDINGS


@pytest.mark.parametrize("name", RECORDINGS)
def test_as_caffe_recorded(name):
    recording = Recording(name)
    checked = set()
    for param in recording.net.layer:
        bottoms = recording.bottoms(param)
        module = recording.layer(param, bottoms)
        (top,) = outputs(module(*bottoms))
        assert tuple(top.shape) == recording.arrays[param.top[0]].shape
        check(top, recording.arrays[param.top[0]], param.top[0])
        if not top.requires_grad:
            assert param.type == "Accuracy"
            continue
        if module.is_loss:
            top.backward(torch.tensor(param.loss_weight[0] if param.loss_weight else 1.0))
        else:
            top.backward(recording.tensor("out_diff"))
        for key, x in zip(param.bottom, bottoms, strict=True):
            if x.requires_grad:
                check(x.grad, recording.arrays[f"{key}_diff"], f"{key}_diff")
                checked.add(f"{key}_diff")
        for i, blob_name in enumerate(module.blob_names):
            blob = getattr(module, blob_name)
            check(blob.grad, recording.arrays[f"blob{i}_diff"], f"blob{i}_diff")
            check(blob, recording.arrays[f"blob{i}_after"], f"blob{i}_after")
            checked |= {f"blob{i}_diff", f"blob{i}_after"}
    wanted = {key for key in recording.arrays if key.endswith(("_diff", "_after"))} - {"out_diff"}
    assert checked == wanted
