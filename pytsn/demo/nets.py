"""The demo's two small nets, written as the prototxt text that Caffe would be given (deploy form)."""

from dataclasses import dataclass

from pytsn.crops import CROP_SIZE

SCORE_BLOB = "fc-action"
FEATURE_BLOB = "global_pool"


@dataclass(frozen=True)
class Stream:
    """One of the two streams: modality, input channels (BGR, or x and y of five flow pairs), channels of each level."""

    modality: str
    channels: int
    widths: tuple[int, ...]


#: The flow net has one level less, and fewer channels: motion is all it has to tell.
STREAMS = {"rgb": Stream("rgb", 3, (16, 64, 128)), "flow": Stream("flow", 10, (16, 32))}


def deploy_prototxt(stream: Stream, num_classes: int) -> str:
    """The net as prototxt text: input (1, channels, 224, 224), scores (1, num_classes) in `fc-action`.

    A level is convolution, BN (the fork's), ReLU; a 3x3/2 maximum stands between levels. The mean over all
    places of every level, concatenated, is `global_pool` (N, sum of widths, 1, 1), and the classifier reads that.
    """
    blocks = [_head(stream)]
    bottom = "data"
    for level, width in enumerate(stream.widths, start=1):
        blocks.append(_level(level, width, bottom))
        if level < len(stream.widths):
            blocks.append(_layer(f"pool{level}", "Pooling", [f"conv{level}_bn"], _MAX_POOL))
        bottom = f"pool{level}"
    pooled = [f"conv{level}_mean" for level in range(1, len(stream.widths) + 1)]
    blocks.append(_layer(FEATURE_BLOB, "Concat", pooled, "concat_param { axis: 1 }"))
    classifier = f'inner_product_param {{ num_output: {num_classes} weight_filler {{ type: "xavier" }} }}'
    blocks.append(_layer(SCORE_BLOB, "InnerProduct", [FEATURE_BLOB], classifier))
    return "\n".join(blocks)


_MAX_POOL = "pooling_param { pool: MAX kernel_size: 3 stride: 2 }"
_MEAN_POOL = "pooling_param { pool: AVE global_pooling: true }"


def _head(stream: Stream) -> str:
    dims = "\n".join(f"input_dim: {size}" for size in (1, stream.channels, CROP_SIZE, CROP_SIZE))
    return f'name: "pytsn_demo_{stream.modality}"\ninput: "data"\n{dims}'


def _level(level: int, width: int, bottom: str) -> str:
    name = f"conv{level}"
    window = "pad: 3 kernel_size: 7 stride: 4" if level == 1 else "pad: 1 kernel_size: 3"
    filler = 'bias_term: false weight_filler { type: "msra" }'
    return "\n".join(
        [
            _layer(name, "Convolution", [bottom], f"convolution_param {{ num_output: {width} {window} {filler} }}"),
            _layer(f"{name}_bn", "BN", [name], 'bn_param { frozen: true slope_filler { type: "constant" value: 1 } }'),
            _layer(f"{name}_relu", "ReLU", [f"{name}_bn"], top=f"{name}_bn"),
            _layer(f"{name}_mean", "Pooling", [f"{name}_bn"], _MEAN_POOL),
        ]
    )


def _layer(name: str, kind: str, bottoms: list[str], param: str = "", top: str | None = None) -> str:
    lines = [f'name: "{name}"', f'type: "{kind}"', *(f'bottom: "{bottom}"' for bottom in bottoms)]
    lines += [f'top: "{top or name}"', *([param] if param else [])]
    return "layer {\n" + "".join(f"  {line}\n" for line in lines) + "}"
