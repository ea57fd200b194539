"""The demo's two small nets as Caffe prototxts, in deploy and train_val form.

A level is convolution, BN (of TSN's Caffe fork) and ReLU; between levels lies 3x3 max pooling with stride 2. The last
level is averaged over all positions and normalised by another BN: `global_pool`, the input of the classifier. Without
this BN the averages hardly differ, and the few hundred updates of the demo do not suffice. Training is TSN's: three
snippets per video, folded into the batch, scores averaged before the loss.

Both nets see frames at half size. In training, frames are resized when read. The deploy net, which gets 224x224 crops
of 340x256 frames from eval-net, averages 2x2 pixels first, which equals resizing by two.
"""

from dataclasses import dataclass
from pathlib import Path

from pytsn.data.modalities import MODALITIES, Modality
from pytsn.data.ten_crops import CROP_SIZE, FRAME_SIZE
from pytsn.models.prototxt_text import Word, field, fields, heading, layer

SCORE_BLOB = "fc-action"
FEATURE_BLOB = "global_pool"
SEGMENTS = 3
_SHRINK = 2
_SIDE = CROP_SIZE // _SHRINK
_GIVEN, _LEARNED = ({"param": {"lr_mult": rate}} for rate in (0, 1))
_NO_DECAY = {"param": [{"lr_mult": 1, "decay_mult": 0}] * 2}
_BN = {"bn_param": {"slope_filler": {"type": "constant", "value": 1}}}


@dataclass(frozen=True)
class Stream:
    """One of the two streams: modality, channels of each level; ``conv1_given``: the first filters are given and not
    trained."""

    modality: str
    widths: tuple[int, ...]
    conv1_given: bool

    @property
    def row(self) -> Modality:
        """The row in the table of modalities."""
        return MODALITIES[self.modality]

    @property
    def channels(self) -> int:
        """Input channels: B, G, R, or x and y of five flow pairs."""
        return self.row.channels


#: The flow net has fewer levels and channels: it only has to recognise motion.
STREAMS = {
    "rgb": Stream("rgb", (16, 32, 64), conv1_given=True),
    "flow": Stream("flow", (16, 32), conv1_given=False),
}


def deploy_prototxt(stream: Stream, num_classes: int) -> str:
    """The net that scores snippets: input (1, channels, 224, 224), scores (1, num_classes) in `fc-action`."""
    head = fields(name=f"pytsn_demo_{stream.modality}", input="data", input_dim=[1, stream.channels, *[CROP_SIZE] * 2])
    half = {"pooling_param": {"pool": Word("AVE"), "kernel_size": _SHRINK, "stride": _SHRINK}}
    shrink = layer("half", "Pooling", ["data"], ["half"], half)
    return f"{head}\n{shrink}{_trunk(stream, 'half')}{_classifier(num_classes, SCORE_BLOB)}"


def train_val_prototxt(stream: Stream, num_classes: int, train: Path, test: Path, batch: int, dropout: float) -> str:
    """The net for training and its test passes. train, test: list files; batch: videos per batch."""
    fold = {"reshape_param": {"shape": {"dim": (-1, stream.channels, _SIDE, _SIDE)}}}
    return "".join(
        [
            field("name", f"pytsn_demo_{stream.modality}") + "\n",
            heading(f"data: (videos, {SEGMENTS} * {stream.channels}, {_SIDE}, {_SIDE}), folded into snippets"),
            _video_data(stream, "TRAIN", train, batch),
            _video_data(stream, "TEST", test, batch),
            layer("reshape_data", "Reshape", ["data"], ["reshape_data"], fold),
            _trunk(stream, "reshape_data"),
            layer("dropout", "Dropout", [FEATURE_BLOB], [FEATURE_BLOB], {"dropout_param": {"dropout_ratio": dropout}}),
            _classifier(num_classes, "fc"),
            _consensus_and_loss(num_classes),
        ]
    )


def _consensus_and_loss(num_classes: int) -> str:
    unfold = {"reshape_param": {"shape": {"dim": (-1, 1, SEGMENTS, num_classes)}}}
    mean = {"pooling_param": {"pool": Word("AVE"), "kernel_h": SEGMENTS, "kernel_w": 1}}
    axis = {"axis": 3}  # the blob is (videos, 1, 1, classes)
    return (
        heading("segmental consensus: mean of the snippets' scores; loss and accuracy")
        + layer("reshape_fc", "Reshape", ["fc"], ["reshape_fc"], unfold)
        + layer("segment_consensus", "Pooling", ["reshape_fc"], ["pool_fc"], mean)
        + layer("loss", "SoftmaxWithLoss", ["pool_fc", "label"], ["loss"], {"softmax_param": axis})
        + layer("accuracy", "Accuracy", ["pool_fc", "label"], ["accuracy"], {"accuracy_param": axis}, _only("TEST"))
    )


def _only(phase: str) -> dict[str, object]:
    return {"include": {"phase": Word(phase)}}


def _video_data(stream: Stream, phase: str, source: Path, batch: int) -> str:
    train = phase == "TRAIN"
    video = {
        "source": str(source),
        "batch_size": batch,
        "shuffle": train,
        "new_width": FRAME_SIZE[0] // _SHRINK,
        "new_height": FRAME_SIZE[1] // _SHRINK,
        "new_length": stream.row.length,
        "num_segments": SEGMENTS,
        "modality": Word(stream.modality.upper()),
        "name_pattern": stream.row.images.name_pattern,
    }
    transform = {
        "crop_size": _SIDE,
        "mirror": train,
        "mean_value": stream.row.mean * (1 if len(stream.row.mean) == 1 else SEGMENTS),
        "is_flow": stream.row.is_flow,
    }
    if train:
        transform |= {"fix_crop": True, "more_fix_crop": True, "multi_scale": True, "scale_ratios": (1, 0.875, 0.75)}
    messages = {"video_data_param": video}, {"transform_param": transform}, _only(phase)
    return layer("data", "VideoData", [], ["data", "label"], *messages)


def _trunk(stream: Stream, bottom: str) -> str:
    """All layers from blob ``bottom`` (N, channels, 112, 112) to `global_pool` (N, last width, 1, 1)."""
    text = heading("levels")
    for level, width in enumerate(stream.widths, start=1):
        text += _level(level, width, bottom, level == 1 and stream.conv1_given)
        bottom = f"conv{level}_bn"
        if level < len(stream.widths):
            pool = {"pool": Word("MAX"), "kernel_size": 3, "stride": 2}
            text += layer(f"pool{level}", "Pooling", [bottom], [f"pool{level}"], {"pooling_param": pool})
            bottom = f"pool{level}"
    mean = {"pool": Word("AVE"), "global_pooling": True}
    text += layer(FEATURE_BLOB, "Pooling", [bottom], [FEATURE_BLOB], {"pooling_param": mean})
    return text + layer(f"{FEATURE_BLOB}_bn", "BN", [FEATURE_BLOB], [FEATURE_BLOB], _NO_DECAY, _BN)


def _level(level: int, width: int, bottom: str, given: bool) -> str:
    name = f"conv{level}"
    window = {"pad": 2, "kernel_size": 5, "stride": 2} if level == 1 else {"pad": 1, "kernel_size": 3}
    conv = {"num_output": width, **window, "bias_term": False, "weight_filler": {"type": "msra"}}
    return (
        layer(name, "Convolution", [bottom], [name], _GIVEN if given else _LEARNED, {"convolution_param": conv})
        + layer(f"{name}_bn", "BN", [name], [f"{name}_bn"], _NO_DECAY, _BN)
        + layer(f"{name}_relu", "ReLU", [f"{name}_bn"], [f"{name}_bn"])
    )


def _classifier(num_classes: int, top: str) -> str:
    param = {"num_output": num_classes, "weight_filler": {"type": "xavier"}}
    return heading("classifier") + layer(
        SCORE_BLOB, "InnerProduct", [FEATURE_BLOB], [top], {"inner_product_param": param}
    )
