"""One training sample: the frames of a video's snippets, read, cropped, resized and mirrored. No torch, no randomness:
all random numbers come with the plan, so any process can do the work."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from converter import caffe_tsn_pb2 as pb
from converter.errors import PytsnError
from pytsn.data.frame_images import image_source, load_cv2, read_image
from pytsn.data.frame_size import default_frame_size
from pytsn.data.frame_store import has_frame
from pytsn.data.video_file import is_video_file
from pytsn.training.input.augmentation import Crop, CropOptions, choose_crop, crop_options
from pytsn.training.input.video_files import decode_images

_PATTERNS = {False: "image_%04d.jpg", True: "flow_%c_%04d.jpg"}
_DIFFERENCE = {pb.VideoDataParameter.RGBDIFF: "signed", pb.VideoDataParameter.RGBDIFF_ABSOLUTE: "absolute"}


@dataclass(frozen=True)
class SamplePlan:
    """The plan of one sample: the video's ``folder``, its frames (counted from 1, segments outermost), its label,
    whether it is mirrored, and the random numbers that choose its crop (augmentation.py)."""

    folder: str
    frames: tuple[int, ...]
    label: int
    mirror: bool = False
    draws: tuple[int, ...] = ()


@dataclass(frozen=True)
class ReadOptions:
    """How frames become a sample. ``flow``: two grey images per frame, x and y; ``size``: (width, height) to which
    frames are resized, None keeps their size; ``invert_x``: a mirrored sample has 255 - v in its even planes
    (``is_flow``); ``frame_size``: (height, width) that all frames must then have, None for any. ``difference``: signed
    or absolute if the net gets differences of these frames (pytsn/data/rgb_difference.py), None for the frames."""

    pattern: str
    flow: bool = False
    colour: bool = True
    size: tuple[int, int] | None = None
    crop: CropOptions = field(default_factory=CropOptions)
    invert_x: bool = False
    frame_size: tuple[int, int] | None = None
    difference: str | None = None

    def frames(self, length: int) -> int:
        """Frames to read for a snippet of ``new_length``; a difference takes two."""
        return length if self.difference is None else length + 1

    @property
    def planes(self) -> int:
        """Channels per frame."""
        return 2 if self.flow else 3 if self.colour else 1


def read_options(layer: pb.LayerParameter, phase: str) -> ReadOptions:
    """The options of a VideoData layer. Raises PytsnError for an invalid name_pattern, and for is_flow or a mean with
    differences."""
    video, transform = layer.video_data_param, layer.transform_param
    flow, difference = video.modality == video.FLOW, _DIFFERENCE.get(video.modality)
    if difference and transform.is_flow:
        raise PytsnError(
            f"is_flow with modality {video.Modality.Name(video.modality)}: mirrored colours keep their sign"
        )
    if difference and (transform.HasField("mean_file") or any(transform.mean_value)):
        name = video.Modality.Name(video.modality)
        raise PytsnError(f"a mean with modality {name}: it cancels in the differences; remove mean_value or mean_file")
    options = ReadOptions(
        pattern=video.name_pattern or _PATTERNS[flow],
        flow=flow,
        colour=not video.grayscale,
        size=(video.new_width, video.new_height) if video.new_width and video.new_height else None,
        crop=crop_options(transform, phase),
        invert_x=transform.is_flow,
        difference=difference,
    )
    try:
        file_names(options, 1)
    except (TypeError, ValueError):
        fields = "%c for x and y and one number such as %05d" if flow else "one number such as %05d"
        raise PytsnError(f"name_pattern '{options.pattern}' must hold {fields}") from None
    return options


def file_names(options: ReadOptions, number: int) -> list[str]:
    """The files with ``number`` in their names: one image, or flow x and flow y."""
    return [options.pattern % (axis, number) for axis in "xy"] if options.flow else [options.pattern % number]


def first_number(folder: str, options: ReadOptions) -> int:
    """The number that a folder's first frame carries: 1, which Caffe always reads, unless there is a file numbered 0
    (as mmaction2's denseflow writes them). Raises PytsnError for an archive that cannot be read."""
    (name, *_) = file_names(options, 0)
    return 0 if has_frame(*os.path.split(os.path.join(folder, name))) else 1


def load_sample(plan: SamplePlan, options: ReadOptions, out: np.ndarray | None = None) -> np.ndarray:
    """The sample before mean and scale: uint8 (segments * length * planes, S, S); S is crop_size, or the frame itself.

    Planes are B, G, R of each frame, or x, y of each flow frame, segments outermost. ``out``: array for the result.
    The crop is resized by bilinear interpolation on uint8, only if its size differs; then it is mirrored. Raises
    PytsnError naming the file that is missing, damaged, or of another size than the video's first frame.
    """
    images = read_images(plan, options)
    height, width = images[0].shape[:2]
    if options.frame_size not in (None, (height, width)):
        wanted = f"{options.frame_size[1]}x{options.frame_size[0]}"
        raise PytsnError(f"{plan.folder}: frames of {width}x{height} pixels, but the mean file has {wanted}")
    crop = _choose_crop(plan.folder, height, width, options.crop, plan.draws)
    side = options.crop.size
    shape = (len(plan.frames) * options.planes, *((side, side) if side else (height, width)))
    if out is None:
        out = np.empty(shape, np.uint8)
    elif out.shape != shape:
        raise PytsnError(f"{plan.folder}: frames of {width}x{height} pixels make {shape}, the net takes {out.shape}")
    step = shape[0] // len(images)
    for index, image in enumerate(images):
        part = image[crop.top : crop.top + crop.height, crop.left : crop.left + crop.width]
        _place(part, plan.mirror, out[index * step : (index + 1) * step])
    if plan.mirror and options.invert_x:
        np.subtract(255, out[::2], out=out[::2])
    return out


def sample_size(plan: SamplePlan, options: ReadOptions) -> tuple[int, int]:
    """(height, width) of samples, from the plan's first image. Raises PytsnError if no crop fits into it."""
    height, width = read_images(plan, options)[0].shape[:2]
    crop = _choose_crop(plan.folder, height, width, options.crop, (0,) * options.crop.draws)
    return (options.crop.size,) * 2 if options.crop.size else (crop.height, crop.width)


def _choose_crop(folder: str, height: int, width: int, options: CropOptions, draws: Sequence[int]) -> Crop:
    try:
        return choose_crop(height, width, options, draws)
    except PytsnError as error:
        raise PytsnError(f"{folder}: {error}") from None


def read_images(plan: SamplePlan, options: ReadOptions) -> list[np.ndarray]:
    """The images of a plan: uint8 (H, W, 3) BGR or (H, W), in the order of the planes. Raises PytsnError.

    A video file's are those of an extraction at options.size or, without it, at the default for the crop.
    """
    cv2 = load_cv2()
    flags = cv2.IMREAD_COLOR if options.colour and not options.flow else cv2.IMREAD_GRAYSCALE
    flags |= cv2.IMREAD_IGNORE_ORIENTATION  # OpenCV 2.4, used with Caffe, ignored it too
    if is_video_file(plan.folder):
        wanted = options.size or default_frame_size(options.crop.size)
        return decode_images(plan.folder, plan.frames, wanted, flags)
    before = first_number(plan.folder, options) - 1  # each folder is asked: a list may hold folders of both kinds
    names = [os.path.join(plan.folder, name) for frame in plan.frames for name in file_names(options, frame + before)]
    images: dict[str, np.ndarray] = {}
    for name in dict.fromkeys(names):  # a repeated frame is read once
        image = read_image(name, flags)
        images[name] = image if options.size is None else cv2.resize(image, options.size)
        first = images[names[0]]
        if images[name].shape != first.shape:
            sizes = f"{image.shape[1]}x{image.shape[0]} pixels, but {image_source(names[0])} has"
            size = f"{first.shape[1]}x{first.shape[0]}"
            raise PytsnError(f"{image_source(name)}: {sizes} {size}; extract the frames of this video again")
    return [images[name] for name in names]


def _place(part: np.ndarray, mirror: bool, planes: np.ndarray) -> None:
    """Writes a crop, uint8 (h, w, 3) or (h, w), into its planes (3 or 1, S, S)."""
    cv2 = load_cv2()
    if part.shape[:2] != planes.shape[1:]:
        part = cv2.resize(part, planes.shape[:0:-1])
    if mirror:
        part = cv2.flip(part, 1)
    if part.ndim == 2:
        planes[0] = part
    else:  # (S, S, 3) -> (3, S, S)
        cv2.mixChannels([part], list(planes), [0, 0, 1, 1, 2, 2])
