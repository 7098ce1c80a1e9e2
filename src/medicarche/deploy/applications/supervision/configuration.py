"""The configuration of Prometheus, Alertmanager and the blackbox exporter, from what is to be watched.

JSON is YAML: what is written is data, put out by a library, so that no name needs quoting by hand.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any

from medicarche.cloud.marks import METADATA_KEY
from medicarche.spec.supervision import EXPORTERS, NODE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "AUTHORITIES",
    "FOLDER",
    "alertmanager",
    "as_yaml",
    "blackbox",
    "password_line",
    "prometheus",
    "targets",
]

FOLDER = "/etc/medicarche/supervision"
#: where the cloud's own figures are, in the supervision's instance
CLOUD_PORT = 9180
#: the certificates of authorities that probes believe: <application>.pem
AUTHORITIES = f"{FOLDER}/authorities"
_HEADER = "# Written by Medicarche; changes are put back.\n"
#: an alert comes at most two of these after its condition has held: one scrape, one evaluation
_INTERVAL = "15s"
_TIMEOUT = "10s"
#: an instance that is added is found within this; Prometheus' own default
_REFRESH = "60s"


def as_yaml(data: object) -> str:
    """Return data as a file."""
    return _HEADER + json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def password_line(login: str, password: str) -> str:
    """Return a line of nginx' file of users: salted SHA-1 (RFC 2307's SSHA), of a password that is random.

    The salt follows from the password, so that the file is the same at every run.
    """
    salt = hashlib.sha256(f"salt of {password}".encode()).digest()[:8]
    # 32 random characters aren't found by trying, whatever the hash
    made = hashlib.sha1(password.encode() + salt, usedforsecurity=False).digest()
    return f"{login}:{{SSHA}}{base64.b64encode(made + salt).decode()}\n"


def targets(watched: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the files that Prometheus reads its targets from: name → its content."""
    instances: Sequence[Mapping[str, Any]] = watched["instances"]
    applications: Sequence[Mapping[str, Any]] = watched["applications"]
    addresses = {i["name"]: i["address"] for i in instances if i["address"]}
    return {
        **{
            exporter.job: [
                {"targets": [f"{addresses[name]}:{exporter.port}"], "labels": {"instance": name}}
                for name in watched["exporters"][exporter.job]
                if name in addresses
            ]
            for exporter in EXPORTERS
            if exporter.job in watched["exporters"]
        },
        "applications": [
            {
                "targets": [application["probe"]],
                "labels": {
                    "application": application["name"],
                    "titre": application["title"],
                    "instance": application["instance"],
                    "url": application["url"],
                    "__param_module": application["name"],
                },
            }
            for application in applications
        ],
    }


def prometheus(watched: Mapping[str, Any]) -> dict[str, Any]:
    """Return Prometheus' configuration. It holds the credential's secret where there is one."""

    def from_file(job: str) -> dict[str, Any]:
        return {"job_name": job, "file_sd_configs": [{"files": [f"{FOLDER}/targets/{job}.json"]}]}

    def found(job: str, port: int) -> dict[str, Any]:
        if watched["cloud"] is None:
            return from_file(job)
        # an instance that the file doesn't name (yet) has the agent that all have, and no other
        kept = ".+" if job == NODE.job else "|".join(sorted(watched["exporters"][job]))
        return _discovered(watched, job, port, kept)

    def local(job: str, port: int, path: str) -> dict[str, Any]:
        return {
            "job_name": job,
            "metrics_path": path,
            "static_configs": [{"targets": [f"127.0.0.1:{port}"], "labels": {"instance": watched["own"]}}],
        }

    probes = {
        **from_file("applications"),
        "metrics_path": "/probe",
        "relabel_configs": [
            {"source_labels": ["__address__"], "target_label": "__param_target"},
            {"target_label": "__address__", "replacement": "127.0.0.1:9115"},
        ],
    }
    return {
        "global": {
            "scrape_interval": _INTERVAL,
            "scrape_timeout": _TIMEOUT,
            "evaluation_interval": _INTERVAL,
            "external_labels": {"environment": watched["environment"]},
        },
        "rule_files": [f"{FOLDER}/alertes.yml"],
        "alerting": {
            "alertmanagers": [
                {"path_prefix": "/alertmanager", "static_configs": [{"targets": ["127.0.0.1:9093"]}]}
            ]
        },
        "scrape_configs": [
            *(found(e.job, e.port) for e in EXPORTERS if e.job in watched["exporters"]),
            probes,
            *([local("cloud", CLOUD_PORT, "/metrics")] if watched["cloud"] is not None else []),
            local("prometheus", 9090, "/prometheus/metrics"),
            local("alertmanager", 9093, "/alertmanager/metrics"),
            local("blackbox", 9115, "/metrics"),
        ],
    }


def _discovered(watched: Mapping[str, Any], job: str, port: int, kept: str) -> dict[str, Any]:
    """Find instances by asking Nova; of the project's those that carry the environment's mark.

    ``kept``: a regular expression of the names of those that are meant. What is asked is the same for every
    job, so that Prometheus asks once for all: each time costs Keystone a log-in and looks at the token.
    """
    entry = watched["cloud"]["entry"]
    return {
        "job_name": job,
        "openstack_sd_configs": [
            {
                "role": "instance",
                "identity_endpoint": entry["auth"]["auth_url"],
                "application_credential_id": entry["auth"]["application_credential_id"],
                "application_credential_secret": entry["auth"]["application_credential_secret"],
                "region": entry["region_name"],
                "port": NODE.port,
                "refresh_interval": _REFRESH,
            }
        ],
        "relabel_configs": [
            {
                "source_labels": ["__address__"],
                "regex": "(.+):[0-9]+",
                "target_label": "__address__",
                "replacement": f"$1:{port}",
            },
            {
                "source_labels": [f"__meta_openstack_tag_{METADATA_KEY}"],
                "regex": f"medicarche:{watched['environment']}:server/({kept})",
                "action": "keep",
            },
            {
                "source_labels": [f"__meta_openstack_tag_{METADATA_KEY}"],
                "regex": "medicarche:[^:]+:server/(.+)",
                "target_label": "instance",
            },
        ],
    }


def alertmanager() -> dict[str, Any]:
    """Return Alertmanager's configuration: they are shown on the pages; there is no mail server yet."""
    return {
        "route": {
            "receiver": "pages",
            "group_by": ["alertname", "instance"],
            "group_wait": "10s",
            "group_interval": "1m",
            "repeat_interval": "12h",
        },
        "receivers": [{"name": "pages"}],
        "inhibit_rules": [
            {
                # an application isn't told apart from its instance that is gone
                "source_matchers": ['alertname =~ "InstanceInjoignable|InstanceAbsente"'],
                "target_matchers": ['alertname =~ "ApplicationInjoignable|ExporteurInjoignable"'],
                "equal": ["instance"],
            }
        ],
    }


def blackbox(watched: Mapping[str, Any]) -> dict[str, Any]:
    """Return one probe for each application: by its name, believing its authority only.

    What people open is asked as a visitor asks. Of what is for other applications the TLS handshake is
    looked at: a service that hangs takes connections still, and answers none.
    """
    return {"modules": {application["name"]: _probe(application) for application in watched["applications"]}}


def _probe(application: Mapping[str, Any]) -> dict[str, Any]:
    believed = {"ca_file": f"{AUTHORITIES}/{application['name']}.pem"} if application["authority"] else {}
    told = {
        "preferred_ip_protocol": "ip4",
        "tls_config": {"server_name": application["host"].rpartition(":")[0], **believed},
    }
    if application["prober"] == "tcp":
        return {"prober": "tcp", "timeout": "9s", "tcp": {"tls": True, **told}}
    asked = {
        "method": "GET",
        "follow_redirects": False,
        "valid_status_codes": [200, 301, 302, 303],
        "fail_if_not_ssl": True,
        "headers": {"Host": application["host"]},
    }
    return {"prober": "http", "timeout": "9s", "http": {**asked, **told}}
