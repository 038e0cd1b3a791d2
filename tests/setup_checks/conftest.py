"""The fixtures of a hostile service, as in the tests of the client."""

from __future__ import annotations

from tests.azure.conftest import hostile, proxy

__all__ = ["hostile", "proxy"]
