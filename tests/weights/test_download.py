"""Downloads from a server that stalls, cuts, forgets, lies and changes its mind."""

import errno
import json
import os
import random
import shutil
from http.client import HTTPResponse

import pytest

from converter.errors import PytsnError
from pytsn.weights import download_errors
from pytsn.weights.download import HostGone, NotThere, Patience, copy, fetch
from pytsn.weights.resume import PartFile
from tests.waiting import PATIENCE
from tests.weights.weight_servers import answer, cut, running_server, serve, stall, time_out_at_once

BODY = random.Random(7).randbytes(300_000)
HURRY = Patience(stall=PATIENCE, tries=3, wait=0.001)
ONCE = Patience(stall=PATIENCE, tries=1, wait=0.001)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with running_server() as state:
        state.files["/f"] = BODY
        yield state


@pytest.fixture
def part(server, tmp_path):
    return PartFile(tmp_path / "f.caffemodel", f"{server.url}/f")


def get(part, patience=HURRY):
    seen = []
    fetch(part.address, part, patience, lambda done, size: seen.append((done, size)))
    return seen


def again(part):
    """The part as the next run of the command finds it."""
    return PartFile(part.target, part.address)


def asked(server):
    return [wanted for _, wanted, _ in server.log]


def test_a_good_server_is_asked_once(server, part):
    seen = get(part)
    assert part.path.read_bytes() == BODY
    assert server.log == [("/f", None, 200)]
    assert seen[0] == (0, len(BODY))
    assert seen[-1] == (len(BODY), len(BODY))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_cut_connections_go_on_where_they_stopped(server, part, monkeypatch):
    monkeypatch.setattr(HTTPResponse, "read1", time_out_at_once(HTTPResponse.read1))
    server.plan = [cut(100_000), cut(50_000), answer(503), stall(1)]
    get(part)
    assert part.path.read_bytes() == BODY
    assert asked(server) == [None, "bytes=100000-", "bytes=150000-", "bytes=150000-", "bytes=150001-"]


def test_progress_of_any_size_renews_the_patience(server, part):
    server.plan = [cut(1000) for _ in range(20)]  # far more than HURRY's three tries
    get(part)
    assert part.path.read_bytes() == BODY


def test_a_later_run_goes_on(server, part):
    server.plan = [cut(100_000)]
    with pytest.raises(PytsnError, match=r"100,000 bytes are kept in .*f.caffemodel.part, run again"):
        get(part, ONCE)
    get(again(part))
    assert part.path.read_bytes() == BODY
    assert asked(server) == [None, "bytes=100000-"]
    get(again(part))  # whole already: nobody is asked
    assert len(server.log) == 2


@pytest.mark.parametrize("etag", ["weak", None])
def test_without_a_strong_etag(server, part, etag):
    server.etag = etag
    server.plan = [cut(100_000)]
    get(part)
    assert part.path.read_bytes() == BODY
    # Last-Modified stands in for a weak ETag; the server that sends neither cannot be trusted with a range
    assert asked(server) == [None, "bytes=100000-" if etag else None]


def test_a_server_that_ignores_ranges_starts_again(server, part):
    server.ranges = False
    server.plan = [cut(100_000)]
    seen = get(part)
    assert part.path.read_bytes() == BODY
    assert [status for *_, status in server.log] == [200, 200]
    assert (0, len(BODY)) in seen[2:]  # the bar goes back to the start


def test_a_server_that_always_starts_again_and_cuts_is_given_up(server, part):
    server.ranges = False
    server.plan = [cut(100_000) for _ in range(9)]
    with pytest.raises(PytsnError, match="ended after 100,000 of 300,000 bytes, 3 times in a row"):
        get(part)
    assert len(server.log) == 3


def test_bytes_of_two_versions_are_never_joined(server, part):
    server.plan = [cut(100_000)]
    with pytest.raises(PytsnError):
        get(part, ONCE)
    server.files["/f"] = other = bytes(reversed(BODY))
    get(again(part))
    assert part.path.read_bytes() == other


def test_a_server_that_ignores_if_range_is_found_out(server, part):
    def liar(handler, state):  # the rest of another version, under its own ETag
        body = bytes(reversed(BODY))
        answer(206, body[100_000:], Content_Range=f"bytes 100000-{len(body) - 1}/{len(body)}", ETag=state.tag(body))(
            handler, state
        )

    server.plan = [cut(100_000), liar]
    get(part)
    assert part.path.read_bytes() == BODY


@pytest.mark.parametrize("span", ["bytes 0-299999/300000", "bytes 100000-299999/300001", "nonsense", "bytes */300000"])
def test_a_range_that_was_not_asked_for_is_refused(server, part, span):
    server.plan = [cut(100_000), answer(206, BODY[100_000:], Content_Range=span)]
    get(part)
    assert part.path.read_bytes() == BODY


def test_a_part_longer_than_the_file_starts_again(server, part):
    server.plan = [cut(100_000)]
    with pytest.raises(PytsnError):
        get(part, ONCE)
    with open(part.path, "ab") as file:
        file.write(bytes(len(BODY)))
    get(again(part))
    assert part.path.read_bytes() == BODY


def test_416_starts_again(server, part):
    server.plan = [cut(100_000), answer(416)]
    get(part)
    assert part.path.read_bytes() == BODY


@pytest.mark.parametrize(
    "record", ["", "[]", "{", '{"address": "http://elsewhere/f", "size": 3, "etag": "x"}', "[" * 99999]
)
def test_a_record_that_says_nothing_starts_again(server, part, record):
    part.path.write_bytes(b"old")
    part.path.with_name("f.caffemodel.part.json").write_text(record)
    get(again(part))
    assert part.path.read_bytes() == BODY
    assert asked(server) == [None]


def test_a_record_with_values_of_other_types(server, part):
    part.path.write_bytes(b"old")
    record = {"address": part.address, "size": "3", "etag": ["a"], "modified": 7}
    part.path.with_name("f.caffemodel.part.json").write_text(json.dumps(record))
    get(again(part))
    assert part.path.read_bytes() == BODY


def test_no_length_is_believed_until_the_connection_ends(server, part):
    server.lengths = False
    assert get(part)[-1] == (len(BODY), None)
    assert part.path.read_bytes() == BODY


def test_a_stalling_server_is_given_up(server, part):
    """By the clock; where that runs out before an answer begins, the outcome is the same."""
    server.plan = [stall(1000)] + [stall(0)] * 2
    with pytest.raises(PytsnError, match=r"nothing came for 0.3 s, 3 times"):
        get(part, Patience(stall=0.3, tries=3, wait=0.001))


REFUSALS = {
    404: (NotThere, "no such file there"),
    410: (NotThere, "gone"),
    403: (NotThere, "access denied"),
    401: (NotThere, "access denied"),
    409: (NotThere, "refused"),
    418: (NotThere, "refused"),
}


@pytest.mark.parametrize("code", REFUSALS)
def test_refusals_are_not_tried_again(server, part, code):
    server.plan = [answer(code, b"<Error>no</Error>")]
    kind, words = REFUSALS[code]
    with pytest.raises(kind, match=words):
        get(part)
    assert len(server.log) == 1


def test_an_account_that_is_closed_is_the_end_of_the_host(server, part):
    server.plan = [answer(409, b"<?xml version='1.0'?><Error><Code>PublicAccessNotPermitted</Code></Error>")]
    said = r"no longer offers its files to the public \(HTTP 409.*PublicAccessNotPermitted"
    with pytest.raises(HostGone, match=said):
        get(part)


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
def test_server_errors_are_tried_again(server, part, code):
    server.plan = [answer(code)] * 2
    get(part)
    assert part.path.read_bytes() == BODY


def test_server_errors_for_ever(server, part):
    server.plan = [answer(500)] * 9
    with pytest.raises(PytsnError, match="HTTP 500") as caught:
        get(part)
    assert not isinstance(caught.value, (HostGone, NotThere))
    assert len(server.log) == 3


@pytest.mark.parametrize("page", [b"<!DOCTYPE html><html><head><title>Sign in</title>", b"<?xml version='1.0'?><a/>"])
def test_a_page_instead_of_the_file(server, part, page):
    server.plan = [answer(200, page, Content_Type="text/html")]
    with pytest.raises(NotThere, match=r"instead of the file came this: (HTML page \('Sign in'\)|XML answer)"):
        get(part)


def test_compressed_answers_are_refused(server, part):
    server.plan = [answer(200, b"xx", Content_Encoding="gzip")]
    with pytest.raises(NotThere, match="comes compressed"):
        get(part)


def test_redirects_are_followed_but_not_to_files(server, part, tmp_path):
    server.plan = [answer(302, Location=f"{server.url}/f"), serve]
    get(part)
    assert part.path.read_bytes() == BODY
    (tmp_path / "secret").write_text("secret")
    for target in (f"file://{tmp_path}/secret", "ftp://127.0.0.1/f", "data:,x"):
        other = PartFile(tmp_path / "g", f"{server.url}/g")
        server.plan = [answer(302, Location=target)]
        with pytest.raises(NotThere):
            get(other)
        assert not other.path.exists()


def test_nobody_listens(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with running_server() as state:
        address = f"{state.url}/f"
    with pytest.raises(HostGone, match=r"no connection to 127\.0\.0\.1: Connection refused, 3 times"):
        get(PartFile(tmp_path / "f", address))


def test_unknown_hosts_and_bad_certificates():
    import socket
    import ssl

    unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    found = download_errors.connection_trouble("https://gone.example/f", unknown, 1)
    assert isinstance(found, HostGone)
    assert "no host 'gone.example' is known (DNS" in str(found)
    busy = download_errors.connection_trouble("https://gone.example/f", socket.gaierror(socket.EAI_AGAIN, "busy"), 1)
    assert isinstance(busy, download_errors.Trouble)
    assert not busy.reached
    expired = ssl.SSLCertVerificationError(1, "x")
    expired.verify_message = "certificate has expired"
    found = download_errors.connection_trouble("https://old.example/f", expired, 1)
    assert isinstance(found, HostGone)
    assert "no valid certificate (certificate has expired)" in str(found)


def test_a_disk_without_room_is_said_before_anything_comes(server, part, monkeypatch):
    usage = shutil.disk_usage(".")._replace(free=200_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(PytsnError, match="disk is full: 300,000 bytes are to come, 200,000 are free"):
        get(part)


def test_a_disk_that_fills_up_keeps_what_came(server, part, monkeypatch):
    real = PartFile.open

    class Full:
        def __init__(self, file):
            self.file, self.tell = file, file.tell

        def write(self, data):
            room = 150_000 - self.file.tell()
            if not room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return self.file.write(data[: min(room, 1000)])  # less than it was given, as write() may

        def __enter__(self):
            return self

        def __exit__(self, *args):
            self.file.close()

        close = __exit__

    monkeypatch.setattr(PartFile, "open", lambda self, append=True: Full(real(self, append)))
    with pytest.raises(PytsnError, match=r"disk is full; 150,000 bytes are kept in .*part: make room and run again"):
        get(part)
    monkeypatch.undo()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    get(again(part))
    assert part.path.read_bytes() == BODY
    assert asked(server)[1] == "bytes=150000-"


def test_endless_files_end(server, part, monkeypatch):
    monkeypatch.setattr("pytsn.weights.resume.LARGEST", 250_000)
    with pytest.raises(PytsnError, match="no caffemodel has more than"):
        get(part)
    server.lengths = False
    with pytest.raises(PytsnError, match="that is no caffemodel"):
        get(again(part))


def test_copying_a_local_file(tmp_path):
    (tmp_path / "source").write_bytes(BODY)
    part, seen = PartFile(tmp_path / "f", str(tmp_path / "source")), []
    copy(tmp_path / "source", part, lambda done, size: seen.append((done, size)))
    assert part.path.read_bytes() == BODY
    assert seen[-1] == (len(BODY), len(BODY))
    part.move_to(tmp_path / "f")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f", "source"]
    with pytest.raises(PytsnError, match="no such file"):
        copy(tmp_path / "nothing", part, lambda done, size: None)
