"""The choice between memory layouts, with a clock that the test holds."""

import pytest
import torch

from pytsn.evaluation import layout


@pytest.mark.parametrize(("seconds", "wanted"), [({True: 3.0, False: 2.0}, False), ({True: 1.0, False: 2.0}, True)])
def test_the_faster_one_is_taken(monkeypatch, seconds, wanted):
    now = [0.0]
    monkeypatch.setattr(layout.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)

    class Net:
        def __init__(self, channels_last):
            self.channels_last = channels_last

        def to(self, device):
            return self

    def run(net):
        now[0] += seconds[net.channels_last]

    assert layout.fastest(Net, run, torch.device("cuda")).channels_last is wanted


def test_nothing_is_tried_on_a_cpu():
    assert layout.fastest(lambda channels_last: channels_last, None, torch.device("cpu")) is True
