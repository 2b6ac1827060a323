"""The run pushed to a Prometheus Pushgateway, for pods that are gone before anybody scrapes them.

Imported where metrics are pushed: it is an extra.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from typing import Final
from urllib.parse import unquote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from prometheus_client import CollectorRegistry, pushadd_to_gateway
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from worker.core.clock import Clock
from worker.core.secrets import redact
from worker.observers.exposition import RunState, metrics_of
from worker.observers.metrics import RunMetrics

JOB: Final = "complete-sessions"
_PATIENCE_S: Final = 5.0


class MetricsPush(RunMetrics[Sequence[Metric]]):
    """Pushes to the gateway at `url`, which may hold user and password.

    The group is that of the results log, whose name every run on it has: what the run does not say
    stays there from the one before, as the time of the last success after a failure.
    """

    def __init__(self, url: str, results: str, warn: Callable[[str], None], clock: Clock) -> None:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        self._gateway = f"{parts.scheme}://{host}{parts.path}"
        failing = f"the metrics cannot be pushed to {self._gateway}"
        super().__init__(self._gateway, failing, RunState, warn, clock)
        self._results = results
        self._authorization: list[tuple[str, str]] = []
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
            basic = f"Basic {base64.b64encode(pair).decode()}"
            self._authorization = [("Authorization", basic)]

    def _take(self, state: RunState) -> Sequence[Metric]:
        return list(metrics_of(state))

    def _deliver(self, shot: Sequence[Metric]) -> None:
        registry = CollectorRegistry()
        registry.register(_Taken(shot))
        try:
            pushadd_to_gateway(
                self._gateway,
                JOB,
                registry,
                {"results": self._results},
                timeout=_PATIENCE_S,
                handler=self._sending,
            )
        except OSError as error:
            raise OSError(redact(str(error))) from None
        except Exception as error:  # noqa: BLE001 - whatever a stranger answers, the run goes on
            raise OSError(f"{type(error).__name__}: {redact(str(error))}") from None

    def _sending(
        self,
        url: str,
        method: str,
        timeout: float | None,
        headers: list[tuple[str, str]],
        data: bytes,
    ) -> Callable[[], None]:
        headers = headers + self._authorization

        def send() -> None:
            request = Request(url, data, dict(headers), method=method)  # noqa: S310 - http or https
            build_opener(_NoRedirects).open(request, timeout=timeout).close()

        return send


class _NoRedirects(HTTPRedirectHandler):
    """Redirects are errors: urllib would take user and password along to any host."""

    def redirect_request(self, *_: object) -> None:
        return None


class _Taken(Collector):
    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        return iter(self._metrics)
