"""The help text and the arguments of ``pytsn eval-net``: the original's, and those that came with the port."""

import argparse

from pytsn.data.datasets import ANNOTATED_DATASETS, CUSTOM, SPLIT_DATASETS, SPLITS
from pytsn.data.modalities import READ_MODALITIES
from pytsn.runtime.words import one_of

#: what DATASET may be
DATASETS = (*SPLIT_DATASETS, *ANNOTATED_DATASETS, CUSTOM)

HELP = """\
test a net on the videos of a split: class scores, class accuracies, mean accuracy

Each video is sampled at 25 places, each place shown to the net as ten crops; scores are averaged, and the accuracy is
the mean of the class accuracies. NET_WEIGHTS is a caffemodel, or a .pth or .safetensors file made by `convert`.

  pytsn eval-net ucf101 1 rgb FRAMES deploy.prototxt weights.caffemodel --save_scores scores_rgb
  pytsn eval-net hmdb51 2 flow FRAMES deploy.prototxt weights.caffemodel --num_worker 4 --gpus 0 1
  pytsn eval-net ucf101 1 rgbdiff FRAMES deploy.prototxt weights.caffemodel
  pytsn eval-net activitynet_1.2 1 rgb FRAMES net.prototxt net.caffemodel --snippet_rate 1 --aggregation multiscale
  pytsn eval-net custom 1 rgb . deploy.prototxt weights.pth --test_list videos.txt

FRAMES holds one folder a video with img_00001.jpg ..., flow_x_00001.jpg ..., flow_y_00001.jpg ..., or with dense_flow's
img.zip, flow_x.zip, flow_y.zip, or a VIDEO.zip. rgbdiff makes its differences from the rgb images. Split files are read
below --split_path (data/ucf101_splits, data/hmdb51_splits). For `custom`, --test_list has a line `path count label` for
each video; relative paths start at FRAMES, and the split number is only a label. For ActivityNet, FRAMES holds the
untrimmed videos (folders ID or v_ID); split 1 is the validation, 2 the testing subset; mAP and hit@k are printed too.
--aggregation window, anet2016 and multiscale take windows of 1 to 16 s over snippets of a known rate.
Fuse score files with `pytsn eval-scores`.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of eval-net."""
    add = parser.add_argument
    add("dataset", choices=DATASETS, metavar="DATASET", help=", ".join(DATASETS))
    add("split", type=int, choices=SPLITS, metavar="SPLIT", help=one_of(map(str, SPLITS)))
    add("modality", choices=READ_MODALITIES, metavar="MODALITY", help=one_of(READ_MODALITIES))
    add("frame_path", metavar="FRAMES", help="root folder of the frames")
    add("net_proto", metavar="NET_PROTO", help="deploy prototxt")
    add("net_weights", metavar="NET_WEIGHTS", help="caffemodel, .pth or .safetensors")
    add("--rgb_prefix", default="img_", metavar="P", help="prefix of rgb frames (default: %(default)s)")
    add("--flow_x_prefix", default="flow_x_", metavar="P", help="prefix of x flow images (default: %(default)s)")
    add("--flow_y_prefix", default="flow_y_", metavar="P", help="prefix of y flow images (default: %(default)s)")
    add(
        "--num_frame_per_video", type=_positive, default=25, metavar="T", help="snippets a video (default: %(default)s)"
    )
    add("--snippet_rate", metavar="R", help="R snippets a second instead of a fixed number, for untrimmed video")
    add("--video_fps", metavar="F", help="frames a second of the videos (default: by ActivityNet's durations)")
    add("--save_scores", metavar="F", help="write the scores to F.npz")
    add("--resume", action="store_true", help="go on with the scores that an interrupted run left beside F")
    add("--num_worker", type=_positive, default=1, metavar="N", help="processes (default: %(default)s)")
    add("--gpus", type=int, nargs="+", metavar="G", help="CUDA devices to spread the workers over")
    add("--device", default="auto", help="auto (CUDA if there is any), cpu, cuda or cuda:N")
    add(
        "--precision", choices=("fp32", "tf32", "bf16"), default="fp32", help="fp32 is parity; others print their drift"
    )
    add("--batch_size", type=_positive, metavar="N", help="crops a forward (default: 10 on a CPU, 250 on a GPU)")
    add("--split_path", default="data", metavar="DIR", help="folder of the split files (default: %(default)s)")
    add("--test_list", metavar="FILE", help="list of a custom dataset")
    add(
        "--anet_file",
        metavar="JSON",
        help="ActivityNet's annotations (default: as in the original, below --split_path)",
    )
    add("--subset", choices=("training", "validation", "testing"), help="of ActivityNet (default: by the split)")
    add("--allow_missing", action="store_true", help="leave out videos that have no frames on disk")
    add("--score_name", metavar="BLOB", help="score blob (default: fc-action or fc_action)")
    add("--bn_style", choices=("var", "invstd"), default="var", help="fourth BN blob of the caffemodel: see docs")
    add("--rgbdiff", choices=("signed", "absolute"), help="differences that the rgbdiff net learned (default: signed)")
    add(
        "--aggregation", default="mean", metavar="A", help="frames to video: mean, topk:K, window, anet2016, multiscale"
    )
    add("--caffe_path", metavar="DIR", help="accepted for old scripts; there is no Caffe any more")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return value
