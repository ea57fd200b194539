"""Downloads and checks the released weights: a file is put in place only if it is intact and matches its name."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from converter.errors import PytsnError
from converter.files import explain_os_error
from pytsn.runtime.locks import TAKEN, hold_lock
from pytsn.weights.addresses import shown
from pytsn.weights.download import HostGone, NotThere, Patience, Progress, copy, fetch
from pytsn.weights.identify import INVSTD, Identity, contradictions, identify
from pytsn.weights.model_sources import sources
from pytsn.weights.released_models import KINDS, RELEASED, Promise, Released
from pytsn.weights.resume import PartFile

ADVICE = (
    "These files are also kept by others: search the web for their names, put what you find in a folder, check it with"
    " `pytsn identify FILE`, and run this again with --base_url FOLDER (or the address of a copy)."
)


@dataclass(frozen=True)
class Wanted:
    """Which released files. kind: reference or init; None: all datasets, splits, modalities.

    Raises PytsnError for a choice without any file.
    """

    kind: str
    dataset: str | None = None
    split: int | None = None
    modality: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise PytsnError(f"'{self.kind}': one of {', '.join(KINDS)} was expected")
        if not self.files():
            raise PytsnError(
                "init: these two files belong to no dataset or split: leave out --dataset and --split"
                if self.kind == "init"
                else f"no released file of dataset {self.dataset}, split {self.split}, modality {self.modality}"
            )

    def files(self) -> list[Released]:
        """The selected files of the table, in its order."""
        choice = {"dataset": self.dataset, "split": self.split, "modality": self.modality}
        return [
            file
            for file in RELEASED[self.kind]
            if all(value in (None, getattr(file, name)) for name, value in choice.items())
        ]


@dataclass
class Outcome:
    """Names of the files that were already present, that were fetched, and that failed."""

    present: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @property
    def status(self) -> int:
        """0: all are present; 1: some failed; 2: none of the requested files is present."""
        return 0 if not self.failed else 1 if self.present or self.fetched else 2


@dataclass(frozen=True)
class Getter:
    """Fetches files. folder: destination; say: called with one line about each file; progress(name): returns a function
    that is called with (bytes so far, total bytes) during that file's download."""

    folder: Path
    say: Callable[[str], None] = print
    progress: Callable[[str], Progress] = lambda name: lambda done, size: None
    patience: Patience = Patience()  # noqa: RUF009 frozen

    def get(self, wanted: Wanted, base_url: str | None = None) -> Outcome:
        """Makes sure that the wanted files are in the folder, intact and checked.

        Raises PytsnError for an unusable base_url or folder; errors of single files are only reported.
        """
        todo, outcome = [(file, sources(file, base_url)) for file in wanted.files()], Outcome()
        try:
            os.makedirs(self.folder, exist_ok=True)
        except OSError as error:
            raise explain_os_error(error, self.folder) from None
        gone = False
        for file, places in todo:
            try:
                if not self._is_present(file, outcome):
                    if gone:
                        outcome.failed.append(file.name)
                        continue
                    self._get_one(file, places)
                    outcome.fetched.append(file.name)
            except PytsnError as error:
                gone = isinstance(error, HostGone)
                outcome.failed.append(file.name)
                self.say(f"failed: {error}" + ("; skips the other files of that host" if gone else ""))
        return outcome

    def _is_present(self, file: Released, outcome: Outcome) -> bool:
        path = self.folder / file.name
        if not path.exists():
            return False
        faults = shortcomings(identify(path, file.promise), file.promise)
        if faults:
            self.say(f"present, but fetched again: {path}: {faults[0]}")
            return False
        self.say(f"present: {path} is intact")
        outcome.present.append(file.name)
        return True

    def _get_one(self, file: Released, places: Sequence[str]) -> None:
        path = self.folder / file.name
        with hold_lock(f"{path}.lock") as lock:
            if lock == TAKEN:
                raise PytsnError(f"{path}: another process is fetching it at this moment")
            found = _put_in_place(self._fetched(file, places), file, path)
        note = ": BN holds the inverse standard deviation, use --bn_style invstd" if found.bn == INVSTD else ""
        self.say(f"fetched: {path}, {found.size:,} bytes, {file.promise}{note}")

    def _fetched(self, file: Released, places: Sequence[str]) -> PartFile:
        """Fetches the whole file as a part beside its place, from the first source that has it."""
        progress, first = self.progress(file.name), None
        for place in places:
            part = PartFile(self.folder / file.name, place)
            try:
                if urlsplit(place).scheme in ("http", "https"):
                    fetch(place, part, self.patience, progress)
                elif os.path.isfile(place):
                    copy(place, part, progress)
                else:
                    raise NotThere(f"{place}: no such file")
                return part
            except NotThere as error:
                first = first or error
        raise PytsnError(f"{first}{f' ({len(places)} names were tried)' if len(places) > 1 else ''}")


def _put_in_place(part: PartFile, file: Released, path: Path) -> Identity:
    """Moves a correct part to ``path``. An incorrect one, and a bad file already there, is kept as NAME.bad."""
    bad = path.with_name(f"{path.name}.bad")
    found = identify(part.path, file.promise)
    if faults := shortcomings(found, file.promise):
        part.move_to(bad)
        raise PytsnError(f"{shown(part.address)}: came in full, but {faults[0]}; kept as {bad} (see `pytsn identify`)")
    if path.exists():
        os.replace(path, bad)
    part.move_to(path)
    return found


def shortcomings(found: Identity, promise: Promise) -> list[str]:
    """Why a file is not the promised released one, worst first; empty if it may be."""
    if not found.holds_weights:
        return [*found.damage, f"it holds no weights: {found.kind}"][:1]
    faults = [*found.damage, *contradictions(found, promise)]
    if found.net is None:
        faults.append(f"its layers are not those of {promise.net}")
    if promise.dataset and found.classes is None:
        faults.append("it has no score layer")
    return faults
