"""``pytsn.load``: from weight files to class names in two calls."""

import os
from collections.abc import Mapping, Sequence

from converter.errors import PytsnError
from converter.proto import NetFile
from pytsn.data.modalities import MODALITIES
from pytsn.evaluation.action_net import NetOptions
from pytsn.flow.extract.threads import in_threads
from pytsn.flow.methods import make_flow
from pytsn.flow.on_the_fly import CPU_PAIRS, GPU_PAIRS, FlowWork
from pytsn.flow.tvl1.presets import DEFAULT_PRESET
from pytsn.predict.known import KnownNet, know
from pytsn.predict.labels import number_labels, read_labels
from pytsn.predict.scores import Predictor, Sampling, load_nets, needs_flow
from pytsn.runtime.cores import cpu_count
from pytsn.runtime.device import pick_device
from pytsn.scores.aggregation import parse_aggregation

#: stream -> its net's prototxt and weights
Nets = Mapping[str, tuple[NetFile, str]]


def load(
    *weights: str | os.PathLike,
    nets: Mapping[str, tuple[str, str]] | None = None,
    labels: str | os.PathLike | Sequence[str] | None = None,
    device: str = "auto",
    num_frames: int = 25,
    crops: int = 10,
    fusion_weights: Mapping[str, float] | None = None,
    aggregation: str = "mean",
    algorithm: str = "tvl1",
) -> Predictor:
    """Loads the net, or the nets, of weight files, without prototxts; ``load(...).predict("video.mp4")`` then gives the
    same scores as `pytsn predict`.

    weights: caffemodel, .pth or .safetensors files of BN-Inception, as `pytsn identify` finds them. The number of input
    channels tells the stream (rgb, flow, rgbdiff; a name with "warped" warped flow), that of the scores the classes.
    nets: any other nets, stream -> (prototxt, weights). labels: class names, or a file of them (UCF101's classInd.txt,
    or a name a line); by default those of UCF101 or HMDB51 for nets of 101 or 51 classes, else class 0, class 1, ...
    num_frames: snippets per video. crops: 10, or 1 for the centre alone. fusion_weights: by stream, default the
    papers'. algorithm: of flow.

    Raises PytsnError that says what a file does not tell and which option says it.
    """
    known = [know(path) for path in weights]
    files = merge(known, nets or {})
    if not files:
        raise PytsnError("load: no weights; give a file, or nets={'rgb': (PROTO, WEIGHTS)}")
    if fusion_weights is not None and set(fusion_weights) != set(files):
        raise PytsnError(f"load: fusion_weights for {', '.join(fusion_weights)}, nets for {', '.join(files)}")
    loaded = load_nets(files, NetOptions(device, crops=crops), bn_styles(known))
    first = next(iter(loaded.values()))
    return Predictor(
        loaded,
        {stream: fusion_weights[stream] for stream in files} if fusion_weights else None,
        parse_aggregation(aggregation),
        Sampling(num_frames),
        flow_work(algorithm, DEFAULT_PRESET, device) if needs_flow(files) else None,
        labels=find_labels(labels, known, first.num_classes, str(next(iter(files.values()))[0])),
        notes=notes_of(known, named=labels is not None),
    )


def merge(known: Sequence[KnownNet], nets: Nets) -> dict[str, tuple[NetFile, str]]:
    """The nets by stream, in the order of the modalities. Raises PytsnError where a stream has two."""
    found: dict[str, tuple[NetFile, str]] = {}
    for stream in nets:
        if stream not in MODALITIES:
            raise PytsnError(f"stream '{stream}': one of {', '.join(MODALITIES)} was expected")
    for net in known:
        other = found.get(net.stream) or nets.get(net.stream)
        if other is not None:
            raise PytsnError(
                f"{net.weights}: a net for {net.stream}, as {other[1]} is; one net a stream (a net of flow is taken for"
                " warped flow if its name says so)"
            )
        found[net.stream] = (net.net, net.weights)
    return {stream: (found | dict(nets))[stream] for stream in MODALITIES if stream in found or stream in nets}


def bn_styles(known: Sequence[KnownNet]) -> dict[str, str]:
    """BN style by stream, of the files that tell it."""
    return {net.stream: net.bn_style for net in known if net.bn_style is not None}


def notes_of(known: Sequence[KnownNet], named: bool) -> list[str]:
    """Lines for the user; ``named``: whether the class names were given."""
    return [note for net in known for note in (*net.notes, *([] if named else filter(None, [net.label_note])))]


def find_labels(
    labels: str | os.PathLike | Sequence[str] | None, known: Sequence[KnownNet], classes: int, source: str
) -> list[str]:
    """Class names: those given, as a file or one by one, else those of the known nets' dataset, else numbers. Raises
    PytsnError unless there are as many as ``classes``, those of the net ``source``."""
    if isinstance(labels, (str, os.PathLike)):
        return read_labels(labels, classes, source)
    names = list(labels) if labels is not None else next((list(net.labels) for net in known if net.labels), None)
    if names is None:
        return number_labels(classes)
    if len(names) != classes:
        raise PytsnError(f"labels: {len(names)} class names, but {source} has {classes} classes: other dataset?")
    return names


def flow_work(algorithm: str, preset: str, device: str) -> FlowWork:
    """Flow on the GPU, or on all CPU cores, which share the pairs."""
    place = str(pick_device(device))
    function = make_flow(algorithm, preset, place)
    if place != "cpu":
        return FlowWork(function, GPU_PAIRS)
    threads = cpu_count()
    return FlowWork(in_threads(function, threads), CPU_PAIRS * threads)
