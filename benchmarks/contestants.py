"""The contestants of benchmarks/eval_speed.py: several implementations of BN-Inception, and bare matrix products."""

import tempfile
import warnings
from pathlib import Path

import torch

from converter.core_threads import CoreThreads
from converter.fused import fuse
from converter.layers.norm import BN
from converter.net import CaffeNet
from converter.onnx_export import export_onnx
from converter.proto import filter_net, parse_net
from pytsn.models import BNInception
from pytsn.models.net_spec import NetSpec
from pytsn.models.prototxt import deploy_prototxt

SIDE = 2048  # side of the bare product's matrices: large enough that only arithmetic limits the speed
SCORES = "fc-action"


def caffe_net(classes: int, seed: int = 0) -> CaffeNet:
    """The UCF101 rgb deploy net with random weights, and BN statistics measured on random pixels."""
    net = CaffeNet(filter_net(parse_net(prototxt(classes)), "TEST"))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, parameter[0].numel() ** -0.5, generator=generator)
        hooks = [m.register_forward_pre_hook(_calibrate) for m in net.modules() if isinstance(m, BN)]
        net(pixels(4))
    for hook in hooks:
        hook.remove()
    return net


def prototxt(classes: int) -> str:
    """The deploy net of UCF101 rgb with this number of classes."""
    return deploy_prototxt(NetSpec("custom", "rgb", num_classes=classes))


def _calibrate(module: torch.nn.Module, bottoms: tuple[torch.Tensor]) -> None:
    assert isinstance(module, BN)
    variance, mean = torch.var_mean(bottoms[0], (0, 2, 3))
    for tensor, value in ((module.running_var, variance), (module.running_mean, mean)):
        tensor.copy_(value)
    module.weight.fill_(1)
    module.bias.fill_(0)


def pixels(crops: int) -> torch.Tensor:
    """Random float32 (N, 3, 224, 224) in the range of mean-subtracted pixels."""
    return torch.randint(-117, 139, (crops, 3, 224, 224), generator=torch.Generator().manual_seed(1)).float()


def forward(net, x: torch.Tensor):
    """A function without arguments that returns the scores (N, K) of ``x``."""
    return lambda: net(x, blobs=(SCORES,))[SCORES]


def cpu_forwards(net: CaffeNet, x: torch.Tensor, threads: int) -> dict:
    """Contestants: name -> forward."""
    eager = BNInception(net.blob_shapes[SCORES][1]).eval().requires_grad_(False)
    eager.load_state_dict(net.state_dict())
    fused, planar, shared = fuse(net), fuse(net, channels_last=False), CoreThreads(threads)
    return {
        "eager PyTorch": forward(eager, x),
        **onnx_forwards(net, eager, x, threads),
        "fused, planar": forward(planar, x),
        "fused": forward(fused, x),
        "fused, by parts (eval_net.py)": lambda: shared.run(lambda part: forward(fused, part)(), x, len(x)),
    }


def onnx_forwards(net: CaffeNet, eager: BNInception, x: torch.Tensor, threads: int) -> dict:
    """Forwards in ONNX Runtime, if installed: with the file of torch's exporter, and with ours."""
    try:
        import onnxruntime
    except ImportError:
        return {}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads

    def run(path: Path):
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return lambda: torch.from_numpy(session.run([SCORES], {"data": x.numpy()})[0])

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # This exporter needs no further package, but warns that it is no longer the default
        warnings.simplefilter("ignore")
        theirs, ours = Path(folder) / "torch.onnx", Path(folder) / "pytsn.onnx"
        torch.onnx.export(eager, (x,), theirs, input_names=["data"], output_names=[SCORES], dynamo=False)
        export_onnx(net, ours)
        return {"ONNX Runtime, torch's file": run(theirs), "ONNX Runtime, our file": run(ours)}


def products() -> dict:
    """The implementations of a SIDE x SIDE float32 matrix product that torch has on this CPU."""
    left, right, out = (torch.randn(SIDE, SIDE, generator=torch.Generator().manual_seed(seed)) for seed in range(3))
    found = {"torch.mm": lambda: torch.mm(left, right, out=out)}
    if torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        found["oneDNN product"] = lambda: torch.ops.mkldnn._linear_pointwise(left, right, None, "none", [], "")
    return found
