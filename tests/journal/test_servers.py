"""Journal on a server that is down, refuses, restarts or is busy; its password is never shown."""

from __future__ import annotations

import logging
import pickle
import threading
import traceback
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

from hybridloop.errors import HybridloopError, InputError, JournalError
from hybridloop.journal import Journal, inspect_journal, open_journal
from hybridloop.journal.storage.database import Database
from hybridloop.journal.storage.location import Location
from hybridloop.runtime.messages import level_of
from tests.journal.journal_helpers import add_claimed_run, measure, new_run
from tests.journal.postgresql_helpers import PASSWORD, Server, new_database, running_pooler

CANARY = "can%3Aary-s3cret"
PLAIN = "can:ary-s3cret"


@pytest.fixture
def url(postgresql: Server) -> str:
    return new_database(postgresql)


@pytest.fixture
def plain_connection(url: str) -> Iterator[psycopg.Connection]:
    """Open another program's connection to the same database."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("SET search_path TO hybridloop")
        yield connection


def text_of(error: BaseException) -> str:
    """Return all that an error can show, also of the errors that it suppresses: libraries pickle those, too."""
    before: BaseException | None = error.__context__
    suppressed = "" if before is None else f"{before!r} {text_of(before)}"
    return suppressed + "".join(
        [*traceback.format_exception(error), repr(error), str(vars(error)), repr(pickle.dumps(error))]
    )


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://user:{CANARY}@127.0.0.1:1/db",
        f"postgresql://user:{CANARY}@/db?host=/no/such/folder",
        f"postgresql://127.0.0.1:1/db?user=user&password={CANARY}",
        f"postgresql://user:{CANARY}@127.0.0.1:1/db?sslmode=nonsense",
        f"postgresql://user:{CANARY}@127.0.0.1:1/db?sslmode={CANARY}",
        f"postgresql://user:{CANARY}@127.0.0.1:port/db",
        f"postgresql://user:{CANARY}@127.0.0.1:1/db?no_such_option={CANARY}",
        f"postgresql://user:{CANARY}:{PLAIN}@@:{CANARY}",
        f"mysql://user:{CANARY}@127.0.0.1/db",
        f"://{CANARY}",
    ],
)
def test_no_error_about_the_url_shows_the_password(url: str, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("psycopg")
    caplog.set_level(logging.DEBUG)
    with pytest.raises(HybridloopError) as caught:
        Journal(url, busy_s=2.0)
    text = text_of(caught.value) + caplog.text
    assert "ary-s3cret" not in text
    assert isinstance(caught.value, JournalError | InputError)


def test_a_password_that_the_server_refuses_is_not_shown(postgresql: Server) -> None:
    with pytest.raises(JournalError, match="authentication failed") as caught:
        Journal(postgresql.url("postgres", password=CANARY))
    assert "ary-s3cret" not in text_of(caught.value)


def test_the_password_may_be_in_a_file_of_its_own(url: str, tmp_path: Path) -> None:
    secret = make_url(url).password
    assert secret is not None
    (tmp_path / "password").write_text(f"{secret}\n", encoding="utf-8")
    bare = make_url(url)._replace(password=None).render_as_string(hide_password=False)
    environ = {"HYBRIDLOOP_JOURNAL": bare, "HYBRIDLOOP_JOURNAL_PASSWORD_FILE": str(tmp_path / "password")}
    with open_journal(environ) as journal:
        assert journal.runs() == []
    assert secret not in inspect_journal(environ).place
    (tmp_path / "password").write_text("another", encoding="utf-8")
    environ["HYBRIDLOOP_JOURNAL_WAIT_S"] = "0.1"  # a server that has answered is waited for
    with pytest.raises(JournalError) as refused:
        open_journal(environ)
    assert "another" not in str(refused.value)
    (tmp_path / "password").unlink()
    with pytest.raises(InputError, match=r"HYBRIDLOOP_JOURNAL_PASSWORD_FILE: .* can't be read: No such file"):
        open_journal(environ)


def test_no_password_is_shown_by_a_working_journal(url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with Journal(url) as journal:
        journal.add_run(new_run())
        assert repr(journal).startswith("Journal('postgresql://postgres@")
        assert PASSWORD not in repr(journal) + repr(vars(journal)) + caplog.text
    location = Location.parse(url)
    assert PASSWORD not in f"{location} {location!r}"


def test_a_connection_that_the_server_ended_is_replaced(url: str, plain_connection: psycopg.Connection) -> None:
    with Journal(url) as journal:
        lease = add_claimed_run(journal)
        for sequence in range(3):
            plain_connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            measure(journal, lease, sequence)
        assert len(list(journal.rounds(lease.run_uid))) == 3


def test_a_write_that_the_server_breaks_off_leaves_nothing(url: str, plain_connection: psycopg.Connection) -> None:
    with Journal(url) as journal:
        lease = add_claimed_run(journal)
        plain_connection.execute(
            """
            CREATE FUNCTION give_up() RETURNS trigger AS $$
            BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(1); RETURN NEW; END
            $$ LANGUAGE plpgsql;
            CREATE TRIGGER give_up BEFORE INSERT ON jobs EXECUTE FUNCTION give_up();
            """
        )
        with pytest.raises(JournalError, match="can't be used"):
            measure(journal, lease, 0)
        plain_connection.execute("DROP TRIGGER give_up ON jobs")
        assert journal.round(lease.run_uid, "main", 0) is None
        measure(journal, lease, 0)


def test_a_server_that_stays_down_is_retried_with_a_warning(
    postgresql: Server, caplog: pytest.LogCaptureFixture
) -> None:
    times = count(step=50.0)  # the clock advances by this at every call
    database = Database(Location.parse(new_database(postgresql)), busy_s=1.0, now=lambda: next(times))
    with database.write_transaction() as connection:
        connection.exec_driver_sql("SELECT 1")
    postgresql.stop()
    try:
        errors = []
        for _ in range(2):
            with pytest.raises(JournalError) as raised, database.write_transaction():
                pass
            errors.append(raised.value)
    finally:
        postgresql.start()
        database.close()
    assert [(error.is_outage, error.is_repeated) for error in errors] == [(True, False), (True, True)]
    assert [level_of(error) for error in errors] == [logging.WARNING, logging.DEBUG]
    (warning,) = {message for message in caplog.messages if "does not answer" in message}
    assert "waited for up to 120 s (HYBRIDLOOP_JOURNAL_WAIT_S sets another time)" in warning
    assert "All that was written is kept" in warning
    assert "hybridloop runs resume" in warning


def test_the_time_for_which_a_server_is_waited_for_is_a_variable(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'journal.db'}"
    open_journal({"HYBRIDLOOP_JOURNAL": url, "HYBRIDLOOP_JOURNAL_WAIT_S": "300"}).close()
    for text in ("five", "-1", "nan", "inf"):
        with pytest.raises(InputError, match=r"HYBRIDLOOP_JOURNAL_WAIT_S: .* is no time"):
            open_journal({"HYBRIDLOOP_JOURNAL": url, "HYBRIDLOOP_JOURNAL_WAIT_S": text})


@pytest.mark.parametrize("how", [pytest.param("of a worker", marks=pytest.mark.slow), "has answered", "unknown"])
def test_a_journal_that_is_opened_while_its_server_restarts_waits_unless_its_address_may_be_wrong(
    postgresql: Server, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(Database, "_answered", set())
    environ = {"HYBRIDLOOP_JOURNAL": new_database(postgresql)}
    if how == "of a worker":
        environ["PREFECT__FLOW_RUN_ID"] = "an id"
    if how == "has answered":
        open_journal(environ).close()
    postgresql.stop()
    restart = threading.Timer(0.3, postgresql.start)
    try:
        if how == "unknown":
            with pytest.raises(JournalError) as raised:
                open_journal(environ)
            assert raised.value.is_outage
            return
        restart.start()
        with open_journal(environ) as journal:
            assert journal.runs() == []
    finally:
        if how == "unknown":
            postgresql.start()
        else:
            restart.join()


def test_a_worker_does_not_wait_for_a_server_that_refuses_it(postgresql: Server) -> None:
    environ = {"HYBRIDLOOP_JOURNAL": postgresql.url("no_such_database"), "PREFECT__FLOW_RUN_ID": "an id"}
    with pytest.raises(JournalError, match="does not exist") as raised:
        open_journal(environ)
    assert not raised.value.is_outage


def test_a_database_without_an_encoding_keeps_all_letters(postgresql: Server) -> None:
    url = new_database(postgresql, "ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
    added = new_run()
    assert "Ångström" in str(added.settings)
    with Journal(url) as journal:
        journal.add_run(added)
    with Journal(url) as journal:
        assert journal.run(added.uid).settings == added.settings


def test_tables_of_another_program_with_the_same_names_are_not_touched(url: str) -> None:
    with psycopg.connect(url) as other:
        other.execute("CREATE TABLE runs (mine TEXT)")
        other.execute("CREATE TABLE events (mine TEXT)")
    with Journal(url) as journal:
        journal.add_event(add_claimed_run(journal), "x", {})
        assert len(journal.runs()) == 1
    with psycopg.connect(url) as other:
        assert other.execute("SELECT (SELECT count(*) FROM runs) + (SELECT count(*) FROM events)").fetchone() == (0,)


def test_many_runs_share_a_few_connections_of_a_pooler_in_transaction_mode(postgresql: Server) -> None:
    runs, rounds, errors, barrier = 6, 5, list[BaseException](), threading.Barrier(6)
    with running_pooler(postgresql, connections=2) as through:
        url = through(new_database(postgresql))

        def run(number: int) -> None:
            try:
                with Journal(url) as journal:
                    lease = add_claimed_run(journal, f"run-{number}")
                    barrier.wait(20)
                    for sequence in range(rounds):
                        measure(journal, lease, sequence)
                        assert len(list(journal.rounds(lease.run_uid))) == sequence + 1
            except BaseException as error:  # of a thread, failed assertions among them: raised in the test below
                errors.append(error)

        threads = [threading.Thread(target=run, args=(number,)) for number in range(runs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        with psycopg.connect(url, prepare_threshold=None) as other:  # on one of the same two connections
            assert other.execute("SHOW search_path").fetchone() == ('"$user", public',)
            assert other.execute("SHOW lock_timeout").fetchone() == ("0",)


def test_an_internal_error_of_the_server_is_not_called_damage(url: str, plain_connection: psycopg.Connection) -> None:
    with Journal(url) as journal:
        add_claimed_run(journal)
        plain_connection.execute(
            """
            CREATE FUNCTION fail() RETURNS trigger AS $$
            BEGIN RAISE EXCEPTION 'cache lookup failed' USING ERRCODE = 'internal_error'; END
            $$ LANGUAGE plpgsql;
            CREATE TRIGGER fail BEFORE INSERT ON runs EXECUTE FUNCTION fail();
            """
        )
        with pytest.raises(JournalError, match="cache lookup failed") as caught:
            journal.add_run(new_run("another"))
        assert type(caught.value) is JournalError
