"""Allowance of an assistant: the most that all of its runs may cost, by unit.

It is a limit over the runs that have the assistant's tag, in each unit; a unit without an allowance has 0. Such limits
hold in the journal, in the transaction of each reservation, so that neither a restart nor a second server gives more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from hybridloop.data.statuses import WITH_RESULT
from hybridloop.errors import NOTHING_SUBMITTED, InputError
from hybridloop.journal import Journal, RunRecord, open_journal
from hybridloop.journal.limits import LimitState, Period, RunLimit
from hybridloop.targets import Target, recorded_target
from hybridloop.targets.prices import ONE_GATE, UNITS, is_free, price_of_job

TAG = "assistant"
_SCOPE = {"tag": TAG}

Amounts = Mapping[Any, float]


@dataclass(frozen=True, slots=True)
class Balance:
    """Amounts by unit: what is `allowed`, `spent`, `reserved` for jobs in flight, and `left`."""

    allowed: Amounts
    spent: Amounts
    reserved: Amounts
    left: Amounts

    def __str__(self) -> str:
        """Return one sentence for an assistant."""
        parts = [
            f"{_amount(self.left[unit], unit)} of {_amount(allowed, unit)} are left "
            f"({_amount(self.spent[unit], unit)} spent, {_amount(self.reserved[unit], unit)} reserved for jobs in "
            "flight)"
            for unit, allowed in self.allowed.items()
        ]
        return f"Allowance: {'; '.join(parts) or 'none, so only free targets can be used'}."


class Allowance:
    """The allowance that a person gives to the servers of a journal: the last one that is given holds."""

    def __init__(self, allowed: Amounts) -> None:
        self._allowed = allowed
        with open_journal() as journal:
            before = {state.limit.name: state.limit for state in journal.limits()}
            for unit in UNITS:
                limit = RunLimit(f"{TAG} {unit}", unit, 0.0, Period.EVER, _SCOPE, counts_local=True)
                journal.put_limit(replace(before.get(limit.name, limit), amount=allowed.get(unit, 0.0)))

    def check(self, key: str, target: Target, max_cost: Amounts) -> Amounts:
        """Check a run before it starts or resumes; return the cap that it must have in place of its own, or none.

        A run of another that has its result may cost nothing more. Raises InputError for a run of another that has
        none, for one without a cap, and for a cap above what is left; its jobs are held to the allowance in any case.
        """
        price = price_of_job(target, ONE_GATE, 1)
        with open_journal() as journal:
            record = journal.run_by_key(key)
            if record is not None and not _is_counted(record):
                if record.status in WITH_RESULT:
                    return {} if price.is_free else {price.unit: 0.0}
                if not is_free(recorded_target(record.target)):
                    problem = f"run {key} was not started under this allowance, and is not finished"
                    raise _refusal("run_key", problem, "Choose another key, or ask a person to resume it.")
            if price.is_free or (record is not None and record.status in WITH_RESULT):
                return {}
            own = () if record is None else journal.amounts(record.uid)
            taken = math.fsum(each.spent + each.reserved for each in own if each.unit == price.unit)
            left = self._balance(journal).left.get(price.unit, 0.0)
        remedy = f"ask a person for a larger --allow in {price.unit}."
        remedy = f"Give max_cost, at most {_amount(left + taken, '')}{price.unit}; or {remedy}" if left else remedy
        if price.unit not in max_cost:
            problem = f"a run on {target.name} is billed in {price.unit}, and has no cap in it"
            raise _refusal("max_cost", problem, remedy[:1].upper() + remedy[1:])
        if (cap := max_cost[price.unit]) > (left + taken) * (1.0 + 1e-9) or not left + taken:
            problem = f"the cap of run {key}, {_amount(cap, price.unit)}, exceeds what is left of the allowance"
            raise _refusal("max_cost", problem, remedy[:1].upper() + remedy[1:])
        return {}

    def counts(self, key: str) -> bool:
        """Return whether a run, or a new one of that key, counts: not one that a person has started."""
        with open_journal() as journal:
            record = journal.run_by_key(key)
            return record is None or _is_counted(record)

    def balance(self) -> Balance:
        """Return what is spent, reserved and left by now."""
        with open_journal() as journal:
            return self._balance(journal)

    def _balance(self, journal: Journal) -> Balance:
        return _balance(journal, self._allowed)


def reset() -> Balance:
    """Count no longer what assistants have spent so far; return the balance after it.

    The allowance stays, as a server may be running with it.
    """
    with open_journal() as journal:
        for state in _states(journal):
            journal.put_limit(replace(state.limit, spent_before=state.limit.spent_before + state.spent))
        limits = [state.limit for state in _states(journal)]
        return _balance(journal, {limit.unit: limit.amount for limit in limits if limit.amount})


def _is_counted(record: RunRecord) -> bool:
    return TAG in (record.settings.get("settings", {}).get("tags") or ())


def _states(journal: Journal) -> list[LimitState]:
    names = {f"{TAG} {unit}" for unit in UNITS}
    return [state for state in journal.limits() if state.limit.name in names]


def _balance(journal: Journal, allowed: Amounts) -> Balance:
    states = {state.limit.unit: state for state in _states(journal)}
    spent, reserved, left = (  # nothing is left of a limit that a person has removed
        {unit: round(getattr(states.get(unit), name, 0.0), 9) for unit in allowed}
        for name in ("spent", "reserved", "left")
    )
    return Balance(allowed, spent, reserved, left)


def _refusal(field: str, problem: str, remedy: str) -> InputError:
    return InputError(field, problem, remedy, NOTHING_SUBMITTED)


def _amount(amount: float, unit: str) -> str:
    cents = math.floor(amount * 100.0 + 1e-6)  # down: what is shown as left can be taken
    return f"{cents / 100.0:.2f}".removesuffix(".00") + f" {unit}".rstrip()
