"""Settings that cannot work are refused where they are made."""

from __future__ import annotations

from typing import Any

import pytest

from pithos_api.settings import PasswordCost, Settings

URLS = {"store_url": "files:/somewhere", "database_url": "sqlite:////somewhere/db"}


def test_defaults_work() -> None:
    settings = Settings(**URLS)
    assert settings.host == "127.0.0.1"
    assert settings.password_cost.memory_kib == 65536


@pytest.mark.parametrize(
    "field",
    [
        {"store_url": "/somewhere"},
        {"database_url": "somewhere"},
        {"port": -1},
        {"port": 65536},
        {"workers": 0},
        {"threads": 0},
        {"token_lifetime_s": 0},
        {"shutdown_grace_s": 0},
        {"idle_timeout_s": 0},
        {"public_url": "host"},
        {"public_url": "http://host/"},
    ],
)
def test_refused(field: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"URL|url|port|at least"):
        Settings(**{**URLS, **field})


@pytest.mark.parametrize("cost", [(0, 64, 1), (1, 7, 1), (1, 8, 2), (1, 8, 0)])
def test_password_costs_refused(cost: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="password cost"):
        PasswordCost(*cost)
