"""Every modality in one table: which images it reads, what a net sees of them, how the papers train it.

To add a modality, add a row: command line choices, readers, nets, prototxts and schedules follow from it. What a row
cannot say: its word in VideoData layers (protos/, training/input/sample.py), how new images are read and computed
(Images, Video.frame_count, snippet_reader.py; flow/extract, data/decoded_snippets.py), which rows an ablation's table
has (ablation/plan.py).

Sources: ECCV paper (1608.00859) and models/{ucf101,hmdb51}/tsn_bn_inception_{rgb,flow}_train_val.prototxt of the
original. Layer names that differ between its rgb and flow files are kept: they stand in people's logs.

No rgbdiff net was released for Caffe. Its settings are those of rgb, which the papers do not contradict. The authors'
PyTorch code (yjxiong/tsn-pytorch, README.md and models.py) agrees in the learning rate, dropout 0.8, clipping at 40 and
conv1's learning rate, and the three scale ratios are from there. It trains 2.25 times as long as rgb, on 7 segments.
"""

from dataclasses import dataclass, replace

from converter.errors import PytsnError


@dataclass(frozen=True)
class Images:
    """One kind of image in a video's folder of frames.

    name: in the names of lists, and of the schedule that nets of such images share. title: in messages. planes: 3 for
    B, G, R; 2 for x and y. prefixes: of its files; name_pattern: of the same files, as a VideoData layer wants it.
    """

    name: str
    title: str
    planes: int
    prefixes: tuple[str, ...]
    name_pattern: str


@dataclass(frozen=True)
class Training:
    """What only training needs.

    scale_ratios: crop sides, as shares of the frame's shorter side. dropout: ratio on the pooled features. conv1_lr:
    factor on the learning rate of conv1. bn_engine: of BN layers, "" for Caffe's default. fold: the layer and blob that
    folds segments into the batch. consensus, consensus_blob: the layer that averages the segments, and its result.
    cross_modality: starts from an RGB net, its first filters averaged over the colours
    (pytsn/models/cross_modality.py). partial_bn: only the first BN keeps learning.
    """

    scale_ratios: tuple[float, ...]
    dropout: float
    conv1_lr: int
    bn_engine: str
    fold: str
    consensus: str
    consensus_blob: str
    cross_modality: bool
    partial_bn: bool = True


@dataclass(frozen=True)
class Modality:
    """One row.

    title: what a net of it sees, in help texts. identified: what `identify` says of its number of channels. read_as:
    the modality that VideoData layers, prototxts and tests know it by; warped flow is flow in folders of its own
    (own_folders), and build_flags are what `build-of` needs to make them. images: what it reads. length: images, or
    differences of images, in a snippet. mean: subtracted per channel of one image, or one value for all; empty: none.
    difference: the net is given the differences of consecutive images (pytsn/data/rgb_difference.py). fusion_weight:
    beside rgb's 1, and weight_of_three where rgb, flow and warped flow are fused. released: the authors released
    weights. file_words: regular expression for names of weight files; stream_words: one that counts only where no
    modality's file_words stand there. colour: in pictures.
    """

    name: str
    title: str
    identified: str
    images: Images
    length: int
    mean: tuple[int, ...]
    training: Training
    fusion_weight: float
    weight_of_three: float
    file_words: str
    colour: str
    read_as: str
    stream_words: str = ""
    difference: bool = False
    own_folders: bool = False
    build_flags: str = ""
    released: bool = False

    @property
    def channels(self) -> int:
        """Input channels of the net: of one snippet."""
        return self.length * self.images.planes

    @property
    def stack(self) -> int:
        """Images, or pairs of x and y, that a snippet is read from: a difference takes two."""
        return self.length + self.difference

    @property
    def least_frames(self) -> int:
        """Frames without which a video cannot be sampled; with one alone every difference would be 0."""
        return 1 + self.difference

    @property
    def is_flow(self) -> bool:
        """Whether the images point somewhere: a mirrored x image then has 255 - v."""
        return self.images == FLOW


RGB = Images("rgb", "frames", 3, ("img_",), "img_%05d.jpg")
FLOW = Images("flow", "flow images", 2, ("flow_x_", "flow_y_"), "flow_%c_%05d.jpg")
#: kinds of images by name
IMAGES = {kind.name: kind for kind in (RGB, FLOW)}
#: prefixes of rgb, flow x and flow y files
PREFIXES = (RGB.prefixes[0], FLOW.prefixes[0], FLOW.prefixes[1])

_RGB = Modality(
    name="rgb",
    title="the rgb stream",
    identified="rgb",
    images=RGB,
    length=1,
    mean=(104, 117, 123),  # B, G, R; 123 is right, 128 is a slip found in several later ports
    training=Training(
        scale_ratios=(1, 0.875, 0.75, 0.66),
        dropout=0.8,
        conv1_lr=1,
        bn_engine="",
        fold="reshape_data",
        consensus="segment_consensus",
        consensus_blob="pool_fusion",
        cross_modality=False,  # starts from ImageNet
    ),
    fusion_weight=1.0,
    weight_of_three=1.0,
    file_words=r"rgb",
    stream_words=r"spatial",  # ActivityNet 2016's word
    colour="#4477aa",
    read_as="rgb",
    released=True,
)
_FLOW = Modality(
    name="flow",
    title="the flow stream",
    identified="flow (plain or warped)",
    images=FLOW,
    length=5,
    mean=(128,),  # the grey value of no motion
    training=Training(
        scale_ratios=(1, 0.875, 0.75),
        dropout=0.7,
        conv1_lr=5,
        bn_engine="CAFFE",
        fold="data_reshape",
        consensus="pool_fusion",
        consensus_blob="pool_fc",
        cross_modality=True,
    ),
    fusion_weight=1.5,
    weight_of_three=1.0,
    file_words=r"flow",
    stream_words=r"temporal(?!_segment)",
    colour="#cc6644",
    read_as="flow",
    released=True,
)
_WARPED = replace(
    _FLOW,
    name="warped",
    title="warped flow (the camera's motion taken out)",
    fusion_weight=1.0,
    weight_of_three=0.5,
    file_words=r"warp(?:ed)?(?:_?flow)?",
    stream_words="",
    colour="#e8aa88",
    own_folders=True,
    build_flags="--flow_type warp_tvl1",
    released=False,
)
_RGBDIFF = replace(
    _RGB,
    name="rgbdiff",
    title="RGB differences",
    identified="rgb difference",
    length=5,
    mean=(),  # it cancels in the differences
    training=replace(_RGB.training, scale_ratios=(1, 0.875, 0.75), cross_modality=True),
    file_words=r"rgb_?diff(?:erence)?",
    stream_words="",
    colour="#88bbdd",
    read_as="rgbdiff",
    difference=True,
    released=False,
)

#: the table; a modality whose file_words hold another's comes after it
MODALITIES = {row.name: row for row in (_RGB, _FLOW, _WARPED, _RGBDIFF)}
#: those that VideoData layers, prototxts and tests tell apart
READ_MODALITIES = tuple(name for name, row in MODALITIES.items() if row.read_as == name)


def find_modality(name: str) -> Modality:
    """The row of a modality. Raises PytsnError for an unknown name."""
    if name not in MODALITIES:
        raise PytsnError(f"modality '{name}': one of {', '.join(MODALITIES)} was expected")
    return MODALITIES[name]


def modality_of_channels(channels: int) -> Modality:
    """The modality that nets of so many input channels see: rgb for 3, rgbdiff for 15, flow for any other number."""
    found = (MODALITIES[name] for name in READ_MODALITIES)
    return next((row for row in found if row.channels == channels), _FLOW)
