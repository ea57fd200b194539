"""Secrets in addresses: signed queries and logins appear in no line and no file."""

import pytest

from pytsn.cli import main
from pytsn.weights import get_models
from pytsn.weights.addresses import recorded, shown
from pytsn.weights.download import Patience
from tests.waiting import PATIENCE
from tests.weights.weight_files import few_convolutions, small_net
from tests.weights.weight_servers import answer, cut, running_server

NAME = "ucf101_split_1_tsn_rgb_reference_bn_inception.caffemodel"
ONE = ["get-models", "reference", "--dataset", "ucf101", "--split", "1", "--modality", "rgb"]
SECRET = "s3cr3t%2Fsignature=="


@pytest.mark.parametrize(
    ("address", "seen"),
    [
        ("https://h/a/f.v5", "https://h/a/f.v5"),
        ("https://h/f?se=2026-01-01&sig=a%2Fb==&sp=r", "https://h/f?se=***&sig=***&sp=***"),
        ("https://h/f?token", "https://h/f?***"),
        ("https://h/f?a=1;token&b", "https://h/f?a=***;***&***"),
        ("https://me:pass@h:8/f?x=1#token", "https://***@h:8/f?x=***#***"),
        ("https://a@b@h/f", "https://***@h/f"),
        ("https://h/f?next=https://u:p@other/", "https://h/f?next=***"),
        ("http://[::1/x?k=1", "http://[::1/x?k=***"),
        ("folder/what?=#1", "folder/what?=#1"),
        ("", ""),
    ],
)
def test_what_is_shown(address, seen):
    assert shown(address) == seen
    assert set(recorded(address)) == ({"address"} if address == seen else {"address", "address_sha256"})


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setattr("pytsn.weights.known_nets.convolutions", few_convolutions)
    monkeypatch.setattr(get_models, "Patience", lambda **options: Patience(stall=PATIENCE, tries=2, wait=0.001))
    monkeypatch.setattr("pytsn.weights.download.Patience", get_models.Patience)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with running_server() as state:
        state.files[f"/{NAME}"] = small_net(tmp_path / "whole").read_bytes()
        yield state


def run(server, folder, capsys, *more: str, query: str = f"?id=7&sig={SECRET}") -> int:
    """The command; asserts that the secret is in nothing that it said or wrote."""
    status = main([*ONE, "--base_url", f"{server.url}/{query}", "-o", str(folder), *more])
    told = "".join(capsys.readouterr())
    written = b"".join(path.read_bytes() for path in folder.glob("*") if path.suffix == ".json")
    assert SECRET not in told + written.decode()
    assert "s3cr3t" not in told + written.decode()
    return status


def test_a_signed_query_is_sent_and_never_shown(server, tmp_path, capsys):
    folder = tmp_path / "models"
    refusals = [
        answer(403),
        answer(404, b"nothing"),
        answer(409, b"PublicAccessNotPermitted"),
        answer(500),
        answer(302, Location=f"ftp://other/f?sig={SECRET}"),
        answer(302, Location=f"http://other:99999/f?sig={SECRET}"),
        answer(200, b"<html>no</html>"),
        answer(200, b"x", Content_Encoding="br"),
        answer(204),
        answer(200, Content_Length=str(1 << 40)),
    ]
    for refusal in refusals:
        server.plan = [refusal] * 6
        assert run(server, folder, capsys) == 2
    assert run(server, folder, capsys, "--list") == 0
    server.plan = [answer(404), answer(404), cut(100_000), answer(500), answer(500)]
    assert run(server, folder, capsys) == 2
    assert (folder / f"{NAME}.part").stat().st_size == 100_000
    server.plan = [answer(404), answer(404)]
    assert run(server, folder, capsys) == 0
    assert server.log[-1] == (f"/{NAME}?id=7&sig={SECRET}", "bytes=100000-", 206)


def test_the_part_of_another_query_is_not_continued(server, tmp_path, capsys):
    folder = tmp_path / "models"
    server.plan = [answer(404), answer(404), cut(100_000), answer(500), answer(500)]
    run(server, folder, capsys)
    server.plan = [answer(404), answer(404)]
    assert run(server, folder, capsys, query="?id=8") == 0
    assert server.log[-1][1:] == (None, 200)


@pytest.mark.parametrize("base", ["http://me:s3cr3t@host/", "ftp://h/?sig=s3cr3t", "http://[::1/?sig=s3cr3t"])
def test_addresses_that_are_refused_are_not_repeated(base, tmp_path, capsys):
    assert main([*ONE, "--base_url", base, "-o", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: --base_url")
    assert "s3cr3t" not in error
