"""Arguments that several commands have, each stated once. ``add``: add_argument of a parser or of a group.

Nothing here imports torch: ``--help`` answers at once.
"""

import argparse
from collections.abc import Callable, Sequence

from pytsn.data.frame_names import frame_kinds
from pytsn.data.modalities import PREFIXES, READ_MODALITIES
from pytsn.data.rgb_difference import DIFFERENCES
from pytsn.runtime.device import PRECISIONS, TRAINING_PRECISIONS
from pytsn.runtime.picture_file import FORMATS
from pytsn.runtime.words import one_of

Add = Callable[..., object]

#: those of converter.weights, which imports torch; a test compares them
BN_STYLES = ("var", "invstd")
AGGREGATIONS = "mean, topk:K, window, anet2016, multiscale"


def add_device(add: Add, auto: str = "CUDA if there is any") -> None:
    """--device; ``auto``: what that word stands for."""
    add("--device", default="auto", metavar="D", help=f"auto ({auto}; default), cpu, cuda or cuda:N")


def add_precision(add: Add, more: str = "") -> None:
    """--precision of a test; ``more``: what else is to be said of it."""
    text = "fp32: parity with Caffe (default); tf32x3: parity, on tensor cores; tf32 or bf16: quicker, less exact"
    add("--precision", choices=PRECISIONS, default=PRECISIONS[0], help=text + more)


def add_training_precision(add: Add, more: str = "") -> None:
    """--precision of a training."""
    first, *others = TRAINING_PRECISIONS
    text = f"{first}: parity with Caffe (default); {one_of(others)}: quicker, less exact{more}"
    add("--precision", choices=TRAINING_PRECISIONS, default=first, help=text)


def add_bn_style(add: Add, what: str = "BN of a caffemodel, see convert") -> None:
    """--bn_style."""
    add("--bn_style", choices=BN_STYLES, default=BN_STYLES[0], help=f"{what} (default: %(default)s)")


def add_difference(add: Add, option: str = "--rgbdiff", default: str | None = DIFFERENCES[0]) -> None:
    """Which differences an rgbdiff net takes; ``default`` None where a command must know whether it was given."""
    text = f"differences that the rgbdiff net learned (default: {DIFFERENCES[0]})"
    add(option, choices=DIFFERENCES, default=default, help=text)


def add_modality(add: Add, name: str, **more: object) -> None:
    """The modality of a net's images; ``name``: of the argument."""
    add(name, choices=READ_MODALITIES, help=one_of(READ_MODALITIES), **more)


def add_prefixes(add: Add, defaults: Sequence[str] = PREFIXES) -> None:
    """--rgb_prefix, --flow_x_prefix, --flow_y_prefix."""
    names = {"rgb": "rgb frames", "flow_x": "x flow images", "flow_y": "y flow images"}
    for (name, files), prefix in zip(names.items(), defaults, strict=True):
        add(f"--{name}_prefix", default=prefix, metavar="P", help=f"prefix of {files} (default: %(default)s)")


def add_frame_patterns(add: Add) -> None:
    """--frame_pattern, --flow_pattern."""
    frames = "names of frames, as image_%%06d.jpg or frame%%d.png (default: img_%%05d.jpg); numbers run from 0 or 1"
    add("--frame_pattern", metavar="P", help=frames)
    flow = "names of flow images, %%c for x and y (default: flow_%%c_%%05d.jpg)"
    add("--flow_pattern", metavar="P", help=flow)


def frame_kinds_of(args: argparse.Namespace) -> tuple[str, str, str]:
    """What rgb, flow x and flow y files are called: the patterns where they are given, else the prefixes, else the
    original's names. Raises PytsnError for a pattern that makes no file names."""
    options = ("rgb_prefix", "flow_x_prefix", "flow_y_prefix")
    rgb, flow_x, flow_y = (getattr(args, name, own) for name, own in zip(options, PREFIXES, strict=True))
    return frame_kinds((rgb, flow_x, flow_y), args.frame_pattern, args.flow_pattern)


def add_crop_batch(add: Add, kind: Callable[[str], int] = int) -> None:
    """--batch_size of a test."""
    add("--batch_size", type=kind, metavar="N", help="crops a forward (default: 10 on a CPU, 250 on a GPU)")


def add_score_name(add: Add) -> None:
    """--score_name of a test."""
    add("--score_name", metavar="BLOB", help="score blob (default: fc-action or fc_action)")


def add_trained_blob(add: Add) -> None:
    """--score_name of a net to be trained."""
    add("--score_name", metavar="BLOB", help="its scores (default: fc-action, fc_action or its only result)")


def add_aggregation(add: Add) -> None:
    """--aggregation."""
    add("--aggregation", default="mean", metavar="A", help=f"snippets to video: {AGGREGATIONS} (default: mean)")


def add_picture_format(add: Add, what: str) -> None:
    """--picture_format; ``what``: the pictures."""
    add("--picture_format", choices=FORMATS, default=FORMATS[0], help=f"format of {what} (default: %(default)s)")


def add_workers(add: Add, kind: Callable[[str], int] = int) -> None:
    """--num_worker and --gpus of a test."""
    add(
        "--num_worker",
        type=kind,
        default=1,
        metavar="N",
        help="processes; on a GPU: reading threads (default: %(default)s)",
    )
    add("--gpus", type=int, nargs="+", metavar="G", help="CUDA devices to spread the workers over")


def add_readers(add: Add) -> None:
    """--workers of a training."""
    add("--workers", type=int, metavar="N", help="reading processes, 0 for none (default: 1; on CUDA up to 8)")


def add_overrides(add: Add) -> None:
    """--set of a training."""
    add("--set", action="append", default=[], metavar="F=V", help="change a field of solver or data; may be repeated")


def add_split_path(add: Add, default: str | None = "data") -> None:
    """--split_path; ``default`` None where a command must know whether it was given."""
    add("--split_path", default=default, metavar="DIR", help="folder of the split files (default: data)")


def add_annotations(add: Add) -> None:
    """--anet_file."""
    text = "ActivityNet's annotations (default: as in the original, below --split_path)"
    add("--anet_file", metavar="JSON", help=text)


def add_allow_missing(add: Add, what: str = "have no frames on disk") -> None:
    """--allow_missing."""
    add("--allow_missing", action="store_true", help=f"leave out videos that {what}")


def add_flow_method(add: Add) -> None:
    """--algorithm and --preset of flow that is computed on the fly."""
    from pytsn.flow.methods import ALGORITHMS
    from pytsn.flow.tvl1.presets import DEFAULT_PRESET, PRESETS

    text = "of flow (default: tvl1, which the models were trained on)"
    add("--algorithm", choices=ALGORITHMS, default="tvl1", help=text)
    add("--preset", choices=tuple(PRESETS), default=DEFAULT_PRESET, help=f"of TV-L1 (default: {DEFAULT_PRESET})")
