"""Options of a run's session, in the one form that is handed from `open_run_session` to rounds, pings and requests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hybridloop.azure.pace import NO_LIMITS, RequestLimits
from hybridloop.budget.caps import Caps, check_caps, ineffective_caps_warning
from hybridloop.budget.unknown_facts import unbounded_cost_warning, unknown_facts_warning
from hybridloop.settings.failure_policy import FailurePolicy
from hybridloop.settings.keep_alive import KeepAliveSettings
from hybridloop.targets import Batching, Target, check_batching
from hybridloop.targets.prices import ping_price
from hybridloop.targets.provider_options import Options, check_debias, check_provider_options, target_with_options


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOptions:
    """Options of a run's session; `hybridloop.RunSettings` describes them, and makes them by `session_options`.

    Without `debias` the provider's error mitigation is turned off. `provider_options` are those of the target's
    provider, as in inputParams. Jobs and pings have `priority` and `tags` at the service. A round that waits longer
    than `detach_after_s` parks the run. Jobs in flight at the end are left to finish, because they are paid for, unless
    `cancel_in_flight`.
    """

    failure: FailurePolicy = field(default_factory=FailurePolicy)
    keep_alive: KeepAliveSettings = field(default_factory=KeepAliveSettings)
    caps: Caps = field(default_factory=Caps)
    debias: bool = True
    batching: Batching = Batching.AUTO
    provider_options: Options = field(default_factory=dict)
    requests: RequestLimits = NO_LIMITS
    priority: str | None = None
    tags: tuple[str, ...] = ()
    detach_after_s: float | None = None
    cancel_in_flight: bool = False

    @property
    def labels(self) -> dict[str, Any]:
        """Priority and tags as fields of a job's JSON; a field that is left out is the service's."""
        priority = {} if self.priority is None else {"priority": self.priority}
        return priority | ({"tags": list(self.tags)} if self.tags else {})

    def fit(self, target: Target) -> Target:
        """Return the target under these options. Raises InputError if they do not fit it."""
        check_caps(self.caps, target)
        check_provider_options(target, self.provider_options)
        check_debias(target, debias=self.debias)
        check_batching(target, self.batching)
        if self.keep_alive.hold is not None:
            self.keep_alive.hold.pings(target, ping_price(target).bound)
        return target_with_options(target, self.provider_options)


DEFAULT_OPTIONS = SessionOptions()


def start_warnings(target: Target, caps: Caps) -> list[str]:
    """Return warnings for the start of a run: caps without effect, facts that are not known, costs without a bound."""
    warnings = (
        ineffective_caps_warning(caps, target),
        unknown_facts_warning(target),
        unbounded_cost_warning(caps, target),
    )
    return [warning for warning in warnings if warning is not None]
