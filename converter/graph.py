"""A net's graph, without any arithmetic: which layer makes each blob, which read it, when it can be freed. No torch.

Caffe runs layers in file order and lets a layer work in place (top named like its bottom). Here every write makes a new
*value* of the blob, so nothing is overwritten. Value ids are ``name@k``, the k-th value of the blob. A blob asked for
by name is its last value, which is what Caffe leaves in the blob.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from converter import caffe_tsn_pb2 as pb
from converter.errors import PytsnError

#: layers that read files; their tops are inputs of the net here
DATA_TYPES = frozenset(
    [
        "Data",
        "DummyData",
        "HDF5Data",
        "ImageData",
        "Input",
        "MemoryData",
        "Python",
        "SegData",
        "VideoData",
        "WindowData",
    ]
)
#: layers needed only for training and scoring
SCORING_TYPES = frozenset({"Accuracy", "EuclideanLoss", "Silence", "SoftmaxWithLoss"})
_SPLIT_BLOB = re.compile(r"(.+_split_)\d+")


@dataclass(frozen=True)
class Step:
    """One layer's run: input and output value ids."""

    param: pb.LayerParameter
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]

    @property
    def label(self) -> str:
        """The layer as errors name it."""
        return f"layer '{self.param.name}' ({self.param.type})"


@dataclass
class Graph:
    """The graph of a filtered net.

    ``inputs``: blob -> shape, None if not in the prototxt; ``final``: blob -> id of its last value; ``outputs``: blobs
    that no layer consumes, in the order they are made; ``splits``: names that Caffe gives its copies of a blob with
    several readers (util/insert_splits.cpp), without their last number, -> id.
    """

    inputs: dict[str, tuple[int, ...] | None] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    final: dict[str, str] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)
    splits: dict[str, str] = field(default_factory=dict)

    def value_of(self, blob: str) -> str:
        """The id of the blob's last value, or of the value in Caffe's copy ``BLOB_LAYER_0_split_1``.

        Raises PytsnError with a suggestion for an unknown blob.
        """
        copy = _SPLIT_BLOB.fullmatch(blob)
        if blob not in self.final and copy and copy[1] in self.splits:
            return self.splits[copy[1]]
        if blob not in self.final:
            raise PytsnError(f"no blob named '{blob}'{suggest(blob, self.final)}")
        return self.final[blob]

    def results(self) -> list[str]:
        """The outputs of the net without losses and accuracies: a classifier's scores. Labels and the bottoms of
        Silence are not results."""
        made: set[str] = set()
        read: set[str] = set()
        for step in self.steps:
            if step.param.type not in SCORING_TYPES:
                made.update(step.tops)
            scores = step.param.type in SCORING_TYPES and step.param.type != "Silence"
            read.update(step.bottoms[1:] if scores else step.bottoms)
        return [blob for blob, value in self.final.items() if value in made - read]

    def plan(self, blobs: Iterable[str]) -> tuple[list[tuple[int, Step, tuple[str, ...]]], list[str]]:
        """The steps needed for ``blobs``: (step index, step, ids to free after it) in file order; and their inputs."""
        wanted = {self.value_of(blob) for blob in blobs}
        needed, chosen = set(wanted), []
        for index in range(len(self.steps) - 1, -1, -1):
            step = self.steps[index]
            if needed.intersection(step.tops):
                chosen.append((index, step))
                needed.update(step.bottoms)
        inputs = [blob for blob in self.inputs if f"{blob}@0" in needed]
        seen, plan = set(wanted), []
        for index, step in chosen:  # backward: the first occurrence of an id is its last use
            last_used = tuple(dict.fromkeys(v for v in (*step.bottoms, *step.tops) if v not in seen))
            seen.update(last_used)
            plan.append((index, step, last_used))
        return plan[::-1], inputs


def suggest(wrong: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for a near miss, else an empty string."""
    close = difflib.get_close_matches(wrong, list(known), n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close else ""


def build_graph(net: pb.NetParameter) -> Graph:
    """The graph of a net that is already upgraded and filtered (converter/proto.py).

    Raises PytsnError for duplicate layer names, a bottom that no layer before it makes, a top made twice, no layers.
    """
    if not net.layer:
        raise PytsnError("the net has no layers in this phase")
    graph, seen = Graph(), set()
    given: list[tuple[int, ...] | None] = [tuple(shape.dim) for shape in net.input_shape]
    for blob, shape in zip(net.input, given or [None] * len(net.input), strict=True):
        _add_input(graph, blob, shape)
    for layer in net.layer:
        if layer.name in seen:
            raise PytsnError(f"two layers are named '{layer.name}' in this phase: weights go by layer name, rename one")
        seen.add(layer.name)
        if is_data_layer(layer):
            for blob, shape in zip(layer.top, data_shapes(layer), strict=True):
                _add_input(graph, blob, shape)
        else:
            _add_step(graph, layer)
    consumed = {value for step in graph.steps for value in step.bottoms}
    graph.outputs = [blob for blob, value in graph.final.items() if value not in consumed]
    return graph


def is_data_layer(layer: pb.LayerParameter) -> bool:
    """Whether it is a data layer of this Caffe, or of another, whose data layers are also named ...Data."""
    return not layer.bottom and (layer.type in DATA_TYPES or layer.type.endswith("Data"))


def foreign_data_layers(net: pb.NetParameter) -> list[pb.LayerParameter]:
    """The data layers of types that this Caffe does not have."""
    return [layer for layer in net.layer if is_data_layer(layer) and layer.type not in DATA_TYPES]


def _add_input(graph: Graph, blob: str, shape: tuple[int, ...] | None) -> None:
    if blob in graph.final:
        raise PytsnError(f"input blob '{blob}' is given twice")
    if shape is not None and (not all(0 < dim < 1 << 31 for dim in shape) or len(shape) > 32):
        raise PytsnError(f"input blob '{blob}': impossible shape {shape[:8]}")
    graph.inputs[blob] = shape
    graph.final[blob] = f"{blob}@0"
    graph.splits[f"{blob}_input_{len(graph.inputs) - 1}_split_"] = f"{blob}@0"


def _add_step(graph: Graph, layer: pb.LayerParameter) -> None:
    step_label = f"layer '{layer.name}' ({layer.type})"
    for blob in layer.bottom:
        if blob not in graph.final:
            raise PytsnError(f"{step_label}: bottom '{blob}' is made by no layer before it{suggest(blob, graph.final)}")
    bottoms = tuple(graph.final[blob] for blob in layer.bottom)
    tops = []
    # A loss layer may leave its top out; the net then names it (Net::AppendTop), here after the layer.
    names = list(layer.top) or ([layer.name] if layer.type.endswith("Loss") else [])
    for index, blob in enumerate(names):
        if blob in graph.final and blob not in layer.bottom:
            raise PytsnError(f"{step_label}: top '{blob}' is made by another layer already")
        version = int(graph.final[blob].rpartition("@")[2]) + 1 if blob in graph.final else 0
        tops.append(f"{blob}@{version}")
        graph.final.pop(blob, None)  # a blob written again moves to the end: outputs are in the order they are made
        graph.final[blob] = graph.splits[f"{blob}_{layer.name}_{index}_split_"] = tops[-1]
    graph.steps.append(Step(layer, bottoms, tuple(tops)))


def data_shapes(layer: pb.LayerParameter) -> list[tuple[int, ...] | None]:
    """The shapes of a data layer's tops, None where they depend on the data itself."""
    if layer.type == "Input":
        shapes: list[tuple[int, ...] | None] = [tuple(shape.dim) for shape in layer.input_param.shape]
        if len(shapes) not in (0, 1, len(layer.top)):
            raise PytsnError(f"layer '{layer.name}' (Input): {len(shapes)} shapes for {len(layer.top)} tops")
        return shapes * len(layer.top) if len(shapes) == 1 else shapes or [None] * len(layer.top)
    if layer.type == "DummyData" and len(layer.dummy_data_param.shape) == len(layer.top):
        return [tuple(shape.dim) for shape in layer.dummy_data_param.shape]
    if layer.type == "VideoData":
        return _video_shapes(layer)[: len(layer.top)] + [None] * (len(layer.top) - 2)
    return [None] * len(layer.top)


def _video_shapes(layer: pb.LayerParameter) -> list[tuple[int, ...] | None]:
    """(N, segments * length * channels, crop, crop) and (N,): video_data_layer.cpp, DataLayerSetUp."""
    video, crop = layer.video_data_param, layer.transform_param.crop_size
    planes = 2 if video.modality == video.FLOW else 1 if video.grayscale else 3
    height, width = (crop, crop) if crop else (video.new_height, video.new_width)
    channels = video.num_segments * video.new_length * planes
    data = (video.batch_size, channels, height, width)
    return [data if all(data) else None, (video.batch_size,) if video.batch_size else None]


def with_shapes(graph: Graph, shapes: Mapping[str, tuple[int, ...]] | None, required: bool = True) -> None:
    """Sets or overrides input shapes. Raises PytsnError for a blob that is not an input and, unless ``required`` is
    False (shapes may follow later), for inputs without a shape."""
    for blob, shape in (shapes or {}).items():
        if blob not in graph.inputs:
            raise PytsnError(f"'{blob}' is not an input of the net; its inputs are: {', '.join(graph.inputs)}")
        graph.inputs[blob] = tuple(shape)
    used = {value for step in graph.steps for value in step.bottoms}
    for blob, known in graph.inputs.items():
        if required and known is None and f"{blob}@0" in used:
            raise PytsnError(
                f"the prototxt does not give the shape of input '{blob}': pass input_shapes={{'{blob}': ...}}"
                f" (convert: --input_shape {blob}=N,C,H,W)"
            )
