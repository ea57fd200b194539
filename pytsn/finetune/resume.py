"""What --resume checks: the settings that must not change from one part of a fine-tuning run to the next."""

from collections.abc import Mapping

from converter.errors import PytsnError
from pytsn.finetune.options import FinetuneOptions
from pytsn.runtime.unfinished import changes


def lasting_settings(options: FinetuneOptions, num_classes: int) -> dict[str, str]:
    """Those settings, as the metadata of every file of weights has them."""
    partial = "yes" if options.learns_partially else "no"  # follows --init, which --resume does not read
    facts = {"modality": options.modality, "consensus": options.consensus, "num_segments": options.num_segments}
    return {name: str(value) for name, value in {**facts, "num_classes": num_classes, "partial_bn": partial}.items()}


def check_settings(path: str, metadata: Mapping[str, str], settings: Mapping[str, str]) -> None:
    """Raises PytsnError when the weights of checkpoint ``path`` are of a run with other settings."""
    for name, old, new in changes(metadata, settings, settings):
        raise PytsnError(f"{path}: a run with {name} {old}, not {new}: --resume needs the same")
