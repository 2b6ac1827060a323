from __future__ import annotations

import pytest

from tests.support.settings_harness import KEY, Harness
from worker.settings import (
    Settings,
)


class TestTheEnvironment:
    @pytest.mark.parametrize(
        ("name", "advice"),
        [
            ("WORKER_PACE_RAT", "Did you mean WORKER_PACE_RATE?"),
            ("WORKER_PACE_", "Did you mean WORKER_PACE_"),
            ("WORKER_API_KEY", "The key itself belongs in the environment variable COMPLYCUBE"),
            ("WORKER_API_BASEURL", "Did you mean WORKER_API_BASE_URL?"),
            ("WORKER_STOP_MAX_DURATON", "Did you mean WORKER_STOP_MAX_DURATION?"),
            ("WORKER_LOG_COLOUR", ""),
            ("WORKER_SOURCE_PATH", ""),
            ("WORKER_RETRY_ON_AMBIGOUS", "Did you mean WORKER_RETRY_ON_AMBIGUOUS?"),
            ("WORKER_RATE", "Did you mean WORKER_PACE_RATE?"),
            ("WORKER_FIELD", "Did you mean WORKER_SOURCE_FIELD?"),
            ("WORKER_FORMAT", "Did you mean WORKER_SOURCE_FORMAT or WORKER_LOG_FORMAT?"),
            ("WORKER_CONCURRENCY", "Did you mean WORKER_PACE_CONCURRENCY?"),
            ("WORKER_RESULT", "Did you mean WORKER_RESULTS?"),
            ("WORKER_METRIC_FILE", "Did you mean WORKER_METRICS_FILE?"),
        ],
    )
    def test_a_misspelt_variable_is_an_error(
        self, harness: Harness, name: str, advice: str
    ) -> None:
        error = harness.error(environ={name: KEY})
        assert error.startswith(f"the environment variable {name} is unknown")
        assert advice in error

    @pytest.mark.parametrize(
        "name",
        [
            *("WORKER_SERVICE_HOST", "WORKER_SERVICE_PORT", "WORKER_SERVICE_PORT_HTTP"),
            *("WORKER_PORT", "WORKER_PORT_80_TCP", "WORKER_PORT_80_TCP_ADDR"),
            *("WORKER_API_SERVICE_HOST", "WORKER_API_PORT", "WORKER_API_PORT_8080_TCP_PROTO"),
            *("WORKER_ID", "WORKER_CLASS", "WORKER_NAME", "WORKER_", "WORKER_HOME"),
            *("WORKERS", "WORKER", "worker_pace_rate", "MY_WORKER_PACE_RATE"),
        ],
    )
    def test_variables_of_others_are_let_be(self, harness: Harness, name: str) -> None:
        assert harness.load(environ={name: "tcp://10.0.0.1:80"}).settings == Settings()

    def test_blanks_around_a_value_are_taken_off(self, harness: Harness) -> None:
        assert harness.load(environ={"WORKER_PACE_RATE": " 5\n"}).settings.pace.rate == 5.0
