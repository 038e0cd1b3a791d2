"""The endpoints of a local service below `/_admin/clock`: bare calls, no retry but for a connection gone stale."""

from __future__ import annotations

import http.client
import json
import math
import threading
from typing import Any
from urllib.parse import urlsplit

from hybridloop.errors import AccessDenied, InputError, ServiceUnreachable

TIME_LIMIT_S = 10.0


class ServiceAway(Exception):
    """No answer, or the service does not know us any more: it was stopped, or started anew."""


class Membership:
    """An open connection that says that this process lives in the service's time; `id` is what it is called there."""

    def __init__(self, connection: http.client.HTTPConnection, participant_id: str) -> None:
        self._connection = connection
        self.id = participant_id

    def close(self) -> None:
        """Leave."""
        self._connection.close()


class ClockCalls:
    """Calls over one connection; they may come from several threads, one at a time goes out."""

    def __init__(self, endpoint: str, admin_key: str, *, timeout_s: float | None = TIME_LIMIT_S) -> None:
        self._host = urlsplit(endpoint).netloc
        self._headers = {"x-admin-key": admin_key, "content-type": "application/json"}
        self._timeout_s = timeout_s
        self._connection = self._connect()
        self._lock = threading.Lock()

    def now(self) -> float:
        """Seconds since the epoch. Raises ServiceAway."""
        return float(self._call("GET", "", None)["seconds"])

    def wait(self, participant_id: str, until: float) -> float:
        """Wait for the moment (infinity: until woken); the time then. Raises ServiceAway."""
        body = {"participant": participant_id, "until": until if math.isfinite(until) else None}
        return float(self._call("POST", "/wait", body)["seconds"])

    def wake(self, participant_id: str) -> None:
        """End the participant's wait. Raises ServiceAway."""
        self._call("POST", "/wake", {"participant": participant_id})

    def join(self, name: str) -> tuple[Membership, float]:
        """Join the service's time; also the time. Raises AccessDenied, InputError, or ServiceAway."""
        connection = self._connect()
        try:
            connection.request("POST", "/_admin/clock/participants", json.dumps({"name": name}), self._headers)
            reply = connection.getresponse()
            if reply.status == 401:
                happened = f"clock: {self._host} does not accept the admin key"
                raise AccessDenied(happened, "Nothing was changed by this.", "Give the key that the service printed.")
            if reply.status == 409:
                remedy = "Start the service with --clock virtual, or leave the clock out."
                raise InputError("clock", f"the service at {self._host} lives in real time", remedy)
            document = json.loads(reply.readline())
            connection.sock.settimeout(None)
            return Membership(connection, str(document["participant"])), float(document["seconds"])
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
            connection.close()
            raise ServiceAway(f"{type(error).__name__}: {error}") from error
        except BaseException:  # an open connection is a membership: whatever goes on from here, it must not stay
            connection.close()
            raise

    def unreachable(self) -> ServiceUnreachable:
        """What to say when the service stays away."""
        return ServiceUnreachable(
            f"the service at {self._host}, whose time this process lives in, does not answer",
            "Jobs that it has accepted run on once it is back.",
            "Start it again on the same state folder.",
        )

    def close(self) -> None:
        """Close the connection, also under a call that waits."""
        self._connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self._host, timeout=self._timeout_s)

    def _call(self, method: str, path: str, body: object) -> Any:
        data = None if body is None else json.dumps(body)
        with self._lock:
            for is_fresh in (False, True):  # a connection that was idle may have been closed at the other end
                if is_fresh:
                    self._connection.close()
                    self._connection = self._connect()
                try:
                    self._connection.request(method, f"/_admin/clock{path}", data, self._headers)
                    reply = self._connection.getresponse()
                    content = reply.read()
                    if reply.status == 200:
                        return json.loads(content)
                    failure: Exception = ServiceAway(f"answered {reply.status}")
                except (OSError, http.client.HTTPException, ValueError) as error:
                    failure = error
        raise ServiceAway(str(failure)) from failure
