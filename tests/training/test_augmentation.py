"""Crop sizes and places against plain loops over what data_transformer.cpp says, and what samples are made of."""

import cv2
import numpy as np
import pytest

from converter import caffe_tsn_pb2 as pb
from converter.errors import PytsnError
from pytsn.training.input.augmentation import Crop, CropOptions, choose_crop, crop_options, crop_sizes, fixed_places
from pytsn.training.input.sample import ReadOptions, SamplePlan, load_sample


def test_crop_sizes_of_the_released_nets():
    """256x340 frames, crops of 224: 256, 224, 192 and int(168.96); neighbours only, heights outermost."""
    options = CropOptions(224, True, True)
    wanted = [(256, 256), (256, 224)]
    wanted += [(224, 256), (224, 224), (224, 192)]
    wanted += [(192, 224), (192, 192), (192, 168)]
    wanted += [(168, 192), (168, 168)]
    assert crop_sizes(256, 340, options) == crop_sizes(340, 256, options) == wanted


@pytest.mark.parametrize(("side", "snapped"), [(221, 221), (222, 224), (226, 224), (227, 227)])
def test_a_side_within_two_pixels_becomes_the_nets(side, snapped):
    assert crop_sizes(side, 400, CropOptions(224, True, True, (1.0,))) == [(snapped, snapped)]


def test_ratios_are_multiplied_in_float32():
    """100 * 0.29 is 28.999... in doubles, but the float32 0.29 is above it and the product rounds to 29."""
    assert int(100 * 0.29) == 28
    assert crop_sizes(100, 130, CropOptions(10, True, True, (0.29,))) == [(29, 29)]


@pytest.mark.parametrize("distort", [0, 1, 2, 3])
def test_max_distort(distort):
    options = CropOptions(50, True, True, (1.0, 0.9, 0.8, 0.7), distort)
    sizes = crop_sizes(100, 120, options)
    assert len(sizes) == sum(abs(i - j) <= distort for i in range(4) for j in range(4))
    assert max(abs(h - w) for h, w in sizes) == 10 * distort


def test_fixed_places_of_a_small_frame():
    """A crop of 4x5 in 15x26 leaves 11 rows and 21 columns: quarters of 2 and 5."""
    five = [(0, 0), (0, 20), (8, 0), (8, 20), (4, 10)]
    eight = [(0, 10), (8, 10), (4, 0), (4, 20), (2, 5), (2, 15), (6, 5), (6, 15)]
    assert fixed_places(15, 26, (4, 5), False) == five
    assert fixed_places(15, 26, (4, 5), True) == five + eight


def test_what_each_draw_chooses():
    free = CropOptions(30, True)
    assert free.draws == 2
    assert choose_crop(50, 90, free, (21 * 7 + 3, 61 * 5 + 60)) == Crop(3, 60, 30, 30)
    fixed = CropOptions(30, True, fixed=True)
    assert fixed.draws == 1
    assert choose_crop(50, 90, fixed, (5 * 9 + 3,)) == Crop(20, 60, 30, 30)
    both = CropOptions(30, True, True, (1.0, 0.5), 1, True, True)
    assert both.draws == 2
    # sizes 50x50, 50x25, 25x50, 25x25; the third leaves 25 rows (quarter 6) and 40 columns (10); place 12 is (3, 3)
    assert choose_crop(50, 90, both, (4 * 8 + 2, 13 * 3 + 12)) == Crop(18, 30, 25, 50)


def test_test_phase_takes_the_centre():
    options = CropOptions(30, False, multi_scale=True, fixed=True)
    assert options.draws == 0
    assert choose_crop(51, 90, options, ()) == Crop(10, 30, 30, 30)
    assert choose_crop(51, 90, CropOptions(0, True), ()) == Crop(0, 0, 51, 90)


def test_crops_that_do_not_fit():
    with pytest.raises(PytsnError, match="frames of 40x20 pixels are smaller than crop_size 30"):
        choose_crop(20, 40, CropOptions(30, True), (1, 1))
    with pytest.raises(PytsnError, match="crops of 45x45 from frames of 40x30"):
        choose_crop(30, 40, CropOptions(20, True, True, (1.5,)), (0, 1, 1))
    with pytest.raises(PytsnError, match="max_distort -1"):
        crop_options(pb.TransformationParameter(crop_size=5, multi_scale=True, max_distort=-1), "TRAIN")


def test_default_ratios_and_the_fields():
    found = crop_options(pb.TransformationParameter(crop_size=5, multi_scale=True, fix_crop=True), "TRAIN")
    assert found == CropOptions(5, True, True, (1.0, 0.875, 0.75, 0.66), 1, True, False)
    param = pb.TransformationParameter(scale_ratios=[0.5], max_distort=2, more_fix_crop=True)
    assert crop_options(param, "TEST") == CropOptions(0, False, False, (0.5,), 2, False, True)


@pytest.fixture
def clip(tmp_path):
    """Four frames of 37x52: colour c_1.png.., grey x and y."""
    rng = np.random.default_rng(0)
    for number in range(1, 5):
        cv2.imwrite(f"{tmp_path}/c_{number}.png", rng.integers(0, 256, (37, 52, 3), np.uint8))
        for axis in "xy":
            cv2.imwrite(f"{tmp_path}/f_{axis}_{number:02d}.png", rng.integers(0, 256, (37, 52), np.uint8))
    return tmp_path


def sample_by_loops(plan, options, names):
    """As data_transformer.cpp does it: plane by plane, pixel by pixel."""
    planes = []
    for name in names:
        image = cv2.imread(f"{plan.folder}/{name}", -1)
        if options.size:
            image = cv2.resize(image, options.size)
        planes += [image] if image.ndim == 2 else [np.ascontiguousarray(image[..., c]) for c in range(3)]
    height, width = planes[0].shape
    crop, side = choose_crop(height, width, options.crop, plan.draws), options.crop.size
    result = np.empty((len(planes), side, side), np.uint8)
    for channel, plane in enumerate(planes):
        part = np.array([[plane[crop.top + y, crop.left + x] for x in range(crop.width)] for y in range(crop.height)])
        if part.shape != (side, side):
            part = cv2.resize(part, (side, side))
        for y in range(side):
            for x in range(side):
                value = part[y, x]
                if options.invert_x and plan.mirror and channel % 2 == 0:
                    value = 255 - value
                result[channel, y, side - 1 - x if plan.mirror else x] = value
    return result


CROPS = {
    "same size": (CropOptions(20, True), (5, 9)),
    "resized": (CropOptions(20, True, True, (1.0, 0.5), 1, True, True), (1, 7)),
    "centre": (CropOptions(21, False), ()),
}


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("crop", CROPS)
@pytest.mark.parametrize("size", [None, (33, 41)])
@pytest.mark.parametrize("kind", ["rgb", "flow", "rgb as flow"])
def test_samples_against_loops(clip, mirror, crop, size, kind):
    options, draws = CROPS[crop]
    plan = SamplePlan(str(clip), (2, 4, 1), 0, mirror, draws)
    if kind == "flow":
        read = ReadOptions("f_%c_%02d.png", flow=True, size=size, crop=options, invert_x=True)
        names = [f"f_{axis}_{number:02d}.png" for number in plan.frames for axis in "xy"]
    else:  # is_flow on rgb turns every other plane of the whole stack over, which is what Caffe does
        read = ReadOptions("c_%d.png", size=size, crop=options, invert_x=kind != "rgb")
        names = [f"c_{number}.png" for number in plan.frames]
    found = load_sample(plan, read)
    assert found.shape == (6 if kind == "flow" else 9, options.size, options.size)
    np.testing.assert_array_equal(found, sample_by_loops(plan, read, names))


def test_grey_and_whole_frames(clip):
    plan = SamplePlan(str(clip), (3,), 0, True)
    found = load_sample(plan, ReadOptions("c_%d.png", colour=False))
    grey = cv2.imread(f"{clip}/c_3.png", cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(found, grey[None, :, ::-1])
    out = np.zeros((3, 37, 52), np.uint8)
    assert load_sample(plan, ReadOptions("c_%d.png"), out) is out
    np.testing.assert_array_equal(out, cv2.imread(f"{clip}/c_3.png")[:, ::-1].transpose(2, 0, 1))


def test_frames_that_do_not_fit(clip):
    cv2.imwrite(f"{clip}/c_2.png", np.zeros((37, 50, 3), np.uint8))
    plan, read = SamplePlan(str(clip), (1, 2), 0), ReadOptions("c_%d.png")
    with pytest.raises(PytsnError, match=r"c_2.png: 50x37 pixels, but .*c_1.png has 52x37"):
        load_sample(plan, read)
    with pytest.raises(PytsnError, match=r"frames of 52x37 pixels make \(3, 37, 52\), the net takes \(3, 5, 5\)"):
        load_sample(SamplePlan(str(clip), (1,), 0), read, np.zeros((3, 5, 5), np.uint8))
    with pytest.raises(PytsnError, match=rf"{clip}: frames of 52x37 pixels are smaller than crop_size 38"):
        load_sample(SamplePlan(str(clip), (1,), 0), ReadOptions("c_%d.png", crop=CropOptions(38)))
    with pytest.raises(PytsnError, match="mean file has 52x99"):
        load_sample(SamplePlan(str(clip), (1,), 0), ReadOptions("c_%d.png", frame_size=(99, 52)))
