"""What holds for all tests."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

# Nothing may depend on the speed of the machine; a failure prints what replays it.
settings.register_profile(
    "archipelago", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("archipelago")

SKIPS_ALLOWED = ("template",)
"""Words of the reasons that hold even where every tool is installed: what `make demo` makes."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require-tools",
        action="store_true",
        help="a test that is skipped because the machine lacks something fails instead",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    report = yield
    if report.skipped and item.config.getoption("--require-tools"):
        reason = str(call.excinfo.value) if call.excinfo else ""
        if not any(word in reason for word in SKIPS_ALLOWED):
            report.outcome = "failed"
            report.longrepr = f"skipped, though nothing may be missing here: {reason}"
    return report
