"""The papers' tables as rows of training runs.

Sources: ECCV paper (1608.00859), tables 2 (input modalities), 3 (consensus) and 4 (depth); TPAMI paper (1705.02953) for
top-K and attention. Tables 2 and 4 do not use segments: their BN-Inception results are the last line of table 1, nets
trained on one snippet per video; ours are trained the same way. Table 3 and the last line of table 4 use 3 segments.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pytsn.ablation.options import BUILT_IN, AblationOptions
from pytsn.evaluation.published import ECCV_TABLES

_SINGLE = 1  # segments of modality and depth tables
#: fusion weights: rgb 1 : flow 1.5; with warped flow, flow 1 : warped 0.5 instead of 1.5 (ECCV paper, section 4.2); no
#: paper gives a weight for RGB difference, so it gets that of rgb
FUSIONS: tuple[dict[str, float], ...] = (
    {"rgb": 1},
    {"rgbdiff": 1},
    {"rgb": 1, "rgbdiff": 1},
    {"flow": 1},
    {"warped": 1},
    {"flow": 1, "warped": 0.5},
    {"rgb": 1, "flow": 1.5},
    {"rgb": 1, "flow": 1, "warped": 0.5},
    {"rgb": 1, "rgbdiff": 1, "flow": 1, "warped": 0.5},
)
#: columns of the other two tables
TWO_STREAM: dict[str, dict[str, float]] = {"rgb": {"rgb": 1}, "flow": {"flow": 1}, "fused": {"rgb": 1, "flow": 1.5}}
_CONSENSUS = ECCV_TABLES["consensus (spatial, temporal, two-stream)"]
_NETWORK = ECCV_TABLES["network (spatial, temporal, two-stream)"]
_MODALITY = {frozenset(name.split("+")): figures[0] for name, figures in ECCV_TABLES["modality"].items()}
_MODALITY[frozenset(("rgb", "flow"))] = _NETWORK["BN-Inception"][2]
_PUBLISHED_CONSENSUS = {"max": "max", "average": "average", "weighted": "weighted average"}


@dataclass(frozen=True)
class Cell:
    """One training run and its test."""

    net: str
    modality: str
    segments: int
    consensus: str
    seed: int

    @property
    def setting(self) -> str:
        """The cell's name without its seed."""
        consensus = "" if self.segments == _SINGLE else f"-{self.consensus.replace(':', '')}"
        return f"{self.net}-{self.modality}-{self.segments}seg{consensus}"

    @property
    def name(self) -> str:
        """The name of the cell and of its folder."""
        return f"{self.setting}-seed{self.seed}"


@dataclass(frozen=True)
class Figure:
    """One number of a table: column, fusion weights by modality, the paper's value (%) or None."""

    column: str
    weights: dict[str, float]
    published: float | None


@dataclass(frozen=True)
class Row:
    """A row of a table; all its figures use the same net, number of segments and consensus."""

    table: str
    name: str
    net: str
    segments: int
    consensus: str
    figures: tuple[Figure, ...]

    def cells(self, figure: Figure, seed: int) -> list[Cell]:
        """The runs whose scores are fused for a figure, in the order of the weights."""
        return [Cell(self.net, modality, self.segments, self.consensus, seed) for modality in figure.weights]


def make_rows(options: AblationOptions, modalities: Sequence[str]) -> list[Row]:
    """The rows of the selected tables that need only these modalities."""
    make = {"modalities": _modality_rows, "consensus": _consensus_rows, "depth": _depth_rows}
    return [row for table in make if table in options.tables for row in make[table](options, set(modalities))]


def _modality_rows(options: AblationOptions, modalities: set[str]) -> list[Row]:
    rows = []
    for weights in FUSIONS:
        if modalities.issuperset(weights):
            figure = Figure("accuracy", weights, _MODALITY.get(frozenset(weights)))
            rows.append(Row("modalities", " + ".join(weights), options.nets[0].name, _SINGLE, "average", (figure,)))
    return rows


def _two_stream(modalities: set[str], published: Sequence[float | None]) -> tuple[Figure, ...]:
    figures = zip(TWO_STREAM.items(), published, strict=True)
    return tuple(
        Figure(column, weights, value) for (column, weights), value in figures if modalities.issuperset(weights)
    )


def _consensus_rows(options: AblationOptions, modalities: set[str]) -> list[Row]:
    rows = []
    for name in options.consensus:
        figures = _two_stream(modalities, _CONSENSUS.get(_PUBLISHED_CONSENSUS.get(name, ""), (None,) * 3))
        rows.append(Row("consensus", name, options.nets[0].name, options.segments, name, figures))
    return [row for row in rows if row.figures]


def _depth_rows(options: AblationOptions, modalities: set[str]) -> list[Row]:
    known = {name.lower(): figures for name, figures in _NETWORK.items()}
    plans = [(net.name, net.name, _SINGLE) for net in options.nets]
    plans.append((f"{options.nets[0].name} + TSN", options.nets[0].name, options.segments))
    rows = []
    for name, net, segments in plans:
        published = known.get(name.lower(), (None,) * 3)
        rows.append(Row("depth", name, net, segments, "average", _two_stream(modalities, published)))
    return [row for row in rows if row.figures]


def make_cells(rows: Sequence[Row], seeds: Sequence[int]) -> list[Cell]:
    """Every run that the rows need, once, ordered by seed, then by row."""
    wanted = (cell for seed in seeds for row in rows for figure in row.figures for cell in row.cells(figure, seed))
    return list(dict.fromkeys(wanted))


def heading(table: str, options: AblationOptions) -> str:
    """The heading of a table."""
    net, segments = options.nets[0].name, options.segments
    net = "BN-Inception" if net == BUILT_IN else net
    return {
        "modalities": f"input modalities ({net}, trained on one snippet a video)",
        "consensus": f"consensus functions ({net}, {segments} segments; rgb 1 : flow 1.5)",
        "depth": f"depth of network (one snippet a video, + TSN: {segments} segments; rgb 1 : flow 1.5)",
    }[table]
