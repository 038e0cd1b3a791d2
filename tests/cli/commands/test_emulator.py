"""`hybridloop emulator start`: its output is enough to connect, and Ctrl-C is its normal end."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.shell_helpers import CommandResult, Shell
from tests.waiting import PATIENCE_S


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_output_is_enough_to_connect(
    number: signal.Signals, shell: Shell, run_command: Callable[..., CommandResult]
) -> None:
    with shell.start("emulator", "start", "--in-memory", "--port", "0") as service:
        assert service.stdout is not None
        assert service.stderr is not None
        try:
            assert service.stdout.readline().startswith("listening on http://127.0.0.1:")
            text = next(line.strip() for line in service.stdout if line.startswith("    SubscriptionId="))
            targets = run_command("targets", "--json", AZURE_QUANTUM_CONNECTION_STRING=text)
        finally:
            service.send_signal(number)
        assert service.wait(timeout=PATIENCE_S) == 0
        assert service.stderr.read() == ""
    assert "ionq.simulator" in [row["target"] for row in json.loads(targets.out)]


def test_a_port_that_is_taken_is_an_error_that_names_the_option(run_command: Callable[..., CommandResult]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run_command("emulator", "start", "--in-memory", "--port", str(port))
    assert (result.code, result.out) == (1, "")
    assert f"port {port} can't be used" in result.err
    assert "--port" in result.err


def test_a_folder_that_cannot_be_used_is_an_error_that_names_it(
    run_command: Callable[..., CommandResult], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    result = run_command("emulator", "start", "--port", "0", "--state", str(tmp_path / "file"))
    assert (result.code, result.out) == (1, "")
    assert str(tmp_path / "file") in result.err
    assert "Traceback" not in result.err
