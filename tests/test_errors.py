"""Error tree: every error can be pickled without loss, and its message shows all its facts."""

import pickle

import pytest

from hybridloop import errors
from hybridloop.errors import HybridloopError

EXAMPLES: list[HybridloopError] = [
    errors.InputError("target", "there is no target 'ionc'", "Did you mean 'ionq'?"),
    errors.CompilationStopped("program", "the compilation was stopped after 60 s of CPU time", "Look for a loop."),
    errors.InvalidValue("shots", "must be at least 1, got 0"),
    errors.UnknownOption("shots", "the estimator has no such option", "Give precision."),
    errors.ProblemError("h2.fcidump", 7, "the line is cut", "Write it again."),
    errors.ProblemError("h2.fcidump", None, "it is empty", "Write it again."),
    *(
        kind("it broke", "Nothing is lost.", "Try again.")
        for kind in (
            errors.ServiceError,
            errors.AccessDenied,
            errors.ServiceUnreachable,
            errors.ServiceBusy,
            errors.TargetDown,
            errors.AnswerRefused,
            errors.ServiceRefused,
            errors.SessionEnded,
            errors.JobFailed,
        )
    ),
    errors.ReplayDiverged("cobyla", "evaluation 3 is 1e-2 rad away"),
    errors.StreamBusy("main"),
    errors.CapReached("max_jobs", "40 jobs are the cap, 38 are spent", "Resume with a larger one."),
    errors.LimitReached(
        "team", "10 USD per month is the limit, 9 USD spent", "hybridloop limit set team 12USD", "2026-12-01"
    ),
    errors.RoundTooLarge("max_jobs", "40 jobs are the cap, 38 are spent", "Resume with a larger one."),
    errors.RunStopped(4),
    errors.StopRequested(4),
    errors.RunParked(4),
    errors.RunCancelled(4),
    errors.RunKeyTaken("h2-night"),
    errors.JournalError("the disk is full", "Nothing is lost.", "Make room."),
    errors.JournalDamaged("jobs", "0a1b", "its checksum does not match"),
    errors.JournalGone("the journal was deleted", "All results were saved to copy.db.", "Resume the run from there."),
    errors.JournalTooNew("0007", "0001"),
    errors.BundleDamaged("night.zip", "rounds.npz is not what manifest.json says of it"),
    errors.RunBusy("h2-night", "process 17 on node3", "2026-11-20 12:30:05 UTC"),
    errors.RunNotFinished("h2-night", "its flow run is Crashed"),
    errors.RunNotFinished("h2-night", "its flow run is Cancelled", is_cancelled=True),
    errors.RunNotBegun("h2-night", "its flow run is Cancelled"),
    errors.ResultNotPrinted("h2-night", "No space left on device"),
    errors.LeaseLost("h2-night", "process 17 on node3"),
    errors.CallbackFailed(3, "ZeroDivisionError: division by zero"),
    errors.ProgramError("ansatz", "it measures nothing"),
    errors.StackError("no port is free", "Free one."),
    errors.PrefectAway("Prefect's server has not answered for 30 s", "Start the run again."),
]


def test_housekeeping_resumes_no_run_that_was_cancelled() -> None:
    told = {each.is_cancelled: str(each) for each in EXAMPLES if type(each) is errors.RunNotFinished}
    assert "Housekeeping resumes it" in told[False]
    assert "Housekeeping" not in told[True]
    assert told[True].endswith("To resume it, where that journal is: hybridloop runs resume h2-night")


def test_there_is_an_example_of_every_error() -> None:
    tree = {item for item in vars(errors).values() if isinstance(item, type) and issubclass(item, HybridloopError)}
    assert {type(example) for example in EXAMPLES} == tree - {HybridloopError}


def test_the_tree_in_the_modules_docstring_names_every_error() -> None:
    assert all(type(example).__name__ in (errors.__doc__ or "") for example in EXAMPLES)


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_survives_pickling(error: HybridloopError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_a_message_shows_all_arguments_of_its_error(error: HybridloopError) -> None:
    assert all(str(fact) in str(error) for fact in error.args if fact is not None)
    assert error.exit_code in {1, 2, 3, 5, 130}
