"""cloud-init user data of an instance: what must be set before anything else can reach it.

No secret is in it: every process of the instance can read it from the metadata service.
"""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML

if TYPE_CHECKING:
    from medicarche.spec.environment import Environment, Site

__all__ = ["user_data"]


def user_data(environment: Environment, instance_name: str, site: Site) -> str:
    """Return an instance's user data, in cloud-init's ``#cloud-config`` form.

    Locale and keyboard are the image's own: cloud-init would generate the locale again at each first boot.
    """
    config: dict[str, Any] = {
        "hostname": instance_name,
        "fqdn": f"{instance_name}.{environment.domain}",
        "prefer_fqdn_over_hostname": False,
        # its own name must resolve without a name server, or sudo waits for one
        "manage_etc_hosts": True,
        "timezone": environment.locale.timezone,
        "disable_root": True,
        "ssh_pwauth": False,
        # one set of host keys per instance, written to the console log: that is where they are learnt
        "ssh_deletekeys": True,
        "ssh_genkeytypes": ["ed25519", "ecdsa"],
        "package_update": False,
        "package_upgrade": False,
    }
    if site.package_proxy is not None:
        address, port = site.package_proxy
        proxy = f"http://{address}:{port}"
        config["apt"] = {
            # the image's own sources stay as they are
            "preserve_sources_list": True,
            "conf": f'Acquire::http::Proxy "{proxy}";\nAcquire::https::Proxy "{proxy}";\n',
        }
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.width = 1000
    text = StringIO()
    yaml.dump(config, text)
    return f"#cloud-config\n{text.getvalue()}"
