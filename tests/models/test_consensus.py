"""Consensus functions against the papers' formulas written as loops, and their gradients against differences."""

import math

import numpy as np
import pytest
import torch

from converter.errors import PytsnError
from pytsn.models.consensus import make_consensus

N, S, K, D = 3, 5, 4, 6
NAMES = ["average", "max", "topk:1", "topk:3", "topk:5", "weighted", "attention"]


def distinct(*shape, seed=0):
    """float64 numbers that differ from one another by 0.05 at least: max and top-k have no ties to fall into."""
    rng = np.random.default_rng(seed)
    count = math.prod(shape)
    return (rng.permutation(count) * 0.1 + rng.uniform(0, 0.05, count) - count * 0.05).reshape(shape)


def weights_of(name):
    """What weighted and attention have learned, in these tests."""
    return distinct({"weighted": S, "attention": D}.get(name, 0), seed=7)


def made(name):
    consensus = make_consensus(name, S, D).double()
    for parameter in consensus.parameters():
        parameter.data = torch.from_numpy(weights_of(name))
    return consensus


def of_one_class(name, scores, shares):
    """g_i from the scores of class i, one a segment, as the papers write it."""
    if name == "max":
        return max(scores)
    if name.startswith("topk"):
        best = sorted(scores, reverse=True)[: int(name[5:])]
        return sum(best) / len(best)
    return sum(share * score for share, score in zip(shares, scores, strict=True))


def shares_of(name, features):
    """What each segment of one video counts."""
    if name == "weighted":
        return list(weights_of(name))
    if name != "attention":
        return [1 / S] * S
    powers = [math.exp(sum(w * r for w, r in zip(weights_of(name), row, strict=True))) for row in features]
    return [power / sum(powers) for power in powers]


@pytest.mark.parametrize("name", NAMES)
def test_values_are_the_papers(name):
    scores, features = distinct(N, S, K), distinct(N, S, D, seed=1)
    wanted = np.empty((N, K))
    for video in range(N):
        shares = shares_of(name, features[video])
        for i in range(K):
            wanted[video, i] = of_one_class(name, list(scores[video, :, i]), shares)
    found = made(name)(torch.from_numpy(scores), torch.from_numpy(features))
    assert found.shape == (N, K)
    # float64 sums of five products in another order
    np.testing.assert_allclose(found.detach().numpy(), wanted, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_finite_differences(name):
    """Of scores, of features where they matter, and of what is learned; gradcheck's steps of 1e-6 cause no ties."""
    consensus = made(name)
    scores = torch.from_numpy(distinct(N, S, K)).requires_grad_()
    features = torch.from_numpy(distinct(N, S, D, seed=1)).requires_grad_(name == "attention")
    learned = dict(consensus.named_parameters())

    def run(scores, features, *values):
        return torch.func.functional_call(consensus, dict(zip(learned, values, strict=True)), (scores, features))

    assert torch.autograd.gradcheck(run, (scores, features, *learned.values()))


@pytest.mark.parametrize("name", ["weighted", "attention"])
def test_learned_ones_start_as_the_average_and_can_leave_it(name):
    scores, features = torch.from_numpy(distinct(N, S, K)), torch.from_numpy(distinct(N, S, D, seed=1))
    consensus = make_consensus(name, S, D).double()
    found = consensus(scores, features)
    # the weighted one starts at float32's 1/5, which is 3e-9 from 1/5
    torch.testing.assert_close(found, scores.mean(1), rtol=0, atol=1e-7)
    found[0, 0].backward()
    assert [tuple(p.shape) for p in consensus.parameters()] == [{"weighted": (S,), "attention": (D,)}[name]]
    assert (consensus.weight.grad.abs() > 1e-3).all()


def test_attention_is_a_share_of_each_segment():
    consensus = made("attention")
    features = torch.from_numpy(distinct(N, S, D, seed=1))
    shares = consensus.attention(features).detach()
    assert shares.shape == (N, S)
    assert (shares > 0).all()
    torch.testing.assert_close(shares.sum(1), torch.ones(N, dtype=torch.float64))
    assert shares[0].argmax() == (features[0] @ consensus.weight).argmax()


def test_only_the_attention_is_decayed():
    assert {name: make_consensus(name, S, D).decay_mult for name in ("weighted", "attention")} == {
        "weighted": 0,
        "attention": 1,
    }


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("topk", "K from 1 to 5"),
        ("topk:0", "K from 1 to 5"),
        ("topk:6", "K from 1 to 5"),
        ("topk:-1", "K from 1 to 5"),
        ("topk:two", "K from 1 to 5"),
        ("averge", "did you mean 'average'"),
        ("median", "one of average, max, weighted, attention, topk:K"),
        ("", "one of average"),
    ],
)
def test_a_name_that_is_none_is_said(name, message):
    with pytest.raises(PytsnError, match=message):
        make_consensus(name, S, D)
