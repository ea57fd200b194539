"""SIGTERM ends every command as Ctrl-C does; a wish to stop is noted once, the second signal acts."""

import argparse
import signal

import pytest

from pytsn import cli as dispatch
from pytsn.runtime.stop_signals import StopSignals, interrupt_on_sigterm


@pytest.fixture
def run(monkeypatch):
    """Runs a command whose work is the function given."""

    def run_with(name: str, work) -> int:
        monkeypatch.setattr(dispatch.load_command(name), "run", lambda args: work())
        parser = argparse.ArgumentParser()
        parser.add_argument("--debug", action="store_true")
        monkeypatch.setattr(dispatch, "make_parser", lambda name, prog: parser)
        return dispatch.run_command(name, [])

    return run_with


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("name", dispatch.COMMANDS)
def test_every_command_ends_as_after_ctrl_c(run, capsys, name, number):
    before = signal.getsignal(signal.SIGTERM)
    cleared = []

    def work():
        try:
            signal.raise_signal(number)
        finally:
            cleared.append(name)

    assert run(name, work) == 130
    assert (cleared, capsys.readouterr().err) == ([name], "stopped\n")
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_training_is_asked_once_and_stopped_by_the_second_signal(run, capsys, number):
    """In the same way as train, finetune and ablation do it; a command inside a command (demo) changes nothing."""
    received = []

    def work():
        with StopSignals() as signals:
            signal.raise_signal(number)
            received.append(signals.received)
            signal.raise_signal(number)
            pytest.fail("the second signal did nothing")

    assert run("train", lambda: run("finetune", work)) == 130
    assert received == [number]
    name = signal.Signals(number).name
    assert capsys.readouterr().err == (
        f"{name}: stopping after this iteration and a snapshot; a second signal stops at once\nstopped\n"
    )


def test_an_ignored_sigterm_stays_ignored():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with interrupt_on_sigterm():
            signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)
