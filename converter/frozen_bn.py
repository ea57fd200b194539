"""Training with frozen BN for nothing: each convolution applies the BN that follows it to its own filters.

A frozen BN is y = x * scale + shift, and so are its convolution's filters times scale. Taken together they save a pass
over the blob forwards and one backwards, and the memory between them; gradients of the filters follow by the chain
rule. Values differ in rounding only.
"""

from collections import Counter

from converter.layers.conv import Convolution
from converter.layers.norm import BN
from converter.net import CaffeNet


def fold_frozen_bn(net: CaffeNet) -> int:
    """Lets convolutions apply the frozen BN that alone reads them, from the next forward on. Returns how many do.

    Weights, statistics and the blobs after BN stay what they were; the blob between the two, where it has a name of its
    own, now holds what BN makes of it.
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
