"""Converted weights on disk: equal content gives equal bytes, whatever the file is called."""

import pytest
import torch

from converter.state_files import read_state, write_state

METADATA = {f"key {number}": f'ü " \\ \n {number}' for number in range(12)}
STATE = {"b.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(3)}


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_equal_content_gives_equal_bytes(tmp_path, suffix):
    first, second = tmp_path / f"one.{suffix}", tmp_path / f"another name.{suffix}"
    write_state(first, STATE, METADATA)
    write_state(second, dict(STATE), dict(reversed(METADATA.items())) if suffix == "safetensors" else METADATA)
    assert first.read_bytes() == second.read_bytes()
    state, metadata = read_state(first)
    assert {key: metadata[key] for key in METADATA} == METADATA
    assert list(state) == sorted(STATE) or list(state) == list(STATE)
    for key, tensor in STATE.items():
        assert torch.equal(state[key], tensor)
