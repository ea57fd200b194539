"""The net of fine-tuning: a TSN of BN-Inception or the user's deploy net, with as many classes as the lists."""

from dataclasses import dataclass

from google.protobuf import text_format

from converter import caffe_tsn_pb2 as pb
from converter.errors import PytsnError
from converter.net import CaffeNet
from converter.proto import filter_net, parse_net, read_net
from pytsn.data.modalities import Modality
from pytsn.finetune.options import FinetuneOptions
from pytsn.models.net_spec import NetSpec
from pytsn.models.prototxt import deploy_prototxt
from pytsn.models.snippet_net import describe
from pytsn.models.tsn import TSN
from pytsn.training.solver_blobs import SolverBlob, solver_blobs

#: layer type -> (lr_mult, decay_mult) of its blobs where the prototxt gives none: the values of the released nets
_FACTORS = {
    "Convolution": ((1, 1), (2, 0)),
    "Deconvolution": ((1, 1), (2, 0)),
    "InnerProduct": ((1, 1), (2, 0)),
    "BN": ((1, 0), (1, 0)),
    "Scale": ((1, 0), (1, 0)),
    "Bias": ((1, 0),),
    "PReLU": ((1, 0),),
}


@dataclass(frozen=True)
class NetPlan:
    """tsn: the model. deploy: the prototxt for the weights of its base. notes: lines for the user."""

    tsn: TSN
    deploy: str
    notes: tuple[str, ...]


def build_tsn(options: FinetuneOptions, row: Modality, spec: NetSpec) -> NetPlan:
    """A TSN with ``spec.num_classes`` classes and a CaffeNet as base; the weights are filled by its fillers.

    Raises PytsnError that names the file.
    """
    notes: tuple[str, ...] = ()
    if options.net is None:
        param, text = parse_net(deploy_prototxt(spec)), deploy_prototxt(spec)
    else:
        param, notes = _own_net(options, options.net, spec.classes)
        text = text_format.MessageToString(param)
    set_factors(param, row)
    base = CaffeNet(param)
    tsn = TSN(
        base,
        options.num_segments,
        options.modality,
        options.consensus,
        options.dropout,
        options.learns_partially,
        score_name=options.score_name,
    )
    return NetPlan(tsn, text, notes)


def caffe_base(tsn: TSN) -> CaffeNet:
    """The base of a TSN made by ``build_tsn``."""
    assert isinstance(tsn.base, CaffeNet)
    return tsn.base


def input_shape(tsn: TSN) -> tuple[int, ...]:
    """(N, C, H, W) of the base's input; TSN accepts only nets with one input."""
    (shape,) = caffe_base(tsn).inputs.values()
    assert shape is not None
    return shape


def _own_net(options: FinetuneOptions, path: str, classes: int) -> tuple[pb.NetParameter, tuple[str, ...]]:
    """The user's net, with the classifier's width set to the number of classes."""
    notes: list[str] = []
    param = filter_net(read_net(path, notes), "TEST")
    try:
        about = describe(CaffeNet(param), options.score_name)
    except PytsnError as error:
        raise PytsnError(f"{path}: {error}") from None
    if about.num_classes == classes or (options.num_classes is None and classes < about.num_classes):
        return param, tuple(notes)
    layer = next(layer for layer in param.layer if layer.name == about.classifier)
    sizes: dict[str, pb.InnerProductParameter | pb.ConvolutionParameter] = {
        "InnerProduct": layer.inner_product_param,
        "Convolution": layer.convolution_param,
    }
    if layer.type not in sizes:
        raise PytsnError(f"{path}: layer '{layer.name}' ({layer.type}) has {about.num_classes} classes: no --net")
    sizes[layer.type].num_output = classes
    notes.append(f"{path}: classifier '{layer.name}' made {classes} classes wide, from {about.num_classes}")
    return param, tuple(notes)


def set_factors(param: pb.NetParameter, row: Modality) -> None:
    """Sets lr_mult and decay_mult where a deploy net has none, the modality's lr_mult of the first convolution (5 for
    flow) unless it is given, and the variance that an unfrozen BN averages."""
    for layer in param.layer:
        if not layer.param:
            layer.param.extend(pb.ParamSpec(lr_mult=lr, decay_mult=decay) for lr, decay in _FACTORS.get(layer.type, ()))
        if layer.type == "BN" and row.training.bn_engine:
            engine = pb.BNParameter.Engine.Value(row.training.bn_engine)
            layer.bn_param.engine = engine  # type: ignore[assignment]  # an int, as protobuf has enums
    first = next((layer for layer in param.layer if layer.type == "Convolution"), None)
    if first is not None and first.param[0].lr_mult == 1:
        for spec in first.param:
            spec.lr_mult *= row.training.conv1_lr


def tsn_blobs(tsn: TSN) -> list[SolverBlob]:
    """The base's blobs in net order, then the consensus parameters. Call it when the net is on its device."""
    own = [
        SolverBlob("consensus", name, tensor, tuple(tensor.shape), 1.0, tsn.consensus.decay_mult)
        for name, tensor in tsn.consensus.named_parameters()
    ]
    return solver_blobs(caffe_base(tsn)) + own
