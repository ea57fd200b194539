"""An ablation from options to tables: prepares data and nets, runs the cells one after another, writes the results."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from converter import caffe_tsn_pb2 as pb
from converter.errors import PytsnError
from converter.files import explain_os_error, write_bytes
from converter.text_table import amount
from pytsn.ablation.cell import CellRun
from pytsn.ablation.data import AblationData, image_names, load_data
from pytsn.ablation.nets import write_net
from pytsn.ablation.options import AblationOptions
from pytsn.ablation.plan import Cell, Row, heading, make_cells, make_rows
from pytsn.ablation.table import Result, as_json, make_results, markdown_table, table_cells, text_table
from pytsn.ablation.training import cell_training, schedule
from pytsn.data.datasets import DATASETS
from pytsn.data.modalities import find_modality
from pytsn.data.snippet_reader import SnippetOptions
from pytsn.scores.aggregation import default_aggregation
from pytsn.training.settings import plan_hardware


class Ablation:
    """The planned ablation; nothing is trained yet. rows: of all tables; runs: the cells in order; notes: lines for the
    user. Raises PytsnError for all bad input that can be found before training."""

    def __init__(self, options: AblationOptions) -> None:
        self.options, self.out = options, Path(options.out)
        self.data: AblationData = load_data(options)
        self.hardware = plan_hardware(pb.SolverParameter(), options.device, None, 0, options.precision)
        self.rows: list[Row] = make_rows(options, self.data.modalities)
        if not self.rows:
            raise PytsnError(f"--tables {','.join(options.tables)}: no row can be made of {self.data.modalities}")
        self.notes = self.data.notes
        cells = make_cells(self.rows, options.seeds)
        self._write_inputs(cells)
        self.runs = [self._run(cell) for cell in cells]
        self._scores: dict[Cell, np.ndarray] = {}
        self._labels = np.zeros(0, np.int64)

    def _write_inputs(self, cells: Sequence[Cell]) -> None:
        """Writes the lists and nets that the cells read."""
        try:
            for folder in ("lists", "nets", "cells"):
                (self.out / folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise explain_os_error(error, self.out) from None
        for modality in dict.fromkeys(cell.modality for cell in cells):
            self.data.write_list("train", modality, self._list(modality))
        nets = {net.name: net for net in self.options.nets}
        pairs = dict.fromkeys((cell.net, cell.modality) for cell in cells)
        self._nets = {(name, modality): write_net(nets[name], modality, self.out / "nets") for name, modality in pairs}

    def _list(self, modality: str) -> str:
        return str(self.out / "lists" / f"{modality}_train.txt")

    def _run(self, cell: Cell) -> CellRun:
        row = find_modality(cell.modality)
        kinds, suffix = image_names(self.options)
        snippets = SnippetOptions(row.read_as, self.options.snippets, *kinds, ext=suffix)
        videos, train_list = self.data.videos, self._list(cell.modality)
        count, net = len(videos["train"][cell.modality]), self._nets[cell.net, cell.modality]
        training = cell_training(self.options, cell, self.data.num_classes, train_list, count, net)
        test = videos["test"][cell.modality]
        return CellRun(cell, self.out / "cells", training, test, snippets, self.options.crops, self.options.precision)

    def schedule(self, run: CellRun) -> pb.SolverParameter:
        """The solver of a cell's training."""
        return schedule(run.training, len(self.data.videos["train"][run.cell.modality]))

    def results(self) -> list[Result]:
        """The figures of the tables, as far as cells are done."""
        for run in self.runs:
            if run.cell not in self._scores and run.is_done():
                arrays, self._labels = run.scores()
                self._scores[run.cell] = np.stack([default_aggregation(each, False) for each in arrays])  # -> (V, K)
        return make_results(self.rows, self.options.seeds, self._scores, self._labels)

    def write(self, results: Sequence[Result]) -> None:
        """Writes results.json and results.md."""
        lines = ["# Ablation", "", *self.about(), ""]
        for title, table in self.sections(results):
            lines += [f"## {title}", "", *markdown_table(table), ""]
        write_bytes(self.out / "results.md", "\n".join(lines).encode())
        content = {"about": self.about(), "seeds": list(self.options.seeds), "figures": as_json(results)}
        content["cells"] = [{**asdict(run.cell), "seconds": run.record().get("seconds")} for run in self.runs]
        write_bytes(self.out / "results.json", (json.dumps(content, indent=1) + "\n").encode())

    def sections(self, results: Sequence[Result]) -> list[tuple[str, list[list[str]]]]:
        """Heading and contents of each table."""
        tables = dict.fromkeys(result.row.table for result in results)
        return [(heading(table, self.options), table_cells(results, table)) for table in tables]

    @property
    def of_the_paper(self) -> bool:
        """Whether the videos are those of the paper's figures: UCF101 split 1, not the demo's, which are laid out as
        UCF101 is."""
        known = DATASETS["ucf101"]
        return (self.options.dataset, self.options.split, self.data.num_classes) == (known.name, 1, known.classes)

    def about(self) -> list[str]:
        """A few lines that explain the figures."""
        options, seeds = self.options, ", ".join(map(str, self.options.seeds))
        train, test = (len(next(iter(self.data.videos[part].values()))) for part in ("train", "test"))
        crops, snippets = amount(options.crops, "crop"), amount(options.snippets, "snippet")
        where = options.val_list if options.dataset == "custom" else f"{options.dataset} split {options.split}"
        return [
            f"{options.title or where}: {amount(train, 'video')} to train, {test:,} to test,"
            f" {amount(self.data.num_classes, 'class', 'classes')};"
            f" seed {seeds}.",
            f"Accuracy is the mean over classes, in %, of {snippets} x {crops}, averaged"
            " whatever the consensus of training; last weights of a run.",
            "The paper's figures, approximate, are those of its own data, nets and schedules: UCF101 split 1.",
        ]

    def text(self, results: Sequence[Result]) -> list[str]:
        """The tables for a terminal."""
        lines = list(self.about())
        for title, table in self.sections(results):
            lines += ["", title, *text_table(table)]
        return lines


def run_cells(ablation: Ablation, workers: int, progress, signal: Callable[[], int]) -> list[str]:
    """Runs the cells that are not done. Returns a line for each cell that diverged. Raises Stopped and PytsnError."""
    from pytsn.training.solver import DivergedError

    failed = []
    for run in ablation.runs:
        run.signal = signal
        progress.start(run)
        if run.is_done():
            progress.finish(run, "done before")
            continue
        try:
            record = run.run(ablation.hardware, workers, progress.done)
        except DivergedError as error:
            failed.append(f"{run.cell.name}: {error}")
            progress.finish(run, f"diverged: {error}")
            continue
        seconds = record["seconds"]
        progress.finish(run, f"trained in {seconds['trained']:.0f} s, tested in {seconds['done']:.0f} s")
        ablation.write(ablation.results())
    return failed
