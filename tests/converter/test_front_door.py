"""What ``help(converter)`` and ``dir(converter)`` show, and that the names come at first use."""

import subprocess
import sys

import pytest

import converter


def test_help_opens_with_every_public_name():
    for name in converter.__all__:
        assert f"``{name}" in converter.__doc__
    assert dir(converter) == sorted(converter.__all__)


def test_every_public_name_is_there():
    for name in converter.__all__:
        assert getattr(converter, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'load_nets'"):
        _ = converter.load_nets


def test_importing_the_package_does_not_import_torch():
    code = "import converter, sys; converter.read_net; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
