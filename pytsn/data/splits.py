"""Split files in the layouts of UCF101 and HMDB51 (source: the original's ``pyActionRecog/benchmark_db.py``)."""

import os
from dataclasses import dataclass
from pathlib import Path

from converter.errors import PytsnError
from converter.files import read_text
from pytsn.data.datasets import CLASS_FILES, CLASS_INDEX, DATASETS, SPLIT_DATASETS

#: (video name, label from 0)
Entry = tuple[str, int]


@dataclass(frozen=True)
class Split:
    """The training and test videos of one split, in the order of the split files."""

    train: tuple[Entry, ...]
    test: tuple[Entry, ...]


def parse_split_file(dataset: str, split_path: str | os.PathLike = "data") -> list[Split]:
    """The splits of a dataset in SPLIT_DATASETS, read from SPLIT_PATH/<dataset>_splits.

    HMDB51 has one file per class. The original reads them in the arbitrary order of a directory listing; here they are
    read in alphabetical order of the class names. Labels come from class_list.txt (HMDB51), or are the numbers in
    classInd.txt minus one (UCF101).

    Raises PytsnError for another dataset, for missing files, and for lines that do not parse.
    """
    if dataset not in SPLIT_DATASETS:
        raise PytsnError(
            f"dataset '{dataset}' has no split files here; supported are {', '.join(SPLIT_DATASETS)}, and any other "
            "dataset by a list file (custom)"
        )
    row = DATASETS[dataset]
    return _PARSERS[row.layout](Path(split_path) / f"{dataset}_splits", row.splits)


def _parse_class_index(folder: Path, splits: int) -> list[Split]:
    classes = {}
    for number, line in enumerate(_lines(folder / "classInd.txt"), start=1):
        fields = line.split()
        if len(fields) != 2 or not fields[0].isdecimal():
            raise PytsnError(f"{folder / 'classInd.txt'}, line {number}: '{line}' is not 'number class'")
        classes[fields[1]] = int(fields[0]) - 1
    return [
        Split(
            _parse_index_list(folder / f"trainlist{number:02d}.txt", classes),
            _parse_index_list(folder / f"testlist{number:02d}.txt", classes),
        )
        for number in range(1, splits + 1)
    ]


def _parse_index_list(path: Path, classes: dict[str, int]) -> tuple[Entry, ...]:
    entries = []
    for number, line in enumerate(_lines(path), start=1):
        class_name, _, file_name = line.partition("/")
        if class_name not in classes or not file_name:
            raise PytsnError(f"{path}, line {number}: '{line}' is not CLASS/VIDEO.avi with a class of classInd.txt")
        entries.append((file_name.split(".")[0], classes[class_name]))
    return tuple(entries)


def _parse_class_files(folder: Path, count: int) -> list[Split]:
    classes = {name: label for label, name in enumerate(_lines(folder / "class_list.txt"))}
    splits = []
    for number in range(1, count + 1):
        suffix = f"_test_split{number}.txt"
        train: list[Entry] = []
        test: list[Entry] = []
        for class_name in sorted(path.name[: -len(suffix)] for path in folder.glob(f"*{suffix}")):
            path = folder / f"{class_name}{suffix}"
            if class_name not in classes:
                raise PytsnError(f"{path}: class '{class_name}' is not in class_list.txt")
            for name, flag in _parse_class_file(path):
                {"1": train, "2": test}.get(flag, []).append((name, classes[class_name]))
        if not test:
            raise PytsnError(f"{folder}: no test videos in *{suffix}; is this the folder of the HMDB51 split files?")
        splits.append(Split(tuple(train), tuple(test)))
    return splits


def _parse_class_file(path: Path) -> list[tuple[str, str]]:
    rows = []
    for number, line in enumerate(_lines(path), start=1):
        fields = line.split()
        if len(fields) != 2 or fields[1] not in ("0", "1", "2"):
            raise PytsnError(f"{path}, line {number}: '{line}' is not 'VIDEO.avi 0|1|2'")
        rows.append((fields[0][: -len(".avi")], fields[1]))
    return rows


#: layout -> parser: (folder of the split files, number of splits) -> splits
_PARSERS = {CLASS_INDEX: _parse_class_index, CLASS_FILES: _parse_class_files}


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in read_text(path).splitlines() if line.strip()]
