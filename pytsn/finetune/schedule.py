"""Makes the SolverParameter for pytsn/training/solver.py and the training loop, from epochs or a solver file."""

from converter import caffe_tsn_pb2 as pb
from converter.errors import PytsnError
from converter.proto import read_solver
from pytsn.data.modalities import Modality
from pytsn.finetune.options import FinetuneOptions
from pytsn.models.training_settings import RELEASED_BATCH, released_schedule
from pytsn.training.learning_rate import learning_rate, next_step
from pytsn.training.overrides import override_solver
from pytsn.training.solver import check_solver

#: the solver file's fields about learning, which are used; nets, lists and files come from the command line
_RATE = ("base_lr", "lr_policy", "gamma", "power", "stepsize", "stepvalue")
_RULE = ("momentum", "weight_decay", "regularization_type", "clip_gradients", "type", "solver_type", "delta")
_COURSE = ("max_iter", "iter_size", "display", "average_loss", "test_interval", "test_initialization", "snapshot")
_FIELDS = (*_RATE, *_RULE, *_COURSE, "random_seed")
_LINES = 20  # display and average_loss of the released solvers
_SPOKEN_DROPS = 6
_MOST_UPDATES = 2**31 - 1  # max_iter is an int32


def plan_schedule(options: FinetuneOptions, row: Modality, videos: int, world: int) -> pb.SolverParameter:
    """The solver of a run over ``videos`` training videos in ``world`` processes, with ``--set`` applied.

    Without a solver file: SGD as in the released solvers, epochs converted to updates, a validation and a checkpoint
    each epoch. Raises PytsnError for invalid settings.
    """
    solver = _from_file(options) if options.solver else _from_epochs(options, row, videos, world)
    if options.seed is not None:
        solver.random_seed = options.seed
    override_solver(solver, options.overrides)
    source = options.solver or "the schedule"
    if solver.max_iter < 1:
        raise PytsnError(f"{source}: max_iter must be above 0, found {solver.max_iter}")
    try:
        check_solver(solver)
    except PytsnError as error:
        raise PytsnError(f"{source}: {error}") from None
    epoch = max(1, round(videos / effective_batch(options, solver, world)))
    solver.test_interval = solver.test_interval or epoch
    solver.snapshot = solver.snapshot or solver.test_interval
    return solver


def effective_batch(options: FinetuneOptions, solver: pb.SolverParameter, world: int) -> int:
    """Videos per update."""
    return options.batch_size * solver.iter_size * world


def clip_on(options: FinetuneOptions) -> str:
    """What clip_gradients applies to: the sum over iter_size as in Caffe if there is a solver file, else the mean, so
    that --accumulate changes only the memory use."""
    return options.clip_on or ("sum" if options.solver else "mean")


def _from_file(options: FinetuneOptions) -> pb.SolverParameter:
    assert options.solver is not None  # or the schedule is from epochs
    found, solver = read_solver(options.solver), pb.SolverParameter()
    for name in _FIELDS:
        value = getattr(found, name)
        if hasattr(value, "extend"):
            getattr(solver, name).extend(value)
        elif found.HasField(name):
            setattr(solver, name, value)
    if options.accumulate is not None:
        solver.iter_size = options.accumulate
    return solver


def _from_epochs(options: FinetuneOptions, row: Modality, videos: int, world: int) -> pb.SolverParameter:
    batch = options.batch_size * world
    accumulate = options.accumulate or max(1, round(RELEASED_BATCH / batch))
    updates = videos / (batch * accumulate)  # of an epoch
    released = released_schedule(row)
    epochs = options.epochs or released.epochs
    max_iter, drops = _whole(epochs * updates, "epochs"), options.lr_steps
    if drops is None:  # as in the released schedule, scaled to this length
        drops = tuple(step / released.epochs * epochs for step in released.lr_steps)
    return pb.SolverParameter(
        base_lr=options.lr or released.base_lr,
        lr_policy="multistep",
        gamma=0.1,
        stepvalue=[_whole(drop * updates, "lr_steps") for drop in drops],
        max_iter=max_iter,
        iter_size=accumulate,
        momentum=0.9,
        weight_decay=0.0005,
        clip_gradients=released.clip_gradients,
        display=_LINES,
        average_loss=_LINES,
        test_initialization=False,
    )


def _whole(updates: float, option: str) -> int:
    if not updates < _MOST_UPDATES:  # also true for infinity and nan
        raise PytsnError(f"--{option}: that is {updates:g} updates: fewer than 2^31 can be counted")
    return max(1, round(updates))


def rate_text(solver: pb.SolverParameter) -> str:
    """The learning rates of a schedule: ``0.001, 0.0001 from update 1500``, or the first and last if there are many."""
    step = 0
    rates: list[tuple[int, float]] = []
    for iteration in range(solver.max_iter):
        step = next_step(solver, iteration, step)
        rate = learning_rate(solver, iteration, step)
        if not rates or rate != rates[-1][1]:
            rates.append((iteration, rate))
    if len(rates) > _SPOKEN_DROPS:
        return f"{rates[0][1]:.3g} to {rates[-1][1]:.3g} ({solver.lr_policy})"
    later = [f"{rate:.3g} from update {iteration}" for iteration, rate in rates[1:]]
    return ", ".join([f"{rates[0][1]:.3g}", *later])
