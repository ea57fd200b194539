"""The commands behind ``pytsn SUBCOMMAND`` and ``tools/*.py``: one module each, with HELP, add_arguments and run.

Modules import torch and other heavy packages inside ``run``, so that ``--help`` and argument errors appear at once.
"""
