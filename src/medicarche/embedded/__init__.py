"""The OpenStack that is brought up where there is none: node, lifecycle, name space, forwards."""

from medicarche.embedded.cloud import ADMIN_CLOUD, MEMBER_CLOUD, CloudStatus, EmbeddedCloud, SiteFacts

__all__ = ["ADMIN_CLOUD", "MEMBER_CLOUD", "CloudStatus", "EmbeddedCloud", "SiteFacts"]
