"""Long commands stopped by SIGTERM in the middle of work that cannot finish: status 130, what is done is kept."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from converter.weights import save_caffemodel
from pytsn.cli import run_command
from pytsn.data.frame_images import load_cv2
from pytsn.scores.score_file import read_scores
from pytsn.weights.get_models import Wanted
from tests.converter.nets import build
from tests.held import HeldFiles
from tests.places import ROOT
from tests.waiting import PATIENCE, wait_for_process
from tests.weights.weight_servers import running_server, stall

NET = """
input: "data" input_shape { dim: 1 dim: 3 dim: 24 dim: 24 }
layer { name: "global_pool" type: "Pooling" bottom: "data" top: "global_pool" pooling_param { pool: AVE
        global_pooling: true } }
layer { name: "fc-action" type: "InnerProduct" bottom: "global_pool" top: "fc-action"
        inner_product_param { num_output: 7 weight_filler { type: "gaussian" std: 1 } } }
"""
VIDEOS = [f"v{number}" for number in range(5)]


def start(*arguments: object, **variables: str) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "no_proxy": "127.0.0.1", **variables}
    command = [sys.executable, "-m", "pytsn", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=environment, **pipes)


def stop(process: subprocess.Popen) -> str:
    """SIGTERM, and what the command says then."""
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    try:
        error = process.communicate(timeout=PATIENCE)[1]
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in error
    return error


@pytest.fixture
def world(tmp_path) -> Path:
    """Five videos of three frames, a list of them, a net."""
    for name in VIDEOS:
        (tmp_path / name).mkdir()
        for number in (1, 2, 3):
            image = np.random.default_rng(number).integers(0, 256, (30, 40, 3), np.uint8)
            load_cv2().imwrite(f"{tmp_path}/{name}/img_{number:05d}.jpg", image)
    (tmp_path / "list.txt").write_text("".join(f"{tmp_path}/{name} 3 1\n" for name in VIDEOS))
    (tmp_path / "net.prototxt").write_text(NET)
    save_caffemodel(tmp_path / "net.caffemodel", build(NET))
    return tmp_path


@pytest.mark.parametrize("command", ["eval-net", "features"])
def test_workers_in_the_middle_of_a_video(world, command):
    """v0 and v1 are kept, the workers are ended, and --resume goes on. v2's first frame is held for good."""
    net = [f"{world}/net.prototxt", f"{world}/net.caffemodel"]
    common = ["--num_worker", 2, "--device", "cpu"]
    arguments = {
        "eval-net": ["custom", 1, "rgb", world, *net, "--test_list", f"{world}/list.txt", *common, "--save_scores"],
        "features": [f"{world}/list.txt", "--modality", "rgb", "--net", *net, *common, "-o"],
    }[command]
    arguments = [*map(str, arguments), str(world / "out.npz")]
    held = HeldFiles(world / "site", [world / "v2" / "img_00001.jpg"])
    process = start(command, *arguments, **held.environment)
    kept = world / "out.npz.partial"
    wait_for_process(process, lambda: len(list(kept.glob("*.npy"))) == 2, "two videos")
    assert stop(process).endswith("stopped\n")
    assert sorted(path.name for path in kept.iterdir()) == ["000000.npy", "000001.npy", "settings.json"]
    assert run_command(command, [*arguments, "--resume"]) == 0
    if command == "eval-net":
        assert len(read_scores(world / "out.npz").scores) == len(VIDEOS)


def test_a_download_that_stalls(tmp_path):
    """The bytes that came are kept."""
    (file,) = Wanted("reference", "ucf101", 1, "rgb").files()
    with running_server() as server:
        server.files[f"/{file.address}"] = bytes(200_000)
        server.plan.append(stall(70_000))
        chosen = ["reference", "--dataset", "ucf101", "--split", "1", "--modality", "rgb"]
        process = start("get-models", *chosen, "-o", tmp_path, "--base_url", server.url)
        part = tmp_path / f"{file.name}.part"
        wait_for_process(process, lambda: part.exists() and part.stat().st_size == 70_000, "the first bytes")
        assert stop(process).endswith("stopped\n")
    assert part.stat().st_size == 70_000
