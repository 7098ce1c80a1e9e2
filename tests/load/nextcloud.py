"""People in Nextcloud: they list their files, upload, download, and share by link."""

from __future__ import annotations

import hashlib
import re
import secrets

from locust import task

from medicarche.load.scenario import Person, of

_OCS = {"OCS-APIRequest": "true", "Accept": "application/json"}
_SIZE = 256 * 1024


@of("nextcloud")
class Colleague(Person):
    """Somebody who keeps files there."""

    def on_start(self) -> None:
        """Make a folder of one's own."""
        self.person = self.login()
        self.folder = f"essai-de-charge-{secrets.token_hex(6)}"
        self.files: dict[str, str] = {}
        self.shared: set[str] = set()
        with self.ask("MKCOL", self._path(), "make a folder", auth=self.person) as answer:
            self.check(answer, 201)

    def on_stop(self) -> None:
        """Remove the folder with all that is in it; shares go with their files."""
        with self.ask("DELETE", self._path(), "remove a folder", auth=self.person) as answer:
            self.check(answer, 204)

    @task(5)
    def look_around(self) -> None:
        """List the folder."""
        with self.ask("PROPFIND", self._path(), "list", auth=self.person, headers={"Depth": "1"}) as answer:
            text = self.check(answer, 207, contains="<d:multistatus")
            if text and any(name not in text for name in self.files):
                answer.failure("a file is missing in the list")

    @task(2)
    def upload(self) -> None:
        """Send a file of 256 KiB, under one of ten names."""
        name, content = f"{secrets.randbelow(10)}.bin", secrets.token_bytes(_SIZE)
        with self.ask("PUT", self._path(name), "upload", auth=self.person, data=content) as answer:
            if self.check(answer, 201, 204):
                self.files[name] = hashlib.sha256(content).hexdigest()
            else:
                self.files.pop(name, None)

    @task(3)
    def download(self) -> None:
        """Fetch a file, and compare it with what was sent."""
        if not self.files:
            return
        name = secrets.choice(sorted(self.files))
        with self.ask("GET", self._path(name), "download", auth=self.person) as answer:
            if answer.status_code != 200:
                answer.failure(f"status {answer.status_code} instead of 200")
            elif hashlib.sha256(answer.content).hexdigest() != self.files[name]:
                answer.failure("another content than was sent")
            else:
                answer.success()

    @task(1)
    def share(self) -> None:
        """Share a file by a link, once."""
        name = next((n for n in sorted(self.files) if n not in self.shared), None)
        if name is None:
            return
        data = {"path": f"/{self.folder}/{name}", "shareType": "3"}
        path = "/ocs/v2.php/apps/files_sharing/api/v1/shares"
        with self.ask("POST", path, "share", auth=self.person, headers=_OCS, data=data) as answer:
            text = self.check(answer, 200, contains='"token"')
            if text and re.search(r'"token":"\w+"', text):
                self.shared.add(name)

    def _path(self, name: str = "") -> str:
        return f"/remote.php/dav/files/{self.person[0]}/{self.folder}/{name}"
