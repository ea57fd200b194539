"""Small videos of moving shapes. A class is a (shape, motion) pair, so neither stream alone can tell the classes
apart: a single frame shows the shape but not the motion, the optical flow shows the motion and hardly the shape.

The motion classes differ in nothing but motion: every clip draws a full trajectory (sideways, up or down, rocking),
follows the part that its motion names, and freezes the rest at a random time. So the position, size and tilt of the
shape in a frame have the same distribution in all classes.
"""

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converter.errors import PytsnError
from converter.files import atomic_path
from pytsn.data.frame_images import load_cv2

WIDTH, HEIGHT = 340, 256  # the frame size of the original's extraction and evaluation
FPS = 25
SHAPES = ("Disc", "Square", "Triangle", "Star")
#: Slides goes left or right at random: half of the ten crops are mirrored, so no flow net could tell the two apart.
MOTIONS = ("Slides", "Rises", "Falls", "Rocks")
CLASSES = tuple(shape + motion for shape, motion in itertools.product(SHAPES, MOTIONS))

_VERTICAL = {"Rises": -1, "Falls": 1}
_SWING = 18.0  # largest tilt to either side, in degrees
_CORNERS = {"Square": 4, "Triangle": 3}
_PATCH = 128  # side of the shape's drawing, which is resized for the frame
_RIM = 56  # circumscribed radius in the drawing


@dataclass(frozen=True)
class Clip:
    """One video to make. ``name`` is as in UCF101 (v_<class>_g<group>_c01). The other fields determine the content."""

    name: str
    shape: str
    motion: str
    frames: int
    seed: tuple[int, ...]

    @property
    def class_name(self) -> str:
        return self.shape + self.motion


def plan_clips(per_class: int, frames: int, seed: int, first_group: int = 1) -> list[Clip]:
    """``per_class`` clips of each class, with groups from ``first_group`` on. Each class and group has its own seed."""
    return [
        Clip(f"v_{shape}{motion}_g{group:02d}_c01", shape, motion, frames, (seed, index, group))
        for index, (shape, motion) in enumerate(itertools.product(SHAPES, MOTIONS))
        for group in range(first_group, first_group + per_class)
    ]


def shape_mask(shape: str) -> np.ndarray:
    """(128, 128) float32 in [0, 1]: the upright shape with soft edges."""
    cv2 = load_cv2()
    scale = 4  # drawn large and averaged, for smooth edges
    image = np.zeros((_PATCH * scale, _PATCH * scale), np.uint8)
    centre, radius = _PATCH * scale // 2, _RIM * scale
    if shape == "Disc":
        cv2.circle(image, (centre, centre), int(radius * 0.85), 255, -1)
    else:
        cv2.fillPoly(image, [np.int32(centre + radius * _outline(shape))], 255)
    return cv2.resize(image, (_PATCH, _PATCH), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def _outline(shape: str) -> np.ndarray:
    """(corners, 2): x, y of the shape's corners, circumscribed radius 1."""
    count = _CORNERS.get(shape, 10)
    angle = np.arange(count) * 2 * np.pi / count
    radius = np.where(np.arange(count) % 2, 0.42, 1.0) if shape == "Star" else np.ones(count)
    return np.stack([radius * np.sin(angle), -radius * np.cos(angle)], axis=1)


def _texture(rng: np.random.Generator, size: tuple[int, int], cell: int, strength: float) -> np.ndarray:
    """(H, W, 3) smooth noise with grains of about ``cell`` pixels; without texture, flow cannot be computed."""
    height, width = size
    grain = rng.normal(0, strength, (height // cell + 2, width // cell + 2, 3)).astype(np.float32)
    cv2 = load_cv2()
    return cv2.resize(grain, (width, height), interpolation=cv2.INTER_CUBIC)


def _colours(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two BGR colours, background and shape, at least 70 grey levels apart."""
    while True:
        colours = rng.uniform(30, 225, (2, 3)).astype(np.float32)
        grey = colours @ np.array([0.114, 0.587, 0.299], np.float32)
        if abs(grey[0] - grey[1]) >= 70:
            return colours[0], colours[1]


def trajectory(clip: Clip, rng: np.random.Generator) -> np.ndarray:
    """(T, 3): x and y of the shape's centre in pixels and its tilt in degrees, frame by frame."""
    time = np.arange(clip.frames) - (clip.frames - 1) / 2
    speed = rng.uniform(2.5, 4.0, 2) * rng.choice([-1, 1], 2)  # pixels a frame, sideways and down
    if clip.motion in _VERTICAL:
        speed[1] = _VERTICAL[clip.motion] * abs(speed[1])
    room = np.array([clip.frames * 2.0 + 24] * 2)  # half the longest path, and part of the shape: it stays visible
    middle = np.array([WIDTH, HEIGHT]) / 2
    centre = rng.uniform(np.minimum(room, middle), np.maximum(2 * middle - room, middle))
    phase, period = rng.uniform(0, 2 * np.pi), rng.uniform(9, 13)
    moves = [clip.motion == "Slides", clip.motion in _VERTICAL, clip.motion == "Rocks"]
    when = np.where(moves, time[:, None], rng.choice(time, 3))  # (T, 3): other motions are frozen at a random time
    tilt = _SWING * np.sin(phase + when[:, 2:] * 2 * np.pi / period)
    return np.concatenate([centre + when[:, :2] * speed, tilt], axis=1)


def render(clip: Clip) -> np.ndarray:
    """The clip's frames, (T, 256, 340, 3) uint8 BGR. The same clip gives the same pixels."""
    cv2, rng = load_cv2(), np.random.default_rng(clip.seed)
    ground_colour, shape_colour = _colours(rng)
    ground = ground_colour + _texture(rng, (HEIGHT, WIDTH), 24, 9)
    paint = shape_colour + _texture(rng, (_PATCH, _PATCH), 16, 20)
    mask, radius = shape_mask(clip.shape), rng.uniform(40, 54)
    noise = rng.normal(0, 2, (2 * HEIGHT, 2 * WIDTH, 1)).astype(np.float32)  # each frame uses another part of it
    frames = np.empty((clip.frames, HEIGHT, WIDTH, 3), np.uint8)
    for frame, (x, y, tilt) in zip(frames, trajectory(clip, rng), strict=True):
        place = cv2.getRotationMatrix2D((_PATCH / 2, _PATCH / 2), tilt, radius / _RIM)
        place[:, 2] += (x - _PATCH / 2, y - _PATCH / 2)
        alpha = cv2.warpAffine(mask, place, (WIDTH, HEIGHT))[..., None]
        shown = cv2.warpAffine(paint, place, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)
        down, right = rng.integers(HEIGHT), rng.integers(WIDTH)
        shown = ground + alpha * (shown - ground) + noise[down : down + HEIGHT, right : right + WIDTH]
        frame[...] = np.clip(shown, 0, 255)
    return frames


def write_video(path: str | Path, frames: np.ndarray) -> None:
    """Writes (T, H, W, 3) uint8 BGR frames as Motion-JPEG .avi. Raises PytsnError when OpenCV cannot write one."""
    cv2 = load_cv2()
    height, width = frames.shape[1:3]
    with atomic_path(path) as temporary:
        writer = cv2.VideoWriter(str(temporary), cv2.VideoWriter_fourcc(*"MJPG"), FPS, (width, height))
        if not writer.isOpened():
            raise PytsnError(f"{path}: this OpenCV build cannot write Motion-JPEG video; reinstall opencv-python")
        for frame in frames:
            writer.write(frame)
        writer.release()
