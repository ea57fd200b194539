"""`identify`: what a weight file is, and whether it is intact."""

import argparse
import dataclasses
import json
import sys

from converter.errors import PytsnError

HELP = """say what a weight file is: net, dataset, modality, BN; whether it is damaged or contradicts its name

Reads caffemodels of any age, .pth and .safetensors files. Recognises archives, error pages, Git LFS pointers,
solverstates and prototxts. The number of classes gives the dataset, the input channels of the first convolution give
the modality. Nothing in a file is executed. No file records the split that its net was trained on.

Examples:
  pytsn identify models/*.caffemodel
  pytsn identify found.caffemodel.v5 --json

Exit status: 0 all files are fine; 1 a file is damaged, contradicts its name, or has the suffix of a weight file but is
none; 2 a file cannot be read.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", metavar="FILE", nargs="+", help="weight file, or any other file")
    parser.add_argument("--json", action="store_true", help="print a JSON list, one object per file")


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
