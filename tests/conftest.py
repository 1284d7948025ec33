"""For every test: a busy machine is no finding, so hypothesis judges no test by its speed."""

from hypothesis import HealthCheck, settings

settings.register_profile("zvault", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("zvault")
