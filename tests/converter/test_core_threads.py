"""Batches shared out over threads: the right parts, in order, each thread on one core, and nothing else changed."""

import threading

import pytest
import torch

from converter.core_threads import CoreThreads, one_thread
from tests.waiting import PATIENCE

pytestmark = pytest.mark.usefixtures("three_threads")


class Watcher:
    """A forward that notes what it was given, and by which thread; the first ``meet`` parts wait for each other."""

    def __init__(self, meet=1):
        self.sizes, self.threads, self.counts, self.grad = [], set(), set(), set()
        self._together = threading.Barrier(meet)
        self._left = meet

    def __call__(self, part):
        if self._left > 0:
            self._left -= 1
            self._together.wait(timeout=PATIENCE)
        self.sizes.append(len(part))
        self.threads.add(threading.get_ident())
        self.counts.add(torch.get_num_threads())
        self.grad.add(torch.is_grad_enabled())
        return part * 2


@pytest.mark.parametrize(
    ("samples", "most", "sizes"),
    [(250, 10, [10] * 7 + [9] * 20), (12, 10, [4, 4, 4]), (2, 10, [1, 1]), (7, 2, [1, 1, 1, 1, 1, 2])],
)
def test_every_core_gets_as_many_parts(samples, most, sizes):
    batch, watcher = torch.arange(samples * 5.0).view(samples, 5), Watcher()
    assert torch.equal(CoreThreads().run(watcher, batch, most), batch * 2)
    assert sorted(watcher.sizes) == sorted(sizes)
    assert max(watcher.sizes) <= most


def test_each_thread_keeps_to_one_core():
    watcher = Watcher(meet=3)  # three parts are under way at once, or the barrier breaks
    threads = CoreThreads()
    assert torch.get_num_threads() == 3
    batch = torch.ones(3, 2)
    threads.run(watcher, batch, 1)
    assert len(watcher.threads) == 3
    assert threading.get_ident() not in watcher.threads
    assert watcher.counts == {1}
    assert watcher.grad == {False}
    assert torch.get_num_threads() == 3


def test_one_thread_is_the_callers_own():
    watcher = Watcher()
    assert torch.equal(CoreThreads(1).run(watcher, torch.ones(5, 2), 2), torch.full((5, 2), 2.0))
    assert watcher.threads == {threading.get_ident()}
    assert watcher.sizes == [2, 2, 1]
    assert watcher.counts == {3}


def test_errors_of_a_part_are_raised():
    def fail(part):
        raise ValueError(f"part of {len(part)}")

    with pytest.raises(ValueError, match="part of 4"):
        CoreThreads(2).run(fail, torch.ones(8, 1), 10)


def test_an_empty_batch_reaches_the_forward():
    assert CoreThreads(2).run(lambda part: part.sum(1), torch.ones(0, 3), 10).shape == (0,)


@pytest.mark.parametrize("count", [1, 3])
def test_items_are_shared_out_once_each_and_their_results_stay_in_order(count):
    threads, seen, together = set(), [], threading.Barrier(count)
    x = torch.ones(2, requires_grad=True)

    def work(item):
        if len(seen) < count:
            seen.append(item)
            together.wait(timeout=PATIENCE)  # as many as there are threads are under way at once
        else:
            seen.append(item)
        threads.add(threading.get_ident())
        assert not (x * 2).requires_grad
        return item * 10

    assert CoreThreads(count).share(work, [7, 3, 5, 3, 9]) == [70, 30, 50, 30, 90]
    assert sorted(seen) == [3, 3, 5, 7, 9]
    assert len(threads) == count


def test_sharing_out_nothing_and_an_item_that_fails():
    threads = CoreThreads(3)
    assert threads.share(abs, []) == []
    with pytest.raises(ZeroDivisionError):
        threads.share(lambda item: 1 // item, [1, 0, 2])


def test_one_thread_for_a_while():
    seen = []

    def fail():
        with one_thread():
            seen.append(torch.get_num_threads())
            raise ValueError("too much")

    with pytest.raises(ValueError, match="too much"):
        fail()
    assert seen == [1]
    assert torch.get_num_threads() == 3
