"""The `pytsn finetune` options of a cell: the papers' settings of the modality, unless the user gives others."""

from dataclasses import replace

from converter import caffe_tsn_pb2 as pb
from pytsn.ablation.options import AblationOptions
from pytsn.ablation.plan import Cell
from pytsn.data.modalities import find_modality
from pytsn.finetune.options import FinetuneOptions
from pytsn.finetune.schedule import plan_schedule
from pytsn.models.training_settings import RELEASED_BATCH
from pytsn.training.overrides import Override

_CHECKPOINTS = 10  # of a run
_NOTHING = "none"  # --init flow=none


def cell_training(
    options: AblationOptions, cell: Cell, num_classes: int, train_list: str, videos: int, net: str | None
) -> FinetuneOptions:
    """The options of a cell's training, without its folder. videos: lines of ``train_list``; net: deploy prototxt.

    Raises PytsnError for options that contradict each other.
    """
    pattern = options.flow_pattern if find_modality(cell.modality).is_flow else options.rgb_pattern
    name = Override("video_data_param", "name_pattern", pattern)
    training = FinetuneOptions(
        train_list=train_list,
        out=options.out,
        modality=cell.modality,
        num_segments=cell.segments,
        consensus=cell.consensus,
        num_classes=num_classes,
        partial_bn=options.partial_bn,
        bn_style=options.bn_style,
        net=net,
        score_name=options.score_name,
        batch_size=options.batch_size,
        accumulate=options.accumulate,
        epochs=_epochs(options, cell, videos),
        seed=cell.seed,
        overrides=(name, *options.overrides),
        init=_init(options, cell),
        **{key: options.find_choice(key, cell.net, cell.modality) for key in ("solver", "lr", "dropout")},
    )
    interval = -(-schedule(training, videos).max_iter // _CHECKPOINTS)
    snapshot = Override("solver", "snapshot", str(interval))
    return replace(training, overrides=(name, snapshot, *options.overrides))


def schedule(training: FinetuneOptions, videos: int) -> pb.SolverParameter:
    """The solver that finetune will make from these options."""
    return plan_schedule(training, find_modality(training.modality), videos, 1)


def _init(options: AblationOptions, cell: Cell) -> str | None:
    """Start weights: the modality's own, or those of rgb, whose first filters finetune averages over the colours."""
    found = options.find_choice("init", cell.net, cell.modality)
    if found is None and find_modality(cell.modality).training.cross_modality:
        found = options.find_choice("init", cell.net, "rgb")
    return None if found == _NOTHING else found


def _epochs(options: AblationOptions, cell: Cell, videos: int) -> float | None:
    iterations = options.find_choice("iterations", cell.net, cell.modality)
    if iterations is None:
        return options.find_choice("epochs", cell.net, cell.modality)
    accumulate = options.accumulate or max(1, round(RELEASED_BATCH / options.batch_size))
    return iterations * options.batch_size * accumulate / videos
