"""Writes the prototxts of TSN's BN-Inception from the same table as the torch module.

Once parsed, they equal the released files (models/{ucf101,hmdb51} of the original) if those exist; the layout is ours.
"""

from converter.errors import PytsnError
from pytsn.models.inception_table import CLASSIFIER, INPUT_SIZE
from pytsn.models.net_spec import NetSpec
from pytsn.models.prototxt_layers import head, trunk
from pytsn.models.prototxt_text import Word, field, fields, heading, layer

DEPLOY_DROPOUT = 0.8  # for every modality; without effect at test time


def deploy_prototxt(spec: NetSpec) -> str:
    """The net that scores single snippets: input ``data`` (1, C, 224, 224), output ``fc-action`` (1, classes)."""
    title = _title(spec, "deploy net: scores of single snippets before the softmax")
    return title + snippet_net(spec.stream.channels, spec.classes)


def snippet_net(channels: int, classes: int, classifier: str = CLASSIFIER) -> str:
    """The same for any channels and classes, without a title; ``classifier``: the name of the layer that scores."""
    parts = [
        fields(name="BN-Inception", input="data") + "\n",
        fields(input_dim=[1, channels, INPUT_SIZE, INPUT_SIZE]) + "\n",
        trunk(channels, "data"),
        head(classes, CLASSIFIER, DEPLOY_DROPOUT, classifier),
    ]
    return "".join(parts)


def train_val_prototxt(spec: NetSpec) -> str:
    """The net for training and its test passes: VideoData, partial BN, segmental consensus, loss and accuracy."""
    stream, segments, training = spec.stream, spec.num_segments, spec.stream.training
    shape = {"shape": {"dim": (-1, stream.channels, INPUT_SIZE, INPUT_SIZE)}}
    parts = [
        _title(spec, f"training and test net: {segments} segments, split {spec.split}"),
        field("name", "BN-Inception") + "\n",
        heading(f"data: (videos, {segments} * {stream.channels}, {INPUT_SIZE}, {INPUT_SIZE}), folded into snippets"),
        _video_data(spec, "TRAIN"),
        _video_data(spec, "TEST"),
        layer(training.fold, "Reshape", ["data"], [training.fold], {"reshape_param": shape}),
        trunk(stream.channels, training.fold, training.conv1_lr, partial_bn=True, engine=training.bn_engine),
        head(spec.classes, "fc", training.dropout),
        _consensus_and_loss(spec),
    ]
    return "".join(parts)


def solver_prototxt(spec: NetSpec) -> str:
    """The solver of the train_val net. Raises PytsnError if the length of a test pass is unknown."""
    if spec.test_iter is None:
        raise PytsnError(f"solver of dataset '{spec.dataset}': how long is a test pass? give --test_iter")
    text = _title(spec, f"solver, split {spec.split}")
    text += field("net", f"{spec.folder}/{spec.file_name('train_val')}") + "\n"
    for title, settings in _solver_settings(spec).items():
        text += heading(title) + "".join(f"{field(*item)}\n" for item in settings.items())
    return text


def _solver_settings(spec: NetSpec) -> dict[str, dict[str, object]]:
    plan = spec.schedule
    steps = {"stepsize": plan.steps[0]} if plan.lr_policy == "step" else {"stepvalue": plan.steps}
    test: dict[str, object]
    test = {"test_iter": spec.test_iter, "test_interval": plan.test_interval, "test_initialization": True}
    output = {"display": 20, "average_loss": 20, "snapshot_prefix": spec.snapshot_prefix, "debug_info": False}
    rate = {"base_lr": plan.base_lr, "lr_policy": plan.lr_policy, "gamma": 0.1, **steps}
    devices = {"device_id": plan.device_id} if plan.device_id else {}
    return {
        "test passes, one video a batch": test,
        "output; without `snapshot: N` the model is saved after the last iteration only": output,
        "learning rate, for 128 videos an iteration (batch_size * iter_size * processes)": {
            **rate,
            "max_iter": plan.max_iter,
            "iter_size": 1,
        },
        "SGD": {"momentum": 0.9, "weight_decay": 0.0005, "clip_gradients": plan.clip_gradients},
        "device": {"solver_mode": Word("GPU"), **devices, "richness": 200},
    }


WRITERS = {"deploy": deploy_prototxt, "train_val": train_val_prototxt, "solver": solver_prototxt}  # by file kind


def _title(spec: NetSpec, what: str) -> str:
    return (
        f"# Temporal Segment Networks, BN-Inception: {what}.\n"
        f"# {spec.dataset} {spec.modality}, {spec.num_classes} classes. Written by `pytsn make-prototxt`.\n\n"
    )


def _only(phase: str) -> dict[str, object]:
    return {"include": {"phase": Word(phase)}}


def _video_data(spec: NetSpec, phase: str) -> str:
    stream, train = spec.stream, phase == "TRAIN"
    source = {
        "source": spec.train_list if train else spec.val_list,
        "batch_size": spec.batch_size if train else 1,
        "new_length": stream.length,
        "num_segments": spec.num_segments,
        "modality": Word(spec.modality.upper()),
        "name_pattern": stream.images.name_pattern,
    }
    one_for_all = len(stream.mean) == 1  # else one value for each channel of all segments
    transform: dict[str, object] = {"crop_size": INPUT_SIZE, "mirror": train}
    if stream.mean:
        transform["mean_value"] = stream.mean * (1 if one_for_all else spec.num_segments)
    if train or stream.is_flow:
        transform["is_flow"] = stream.is_flow
    if train:
        source["shuffle"] = True
        transform |= {"fix_crop": True, "more_fix_crop": True, "multi_scale": True, "max_distort": 1}
        transform["scale_ratios"] = stream.training.scale_ratios
    messages = ({"video_data_param": source}, {"transform_param": transform}, _only(phase))
    return layer("data", "VideoData", [], ["data", "label"], *messages)


def _consensus_and_loss(spec: NetSpec) -> str:
    name, mean = spec.stream.training.consensus, spec.stream.training.consensus_blob
    shape = {"shape": {"dim": (-1, 1, spec.num_segments, spec.num_classes)}}
    pool = {"pool": Word("AVE"), "kernel_h": spec.num_segments, "kernel_w": 1}
    axis = {"axis": 3}  # the blob is (videos, 1, 1, classes)
    return (
        heading("segmental consensus: mean of the snippets' scores")
        + layer("reshape_fc", "Reshape", ["fc"], ["reshape_fc"], {"reshape_param": shape})
        + layer(name, "Pooling", ["reshape_fc"], [mean], {"pooling_param": pool})
        + heading("loss and accuracy")
        + layer("loss", "SoftmaxWithLoss", [mean, "label"], ["loss"], {"softmax_param": axis})
        + layer("accuracy_top1", "Accuracy", [mean, "label"], ["accuracy"], {"accuracy_param": axis}, _only("TEST"))
    )
