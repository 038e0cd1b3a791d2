"""What a run's answer came of, in one document: identity, versions, seeds, hashes, jobs, prices."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from hybridloop.journal.provenance import PRICES, REVISION, versions
from hybridloop.runs.stored_run import KeptRun

FORMAT = "hybridloop bundle, version 1"


def manifest_of(run: KeptRun, rounds: Sequence[Mapping[str, Any]], programs: Mapping[str, str]) -> dict[str, Any]:
    """The manifest but for its files' checksums; `rounds` and `programs` as they are packed.

    A circuit's `fingerprint` is the hash of the logical circuit without its angles, `program` the key of what was
    compiled of it, and `program_sha256` the hash of that.
    """
    record = run.record
    stated = {name: text for name, text in record.versions.items() if name not in (PRICES, REVISION)}
    return {
        "format": FORMAT,
        "run": {
            "uid": record.uid,
            "key": record.key,
            "algorithm": record.algorithm,
            "target": record.target,
            "status": record.status,
            "created_at": record.created_at,
            "updated_at": record.updated_at,
            "flow_run_id": record.flow_run_id,
        },
        "problem": _problem(record.problem, record.settings.get("problem")),
        "settings": dict(record.settings.get("settings", {})),
        "workspace": dict(record.settings.get("workspace", {})),
        "seed": record.seed,
        "versions": stated,
        "code_revision": record.versions.get(REVISION),
        "prices_dated": record.versions.get(PRICES),
        "exported_by": versions(),
        "circuits": _circuits(rounds, programs),
        "jobs": _jobs(run, rounds),
        "pings": [ping.id for ping in run.pings],
    }


def sealed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """With a hash of itself at its end."""
    return {**manifest, "seal": seal_of(manifest)}


def seal_of(manifest: Mapping[str, Any]) -> str:
    """SHA-256 of the manifest without its seal, as JSON in ASCII with sorted keys and no blanks."""
    plain = {name: value for name, value in manifest.items() if name != "seal"}
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def problem_hash(name: str, text: str | None) -> str:
    """SHA-256 of a problem's text; of a built-in problem, of its entry in the table."""
    if text is None:
        from hybridloop.data import load_table

        tables = (load_table(table).get(name.lower()) for table in ("problems", "binary_problems"))
        entry = next((each for each in tables if each is not None), name)
        text = json.dumps(entry, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _problem(name: str, given: Mapping[str, Any] | None) -> dict[str, Any]:
    if not given:
        return {"name": name, "built_in": False, "sha256": None}
    text = given.get("text")
    return {"name": given["name"], "built_in": text is None, "sha256": problem_hash(given["name"], text)}


def _circuits(rounds: Sequence[Mapping[str, Any]], programs: Mapping[str, str]) -> list[dict[str, Any]]:
    """Each circuit once, in the order in which it came, with how many rounds measured it."""
    found = Counter((pub["fingerprint"], pub["program"]) for round_ in rounds for pub in round_["circuits"])
    return [
        {
            "fingerprint": fingerprint,
            "program": key,
            "program_sha256": hashlib.sha256(programs[key].encode()).hexdigest() if key in programs else None,
            "rounds": number,
        }
        for (fingerprint, key), number in found.items()
    ]


def _jobs(run: KeptRun, rounds: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The ids of the rounds' jobs, session by session."""
    ids = defaultdict(list)
    for round_ in rounds:
        for job in round_["jobs"]:
            ids[job["session"]].append(job["id"])
    return [{"session": row.id, "target": row.target, "jobs": ids[row.ordinal]} for row in run.sessions]
