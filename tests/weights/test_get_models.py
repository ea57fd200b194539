"""`pytsn get-models` against a local server and a local folder: what ends up in place, and what does not."""

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest

from converter.errors import PytsnError
from pytsn.cli import main
from pytsn.runtime.locks import hold_lock
from pytsn.weights.download import Patience
from pytsn.weights.get_models import Getter, Outcome, Wanted
from pytsn.weights.model_sources import sources
from pytsn.weights.released_models import RELEASED
from pytsn.weights.resume import PartFile
from tests.places import ROOT
from tests.waiting import PATIENCE
from tests.weights.weight_files import few_convolutions, small_net
from tests.weights.weight_servers import answer, cut, running_server

NAME = "ucf101_split_1_tsn_rgb_reference_bn_inception.caffemodel"
ONE = ["--dataset", "ucf101", "--split", "1", "--modality", "rgb"]
HURRY = Patience(stall=PATIENCE, tries=2, wait=0.001)


@pytest.fixture(autouse=True)
def small_nets(monkeypatch):
    monkeypatch.setattr("pytsn.weights.known_nets.convolutions", few_convolutions)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture(scope="module")
def nets(tmp_path_factory) -> dict[tuple[int | None, int], bytes]:
    """(classes, channels) -> a caffemodel's bytes."""
    folder = tmp_path_factory.mktemp("nets")
    shapes = [(classes, channels) for classes in (101, 51, None) for channels in (3, 10)]
    return {shape: small_net(folder / "net.caffemodel", *shape).read_bytes() for shape in shapes}


@pytest.fixture
def server(nets):
    """The original's host with all fourteen files in place."""
    with running_server() as state:
        for kind in RELEASED.values():
            for file in kind:
                state.files[f"/{file.address}"] = nets[file.promise.classes, file.promise.channels]
        yield state


class Run:
    """get-models into ``folder``; the lines it said."""

    def __init__(self, folder: Path, base: str) -> None:
        self.folder, self.base, self.lines = folder, base, []

    def __call__(self, kind="reference", dataset="ucf101", split=1, modality="rgb") -> Outcome:
        self.lines.clear()
        return Getter(self.folder, self.lines.append, patience=HURRY).get(
            Wanted(kind, dataset, split, modality), self.base
        )

    @property
    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture
def run(server, tmp_path) -> Run:
    return Run(tmp_path / "models", server.url)


def test_addresses_are_those_of_the_originals_scripts():
    """Written out by hand from scripts/get_reference_models.sh and scripts/get_init_models.sh."""
    host = "https://yjxiong.blob.core.windows.net"
    expected = {
        f"{data}_split_{split}_tsn_{kind}_reference_bn_inception.caffemodel": f"{host}/tsn-reference-models/"
        f"{data}_split_{split}_tsn_{kind}_reference_bn_inception.caffemodel.v5"
        for data in ("ucf101", "hmdb51")
        for kind in ("rgb", "flow")
        for split in (1, 2, 3)
    }
    expected["bn_inception_rgb_init.caffemodel"] = f"{host}/tsn-init/bn_inception_rgb_init.caffemodel"
    expected["bn_inception_flow_init.caffemodel"] = f"{host}/tsn-init/bn_inception_flow_init.caffemodel"
    assert {file.name: sources(file)[0] for kind in RELEASED.values() for file in kind} == expected


def test_all_files_come_once(run, server, nets):
    outcome = run(dataset=None, split=None, modality=None)
    assert (len(outcome.fetched), outcome.present, outcome.failed, outcome.status) == (12, [], [], 0)
    assert run.names == sorted(file.name for file in RELEASED["reference"])
    for file in RELEASED["reference"]:
        assert (run.folder / file.name).read_bytes() == nets[file.promise.classes, file.promise.channels]
    outcome = run(dataset=None, split=None, modality=None)
    assert (len(outcome.present), outcome.fetched, len(server.log)) == (12, [], 12)
    assert all(line.startswith("present: ") and line.endswith("is intact") for line in run.lines)


def test_init_nets_need_no_classifier(run):
    assert run("init", None, None, None).status == 0
    assert run.names == ["bn_inception_flow_init.caffemodel", "bn_inception_rgb_init.caffemodel"]


def test_an_interrupted_download_goes_on_in_the_next_run(run, server):
    server.plan = [cut(100_000), answer(500), answer(500)]
    assert run().status == 2
    assert run.names == [f"{NAME}.part", f"{NAME}.part.json"]
    assert run().status == 0
    assert run.names == [NAME]
    assert server.log[-1][1] == "bytes=100000-"


WRONG = {
    "another dataset's": (lambda nets: nets[51, 3], "ucf101 has 101 classes, the net scores 51"),
    "another modality's": (lambda nets: nets[101, 10], "rgb nets read 3 channels, this one 10"),
    "without classifier": (lambda nets: nets[None, 3], "it has no score layer"),
    "cut short": (lambda nets: nets[101, 3][:-5000], "cut short inside layer 'fc-action'"),
    "cut between layers": (lambda nets: nets[101, 3][:50_000], "cut short inside layer"),
    "zeros at the end": (lambda nets: nets[101, 3][:-90_000] + bytes(90_000), "fc-action"),
    "empty": (lambda nets: b"", "empty file"),
    "no caffemodel": (lambda nets: b"\x1f\x8b" + bytes(999), "gzip archive"),
    "nothing known": (lambda nets: b"\xff" * 999, "no weights"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_not_the_file_is_never_put_in_place(run, server, nets, case):
    spoil, words = WRONG[case]
    server.files[f"/tsn-reference-models/{NAME}.v5"] = body = spoil(nets)
    outcome = run()
    assert (outcome.failed, outcome.status) == ([NAME], 2)
    assert run.names == [f"{NAME}.bad"]
    assert (run.folder / f"{NAME}.bad").read_bytes() == body
    assert run.lines[0].startswith("failed: ")
    assert words in run.lines[0]
    server.files[f"/tsn-reference-models/{NAME}.v5"] = nets[101, 3]
    assert run().status == 0
    assert (run.folder / NAME).read_bytes() == nets[101, 3]


def test_an_error_page_is_not_kept(run, server):
    server.files[f"/tsn-reference-models/{NAME}.v5"] = b"<html><title>Site not found</title>"
    assert run().status == 2
    assert "HTML page ('Site not found')" in run.lines[0]
    assert not any(name.endswith(".bad") for name in run.names)


def test_a_damaged_file_in_place_is_kept_until_its_successor_is_checked(run, server, nets):
    run.folder.mkdir()
    (run.folder / NAME).write_bytes(nets[101, 3][:-1000])
    server.plan = [answer(404)] * 3
    assert run().status == 2
    assert (run.folder / NAME).read_bytes() == nets[101, 3][:-1000]
    assert run().status == 0
    assert (run.folder / NAME).read_bytes() == nets[101, 3]
    assert (run.folder / f"{NAME}.bad").read_bytes() == nets[101, 3][:-1000]


def test_some_missing_files_do_not_stop_the_others(run, server):
    del server.files[f"/tsn-reference-models/{NAME}.v5"]
    outcome = run(split=None, modality=None)
    assert (outcome.failed, len(outcome.fetched), outcome.status) == ([NAME], 5, 1)


def test_a_host_that_is_gone_is_asked_once(run, server):
    server.plan = [answer(409, b"<Error><Code>PublicAccessNotPermitted</Code></Error>")]
    outcome = run(dataset=None, split=None, modality=None)
    assert (len(outcome.failed), outcome.status, len(server.log)) == (12, 2, 1)
    assert len(run.lines) == 1
    assert "no longer offers its files to the public" in run.lines[0]


def test_a_host_that_is_gone_leaves_what_is_there(run, server):
    run(split=None)
    (run.folder / NAME).unlink()
    server.plan = [answer(409, b"AccountIsDisabled")]
    outcome = run(split=None)
    assert (outcome.failed, len(outcome.present), outcome.status) == ([NAME], 2, 1)


@pytest.mark.parametrize("place", [f"tsn-reference-models/{NAME}.v5", f"{NAME}.v5", NAME])
def test_a_folder_or_mirror_may_hold_the_files_in_three_ways(run, server, nets, tmp_path, place):
    mirror = tmp_path / "mirror folder"
    (mirror / place).parent.mkdir(parents=True)
    (mirror / place).write_bytes(nets[101, 3])
    for base in (str(mirror), mirror.as_uri()):
        run.base = base
        assert run().status == 0
        assert run.names == [NAME]
        (run.folder / NAME).unlink()
    server.files = {f"/a/b/{place}": nets[101, 3]}
    run.base = f"{server.url}/a/b/?key=1"
    assert run().status == 0
    assert all(path.endswith("?key=1") for path, *_ in server.log)


def test_what_a_folder_lacks(run, tmp_path):
    run.base = str(tmp_path)
    assert run().status == 2
    assert run.lines[0].endswith("no such file (3 names were tried)")


@pytest.mark.parametrize(
    "base",
    [
        "ftp://host/x",
        "data:,x",
        "http://",
        "http://user:secret@host/",
        "http://host:99999/",
        "http://[::1/x",
        "file://[x/y",
        "file://host/x",
        "/no/such",
    ],
)
def test_addresses_of_another_kind_are_refused(base, tmp_path, capsys):
    assert main(["get-models", "reference", *ONE, "--base_url", base, "-o", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: --base_url")
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_wanted_files():
    assert len(Wanted("reference").files()) == 12
    assert [file.name for file in Wanted("reference", "ucf101", 1, "rgb").files()] == [NAME]
    assert [file.modality for file in Wanted("init", modality="flow").files()] == ["flow"]
    with pytest.raises(PytsnError, match="belong to no dataset or split"):
        Wanted("init", "ucf101")
    with pytest.raises(PytsnError, match="no released file of dataset ucf101, split 4"):
        Wanted("reference", "ucf101", 4)
    with pytest.raises(PytsnError, match="one of reference, init"):
        Wanted("kinetics")


def _hold(path, ready, done):
    with hold_lock(path):
        ready.set()
        done.wait(PATIENCE)


def test_two_processes_do_not_fetch_one_file(run):
    run.folder.mkdir()
    spawn = multiprocessing.get_context("spawn")
    ready, done = spawn.Event(), spawn.Event()
    other = spawn.Process(target=_hold, args=(str(run.folder / f"{NAME}.lock"), ready, done))
    other.start()
    try:
        assert ready.wait(PATIENCE)
        assert run().status == 2
        assert "another process is fetching it" in run.lines[0]
    finally:
        done.set()
        other.join()
    assert run().status == 0


def test_the_part_of_another_source_is_not_continued(run, server, nets, tmp_path):
    server.plan = [cut(100_000), answer(404)]
    run()
    assert PartFile(run.folder / NAME, sources(RELEASED["reference"][0], server.url)[0]).length == 100_000
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / NAME).write_bytes(nets[101, 3])
    run.base = str(mirror)
    assert run().status == 0
    assert run.names == [NAME]


def test_the_command_says_what_it_did(server, tmp_path, capsys):
    arguments = ["get-models", "reference", *ONE, "--base_url", server.url, "-o", str(tmp_path)]
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == "0 present, 1 fetched, 0 failed"
    assert err == ""  # no bar where there is no terminal
    assert main(arguments) == 0
    server.files.clear()
    assert main([*arguments[:-2], "-o", str(tmp_path / "other")]) == 2
    out, err = capsys.readouterr()
    assert "no such file there (HTTP 404" in err
    assert f"missing: {NAME}" in err
    assert "pytsn identify FILE" in err
    assert "--base_url FOLDER" in err


def test_list_prints_addresses_and_fetches_nothing(tmp_path, capsys):
    assert main(["get-models", "init", "--list", "-o", str(tmp_path / "out")]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows == [[file.name, sources(file)[0]] for file in RELEASED["init"]]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments", [["kinetics"], ["reference", "--split", "4"], [], ["init", "--timeout", "x"]])
def test_wrong_arguments(arguments):
    with pytest.raises(SystemExit) as caught:
        main(["get-models", *arguments])
    assert caught.value.code == 2


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf"])
def test_wrong_timeouts(seconds, capsys):
    assert main(["get-models", "init", "--timeout", seconds]) == 2
    assert "--timeout" in capsys.readouterr().err


def test_the_command_needs_no_torch(tmp_path):
    """Someone may fetch weights before installing anything heavy; and it starts in a blink."""
    code = (
        "import sys; from pytsn.cli import main; main(['get-models', 'init', '--base_url', '.']);"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "False"
