"""Lists of videos, split files and class indices, ActivityNet's annotations."""

import json
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pytsn.data.activitynet import read_activitynet
from pytsn.data.frame_folders import find_missing, parse_list_file
from pytsn.data.frame_images import load_cv2
from pytsn.data.listed_folders import look_into_listed, numbering_notes
from pytsn.data.modalities import PREFIXES
from pytsn.data.splits import parse_split_file
from pytsn.data.video_list import check_labels, read_video_list, spaces_notes
from pytsn.predict.labels import read_labels
from tests.data.test_activitynet import make_file
from tests.hostile.kinds import Kind, read_all
from tests.hostile.mutations import mutate_encoded


class _Texts(Kind):
    suffix = ".txt"

    def mutate(self, data: bytes, rng: random.Random) -> bytes:
        return mutate_encoded(data, rng, self.samples)


class Lists(_Texts):
    """Read, and the folders looked into, as eval-net and training do."""

    def make_samples(self) -> Sequence[bytes]:
        image = np.zeros((8, 9, 3), np.uint8)
        for name in ("v_a", "v b", "v_ü"):
            (self.folder / name).mkdir()
            for number in (1, 2, 3):
                for prefix in PREFIXES:
                    load_cv2().imwrite(f"{self.folder}/{name}/{prefix}{number:05d}.jpg", image)
        lines = [f"{self.folder}/{name} 3 {label}" for label, name in enumerate(("v_a", "v b", "v_ü"))]
        return [
            "\n".join(lines).encode(),
            "".join(f"{line}\r\n" for line in lines).encode(),
            b"no/such.mp4 1\nother 12 0\n",
        ]

    def read(self, path: Path) -> None:
        parsed = parse_list_file(path)
        for modality in ("rgb", "flow"):
            videos, notes = look_into_listed(parsed, modality, PREFIXES, str(path))
            assert all(isinstance(note, str) for note in [*notes, *numbering_notes(videos, modality)])
            find_missing(videos, modality)
        rows = read_video_list(path)
        spaces_notes(rows, str(path))
        check_labels(rows, 3, str(path))


class Classes(_Texts):
    """UCF101's and HMDB51's split files, one of them damaged, and lists of class names."""

    FILES = (
        ("ucf101_splits/classInd.txt", "1 Archery\n2 Bowling\n"),
        ("ucf101_splits/trainlist01.txt", "Archery/v_Archery_g01_c01.avi 1\nBowling/v_Bowling_g01_c01.avi 2\n"),
        ("ucf101_splits/testlist01.txt", "Archery/v_Archery_g02_c01.avi\nBowling/v_Bowling_g02_c01.avi\n"),
        ("hmdb51_splits/class_list.txt", "cartwheel\nbrush_hair\n"),
        ("hmdb51_splits/cartwheel_test_split1.txt", "a_clip.avi 1\nb_clip.avi 2\nc_clip.avi 0\n"),
    )

    def make_samples(self) -> Sequence[bytes]:
        return [text.encode() for _, text in self.FILES]

    def write(self, folder: Path, rng: random.Random) -> Path:
        which = rng.randrange(len(self.FILES))
        for index, (name, text) in enumerate(self.FILES):
            for number in (1, 2, 3) if "1.txt" in name else (1,):
                path = folder / name.replace("1.txt", f"{number}.txt")
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(self.mutate(text.encode(), rng) if (index, number) == (which, 1) else text.encode())
        return folder

    def read(self, path: Path) -> None:
        read_all(
            lambda: parse_split_file("ucf101", path),
            lambda: parse_split_file("hmdb51", path),
            lambda: read_labels(path / "ucf101_splits" / "classInd.txt", 2, "net"),
            lambda: read_labels(path / "hmdb51_splits" / "class_list.txt", 2, "net"),
        )


class Annotations(_Texts):
    """ActivityNet's JSON."""

    suffix = ".json"

    def make_samples(self) -> Sequence[bytes]:
        return [json.dumps(make_file()).encode(), json.dumps(make_file(), indent=1).encode()]

    def read(self, path: Path) -> None:
        found = read_activitynet(path, "1.2")
        found.clip_splits()
        found.video_splits()
