"""Converts weights from one format to another: the meaning of suffixes, and the metadata on the weights' source."""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from converter.core_threads import one_thread
from converter.errors import PytsnError
from converter.file_kinds import is_state_file
from converter.files import sha256_of
from converter.net import CaffeNet, load_net
from converter.ports import lost_means
from converter.recording import input_means, random_inputs, run_net
from converter.state_files import write_state
from converter.weights import save_caffemodel

#: metadata of a converted file that is kept when the file is converted again
_ORIGIN = ("source_weights", "source_weights_sha256")
#: of a port's checkpoint, kept as they are (converter/ports.py)
_PORT = ("origin_port", "origin_epoch", "origin_best")


def check_outputs(outputs: Iterable[str | os.PathLike], sources: Iterable[str | os.PathLike]) -> None:
    """Raises PytsnError for an unknown suffix, an output that is also a source, and an output given twice."""
    seen = {Path(source).resolve(): "is read by this very command" for source in sources}
    for output in map(Path, outputs):
        if output.suffix.lower() not in _WRITERS:
            known = ", ".join(_WRITERS)
            raise PytsnError(
                f"{output}: the suffix selects an output's format (an input's format is found from its content), and"
                f" '{output.suffix}' is not one of {known}"
            )
        if output.resolve() in seen:
            raise PytsnError(f"{output}: {seen[output.resolve()]}: choose another name")
        seen[output.resolve()] = "is given twice"


def load_for_conversion(
    prototxt: str | os.PathLike,
    weights: str | os.PathLike,
    bn_style: str = "var",
    input_shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> CaffeNet:
    """Loads the net of phase TEST with its weights; ``net.report`` says what matched. ``input_shapes``: as in load_net.

    Raises PytsnError as load_net does, and for BN style "invstd" with a converted file, which holds variances.
    """
    if is_state_file(weights) and bn_style != "var":
        raise PytsnError(f"{weights}: converted already, so its BN layers hold variances: leave --bn_style out")
    return load_net(prototxt, weights, bn_style=bn_style, input_shapes=input_shapes)


def source_metadata(net: CaffeNet, prototxt: str | os.PathLike, weights: str | os.PathLike) -> dict[str, str]:
    """The metadata of a converted file, as strings: the weights' source, and the net's inputs and outputs.

    Keys: source_prototxt, source_weights, their _sha256, input, input_shape, channels, means (those used in training if
    the weights' file has them, else those of the released nets: converter/recording.py), output, num_classes, bn_style
    (of the caffemodel; the converted file stores variances), and for a port's checkpoint origin_port, origin_epoch and
    origin_best.
    """
    assert net.report is not None  # load_for_conversion reads weights
    metadata = {"format_version": "1", "bn_style": net.report.bn_style}
    for kind, path in (("prototxt", prototxt), ("weights", weights)):
        metadata |= {f"source_{kind}": Path(path).name, f"source_{kind}_sha256": sha256_of(path)}
    earlier = net.report.metadata
    metadata |= {f"origin_{key}": earlier.get(f"origin_{key}", earlier[key]) for key in _ORIGIN if key in earlier}
    metadata |= {key: earlier[key] for key in _PORT if key in earlier}
    if "bn_style" in earlier:
        metadata["bn_style"] = earlier["bn_style"]
    return metadata | _description(net)


def _description(net: CaffeNet) -> dict[str, str]:
    described: dict[str, str] = {}
    name, shape = next(((name, shape) for name, shape in net.inputs.items() if shape is not None and shape), ("", ()))
    if len(shape) > 1:
        means = net.report.means(shape[1]) if net.report else None
        means = (input_means(shape[1]) if means is None else means).reshape(-1)
        described |= {
            "input": name,
            "input_shape": "N," + ",".join(map(str, shape[1:])),
            "channels": str(shape[1]),
            "means": ",".join(f"{mean:g}" for mean in means),
        }
    outputs = net.graph.results()
    if outputs:
        described |= {"output": outputs[0], "num_classes": str(net.blob_shapes[outputs[0]][-1])}
    return described


def write_net(net: CaffeNet, path: str | os.PathLike, metadata: Mapping[str, str]) -> list[str]:
    """Writes the net in the format of the suffix, whole or not at all. Returns lines for the user."""
    return _WRITERS[Path(path).suffix.lower()](net, path, metadata)


def _write_state(net: CaffeNet, path: str | os.PathLike, metadata: Mapping[str, str]) -> list[str]:
    write_state(path, net.state_dict(), metadata)
    return []


def _write_caffemodel(net: CaffeNet, path: str | os.PathLike, metadata: Mapping[str, str]) -> list[str]:
    save_caffemodel(path, net)
    lost = lost_means(net.report.metadata) if net.report else ""
    return [f"warning: {lost}"] if lost else []


def _write_onnx(net: CaffeNet, path: str | os.PathLike, metadata: Mapping[str, str]) -> list[str]:
    from converter.onnx_export import export_onnx

    exported = export_onnx(net, path, metadata=metadata)
    sizes = [f"{name} {list(dims)}" for name, dims in (*exported.inputs.items(), *exported.outputs.items())]
    notes = [f"warning: {text}" for text in exported.warnings]
    notes += [f"onnx.checker: fine; {', '.join(sizes)}"]
    return [*notes, _onnx_difference(net, path, exported)]


def _onnx_difference(net: CaffeNet, path: str | os.PathLike, exported) -> str:
    from converter.onnx_run import run_onnx

    batch = 2 if exported.batch == "N" else exported.batch
    shapes = {name: shape for name, shape in net.inputs.items() if name in exported.inputs and shape is not None}
    inputs = random_inputs(shapes, batch)
    found = run_onnx(path, inputs)
    if found is None:
        return "onnxruntime is not installed: the file was not run"
    with one_thread():  # two samples take 0.2 s
        wanted = run_net(net, inputs, exported.values)
    worst = {blob: float(np.abs(found[name] - wanted[blob]).max()) for blob, name in exported.values.items()}
    told = [f"{blob} {worst[blob]:.2g} of {np.abs(wanted[blob]).max():.3g}" for blob in worst]
    return f"onnxruntime: largest difference from the net: {', '.join(told)}"


_WRITERS: dict[str, Callable[[CaffeNet, str | os.PathLike, Mapping[str, str]], list[str]]] = {
    ".safetensors": _write_state,
    ".pth": _write_state,
    ".pt": _write_state,
    ".onnx": _write_onnx,
    ".caffemodel": _write_caffemodel,
}
