"""A net and frames so small that eval-net takes a moment."""

from pathlib import Path

import numpy as np

from pytsn.data.frame_images import load_cv2

NET = """
input: "data" input_shape { dim: 1 dim: %d dim: 24 dim: 24 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 6 kernel_size: 5
        stride: 3 weight_filler { type: "gaussian" std: 0.05 } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "global_pool" type: "Pooling" bottom: "conv" top: "global_pool" pooling_param { pool: AVE global_pooling: true } }
layer { name: "fc-action" type: "InnerProduct" bottom: "global_pool" top: "fc-action" inner_product_param { num_output: 7
        weight_filler { type: "gaussian" std: 1 } } }
"""  # noqa: E501 prototxt


def write_frames(folder: Path, counts: dict[str, int], size: tuple[int, int] = (40, 30)) -> None:
    """Frames and flow images of noise: as many as ``counts`` says for each video; ``size``: width, height."""
    cv2, rng = load_cv2(), np.random.default_rng(0)
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for index in range(1, count + 1):
            cv2.imwrite(
                str(folder / name / f"img_{index:05d}.jpg"), rng.integers(0, 256, (size[1], size[0], 3), np.uint8)
            )
            for axis in "xy":
                image = rng.integers(0, 256, (size[1], size[0]), np.uint8)
                cv2.imwrite(str(folder / name / f"flow_{axis}_{index:05d}.jpg"), image)
