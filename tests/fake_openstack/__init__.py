"""A stateful OpenStack at HTTP level, on loopback: below the SDK, so that the SDK's behaviour is tested too.

It keeps what matters to Medicarche: marks, filters, ownership and rights, quotas, states that take a few
looks, conflicts, and faults that can be ordered. Its answers were compared with those of a real one (Zed).
"""

from fake_openstack.cloud import FakeOpenStack
from fake_openstack.faults import Fault, Kind

__all__ = ["FakeOpenStack", "Fault", "Kind"]
