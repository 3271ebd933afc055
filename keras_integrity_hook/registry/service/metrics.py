# SPDX-License-Identifier: Apache-2.0
"""What Prometheus can ask the service: how much is asked, how long it takes, what is refused."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

CONTENT_TYPE = CONTENT_TYPE_LATEST
_METHODS = {"GET", "HEAD", "POST"}
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)
_PREFIX = "keras_integrity_registry"


class Metrics:
    """The numbers of one service; those of another in the same process are its own."""

    def __init__(self) -> None:
        self._all = CollectorRegistry()
        ProcessCollector(registry=self._all)
        self._requests = Counter(
            f"{_PREFIX}_requests",
            "Requests that were answered.",
            ["method", "route", "status"],
            registry=self._all,
        )
        self._seconds = Histogram(
            f"{_PREFIX}_request_seconds",
            "From the head of a request to the end of its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=self._all,
        )
        self._open = self._gauge("requests_open", "Requests that are being answered.")
        self._accepted = Counter(
            f"{_PREFIX}_events_accepted",
            "Events for which a receipt was given; one that was there already counts, too.",
            registry=self._all,
        )
        self._refused = Counter(
            f"{_PREFIX}_events_refused",
            "Events that were refused, by the rule they break.",
            ["rule"],
            registry=self._all,
        )

    def begun(self) -> None:
        """A request begins."""
        self._open.inc()

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request ends.

        Args:
            route: as it is written in the program; what strangers ask for would make a new line
                with every request.
        """
        self._open.dec()
        known = method if method in _METHODS else "other"
        self._requests.labels(known, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def accepted(self, count: int) -> None:
        """Receipts were given for so many events."""
        self._accepted.inc(count)

    def refused(self, rule: str) -> None:
        """An event was refused because of ``rule``, one of the words that the rules have."""
        self._refused.labels(rule).inc()

    def watch(self, name: str, help_text: str, value: Callable[[], float]) -> None:
        """Ask ``value`` whenever Prometheus asks."""
        self._gauge(name, help_text).set_function(value)

    def text(self) -> bytes:
        """All of them, in Prometheus's text format."""
        return generate_latest(self._all)

    def _gauge(self, name: str, help_text: str) -> Gauge:
        return Gauge(f"{_PREFIX}_{name}", help_text, registry=self._all)
