"""The folder of files that the pages name, made once, and a copy of it for each page."""

import os
import shutil
from pathlib import Path

import pytest
import torch

from tests.docs.workspace import make_workspace


@pytest.fixture(scope="session")
def user_files(recordings: Path, tmp_path_factory) -> Path:
    return make_workspace(tmp_path_factory.mktemp("user_files"), recordings)


@pytest.fixture
def user_folder(user_files: Path, tmp_path: Path, monkeypatch) -> Path:
    """A user's folder, the current one. Files are hard links: commands replace files, they do not write into them."""
    torch.set_num_threads(1)  # everything here is small: threads would wait for each other more than work
    folder = tmp_path / "user"
    shutil.copytree(user_files, folder, copy_function=os.link)
    monkeypatch.chdir(folder)
    return folder
