"""APP-4: the company's public web application."""

from __future__ import annotations

import datetime as dt
import html
import re
import secrets
from typing import TYPE_CHECKING

import pytest

from medicarche.probe import Client, PortState, inspect, scan, versions_offered

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from testinfra.host import Host

    from medicarche.converge import InstanceState
    from medicarche.credentials import Credentials
    from medicarche.spec.environment import Application, Environment

pytestmark = [pytest.mark.requirement("APP-4"), pytest.mark.application_kind("wordpress")]


def text_of(page: str) -> str:
    """A page's words as a visitor reads them, typographic signs made plain."""
    return html.unescape(page).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").replace("\u00a0", " ")


# --- as a visitor sees it ----------------------------------------------------------------------------------


def test_the_home_page_is_the_companys_and_in_french(
    outside: Client, url: str, application: Application, environment: Environment
) -> None:
    answer = outside.get(f"{url}/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=UTF-8"
    assert re.search(rf'<html[^>]* lang="{environment.locale.language.partition("_")[0]}', answer.text)
    words = text_of(answer.text)
    assert application.title.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'") in words
    assert application.settings["tagline"] in words
    assert environment.organization in words
    # not an error told with 200, nor WordPress's own example
    assert "Fatal error" not in words
    assert "Hello world" not in words
    assert "Bonjour tout le monde" not in words


def test_all_that_the_home_page_loads_comes_from_the_site_itself(outside: Client, url: str) -> None:
    page = outside.get(f"{url}/").text
    loaded = re.findall(
        r"""<(?:link[^>]*rel=['"]stylesheet['"][^>]*href|script[^>]*src|img[^>]*src)=['"]([^'"]+)""", page
    )
    for address in loaded:
        address = html.unescape(address)  # noqa: PLW2901 - the same address, as a browser reads it
        absolute = f"{url}{address}" if address.startswith("/") else address
        assert absolute.startswith(f"{url}/"), f"{address} is loaded from elsewhere"
        assert outside.get(absolute).status_code == 200


def test_a_page_that_isnt_there_is_404(outside: Client, url: str) -> None:
    assert outside.get(f"{url}/il-n-y-a-pas-de-telle-page").status_code == 404


def test_port_80_only_redirects(outside: Client, url: str, instance: InstanceState) -> None:
    answer = outside.get(f"http://{instance.floating_address}/une/page?x=1")
    assert answer.status_code == 301
    assert answer.headers["location"] == f"{url}/une/page?x=1"
    assert outside.get(answer.headers["location"]).status_code in {200, 301, 302, 404}


def test_a_foreign_host_is_refused(outside: Client, url: str, instance: InstanceState) -> None:
    for address in (url, f"http://{instance.floating_address}"):
        answer = outside.get(f"{address}/", headers={"Host": "www.example.org"})
        assert answer.status_code == 421
        assert "www.example.org" not in answer.text


def test_the_certificate_is_verified_by_the_environments_authority(
    application: Application, instance: InstanceState, authority: Path, environment: Environment
) -> None:
    address = str(instance.floating_address)
    seen = inspect(address, application.port, authority=authority)
    assert seen.trusted, seen.distrust
    assert address in seen.names
    assert seen.issuer != seen.subject
    now = dt.datetime.now(dt.UTC)
    assert seen.not_before <= now < seen.not_after
    assert seen.not_after - now > dt.timedelta(days=7)
    assert all(
        name == "localhost" or name.endswith(environment.domain) or not name[-1].isalpha()
        for name in seen.names
    )
    named = inspect(address, application.port, authority=authority, name=f"www.{environment.domain}")
    assert named.trusted, named.distrust
    assert not inspect(address, application.port, authority=authority, name="www.example.org").trusted


def test_only_present_versions_of_tls_are_spoken(application: Application, instance: InstanceState) -> None:
    assert versions_offered(str(instance.floating_address), application.port) == {"TLSv1_2", "TLSv1_3"}


def test_plain_http_isnt_served_on_its_port(
    outside: Client, application: Application, instance: InstanceState
) -> None:
    answer = outside.get(f"http://{instance.floating_address}:{application.port}/")
    assert answer.status_code in {301, 400, 421}
    if answer.status_code == 301:
        assert answer.headers["location"].startswith("https://")


# --- logging in --------------------------------------------------------------------------------------------


def log_in(client: Client, url: str, user: str, password: str) -> bool:
    """Log in through WordPress's form, and say whether the dashboard then opens.

    A wrong password is answered with 200 (and the form again), so that the status alone says nothing.
    """
    assert client.get(f"{url}/wp-login.php").status_code == 200
    answer = client.post(
        f"{url}/wp-login.php",
        data={"log": user, "pwd": password, "redirect_to": f"{url}/wp-admin/", "testcookie": "1"},
    )
    opened = client.get(f"{url}/wp-admin/")
    if opened.status_code != 200:
        assert opened.status_code == 302
        assert "wp-login.php" in opened.headers["location"]
        assert answer.status_code == 200
        return False
    return True


def test_the_generated_password_opens_the_administration(
    outside: Client, url: str, administrator: tuple[str, str]
) -> None:
    assert "Mot de passe" in text_of(outside.get(f"{url}/wp-login.php").text)
    assert log_in(outside, url, *administrator)
    assert "Tableau de bord" in text_of(outside.get(f"{url}/wp-admin/").text)
    for cookie in outside.cookies:
        if cookie.name.startswith("wordpress_sec") or cookie.name.startswith("wordpress_logged_in"):
            assert cookie.secure
            assert cookie.has_nonstandard_attr("HttpOnly") or cookie.has_nonstandard_attr("httponly")


@pytest.mark.parametrize(
    ("user", "password"),
    [("dsi", "wrong"), ("admin", "admin"), ("admin", "password"), ("dsi", "dsi")],
    ids=["wrong password", "admin, admin", "admin, password", "the name as password"],
)
def test_no_other_login_does(outside: Client, url: str, user: str, password: str) -> None:
    assert not log_in(outside, url, user, password)


def rest(client: Client, url: str) -> dict[str, str]:
    """Return the header that proves to WordPress's REST API that a logged-in person's own page is calling."""
    answer = client.get(f"{url}/wp-admin/admin-ajax.php?action=rest-nonce")
    assert answer.status_code == 200
    return {"X-WP-Nonce": answer.text}


@pytest.fixture
def colleague(
    application: Application, environment: Environment, credentials: Credentials
) -> tuple[str, str] | None:
    """An editor of the directory; None where the site doesn't ask one, and makes accounts of its own."""
    directory = environment.directory
    if directory is None or not application.roles:
        return None
    roles = directory.with_roles(application.roles, application.traits.roles)
    login = next((login for login, role in roles.items() if role == "editor"), None)
    if login is None:
        pytest.skip("nobody of the directory is an editor of the site")
    return login, str(credentials.get(f"{directory.application}/person/{login}"))


@pytest.fixture
def editor(
    authority: Path, url: str, administrator: tuple[str, str], colleague: tuple[str, str] | None
) -> Iterator[tuple[str, str]]:
    """An editor's login and password, for as long as the test runs; what is theirs goes with them."""
    if colleague is not None:
        yield colleague
        return
    name, password = f"essai-{secrets.token_hex(4)}", secrets.token_urlsafe(24)
    with Client(authority) as client:
        assert log_in(client, url, *administrator)
        proof = rest(client, url)
        person = {
            "username": name,
            "password": password,
            "email": f"{name}@example.org",
            "roles": ["editor"],
        }
        made = client.post(f"{url}/wp-json/wp/v2/users", json=person, headers=proof)
        assert made.status_code == 201, made.text
        yield name, password
        gone = client.delete(
            f"{url}/wp-json/wp/v2/users/{made.json()['id']}?force=true&reassign=0", headers=proof
        )
        assert gone.status_code == 200, gone.text


def test_an_editor_publishes_an_article_that_the_public_reads(
    outside: Client, authority: Path, url: str, editor: tuple[str, str]
) -> None:
    articles = f"{url}/wp-json/wp/v2/posts"
    title = f"Un virus à l'essai {secrets.token_hex(4)}"
    article = {"title": title, "content": "<p>Première observation.</p>", "status": "publish"}
    assert outside.post(articles, json=article).status_code == 401
    with Client(authority) as client:
        assert log_in(client, url, *editor)
        proof = rest(client, url)
        made = client.post(articles, json=article, headers=proof)
        assert made.status_code == 201, made.text
        try:
            page = outside.get(made.json()["link"])
            assert page.status_code == 200
            assert title in text_of(page.text)
            assert "Première observation." in text_of(page.text)
            # an editor writes, and administers nothing
            assert client.get(f"{url}/wp-json/wp/v2/settings", headers=proof).status_code == 403
        finally:
            client.delete(f"{articles}/{made.json()['id']}?force=true", headers=proof)
    assert outside.get(made.json()["link"]).status_code == 404


def test_nobody_can_register_or_post_from_afar(outside: Client, url: str) -> None:
    answer = outside.get(f"{url}/wp-login.php?action=register")
    assert "registration=disabled" in answer.headers.get("location", "")
    assert outside.post(f"{url}/xmlrpc.php", data="<methodCall/>").status_code == 403
    installer = outside.get(f"{url}/wp-admin/install.php")
    assert 'name="weblog_title"' not in installer.text, "anybody could install the site anew"


def test_configuration_and_sources_arent_served(outside: Client, url: str) -> None:
    for path in ("/wp-config.php", "/wp-config.php~", "/.htaccess", "/.git/config", "/wp-content/debug.log"):
        answer = outside.get(f"{url}{path}")
        assert "DB_PASSWORD" not in answer.text
        assert answer.status_code in {200, 403, 404}
        if answer.status_code == 200:
            assert answer.text == "", path


@pytest.mark.parametrize(
    "path",
    ["/wp-content/", "/wp-content/uploads/", "/wp-content/themes/", "/wp-includes/", "/wp-includes/js/"],
)
def test_no_folder_is_listed(outside: Client, url: str, path: str) -> None:
    answer = outside.get(f"{url}{path}")
    # WordPress's own empty page is in some of them
    assert answer.status_code in {403, 404} or answer.text == ""
    assert "Index of" not in answer.text
    assert "Parent Directory" not in answer.text


def test_no_version_is_told(outside: Client, url: str, machine: Host) -> None:
    script = "require '/usr/share/wordpress/wp-includes/version.php'; echo $wp_version, ' ', PHP_VERSION;"
    versions = machine.check_output("php -r %s", script).split()
    versions.append(machine.check_output("dpkg-query -W -f '${source:Upstream-Version}' nginx"))
    versions.append(machine.check_output("dpkg-query -W -f '${source:Upstream-Version}' apache2"))
    assert len(versions) == 4
    for path in ("/", "/wp-login.php", "/feed/", "/readme.html", "/il-n-y-a-pas-de-telle-page"):
        answer = outside.get(f"{url}{path}")
        told = answer.text + "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
        assert [version for version in versions if version in told] == [], path
        assert "x-powered-by" not in answer.headers


# --- in the instance ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nginx", "apache2", "mariadb", "ssh"])
def test_its_services_run_and_start_at_boot(machine: Host, name: str) -> None:
    service = machine.service(name)
    assert service.is_running
    assert service.is_enabled


def test_no_unit_failed(machine: Host) -> None:
    assert machine.check_output("systemctl --failed --plain --no-legend") == ""


def test_each_application_stays_on_loopback(instance: InstanceState, machine: Host) -> None:
    """Apache and the database don't answer on the private address, not even from the instance itself."""
    for port in (8080, 3306):
        done = machine.run("timeout 3 bash -c ': < /dev/tcp/%s/%s'", instance.private_address, str(port))
        assert done.rc == 1, f"port {port} answers"
    endpoints = [(str(instance.floating_address), port) for port in (8080, 3306, 443)]
    assert PortState.OPEN not in scan(endpoints).values()


def test_secrets_are_readable_by_those_who_need_them_only(machine: Host) -> None:
    secret_files = machine.check_output(
        "find -L /etc/wordpress /etc/nginx /etc/mysql -type f"
        r" \( -name 'config-*.php' -o -name '*.key' -o -name 'debian.cnf' \) -print"
    ).split()
    assert any(path.endswith(".php") for path in secret_files)
    assert any(path.endswith(".key") for path in secret_files)
    for path in secret_files:
        mode = machine.file(path).mode
        assert not mode & 0o007, f"{path}: {oct(mode)}"
        assert machine.file(path).user == "root"


def test_no_secret_is_readable_by_everybody_in_the_instance(machine: Host, credentials: Credentials) -> None:
    """As nobody: no generated password is in a file that may be read, nor in a process's line."""
    readable = machine.run(
        "runuser -u nobody -- find /etc /var/lib /var/log /usr/local /home /root /srv /opt /tmp /run -xdev"
        " -type f -readable -size -200k -print0 2>/dev/null | xargs -0 cat 2>/dev/null; ps -e -o args"
    ).stdout_bytes
    # the search does find what may be read
    assert b"root:x:0:0:" in readable
    assert b"nginx: master process" in readable
    assert not any(secret.encode() in readable for secret in credentials.values())


def test_the_databases_user_has_no_password_and_only_its_own_database(machine: Host) -> None:
    query = "mariadb --batch --skip-column-names --execute=%s"
    far = machine.check_output(query, "SELECT user, host FROM mysql.user WHERE host <> 'localhost'")
    assert far == "", "an account that may come over the network"
    # an account whose password is empty lets everybody in; 'invalid' is no password's hash
    empty = (
        "SELECT user FROM mysql.user WHERE plugin = 'mysql_native_password' AND authentication_string = ''"
    )
    assert machine.check_output(query, f"{empty} AND user NOT LIKE 'mariadb.sys'") == ""
    grants = machine.check_output(query, "SHOW GRANTS FOR 'www-data'@'localhost'")
    assert "ON *.* " not in grants.replace("GRANT USAGE ON *.* ", "")
