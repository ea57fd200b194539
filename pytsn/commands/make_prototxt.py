"""``pytsn make-prototxt``: the prototxts of TSN's BN-Inception, for any number of classes and segments."""

import argparse
from dataclasses import replace
from pathlib import Path

from converter.errors import PytsnError
from converter.files import explain_os_error, read_text, write_bytes
from pytsn.commands.arguments import add_modality
from pytsn.data.datasets import DATASETS, SPLIT_DATASETS
from pytsn.data.modalities import IMAGES
from pytsn.runtime.words import one_of

HELP = """\
write the deploy, train_val and solver prototxts of BN-Inception

Where the original has these files (models/ucf101, models/hmdb51), layers and settings are the same. Any other number of
classes or segments, split or dataset works too.

  pytsn make-prototxt ucf101 rgb                      three files in models/ucf101
  pytsn make-prototxt hmdb51 flow --kind deploy -o .  the net that eval-net needs, here
  pytsn make-prototxt ucf101 rgbdiff                  RGB difference: rgb's lists and schedule, 15 planes
  pytsn make-prototxt ucf101 rgb --num_segments 7 --split 2 -o models/seven
  pytsn make-prototxt diving rgb --num_classes 48 --train_list diving_train.txt --val_list diving_val.txt

Your own dataset gets the UCF101 schedule; lists have a line `folder count label` for each video. By default (without
--test_iter) a test pass covers the videos of --val_list once, shared by four processes.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of make-prototxt."""
    classes = one_of(str(DATASETS[name].classes) for name in SPLIT_DATASETS)
    parser.add_argument(
        "dataset", metavar="DATASET", help=f"{', '.join(SPLIT_DATASETS)} or a name of your own (needs --num_classes)"
    )
    add_modality(parser.add_argument, "modality", metavar="MODALITY")
    parser.add_argument("--kind", choices=("deploy", "train_val", "solver", "all"), default="all", help="default: all")
    parser.add_argument("-o", "--output", metavar="FOLDER", help="output folder (default: models/DATASET)")
    parser.add_argument(
        "--num_classes", type=int, metavar="K", help=f"number of classes (default: the dataset's, {classes})"
    )
    parser.add_argument(
        "--num_segments", type=int, default=3, metavar="S", help="snippets per training video (default: 3)"
    )
    parser.add_argument("--split", type=int, default=1, metavar="N", help="split of the dataset (default: 1)")
    parser.add_argument(
        "--batch_size", type=int, default=32, metavar="N", help="training videos per batch (default: 32)"
    )
    parser.add_argument(
        "--train_list",
        metavar="FILE",
        help=f"default: data/DATASET_FRAMES_train_split_N.txt, FRAMES {one_of(IMAGES)}",
    )
    parser.add_argument("--val_list", metavar="FILE", help="default: data/DATASET_FRAMES_val_split_N.txt")
    parser.add_argument("--test_iter", type=int, metavar="N", help="batches (videos) per test pass and process")
    parser.add_argument("--force", action="store_true", help="overwrite files that exist")


def run(args: argparse.Namespace) -> int:
    """Writes the files and prints their paths. Raises PytsnError for bad options and existing files before writing."""
    from pytsn.models.net_spec import KINDS
    from pytsn.models.prototxt import WRITERS

    spec = _spec(args)
    kinds = KINDS if args.kind == "all" else (args.kind,)
    folder = Path(spec.folder)
    texts = {folder / spec.file_name(kind): WRITERS[kind](spec) for kind in kinds}
    existing = [str(path) for path in texts if path.exists()]
    if existing and not args.force:
        raise PytsnError(f"{', '.join(existing)}: there already; --force overwrites")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain_os_error(error, folder) from None
    for path, text in texts.items():
        write_bytes(path, text.encode())
        print(f"wrote {path}")
    return 0


def _spec(args: argparse.Namespace):
    from pytsn.models.net_spec import NetSpec

    spec = NetSpec(
        dataset=args.dataset,
        modality=args.modality,
        num_classes=args.num_classes,
        num_segments=args.num_segments,
        split=args.split,
        batch_size=args.batch_size,
        train_list=args.train_list,
        val_list=args.val_list,
        test_iter=args.test_iter,
        folder=args.output and str(Path(args.output)),
    )
    if spec.test_iter is None and args.kind in ("solver", "all"):
        assert spec.val_list is not None  # NetSpec fills it in
        return replace(spec, test_iter=_test_iter(spec.val_list))
    return spec


def _test_iter(val_list: str) -> int:
    """Number of one-video batches on each of the schedule's processes that covers the list once."""
    from pytsn.models.training_settings import PROCESSES

    try:
        videos = sum(1 for line in read_text(val_list).splitlines() if line.strip())
    except PytsnError as error:
        raise PytsnError(f"{error}; give --test_iter, or --val_list with a file that is there") from None
    if not videos:
        raise PytsnError(f"{val_list}: no videos in it; give --test_iter, or another --val_list")
    return -(-videos // PROCESSES)
