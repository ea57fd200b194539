"""BN-Inception as one table of channel counts; the torch module and the prototxt writer both use it.

Source: the eight nets ``tsn_bn_inception_*`` of the original (models/ucf101, models/hmdb51), which all describe this
network: Inception with batch normalisation (Ioffe and Szegedy, 2015), every convolution followed by BN and ReLU.
"""

from collections.abc import Iterator
from dataclasses import dataclass

INPUT_SIZE = 224  # height and width of the input, pixels
FEATURES = 1024  # channels of global_pool, the classifier's input
BN_EPS = 1e-5


@dataclass(frozen=True)
class Conv:
    """A convolution, its BN ``<name>_bn`` and the ReLU in place after it; stride 1 keeps the size."""

    name: str
    in_channels: int
    out_channels: int
    kernel: int
    stride: int = 1
    relu: str = ""

    def __post_init__(self) -> None:
        if not self.relu:
            group, _, rest = self.name.partition("/")
            object.__setattr__(self, "relu", f"{group}/relu_{rest}")

    @property
    def pad(self) -> int:
        return self.kernel // 2


@dataclass(frozen=True)
class Pool:
    """A pooling whose output size is rounded up, as in Caffe. ``kind`` is MAX or AVE."""

    name: str
    kind: str
    kernel: int
    stride: int
    pad: int = 0


@dataclass(frozen=True)
class Inception:
    """One block. ``one`` 0: no 1x1 branch; ``proj`` 0: the pooling branch passes its input's channels through.

    ``three`` and ``double`` are (reduce, out) channels of the branches with one and with two 3x3 convolutions. The two
    blocks that halve the map (3c, 4e) have no 1x1 branch and no projection.
    """

    name: str
    one: int
    three: tuple[int, int]
    double: tuple[int, int]
    pool: str
    proj: int

    @property
    def stride(self) -> int:
        return 1 if self.one else 2

    def out_channels(self, in_channels: int) -> int:
        """Channels of the block's ``output``, the concatenation of its branches."""
        return self.one + self.three[1] + self.double[1] + (self.proj or in_channels)

    def branches(self, in_channels: int) -> tuple[tuple["Conv | Pool", ...], ...]:
        """The branches in the order of the concatenation; each is a chain of steps from the block's bottom."""
        stride, (three_in, three), (double_in, double) = self.stride, self.three, self.double
        chains: list[tuple[Conv | Pool, ...]] = []
        if self.one:
            chains.append((Conv(f"{self.name}/1x1", in_channels, self.one, 1),))
        chains.append(
            (
                Conv(f"{self.name}/3x3_reduce", in_channels, three_in, 1),
                Conv(f"{self.name}/3x3", three_in, three, 3, stride),
            )
        )
        chains.append(
            (
                Conv(f"{self.name}/double_3x3_reduce", in_channels, double_in, 1),
                Conv(f"{self.name}/double_3x3_1", double_in, double, 3),
                Conv(f"{self.name}/double_3x3_2", double, double, 3, stride),
            )
        )
        pool = Pool(f"{self.name}/pool", self.pool, 3, stride, pad=1 if stride == 1 else 0)
        proj = (Conv(f"{self.name}/pool_proj", in_channels, self.proj, 1),) if self.proj else ()
        return (*chains, (pool, *proj))


# fmt: off
BLOCKS = (
    #          name           1x1  3x3: reduce, out  double 3x3   pooling  projection   output: channels, size
    Inception("inception_3a",  64, ( 64,  64), ( 64,  96), "AVE",  32),               # 256, 28 x 28
    Inception("inception_3b",  64, ( 64,  96), ( 64,  96), "AVE",  64),               # 320
    Inception("inception_3c",   0, (128, 160), ( 64,  96), "MAX",   0),               # 576, 14 x 14
    Inception("inception_4a", 224, ( 64,  96), ( 96, 128), "AVE", 128),               # 576
    Inception("inception_4b", 192, ( 96, 128), ( 96, 128), "AVE", 128),               # 576
    Inception("inception_4c", 160, (128, 160), (128, 160), "AVE", 128),               # 608
    Inception("inception_4d",  96, (128, 192), (160, 192), "AVE", 128),               # 608
    Inception("inception_4e",   0, (128, 192), (192, 256), "MAX",   0),               # 1056, 7 x 7
    Inception("inception_5a", 352, (192, 320), (160, 224), "AVE", 128),               # 1024
    Inception("inception_5b", 352, (192, 320), (192, 224), "MAX", 128),               # 1024
)
# fmt: on
GLOBAL_POOL = Pool("global_pool", "AVE", 7, 1)
CLASSIFIER = "fc-action"


def stem(in_channels: int) -> tuple[Conv | Pool, ...]:
    """The steps before the first block: (N, in_channels, 224, 224) -> (N, 192, 28, 28)."""
    return (
        Conv("conv1/7x7_s2", in_channels, 64, 7, 2, relu="conv1/relu_7x7"),
        Pool("pool1/3x3_s2", "MAX", 3, 2),
        Conv("conv2/3x3_reduce", 64, 64, 1),
        Conv("conv2/3x3", 64, 192, 3),
        Pool("pool2/3x3_s2", "MAX", 3, 2),
    )


def blocks() -> Iterator[tuple[Inception, int]]:
    """Each block with its number of input channels, in order."""
    channels = 192
    for block in BLOCKS:
        yield block, channels
        channels = block.out_channels(channels)


def convolutions(in_channels: int) -> Iterator[Conv]:
    """All 69 convolutions, in the order of the prototxt."""
    chains = [stem(in_channels)]
    for block, channels in blocks():
        chains.extend(block.branches(channels))
    for chain in chains:
        yield from (step for step in chain if isinstance(step, Conv))
