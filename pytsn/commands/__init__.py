"""The commands behind ``pytsn SUBCOMMAND`` and ``tools/*.py``: one module each, with HELP, add_arguments and run.

Modules import torch and the like inside ``run``, so that ``--help`` and wrong arguments answer at once.
"""
