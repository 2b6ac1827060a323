"""The variables of the environment that hold secrets of this program."""

from __future__ import annotations

from typing import Final

KEY_VARIABLE: Final = "COMPLYCUBE_API_KEY"
KEY_FILE_VARIABLE: Final = "WORKER_API_KEY_FILE"

ADDRESS_VARIABLES: Final = ("WORKER_SHARED_URL", "WORKER_METRICS_PUSH")
"""Addresses that may hold a password."""

SECRET_VARIABLES: Final = (KEY_VARIABLE, *ADDRESS_VARIABLES)
"""What a program that this one starts has no need of."""
