"""`verify_parity`: does this net compute what Caffe computed? Compared blob by blob."""

import argparse

from converter.errors import PytsnError
from pytsn.commands.arguments import add_bn_style

HELP = """compare a converted net, blob by blob, with a recording of Caffe, BN-Inception by hand and ONNX

Without --recording the input is random pixels, and only our own implementations are compared. A recording holds the
input and Caffe's blobs; docs/parity.md shows how to record with pycaffe. A blob passes when its largest difference is
at most --tolerance times its largest magnitude. Look for the cause at the first blob that fails: all later ones inherit
its error. Exit status 1 when any blob fails.

Examples:
  verify_parity.py deploy.prototxt net.caffemodel
  verify_parity.py deploy.prototxt net.caffemodel --recording forward.npz
  verify_parity.py deploy.prototxt net.pth --recording forward.npz --blobs conv1/7x7_s2 fc-action --verbose
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("net_proto", metavar="NET_PROTO", help="prototxt of the net")
    parser.add_argument("net_weights", metavar="NET_WEIGHTS", help="weights of any kind: see convert")
    parser.add_argument("--recording", metavar="FILE.npz", help="blobs that Caffe computed (docs/parity.md)")
    parser.add_argument(
        "--tolerance", type=float, metavar="SHARE", help="share of a blob's largest magnitude (default: 3e-5)"
    )
    add_bn_style(parser.add_argument)
    parser.add_argument("--blobs", nargs="+", metavar="BLOB", help="compare these blobs only")
    parser.add_argument(
        "--verbose", action="store_true", help="show every blob, not only those that fail and the ten worst"
    )


def run(args: argparse.Namespace) -> int:
    from converter.convert import load_for_conversion
    from converter.parity import TOLERANCE
    from converter.recording import read_recording
    from pytsn.parity.runs import check_net
    from pytsn.parity.table import parity_lines

    tolerance = TOLERANCE if args.tolerance is None else args.tolerance
    if not tolerance >= 0:
        raise PytsnError(f"--tolerance {tolerance}: 0 or more was expected")
    net = load_for_conversion(args.net_proto, args.net_weights, args.bn_style)
    assert net.report is not None  # weights were given
    print("\n".join(net.report.lines()))
    net.report.require_complete()
    recording = read_recording(args.recording, net.inputs) if args.recording else None
    comparisons = check_net(net, recording, args.blobs, tolerance)
    print("\n".join(parity_lines(comparisons, tolerance, args.verbose)))
    return 0 if all(comparison.ok for comparison in comparisons) else 1
