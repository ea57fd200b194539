"""``CaffeNet``: a prototxt as a torch module. Layers are built in file order and run as a loop over named blobs."""

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import nn

from converter import caffe_tsn_pb2 as pb
from converter.errors import PytsnError, printable
from converter.fillers import Source
from converter.graph import Graph, Step, build_graph, foreign_data_layers, suggest, with_shapes
from converter.layers import LAYERS, CaffeLayer, Context
from converter.names import state_name, state_names
from converter.proto import NetFile, filter_net, read_net
from converter.shapes import Shape, top_shapes
from converter.text_table import aligned, amount, shape_text

if TYPE_CHECKING:
    from converter.core_training import ByCores
    from converter.weights import LoadReport

OnDataLayer = Callable[[pb.LayerParameter], Mapping[str, Shape] | None]


class CaffeNet(nn.Module):
    """A Caffe net with Caffe's semantics.

    ``net(x)`` returns a dict blob name -> tensor. State-dict keys are layer names with ``/`` as ``_`` (names.py) and
    ``weight``, ``bias``, ``running_mean``, ``running_var`` ...; ``inputs``, ``outputs``, ``blob_names`` and
    ``blob_shapes`` describe it; ``param`` is the filtered NetParameter it was built from.

    Phase TRAIN starts in ``train()`` mode, TEST in ``eval()`` mode; the mode decides what Dropout and BN do.

    ``report``, set by load_net, tells which weights matched; None without a caffemodel.
    """

    report: "LoadReport | None"
    #: shares batches out to the cores, if set (converter/core_training.py)
    by_cores: "ByCores | None" = None

    def __init__(
        self,
        param: pb.NetParameter,
        phase: str = "TEST",
        input_shapes: Mapping[str, Shape] | None = None,
        generator: Source = None,
        on_data_layer: OnDataLayer | None = None,
    ) -> None:
        """Builds the net from an upgraded, filtered NetParameter. Raises PytsnError naming layer and type.

        ``generator`` fills the parameters (converter/fillers.py). ``on_data_layer`` is called with each data layer at
        its place in the file, because data layers draw random numbers when they are set up; it may return the shapes of
        the layer's tops, blob -> shape.
        """
        super().__init__()
        self.param, self.phase = param, phase
        self.graph: Graph = build_graph(param)
        with_shapes(self.graph, input_shapes, required=on_data_layer is None)
        self.module_names: list[str] = []  # of each step
        self.loss_weights: dict[str, float] = {}
        self._shapes: dict[str, Shape] = {
            f"{blob}@0": shape for blob, shape in self.graph.inputs.items() if shape is not None
        }
        self.notes: list[str] = []  # lines for the user
        self._plans: dict[tuple[str, ...], tuple] = {}
        self._build(Context(phase=phase, generator=generator), on_data_layer)
        self.train(phase == "TRAIN")

    def _build(self, context: Context, on_data_layer: OnDataLayer | None) -> None:
        steps = {step.param.name: step for step in self.graph.steps}
        modules = []
        for layer in self.param.layer:
            if layer.name in steps:
                modules.append(self._build_step(steps[layer.name], context))
            elif on_data_layer is not None:
                shapes = on_data_layer(layer) or {}
                with_shapes(self.graph, shapes, required=False)
                self._shapes.update({f"{blob}@0": tuple(shape) for blob, shape in shapes.items()})
        self._register(modules)
        self._share(modules)

    def _build_step(self, step: Step, context: Context) -> CaffeLayer:
        try:
            module = self._build_layer(step, context)
        except PytsnError as error:
            raise PytsnError(f"{step.label}: {error}") from None
        except (
            RuntimeError,
            ValueError,
            TypeError,
            OverflowError,
            IndexError,
            MemoryError,
            ArithmeticError,
        ) as error:
            raise PytsnError(f"{step.label}: does not fit its bottoms: {str(error).splitlines()[0]}") from None
        self._note_loss(step, module.is_loss)
        return module

    def _build_layer(self, step: Step, context: Context) -> CaffeLayer:
        builder = LAYERS.get(step.param.type)
        if builder is None:
            raise PytsnError(f"unknown layer type '{step.param.type}'{suggest(step.param.type, LAYERS)}")
        for value in step.bottoms:
            if value not in self._shapes:
                raise PytsnError(f"the shape of its bottom '{value.rpartition('@')[0]}' is not known")
        shapes = [self._shapes[value] for value in step.bottoms]
        module = builder(step.param, shapes, context)
        tops = top_shapes(step.param.type, module, shapes)
        if len(tops) < len(step.tops):
            raise PytsnError(f"makes {len(tops)} tops, the prototxt names {len(step.tops)}")
        self._shapes.update(zip(step.tops, tops, strict=False))
        return module

    def _note_loss(self, step: Step, is_loss: bool) -> None:
        weights = list(step.param.loss_weight) or [float(is_loss)]  # by default a loss layer's first top has weight 1
        for value, weight in zip(step.tops, weights, strict=False):
            if weight:
                self.loss_weights[value.rpartition("@")[0]] = weight

    def _register(self, modules: list[CaffeLayer]) -> None:
        """Modules become attributes; names used by torch itself, and weightless duplicates, get a `_` appended."""
        weighted = [bool(module.blob_names) for module in modules]
        layers = [step.param.name for step in self.graph.steps]
        keys = state_names(name for name, has in zip(layers, weighted, strict=True) if has)
        taken = set(keys.values())
        for layer, has_weights, module in zip(layers, weighted, modules, strict=True):
            key = keys[layer] if has_weights else state_name(layer)
            while hasattr(self, key) or not key or (not has_weights and key in taken):
                key += "_"
            self.add_module(key, module)
            self.module_names.append(key)

    def _share(self, modules: list[CaffeLayer]) -> None:
        """Blobs whose ParamSpecs have the same name share one tensor (Net::AppendParam)."""
        owners: dict[str, tuple[str, nn.Parameter]] = {}
        for step, module in zip(self.graph.steps, modules, strict=True):
            for blob, spec in zip(module.blob_names, step.param.param, strict=False):
                own = getattr(module, blob)
                if not spec.name or not isinstance(own, nn.Parameter):
                    continue
                layer, shared = owners.setdefault(spec.name, (step.param.name, own))
                if shared.shape != own.shape:
                    shapes = f"{tuple(own.shape)} and {tuple(shared.shape)} of '{layer}'"
                    raise PytsnError(f"{step.label}: cannot share parameter '{spec.name}': shapes {shapes}")
                setattr(module, blob, shared)

    @property
    def inputs(self) -> dict[str, Shape | None]:
        """Input blob -> shape as in the prototxt (the batch may differ at run time)."""
        return dict(self.graph.inputs)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The blobs that no layer consumes."""
        return tuple(self.graph.outputs)

    @property
    def blob_names(self) -> tuple[str, ...]:
        """Every named blob, in order of its last write."""
        return tuple(self.graph.final)

    @property
    def blob_shapes(self) -> dict[str, Shape]:
        """Blob -> shape for the prototxt's input shapes."""
        return {blob: self._shapes[value] for blob, value in self.graph.final.items() if value in self._shapes}

    @property
    def value_shapes(self) -> dict[str, Shape]:
        """Value id (converter/graph.py) -> shape for the prototxt's input shapes."""
        return dict(self._shapes)

    def layers(self) -> list[tuple[Step, CaffeLayer]]:
        """The layers with their modules, in running order."""
        return [(step, getattr(self, name)) for step, name in zip(self.graph.steps, self.module_names, strict=True)]

    def __repr__(self) -> str:
        """One line per layer, in running order: name, type, shapes of its tops for the prototxt's input shapes."""
        rows = [(f"  {printable(name)}", "input", shape_text(shape)) for name, shape in self.inputs.items()]
        for step in self.graph.steps:
            tops = " ".join(shape_text(self._shapes.get(value)) for value in step.tops)
            rows.append((f"  {printable(step.param.name)}", step.param.type, tops))
        count = sum(tensor.numel() for tensor in self.parameters())
        layers = f"{amount(len(self.graph.steps), 'layer')}, {amount(count, 'learned number')}"
        head = f"{type(self).__name__} '{printable(self.param.name)}', phase {self.phase}: {layers}"
        return "\n".join([head, *aligned(rows, right=0)])

    def forward(self, x: torch.Tensor | Mapping[str, torch.Tensor], blobs: Iterable[str] | None = None) -> dict:
        """Runs the layers needed for ``blobs`` (default: the net's outputs) and returns blob name -> tensor.

        ``x``: the input tensor, (N, C, H, W) float32, or for several inputs a dict by blob name. Gradients flow to
        inputs and parameters; a blob is freed after its last use. Raises PytsnError for unknown blobs, missing inputs.
        """
        wanted = tuple(self.outputs if blobs is None else [blobs] if isinstance(blobs, str) else blobs)
        if wanted not in self._plans:
            self._plans[wanted] = self.graph.plan(wanted)
        plan, inputs = self._plans[wanted]
        values = self._input_values(x, inputs)
        entries = [(getattr(self, self.module_names[index]), step, free) for index, step, free in plan]
        if self.by_cores is not None and self.by_cores.serves(values):
            self.by_cores.run(entries, values)
        else:
            run_layers(entries, values)
        return {blob: values[self.graph.value_of(blob)] for blob in wanted}

    def _input_values(self, x, inputs: list[str]) -> dict[str, torch.Tensor]:
        if not isinstance(x, Mapping):
            if len(inputs) > 1:
                raise PytsnError(f"these blobs need {len(inputs)} inputs: pass a dict with {', '.join(inputs)}")
            x = {(inputs or list(self.graph.inputs))[0]: x}
        for blob in x:
            if blob not in self.graph.inputs:
                raise PytsnError(f"'{blob}' is not an input of the net; its inputs are: {', '.join(self.graph.inputs)}")
        for blob in inputs:
            if blob not in x:
                raise PytsnError(f"input '{blob}' is missing")
            shape = self.graph.inputs[blob]
            if shape and (x[blob].ndim != len(shape) or x[blob].shape[1:2] != torch.Size(shape[1:2])):
                raise PytsnError(f"input '{blob}' has shape {tuple(x[blob].shape)}, the net was built for {shape}")
        return {f"{blob}@0": tensor for blob, tensor in x.items()}

    def load_caffemodel(self, path: str | os.PathLike, bn_style: str = "var"):
        """Loads weights by layer name from a caffemodel, a converted file or a port's checkpoint, whatever its name.
        Returns the report (converter/weights.py, LoadReport).

        Raises PytsnError naming file and layer unless the file has weights of the right shape for every layer of the
        net; load_net is lenient.
        """
        from converter.weights import load_any_weights

        report = load_any_weights(self, path, bn_style)
        report.require_complete()
        return report

    def total_loss(self, blobs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The objective: the sum of loss_weight * blob over the loss blobs (Net::ForwardFromTo)."""
        terms = (blobs[blob].sum() * weight for blob, weight in self.loss_weights.items())
        return sum(terms)  # type: ignore[return-value]  # 0 only for a net without losses


def run_layers(entries: Iterable[tuple[nn.Module, Step, tuple[str, ...]]], values: dict[str, torch.Tensor]) -> None:
    """Runs layers (module, step, ids to free after it) on values, id -> tensor, and adds theirs. Raises PytsnError."""
    for module, step, free in entries:
        try:
            tops = module(*[values[value] for value in step.bottoms])
        except PytsnError as error:
            raise PytsnError(f"{step.label}: {error}") from None
        values.update(zip(step.tops, tops if isinstance(tops, tuple) else (tops,), strict=False))
        for value in free:
            del values[value]


def load_net(
    prototxt: NetFile,
    caffemodel: str | os.PathLike | None = None,
    phase: str = "TEST",
    bn_style: str = "var",
    *,
    input_shapes: Mapping[str, Shape] | None = None,
    generator: Source = None,
    on_data_layer: OnDataLayer | None = None,
) -> CaffeNet:
    """Loads a prototxt, and optionally the weights of a caffemodel or a converted file, as a CaffeNet.

    ``bn_style``: what the fourth blob of the fork's BN layers holds: "var", running variance, or "invstd", the running
    inverse standard deviation of files saved before 27 April 2016. As in Caffe, layers without weights in the file keep
    their initial values and unused weights are skipped; ``net.report`` lists both (converter/weights.py).

    Data layers of other Caffes become inputs, and their unknown fields are skipped; ``net.notes`` and ``net.report``
    name them.

    Raises PytsnError naming file, line, layer or blob.
    """
    from converter.weights import load_any_weights

    if phase not in ("TRAIN", "TEST"):
        raise PytsnError(f"phase '{phase}': TRAIN or TEST was expected")
    notes: list[str] = []
    try:
        param = read_net(prototxt, notes if on_data_layer is None else None)
        net = CaffeNet(filter_net(param, phase), phase, input_shapes, generator, on_data_layer)
    except PytsnError as error:
        raise PytsnError(str(error) if str(error).startswith(str(prototxt)) else f"{prototxt}: {error}") from None
    net.report = load_any_weights(net, caffemodel, bn_style) if caffemodel is not None else None
    net.notes = notes + [
        f"layer '{layer.name}' ({layer.type}), a data layer of another Caffe: {', '.join(layer.top)} are inputs here"
        for layer in foreign_data_layers(net.param)
    ]
    if net.report is not None:
        net.report.notes = net.notes + net.report.notes
    return net
