"""Facts of a target that are not published, such as its price: names and warnings; a workspace's targets as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hybridloop.budget.caps import Caps
from hybridloop.targets import Target
from hybridloop.targets.prices import billing_unit, has_price, ping_price, price_estimate

if TYPE_CHECKING:
    from hybridloop.azure.listing import Row

_ASSUMED = {
    "profile": "its QIR profile (assumed: {profile})",
    "max_shots": "its shots per job (assumed: at most {max_shots:,})",
    "qubits": "its number of qubits (a circuit that is too large fails at the service)",
}


def unknown_facts(target: Target) -> tuple[str, ...]:
    """Return the names of the facts that are not known: price, qubits, profile, max_shots."""
    return (*(() if has_price(target) else ("price",)), *target.assumed)


def unknown_facts_warning(target: Target) -> str | None:
    """Return a warning that names what is not known of the target; None if there is nothing."""
    estimate = price_estimate(target)
    how = f"assumed: it bills in {billing_unit(target)}" if estimate is None else f"estimated {estimate}"
    price = [] if has_price(target) else [f"its price ({how})"]
    assumed = [
        _ASSUMED[fact].format(profile=target.profile, max_shots=target.max_shots)
        for fact in _ASSUMED
        if fact in target.assumed
    ]
    return f"not known of {target.name}: {'; '.join(price + assumed)}" if price or assumed else None


def unbounded_cost_warning(caps: Caps, target: Target) -> str | None:
    """Return a warning if the price of a job has no upper bound, and no caps make up for it; else None."""
    price = ping_price(target)
    is_bounded = price.upper is not None or price.unit in caps.max_cost
    if is_bounded or (price.unit in caps.max_cost_per_job and caps.max_jobs is not None):
        return None
    such = f"--max-cost 100{price.unit} --max-cost-per-job 5{price.unit}"
    return f"nothing bounds the cost of this run: the maximum price of a job on {target.name} is unknown ({such} would)"


def list_targets(workspace: Any) -> list[Row]:
    """List the targets that take programs of gates; other kinds (pulses, resource estimators) are left out.

    `unknown` names what is not known of a target.
    """
    from hybridloop.azure.listing import target_statuses
    from hybridloop.azure.offered import offered_target

    return [
        {
            "target": target.name,
            "provider": target.provider,
            "state": status.get("currentAvailability"),
            "queue_seconds": status.get("averageQueueTime"),
            "qubits": target.qubits,
            "max_shots": target.max_shots,
            "profile": target.profile,
            "samples": target.samples,
            "unknown": list(unknown_facts(target)),
        }
        for status in target_statuses(workspace).values()
        if (target := offered_target(status)) is not None
    ]
