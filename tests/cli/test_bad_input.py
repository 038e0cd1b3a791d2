"""Bad input: a message that names the field, exit code 2, nothing on standard output, and nothing started."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hybridloop.data import load_table
from tests.cli.shell_helpers import CommandResult, Shell

H2: str = load_table("problems")["h2"]["fcidump"]
SECRET = "do-not-tell-anyone"

Hybridloop = Callable[..., CommandResult]


def uncoupled_orbitals(count: int) -> str:
    """Return the FCIDUMP of two electrons in so many orbitals that do not interact."""
    lines = [f" &FCI NORB={count},NELEC=2,MS2=0,\n &END"]
    lines += [f" 0.5 {i} {i} {i} {i}" for i in range(1, count + 1)]
    lines += [f" {0.1 * i - 1.0} {i} {i} 0 0" for i in range(1, count + 1)]
    return "\n".join([*lines, " 0.0 0 0 0 0", ""])


def refused(result: CommandResult, home: Path) -> str:
    """Return the message; assert what is common to every refusal."""
    assert result.code == 2
    assert result.out == ""
    assert "Traceback" not in result.err
    assert not home.exists(), "something was started, or written"
    return result.err


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param(H2[: len(H2) // 2], "problem, line 7: bad:", id="cut in the middle of a line"),
        pytest.param(H2.rpartition("\n 0.71")[0] + "\n", "no core energy", id="cut before its last line"),
        pytest.param(H2[:20], "the header has no end", id="cut in its header"),
        pytest.param("", "no known format of a molecule", id="empty"),
        pytest.param(H2.replace("0.6757101548035163", "NaN"), "problem, line 5: bad: the integral is NaN", id="NaN"),
        pytest.param(H2.replace("0.6757101548035163", "inf"), "problem, line 5: bad: the integral is inf", id="inf"),
        pytest.param(H2.replace("NELEC= 2", "NELEC= 3"), "problem: bad: NELEC=3 electrons", id="odd electrons"),
        pytest.param(H2.replace("NELEC= 2", "NELEC= 6"), "problem: bad: NELEC=6", id="too many electrons"),
        pytest.param(H2.replace("NELEC= 2", "NELEC= 4"), "ansatz: uccsd has no excitation", id="no empty orbital"),
        pytest.param(H2.replace("NELEC= 2", "NELEC= 0"), "ansatz: uccsd has no excitation", id="no electron"),
        pytest.param("x" * 300_000, "at most 262,144 are taken", id="too large"),
    ],
)
def test_an_invalid_problem_is_refused(
    text: str, complaint: str, run_command: Hybridloop, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.fcidump").write_text(text)
    assert complaint in refused(run_command("run", "vqe", str(tmp_path / "bad.fcidump")), home)


def test_a_file_that_is_not_text_is_refused(run_command: Hybridloop, home: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.fcidump").write_bytes(bytes(range(256)))
    assert "bad.fcidump: the file is no text" in refused(run_command("run", "vqe", str(tmp_path / "bad.fcidump")), home)


@pytest.mark.parametrize(
    ("algorithm", "name", "text", "complaint", "remedy"),
    [
        ("vqe", "roads.txt", "oslo bergen 4\n", "roads: this looks like a graph (edges)", "run qaoa takes it"),
        ("qaoa", "h2.fcidump", H2, "h2: this looks like a molecule's integrals (FCIDUMP)", "run vqe takes it"),
        ("rqaoa", "h2.xyz", "2\n\nH 0 0 0\nH 0 0 0.7\n", "a molecule's geometry", "hybridloop molecule FILE.xyz"),
        ("vqe", "mine.yaml", "shots: 100\n", "looks like settings (YAML)", "--config FILE"),
        ("adapt", "mine.qasm", "OPENQASM 3.0;\nqubit[2] q;\n", "looks like a circuit", "--ansatz FILE"),
    ],
)
def test_a_file_of_another_format_is_named_with_the_command_that_takes_it(
    algorithm: str,
    name: str,
    text: str,
    complaint: str,
    remedy: str,
    run_command: Hybridloop,
    home: Path,
    tmp_path: Path,
) -> None:
    (tmp_path / name).write_text(text)
    message = refused(run_command("run", algorithm, str(tmp_path / name)), home)
    assert complaint in message
    assert remedy in message


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ("shotz=100", "shotz: there is no such setting. Did you mean 'shots'?"),
        ("failure.retrys=3", "failure.retrys: there is no such setting. Did you mean 'retries'?"),
        ("levels=3", "It is a setting of levels."),
        ("zzz=3", "There are: seed, target"),
        ("shots=many", "shots must be an integer, for example 2000, got 'many'."),
        ("mapping=bravyi", "mapping must be 'parity' or 'jordan-wigner', got 'bravyi'."),
        ("failure=3", "failure must be a mapping of names to values, got 3."),
        ("max_cost=50", "must be amounts with their units, for example 50USD or 50USD,200HQC, got 50."),
        ("max_cost=50EUR", "must be in USD, HQC or eHQC, got '50EUR'."),
        ("session_slots=a/b", "--session-slots must match"),
    ],
)
def test_an_invalid_setting_is_refused_in_plain_words(
    given: str, complaint: str, run_command: Hybridloop, home: Path
) -> None:
    assert complaint in refused(run_command("run", "vqe", "h2", "--set", given), home)


def test_a_settings_file_that_is_no_yaml_is_refused_with_its_line(
    run_command: Hybridloop, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_text("seed: 1\nshots: [1,\n")
    message = refused(run_command("run", "vqe", "h2", "--config", str(tmp_path / "mine.yaml")), home)
    assert "mine.yaml: line 3: while parsing a flow node expected the node content" in message
    assert "unicode string" not in message


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ("run", "vqe", "nosuch"),
        ("run", "vqe", "h2", "--target", "ionq.simulater"),
        ("run", "vqe", "h2", "--target", "ionq.qpu.forte-1", "--max-cost", "50HQC"),
        ("run", "scan", "h2", "nosuch"),
        ("plan", "vqe", "nosuch"),
        ("plan", "vqe", "h2", "--targets", "ionq.simulater"),
    ],
    ids=" ".join,
)
def test_invalid_input_is_refused_without_loading_a_compiler_or_starting_a_server(
    command: tuple[str, ...], shell: Shell, home: Path
) -> None:
    program = (
        "import sys\n"
        "from hybridloop.cli import main\n"
        f"sys.argv = ['hybridloop', *{command!r}]\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as leaving:\n"
        "    print(leaving.code, {'azure', 'prefect', 'qiskit', 'scipy', 'sqlalchemy'} & sys.modules.keys())\n"
    )
    ended = shell.as_new().with_variables(HYBRIDLOOP_HOME=str(home)).run_python("-c", program)
    assert ended.stdout == "2 set()\n", ended.stderr
    assert not home.exists()


@pytest.mark.parametrize(
    ("problem", "complaint"),
    [
        ("nowhere.fcidump", "problem: nowhere.fcidump: there is no such file"),
        ("no/where", "problem: no/where: there is no such file"),
        ("lihh", "problem: there is no file and no built-in problem 'lihh'."),
        ("lih-frozen", "Did you mean 'lih-frozen-core'"),
        ("/", "problem: /: it is a folder"),
        ("x" * 5000, "File name too long"),
        ("", "problem name must have at least 1 character(s), got ''."),
    ],
)
def test_an_unknown_problem_is_refused(problem: str, complaint: str, run_command: Hybridloop, home: Path) -> None:
    assert complaint in refused(run_command("run", "vqe", problem), home)


@pytest.mark.parametrize("mapping", ["parity", "jordan-wigner"])
def test_more_qubits_than_the_target_has_are_refused(
    mapping: str, run_command: Hybridloop, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "wide.fcidump").write_text(uncoupled_orbitals(16))
    command = ("run", "vqe", str(tmp_path / "wide.fcidump"), "--target", "ionq.simulator", "--mapping", mapping)
    qubits = {"parity": 30, "jordan-wigner": 32}[mapping]
    assert f"target: the circuit has {qubits} qubits, ionq.simulator has 29" in refused(run_command(*command), home)


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ("--shots", "0", "got 0."),
        ("--shots", "-1", "got -1."),
        ("--shots", "many", "--shots"),
        ("--precision", "0", "got 0.0."),
        ("--precision", "nan", "got nan."),
        ("--precision", "inf", "got inf."),
        ("--seed", "-1", "got -1."),
        ("--seed", "9223372036854775808", "got 9223372036854775808."),
        ("--max-rounds", "0", "got 0."),
        ("--target", "ionq.simulater", "target: 'ionq.simulater' is not a known target"),
        ("--target", "ionq.simulater", "Did you mean 'ionq.simulator'?"),
        ("--ansatz", "uccs", "got 'uccs'."),
        ("--ansatz", "missing.qasm", "or a file of a circuit in OpenQASM 3"),
        ("--active-space", "2", "got '2'."),
        ("--initial-point", "0.1,x", "got '0.1,x'."),
        ("--frozen-core", "2", "frozen-core: 2 of 2 orbitals"),
        ("--mapping", "bravyi", "--mapping"),
        ("--optimizer", "adam", "optimizer must be the name of an optimizer, got 'adam'"),
        ("--optimizer", "trust-regoin", "Did you mean 'trust-region'?"),
        ("--tolerance", "0", "got 0.0."),
        ("--gradient-norm", "nan", "got nan."),
        ("--rounds", "3", "--rounds"),
    ],
)
def test_an_option_out_of_bounds_is_refused(
    option: str, value: str, complaint: str, run_command: Hybridloop, home: Path
) -> None:
    assert complaint in refused(run_command("run", "vqe", "h2", option, value), home)


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        (("runn",), "No such command 'runn'"),
        (("run", "vqee", "h2"), "No such command 'vqee'"),
        (("run", "h2"), "h2 is a problem, and no algorithm."),
        (("plan", "petersen", "--seed", "7"), "hybridloop plan qaoa petersen"),
        (("deploy", __file__), f"hybridloop deploy ALGORITHM {__file__}"),
        (("run", "vqe"), "Missing argument"),
        (("sessions", "show"), "Missing argument"),
        (("sessions", "show", "my-session"), "valid UUID"),
        (("sessions", "jobs", "my-session"), "valid UUID"),
        (("sessions", "close", "my-session"), "valid UUID"),
        (("sessions", "list", "--limit", "0"), "--limit"),
        (("runs", "prune", "--older-than", "3"), "--older-than must have a unit, for example 3d, got '3'."),
        (("init", "/no/such/folder/mine.yaml"), "FILE: /no/such/folder/mine.yaml can't be written (No such file"),
        (
            ("run", "vqe", "h2", "--exclusive-access-budget", "400HQC"),
            "--exclusive-access-budget: rigetti.sim.qvm has no exclusive",
        ),
        (
            ("run", "vqe", "h2", "--target", "quantinuum.qpu.h2-1", "--exclusive-access-budget", "5USD"),
            "--exclusive-access-budget: the cap is in USD, jobs on quantinuum.qpu.h2-1 cost HQC",
        ),
        (("run", "vqe", "h2", "--set", "shots=[1"), "--set shots: while parsing a flow sequence expected"),
        (("emulator", "start", "--in-memory", "--state", "here"), "--in-memory: it was given together with --state"),
        (("emulator", "start", "--port", "70000"), "emulator: "),
    ],
)
def test_an_invalid_command_is_refused(
    command: tuple[str, ...], complaint: str, run_command: Hybridloop, home: Path
) -> None:
    assert complaint in refused(run_command(*command), home)


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        f"ApiKey={SECRET}",
        f"SubscriptionId=x;ResourceGroupName=y;WorkspaceName=z;ApiKey={SECRET};QuantumEndpoint=http://example.org/;",
        f"SubscriptionId=x;ResourceGroupName=y;WorkspaceName=a b;ApiKey={SECRET};QuantumEndpoint=http://127.0.0.1:9/;",
    ],
)
@pytest.mark.parametrize("command", [("run", "vqe", "h2"), ("targets",), ("sessions", "list")])
def test_an_invalid_connection_string_is_refused_and_not_repeated(
    text: str, command: tuple[str, ...], run_command: Hybridloop, home: Path
) -> None:
    message = refused(run_command(*command, AZURE_QUANTUM_CONNECTION_STRING=text), home)
    assert "AZURE_QUANTUM_CONNECTION_STRING: it is not a connection string" in message
    assert SECRET not in message


@pytest.mark.parametrize(
    ("command", "meant"),
    [
        ("run qaoa petersen --depth 2", "It is called --layers here"),
        ("plan vqe h2 --warm-start 0.1", "It is called --initial-point here, such as 0.1,-0.2"),
        ("run vqe h2 --noise-model aria-1", "It is called --provider-option here, such as noise.model=aria-1"),
        ("molecule water.xyz --spin 1", "It is called --multiplicity here"),
        ("run qaoa petersen --initial-point 0.1", "initial_point is a setting of vqe"),
    ],
)
def test_an_option_of_another_library_is_refused_with_ours(
    command: str, meant: str, run_command: Hybridloop, home: Path
) -> None:
    assert meant in refused(run_command(*command.split()), home)
