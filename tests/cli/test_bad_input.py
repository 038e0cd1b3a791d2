"""Bad input: a message that names the field, exit code 2, nothing on standard output, and nothing started.

The tables have each refusal of the command line once; `tests/api/test_bad_input.py` has those of problems in Python.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from hybridloop.data import load_table
from tests.cli.shell_helpers import CommandResult, Shell

H2: str = load_table("problems")["h2"]["fcidump"]
SECRET = "do-not-tell-anyone"
QSHARP = "operation Ansatz(qs : Qubit[], angles : Double[]) : Unit { Ry(angles[0], qs[1]); }\n"
SWEEP = "algorithm: vqe\nproblems: h2\n"

Hybridloop = Callable[..., CommandResult]


def uncoupled_orbitals(count: int) -> str:
    """Return the FCIDUMP of two electrons in so many orbitals that do not interact."""
    lines = [f" &FCI NORB={count},NELEC=2,MS2=0,\n &END"]
    lines += [f" 0.5 {i} {i} {i} {i}" for i in range(1, count + 1)]
    lines += [f" {0.1 * i - 1.0} {i} {i} 0 0" for i in range(1, count + 1)]
    return "\n".join([*lines, " 0.0 0 0 0 0", ""])


@pytest.fixture(autouse=True)
def _on_any_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a preparation out of the journal that takes long, as on a busy machine, and is then refused."""
    monkeypatch.setattr("hybridloop.flows.lifecycle.begin.RECORDED_AFTER_S", 600.0)


def refused(result: CommandResult, home: Path) -> str:
    """Return the message; assert what is common to every refusal."""
    assert result.code == 2
    assert result.out == ""
    assert "Traceback" not in result.err
    assert not home.exists(), "something was started, or written"
    return result.err


# a command with the file in the place of FILE, the file's name and text, and what the refusal says, in one or two parts
FILES: dict[str, tuple[str, ...]] = {
    "integrals cut in a line": ("run vqe FILE", "bad.fcidump", H2[: len(H2) // 2], "problem, line 7: bad:"),
    "no empty orbital": (
        "run vqe FILE --ansatz uccsd",
        "bad.fcidump",
        H2.replace("NELEC= 2", "NELEC= 4"),
        "--ansatz: uccsd has no excitation",
    ),
    "a graph": (
        "run vqe FILE",
        "roads.txt",
        "oslo bergen 4\n",
        "roads: this looks like a graph (edges)",
        "run qaoa takes it",
    ),
    "integrals": (
        "run qaoa FILE",
        "h2.fcidump",
        H2,
        "h2: this looks like a molecule's integrals (FCIDUMP)",
        "run vqe takes it",
    ),
    "a geometry": (
        "run rqaoa FILE",
        "h2.xyz",
        "2\n\nH 0 0 0\nH 0 0 0.7\n",
        "a molecule's geometry",
        "hybridloop molecule FILE.xyz",
    ),
    "settings": ("run vqe FILE", "mine.yaml", "shots: 100\n", "looks like settings (YAML)", "--config FILE"),
    "a circuit": (
        "run adapt FILE",
        "mine.qasm",
        "OPENQASM 3.0;\nqubit[2] q;\n",
        "looks like a circuit",
        "--ansatz FILE",
    ),
    "Q# without its qubits": (
        "run vqe h2 --ansatz FILE",
        "h2.qs",
        QSHARP,
        "num_qubits: the operation's number of qubits is not stated",
    ),
    "an option of Q#": ("run vqe h2 --ansatz FILE,angles=2", "h2.qs", QSHARP, "'angles=2' is no option of a Q# file"),
    "qubits in words": ("run vqe h2 --ansatz FILE,num_qubits=two", "h2.qs", QSHARP, "num_qubits is 'two'"),
    "no YAML": (
        "run vqe h2 --config FILE",
        "mine.yaml",
        "seed: 1\nshots: [1,\n",
        "mine.yaml: line 3: while parsing a flow node expected the node content",
    ),
    "a setting twice": ("run vqe h2 --config FILE", "r.yaml", "shots: 1\nshots: 2\n", "'shots' is there twice"),
    "an alias": ("run vqe h2 --config FILE", "r.yaml", "a: &a [1]\nb: *a\n", "aliases are not taken"),
    "a command of Python": (
        "run vqe h2 --config FILE",
        "r.yaml",
        "a: !!python/object/apply:os.system [ls]\n",
        "python/object/apply:os.system is not taken",
    ),
    "a list of settings": ("run vqe h2 --config FILE", "r.yaml", "- 1\n", "holds no settings by name"),
    "many settings": ("run vqe h2 --config FILE", "r.yaml", "x" * 70_000, "has more than 65,536 bytes"),
    "nested settings": ("run vqe h2 --config FILE", "r.yaml", "[" * 20_000, "--config"),
    "a point": ("sweep FILE", "s.yaml", "algorithm: vqe\nproblems: [h2]\ngrid: {shots: [5, 0]}\n", "point 2: shots"),
    "a key of a sweep": ("sweep FILE", "s.yaml", "algorithm: vqe\nproblem: h2\n", "Did you mean 'problems'?"),
    "a table's format": ("sweep FILE --output table.xlsx", "s.yaml", SWEEP, ".csv or .json"),
    "a table's folder": ("sweep FILE --output no-such-folder/t.csv", "s.yaml", SWEEP, "there is no folder no-such-fol"),
    "sessions of a sweep": ("sweep FILE --max-sessions 0", "s.yaml", SWEEP, "--max-sessions"),
}


@pytest.mark.parametrize("case", FILES)
def test_an_invalid_file_is_refused_with_what_takes_it(
    case: str, run_command: Hybridloop, home: Path, tmp_path: Path
) -> None:
    command, name, text, *complaints = FILES[case]
    (tmp_path / name).write_text(text)
    message = refused(run_command(*command.replace(" FILE", f" {tmp_path / name}").split()), home)
    assert [each for each in complaints if each not in message] == []
    assert "unicode string" not in message  # words of the YAML library


@pytest.mark.claim("Bad input submits nothing")
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


def test_what_is_no_key_of_a_run_is_refused(run_command: Hybridloop) -> None:
    result = run_command("run", "vqe", "h2", "--run-key", "../k")
    assert (result.code, result.out) == (2, "")
    assert "--run-key: '../k' is not a run's key" in result.err


@pytest.mark.parametrize("mapping", ["parity", "jordan-wigner"])
def test_more_qubits_than_the_target_has_are_refused(
    mapping: str, run_command: Hybridloop, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "wide.fcidump").write_text(uncoupled_orbitals(16))
    command = ("run", "vqe", str(tmp_path / "wide.fcidump"), "--target", "ionq.simulator", "--mapping", mapping)
    qubits = {"parity": 30, "jordan-wigner": 32}[mapping]
    assert f"target: the circuit has {qubits} qubits, ionq.simulator has 29" in refused(run_command(*command), home)


# what follows `run vqe h2`, and what the refusal says
OPTIONS = [
    ("--set shotz=100", "shotz: there is no such setting. Did you mean 'shots'?"),
    ("--set failure.retrys=3", "failure.retrys: there is no such setting. Did you mean 'retries'?"),
    ("--set levels=3", "It is a setting of levels."),
    ("--set zzz=3", "There are: seed, target"),
    ("--set shots", "--set: 'shots' is not NAME=VALUE"),
    ("--set shots=many", "shots must be an integer, for example 2000, got 'many'."),
    ("--set shots=[1", "--set shots: while parsing a flow sequence expected"),
    ("--set mapping=bravyi", "mapping must be 'parity' or 'jordan-wigner', got 'bravyi'."),
    ("--set failure=3", "failure must be a mapping of names to values, got 3."),
    ("--set failure=1 --set failure.retries=1", "failure is given as 1 already"),
    ("--set failure=1 --retries 1", "failure is given as 1 already"),
    ("--set max_cost=50", "must be amounts with their units, for example 50USD or 50USD,200HQC, got 50."),
    ("--set max_cost=50EUR", "must be in USD, HQC or eHQC, got '50EUR'."),
    ("--set session_slots=a/b", "--session-slots must match"),
    ("--shots 0", "--shots must be at least 1, got 0."),
    ("--shots many", "--shots"),
    ("--precision 0", "got 0.0."),
    ("--precision nan", "got nan."),
    ("--precision inf", "got inf."),
    ("--seed -1", "got -1."),
    ("--seed 9223372036854775808", "got 9223372036854775808."),
    ("--max-rounds 0", "--max-rounds must be at least 1, got 0."),
    ("--set max_rounds=0", "--max-rounds must be at least 1, got 0."),
    ("--set failure.retries=-1", "--retries must be at least 0, got -1."),
    ("--active-space 2,2 --frozen-core 1", "the active space and the frozen core both choose the occupied orbitals"),
    ("--precision '1 mha'", "--precision must be an energy in hartree, or a number with a unit of Ha,"),
    ("--layers 2", "or choose the hardware-efficient ansatz."),
    ("--set max_rnds=1", "hybridloop: max_rnds: there is no such setting."),
    ("--set max_rnds=1", "Did you mean 'max_rounds'?"),
    ("--gradient-norm 0", "gradient-norm must be above 0.0, got 0.0."),
    ("--ansatz none.qs,num_qubits=2,num_angles=2", "none.qs can't be read"),
    ("--max-jobs 0", "must be at least 1, got 0."),
    ("--max-cost 50_pounds", "got '50_pounds'."),
    ("--max-cost 5HQC --target ionq.qpu.aria-1", "--max-cost: "),
    ("--deadline soon", "deadline must be a duration in seconds, or one such as 90s, 30m, 8h, 1d, got 'soon'."),
    ("--detach-after 0", "--detach-after must be above 0.0, got 0.0."),
    ("--on-lost-job penalize", "penalize needs a penalty"),
    ("--on-lost-job skip --optimizer scipy:cobyla", "--on-lost-job: "),
    ("--config nowhere.yaml", "--config: nowhere.yaml can't be read"),
    ("--target ionq.simulater", "target: 'ionq.simulater' is not a known target"),
    ("--target ionq.simulater", "Did you mean 'ionq.simulator'?"),
    ("--ansatz uccs", "got 'uccs'."),
    ("--ansatz missing.qasm", "or a file of a circuit in OpenQASM 3"),
    ("--active-space 2", "got '2'."),
    ("--initial-point 0.1,x", "got '0.1,x'."),
    ("--frozen-core 2", "frozen-core: 2 of 2 orbitals"),
    ("--mapping bravyi", "--mapping"),
    ("--optimizer adam", "optimizer must be the name of an optimizer, got 'adam'"),
    ("--optimizer trust-regoin", "Did you mean 'trust-region'?"),
    ("--tolerance 0", "got 0.0."),
    ("--gradient-norm nan", "got nan."),
    ("--rounds 3", "--rounds"),
    ("--no-debias", "hybridloop: --no-debias: "),
    ("--resource-id /subscriptions/x", "hybridloop: --resource-id: "),
    ("--workspace=/subscriptions/x", "hybridloop: --workspace: "),
    ("--exclusive-access-budget 400HQC", "--exclusive-access-budget: rigetti.sim.qvm has no exclusive"),
    (
        "--target quantinuum.qpu.h2-1 --exclusive-access-budget 5USD",
        "--exclusive-access-budget: the cap is in USD, jobs on quantinuum.qpu.h2-1 cost HQC",
    ),
    ("--noise-model aria-1", "It is called --provider-option here, such as noise.model=aria-1"),
]
COMMANDS = [
    *((f"run vqe h2 {options}", complaint) for options, complaint in OPTIONS),
    ("run vqe nowhere.fcidump", "problem: nowhere.fcidump: there is no such file"),
    ("run vqe no/where", "problem: no/where: there is no such file"),
    ("run vqe lihh", "problem: there is no file and no built-in problem 'lihh'."),
    ("run vqe lih-frozen", "Did you mean 'lih-frozen-core'"),
    ("run vqe /", "problem: /: it is a folder"),
    (f"run vqe {'x' * 5000}", "File name too long"),
    ("run vqe ''", "problem name must have at least 1 character(s), got ''."),
    ("plan vqe h22", "Did you mean 'h2'?"),
    ("plan vqe h2 --targets ionq.simulater", "Did you mean 'ionq.simulator'?"),
    ("runn", "No such command 'runn'"),
    ("run vqee h2", "No such command 'vqee'"),
    ("run h2", "h2 is a problem, and no algorithm."),
    ("plan petersen --seed 7", "hybridloop plan qaoa petersen"),
    (f"deploy {__file__}", f"hybridloop deploy ALGORITHM {__file__}"),
    ("run vqe", "Missing argument"),
    ("sessions show", "Missing argument"),
    ("sessions show my-session", "valid UUID"),
    ("sessions jobs my-session", "valid UUID"),
    ("sessions close my-session", "valid UUID"),
    ("sessions list --limit 0", "--limit"),
    ("sweep nowhere.yaml", "can't be read"),
    ("init --algorithm qao", "Did you mean 'qaoa'?"),
    ("config qao", "Did you mean 'qaoa'?"),
    ("targets --resource-id rg/mine", "hybridloop: --resource-id: 'rg/mine' is not a resource id"),
    ("targets --workspace rg/mine", "hybridloop: --workspace: 'rg/mine' is not a resource id"),
    ("targets --workspace rg/mine", "/subscriptions/…"),
    ("runs prune --older-than 3", "--older-than must have a unit, for example 3d, got '3'."),
    ("init /no/such/folder/mine.yaml", "FILE: /no/such/folder/mine.yaml can't be written (No such file"),
    ("emulator start --in-memory --state here", "--in-memory: it was given together with --state"),
    ("emulator start --port 70000", "emulator: "),
    # options of other libraries
    ("run qaoa petersen --depth 2", "It is called --layers here"),
    ("plan vqe h2 --warm-start 0.1", "It is called --initial-point here, such as 0.1,-0.2"),
    ("molecule water.xyz --spin 1", "It is called --multiplicity here"),
    ("run qaoa petersen --initial-point 0.1", "initial_point is a setting of vqe"),
]


@pytest.mark.parametrize(("command", "complaint"), COMMANDS)
def test_an_invalid_command_is_refused_in_plain_words(
    command: str, complaint: str, run_command: Hybridloop, home: Path
) -> None:
    assert complaint in refused(run_command(*shlex.split(command)), home)


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
    text: str, command: tuple[str, ...], run_command: Hybridloop, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hybridloop.flows.lifecycle.begin.RECORDED_AFTER_S", 0.0)
    message = refused(run_command(*command, AZURE_QUANTUM_CONNECTION_STRING=text), home)
    assert "AZURE_QUANTUM_CONNECTION_STRING: it is not a connection string" in message
    assert SECRET not in message
