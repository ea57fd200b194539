"""Writes a CaffeNet as an ONNX file, node by node from the net's own graph.

It does not use torch.onnx: one of its exporters is deprecated, the other takes ten seconds and another package, and
both rename every value. Here ONNX values keep Caffe's blob names, so every blob can be compared.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import onnx
from onnx import TensorProto, helper

from converter.errors import PytsnError
from converter.files import atomic_path
from converter.graph import SCORING_TYPES, Step
from converter.net import CaffeNet
from converter.onnx_layers import MAKERS
from converter.onnx_layers.nodes import Dims, FixedBatch, Nodes, Site
from converter.shapes import Shape, by_running, top_shapes

OPSET = 17
IR_VERSION = 8  # goes with opset 17; every onnxruntime since 1.12 reads both
_LARGEST_FILE = 2**31 - 1  # protobuf's limit
_MAX_FLOATS = _LARGEST_FILE // 4


@dataclass(frozen=True)
class Exported:
    """The result of an export. ``inputs`` and ``outputs``: ONNX name -> sizes, a string where a size follows the batch;
    ``values``: blob -> ONNX name; ``batch``: "N", or the only batch size possible; ``warnings``: lines for the user."""

    inputs: dict[str, Dims]
    outputs: dict[str, Dims]
    values: dict[str, str]
    batch: str | int
    warnings: tuple[str, ...]


def export_onnx(
    net: CaffeNet,
    path: str | os.PathLike,
    *,
    outputs: Iterable[str] | None = None,
    all_blobs: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> Exported:
    """Writes a net of phase TEST to ``path``: float32, opset 17, first axis of the inputs symbolic ("N"), checked.

    outputs: blobs to write as outputs. Default: those that no layer consumes, losses and accuracies left out.
    all_blobs: every blob that the outputs need becomes an output too. metadata goes into ``metadata_props``.
    Values have the blobs' names; earlier values of a blob written in place are ``blob@0``, ``blob@1`` ...
    Initializers are named as in the net's state dict. If a layer's sizes cannot follow the batch (a Reshape with
    numbers only), the file works for the prototxt's batch size only, with a warning.
    Raises PytsnError for a TRAIN net, a layer ONNX cannot hold, unknown outputs, and more than 2 GB.
    """
    model, exported = build_onnx(net, outputs=outputs, all_blobs=all_blobs, metadata=metadata)
    data = model.SerializeToString(deterministic=True)
    del model
    try:
        onnx.checker.check_model(data)
    except (onnx.checker.ValidationError, ValueError) as error:
        raise PytsnError(f"{path}: onnx.checker refuses the graph: {str(error)[:200]}") from None
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
    return exported


def build_onnx(
    net: CaffeNet,
    *,
    outputs: Iterable[str] | None = None,
    all_blobs: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> tuple[onnx.ModelProto, Exported]:
    """Like export_onnx, in memory."""
    if net.phase != "TEST":
        raise PytsnError("only a net of phase TEST can be written as ONNX")
    if sum(tensor.numel() for tensor in net.state_dict().values()) > _MAX_FLOATS:
        raise PytsnError("the weights do not fit into an ONNX file: its limit is 2 GB")
    wanted = list(net.graph.results() if outputs is None else outputs)
    try:
        return _Export(net, wanted, all_blobs, _symbolic_shapes(net)).model(metadata)
    except FixedBatch as reason:
        model, exported = _Export(net, wanted, all_blobs, dict(net.value_shapes)).model(metadata)
        warning = f"written for batch size {exported.batch} only: {reason}"
        return model, Exported(exported.inputs, exported.outputs, exported.values, exported.batch, (warning,))


def value_names(net: CaffeNet) -> dict[str, str]:
    """Value id -> ONNX name: the blob's name for its last value (for an input: its first), else the id itself."""
    names = {value: value for step in net.graph.steps for value in (*step.bottoms, *step.tops)}
    names.update({value: blob for blob, value in net.graph.final.items()})
    for blob in net.inputs:
        if net.graph.final[blob] != f"{blob}@0":  # written in place: the name is the input's
            names[net.graph.final[blob]] = net.graph.final[blob]
        names[f"{blob}@0"] = blob
    return names


def _symbolic_shapes(net: CaffeNet) -> dict[str, Dims]:
    """Value id -> sizes, strings where they grow with the batch. Raises FixedBatch if doubling it breaks the net."""
    small = net.value_shapes
    batch = next((shape[0] for shape in net.inputs.values() if shape), None)
    if batch is None:
        raise FixedBatch("no input has a shape")
    large = {}
    for blob, shape in net.inputs.items():
        if shape is not None:
            large[f"{blob}@0"] = (2 * batch, *shape[1:]) if shape[:1] == (batch,) else shape
    for step, module in net.layers():
        if step.param.type in SCORING_TYPES:
            continue
        bottoms = [large[value] for value in step.bottoms]
        usual = all(_only_first_grew(small[value], shape) for value, shape in zip(step.bottoms, bottoms, strict=True))
        try:  # the rules of top_shapes check nothing: if more than the first axis changes, the module itself must run
            tops = top_shapes(step.param.type, module, bottoms) if usual else by_running(module, bottoms)
        except (PytsnError, RuntimeError, KeyError) as error:
            raise FixedBatch(f"{step.label}: {error}") from None
        large.update(zip(step.tops, tops, strict=False))
    return {
        value: tuple(
            _label(a, b, batch, f"{value}:{axis}") for axis, (a, b) in enumerate(zip(small[value], shape, strict=True))
        )
        for value, shape in large.items()
    }


def _only_first_grew(small: Shape, large: Shape) -> bool:
    return large == (2 * small[0], *small[1:]) if small else False


def _label(size: int, doubled: int, batch: int, name: str) -> int | str:
    """The size, or "N" and its multiples where it grows with the batch."""
    if size == doubled:
        return size
    times, rest = divmod(size, batch)
    if doubled != 2 * size or rest:
        return name
    return "N" if times == 1 else f"{times}*N"


class _Export:
    """One attempt to write the net, with sizes that follow the batch or without."""

    def __init__(self, net: CaffeNet, wanted: list[str], all_blobs: bool, shapes: dict[str, Dims]) -> None:
        if not wanted:
            raise PytsnError("nothing to write: no layer's output is left")
        self.net, self.shapes = net, shapes
        self.plan, self.inputs = net.graph.plan(wanted)
        self.names = value_names(net)
        made = {value for _, step, _ in self.plan for value in step.tops}
        for blob in wanted:
            if net.graph.value_of(blob) not in made:
                raise PytsnError(f"'{blob}' is an input of the net: it cannot be an output too")
        final = net.graph.final
        self.wanted = [blob for blob in final if final[blob] in made] if all_blobs else list(dict.fromkeys(wanted))
        self.nodes = Nodes(taken=set(self.names.values()))

    def model(self, metadata: Mapping[str, str] | None) -> tuple[onnx.ModelProto, Exported]:
        for index, step, _ in self.plan:
            self._write(index, step)
        final = self.net.graph.final
        inputs = {self.names[f"{blob}@0"]: self.shapes[f"{blob}@0"] for blob in self.inputs}
        outputs = {self.names[final[blob]]: self.shapes[final[blob]] for blob in self.wanted}
        graph = helper.make_graph(
            self.nodes.nodes,
            self.net.param.name or "net",
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in inputs.items()],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in outputs.items()],
            list(self.nodes.initializers.values()),
        )
        opset = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="pytsn")
        helper.set_model_props(model, dict(metadata or {}))
        dynamic = any(isinstance(dim, str) for dims in inputs.values() for dim in dims)
        batch = "N" if dynamic else next(iter(inputs.values()))[0]
        return model, Exported(inputs, outputs, {blob: self.names[final[blob]] for blob in self.wanted}, batch, ())

    def _write(self, index: int, step: Step) -> None:
        maker = MAKERS.get(step.param.type)
        if maker is None:
            raise PytsnError(f"{step.label}: this layer type cannot be written as ONNX: ask for other outputs")
        key = self.net.module_names[index]
        bottoms, tops = (tuple(self.names[value] for value in values) for values in (step.bottoms, step.tops))
        dims = [tuple(self.shapes[value] for value in values) for values in (step.bottoms, step.tops)]
        try:
            maker(self.nodes, Site(step.param, getattr(self.net, key), key, bottoms, tops, dims[0], dims[1]))
        except FixedBatch as error:
            raise FixedBatch(f"{step.label}: {error}") from None
        except PytsnError as error:
            raise PytsnError(f"{step.label}: {error}") from None
