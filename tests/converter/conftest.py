"""What several tests of the converter share."""

import pytest
import torch


@pytest.fixture
def three_threads():
    """Torch set to three threads, whatever the machine has."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)
