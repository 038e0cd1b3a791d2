"""The live checks, one group after the other; a group that fails leaves the others alone."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing
from typing import Any
from urllib.parse import quote

from hybridloop.azure.transport import RequestFailed
from hybridloop.azure.workspace import identity_of, is_local
from hybridloop.errors import HybridloopError, ServiceError
from hybridloop.runtime.clock import Clock, RealClock
from hybridloop.setup_checks.live.assumptions import Assumption, assumptions_by_group
from hybridloop.setup_checks.live.checks_of_jobs import (
    check_job,
    check_policy,
    check_programs,
    check_refusals,
    check_session,
)
from hybridloop.setup_checks.live.checks_of_lists import check_changes, check_documents, check_lists
from hybridloop.setup_checks.live.checks_of_sessions import check_abort, check_closing, check_idle
from hybridloop.setup_checks.live.checks_of_targets import (
    check_calls,
    check_quantinuum,
    check_rigetti,
    check_workspace,
)
from hybridloop.setup_checks.live.closing import ClosingProcess
from hybridloop.setup_checks.live.report import Finding, LiveReport, compare, found_before, not_shown, report_path
from hybridloop.setup_checks.live.service import CostsMoney, Found, LiveService, NotShown, is_answer, unanswered

Group = Callable[[LiveService], Found]
GROUPS: dict[str, Group] = {
    "workspace": check_workspace,
    "session": check_session,
    "job": check_job,
    "programs": check_programs,
    "refusals": check_refusals,
    "lists": check_lists,
    "changes": check_changes,
    "policy": check_policy,
    "abort": check_abort,
    "closing": check_closing,
    "rigetti": check_rigetti,
    "quantinuum": check_quantinuum,
    "documents": check_documents,
    "calls": check_calls,
    "idle": check_idle,
}

_GUID = r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}"
_HOST = r"[\w.-]+\.(?:windows|azure)\.(?:net|com)|(?<=://)(?!127\.0\.0\.1)[^\s/]+"
_SIGNATURE = r"(?<=[?&]sig=)[^&\s]+"
_OTHER_FORM = (KeyError, TypeError, ValueError, IndexError, AttributeError)


class LiveChecks:
    """The checks of one workspace. `findings` runs them; `report` then has the result, which is saved.

    `groups` are the names of the groups to run, by default all; `idle` adds the one that takes twelve minutes.
    """

    def __init__(
        self,
        workspace: Any,
        *,
        groups: Collection[str] = tuple(GROUPS),
        idle: bool = False,
        clock: Clock | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._workspace = workspace
        self._groups = [group for group in GROUPS if group in groups and (idle or group != "idle")]
        self._clock = clock or RealClock()
        self._path = report_path(identity_of(workspace), environ)
        self._previous, self._before = found_before(self._path)
        self._identifiers = _identifiers(workspace)
        self._findings: list[Finding] = []
        self._jobs_sent = 0
        self._stopped = ""

    @property
    def is_local(self) -> bool:
        """True if the service is a local one."""
        return is_local(self._workspace)

    def findings(self) -> Iterator[Finding]:
        """Run the checks and yield each finding as soon as it is known. Raises HybridloopError."""
        with ClosingProcess() as closing_process:
            try:
                service = LiveService(self._workspace, self._clock, closing_process)
            except ServiceError as error:  # a wrong key, or no service there
                raise type(error)(*map(self._redact, error.args)) from None
            with closing(service):
                for group in self._groups:
                    yield from self._findings_of(group, service)
                self._jobs_sent = service.jobs_sent

    def _findings_of(self, group: str, service: LiveService) -> Iterator[Finding]:
        """Run a group of checks; what could not be tried after a failure is not shown."""
        missing = dict(assumptions_by_group()[group])
        checks = GROUPS[group](service)
        reason = "the checks before it were not made"
        while missing and not self._stopped:
            name = next(iter(missing))  # of the check that is being prepared
            try:
                name, found = next(checks)
                finding = self._compared(name, found() if callable(found) else found)
            except StopIteration:
                break
            except CostsMoney as error:
                self._stopped = str(error)
                name, finding = "cost-total", self._compared("cost-total", str(error))
            except RequestFailed as error:
                reason = str(error) if is_answer(error) else unanswered(error)
                finding = (self._compared if is_answer(error) else self._not_shown)(name, reason)
            except (NotShown, HybridloopError) as error:
                reason = str(error)
                finding = self._not_shown(name, reason)
            except _OTHER_FORM as error:
                reason = f"an answer of another form ({type(error).__name__}: {error})"
                finding = self._compared(name, reason)
            missing.pop(name, None)
            yield self._add(finding)
        for name in missing:
            yield self._add(self._not_shown(name, self._stopped or reason))

    def report(self) -> LiveReport:
        """Return the report of the findings, and write it to its file."""
        report = LiveReport(tuple(self._findings), self._jobs_sent, self.is_local, self._path, self._previous)
        report.save()
        return report

    def _compared(self, name: str, found: str) -> Finding:
        assumption = _assumption(name)
        return compare(assumption, found if found in assumption.expected else self._redact(found), self._before)

    def _not_shown(self, name: str, reason: str) -> Finding:
        return not_shown(_assumption(name), self._redact(reason), self._before)

    def _add(self, finding: Finding) -> Finding:
        """Note a finding, in place of an earlier one of its check."""
        self._findings = [each for each in self._findings if each.assumption is not finding.assumption] + [finding]
        return finding

    def _redact(self, text: str) -> str:
        return " ".join(self._identifiers.sub("REDACTED", text).split())[:300]


def _assumption(name: str) -> Assumption:
    return next(rows[name] for rows in assumptions_by_group().values() if name in rows)


def _identifiers(workspace: Any) -> re.Pattern[str]:
    """Return a pattern of what must not be in a report: the key, and what names the workspace and its subscription.

    Ids of all kinds and hosts count as such: a host's name can be that of the workspace or its storage.
    """
    key = str(getattr(workspace._client._config.credential, "key", ""))
    named = (key, workspace.subscription_id, workspace.resource_group, workspace.name)
    spellings = {spelling for text in named if text for spelling in (text, quote(text), quote(text, safe=""))}
    words = (rf"(?<!\w){re.escape(text)}(?!\w)" for text in sorted(spellings, key=len, reverse=True))
    return re.compile("|".join((*words, _GUID, _HOST, _SIGNATURE)), re.IGNORECASE)
