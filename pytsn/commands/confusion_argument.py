"""--confusion of ``eval-net`` and ``eval-scores``: the confusion matrix of a test as a picture."""

import argparse
import os

from converter.errors import PytsnError
from pytsn.commands.arguments import Add


def add_confusion(add: Add) -> None:
    """--confusion."""
    text = "draw the confusion matrix: .png, .pdf or .svg; class names from --labels, or the dataset's"
    add("--confusion", metavar="FILE", help=text)


def check_confusion(args: argparse.Namespace) -> None:
    """Raises PytsnError, before any work, for an ending of no format that is written, and for a folder or a file of
    class names that is not there."""
    from pytsn.runtime.picture_file import picture_format

    if args.confusion is None:
        return
    picture_format(args.confusion)
    folder = os.path.dirname(args.confusion) or "."
    if not os.path.isdir(folder):
        raise PytsnError(f"{args.confusion}: no folder {folder} to write the picture to")
    if args.labels is not None and not os.path.isfile(args.labels):
        raise PytsnError(f"{args.labels}: no such file; class names were expected, one a line")


def save_confusion(args: argparse.Namespace, predictions, dataset: str | None) -> None:
    """Draws the Predictions (pytsn/evaluation/summary.py) if --confusion was given, and says so. dataset: whose class
    names they are, where there is no --labels. Raises PytsnError when no video has a label."""
    if args.confusion is None:
        return
    import numpy as np

    from pytsn.data.class_names import names_of
    from pytsn.predict.labels import number_labels, read_labels
    from pytsn.scores.confusion_picture import draw_confusion_matrix
    from pytsn.scores.metrics import class_accuracy, confusion_matrix

    labels, best = np.asarray(predictions.labels), predictions.scores.argmax(axis=1)
    labels, best = labels[labels >= 0], best[labels >= 0]
    if not len(labels):
        raise PytsnError("the videos have no labels, so there is no confusion matrix: leave --confusion out")
    classes = predictions.scores.shape[1]
    names = read_labels(args.labels, classes, "the test") if args.labels else names_of(dataset, classes)
    title = f"{len(labels)} videos, mean class accuracy {class_accuracy(labels, best).mean:.1%}"
    matrix = confusion_matrix(labels, best, max(classes, int(labels.max()) + 1))
    if len(matrix) > classes:
        raise PytsnError(f"a video has label {labels.max()}, but the scores have {classes} classes")
    draw_confusion_matrix(args.confusion, matrix, names or number_labels(classes), title)
    print(f"wrote {args.confusion}")
