"""Allowance of an assistant: the most that all of its runs on paid targets may cost, by unit.

The cap of a run is held in a ledger before the run starts. A run with a result counts as billed or reserved, any other
with its whole cap, as it may be resumed up to that. The ledger is a file in the state folder, one for each journal. Its
lock orders all servers, so that neither a restart nor a second server gives more.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import secrets
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from filelock import FileLock

from hybridloop.azure.targets import Target, recorded_target
from hybridloop.budget.prices import ONE_GATE, is_free, price_of_job
from hybridloop.data.statuses import WITH_RESULT
from hybridloop.errors import NOTHING_SUBMITTED, InputError, JournalDamaged
from hybridloop.journal import Journal, open_journal
from hybridloop.journal.storage.location import Location, make_private_folder
from hybridloop.reports.costs import cost_of
from hybridloop.runtime.paths import home

_EXACT = 1e-9  # of an amount; smaller differences are rounding errors

Amounts = Mapping[Any, float]
Ledger = dict[str, dict[str, Any]]  # by run key: `cap`, `taken` (None: not seen in the journal), and `by`, its server


@dataclass(frozen=True, slots=True)
class Balance:
    """Amounts by unit: `spent` is billed or reserved, `held` is what the caps of the `unfinished` runs add to it."""

    allowed: Amounts
    spent: Amounts
    held: Amounts
    left: Amounts
    unfinished: tuple[str, ...]

    def __str__(self) -> str:
        """Return one sentence for an assistant."""
        parts = [
            f"{_amount(self.left[unit], unit)} of {_amount(allowed, unit)} are left "
            f"({_amount(self.spent[unit], unit)} spent, {_amount(self.held[unit], unit)} held for unfinished runs)"
            for unit, allowed in self.allowed.items()
        ]
        return f"Allowance: {'; '.join(parts) or 'none, so only free targets can be used'}."


class Allowance:
    """The allowance that a person gives to a server, with the journal's ledger; safe for threads and processes."""

    def __init__(self, allowed: Amounts) -> None:
        self._allowed = allowed
        self._token = secrets.token_hex(8)
        url = os.environ.get("HYBRIDLOOP_JOURNAL")
        name = hashlib.sha256(Location.parse(url).display.encode()).hexdigest()[:16] if url else "journal"
        self._path = make_private_folder(home() / "assistant") / f"{name}.json"

    def hold(self, key: str, target: Target, max_cost: Amounts) -> Amounts:
        """Hold the cap of a run until it has a result; return the cap, empty on a free target.

        A run that was started before keeps its cap, unless a larger one is given; one that has a result gets a cap of
        0. Raises InputError above the allowance, and for a run that did not begin under it.
        """
        price = price_of_job(target, ONE_GATE, 1)
        with self._ledger() as ledger, open_journal() as journal:
            record, entry = journal.run_by_key(key), ledger.get(key)
            if record is not None and record.status in WITH_RESULT:
                return {} if price.is_free else {price.unit: 0.0}  # its stored result is returned
            if record is not None and entry is None and not is_free(recorded_target(record.target)):
                problem = f"run {key} was not started under this allowance, and is not finished"
                raise _refusal("run_key", problem, "Choose another key, or ask a person to resume it.")
            if record is None and entry is not None and entry["taken"] is not None:
                if any(entry["taken"].values()):
                    problem = f"run {key} was deleted from the journal, and what it cost counts still"
                    raise _refusal("run_key", problem, "Choose another key.")
                entry = None
            if price.is_free:
                return {}
            if price.upper is None:
                problem = f"no maximum price of a job on {target.name} is known, so the allowance could be exceeded"
                raise _refusal("target", problem, "Choose another target: `plan` with compare lists them.")
            # what the run counts with already, and the most that it may count with
            now, unit = self._balance(ledger, journal), price.unit
            taken, held = (None, 0.0) if entry is None else (entry["taken"], float(entry["cap"].get(unit, 0.0)))
            own, cap = max(held, (taken or {}).get(unit, 0.0)), max_cost.get(unit, held)
            most = self._allowed[unit] - now.spent[unit] - now.held[unit] + own if unit in self._allowed else 0.0
            others = ", ".join(other for other in now.unfinished if other != key)
            remedies = [f"give max_cost, at most {_amount(most, '')}{unit}"] * (most > own)
            remedies += [
                f"finish {others} (`run` with the same arguments), which frees what is left; a person can give such a "
                "run up (hybridloop runs prune --unfinished)"
            ] * bool(others)
            remedy = "; or ".join([*remedies, f"ask a person for a larger --allow in {unit}"])
            remedy = f"{remedy[:1].upper()}{remedy[1:]}."
            if not cap:
                problem = f"a run on {target.name} is billed in {unit}, and has no cap in it"
                raise _refusal("max_cost", problem, remedy)
            if max(cap, own) > most + _EXACT:
                problem = f"the cap of run {key}, {_amount(cap, unit)}, exceeds what is left of the allowance"
                raise _refusal("max_cost", problem, remedy)
            # where a second process has the key, neither may release what the other needs
            by = self._token if entry is None else None
            caps = {**({} if entry is None else entry["cap"]), unit: max(cap, held)}
            ledger[key] = {"cap": caps, "taken": taken, "by": by}
        return {unit: cap}

    def reset(self) -> Balance:
        """Count no earlier run but those that began and have no result; return the balance after it."""
        with self._ledger() as ledger, open_journal() as journal:
            for key in list(ledger):
                if (record := journal.run_by_key(key)) is None or record.status in WITH_RESULT:
                    del ledger[key]
            return self._balance(ledger, journal)

    def balance(self, ended: Collection[str] = ()) -> Balance:
        """Return what is spent, held and left by now.

        Runs whose process has `ended` before they were in the journal, as for refused input, hold nothing any more.
        """
        with self._ledger() as ledger, open_journal() as journal:
            for key in ended:
                entry = ledger.get(key)
                is_own = entry is not None and entry["by"] == self._token and not any((entry["taken"] or {}).values())
                if is_own and journal.run_by_key(key) is None:
                    del ledger[key]
            return self._balance(ledger, journal)

    def _balance(self, ledger: Ledger, journal: Journal) -> Balance:
        """Add the runs up, and note in the ledger what each has taken, which counts once a run is pruned."""
        spent, held, unfinished = dict.fromkeys(self._allowed, 0.0), dict.fromkeys(self._allowed, 0.0), []
        for key, entry in ledger.items():
            is_over = entry["taken"] is not None
            try:
                if (record := journal.run_by_key(key)) is not None:
                    is_over = record.status in WITH_RESULT
                    entry["taken"] = cost_of(journal, record).amounts
            except JournalDamaged:
                is_over = False
            unfinished += [] if is_over else [key]
            for unit in self._allowed:
                taken = (entry["taken"] or {}).get(unit, 0.0)
                spent[unit] += taken
                held[unit] += 0.0 if is_over else max(0.0, entry["cap"].get(unit, 0.0) - taken)
        left = {unit: max(0.0, allowed - spent[unit] - held[unit]) for unit, allowed in self._allowed.items()}
        return Balance(self._allowed, _rounded(spent), _rounded(held), _rounded(left), tuple(unfinished))

    @contextmanager
    def _ledger(self) -> Iterator[Ledger]:
        """Hold the ledger's lock for the block, and store what the block has changed. Raises InputError if damaged."""
        with FileLock(f"{self._path}.lock", mode=0o600):
            before = self._path.read_text("utf-8") if self._path.exists() else "{}"
            try:
                ledger: Ledger = json.loads(before)
            except ValueError as error:
                problem = f"the ledger {self._path} of earlier runs can't be read"
                raise _refusal(
                    "--allow", problem, "A person can delete it: then earlier runs no longer count."
                ) from error
            yield ledger
            if (after := json.dumps(ledger, indent=1)) != before:
                new = self._path.with_suffix(".new")
                with open(new, "w", encoding="utf-8", opener=_private) as file:
                    file.write(after)
                    file.flush()
                    os.fsync(file.fileno())
                new.replace(self._path)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _refusal(field: str, problem: str, remedy: str) -> InputError:
    return InputError(field, problem, remedy, NOTHING_SUBMITTED)


def _rounded(amounts: Amounts) -> Amounts:
    return {unit: round(amount, 9) for unit, amount in amounts.items()}


def _amount(amount: float, unit: str) -> str:
    cents = math.floor(amount * 100.0 + 1e-6)  # down: what is shown as left can be taken
    return f"{cents / 100.0:.2f}".removesuffix(".00") + f" {unit}".rstrip()
