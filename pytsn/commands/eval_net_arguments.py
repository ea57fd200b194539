"""The help text and the arguments of ``pytsn eval-net``: the original's and ours."""

import argparse

from pytsn.commands.arguments import (
    add_aggregation,
    add_allow_missing,
    add_annotations,
    add_bn_style,
    add_crop_batch,
    add_device,
    add_difference,
    add_frame_patterns,
    add_modality,
    add_precision,
    add_prefixes,
    add_score_name,
    add_split_path,
    add_workers,
)
from pytsn.commands.confusion_argument import add_confusion
from pytsn.commands.report_arguments import add_report
from pytsn.commands.video_arguments import add_frame_size, add_videos
from pytsn.data.datasets import ANNOTATED_DATASETS, CUSTOM, SPLIT_DATASETS, SPLITS
from pytsn.runtime.words import one_of

#: values of DATASET
DATASETS = (*SPLIT_DATASETS, *ANNOTATED_DATASETS, CUSTOM)

HELP = """\
test a net on the videos of a split: class scores, class accuracies, mean accuracy

The net scores 25 snippets of each video, ten crops each. The scores are averaged; the accuracy is the mean of the class
accuracies. NET_WEIGHTS is a caffemodel, or a .pth or .safetensors file made by `convert`.

  pytsn eval-net ucf101 1 rgb FRAMES deploy.prototxt weights.caffemodel --save_scores scores_rgb
  pytsn eval-net hmdb51 2 flow FRAMES deploy.prototxt weights.caffemodel --num_worker 4 --gpus 0 1
  pytsn eval-net ucf101 1 rgbdiff FRAMES deploy.prototxt weights.caffemodel
  pytsn eval-net activitynet_1.2 1 rgb FRAMES net.prototxt net.caffemodel --snippet_rate 1 --aggregation multiscale
  pytsn eval-net custom 1 rgb . deploy.prototxt weights.pth --test_list videos.txt
  pytsn eval-net ucf101 1 rgb VIDEOS deploy.prototxt weights.caffemodel --videos

FRAMES holds one folder per video with img_00001.jpg ..., flow_x_00001.jpg ..., flow_y_00001.jpg ..., or with
dense_flow's img.zip, flow_x.zip, flow_y.zip, or a VIDEO.zip. Numbers start at 1 or, with newer extractors, at 0. For
other names give patterns: --frame_pattern image_%06d.jpg --flow_pattern flow_%c_%06d.jpg. rgbdiff computes differences
from the rgb images. Split files are read below --split_path (data/ucf101_splits, data/hmdb51_splits).
For `custom`, --test_list has a line `path count label` for each video; relative paths start at FRAMES, and the split
number is only a label. For ActivityNet, FRAMES holds the untrimmed videos (folders ID or v_ID); split 1 is the
validation subset, 2 the testing subset; mAP and hit@k are printed too.
With --videos, FRAMES holds the videos themselves, found by name at any depth; the scores equal those of build-of
followed by eval-net. A --test_list may name video files without --videos, with the count 0 if it is unknown.
--aggregation window, anet2016 and multiscale use windows of 1 to 16 s and need a known snippet rate.
Fuse score files with `pytsn eval-scores`.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of eval-net."""
    add = parser.add_argument
    add("dataset", choices=DATASETS, metavar="DATASET", help=", ".join(DATASETS))
    add("split", type=int, choices=SPLITS, metavar="SPLIT", help=one_of(map(str, SPLITS)))
    add_modality(add, "modality", metavar="MODALITY")
    add("frame_path", metavar="FRAMES", help="root folder of the frames")
    add("net_proto", metavar="NET_PROTO", help="deploy prototxt")
    add("net_weights", metavar="NET_WEIGHTS", help="weights of any kind: see convert")
    add_prefixes(add)
    add_frame_patterns(add)
    add(
        "--num_frame_per_video",
        type=_positive,
        default=25,
        metavar="T",
        help="snippets per video (default: %(default)s)",
    )
    add("--snippet_rate", metavar="R", help="R snippets per second instead of a fixed number, for untrimmed video")
    add(
        "--video_fps",
        metavar="F",
        help="frame rate of the videos (default: from ActivityNet's durations or the video files)",
    )
    add_frame_size(add)
    add("--save_scores", metavar="F", help="write the scores to F.npz")
    add("--resume", action="store_true", help="continue with the scores that an interrupted run left beside F")
    add_workers(add, _positive)
    add_device(add)
    add_precision(add, "; prints the drift from fp32")
    add_crop_batch(add, _positive)
    add_split_path(add)
    add("--test_list", metavar="FILE", help="list of a custom dataset")
    add_annotations(add)
    add("--subset", choices=("training", "validation", "testing"), help="subset of ActivityNet (default: by the split)")
    add_allow_missing(add)
    add_score_name(add)
    add_bn_style(add)
    add_difference(add, default=None)
    add_aggregation(add)
    add_confusion(add)
    add("--caffe_path", metavar="DIR", help="ignored; accepted for old scripts")
    add_videos(parser, "FRAMES holds video files")
    add_report(parser)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return value
