"""Texts of the service that are safe to print, and log lines without secrets."""

from __future__ import annotations

import logging
import re

from hybridloop.runtime.escaping import escape_line

_SIGNATURE = re.compile(r"(?i)\b(sig|signature|accountkey|apikey|api-key)=[^&\s;\"']+")

_SIGN_IN = re.compile(r"""(?i)(\bauthorization:\s*|"token"\s*:\s*")[^"\r\n]+""")


def redact(text: str) -> str:
    """Return the text with keys and signatures replaced."""
    return _SIGNATURE.sub(r"\1=REDACTED", text)


def foreign_text(text: str, longest: int) -> str:
    """Return a text of the service, cut at so many characters, that is safe to print: one line."""
    return escape_line(" ".join(redact(text[:longest]).split()))


class _SecretFilter(logging.Filter):
    """Logging filter that redacts the signatures of storage URLs, and how Prefect's client signs in."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = _SIGN_IN.sub(r"\1REDACTED", redact(record.getMessage()))
        record.args = ()
        return True


_FILTER = _SecretFilter()


def redact_secrets_in_logs() -> None:
    """Redact the logs of the libraries that log requests with their secrets: HTTP, the SDK, Prefect's websockets."""
    for name in (
        "urllib3.connectionpool",
        "azure.quantum.storage",
        "azure.quantum.workspace",
        "azure.quantum.job.base_job",
        "azure.core.pipeline.policies.http_logging_policy",
        "websockets.client",
    ):
        logging.getLogger(name).addFilter(_FILTER)
