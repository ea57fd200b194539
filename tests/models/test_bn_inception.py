"""BNInception against what Caffe recorded, blob by blob; its names, its size, its gradients, its train mode."""

import lzma
import re

import numpy as np
import pytest
import torch
from google.protobuf import text_format

from converter import caffe_tsn_pb2 as pb
from converter.errors import PytsnError
from converter.names import state_name
from converter.net import load_net
from pytsn.models import BNInception
from pytsn.models.net_spec import NetSpec
from pytsn.models.prototxt import deploy_prototxt
from tests.models.recipe_nets import BN_ORDER, deploy_net, layer_shapes, recipe_state

BLOB_TOLERANCE = 3e-5  # of the largest magnitude; Caffe itself moves by 2.4e-6 from one BLAS thread to two
SPLIT = re.compile(r"^(.+)_\1_\d+_split_\d+$")  # Caffe's copies of a blob that several layers read
SCORE_TOLERANCE = 1e-4  # absolute, on scores of a few units


def all_blobs(net):
    return list(dict.fromkeys(["data", *(top for layer in net.layer for top in layer.top)]))


def assert_close(got, recorded, name):
    largest = np.abs(recorded).max()
    assert got.shape == recorded.shape, name
    worst = np.abs(got - recorded).max()
    assert worst <= BLOB_TOLERANCE * largest, f"{name}: differs by {worst:.2e}, largest magnitude {largest:.2e}"


@pytest.mark.parametrize(("modality", "channels", "mean"), [("rgb", 3, (104, 117, 123)), ("flow", 10, (128,) * 10)])
def test_every_blob_is_caffes(recordings, modality, channels, mean):
    proto = deploy_net(modality)
    net = BNInception(101, channels).eval()
    net.load_state_dict(recipe_state(recordings, proto, channels), strict=True)
    pixels = np.random.RandomState(0).randint(0, 256, (2, channels, 224, 224)).astype(np.float32)
    x = torch.from_numpy(pixels - np.array(mean, np.float32).reshape(1, -1, 1, 1))
    with torch.no_grad():
        blobs = {name: blob.double().numpy() for name, blob in net(x, blobs=all_blobs(proto)).items()}
        scores = net(x).numpy()
    recorded = np.load(recordings / "bn_inception" / f"recipe_ucf101_{modality}.npz")
    compared = set()
    for key in recorded.files:
        statistic, _, name = key.rpartition(":")
        blob = blobs[name]
        got = getattr(blob, statistic)(axis=tuple(range(2, blob.ndim))) if statistic else blob
        # a mean's or std's own largest magnitude is below the blob's: stricter than the promise
        assert_close(got, recorded[key].reshape(got.shape), key)
        compared.add(name)
    assert compared == set(all_blobs(proto))
    np.testing.assert_array_equal(scores, blobs["fc-action"].astype(np.float32))


@pytest.fixture(scope="module")
def calibrated(golden):
    """BNInception with the weights of the caffemodel that Caffe wrote, parsed here without the converter."""
    data = lzma.decompress((golden / "bn_inception" / "tsn_bn_inception_rgb.caffemodel.xz").read_bytes())
    state = {}
    for layer in pb.NetParameter.FromString(data).layer:
        for key, blob in zip(BN_ORDER, layer.blobs, strict=False):
            shape = [-1] if layer.type == "BN" else list(blob.shape.dim)
            array = np.array(blob.data, np.float32).reshape(shape)
            state[f"{state_name(layer.name)}.{key}"] = torch.from_numpy(array)
    net = BNInception(101, 3).eval()
    net.load_state_dict(state, strict=True)
    return net


@pytest.mark.golden
def test_a_real_frame_through_the_calibrated_model(golden, calibrated):
    recorded = np.load(golden / "bn_inception" / "forward_rgb.npz")
    crops = recorded["crops_uint8"].astype(np.float32) - np.array([104, 117, 123], np.float32).reshape(1, 3, 1, 1)
    with torch.no_grad():
        blobs = calibrated(torch.from_numpy(crops), blobs=all_blobs(deploy_net()))
    seen = set()
    for key in recorded.files:
        kind, _, name = key.partition(":")
        name = SPLIT.sub(r"\1", name)
        if kind == "mean":
            got = blobs[name].double().flatten(2).mean(2) if blobs[name].ndim == 4 else blobs[name].double()
            # the mean of a blob with both signs cancels, so the blob's own magnitude is the measure
            worst = np.abs(got.numpy() - recorded[key]).max() / blobs[name].abs().max().item()
            assert worst <= BLOB_TOLERANCE, f"{key}: {worst:.2e}"
            seen.add(name)
        elif kind == "full":
            assert_close(blobs[name][3:4, :6].numpy(), recorded[key], key)
    assert seen | {"fc-action"} == set(all_blobs(deploy_net()))
    np.testing.assert_allclose(blobs["fc-action"].numpy(), recorded["fc-action"], rtol=0, atol=SCORE_TOLERANCE)


@pytest.mark.golden
@pytest.mark.parametrize(
    ("dataset", "modality"), [("ucf101", "rgb"), ("ucf101", "flow"), ("hmdb51", "rgb"), ("hmdb51", "flow")]
)
def test_names_shapes_and_size_are_those_of_the_released_prototxt(shared, dataset, modality):
    path = shared / "tsn" / "models" / dataset / f"tsn_bn_inception_{modality}_deploy.prototxt"
    proto = text_format.Parse(path.read_text(), pb.NetParameter())
    channels, classes = proto.input_dim[1], proto.layer[-1].inner_product_param.num_output
    expected = {}
    for name, kind, shapes in layer_shapes(proto, channels):
        shapes = [shape[1:] for shape in shapes] if kind == "BN" else shapes
        expected |= {f"{state_name(name)}.{key}": shape for key, shape in zip(BN_ORDER, shapes, strict=False)}
    net = BNInception(classes, channels)
    assert {key: tuple(value.shape) for key, value in net.state_dict().items()} == expected
    assert list(net.state_dict()) == list(expected)  # in the prototxt's order, too
    assert net.blob_names() == all_blobs(proto)
    learned = sum(np.prod(shape) for key, shape in expected.items() if "running" not in key)
    assert sum(parameter.numel() for parameter in net.parameters()) == learned


def test_parameter_count():
    """10,270,240 in the 69 convolutions and their BN slopes and biases, 1025 for each class."""
    for channels, classes in ((3, 101), (10, 51), (15, 400)):
        counted = sum(parameter.numel() for parameter in BNInception(classes, channels).parameters())
        assert counted == 10_270_240 + 64 * 49 * (channels - 3) + 1025 * classes


def test_caffenet_built_from_the_written_prototxt_gives_the_same_blobs(tmp_path):
    """Two builds of one network, graph and hand, share weights by name and keep each other honest."""
    path = tmp_path / "deploy.prototxt"
    path.write_text(deploy_prototxt(NetSpec("custom", "flow", num_classes=6)))
    torch.manual_seed(1)
    graph, hand = load_net(path), BNInception(6, 10).eval()
    for name, value in hand.state_dict().items():
        value.add_(torch.rand_like(value) * (0.4 if "_bn." in name else 0.0))
    graph.load_state_dict(hand.state_dict(), strict=True)
    x = torch.randn(2, 10, 224, 224)
    with torch.no_grad():
        ours, theirs = (net(x, blobs=hand.blob_names()) for net in (hand, graph))
    for name in hand.blob_names():
        assert_close(ours[name].numpy(), theirs[name].numpy(), name)


def test_state_dicts_of_other_ports_load(recordings):
    """Those saved by PyTorch's own BatchNorm2d also hold num_batches_tracked; anything else foreign is refused."""
    net = BNInception(5, 3)
    state = {key: value + 1 for key, value in BNInception(5, 3).state_dict().items()}
    counted = state | {"conv1_7x7_s2_bn.num_batches_tracked": torch.tensor(7)}
    net.load_state_dict(counted, strict=True)
    assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())
    with pytest.raises(RuntimeError, match="stray"):
        net.load_state_dict(state | {"conv1_7x7_s2_bn.stray": torch.tensor(7)}, strict=True)
    del state["inception_4c_3x3_bn.running_var"]
    with pytest.raises(RuntimeError, match=r"inception_4c_3x3_bn\.running_var"):
        net.load_state_dict(state, strict=True)


def small_problem(train, samples=2):
    torch.manual_seed(3)
    net = BNInception(7, 4, dropout=0.0).double().train(train)
    for name, value in net.state_dict().items():  # nothing at its fill, so that every term counts
        if "_bn." in name:
            value.add_(torch.rand_like(value) * (0.3 if "mean" in name or "bias" in name else 0.8))
    net.fc_action.weight.data.normal_(std=0.1)
    x, w = torch.randn(samples, 4, 224, 224), torch.randn(samples, 7)
    return net, x.double(), w.double()


CHECKED = (
    "conv1_7x7_s2.weight",
    "inception_3c_double_3x3_2.weight",
    "inception_4e_3x3_bn.weight",
    "inception_5b_1x1_bn.bias",
    "fc_action.weight",
)


@pytest.mark.parametrize(("train", "samples"), [(False, 1), (True, 2)])
def test_gradients_are_the_slope_of_the_scores(train, samples):
    """Autograd's derivative of sum(w * scores) along a random direction against central differences in float64."""
    net, x, w = small_problem(train, samples)
    inputs = {"x": x.requires_grad_(), **{name: net.get_parameter(name) for name in CHECKED}}
    (net(x) * w).sum().backward()
    step = 1e-9  # at 1e-7 some ReLU and max decisions flip on the way and the slope is another one
    for name, tensor in inputs.items():
        start, direction = tensor.detach().clone(), torch.randn_like(tensor)
        ends = []
        with torch.no_grad():
            for sign in (1, -1):
                tensor.copy_(start + sign * step * direction)
                ends.append((net(x) * w).sum().item())
            tensor.copy_(start)
        autograd = (tensor.grad * direction).sum().item()
        # scores of a few units carry some 1e-14 of rounding, which this step makes 1e-5 of slope
        assert autograd == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-6, abs=2e-5), name
        assert abs(autograd) > 0.02, name  # so that the tolerance is no more than a thousandth of it
    if train:  # what BN subtracts again cannot matter
        assert net.conv2_3x3.bias.grad.abs().max() < 1e-9 * net.conv2_3x3.weight.grad.abs().max()


def test_train_mode_follows_the_batch():
    """BN normalises with the batch's biased variance; running = 0.9 * running + 0.1 * batch (unbiased variance)."""
    net, x, _ = small_problem(train=True)
    name = "inception_3b/double_3x3_1"
    bn = getattr(net, f"{state_name(name)}_bn")
    before = {key: value.clone().numpy() for key, value in bn.state_dict().items()}
    with torch.no_grad():
        blobs = net(x, blobs=(name, f"{name}_bn"))
    conv = blobs[name].numpy()
    count = conv.size // conv.shape[1]
    mean, var = conv.mean((0, 2, 3)), conv.var((0, 2, 3))
    wide = [array.reshape(1, -1, 1, 1) for array in (mean, var, before["weight"], before["bias"])]
    expected = np.maximum(0, wide[2] * (conv - wide[0]) / np.sqrt(wide[1] + 1e-5) + wide[3])
    np.testing.assert_allclose(blobs[f"{name}_bn"].numpy(), expected, atol=1e-12)
    after = {key: value.numpy() for key, value in bn.state_dict().items()}
    np.testing.assert_allclose(after["running_mean"], 0.9 * before["running_mean"] + 0.1 * mean, atol=1e-13)
    unbiased = var * count / (count - 1)
    np.testing.assert_allclose(after["running_var"], 0.9 * before["running_var"] + 0.1 * unbiased, atol=1e-13)


def test_dropout_acts_on_global_pool_in_train_mode_only():
    torch.manual_seed(0)
    net = BNInception(6, 3, dropout=0.7)
    x = torch.randn(3, 3, 224, 224)
    names = ("inception_5b/output", "global_pool", "fc-action")
    with torch.no_grad():
        trained = net.train()(x, blobs=names)
        tested = net.eval()(x, blobs=names)
    pooled = trained["inception_5b/output"].mean((2, 3), keepdim=True)
    kept = trained["global_pool"] != 0
    torch.testing.assert_close(trained["global_pool"][kept], (pooled / 0.3)[kept])  # inverted: 1 / (1 - ratio)
    positive = pooled != 0
    assert abs(kept[positive].double().mean() - 0.3) < 0.04  # 5 sigma of about 3000 draws
    assert torch.equal(trained["fc-action"], net.fc_action(trained["global_pool"].flatten(1)))
    torch.testing.assert_close(tested["global_pool"], tested["inception_5b/output"].mean((2, 3), keepdim=True))


def test_new_weights_follow_the_fillers():
    """xavier: U(-s, s) with s = sqrt(3 / fan_in); bias 0.2; classifier N(0, 0.001); BN the identity."""
    torch.manual_seed(0)
    state = BNInception(400, 3).state_dict()
    bound = np.sqrt(3 / (192 * 9))
    weight = state["inception_5a_3x3.weight"]
    assert weight.shape == (320, 192, 3, 3)
    assert 0.999 * bound < weight.abs().max() <= bound
    assert abs(weight.std().item() / (bound / np.sqrt(3)) - 1) < 0.01  # of a uniform distribution
    assert torch.equal(state["inception_5a_3x3.bias"], torch.full((320,), 0.2))
    assert abs(state["fc_action.weight"].std().item() / 0.001 - 1) < 0.01
    assert not state["fc_action.bias"].any()
    for key, value in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
        assert torch.equal(state[f"inception_5a_3x3_bn.{key}"], torch.full((320,), value))


def test_bad_input_is_refused_by_name():
    net = BNInception(5, 3).eval()
    with pytest.raises(PytsnError, match=r"\(2, 10, 224, 224\)"):
        net(torch.zeros(2, 10, 224, 224))
    with pytest.raises(PytsnError, match=r"\(2, 3, 256, 224\)"):
        net(torch.zeros(2, 3, 256, 224))
    with pytest.raises(PytsnError, match=r"inception_3a/output.*did you mean|did you mean 'inception_3a/output'"):
        net(torch.zeros(1, 3, 224, 224), blobs=("inception_3a/outputs",))
    with pytest.raises(PytsnError, match="dropout 1"):
        BNInception(5, 3, dropout=1)
