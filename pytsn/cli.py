"""The ``pytsn`` command: its usage, and which subcommand is meant."""

import sys

from pytsn.commands.dispatch import COMMANDS, load_command, run_command
from pytsn.runtime.version import __version__

__all__ = ["main", "run_command"]


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
