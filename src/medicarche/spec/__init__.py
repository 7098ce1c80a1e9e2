"""What is wanted: the environment file, its checks, and its content as frozen data."""

from medicarche.spec.directory import Directory, Member
from medicarche.spec.environment import (
    Application,
    Environment,
    FlavorSpec,
    ImageSpec,
    IngressRule,
    Instance,
    Listener,
    Locale,
    Mirrors,
    NetworkSpec,
    Person,
    RouterSpec,
    SecurityGroupSpec,
    Site,
    SubnetSpec,
    Traits,
)
from medicarche.spec.listeners import listeners
from medicarche.spec.load import load_environment
from medicarche.spec.schema import json_schema

__all__ = [
    "Application",
    "Directory",
    "Environment",
    "FlavorSpec",
    "ImageSpec",
    "IngressRule",
    "Instance",
    "Listener",
    "Locale",
    "Member",
    "Mirrors",
    "NetworkSpec",
    "Person",
    "RouterSpec",
    "SecurityGroupSpec",
    "Site",
    "SubnetSpec",
    "Traits",
    "json_schema",
    "listeners",
    "load_environment",
]
