"""What holds for all tests."""

from hypothesis import HealthCheck, settings

# Nothing may depend on the speed of the machine; a failure prints what replays it.
settings.register_profile(
    "archipelago", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("archipelago")
