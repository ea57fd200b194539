"""BN-Inception's layers as prototxt text, from the input blob to the class scores."""

from pytsn.models.inception_table import CLASSIFIER, GLOBAL_POOL, Conv, Pool, blocks, stem
from pytsn.models.prototxt_text import Word, heading, layer


def trunk(channels: int, bottom: str, conv1_lr: int = 1, partial_bn: bool = False, engine: str = "") -> str:
    """All layers from blob ``bottom`` (N, channels, 224, 224) to ``inception_5b/output``.

    conv1_lr: factor on the learning rate of conv1. partial_bn: conv1's BN learns, all others are frozen;
    without it every BN is frozen. engine: CAFFE, or empty for the build's default.
    """
    text = heading("conv1, conv2")
    for step in stem(channels):
        first = step.name.startswith("conv1/")
        text += _step(step, bottom, conv1_lr if first else 1, frozen=not (first and partial_bn), engine=engine)
        bottom = _top(step)
    for block, entering in blocks():
        text += heading(block.name)
        ends = []
        for chain in block.branches(entering):
            below = bottom
            for step in chain:
                text += _step(step, below, engine=engine)
                below = _top(step)
            ends.append(below)
        bottom = f"{block.name}/output"
        text += layer(bottom, "Concat", ends, [bottom])
    return text


def head(num_classes: int, top: str, dropout: float, classifier: str = CLASSIFIER) -> str:
    """Global pooling, dropout, the layer ``classifier``: ``inception_5b/output`` -> blob ``top`` (N, num_classes)."""
    pool = GLOBAL_POOL.name
    scores = {"num_output": num_classes, **_fillers("weight", {"type": "gaussian", "std": 0.001}, 0)}
    return (
        heading("classifier")
        + _pool(GLOBAL_POOL, "inception_5b/output")
        + layer("dropout", "Dropout", [pool], [pool], {"dropout_param": {"dropout_ratio": dropout}})
        + layer(classifier, "InnerProduct", [pool], [top], _weights(1), {"inner_product_param": scores})
    )


def _top(step: Conv | Pool) -> str:
    return step.name if isinstance(step, Pool) else f"{step.name}_bn"


def _step(step: Conv | Pool, bottom: str, lr: int = 1, frozen: bool = True, engine: str = "") -> str:
    if isinstance(step, Pool):
        return _pool(step, bottom)
    bn = f"{step.name}_bn"
    return (
        layer(step.name, "Convolution", [bottom], [step.name], _weights(lr), _conv(step))
        + layer(bn, "BN", [step.name], [bn], _no_decay(), _bn(frozen, engine))
        + layer(step.relu, "ReLU", [bn], [bn])
    )


def _pool(pool: Pool, bottom: str) -> str:
    shape = {"pool": Word(pool.kind), "kernel_size": pool.kernel, "stride": pool.stride}
    return layer(pool.name, "Pooling", [bottom], [pool.name], {"pooling_param": shape | _nonzero(pad=pool.pad)})


def _conv(conv: Conv) -> dict[str, object]:
    shape = {"num_output": conv.out_channels, **_nonzero(pad=conv.pad), "kernel_size": conv.kernel}
    if conv.stride > 1:
        shape["stride"] = conv.stride
    return {"convolution_param": shape | _fillers("weight", {"type": "xavier"}, 0.2)}


def _bn(frozen: bool, engine: str) -> dict[str, object]:
    words = {"engine": Word(engine)} if engine else {}
    return {"bn_param": {"frozen": frozen, **words, **_fillers("slope", {"type": "constant", "value": 1}, 0)}}


def _fillers(first: str, filler: dict[str, object], bias: float) -> dict[str, object]:
    return {f"{first}_filler": filler, "bias_filler": {"type": "constant", "value": bias}}


def _weights(lr: int) -> dict[str, object]:
    """Weight, then bias: twice the learning rate and no decay."""
    return {"param": [{"lr_mult": lr, "decay_mult": 1}, {"lr_mult": 2 * lr, "decay_mult": 0}]}


def _no_decay() -> dict[str, object]:
    return {"param": [{"lr_mult": 1, "decay_mult": 0}] * 2}


def _nonzero(**values: int) -> dict[str, int]:
    return {name: value for name, value in values.items() if value}
