"""The table of modalities: what is derived from a row, and what follows for readers and nets."""

import pytest

from converter.errors import PytsnError
from pytsn.data.modalities import MODALITIES, PREFIXES, READ_MODALITIES, find_modality, modality_of_channels
from pytsn.data.videos import Video

#: images a snippet, planes of an image, least frames, planes of the net, mirrored x negated
ROWS = {
    "rgb": (1, 3, 1, 3, False),
    "flow": (5, 2, 1, 10, True),
    "warped": (5, 2, 1, 10, True),
    "rgbdiff": (6, 3, 2, 15, False),
}


@pytest.mark.parametrize("name", ROWS)
def test_what_a_snippet_is(name):
    row = MODALITIES[name]
    assert (row.stack, row.images.planes, row.least_frames, row.channels, row.is_flow) == ROWS[name]


def test_means_are_those_of_one_image_or_one_for_all():
    means = {name: row.mean for name, row in MODALITIES.items()}
    assert means == {"rgb": (104, 117, 123), "flow": (128,), "warped": (128,), "rgbdiff": ()}


def test_warped_flow_is_read_as_flow_and_the_others_as_themselves():
    assert {name: row.read_as for name, row in MODALITIES.items()} == {
        "rgb": "rgb",
        "flow": "flow",
        "warped": "flow",
        "rgbdiff": "rgbdiff",
    }
    assert READ_MODALITIES == ("rgb", "flow", "rgbdiff")


def test_frames_are_counted_by_the_images_that_a_modality_reads():
    video = Video("v", 0, "folder", rgb_count=9, flow_count=8)
    assert {name: video.frame_count(name) for name in MODALITIES} == {"rgb": 9, "flow": 8, "warped": 8, "rgbdiff": 9}


def test_a_net_tells_its_modality_by_its_channels():
    assert {count: modality_of_channels(count).name for count in (3, 10, 15, 20)} == {
        3: "rgb",
        10: "flow",
        15: "rgbdiff",
        20: "flow",  # of another length
    }


def test_an_unknown_modality_is_said():
    with pytest.raises(PytsnError, match="modality 'optical': one of rgb, flow, warped, rgbdiff"):
        find_modality("optical")


def test_prefixes_are_those_of_the_original_in_the_order_of_its_arguments():
    assert PREFIXES == ("img_", "flow_x_", "flow_y_")
