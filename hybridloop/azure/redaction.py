"""Texts and log lines of the service without the signatures of storage addresses, and without control characters."""

from __future__ import annotations

import logging
import re

from hybridloop.runtime.messages import escape_control

_SIGNATURE = re.compile(r"(?i)\b(sig|signature|accountkey|apikey|api-key)=[^&\s;\"']+")


def redact(text: str) -> str:
    """Return the text with keys and signatures replaced."""
    return _SIGNATURE.sub(r"\1=REDACTED", text)


def foreign_text(text: str, longest: int) -> str:
    """Return a text of the service, cut at so many characters, that is safe to print."""
    return escape_control(redact(text[:longest]))


class _SignatureFilter(logging.Filter):
    """Logging filter that redacts the signatures of storage URLs."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.args or "sig=" in str(record.msg):
            record.msg = redact(record.getMessage())
            record.args = ()
        return True


_FILTER = _SignatureFilter()


def redact_signatures_in_logs() -> None:
    """Redact storage URLs in the logs of the HTTP library and of the SDK, which log them with their signatures."""
    for name in (
        "urllib3.connectionpool",
        "azure.quantum.storage",
        "azure.quantum.workspace",
        "azure.quantum.job.base_job",
        "azure.core.pipeline.policies.http_logging_policy",
    ):
        logging.getLogger(name).addFilter(_FILTER)
