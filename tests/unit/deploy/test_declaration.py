"""What the applications declare, and the job that is made of it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509

from deploy_job import job_of
from medicarche import deploy
from medicarche.credentials import Credentials
from medicarche.deploy.templating import render
from medicarche.errors import DeploymentError, SpecificationError
from medicarche.options import Options
from medicarche.spec import load_environment
from medicarche.spec.environment import (
    Application,
    Environment,
    ImageSpec,
    Instance,
    Locale,
    Mirrors,
)
from medicarche.target import select

TEMPLATES = Path(deploy.__file__).parent
ENVIRONMENTS = Path(__file__).parents[3] / "environments"


@dataclass(frozen=True)
class Machine:
    """What is known of an instance."""

    name: str = "website"
    id: str = "1"
    private_address: str | None = "192.168.222.5"
    floating_address: str | None = "10.20.20.105"


SITE = Application(
    name="website",
    kind="wordpress",
    instance="website",
    port=8088,
    title="Medicarche",
    settings={
        "tagline": "L'essentiel",
        "administrator": "dsi",
        "sites": "ARCHE: La Défense; ARCADE: Paris 8e",
    },
    egress=("dns",),
)
ENVIRONMENT = Environment(
    source=Path("e.yaml"),
    name="e",
    organization="Medicarche",
    domain="medicarche.internal",
    locale=Locale("fr_FR.UTF-8", "fr", "Europe/Paris"),
    administrators=(),
    mirrors=Mirrors(),
    networks=(),
    routers=(),
    security_groups=(),
    flavors=(),
    images=(ImageSpec("debian-13", "trixie", "debian", 1024, "public"),),
    key_pair="administration",
    instances=(Instance("website", "small", "debian-13", "private", floating_ip=True, security_groups=()),),
    applications=(SITE,),
)


@pytest.mark.parametrize("kind", sorted(deploy.KINDS))
def test_only_loopback_listens_besides_the_public_port(kind: str) -> None:
    for listener in deploy.listeners(replace(SITE, kind=kind)):
        assert ip_address(listener.address).is_loopback
        assert not listener.public
        assert listener.why


def test_the_companys_file_says_each_minimum_beside_the_flavors() -> None:
    path = Path(__file__).parents[3] / "environments/medicarche.yaml"
    beside = path.read_text(encoding="utf-8").partition("\nflavors:")[0].rpartition("\n\n")[2]
    for application in load_environment(path).applications:
        least = deploy.KINDS[application.kind].minimum
        assert re.search(
            rf"^#   {application.kind} +{least.ram_mib} MiB and {least.disk_gib} GiB: \S",
            beside,
            re.MULTILINE,
        ), application.kind


def test_a_flavor_below_the_minimum_is_refused(tmp_path: Path) -> None:
    environments = Path(__file__).parents[3] / "environments"
    text = (environments / "medicarche.yaml").read_text(encoding="utf-8")
    small = text.replace("ram_mib: 1024, disk_gib: 9", "ram_mib: 512, disk_gib: 3")
    path = tmp_path / "small.yaml"
    path.write_text(small.replace("people: ", f"people: {environments}/"), encoding="utf-8")
    with pytest.raises(SpecificationError) as caught:
        load_environment(path, check_settings=deploy.check_settings, minimum_size=deploy.minimum_size)
    disk, memory = caught.value.message.splitlines()
    assert (
        "instances.odoo.flavor: flavor 'medicarche.large' has 512 MiB of memory, and odoo asks for" in memory
    )
    assert "Odoo's documentation" in memory
    assert "has 3 GiB of disk" in disk


@pytest.mark.parametrize("kind", sorted(deploy.KINDS))
def test_a_minimum_says_where_it_comes_from(kind: str) -> None:
    minimum = deploy.KINDS[kind].minimum
    assert minimum.ram_mib > 0
    assert minimum.disk_gib > 0
    assert minimum.source


def test_the_companys_settings_are_right() -> None:
    assert list(deploy.check_settings(SITE)) == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"administrator": "dsi"}, "settings.tagline: missing"),
        ({"tagline": "t"}, "settings.administrator: a login"),
        ({"tagline": "t", "administrator": "admin"}, "what attackers try first"),
        ({"tagline": "t", "administrator": "D S I"}, "settings.administrator: a login"),
        ({"tagline": "t", "administrator": "dsi", "them": "x"}, "settings.them: unknown"),
        ({"tagline": "t", "administrator": "dsi", "sites": "ARCHE"}, "'ARCHE' isn't 'name: place'"),
    ],
)
def test_wrong_settings_are_told_one_by_one(settings: dict[str, str], said: str) -> None:
    found = list(deploy.check_settings(replace(SITE, settings=settings)))
    assert len(found) == 1
    assert said in found[0]


def test_an_unknown_kind_is_told() -> None:
    (said,) = deploy.check_settings(replace(SITE, kind="x"))
    assert said == f"kind: 'x' isn't known; known are {', '.join(sorted(deploy.KINDS))}"


def _job(folder: Path, environment: Environment = ENVIRONMENT, machine: Machine | None = None) -> object:
    return job_of(environment, [machine or Machine()], folder)


def test_the_job_is_the_same_every_time(tmp_path: Path) -> None:
    first = json.dumps(_job(tmp_path))
    assert json.dumps(_job(tmp_path)) == first


def test_the_certificate_carries_every_name_that_nginx_answers_to(tmp_path: Path) -> None:
    job = json.loads(json.dumps(_job(tmp_path)))
    instance = job["instances"][0]
    certificate = x509.load_pem_x509_certificate(instance["certificate"].encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    carried = {*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))}
    assert carried == set(instance["host_names"])
    assert {"10.20.20.105", "192.168.222.5", "www.medicarche.internal", "localhost"} <= carried


def test_passwords_are_the_environments(tmp_path: Path) -> None:
    job = json.loads(json.dumps(_job(tmp_path)))
    secrets = job["instances"][0]["applications"][0]["secrets"]
    known = Credentials(tmp_path)
    assert set(secrets) == set(deploy.KINDS["wordpress"].secrets)
    assert {known.get(f"website/{purpose}") for purpose in secrets} == set(secrets.values())


def test_an_instance_without_address_or_of_unknown_kind_is_told(tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match="no address"):
        _job(tmp_path, machine=Machine(private_address=None, floating_address=None))
    with pytest.raises(DeploymentError, match="no application of kind 'x'"):
        _job(tmp_path, replace(ENVIRONMENT, applications=(replace(SITE, kind="x"),)))


def test_nginx_refuses_foreign_hosts_and_speaks_tls_only(tmp_path: Path) -> None:
    instance = json.loads(json.dumps(_job(tmp_path)))["instances"][0]
    text = render(TEMPLATES / "templates", "sites.conf.j2", **instance)
    assert text.count("return 421;") == 2
    assert "listen 80 default_server;" in text
    assert "listen 8088 ssl default_server;" in text
    assert f"server_name {' '.join(instance['host_names'])};" in text
    assert "Strict-Transport-Security $" not in text
    assert "return 301 https://$host:8088$request_uri;" in text


def test_values_are_escaped_for_the_language_that_they_land_in(tmp_path: Path) -> None:
    (tmp_path / "a.php").write_text("'{{ value | php }}' {{ value | e }}")
    assert render(tmp_path, "a.php", value="l'a\\<b>") == "'l\\'a\\\\<b>' l&#39;a\\&lt;b&gt;"


def test_the_home_page_names_the_sites() -> None:
    text = render(
        TEMPLATES / "applications" / "wordpress" / "templates",
        "home.html.j2",
        application={"settings": {"tagline": "<script>"}},
        organization="Medicarche",
        domain="medicarche.internal",
        sites=[("ARCHE", "La Défense")],
    )
    assert "La Défense" in text
    assert "&lt;script&gt;" in text
    assert "<script>" not in text


def test_pyinfra_stays_in_its_own_process() -> None:
    code = "import sys, medicarche.deploy; sys.exit(bool({'pyinfra', 'gevent'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("file", sorted(ENVIRONMENTS.glob("*[!s].yaml")), ids=lambda path: path.stem)
def test_each_environment_that_comes_with_the_project_is_accepted(file: Path) -> None:
    environment = select(Options(file, cloud="any")).environment
    assert environment.applications
