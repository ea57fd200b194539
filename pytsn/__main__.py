"""``python -m pytsn``: the command ``pytsn`` without installing it."""

import sys

from pytsn.cli import main

sys.exit(main())
