"""What a run for a binary problem can be told."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from hybridloop.flows.settings.names import MixerName, ObjectiveName
from hybridloop.flows.settings.run import RunSettings


class QaoaSettings(RunSettings):
    """Settings of a QAOA run."""

    objective: ObjectiveName = Field(ObjectiveName.MAX_CUT, description="what is asked of a graph")
    layers: int = Field(3, ge=1, le=7, description="layers of the circuit, two angles each")
    mixer: MixerName = Field(MixerName.AUTO, description="what moves amplitude between assignments")
    shots: int = Field(1000, ge=1, le=10_000_000, description="shots for each circuit")
    refine: int = Field(0, ge=0, le=20, description="steps away from the fixed angles that may be tried")
    extend_to: int | None = Field(
        None,
        ge=2,
        le=20,
        description="layers up to which more are added, one at a time, where each shows a gain",
        examples=[6],
    )
    cvar: float = Field(
        1.0, gt=0, le=1, description="share of the best shots that refining and extending go by; 1: their mean"
    )

    @model_validator(mode="after")
    def _is_of_use(self) -> Self:
        if self.cvar < 1 and not self.refine and self.extend_to is None:
            raise ValueError("cvar steers refine and extend_to, and neither is given: give one, or leave cvar out")
        if self.extend_to is not None and self.extend_to <= self.layers:
            raise ValueError(f"extend_to is {self.extend_to}, and there are {self.layers} layers to start with")
        return self


class RqaoaSettings(RunSettings):
    """Settings of a recursive QAOA run."""

    objective: ObjectiveName = Field(ObjectiveName.MAX_CUT, description="what is asked of a graph")
    layers: int = Field(1, ge=1, le=7, description="layers of each round's circuit")
    shots: int = Field(1000, ge=1, le=10_000_000, description="shots for each round's circuit")
    stop_at: int = Field(3, ge=1, le=20, description="variables that are left to be gone through one by one")
