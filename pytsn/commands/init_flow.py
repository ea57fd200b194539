"""``pytsn init-flow``: cross-modality initialisation, start weights for a flow net from an RGB net."""

import argparse

HELP = """\
make start weights for flow or RGB difference from an RGB caffemodel

The filters of the first convolution are averaged over the three colours and repeated for every input channel; all other
weights stay the same. Train from the result with `pytsn train --weights=FLOW.caffemodel`.

  pytsn init-flow bn_inception_rgb_init.caffemodel -o bn_inception_flow_init.caffemodel
  pytsn init-flow rgb.caffemodel -o rgbdiff.caffemodel --channels 15
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of init-flow."""
    parser.add_argument("rgb", metavar="RGB", help="weights of a net with 3 input channels, of any kind")
    parser.add_argument(
        "-o", "--output", metavar="FLOW", required=True, help=".caffemodel, .safetensors or .pth to write"
    )
    parser.add_argument("--channels", type=int, default=10, metavar="C", help="input channels (default: %(default)s)")
    parser.add_argument("--layer", metavar="NAME", help="first layer (default: the first convolution in the file)")


def run(args: argparse.Namespace) -> int:
    """Writes the file and says what changed."""
    from pytsn.models.cross_modality import write_flow_start

    layer, old, new = write_flow_start(args.rgb, args.output, args.channels, args.layer)
    print(f"layer '{layer}': {old} -> {new}, each plane the mean of the {old[1]} colours")
    print(f"wrote {args.output}")
    return 0
