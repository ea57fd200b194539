"""What the name of a weight file promises, and what the file itself turns out to be."""

import pytest

from pytsn.released_models import RELEASED, Promise, promised

BN = "BN-Inception"
NAMES = {
    "ucf101_split_1_tsn_rgb_reference_bn_inception.caffemodel": ("ucf101", 1, "rgb", BN),
    "hmdb51_split_3_tsn_flow_reference_bn_inception.caffemodel.v5": ("hmdb51", 3, "flow", BN),
    "ucf101_split1_tsn_rgb_bn_inception_iter_3500.caffemodel": ("ucf101", 1, "rgb", BN),
    "hmdb51_split_2_tsn_flow_bn_inception_iter_7000.solverstate": ("hmdb51", 2, "flow", BN),
    "ucf101_split_2_tsn_rgb_reference_bn_inception.safetensors": ("ucf101", 2, "rgb", BN),
    "UCF-101_split-3_warped_flow.pth": ("ucf101", 3, "warped", None),
    "ucf101_split_1_tsn_rgbdiff_seg7.pth": ("ucf101", 1, "rgbdiff", None),
    "ucf101_rgb_diff.pth": ("ucf101", None, "rgbdiff", None),
    "bn_inception_flow_init.caffemodel": (None, None, "flow", BN),
    "bn_inception_kinetics_flow_pretrained.caffemodel": ("kinetics", None, "flow", BN),
    "inception_v3_kinetics_rgb_pretrained.caffemodel": ("kinetics", None, "rgb", "Inception V3"),
    "bn_inception_anet_2016_temporal.caffemodel.v5": ("activitynet1.3", None, "flow", BN),
    "resnet200_anet_2016.caffemodel": ("activitynet1.3", None, None, "ResNet-200"),
    "ucf101_split_2_rgb_kinetics_pretrained.pth": ("ucf101", 2, "rgb", None),
    # contradictions promise nothing, whatever else they say
    "ucf101_hmdb51_split_1_rgb.pth": (None, 1, "rgb", None),
    "ucf101_split_1_then_split_2_rgb.pth": ("ucf101", None, "rgb", None),
    "ucf101_split_1_rgb_flow.pth": ("ucf101", 1, None, None),
    # words of another kind
    "kinetics_600_rgb.pth": (None, None, "rgb", None),
    "temporal_segment_networks_ucf101_rgb.pth": ("ucf101", None, "rgb", None),
    "ucf101_split_12_rgb.pth": ("ucf101", 12, "rgb", None),
}


@pytest.mark.parametrize("name", NAMES)
def test_what_a_name_promises(name):
    expected = Promise(*NAMES[name])
    assert promised(name) == expected
    assert promised(f"/weights/hmdb51_split_9_flow/{name}") == expected  # the folder does not count


@pytest.mark.parametrize("name", ["net.caffemodel", "overflow.pth", "my_splitter_4.pth", "ucf1010.pth", "", "."])
def test_names_that_promise_nothing(name):
    assert promised(name) is None


def test_released_names_promise_what_the_table_says():
    files = [file for kind in RELEASED.values() for file in kind]
    assert len(files) == 14  # 2 datasets x 2 modalities x 3 splits, and two to start from
    for file in files:
        assert promised(file.name) == promised(file.address) == file.promise
    assert {(f.promise.classes, f.promise.channels) for f in files if f.dataset == "hmdb51"} == {(51, 3), (51, 10)}
