"""The OpenStack that is brought up where there is none: node, lifecycle, name space, forwards."""

from medicarche.embedded.build import ADMIN_CLOUD, MEMBER_CLOUD, READER_CLOUD
from medicarche.embedded.cloud import EmbeddedCloud
from medicarche.embedded.status import CloudStatus, SiteFacts

__all__ = ["ADMIN_CLOUD", "MEMBER_CLOUD", "READER_CLOUD", "CloudStatus", "EmbeddedCloud", "SiteFacts"]
