"""Files of weights, means and recordings."""

import io
import random
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from converter import caffe_tsn_pb2 as pb
from converter.net import load_net
from converter.proto import read_mean
from converter.recording import read_recording
from converter.state_files import write_state
from converter.weights import load_any_weights
from pytsn.training.input.mean import Mean
from pytsn.weights.identify import identify
from tests.hostile.kinds import TINY, Kind, read_all
from tests.hostile.mutations import mutate_bytes, mutate_zip


class _Weights(Kind):
    """Identified, and loaded into a net that the whole files fit."""

    def __init__(self, folder: Path) -> None:
        self.net = load_net(TINY / "det_fixed" / "train_val.prototxt", phase="TRAIN")
        super().__init__(folder)

    def read(self, path: Path) -> None:
        identify(path)
        load_any_weights(self.net, path)

    def command(self, path: Path) -> list[str] | None:
        return ["identify", str(path)]


class Caffemodels(_Weights):
    """Caffe's, in the form of today, in that of before 2015, and with BVLC's doubles."""

    suffix = ".caffemodel"

    def make_samples(self) -> Sequence[bytes]:
        whole = (TINY / "det_fixed" / "snap_iter_20.caffemodel").read_bytes()
        new = pb.NetParameter.FromString(whole)
        old, double = pb.NetParameter(name="old"), pb.NetParameter()
        double.CopyFrom(new)
        for layer in new.layer:
            if layer.type in ("Convolution", "InnerProduct"):
                kind = {"Convolution": 4, "InnerProduct": 14}[layer.type]
                old.layers.add(name=layer.name, type=kind, bottom=layer.bottom, top=layer.top, blobs=layer.blobs)
        for blob in (blob for layer in double.layer for blob in layer.blobs):
            blob.double_data.extend(blob.data)
            blob.ClearField("data")
        return [whole, old.SerializeToString(), double.SerializeToString()]


class Safetensors(_Weights):
    suffix = ".safetensors"

    def make_samples(self) -> Sequence[bytes]:
        path = self.folder / "whole.safetensors"
        write_state(path, self.net.state_dict(), {"source_weights": "x"})
        return [path.read_bytes()]

    def mutate(self, data: bytes, rng: random.Random) -> bytes:
        header = 8 + int.from_bytes(data[:8], "little")
        return mutate_bytes(data, rng, self.samples, end=rng.choice((0, header, 16)))


class Checkpoints(_Weights):
    """PyTorch's: a state dict in both layouts, and a checkpoint that holds more than tensors."""

    suffix = ".pth"

    def make_samples(self) -> Sequence[bytes]:
        state = OrderedDict((key, value.clone()) for key, value in self.net.state_dict().items())
        more = {
            "epoch": 3,
            "args": Namespace(lr=np.float64(0.1)),
            "state_dict": {f"module.{key}": state[key] for key in state},
        }
        found = []
        for content, zipped in ((state, True), (state, False), (more, True), (more, False)):
            buffer = io.BytesIO()
            torch.save(content, buffer, _use_new_zipfile_serialization=zipped)
            found.append(buffer.getvalue())
        return found

    def mutate(self, data: bytes, rng: random.Random) -> bytes:
        if data[:2] == b"PK":
            return mutate_zip(data, rng, self.samples)
        return mutate_bytes(data, rng, self.samples, end=rng.choice((0, 400, 4000)))


class Means(Kind):
    """Caffe's mean files, read by training and by conversion."""

    suffix = ".binaryproto"

    def make_samples(self) -> Sequence[bytes]:
        values = np.random.default_rng(0).uniform(0, 255, 3 * 8 * 9).astype(np.float32)
        new, old = pb.BlobProto(data=values), pb.BlobProto(num=1, channels=3, height=8, width=9, data=values)
        new.shape.dim.extend((1, 3, 8, 9))
        return [new.SerializeToString(), old.SerializeToString()]

    def mutate(self, data: bytes, rng: random.Random) -> bytes:
        return mutate_bytes(data, rng, self.samples, start=rng.choice((0, 0, max(0, len(data) - 16))))

    def read(self, path: Path) -> None:
        parameters = pb.TransformationParameter(mean_file=str(path))
        read_all(lambda: read_mean(path), lambda: Mean(parameters, 3))


class Recordings(Kind):
    """verify-parity's: an .npz of plain arrays."""

    suffix = ".npz"

    def make_samples(self) -> Sequence[bytes]:
        rng = np.random.default_rng(0)
        arrays = {
            "input": rng.random((2, 3, 4, 4)),
            "mean:conv": rng.random((2, 5)),
            "full:conv": rng.random((1, 5, 4, 4)),
        }
        arrays["full_samples"] = np.array([1])
        found = []
        for save in (np.savez, np.savez_compressed):
            buffer = io.BytesIO()
            save(buffer, **arrays)
            found.append(buffer.getvalue())
        return found

    def mutate(self, data: bytes, rng: random.Random) -> bytes:
        return mutate_zip(data, rng, self.samples)

    def read(self, path: Path) -> None:
        read_recording(path, {"data": (2, 3, 4, 4)}).views({"conv": np.zeros((2, 5, 4, 4))})
