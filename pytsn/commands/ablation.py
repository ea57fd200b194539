"""``pytsn ablation``: the papers' tables of input modalities, consensus functions and depth, on your dataset."""

import argparse
import sys

from converter.text_table import amount
from pytsn.commands.arguments import (
    add_allow_missing,
    add_bn_style,
    add_device,
    add_overrides,
    add_picture_format,
    add_readers,
    add_split_path,
    add_trained_blob,
    add_training_precision,
)
from pytsn.data.datasets import CUSTOM, SPLIT_DATASETS, SPLITS
from pytsn.data.modalities import FLOW, MODALITIES, RGB
from pytsn.runtime.words import one_of

HELP = """\
the papers' ablations on your dataset: input modalities, consensus functions, depth; one table, one plot

Each cell is a training run of `pytsn finetune` and a test like eval-net's. Streams are fused with the papers' weights.
The output folder (-o) gets results.md, results.json, ablation.png and a folder for each cell. To continue a stopped
run, repeat the command: cells whose settings have changed are run again, all others are kept.

  pytsn ablation ucf101 FRAMES -o ablation --init bn_inception_rgb_init.caffemodel --warped_path WARPED
  pytsn ablation hmdb51 FRAMES -o ablation --tables consensus --consensus average,topk:2,attention --dry_run
  pytsn ablation custom . -o ablation --train_list train.txt --val_list val.txt --modalities rgb,rgbdiff --epochs 50
  pytsn ablation ucf101 FRAMES -o ablation --tables depth --net bn-inception --net vgg-16=vgg16_deploy.prototxt
  pytsn ablation demo DEMO -o ablation --seeds 0,1,2

FRAMES is the same folder as for eval-net; relative paths in a list start there. For `demo` it is the folder that
`pytsn demo` made, and the nets are small. Warped flow needs a folder of its own: pytsn build-of VIDEOS WARPED
--flow_type warp_tvl1. A modality without images is left out. One deploy prototxt serves every modality: its number of
input channels is changed to fit.

--init, --solver, --epochs, --iterations, --lr and --dropout take VALUE for all runs, or KEY=VALUE, where KEY is a
modality, a net or NET:MODALITY; they may be repeated. Other modalities start from the rgb weights, with the first
filters averaged, unless they have their own (--init flow=none: from scratch). The default schedule and learning rate
are those of the papers for each modality.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of ablation."""
    add = parser.add_argument
    datasets = (*SPLIT_DATASETS, CUSTOM, "demo")
    add("dataset", choices=datasets, metavar="DATASET", help=", ".join(datasets))
    add("frame_path", metavar="FRAMES", help="root folder of the frames; for demo: the folder that `pytsn demo` made")
    add("-o", "--out", required=True, metavar="FOLDER", help="output folder; made if missing")
    add("--split", type=int, default=1, metavar="N", help=f"{one_of(map(str, SPLITS))} (default: %(default)s)")
    add_split_path(add, default=None)
    add("--train_list", metavar="LIST", help="training videos of a custom dataset: lines `path count label`")
    add("--val_list", metavar="LIST", help="test videos of a custom dataset")
    add("--warped_path", metavar="DIR", help="root folder of the warped flow")
    add("--title", metavar="TEXT", help="name of the videos in the results (default: dataset and split)")
    add_picture_format(add, "ablation.png")
    add_allow_missing(add, "lack images of a modality")
    frames = "file names of the frames (default: %(default)s)"
    add("--rgb_pattern", "--frame_pattern", default=RGB.name_pattern, metavar="P", help=frames)
    add("--flow_pattern", default=FLOW.name_pattern, metavar="P", help="of the flow images (default: %(default)s)")
    add("--dry_run", action="store_true", help="print the plan and the estimated time, train nothing")
    _add_tables(parser)
    _add_training(parser)


def _add_tables(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("tables").add_argument
    add("--tables", type=_names, metavar="T,T", help="modalities, consensus, depth (default: all)")
    add("--modalities", type=_names, metavar="M,M", help=f"{', '.join(MODALITIES)} (default: all that have images)")
    add("--consensus", type=_names, metavar="C,C", help="default: max,average,weighted,topk:2,attention")
    add(
        "--num_segments",
        type=int,
        default=3,
        metavar="S",
        help="segments in the consensus table and the + TSN row (default: 3)",
    )
    add(
        "--net",
        action="append",
        metavar="NAME=FILE",
        help="net of the depth table; the first serves the other tables too",
    )
    add_trained_blob(add)
    add("--seeds", type=_names, metavar="N,N", help="one run per seed; the tables show mean and deviation (default: 0)")
    add("--num_frame_per_video", type=int, metavar="T", help="snippets per test video (default: 25)")
    add("--crops", type=int, choices=(1, 10), default=10, help="crops per snippet in the test (default: %(default)s)")


def _add_training(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("training (see pytsn finetune)").add_argument
    add("--init", action="append", metavar="[K=]WEIGHTS", help="weights to start from")
    add_bn_style(add, "BN of --init caffemodels, see convert")
    add("--solver", action="append", metavar="[K=]FILE", help="solver prototxt: learning rate, length, iter_size ...")
    add("--epochs", action="append", metavar="[K=]E", help="passes over the training videos (default: the papers')")
    add("--iterations", action="append", metavar="[K=]N", help="length in updates instead")
    add("--lr", action="append", metavar="[K=]R", help="learning rate (default: the papers')")
    add(
        "--dropout", action="append", metavar="[K=]R", help="dropout ratio before the classifier (default: the papers')"
    )
    add("--batch_size", type=int, metavar="N", help="videos per batch (default: 32)")
    add("--accumulate", type=int, metavar="A", help="batches per update (default: enough for 128 videos)")
    add("--partial_bn", choices=("yes", "no"), help="freeze all BN but the first (default: yes with --init)")
    add_overrides(add)
    add_device(add)
    add_training_precision(add, "; for training only, tests use fp32")
    add_readers(add)


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def run(args: argparse.Namespace) -> int:
    """Prints the plan, runs it. Returns 0; 1 when a run diverged; 130 or 143 when a signal stopped it."""
    from pytsn.runtime.locks import NO_LOCKS, UNPROTECTED, only_user

    options = _options(args)
    with only_user(options.out, "another ablation") as lock:
        if lock == UNPROTECTED:
            print(f"note: {options.out}: {NO_LOCKS}")
        return _run(args, options)


def _run(args: argparse.Namespace, options) -> int:
    from pytsn.ablation.cell import Stopped
    from pytsn.ablation.progress import AblationProgress, Estimate, duration
    from pytsn.ablation.run import Ablation, run_cells
    from pytsn.runtime.progress import track
    from pytsn.runtime.stop_signals import StopSignals
    from pytsn.training.settings import default_workers

    ablation = Ablation(options)
    for line in ablation.notes:
        print(line)
    estimate = Estimate(ablation)
    estimates = [estimate.seconds(item) for item in track(ablation.runs, "timing nets", unit="run", leave=False)]
    _print_plan(ablation, estimates, duration)
    if args.dry_run:
        return 0
    workers = default_workers(ablation.hardware.device, 1) if args.workers is None else args.workers
    try:
        with AblationProgress(ablation.runs, estimates) as progress, StopSignals() as signals:
            failed = run_cells(ablation, workers, progress, lambda: signals.received)
    except Stopped as stopped:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 128 + stopped.signal
    _finish(ablation, args.picture_format)
    for line in failed:
        print(f"error: {line}", file=sys.stderr)
    return int(bool(failed))


def _print_plan(ablation, estimates, duration) -> None:
    cells, rows = len(ablation.runs), ", ".join(dict.fromkeys(row.table for row in ablation.rows))
    count = amount(len(ablation.rows), "row")
    print(f"{count} ({rows}) of {amount(cells, 'training run')} on {ablation.hardware.device}:")
    done = {run.cell for run in ablation.runs if run.is_done()}
    for run, (train, test) in zip(ablation.runs, estimates, strict=True):
        same = [item.cell for item in ablation.runs if item.cell.setting == run.cell.setting]
        if run.cell == same[0]:
            count = "" if len(same) == 1 else f"{len(same)} seeds, "
            kept = f", {len(done.intersection(same))} done" if done.intersection(same) else ""
            times = f"train {duration(train)}, test {duration(test)}{kept}"
            print(f"  {run.cell.setting}: {count}{amount(ablation.schedule(run).max_iter, 'update')}; {times}")
    for run in ablation.runs:
        if run.record().get("state") and run.changes():
            print(f"  {run.cell.name} was made with other settings ({', '.join(run.changes())}): will be done again")
    left = sum(sum(pair) for run, pair in zip(ablation.runs, estimates, strict=True) if run.cell not in done)
    print(f"about {duration(left)} to go, images not read: nets alone, timed on a few snippets", flush=True)


def _finish(ablation, kind: str) -> None:
    from pytsn.ablation.plot import write_plot

    results = ablation.results()
    ablation.write(results)
    about = ablation.about()[0]
    picture = ablation.out / f"ablation.{kind}"
    write_plot(picture, results, about, 100 / ablation.data.num_classes, ablation.of_the_paper)
    print("\n".join(["", *ablation.text(results), ""]))
    print(f"wrote {', '.join(str(ablation.out / name) for name in ('results.md', 'results.json', picture.name))}")


def _options(args: argparse.Namespace):
    from converter.errors import PytsnError
    from pytsn.ablation.demo import apply_demo
    from pytsn.ablation.options import BUILT_IN, CHOICES, AblationOptions, parse_choices, parse_nets
    from pytsn.training.overrides import parse_override

    if args.dataset == "demo":
        apply_demo(args)
    nets = parse_nets(args.net or [BUILT_IN])
    names = {"split_path": "split_path", "batch_size": "batch_size", "snippets": "num_frame_per_video"}
    names |= {name: name for name in ("tables", "modalities", "consensus")}
    given = {own: value for own, name in names.items() if (value := getattr(args, name)) is not None}
    same: tuple[str, ...]
    same = ("dataset", "frame_path", "out", "split", "train_list", "val_list", "warped_path", "allow_missing", "title")
    same += ("rgb_pattern", "flow_pattern", "score_name", "accumulate", "bn_style", "crops", "device", "precision")
    seeds = args.seeds or ("0",)
    if not all(seed.isdecimal() for seed in seeds):
        raise PytsnError(f"--seeds {','.join(seeds)}: whole numbers from 0 with commas between were expected")
    return AblationOptions(
        **{name: getattr(args, name) for name in same},
        **given,
        segments=args.num_segments,
        nets=nets,
        seeds=tuple(map(int, seeds)),
        partial_bn=args.partial_bn and args.partial_bn == "yes",
        choices={name: parse_choices(name, getattr(args, name), nets) for name in CHOICES if getattr(args, name)},
        overrides=tuple(parse_override(text) for text in args.set or ()),
    )
