"""Manifest of a bundle: identity, versions, seed, hashes, jobs, and the date of prices."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from hybridloop.data import TABLES, built_in_problem
from hybridloop.journal.provenance import PRICES, REVISION, versions
from hybridloop.runs.stored_run import StoredRun

FORMAT = "hybridloop bundle, version 1"
_NOT_HASHED = ("family", "teaches")  # words of the list of problems
_RUN_FIELDS = ("uid", "key", "algorithm", "target", "status", "created_at", "updated_at", "flow_run_id")


def build_manifest(run: StoredRun, rounds: Sequence[Mapping[str, Any]], programs: Mapping[str, str]) -> dict[str, Any]:
    """Return the manifest without checksums of files; `rounds` and `programs` are those of `pack_rounds`.

    A circuit's `fingerprint` is the hash of the logical circuit without its angles, `program` the key of the compiled
    program, and `program_sha256` the hash of that.
    """
    record = run.record
    software = {name: text for name, text in record.versions.items() if name not in (PRICES, REVISION)}
    return {
        "format": FORMAT,
        "run": {name: getattr(record, name) for name in _RUN_FIELDS},
        "problem": _problem(record.problem, record.settings.get("problem")),
        "settings": dict(record.settings.get("settings", {})),
        "workspace": dict(record.settings.get("workspace", {})),
        "seed": record.seed,
        "versions": software,
        "code_revision": record.versions.get(REVISION),
        "prices_dated": record.versions.get(PRICES),
        "exported_by": versions(),
        "circuits": _circuits(rounds, programs),
        "jobs": _jobs(run, rounds),
        "pings": [ping.id for ping in run.pings],
    }


def seal_of(manifest: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a manifest without its seal, as JSON in ASCII with sorted keys and no blanks."""
    plain = {name: value for name, value in manifest.items() if name != "seal"}
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def problem_hash(name: str, text: str | None) -> str:
    """Return the SHA-256 of a problem's text, or of a built-in problem's entry without family and purpose."""
    if text is None:
        found = (built_in_problem(table, name) for table in TABLES)
        entry = next((entry for entry in found if entry is not None), name)
        if isinstance(entry, dict):
            entry = {field: value for field, value in entry.items() if field not in _NOT_HASHED}
        text = json.dumps(entry, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _problem(name: str, given: Mapping[str, Any] | None) -> dict[str, Any]:
    if not given:
        return {"name": name, "built_in": False, "sha256": None}
    text = given.get("text")
    return {"name": given["name"], "built_in": text is None, "sha256": problem_hash(given["name"], text)}


def _circuits(rounds: Sequence[Mapping[str, Any]], programs: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return each circuit once, in the order of first use, with its number of rounds."""
    uses = Counter((pub["fingerprint"], pub["program"]) for round_ in rounds for pub in round_["circuits"])
    return [
        {
            "fingerprint": fingerprint,
            "program": key,
            "program_sha256": hashlib.sha256(programs[key].encode()).hexdigest() if key in programs else None,
            "rounds": number,
        }
        for (fingerprint, key), number in uses.items()
    ]


def _jobs(run: StoredRun, rounds: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the ids of the rounds' jobs by session."""
    ids = defaultdict(list)
    for round_ in rounds:
        for job in round_["jobs"]:
            ids[job["session"]].append(job["id"])
    return [{"session": row.id, "target": row.target, "jobs": ids[row.ordinal]} for row in run.sessions]
