"""Seconds until the report of a whole test is on the screen of headless Chromium.

    python benchmarks/report_speed.py                        3,783 videos, 101 classes, rgb and flow
    python benchmarks/report_speed.py --videos 1 --classes 2
    python benchmarks/report_speed.py --keep report.html

Scores are random, but for a class that each video tends to; frames are smooth random pictures of 340x256. The page is
opened --rounds times, each in a browser of its own, as somebody does who opens the file that was sent: loaded is the
load event, by the page's own clock from the start of the navigation; painted is the second frame after it, when the
matrix is on the screen. Needs Chromium (Debian's package `chromium`).
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
from timing import machine, print_table

from pytsn.data.frame_images import load_cv2
from pytsn.evaluation.fused_scores import fuse
from pytsn.report.write import ReportOptions, write_report
from pytsn.runtime.cores import cpu_count
from pytsn.scores.score_file import read_scores, write_scores

ROOT = Path(__file__).resolve().parent.parent
SNIPPETS = 25
_LOADED = "performance.getEntriesByType('navigation')[0].loadEventEnd"
_PAINTED = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))"


def score_file(path: Path, modality: str, args: argparse.Namespace) -> Path:
    """Scores of one crop a snippet: the page does not depend on their number."""
    rng = np.random.default_rng(len(modality))
    labels = [index % args.classes for index in range(args.videos)]
    names = [f"v_Class{label:03d}_g{index // args.classes:03d}" for index, label in enumerate(labels)]
    scores = []
    for label in labels:
        scores.append(rng.normal(size=(1, 1, args.classes)) + rng.normal(size=(SNIPPETS, 1, args.classes)))
        scores[-1][:, :, label] += 2
    return write_scores(path, scores, labels, names, {"modality": modality, "num_frame_per_video": SNIPPETS})


def frame_folders(root: Path, names: Sequence[str]) -> Path:
    """A folder of frames by the name of each video; they are links to one."""
    cv2, rng = load_cv2(), np.random.default_rng(0)
    (root / "frames").mkdir()
    (root / "all").mkdir()
    for number in range(1, SNIPPETS + 1):
        image = cv2.resize(rng.integers(0, 256, (16, 20, 3), np.uint8), (340, 256), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(root / "frames" / f"img_{number:05d}.jpg"), image)
    for name in names:
        (root / "all" / name).symlink_to(root / "frames")
    return root / "all"


def write(folder: Path, args: argparse.Namespace) -> tuple[Path, float]:
    """The page, and the seconds that it took from files to file."""
    paths = [score_file(folder / f"{modality}.npz", modality, args) for modality in ("rgb", "flow")]
    page = args.keep or folder / "report.html"
    frames = frame_folders(folder, read_scores(paths[0]).names or ())
    start = time.perf_counter()
    scores = fuse([read_scores(path) for path in paths], (1, 1.5))
    write_report(scores, ReportOptions(str(page), frames=str(frames)))
    return page, time.perf_counter() - start


def opened(page: Path) -> tuple[float, float]:
    """Milliseconds to the load event and to the second frame after it."""
    from tests.report.browser import Browser, find_chromium

    program = find_chromium()
    if program is None:
        sys.exit("no Chromium found; Debian's package is called chromium")
    with Browser(program) as browser:
        browser.open(page)
        return browser.ask(_LOADED), browser.ask(_PAINTED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=3783)
    parser.add_argument("--classes", type=int, default=101)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--keep", type=Path, metavar="FILE", help="keep the page")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        page, seconds = write(Path(folder), args)
        print(f"{machine(cpu_count())}")
        size = f"{page.stat().st_size:,} bytes, written in {seconds:.1f} s"
        print(f"{args.videos:,} videos, {args.classes} classes, two streams: {size}\n")
        loaded, painted = zip(*(opened(page) for _ in range(args.rounds)), strict=True)
    rows = [
        [name, f"{min(own):.0f}", f"{median(own):.0f}", f"{max(own):.0f}"]
        for name, own in (("loaded", loaded), ("painted", painted))
    ]
    print_table(["ms", "min", "median", "max"], rows)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))  # for tests.report.browser
    main()
