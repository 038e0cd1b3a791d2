"""What all documents have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

EXACT = ConfigDict(extra="forbid")
Moment = Annotated[str, Field(description="UTC, ISO 8601")]
Amounts = Annotated[dict[str, float], Field(description="by unit: USD, HQC, eHQC")]
