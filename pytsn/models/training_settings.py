"""The settings of the released models, by modality and by dataset.

Source: models/{ucf101,hmdb51}/tsn_bn_inception_{rgb,flow}_{train_val,solver}.prototxt of the original. Layer names that
differ between its rgb and flow files are kept: they stand in people's logs.

No rgbdiff net was released for Caffe. Its settings are those of rgb, which the papers do not contradict. The authors'
PyTorch code (yjxiong/tsn-pytorch, README.md and models.py) agrees in the learning rate, dropout 0.8, clipping at 40 and
conv1's learning rate, and the three scale ratios are from there. It trains 2.25 times as long as rgb, on 7 segments.
"""

from dataclasses import dataclass, replace

PROCESSES = 4  # scripts/train_tsn.sh of the original starts so many; schedules and test passes count on it


@dataclass(frozen=True)
class Modality:
    """What a snippet is and how it is trained on.

    channels: of one snippet, new_length frames (or differences) of it. mean_value: subtracted per channel, as written
    for one snippet; empty: none. frames: whose lists and schedule it has, rgb or flow.
    conv1_lr: factor on the learning rate of conv1, whose weights for flow come from another modality.
    """

    channels: int
    new_length: int
    frames: str
    name_pattern: str
    mean_value: tuple[int, ...]
    scale_ratios: tuple[float, ...]
    is_flow: bool
    dropout: float
    conv1_lr: int
    bn_engine: str
    fold: str  # the layer and blob that folds segments into the batch
    consensus: str
    consensus_blob: str


MODALITIES = {
    "rgb": Modality(
        channels=3,
        new_length=1,
        frames="rgb",
        name_pattern="img_%05d.jpg",
        mean_value=(104, 117, 123),  # B, G, R
        scale_ratios=(1, 0.875, 0.75, 0.66),
        is_flow=False,
        dropout=0.8,
        conv1_lr=1,
        bn_engine="",
        fold="reshape_data",
        consensus="segment_consensus",
        consensus_blob="pool_fusion",
    ),
    "flow": Modality(
        channels=10,
        new_length=5,
        frames="flow",
        name_pattern="flow_%c_%05d.jpg",
        mean_value=(128,),
        scale_ratios=(1, 0.875, 0.75),
        is_flow=True,
        dropout=0.7,
        conv1_lr=5,
        bn_engine="CAFFE",
        fold="data_reshape",
        consensus="pool_fusion",
        consensus_blob="pool_fc",
    ),
}
MODALITIES["rgbdiff"] = replace(
    MODALITIES["rgb"], channels=15, new_length=5, mean_value=(), scale_ratios=(1, 0.875, 0.75)
)


@dataclass(frozen=True)
class Schedule:
    """Iterations at an effective batch of 128 videos. steps: where, or how often, the rate falls to a tenth."""

    test_interval: int
    base_lr: float
    lr_policy: str
    steps: tuple[int, ...]
    max_iter: int
    clip_gradients: int
    device_id: tuple[int, ...] = (0, 1, 2, 3)


@dataclass(frozen=True)
class Dataset:
    """schedules: by the kind of frames. test_iter: batches of a test pass on each of PROCESSES. splits: how many there
    are. None: not known."""

    num_classes: int | None
    splits: int | None
    test_iter: int | None
    snapshot: str
    schedules: dict[str, Schedule]


DATASETS = {
    "ucf101": Dataset(
        num_classes=101,
        splits=3,
        test_iter=950,
        snapshot="{dataset}_split{split}_tsn_{modality}_bn_inception",
        schedules={
            "rgb": Schedule(500, 0.001, "step", (1500,), 3500, 40),
            "flow": Schedule(1000, 0.005, "multistep", (10000, 16000), 18000, 20, device_id=()),  # commented out there
        },
    ),
    "hmdb51": Dataset(
        num_classes=51,
        splits=3,
        test_iter=383,
        snapshot="{dataset}_split_{split}_tsn_{modality}_bn_inception",
        schedules={
            "rgb": Schedule(500, 0.001, "step", (1000,), 2500, 40),
            "flow": Schedule(500, 0.005, "multistep", (4000, 6000), 7000, 20),
        },
    ),
}
CUSTOM = replace(DATASETS["ucf101"], num_classes=None, splits=None, test_iter=None)
