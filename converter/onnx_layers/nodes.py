"""Collects the parts of an ONNX graph while a net is written layer by layer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper
from torch import nn

from converter import caffe_tsn_pb2 as pb
from converter.errors import PytsnError

#: a node in a chain: the operator, its inputs except the first, its attributes
OnnxStep = tuple[str, list[str], dict[str, Any]]

#: sizes of a value; a string stands for a size that follows the batch, such as "N" or "3*N"
Dims = tuple[int | str, ...]

Layer = TypeVar("Layer", bound=nn.Module)


class FixedBatch(PytsnError):
    """This net can be written for the batch size of its prototxt only."""


@dataclass(frozen=True)
class Site:
    """One layer to write: its parameters and module, and the ONNX names and sizes of its bottoms and tops."""

    param: pb.LayerParameter
    module: nn.Module
    key: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    bottom_dims: tuple[Dims, ...]
    top_dims: tuple[Dims, ...]

    def layer(self, kind: type[Layer]) -> Layer:
        """The module, which has this class for every layer of the maker's type."""
        assert isinstance(self.module, kind)
        return self.module

    def weight(self, blob_name: str) -> np.ndarray:
        """A parameter or buffer of the layer, float32."""
        return getattr(self.module, blob_name).detach().cpu().float().numpy()


@dataclass
class Nodes:
    """The nodes and initializers so far. ``taken``: the names of the net's values."""

    taken: set[str]
    nodes: list[NodeProto] = field(default_factory=list)
    initializers: dict[str, TensorProto] = field(default_factory=dict)

    def add(self, op: str, inputs: Sequence[str], output: str | None = None, **attributes) -> str:
        """Adds a node with one output, named ``output`` or with a new name. Returns the output's name."""
        output = output or self.fresh(f"{inputs[0]}~{op}")
        self.nodes.append(helper.make_node(op, list(inputs), [output], name=f"{op}:{output}", **attributes))
        return output

    def add_pair(self, op: str, inputs: Sequence[str], output: str | None = None, **attributes) -> tuple[str, str]:
        """Adds a node with two outputs, values and positions (int64). Returns their names."""
        values = output or self.fresh(f"{inputs[0]}~{op}")
        places = self.fresh(f"{values}~places")
        self.nodes.append(helper.make_node(op, list(inputs), [values, places], name=f"{op}:{values}", **attributes))
        return values, places

    def chain(self, x: str, output: str, steps: Sequence[OnnxStep]) -> str:
        """Adds a chain of nodes: each step is (op, further inputs, attributes); the last makes ``output``."""
        for number, (op, inputs, attributes) in enumerate(steps, 1):
            x = self.add(op, [x, *inputs], output if number == len(steps) else None, **attributes)
        return x if steps else self.add("Identity", [x], output)

    def fresh(self, stem: str) -> str:
        """An unused name."""
        name, number = stem, 1
        while name in self.taken:
            number += 1
            name = f"{stem}{number}"
        self.taken.add(name)
        return name

    def weights(self, site: Site, blob_name: str, shape: tuple[int, ...] | None = None) -> str:
        """The layer's blob as an initializer, named as in the state dict. ``shape``: reshapes it to broadcast."""
        values = site.weight(blob_name)
        return self.constant(f"{site.key}.{blob_name}", values if shape is None else values.reshape(shape))

    def constant(self, name: str, values: np.ndarray) -> str:
        """An initializer."""
        name = self.fresh(name)
        self.initializers[name] = numpy_helper.from_array(np.asarray(values, order="C"), name)
        return name

    def scalar(self, value: float) -> str:
        """A float32 number as an initializer; equal numbers share one."""
        name = f"~{float(np.float32(value))!r}"
        return name if name in self.initializers else self.constant(name, np.array(value, np.float32))

    def integers(self, values: Sequence[int]) -> str:
        """An int64 vector as an initializer; equal vectors share one."""
        name = f"~{[int(value) for value in values]}"
        return name if name in self.initializers else self.constant(name, np.array(values, np.int64))

    def reshape(self, x: str, dims: Dims, output: str | None = None) -> str:
        """Reshapes ``x``. One size may follow the batch. Raises FixedBatch if more do."""
        sizes = [-1 if isinstance(dim, str) else dim for dim in dims]
        if sizes.count(-1) > 1:
            raise FixedBatch(f"two sizes of {dims} follow the batch")
        return self.add("Reshape", [x, self.integers(sizes)], output)


def static(dims: Sequence[int | str], what: str) -> tuple[int, ...]:
    """``dims`` as numbers. Raises FixedBatch if one of them follows the batch."""
    if any(isinstance(dim, str) for dim in dims):
        raise FixedBatch(f"{what} {tuple(dims)} follows the batch")
    return tuple(int(dim) for dim in dims)
