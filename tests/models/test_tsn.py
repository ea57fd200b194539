"""TSN against the train_val graph, the formula of its segments, finite differences, and Caffe's partial BN."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from converter import caffe_tsn_pb2 as pb
from converter.caffemodel import write_caffemodel
from converter.errors import PytsnError
from converter.frozen_bn import fold_frozen_bn
from converter.net import CaffeNet
from converter.proto import filter_net, parse_net
from converter.weights import save_caffemodel
from pytsn.models import TSN, BNInception
from pytsn.models.net_spec import NetSpec
from pytsn.models.partial_bn import normalisations
from pytsn.models.prototxt import deploy_prototxt, train_val_prototxt
from tests.converter.nets import build, pixels
from tests.models.recipe_nets import deploy_net, recipe_state

N, S = 2, 3
#: a deploy net of the same making in small: 2 BN layers, dropout, 4 classes; eval and train mode differ
SMALL = """
name: "small" input: "data" input_shape { dim: 1 dim: 3 dim: 9 dim: 11 }
layer { name: "c1/3x3" type: "Convolution" bottom: "data" top: "c1" convolution_param { num_output: 5 kernel_size: 3
        weight_filler { type: "xavier" } } }
layer { name: "c1_bn" type: "BN" bottom: "c1" top: "c1" bn_param { slope_filler { value: 1 } } }
layer { name: "c1_relu" type: "ReLU" bottom: "c1" top: "c1" }
layer { name: "c2" type: "Convolution" bottom: "c1" top: "c2" convolution_param { num_output: 6 kernel_size: 3
        weight_filler { type: "xavier" } } }
layer { name: "c2_bn" type: "BN" bottom: "c2" top: "c2" bn_param { slope_filler { value: 1 } frozen: true } }
layer { name: "c2_relu" type: "ReLU" bottom: "c2" top: "c2" }
layer { name: "global_pool" type: "Pooling" bottom: "c2" top: "global_pool"
        pooling_param { pool: AVE global_pooling: true } }
layer { name: "dropout" type: "Dropout" bottom: "global_pool" top: "global_pool" }
layer { name: "fc-action" type: "InnerProduct" bottom: "global_pool" top: "fc-action"
        inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
"""


def small(seed=0):
    """SMALL with statistics that are not 0 and 1."""
    net, rng = build(SMALL), np.random.default_rng(seed)
    for module in normalisations(net):
        module.running_mean.copy_(torch.from_numpy(rng.uniform(-30, 30, module.running_mean.shape)))
        module.running_var.copy_(torch.from_numpy(rng.uniform(500, 3000, module.running_var.shape)))
    return net


@pytest.mark.parametrize(("modality", "channels", "blob"), [("rgb", 3, "pool_fusion"), ("flow", 10, "pool_fc")])
def test_it_is_the_train_val_graph(recordings, modality, channels, blob):
    """The released way, Reshape and AVE pooling in a train_val prototxt, in the TEST phase: bit for bit with a CaffeNet
    as base. BNInception is torch's own layers: within the 3e-5 that each of its blobs keeps to Caffe's."""
    state = recipe_state(recordings, deploy_net(modality), channels)
    spec = NetSpec("custom", modality, num_classes=101, num_segments=S)
    graph = CaffeNet(filter_net(parse_net(train_val_prototxt(spec))))
    graph.load_state_dict(state)
    base = CaffeNet(filter_net(parse_net(deploy_prototxt(spec))))
    base.load_state_dict(state)
    x = pixels(N, S * channels, 224, 224)
    with torch.no_grad():
        found = graph({"data": x}, blobs=("fc", blob))
        wanted, segments = found[blob].reshape(N, 101), found["fc"].reshape(N, S, 101)
        tsn = TSN(base, S, modality).eval()
        assert torch.equal(tsn(x), wanted)
        assert torch.equal(tsn.segment_scores(x), segments)
        by_hand = BNInception(101, channels)
        by_hand.load_state_dict(state)
        scores = TSN(by_hand, S, modality).eval()(x)
    assert (scores - wanted).abs().max() <= 3e-5 * wanted.abs().max()
    assert (segments.std(1) > 1e-4).any()  # else the order of segments would not matter


@pytest.mark.parametrize("consensus", ["average", "max", "topk:2", "weighted", "attention"])
def test_segments_are_scored_one_by_one(consensus):
    tsn = TSN(small(), S, consensus=consensus).eval()
    for parameter in tsn.consensus.parameters():
        parameter.data = torch.linspace(-0.02, 0.05, len(parameter))
    x = pixels(N, S * 3, 9, 11)
    scores, features = torch.empty(N, S, 4), torch.empty(N, S, 6)
    for video in range(N):
        for k in range(S):
            blobs = tsn.base(x[video : video + 1, 3 * k : 3 * k + 3], blobs=("fc-action", "global_pool"))
            scores[video, k], features[video, k] = blobs["fc-action"][0], blobs["global_pool"].flatten()
    wanted = tsn.consensus(scores, features)
    # a convolution over one image and one over six may sum in another order
    torch.testing.assert_close(tsn.segment_scores(x), scores, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(tsn(x), wanted, rtol=1e-5, atol=1e-6)
    assert tsn(x).shape == (N, 4)


@pytest.mark.parametrize("consensus", ["average", "max", "topk:2", "weighted", "attention"])
@pytest.mark.parametrize("training", [False, True])
def test_gradients_through_net_and_consensus(consensus, training):
    """Finite differences in float64 through everything, in train mode with batch statistics of the first BN."""
    tsn = TSN(small(), S, consensus=consensus, dropout=0.0).double().train(training)
    if not training:  # Caffe's backward pass of an unfrozen BN in TEST is not the derivative, by its own making
        normalisations(tsn.base)[0].frozen = True
    for parameter in tsn.consensus.parameters():
        parameter.data = torch.linspace(-0.3, 0.8, len(parameter)).double()
    names = ["base.c2.weight", "base.fc_action.bias", *(f"consensus.{n}" for n, _ in tsn.consensus.named_parameters())]
    values = [dict(tsn.named_parameters())[name] for name in names]
    x = pixels(N, S * 3, 9, 11).double()
    statistics = {name: buffer.clone() for name, buffer in tsn.named_buffers()}

    def run(*values):
        fresh = {name: buffer.clone() for name, buffer in statistics.items()}
        return torch.func.functional_call(tsn, dict(zip(names, values, strict=True)) | fresh, (x,))

    assert torch.autograd.gradcheck(run, values, eps=1e-5, fast_mode=True)


@pytest.mark.parametrize("base", [small, lambda: BNInception(4)], ids=["CaffeNet", "BNInception"])
def test_partial_bn_outlasts_train_calls(base):
    tsn = TSN(base(), 1, dropout=0.0)
    layers = normalisations(tsn.base)
    side = (9, 11) if len(layers) == 2 else (224, 224)
    for mode in (True, False, True):
        assert tsn.train(mode) is tsn
    tsn.requires_grad_(True)
    tsn.train()
    before = copy.deepcopy([layer.state_dict() for layer in layers])
    tsn(pixels(N, 3, *side)).square().sum().backward()
    for index, (layer, state) in enumerate(zip(layers, before, strict=True)):
        learns = index == 0
        assert torch.equal(layer.running_mean, state["running_mean"]) != learns
        assert torch.equal(layer.running_var, state["running_var"]) != learns
        for parameter in (layer.weight, layer.bias):
            assert parameter.requires_grad == learns
            assert (parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)) == learns


def test_frozen_layers_normalise_by_their_statistics_in_train_mode():
    """In train mode as in eval mode, but for the first BN: with that one frozen too, nothing differs at all."""
    tsn = TSN(small(), S, dropout=0.0)
    x = pixels(N, S * 3, 9, 11)
    scores = tsn.eval()(x)
    assert not torch.allclose(tsn.train()(x), scores, rtol=1e-2)
    tsn.base.load_state_dict(small().state_dict())
    normalisations(tsn.base)[0].frozen = True
    assert torch.equal(tsn.train()(x), tsn.eval()(x))


def test_without_partial_bn_all_learn_whatever_the_prototxt_says():
    tsn = TSN(small(), S, partial_bn=False, dropout=0.0).train()
    before = copy.deepcopy(tsn.base.state_dict())
    tsn(pixels(N, S * 3, 9, 11))
    for name in ("c1_bn", "c2_bn"):
        assert not torch.equal(tsn.base.state_dict()[f"{name}.running_mean"], before[f"{name}.running_mean"])
    assert all(parameter.requires_grad for parameter in tsn.parameters())


def test_partial_bn_of_batchnorm_and_scale():
    pair = """layer {{ name: "{0}_bn" type: "BatchNorm" bottom: "{0}" top: "{0}_n" }}
        layer {{ name: "{0}_scale" type: "Scale" bottom: "{0}_n" top: "{0}_s" scale_param {{ bias_term: true }} }}"""
    text = f"""input: "data" input_shape {{ dim: 1 dim: 3 dim: 5 dim: 7 }}
        {pair.format("data")}
        layer {{ name: "mid" type: "Power" bottom: "data_s" top: "mid" power_param {{ scale: 2 }} }}
        {pair.format("mid")}
        layer {{ name: "fc" type: "InnerProduct" bottom: "mid_s" top: "fc" inner_product_param {{ num_output: 2 }} }}"""
    tsn = TSN(build(text), S).train()
    tsn(pixels(N, S * 3, 5, 7))
    state = tsn.state_dict()
    assert state["base.data_bn.scale_factor"] == 1  # one batch seen
    assert state["base.mid_bn.scale_factor"] == 0
    learning = {name for name, parameter in tsn.named_parameters() if parameter.requires_grad}
    assert learning == {f"base.{name}" for name in ("data_scale.weight", "data_scale.bias", "fc.weight", "fc.bias")}
    again = TSN(tsn.base, S, partial_bn=False)
    assert all(parameter.requires_grad for parameter in again.parameters())


def test_folding_frozen_bn_changes_rounding_only():
    tsn, x = TSN(small(), S, dropout=0.0), pixels(N, S * 3, 9, 11)
    folded = copy.deepcopy(tsn)
    assert fold_frozen_bn(folded.base) == 1
    torch.testing.assert_close(folded.eval()(x), tsn.eval()(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("consensus", ["average", "attention"])
def test_mixed_precision_ends_at_the_scores(consensus):
    """Under autocast the snippets' scores are rounded to bfloat16, their consensus is not."""
    tsn, x = TSN(small(), S, consensus=consensus).eval(), pixels(N, S * 3, 9, 11)
    with torch.no_grad():
        wanted = tsn(x)
        with torch.autocast("cpu", torch.bfloat16):
            scores, found = tsn.segment_scores(x), tsn(x)
    assert scores.dtype == found.dtype == torch.float32
    assert torch.equal(scores, scores.bfloat16().float())
    torch.testing.assert_close(found, scores.mean(1))  # attention starts as the average
    assert not torch.equal(found, found.bfloat16().float())
    torch.testing.assert_close(found, wanted, rtol=0, atol=0.03 * float(wanted.abs().max()))  # 8 bits, three layers


def test_dropout_is_the_modalitys_or_ones_own():
    assert TSN(BNInception(4, dropout=0.1)).base.dropout == 0.8
    assert TSN(BNInception(4, 10), modality="flow").base.dropout == 0.7
    assert TSN(small()).base.dropout.ratio == 0.8
    assert TSN(small(), dropout=0.25).base.dropout.ratio == 0.25
    bare = build(
        SMALL.replace('layer { name: "dropout" type: "Dropout" bottom: "global_pool" top: "global_pool" }', "")
    )
    TSN(bare)  # the modality's ratio has nowhere to go
    with pytest.raises(PytsnError, match="no Dropout layer"):
        TSN(bare, dropout=0.5)


def test_dropout_acts_on_snippets_before_the_classifier():
    """Scores of a snippet are the classifier of its features, some of them 0 and the others divided by 1 - ratio."""
    torch.manual_seed(3)
    tsn, x = TSN(small(), S, dropout=0.5), pixels(1, S * 3, 9, 11)
    normalisations(tsn.base)[0].frozen = True
    features = tsn.eval().base(x.reshape(S, 3, 9, 11), blobs=("global_pool",))["global_pool"].flatten(1)
    kept = tsn.train().base(x.reshape(S, 3, 9, 11), blobs=("global_pool",))["global_pool"].flatten(1)
    assert torch.all((kept == 0) | torch.isclose(kept, 2 * features))
    assert len({tuple((row == 0).tolist()) for row in kept}) > 1  # each snippet has its own draws


def test_state_dict_keys():
    keys = ["c1_3x3.weight", "c1_3x3.bias"] + [f"c1_bn.{k}" for k in ("weight", "bias", "running_mean", "running_var")]
    found = list(TSN(small(), S, consensus="attention").state_dict())
    assert [key for key in found if key.startswith(("base.c1", "base.c1_bn"))] == [f"base.{key}" for key in keys]
    assert [key for key in found if not key.startswith("base.")] == ["consensus.weight"]
    inception = TSN(BNInception(4), S, consensus="weighted").state_dict()
    assert {"base.conv1_7x7_s2.weight", "base.fc_action.bias", "consensus.weight"} < set(inception)
    assert inception["consensus.weight"].tolist() == pytest.approx([1 / 3] * 3)


@pytest.fixture(scope="module")
def caffemodel(tmp_path_factory):
    """BN-Inception's weights for 4 classes as a caffemodel, and as a state dict."""
    path = tmp_path_factory.mktemp("weights") / "four.caffemodel"
    net = CaffeNet(filter_net(parse_net(deploy_prototxt(NetSpec("custom", "rgb", num_classes=4)))))
    save_caffemodel(path, net)
    return path, net.state_dict()


def test_load_caffemodel_in_one_line(caffemodel):
    path, wanted = caffemodel
    for net in (BNInception(4), TSN(BNInception(4), consensus="weighted")):
        report = net.load_caffemodel(path)
        assert (len(report.matched), report.missing, report.unused) == (139, [], [])
        own = net.base if isinstance(net, TSN) else net
        assert all(torch.equal(own.state_dict()[key], tensor) for key, tensor in wanted.items())


def test_load_caffemodel_of_a_caffenet(tmp_path):
    net = small(seed=5)
    save_caffemodel(tmp_path / "small.caffemodel", net)
    tsn = TSN(small(), S)
    report = tsn.load_caffemodel(tmp_path / "small.caffemodel")
    assert report.missing == []
    assert all(torch.equal(tensor, net.state_dict()[key]) for key, tensor in tsn.base.state_dict().items())


def test_load_caffemodel_of_another_net_is_refused(caffemodel, tmp_path):
    path, _ = caffemodel
    other = BNInception(5)
    before = copy.deepcopy(other.state_dict())
    with pytest.raises(
        PytsnError, match=r"four\.caffemodel: 'fc_action\.weight': \(4, 1024\) in the file, \(5, 1024\)"
    ):
        other.load_caffemodel(path)
    assert all(torch.equal(tensor, before[key]) for key, tensor in other.state_dict().items())  # all or nothing
    with pytest.raises(PytsnError, match=r"conv1_7x7_s2\.weight': \(64, 3, 7, 7\) in the file, \(64, 10, 7, 7\)"):
        BNInception(4, 10).load_caffemodel(path)
    write_caffemodel(
        tmp_path / "part.caffemodel",
        pb.NetParameter(layer=[pb.LayerParameter(name="conv1/7x7_s2", type="Convolution")]),
        {"conv1/7x7_s2": [np.zeros((64, 3, 7, 7), np.float32), np.zeros(64, np.float32)]},
    )
    with pytest.raises(PytsnError, match="138 of the net's 139 layers with weights are not in it"):
        TSN(BNInception(4)).load_caffemodel(tmp_path / "part.caffemodel")
    with pytest.raises(PytsnError, match="no such file"):
        TSN(small()).load_caffemodel(tmp_path / "none.caffemodel")


TWO_SCORES = (
    SMALL
    + 'layer { name: "more" type: "InnerProduct" bottom: "c1" top: "more" '
    + ("inner_product_param { num_output: 2 } }")
)
PROBABILITIES = SMALL.replace("fc-action", "fc") + 'layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }'


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TSN(small(), 0), "0 segments"),
        (lambda: TSN(small(), modality="flow"), "modality flow has a multiple of 2 .10 released. channels, .* takes 3"),
        (lambda: TSN(BNInception(4, 10)), "modality rgb has 3 channels, the base takes 10"),
        (lambda: TSN(small(), modality="sound"), "modality 'sound'"),
        (lambda: TSN(small(), consensus="mean"), "consensus 'mean'"),
        (lambda: TSN(small(), consensus="topk:4"), "K from 1 to 3"),
        (lambda: TSN(small(), dropout=1.0), "dropout 1: a ratio in"),
        (lambda: TSN(nn.Linear(3, 4)), "the base is a Linear"),
        (lambda: TSN(small(), score_name="fc-actoin"), "no blob named 'fc-actoin'; did you mean 'fc-action'"),
        (lambda: TSN(small(), score_name="c2"), r"blob 'c2' has shape \(1, 6, 5, 7\)"),
        (lambda: TSN(build(TWO_SCORES.replace("fc-action", "fc"))), "which blob holds the scores. name it: fc, more"),
        (lambda: TSN(build(PROBABILITIES)), "blob 'prob' is a softmax; name the blob of the scores before it: 'fc'"),
        (lambda: TSN(small())(torch.zeros(2, 8, 9, 11)), r"input of shape \(2, 8, 9, 11\), \(N, 3 \* 3, H, W\)"),
        (lambda: TSN(small())(torch.zeros(9, 9, 11)), "input of shape"),
    ],
)
def test_what_does_not_fit_is_said(make, message):
    with pytest.raises(PytsnError, match=message):
        make()


def test_other_blobs_can_be_named():
    tsn = TSN(build(TWO_SCORES), S, consensus="attention", score_name="more", feature_name="c2")
    assert (tsn.num_classes, tuple(tsn.consensus.weight.shape)) == (2, (6 * 5 * 7,))
    assert tsn(pixels(N, S * 3, 9, 11)).shape == (N, 2)
