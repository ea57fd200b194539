"""Every dataset known by name, in one table: classes, splits, layout of its split files.

To add a dataset, add a row: command line choices, split readers, prototxts and names of weight files follow from it. A
row does not cover a new layout of split files (data/splits.py), a training schedule other than UCF101's
(models/training_settings.py) and published accuracies (evaluation/published.py).
"""

from dataclasses import dataclass

#: layouts of split files: UCF101's class index and two lists per split; HMDB51's one file per class and split;
#: ActivityNet's annotations (data/activitynet.py)
CLASS_INDEX, CLASS_FILES, ANNOTATIONS = "class index", "class files", "annotations"
#: name on the command line for videos from a list file
CUSTOM = "custom"


@dataclass(frozen=True)
class Dataset:
    """One row.

    title: name in messages. classes: number of classes of the dataset and its nets. file_words: regular expression for
    names of weight files. layout: of the split files; empty for datasets known only from weights. splits: their number.
    test_videos: number in each split, for datasets with published accuracies. shared_videos: test videos of one split
    are training videos of another. version: of the annotations. released: TSN's authors released nets for it.
    pretraining: next to another dataset in a file name, it names the pretraining.
    """

    name: str
    title: str
    classes: int
    file_words: str
    layout: str = ""
    splits: int = 0
    test_videos: tuple[int, ...] = ()
    shared_videos: bool = False
    version: str = ""
    released: bool = False
    pretraining: bool = False


DATASETS = {
    row.name: row
    for row in (
        Dataset(
            name="ucf101",
            title="UCF101",
            classes=101,
            file_words=r"ucf_?101",
            layout=CLASS_INDEX,
            splits=3,
            test_videos=(3783, 3734, 3696),
            shared_videos=True,
            released=True,
        ),
        Dataset(
            name="hmdb51",
            title="HMDB51",
            classes=51,
            file_words=r"hmdb_?51",
            layout=CLASS_FILES,
            splits=3,
            test_videos=(1530, 1530, 1530),
            shared_videos=True,
            released=True,
        ),
        Dataset(
            name="activitynet_1.2",
            title="ActivityNet 1.2",
            classes=100,
            file_words=r"(?:activitynet|anet)_?(?:v?_?1_?2|v12)",
            layout=ANNOTATIONS,
            splits=2,  # validation and testing
            version="1.2",
        ),
        Dataset(
            name="activitynet_1.3",
            title="ActivityNet 1.3",
            classes=200,
            file_words=r"(?:activitynet|anet)_?(?:v?_?1_?3|v13|2016)",
            layout=ANNOTATIONS,
            splits=2,
            version="1.3",
        ),
        Dataset("kinetics", "Kinetics-400", 400, r"(?:mini_?)?kinetics(?:_?400)?", pretraining=True),
        Dataset("imagenet", "ImageNet", 1000, r"imagenet", pretraining=True),
    )
}
#: datasets with split files like UCF101's or HMDB51's, and datasets with annotations
SPLIT_DATASETS = tuple(row.name for row in DATASETS.values() if row.layout in (CLASS_INDEX, CLASS_FILES))
ANNOTATED_DATASETS = tuple(row.name for row in DATASETS.values() if row.layout == ANNOTATIONS)
#: all split numbers that occur in any dataset
SPLITS = tuple(range(1, max(row.splits for row in DATASETS.values()) + 1))
