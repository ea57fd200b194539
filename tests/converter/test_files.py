"""`converter.files`: what a file is written over."""

import os
import stat

import pytest

from converter.errors import PytsnError
from converter.files import write_bytes


@pytest.mark.parametrize("linked", [False, True])
def test_a_pipe_or_device_is_not_replaced_by_a_file(tmp_path, linked):
    """As --json /dev/null would do for root: the renamed file takes the place of the device."""
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    path = link if linked else pipe
    with pytest.raises(PytsnError, match="is a device or a pipe") as caught:
        write_bytes(path, b"text")
    assert str(path) in str(caught.value)
    assert stat.S_ISFIFO(os.stat(path).st_mode)
    assert sorted(os.listdir(tmp_path)) == ["link", "pipe"]
