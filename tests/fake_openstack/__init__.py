"""A stateful OpenStack at HTTP level, on loopback: below the SDK, so that the SDK's behaviour is tested too.

It keeps what matters to Medicarche: marks, filters, ownership and rights, quotas, states that take a few
looks, conflicts, and faults that can be ordered. What `fake_openstack.contract` asks (statuses, names of
errors, fields read) is answered as an embedded cloud does (OpenStack Zed); what isn't asked there was never
compared.
"""

from os_service_types import ServiceTypes

from fake_openstack.cloud import FakeOpenStack
from fake_openstack.faults import Fault, Kind

__all__ = ["FakeOpenStack", "Fault", "Kind"]

# it copies its whole table whenever the SDK looks a service up, half of what connecting costs; nobody changes
# what is copied, and the tests connect hundreds of times
ServiceTypes.all_types_by_service_type = property(  # type: ignore[method-assign, assignment]
    lambda self: self._service_types_data["all_types_by_service_type"]
)
