"""`convert`: caffemodels to PyTorch and ONNX files, and back."""

import argparse
import re
from pathlib import Path

from converter.errors import PytsnError
from pytsn.commands.arguments import add_bn_style

HELP = """convert Caffe weights to PyTorch (.pth, .safetensors) or ONNX files, and PyTorch files back to a caffemodel

The kind of the weight file is read from its content, so checkpoints of tsn-pytorch or mmaction (.pth.tar) convert too.
The prototxt defines the net; the suffix of each -o selects the format:

  .safetensors, .pth   state dict; loads into pytsn.models.BNInception and earlier PyTorch ports of these nets
  .onnx                the net for inference, any batch size; checked, and compared with onnxruntime where installed
  .caffemodel          weights under the prototxt's layer names, as Caffe would save them

Examples:
  convert.py deploy.prototxt net.caffemodel -o net.pth -o net.onnx
  convert.py deploy.prototxt net.pth -o back.caffemodel
  convert.py deploy.prototxt net.caffemodel --inspect
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("net_proto", metavar="NET_PROTO", help="prototxt of the net")
    parser.add_argument(
        "net_weights",
        metavar="NET_WEIGHTS",
        help="weights: a caffemodel, a converted file, or another port's checkpoint",
    )
    parser.add_argument(
        "-o", "--output", metavar="OUT", action="append", default=[], help="file to write; may be given several times"
    )
    parser.add_argument("--inspect", action="store_true", help="print layers, shapes and numbers of parameters")
    add_bn_style(
        parser.add_argument,
        "content of the fourth blob of the caffemodel's BN layers: the variance, or the inverse standard deviation in"
        " files from before 27 April 2016",
    )
    parser.add_argument(
        "--input_shape",
        metavar="BLOB=N,C,H,W",
        action="append",
        default=[],
        help="input shape that the prototxt does not give, e.g. of another Caffe's data layer; may be repeated",
    )
    parser.add_argument(
        "--allow_missing",
        action="store_true",
        help="continue when the weights lack layers of the net; these keep their initial fill",
    )


def run(args: argparse.Namespace) -> int:
    from converter.convert import check_outputs, load_for_conversion, source_metadata, write_net
    from converter.inspection import inspection_lines

    if not args.output and not args.inspect:
        raise PytsnError("nothing to do: give an output with -o OUT, or --inspect")
    check_outputs(args.output, (args.net_proto, args.net_weights))
    net = load_for_conversion(args.net_proto, args.net_weights, args.bn_style, _input_shapes(args.input_shape))
    assert net.report is not None  # weights were given
    if args.inspect:
        print("\n".join(inspection_lines(net)))
    print("\n".join(net.report.lines()))
    if not args.allow_missing:
        net.report.require_complete()
    metadata = source_metadata(net, args.net_proto, args.net_weights) if args.output else {}
    for output in args.output:
        notes = write_net(net, output, metadata)
        print(f"wrote {output} ({Path(output).stat().st_size:,} bytes)")
        for note in notes:
            print(f"  {note}")
    return 0


def _input_shapes(texts: list[str]) -> dict[str, tuple[int, ...]]:
    """``data=1,3,224,224`` as {"data": (1, 3, 224, 224)}."""
    shapes = {}
    for text in texts:
        blob, _, dims = text.rpartition("=")
        numbers = dims.split(",")
        if not blob or not all(re.fullmatch(r"[1-9]\d{0,8}", number.strip()) for number in numbers):
            raise PytsnError(f"--input_shape {text}: BLOB=N,C,H,W was expected, data=1,3,224,224 say")
        shapes[blob] = tuple(int(number) for number in numbers)
    return shapes
