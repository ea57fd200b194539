"""Removes the cost of frozen BN in training: each convolution folds the BN that follows it into its own filters.

A frozen BN is y = x * scale + shift, so the filters can be multiplied by scale instead. This saves one pass over the
blob forward, one backward, and the memory of the blob between; the filters' gradients follow by the chain rule. Values
differ by rounding only.
"""

from collections import Counter

from converter.layers.conv import Convolution
from converter.layers.norm import BN
from converter.net import CaffeNet


def fold_frozen_bn(net: CaffeNet) -> int:
    """Folds each frozen BN into its convolution if nothing else reads it, from the next forward on. Returns how many.

    Weights, statistics and the blobs after BN stay the same; the blob between the two, if it has its own name, now
    holds BN's output.
    """
    readers = Counter(value for step in net.graph.steps for value in step.bottoms)
    convolutions = {
        step.tops[0]: module
        for step, module in net.layers()
        if step.param.type == "Convolution" and isinstance(module, Convolution) and len(step.tops) == 1
    }
    weighted = {net.graph.value_of(blob) for blob in net.loss_weights}
    count = 0
    for step, module in net.layers():
        value = step.bottoms[0] if step.bottoms else ""
        if isinstance(module, BN) and module.frozen and value in convolutions and readers[value] == 1:
            if value in weighted:
                continue
            convolutions[value].absorbed, module.folded = module.affine, True
            count += 1
    return count
