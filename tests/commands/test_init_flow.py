"""Cross-modality initialisation: the papers' mean over colours, everything else untouched."""

import numpy as np
import pytest

from converter.caffemodel import read_caffemodel
from pytsn.cli import run_command
from pytsn.models.cross_modality import inflate_weights


@pytest.fixture
def rgb(recordings):
    return recordings / "tiny" / "rgb_step" / "snap_iter_30.caffemodel"


def test_every_plane_is_the_mean_of_the_colours():
    weight = np.random.default_rng(0).standard_normal((4, 3, 5, 2)).astype(np.float32)
    found = inflate_weights(weight, 7)
    assert found.dtype == np.float32
    for o in range(4):
        for plane in range(7):
            for y in range(5):
                for x in range(2):
                    want = (float(weight[o, 0, y, x]) + float(weight[o, 1, y, x]) + float(weight[o, 2, y, x])) / 3
                    assert found[o, plane, y, x] == np.float32(want)


@pytest.mark.parametrize("channels", [10, 15, 1])
def test_only_the_first_layer_changes(rgb, tmp_path, capsys, channels):
    out = tmp_path / "flow.caffemodel"
    assert run_command("init-flow", [str(rgb), "-o", str(out), "--channels", str(channels)]) == 0
    assert f"layer 'conv1': (8, 3, 7, 7) -> (8, {channels}, 7, 7)" in capsys.readouterr().out
    before, after = read_caffemodel(rgb), read_caffemodel(out)
    assert [layer.name for layer in after.net.layer] == [layer.name for layer in before.net.layer]
    for old, new in zip(before.layers, after.layers, strict=True):
        for index, (a, b) in enumerate(zip(old.blobs, new.blobs, strict=True)):
            if (old.name, index) == ("conv1", 0):
                np.testing.assert_array_equal(b.array(), inflate_weights(a.array(), channels))
            else:
                assert b.data.tobytes() == a.data.tobytes()


def test_wrong_input_is_one_line(rgb, tmp_path, capsys):
    out = tmp_path / "flow.caffemodel"
    run_command("init-flow", [str(rgb), "-o", str(out)])
    cases = [
        ([str(out), "-o", str(tmp_path / "x")], "filters of shape (8, 10, 7, 7)"),
        ([str(rgb), "-o", str(tmp_path / "x"), "--layer", "conv9"], "holds no Convolution layer named 'conv9'"),
        ([str(rgb), "-o", str(tmp_path / "x"), "--channels", "0"], "0 input planes"),
        ([str(tmp_path / "none"), "-o", str(tmp_path / "x")], "none: no such file"),
    ]
    for argv, words in cases:
        assert run_command("init-flow", argv) == 2
        err = capsys.readouterr().err
        assert words in err
        assert err.count("\n") == 1
    assert not (tmp_path / "x").exists()
