"""The ``pytsn`` command: the table of subcommands, and the place that turns errors into a line and an exit status."""

import argparse
import importlib
import os
import shlex
import sys

from converter.errors import PytsnError
from converter.files import explain_os_error
from pytsn.runtime.stop_signals import interrupt_on_sigterm
from pytsn.runtime.version import __version__

#: subcommand -> module in pytsn.commands; tools/*.py run the same modules
COMMANDS = {
    "convert": "convert",
    "train": "train",
    "finetune": "finetune",
    "ablation": "ablation",
    "verify-parity": "verify_parity",
    "eval-net": "eval_net",
    "eval-scores": "eval_scores",
    "report": "report",
    "build-file-list": "build_file_list",
    "build-of": "build_of",
    "make-prototxt": "make_prototxt",
    "init-flow": "init_flow",
    "flow-preview": "flow_preview",
    "get-models": "get_models",
    "identify": "identify",
    "predict": "predict",
    "features": "features",
    "demo": "demo",
}


def load_command(name: str):
    """The command's module: HELP (str), add_arguments(parser), run(args) -> exit status.

    ``args.run_command`` is the function below, ``args.command_line`` the command as a user types it.
    """
    return importlib.import_module(f"pytsn.commands.{COMMANDS[name]}")


def make_parser(name: str, prog: str) -> argparse.ArgumentParser:
    """The argument parser of one command."""
    module = load_command(name)
    parser = argparse.ArgumentParser(
        prog=prog, description=module.HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    module.add_arguments(parser)
    parser.add_argument("--debug", action="store_true", help="show the full traceback of an error")
    return parser


def run_command(name: str, argv: list[str] | None = None, prog: str | None = None) -> int:
    """Runs one command. Returns its exit status: 0 fine, 1 a check failed, 2 bad input, 130 stopped.

    SIGTERM stops every command as Ctrl-C does. Training commands handle both signals (StopSignals): they write a
    snapshot and return 128 + the signal's number.
    """
    _open_closed_streams()
    args = _parse(make_parser(name, prog or f"pytsn {name}"), argv)
    args.run_command = run_command  # for a command that is made of others (demo)
    args.command_line = shlex.join(["pytsn", name, *(sys.argv[1:] if argv is None else argv)])  # for a report
    try:
        with interrupt_on_sigterm():
            return load_command(name).run(args) or 0
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader (head, less) has gone
        return 0
    except (PytsnError, OSError) as error:
        if args.debug:
            raise
        if isinstance(error, OSError):
            error = explain_os_error(error, error.filename or "input/output")
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parse(parser: argparse.ArgumentParser, argv: list[str] | None) -> argparse.Namespace:
    """The arguments. Where a command takes any number of files, options may stand between them: argparse's usual way
    takes the first group of files alone, its other way all, but it splits an error about missing arguments in two."""
    args, left = parser.parse_known_args(argv)
    return parser.parse_intermixed_args(argv) if left else args


def _open_closed_streams() -> None:
    """Opens /dev/null for a stdout or stderr that was closed at the start (daemons): Python then has None there, which
    progress bars cannot use."""
    for stream in ("stdout", "stderr"):
        if getattr(sys, stream) is None:
            setattr(sys, stream, open(os.devnull, "w"))  # noqa: SIM115 - open as long as the process lives


def _usage() -> str:
    rows = [f"  {name:<16} {load_command(name).HELP.strip().splitlines()[0]}" for name in COMMANDS]
    return "\n".join(["usage: pytsn SUBCOMMAND ...   (pytsn SUBCOMMAND --help tells more)", "", *rows])


def main(argv: list[str] | None = None) -> int:
    """Entry point of the console command ``pytsn``."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(_usage())
        return 0 if argv else 2
    if argv[0] == "--version":
        print(f"pytsn {__version__}")
        return 0
    name = argv[0].replace("_", "-")
    if name not in COMMANDS:
        print(f"error: no subcommand '{argv[0]}'; there are: {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    return run_command(name, argv[1:])
