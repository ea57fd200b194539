"""Score files of ours and of the original, features, and the folders of unfinished runs."""

import io
import json
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pytsn.commands import eval_scores
from pytsn.features.files import FeatureIndex, read_index, write_features
from pytsn.flow.extract.resume import MARKER, check_folder, found_flow_type
from pytsn.flow.extract.video import ExtractSettings
from pytsn.runtime.resumable_arrays import videos_digest
from pytsn.scores.resume import ScoreStore
from pytsn.scores.score_file import write_scores
from pytsn.weights.resume import PartFile
from tests.hostile.kinds import RECORDINGS, Kind
from tests.hostile.mutations import mutate_bytes, mutate_encoded, mutate_zip

NAMES, LABELS = ("a", "b", "c"), (0, 2, 1)
SCORES = [np.random.default_rng(index).normal(size=(3 + index, 10, 4)).astype(np.float32) for index in range(3)]


class Scores(Kind):
    """Read, aggregated, fused, and their accuracies printed, as eval-scores does."""

    suffix = ".npz"

    def make_samples(self) -> Sequence[bytes]:
        settings = {"dataset": "ucf101", "split": 1, "modality": "rgb", "num_frames": 3, "snippet_rate": 1.0}
        return [write_scores(self.folder / "whole.npz", SCORES, LABELS, NAMES, settings).read_bytes()]

    def mutate(self, data: bytes, rng: random.Random) -> bytes:
        return mutate_zip(data, rng, self.samples)

    def read(self, path: Path) -> None:
        import argparse

        parser = argparse.ArgumentParser()
        eval_scores.add_arguments(parser)
        eval_scores.run(parser.parse_args([str(path)]))

    def command(self, path: Path) -> list[str] | None:
        return ["eval-scores", str(path)]


class PickledScores(Scores):
    """The original's: pickles of Python 2, and of NumPy as it is now."""

    def make_samples(self) -> Sequence[bytes]:
        rows, buffer = np.empty((3, 2), object), io.BytesIO()
        for row, scores, label in zip(rows, SCORES, LABELS, strict=True):
            row[:] = scores, label
        np.savez(buffer, scores=rows, labels=np.array(LABELS))
        return [(RECORDINGS / "eval" / "scores_python2.npz").read_bytes(), buffer.getvalue()]


class Features(Kind):
    """What --resume reads of a finished file."""

    suffix = ".npz"

    def make_samples(self) -> Sequence[bytes]:
        index = FeatureIndex(NAMES, LABELS, {"net": "x", "blob": "global_pool"}, [[1, 2]] * 3)
        write_features(self.folder / "whole.npz", "npz", index, lambda number: np.ones((2, 4), np.float32))
        return [(self.folder / "whole.npz").read_bytes()]

    def mutate(self, data: bytes, rng: random.Random) -> bytes:
        return mutate_zip(data, rng, self.samples)

    def read(self, path: Path) -> None:
        found = read_index(path, "npz")
        videos_digest(found.names, found.labels)


class Unfinished(Kind):
    """Records and arrays of runs to go on: scores, a download, a video's frames."""

    def make_samples(self) -> Sequence[bytes]:
        whole = ScoreStore(self.folder / "whole.npz", NAMES, LABELS, {"net": "x", "frames": 3})
        whole.add(1, SCORES[1])
        part = {"address": "http://h/f", "etag": '"1"', "modified": None, "size": 100}
        marker = {"settings": ExtractSettings().as_dict(), "video": "v.avi", "video_bytes": 5, "pairs": 1, "bytes": 3}
        return [
            (whole.folder / "settings.json").read_bytes(),
            (whole.folder / "000001.npy").read_bytes(),
            json.dumps(part).encode(),
            json.dumps(marker).encode(),
        ]

    def write(self, folder: Path, rng: random.Random) -> Path:
        files = list(self.samples)
        which = rng.randrange(4)
        files[which] = (
            mutate_bytes(files[1], rng, end=rng.choice((0, 128))) if which == 1 else mutate_encoded(files[which], rng)
        )
        partial = folder / "out.npz.partial"
        partial.mkdir()
        (partial / "settings.json").write_bytes(files[0])
        (partial / "000001.npy").write_bytes(files[1])
        (folder / "m.part").write_bytes(b"x" * 50)
        (folder / "m.part.json").write_bytes(files[2])
        (folder / "video").mkdir()
        (folder / "video" / MARKER).write_bytes(files[3])
        for kind in ("img", "flow_x", "flow_y"):
            (folder / "video" / f"{kind}_00001.jpg").write_bytes(b"x")
        return folder

    def read(self, path: Path) -> None:
        check_folder(str(path / "video"), ExtractSettings(), 5)
        found_flow_type(str(path / "video"))
        part = PartFile(path / "m", "http://h/f")
        part.continues({"Content-Range": f"bytes {part.length}-99/100"})
        assert isinstance(part.is_whole, bool)
        assert isinstance(part.range_headers(), dict)
        ScoreStore(path / "out.npz", NAMES, LABELS, {"net": "x", "frames": 3}, resume=True).todo()
