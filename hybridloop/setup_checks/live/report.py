"""Report of the live checks: findings, what changed since the time before, and a document without ids of the user's."""

from __future__ import annotations

import enum
import hashlib
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hybridloop.runtime.paths import home, make_folder
from hybridloop.setup_checks.live.assumptions import Assumption
from hybridloop.tasks.submission.jobs import IN_V1

FORMAT = "hybridloop.live-checks.v1"
_PACKAGES = ("hybridloop", "azure-quantum", "azure-core", "qdk")


class Verdict(enum.StrEnum):
    """Comparison of what was found with what is assumed."""

    SAME = "same"
    DIFFERENT = "different"
    NOT_SHOWN = "not shown"


@dataclass(frozen=True, slots=True)
class Finding:
    """Observation for an assumption; `before` is that of the checks before, None if it is the same or unknown."""

    assumption: Assumption
    verdict: Verdict
    found: str
    before: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the finding's part of the document."""
        assumption = self.assumption
        return {
            "check": assumption.name,
            "assumed": assumption.assumed,
            "expected": list(assumption.expected),
            "where": assumption.where,
            "found": self.found,
            "verdict": self.verdict.value,
            "effect": assumption.effect if self.verdict is Verdict.DIFFERENT else "",
            "before": self.before,
        }


@dataclass(frozen=True, slots=True)
class LiveReport:
    """All findings of one call, the number of jobs that were sent, and the file of the document.

    `previous` is the time of the checks before, as text; empty if there were none.
    """

    findings: tuple[Finding, ...]
    jobs_sent: int
    is_local: bool
    path: Path
    previous: str = ""

    @property
    def differences(self) -> tuple[Finding, ...]:
        """The findings that are not as assumed."""
        return self.of_verdict(Verdict.DIFFERENT)

    def of_verdict(self, verdict: Verdict) -> tuple[Finding, ...]:
        """Return the findings with this verdict."""
        return tuple(finding for finding in self.findings if finding.verdict is verdict)

    @property
    def changes(self) -> tuple[Finding, ...]:
        """The findings that are not those of the checks before."""
        return tuple(finding for finding in self.findings if finding.before is not None)

    def to_json(self) -> dict[str, Any]:
        """Return the document: versions and findings, no key, no name and no id of the workspace."""
        return {
            "format": FORMAT,
            "service": "local" if self.is_local else "Azure Quantum",
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "python": platform.python_version(),
            "packages": {name: version(name) for name in _PACKAGES},
            "jobs": self.jobs_sent,
            "differences": len(self.differences),
            "not_shown": len(self.of_verdict(Verdict.NOT_SHOWN)),
            "changes": len(self.changes),
            "previous": self.previous or None,
            "findings": [finding.to_json() for finding in self.findings],
        }

    def save(self) -> None:
        """Write the document to its file, readable by the user only, in place of the one before."""
        make_folder(self.path.parent)
        part = self.path.with_suffix(".part")
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(self.to_json(), file, indent=2)
        part.replace(self.path)


def report_path(identity: Mapping[str, str], environ: Mapping[str, str]) -> Path:
    """Return the file of a workspace's document: its name does not tell the workspace."""
    digest = hashlib.sha256(json.dumps(dict(identity), sort_keys=True).encode()).hexdigest()
    return home(environ) / "live-checks" / f"{digest[:12]}.json"


def found_before(path: Path) -> tuple[str, dict[str, str]]:
    """Return the time of the checks before, and what they found by name; nothing if no document can be read."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return str(document["time"]), {str(entry["check"]): str(entry["found"]) for entry in document["findings"]}
    except (OSError, ValueError, KeyError, TypeError):
        return "", {}


def compare(assumption: Assumption, found: str, before: Mapping[str, str]) -> Finding:
    """Return the finding for what was found; a status in the words of a v2 workspace is that of v1."""
    verdict = Verdict.SAME if {found, IN_V1.get(found)} & set(assumption.expected) else Verdict.DIFFERENT
    return Finding(assumption, verdict, found, _changed(assumption, found, before))


def not_shown(assumption: Assumption, reason: str, before: Mapping[str, str]) -> Finding:
    """Return the finding of a check that came to none."""
    return Finding(assumption, Verdict.NOT_SHOWN, reason, _changed(assumption, reason, before))


def _changed(assumption: Assumption, found: str, before: Mapping[str, str]) -> str | None:
    earlier = before.get(assumption.name, found)
    return None if earlier == found else earlier
