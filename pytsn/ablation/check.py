"""Finds errors that would stop a cell of an ablation, before the first cell is trained."""

from converter.errors import PytsnError
from pytsn.caffe_random.source import TorchRng
from pytsn.data.modalities import Modality, find_modality
from pytsn.finetune.data import data_layer, make_spec
from pytsn.finetune.init import start_from
from pytsn.finetune.net import build_tsn, input_shape
from pytsn.finetune.options import FinetuneOptions
from pytsn.models.tsn import TSN
from pytsn.training.input.data_layers import DataLayers


def checked_tsn(training: FinetuneOptions) -> TSN:
    """The model of a run with its start weights; also opens the data once to check it.

    Raises PytsnError when net, weights and frames do not fit together, and for a net that cannot be tested: its number
    of channels differs from the modality's snippets.
    """
    row = find_modality(training.modality)
    assert training.num_classes is not None  # every run of an ablation sets it
    spec = make_spec(training, row, training.num_classes)
    tsn = build_tsn(training, row, spec).tsn
    shape = input_shape(tsn)
    _check_test(training, tsn, row)
    if training.init:
        start_from(tsn, training.init, training.bn_style)
    data_layers = DataLayers("TRAIN", rng=TorchRng(0))
    try:
        layer = data_layer(training, spec, "TRAIN", row.images.planes, shape)
        data, _ = data_layers.on_data_layer(layer).values()
        data_layers.layers[layer.name].check_labels(tsn.about.num_classes)
    except PytsnError as error:
        raise PytsnError(f"{training.train_list}: {error}") from None
    finally:
        data_layers.close()
    if data[1] != tsn.num_segments * tsn.about.channels:
        wanted = f"{tsn.num_segments} segments of {tsn.about.channels}"
        raise PytsnError(f"{training.modality}: data of {data[1]} channels, the net takes {wanted}: look at --set")
    return tsn


def _check_test(training: FinetuneOptions, tsn: TSN, row: Modality) -> None:
    source = training.net or "BN-Inception"
    if tsn.about.channels != row.channels:
        raise PytsnError(
            f"{source}: takes {tsn.about.channels} channels, tests of {row.name} have snippets of {row.channels}"
        )
