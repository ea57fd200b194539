"""The lines that describe a run before it starts."""

from collections.abc import Sequence

from torch import nn

from converter import caffe_tsn_pb2 as pb
from converter.layers.activation import Dropout
from converter.text_table import amount
from pytsn.finetune.data import Lists
from pytsn.finetune.net import caffe_base
from pytsn.finetune.options import FinetuneOptions
from pytsn.finetune.schedule import clip_on, effective_batch, rate_text
from pytsn.models.partial_bn import normalisations
from pytsn.models.training_settings import RELEASED_BATCH
from pytsn.models.tsn import TSN
from pytsn.training.hardware import Hardware
from pytsn.training.solver_blobs import SolverBlob


def summary(
    options: FinetuneOptions,
    tsn: TSN,
    blobs: Sequence[SolverBlob],
    lists: Lists,
    solver: pb.SolverParameter,
    hardware: Hardware,
    world: int,
) -> list[str]:
    """The lines: model, parameters, data, batch, schedule, solver, checkpoints; warnings last."""
    videos = effective_batch(options, solver, world)
    batch = f"{options.batch_size} x {solver.iter_size} accumulated x {world} process{'es' * (world > 1)}"
    lines = [
        f"model: {caffe_base(tsn).param.name or options.net}, {tsn.modality.name}, {tsn.about.channels} channels,"
        f" {amount(tsn.num_segments, 'segment')}, consensus {options.consensus},"
        f" {amount(tsn.num_classes, 'class', 'classes')}",
        *_parameters(tsn, blobs),
        f"data: {amount(len(lists.train), 'training video')}, {_validation(lists)}",
        f"effective batch: {amount(videos, 'video')} ({batch})",
        f"schedule: {amount(solver.max_iter, 'update')}, {solver.max_iter * videos / len(lists.train):.3g} epochs;"
        f" learning rate {rate_text(solver)}",
        f"solver: momentum {solver.momentum:g}, weight decay {solver.weight_decay:g}, {_clipping(options, solver)}",
        f"checkpoint every {amount(solver.snapshot, 'update')} in {options.out};"
        f" device {hardware.device}, {hardware.precision}",
    ]
    return [*lines, *_warnings(options, videos)]


def _parameters(tsn: TSN, blobs: Sequence[SolverBlob]) -> list[str]:
    learned = [blob for blob in blobs if blob.lr_mult]
    frozen = [blob for blob in blobs if not blob.lr_mult and isinstance(blob.tensor, nn.Parameter)]
    layers = normalisations(tsn.base)
    still = sum(bool(getattr(layer, "frozen", False)) for layer in layers)
    counts = [sum(blob.tensor.numel() for blob in group) for group in (learned, frozen)]
    dropouts = [module.ratio for module in tsn.base.modules() if isinstance(module, Dropout)]
    return [
        f"learned: {amount(counts[0], 'value')} in {amount(len({blob.layer for blob in learned}), 'layer')};"
        f" frozen: {counts[1]:,} in {len({blob.layer for blob in frozen})};"
        f" BN: {len(layers) - still} learn, {still} frozen" + (f"; dropout {dropouts[-1]:g}" if dropouts else "")
    ]


def _validation(lists: Lists) -> str:
    return f"{len(lists.val)} to validate by" if lists.val else "none to validate by: no best weights (--val_list)"


def _clipping(options: FinetuneOptions, solver: pb.SolverParameter) -> str:
    if solver.clip_gradients < 0:
        return "gradients not clipped"
    what = f" of the {clip_on(options)} over accumulated batches" if solver.iter_size > 1 else ""
    return f"gradients clipped at norm {solver.clip_gradients:g}{what}"


def _warnings(options: FinetuneOptions, videos: int) -> list[str]:
    lines = []
    if videos != RELEASED_BATCH and options.solver is None and options.lr is None:
        lines.append(
            f"warning: the learning rate is the papers', for updates of {RELEASED_BATCH} videos: see --accumulate"
        )
    if options.init is None and not options.resume:
        lines.append("warning: no --init: from scratch the papers' nets learn little (ECCV paper, table 1)")
    return lines
