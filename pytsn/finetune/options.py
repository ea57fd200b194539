"""The options of a fine-tuning run."""

from dataclasses import dataclass

from converter.errors import PytsnError
from pytsn.training.overrides import Override

#: fields of data layers that have an option of their own
_OWN_OPTIONS = {
    "batch_size": "--batch_size and --val_batch_size",
    "source": "TRAIN_LIST and --val_list",
    "num_segments": "--num_segments",
}


@dataclass(frozen=True)
class FinetuneOptions:
    """The options of a run; None: the papers' setting (pytsn/data/modalities.py), or taken from the lists.

    train_list, val_list: files with lines ``folder frames label``. out: output folder. net: a deploy prototxt (None:
    BN-Inception); score_name: its score blob. init: weights to start from; bn_style: of a caffemodel. accumulate:
    batches per update, in each process. epochs, lr_steps: passes over the training videos; or solver: a solver file for
    everything about updates. overrides: of the data layers and the solver. partial_bn: None means yes if init is given.
    format: suffix of the weight files.
    """

    train_list: str
    out: str
    val_list: str | None = None
    modality: str = "rgb"
    num_segments: int = 3
    consensus: str = "average"
    num_classes: int | None = None
    dropout: float | None = None
    partial_bn: bool | None = None
    net: str | None = None
    score_name: str | None = None
    init: str | None = None
    bn_style: str = "var"
    batch_size: int = 32
    val_batch_size: int | None = None
    accumulate: int | None = None
    epochs: float | None = None
    lr: float | None = None
    lr_steps: tuple[float, ...] | None = None
    solver: str | None = None
    clip_on: str | None = None
    seed: int | None = None
    overrides: tuple[Override, ...] = ()
    resume: bool = False
    format: str = "safetensors"

    def __post_init__(self) -> None:
        for name in ("num_segments", "batch_size", "val_batch_size", "accumulate", "epochs", "lr"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise PytsnError(f"--{name} {value}: must be above 0")
        for override in self.overrides:
            if override.field in _OWN_OPTIONS:
                raise PytsnError(f"--set {override.field}: use {_OWN_OPTIONS[override.field]}")
        given = [f"--{name}" for name in ("epochs", "lr", "lr_steps") if getattr(self, name) is not None]
        if self.solver and given:
            raise PytsnError(f"the solver file says how long and how fast to learn: leave out {', '.join(given)}")
        if self.lr_steps and (min(self.lr_steps) <= 0 or sorted(set(self.lr_steps)) != list(self.lr_steps)):
            raise PytsnError(f"--lr_steps {self.lr_steps}: epochs above 0 in rising order were expected")

    @property
    def learns_partially(self) -> bool:
        """Whether all BN layers but the first are frozen; by default only with init, as untrained statistics are not
        worth keeping."""
        return self.init is not None if self.partial_bn is None else self.partial_bn
