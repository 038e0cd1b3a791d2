"""The live checks, one group after the other; a group that fails leaves the others alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing
from typing import Any

from hybridloop.azure.transport import FailureKind, RequestFailed
from hybridloop.azure.workspace import identity_of, is_local
from hybridloop.errors import HybridloopError
from hybridloop.runtime.clock import Clock, RealClock
from hybridloop.setup_checks.live.assumptions import assumptions_by_group
from hybridloop.setup_checks.live.checks_of_jobs import (
    check_changes,
    check_job,
    check_lists,
    check_policy,
    check_programs,
    check_refusals,
    check_session,
)
from hybridloop.setup_checks.live.checks_of_sessions import check_abort, check_closing, check_idle
from hybridloop.setup_checks.live.checks_of_targets import (
    check_calls,
    check_quantinuum,
    check_rigetti,
    check_workspace,
)
from hybridloop.setup_checks.live.closing import ClosingProcess
from hybridloop.setup_checks.live.report import Finding, LiveReport, compare, found_before, not_shown, report_path
from hybridloop.setup_checks.live.service import CostsMoney, LiveService, NotShown

Group = Callable[[LiveService], Iterator[tuple[str, str]]]
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
    "calls": check_calls,
    "idle": check_idle,
}

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
        self._before = found_before(self._path)
        self._secrets = _identifiers(workspace)
        self._findings: list[Finding] = []
        self._jobs_sent = 0

    @property
    def is_local(self) -> bool:
        """True if the service is a local one."""
        return is_local(self._workspace)

    def findings(self) -> Iterator[Finding]:
        """Run the checks and yield each finding as soon as it is known. Raises HybridloopError."""
        with ClosingProcess() as closing_process:
            service = LiveService(self._workspace, self._clock, closing_process)
            with closing(service):
                stopped = ""
                for group in self._groups:
                    missing = dict(assumptions_by_group()[group])
                    reason, is_found = stopped, False
                    try:
                        for name, found in () if stopped else GROUPS[group](service):
                            yield self._add(compare(missing.pop(name), self._redact(found), self._before))
                    except RequestFailed as error:
                        reason, is_found = str(error), error.kind is not FailureKind.UNREACHABLE
                    except (NotShown, HybridloopError) as error:
                        reason = str(error)
                    except CostsMoney as error:
                        reason = stopped = str(error)
                        yield self._add(compare(assumptions_by_group()["job"]["cost-total"], reason, self._before))
                        missing.pop("cost-total", None)
                    except _OTHER_FORM as error:
                        reason, is_found = f"an answer of another form ({type(error).__name__}: {error})", True
                    for assumption in missing.values():  # the first is the one that was being checked
                        found = self._redact(reason)
                        yield self._add((compare if is_found else not_shown)(assumption, found, self._before))
                        is_found = False
                self._jobs_sent = service.jobs_sent

    def report(self) -> LiveReport:
        """Return the report of the findings, and write it to its file."""
        report = LiveReport(tuple(self._findings), self._jobs_sent, self.is_local, self._path)
        report.save()
        return report

    def _add(self, finding: Finding) -> Finding:
        self._findings.append(finding)
        return finding

    def _redact(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "REDACTED")
        return " ".join(text.split())[:300]


def _identifiers(workspace: Any) -> list[str]:
    """Return texts that must not be in a report: the key, and what names the workspace and its subscription."""
    key = str(getattr(workspace._client._config.credential, "key", ""))
    named = (key, workspace.subscription_id, workspace.resource_group, workspace.name)
    return sorted((text for text in named if len(text) > 3), key=len, reverse=True)
