"""The settings that must not change when --resume continues a fine-tuning run."""

from collections.abc import Mapping

from converter.errors import PytsnError
from pytsn.finetune.options import FinetuneOptions
from pytsn.runtime.unfinished import changes


def lasting_settings(options: FinetuneOptions, num_classes: int) -> dict[str, str]:
    """Those settings, as stored in the metadata of every weight file."""
    partial = "yes" if options.learns_partially else "no"  # follows --init, which --resume does not read
    facts = {"modality": options.modality, "consensus": options.consensus, "num_segments": options.num_segments}
    return {name: str(value) for name, value in {**facts, "num_classes": num_classes, "partial_bn": partial}.items()}


def check_settings(path: str, metadata: Mapping[str, str], settings: Mapping[str, str]) -> None:
    """Raises PytsnError when the weights ``path`` come from a run with other settings."""
    for name, old, new in changes(metadata, settings, settings):
        raise PytsnError(f"{path}: a run with {name} {old}, not {new}: --resume needs the same")
