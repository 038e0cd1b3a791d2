"""Log lines of libraries that log requests have no secrets."""

from __future__ import annotations

import logging

import pytest

from hybridloop.azure.redaction import redact_secrets_in_logs


@pytest.mark.claim("No secret is in")
@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("websockets.client", "> Authorization: Basic %s"),
        ("websockets.client", '> TEXT \'{"type": "auth", "token": "%s"}\' [81 bytes]'),
        ("urllib3.connectionpool", "GET /container/blob?sv=2023&sig=%s&se=1 HTTP/1.1"),
    ],
)
def test_a_log_line_names_no_secret(name: str, line: str, caplog: pytest.LogCaptureFixture) -> None:
    redact_secrets_in_logs()
    with caplog.at_level(logging.DEBUG):
        logging.getLogger(name).debug(line, "c2VjcmV0OnNlY3JldA==")
    assert "REDACTED" in caplog.text
    assert "c2VjcmV0" not in caplog.text
