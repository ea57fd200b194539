"""The runs that verify_parity compares: a CaffeNet, a recording, BNInception, and ONNX. Samples are (N, ..)."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch

from converter.errors import PytsnError
from converter.graph import SCORING_TYPES
from converter.names import state_name
from converter.net import CaffeNet
from converter.onnx_export import export_onnx
from converter.onnx_run import run_onnx, run_reference
from converter.parity import BlobDifference, compare_blobs
from converter.recording import Recording, random_inputs, run_net
from pytsn.models import BNInception
from pytsn.runtime.progress import Progress

Blobs = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Comparison:
    """A CaffeNet against another run: ``differences`` in net order (empty if it was impossible) and a note."""

    name: str
    differences: tuple[BlobDifference, ...] = ()
    note: str = ""

    @property
    def ok(self) -> bool:
        return all(difference.ok for difference in self.differences)

    @property
    def worst(self) -> BlobDifference | None:
        """The blob with the largest relative difference; NaN counts as the worst."""
        return max(self.differences, key=lambda each: (np.isnan(each.max_rel), each.max_rel), default=None)


def computable_blobs(net: CaffeNet) -> list[str]:
    """The blobs that need no labels: all except losses, accuracies and inputs."""
    made = {value for step in net.graph.steps if step.param.type not in SCORING_TYPES for value in step.tops}
    return [blob for blob, value in net.graph.final.items() if value in made]


def check_net(
    net: CaffeNet, recording: Recording | None, blobs: Sequence[str] | None, tolerance: float, samples: int = 2
) -> list[Comparison]:
    """Makes all possible comparisons. ``blobs`` None: all; ``samples``: number of samples for BNInception and ONNX.

    Raises PytsnError for unknown blobs, a recording without inputs, and if nothing could be compared.
    """
    for blob in blobs or ():
        net.graph.value_of(blob)
    chosen = [blob for blob in computable_blobs(net) if blobs is None or blob in blobs]
    works: dict[str, Callable[[], Comparison]] = {}
    if recording is not None:
        if not recording.inputs:
            raise PytsnError(
                f"{recording.source}: holds no input: add the net's input to it as 'input' (docs/parity.md)"
            )
        given = (recording, recording.inputs, blobs, tolerance)
        works["the recording"] = lambda: against_recording(net, *given)
    if chosen:
        few = cache(lambda: _run_few(net, recording, chosen, samples))
        works["BN-Inception by hand"] = lambda: against_bn_inception(net, few()[1], few()[0], tolerance)
        works["ONNX"] = lambda: against_onnx(net, few()[1], few()[0], tolerance)
    comparisons = []
    with Progress("comparing", len(works), "net", leave=False) as progress:
        for name, work in works.items():
            progress.describe(f"comparing with {name}")
            comparisons.append(work())
            progress.update()
    if not any(comparison.differences for comparison in comparisons):
        raise PytsnError("nothing was compared: " + "; ".join(each.note for each in comparisons))
    return comparisons


def _run_few(net: CaffeNet, recording: Recording | None, blobs: list[str], samples: int) -> tuple[Blobs, Blobs]:
    """Inputs of a few samples and the resulting blobs; of the prototxt's batch size if the net takes no other."""
    needed = net.graph.plan(blobs)[1]
    if recording is None:
        shapes = {name: shape for name in needed if (shape := net.inputs[name]) is not None}
        tries = [random_inputs(shapes, samples), random_inputs(shapes, next(iter(shapes.values()))[0])]
    else:
        inputs = {name: recording.inputs[name] for name in needed if name in recording.inputs}
        tries = [{name: values[:samples] for name, values in inputs.items()}, inputs]
    try:
        return tries[0], run_net(net, tries[0], blobs)
    except PytsnError:
        return tries[1], run_net(net, tries[1], blobs)


def against_recording(
    net: CaffeNet, recording: Recording, inputs: Blobs, blobs: Sequence[str] | None, tolerance: float
) -> Comparison:
    """Compares a CaffeNet with a recording, entry by entry. ``blobs`` None: all blobs of the net.

    Raises PytsnError if no entry belongs to a blob of the net.
    """
    known = [blob for blob in recording.blobs() if _has(net, blob) and (blobs is None or blob in blobs)]
    strangers = [blob for blob in recording.blobs() if not _has(net, blob)]
    if not known:
        names = ", ".join(f"'{blob}'" for blob in strangers[:3])
        raise PytsnError(f"{recording.source}: records no blob of this net that was asked for (it holds {names} ...)")
    views = recording.views(run_net(net, inputs, known))
    reference = {key: recording.entries[key] for key in views}
    note = f"{len(strangers)} recorded names are not blobs of the net ('{strangers[0]}' ...)" if strangers else ""
    return Comparison("recording", tuple(compare_blobs(reference, views, tolerance)), note)


def _has(net: CaffeNet, blob: str) -> bool:
    try:
        net.graph.value_of(blob)
    except PytsnError:
        return False
    return True


def against_bn_inception(net: CaffeNet, values: Blobs, inputs: Blobs, tolerance: float) -> Comparison:
    """Compares CaffeNet's ``values`` with BNInception's, if the net is BN-Inception."""
    model = bn_inception_like(net)
    if model is None:
        return Comparison("BNInception", note="the net is not BN-Inception")
    own = {state_name(blob): blob for blob in model.blob_names()}  # a score blob may be fc-action or fc_action
    names = {blob: own[state_name(blob)] for blob in values if state_name(blob) in own}
    with torch.no_grad():
        found = model(torch.from_numpy(next(iter(inputs.values()))), names.values())
    found = {blob: found[name].numpy() for blob, name in names.items()}
    return Comparison("BNInception", tuple(compare_blobs({blob: found[blob] for blob in names}, values, tolerance)))


def bn_inception_like(net: CaffeNet) -> BNInception | None:
    """BNInception with the net's weights, or None if names or shapes differ."""
    state = net.state_dict()
    first, last = state.get("conv1_7x7_s2.weight"), state.get("fc_action.weight")
    if first is None or last is None or first.ndim != 4 or last.ndim != 2 or len(net.inputs) != 1:
        return None
    model = BNInception(last.shape[0], first.shape[1]).eval()
    shapes = {key: tensor.shape for key, tensor in model.state_dict().items()}
    size = next(iter(net.inputs.values()))
    if {key: tensor.shape for key, tensor in state.items()} != shapes:
        return None
    if size is None or size[1:] != (first.shape[1], 224, 224):
        return None
    model.load_state_dict(state)
    return model


def against_onnx(net: CaffeNet, values: Blobs, inputs: Blobs, tolerance: float) -> Comparison:
    """Compares CaffeNet's ``values`` with the net as ONNX, run by onnxruntime, else by onnx's own evaluator."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        try:
            exported = export_onnx(net, path, outputs=values)
        except PytsnError as error:
            return Comparison("ONNX", note=f"not written: {error}")
        if exported.batch not in ("N", len(next(iter(inputs.values())))):
            return Comparison("ONNX", note=exported.warnings[0])
        found, note = run_onnx(path, inputs), ""
        if found is None:
            found, note = run_reference(path, inputs), "run by onnx's own evaluator: onnxruntime is not installed"
    blobs = {blob: found[exported.values[blob]] for blob in values}
    return Comparison("ONNX", tuple(compare_blobs(blobs, values, tolerance)), note)
