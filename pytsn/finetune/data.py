"""The data of fine-tuning: the same VideoData layers that the prototxt writer makes for training."""

from dataclasses import dataclass

from converter import caffe_tsn_pb2 as pb
from converter.errors import PytsnError
from converter.proto import filter_net, parse_net
from pytsn.data.folder_names import find_renamed
from pytsn.data.frame_size import default_frame_size
from pytsn.data.frame_store import is_frame_folder
from pytsn.data.modalities import Modality
from pytsn.data.ten_crops import FRAME_SIZE
from pytsn.data.video_file import is_video_file
from pytsn.data.video_list import ListedVideo, check_labels, read_video_list
from pytsn.finetune.options import FinetuneOptions
from pytsn.models.net_spec import NetSpec
from pytsn.models.prototxt import train_val_prototxt
from pytsn.training.frame_size import size_overrides
from pytsn.training.overrides import override_net

_LEAST_CLASSES = 2


@dataclass(frozen=True)
class Lists:
    """The training and the validation videos (val is empty without a list)."""

    train: list[ListedVideo]
    val: list[ListedVideo]

    @property
    def classes(self) -> int:
        """The largest label + 1."""
        return max(video.label for video in (*self.train, *self.val)) + 1


def read_lists(options: FinetuneOptions) -> Lists:
    """Reads both lists. Raises PytsnError that names list and line, also for labels beyond ``num_classes`` and for
    missing folders: better now than in the middle of an epoch."""
    paths = (options.train_list, options.val_list)
    train, val = (read_video_list(path) if path else [] for path in paths)
    for path, videos in zip(paths, (train, val), strict=True):
        if options.num_classes is not None:
            check_labels(videos, options.num_classes, str(path))
        _check_folders(videos, str(path))
    return Lists(train, val)


def _check_folders(videos: list[ListedVideo], source: str) -> None:
    renamed = find_renamed([video.folder for video in videos])  # the data layer takes those, and says so
    there = [is_frame_folder(video.folder) or is_video_file(video.folder) for video in videos]
    gone = [video for video, found in zip(videos, there, strict=True) if not found and video.folder not in renamed]
    if gone:
        raise PytsnError(
            f"{source}, line {gone[0].line}: no folder '{gone[0].folder}', and {len(gone) - 1} of the"
            f" other {len(videos) - 1} are not there either: paths start at the current folder"
        )


def make_spec(options: FinetuneOptions, row: Modality, classes: int) -> NetSpec:
    """The spec from which prototxts are written. Raises PytsnError for fewer than two classes."""
    if classes < _LEAST_CLASSES:
        raise PytsnError(f"{options.train_list}: videos of {classes} class: nothing to tell apart (or --num_classes)")
    return NetSpec(
        "finetune",
        row.read_as,
        num_classes=classes,
        num_segments=options.num_segments,
        batch_size=options.batch_size,
        train_list=options.train_list,
        val_list=options.val_list or options.train_list,
    )


def data_layer(options: FinetuneOptions, spec: NetSpec, phase: str, planes: int, shape: tuple) -> pb.LayerParameter:
    """The VideoData layer of a phase, with ``--set`` applied. shape: the net's input (N, C, H, W); planes: per frame.

    Frames are read as large as they are, and resized for a net whose crops 340x256 does not hold.
    Raises PytsnError for a net whose input is not square.
    """
    _, channels, height, width = shape
    if height != width:
        raise PytsnError(f"{options.net}: input of {height} x {width}: crops are square")
    net = filter_net(parse_net(train_val_prototxt(spec)), phase)
    del net.layer[1:]
    layer = net.layer[0]
    layer.transform_param.crop_size = height
    layer.video_data_param.new_length = channels // planes
    if phase == "TEST":
        layer.video_data_param.batch_size = options.val_batch_size or options.batch_size
    larger = size_overrides(default_frame_size(height)) if height > FRAME_SIZE[1] else ()
    override_net(net, phase, (*larger, *options.overrides))
    return layer
