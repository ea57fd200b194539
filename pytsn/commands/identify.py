"""`identify`: what any weight file is, and whether it is whole."""

import argparse
import dataclasses
import json
import sys

from converter.errors import PytsnError

HELP = """Says what a weight file is: net, dataset, modality, BN; and whether it is damaged or not what its name says.

Reads caffemodels of any age, .pth and .safetensors files; names archives, error pages, Git LFS pointers, solverstates
and prototxts for what they are. The dataset is told by the number of classes, the modality by the channels of the first
convolution. Nothing in a file is executed. Which split a net was trained on, no file can tell.

Examples:
  pytsn identify models/*.caffemodel
  pytsn identify found.caffemodel.v5 --json

Exit status: 0 all are fine; 1 some file is damaged, is no weight file though its suffix says so, or contradicts its
name; 2 some file cannot be read.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", metavar="FILE", nargs="+", help="weight file, or what was found under such a name")
    parser.add_argument("--json", action="store_true", help="print a JSON list, one object a file")


def run(args: argparse.Namespace) -> int:
    from pytsn.weights.identify import identify
    from pytsn.weights.identity_text import identity_lines

    status, answers = 0, []
    for path in args.files:
        try:
            found = identify(path)
        except PytsnError as error:
            print(f"error: {error}", file=sys.stderr)
            answers.append({"path": path, "error": str(error)})
            status = 2
            continue
        status = max(status, 0 if found.is_fine else 1)
        answers.append({**dataclasses.asdict(found), "fine": found.is_fine})
        if not args.json:
            print("\n".join(identity_lines(found)), flush=True)
    if args.json:
        print(json.dumps(answers, indent=1))
    return status
