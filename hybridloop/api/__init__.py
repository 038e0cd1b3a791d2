"""Public functions: flows called as functions, with everything they need started around them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybridloop.renamed_modules import former_names

if not TYPE_CHECKING:
    __getattr__ = former_names(__name__)
