"""Every modality in one table: the images it reads, the net's input, the papers' training settings.

To add a modality, add a row: command line choices, readers, nets, prototxts and schedules follow from it. A row does
not cover its name in VideoData layers (protos/, training/input/sample.py), how new images are read and computed
(Images, Video.frame_count, snippet_reader.py; flow/extract, data/decoded_snippets.py), and the rows of ablation tables
(ablation/plan.py).

Sources: ECCV paper (1608.00859) and models/{ucf101,hmdb51}/tsn_bn_inception_{rgb,flow}_train_val.prototxt of the
original. Layer names that differ between its rgb and flow files are kept, because they appear in users' logs.

No rgbdiff net was released for Caffe. Its settings are those of rgb, which the papers do not contradict. The authors'
PyTorch code (yjxiong/tsn-pytorch, README.md and models.py) has the same learning rate, dropout 0.8, clipping at 40 and
conv1 learning rate; the three scale ratios are from there. It trains 2.25 times as long as rgb, on 7 segments.
"""

from dataclasses import dataclass, replace

from converter.errors import PytsnError


@dataclass(frozen=True)
class Images:
    """One kind of image in a video's frame folder.

    name: used in names of lists, and for the training schedule of nets with such images. title: used in messages.
    planes: 3 for B, G, R; 2 for x and y. prefixes: of the file names; name_pattern: the same for VideoData layers.
    """

    name: str
    title: str
    planes: int
    prefixes: tuple[str, ...]
    name_pattern: str


@dataclass(frozen=True)
class Training:
    """Settings for training only.

    scale_ratios: crop sides as shares of the frame's shorter side. dropout: ratio on the pooled features. conv1_lr:
    factor on the learning rate of conv1. bn_engine: of BN layers, "" for Caffe's default. fold: name of the layer and
    blob that fold segments into the batch. consensus, consensus_blob: the layer that averages the segments, and its
    blob. cross_modality: starts from an RGB net with its first filters averaged over the colours
    (pytsn/models/cross_modality.py). partial_bn: all BN layers but the first are frozen.
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

    title: the net's input, in help texts. identified: how `identify` names nets with its number of channels. read_as:
    its modality in VideoData layers, prototxts and tests; warped flow is flow in separate folders (own_folders), which
    `build-of` makes with build_flags. images: what it reads. length: images, or differences of images, per snippet.
    mean: subtracted per channel of one image, or one value for all; empty: none. difference: the net's input is
    differences of consecutive images (pytsn/data/rgb_difference.py). fusion_weight: relative to rgb's 1;
    weight_of_three: when rgb, flow and warped flow are fused. released: the authors released weights. file_words:
    regular expression for names of weight files; stream_words: one that is used only if no modality's file_words match.
    colour: in pictures.
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
        """Input channels of the net, for one snippet."""
        return self.length * self.images.planes

    @property
    def stack(self) -> int:
        """Images, or pairs of x and y, to read per snippet; L differences need L + 1 images."""
        return self.length + self.difference

    @property
    def least_frames(self) -> int:
        """Fewest frames that a video needs for sampling; with a single frame all differences would be 0."""
        return 1 + self.difference

    @property
    def is_flow(self) -> bool:
        """Whether the images are flow: mirroring then replaces v by 255 - v in x images."""
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
    mean=(104, 117, 123),  # B, G, R; 123 is right, several later ports have 128 by mistake
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

#: the table; a modality whose file_words contain another's comes after it
MODALITIES = {row.name: row for row in (_RGB, _FLOW, _WARPED, _RGBDIFF)}
#: modalities that differ in VideoData layers, prototxts and tests
READ_MODALITIES = tuple(name for name, row in MODALITIES.items() if row.read_as == name)


def find_modality(name: str) -> Modality:
    """The row of a modality. Raises PytsnError for an unknown name."""
    if name not in MODALITIES:
        raise PytsnError(f"modality '{name}': one of {', '.join(MODALITIES)} was expected")
    return MODALITIES[name]


def modality_of_channels(channels: int) -> Modality:
    """The modality of nets with so many input channels: rgb for 3, rgbdiff for 15, flow for any other number."""
    found = (MODALITIES[name] for name in READ_MODALITIES)
    return next((row for row in found if row.channels == channels), _FLOW)
