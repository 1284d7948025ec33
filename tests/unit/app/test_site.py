"""Laws of zvault.toml: defaults are the seeds' paths, nothing is guessed, the page says it all."""

import dataclasses
import re
from pathlib import Path

import pytest

from tests.support.real import ROOT
from zvault.app.geography import SiteGeography
from zvault.app.s3_credentials import keep_s3_credentials
from zvault.app.site import Site, SiteFileError, load_site
from zvault.app.toml_table import Table
from zvault.ops.migration.model import SiteState
from zvault.storage.errors import S3OptionsError
from zvault.storage.s3_options import credentials_from_file


def site_of(folder: Path, text: str = "") -> Site:
    (folder / "zvault.toml").write_text(text)
    return load_site(folder / "zvault.toml")


def test_an_empty_file_gives_the_paths_of_the_migration_document(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    vault = tmp_path / "monitoring/vault"
    assert site.places.data_dir == vault / "data"
    assert site.places.log_file == vault / "logs/vault.log"
    assert site.places.audit_file == vault / "logs/audit.log"
    assert site.unseal.key_file == vault / "creds/vault-unseal-key.enc"
    assert site.unseal.password_file == vault / ".unseal-password"
    geography = SiteGeography(site)
    assert geography.active_config_path == vault / "config/vault-config.hcl"
    home = geography.home_url(7)
    assert geography.side(7, home).config_path == vault / "config/stage7-config.hcl"
    assert geography.side(8, home).config_path == vault / "config/secure/config.hcl"
    assert geography.tls_paths.certificate == vault / "tls/vault-cert.pem"
    assert site.s3.url == "s3://zakupai-vault-storage/vault"


def test_the_file_in_the_repository_loads() -> None:
    assert load_site(ROOT / "zvault.toml").name == "zakupai"


def test_rendered_configuration_is_the_same_in_every_folder(tmp_path: Path) -> None:
    texts = set()
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        geography = SiteGeography(site_of(folder))
        texts.add(geography.side(8, geography.home_url(8)).config_text)
        texts.add(geography.side(9, geography.home_url(9)).config_text)
    assert len(texts) == 2
    assert not any(str(tmp_path) in text for text in texts)


def test_all_problems_are_reported_at_once_with_their_place(tmp_path: Path) -> None:
    text = """
nmae = "x"
[server]
plain_address = "nowhere"
stop_timeout_seconds = "long"
[limits]
hold_seconds = 0
[s3]
url = "file:x"
allow_http = "yes"
[unseal]
key_file = 7
"""
    with pytest.raises(SiteFileError) as error:
        site_of(tmp_path, text)
    for part in (
        "nmae is not known",
        "server.plain_address must be host:port",
        "server.stop_timeout_seconds must be a number",
        "limits.hold_seconds must be at least 1",
        "s3.url must be s3://",
        "s3.allow_http must be a true or false",
        "unseal.key_file must be a text",
    ):
        assert part in error.value.message


@pytest.mark.parametrize("text", ["[", "a = ", "\x00"])
def test_what_is_no_toml_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(SiteFileError, match="cannot be read"):
        site_of(tmp_path, text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SiteFileError, match="does not exist"):
        load_site(tmp_path / "none.toml")


def test_two_things_on_one_address_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SiteFileError, match="four different addresses"):
        site_of(tmp_path, '[server]\nplain_address = "127.0.0.1:9000"\n')


def test_a_rollback_gets_a_fresh_folder_named_after_its_run(tmp_path: Path) -> None:
    geography = SiteGeography(site_of(tmp_path))
    at_nine = SiteState(9, geography.home_url(9))
    assert geography.destination_url(at_nine, 8, "r1") == "file:monitoring/vault/data-r1"
    at_eight = SiteState(8, "file:monitoring/vault/data-r1")
    assert geography.destination_url(at_eight, 7, "r2") == "file:monitoring/vault/data-r1"
    assert geography.destination_url(at_eight, 9, "r2") == geography.home_url(9)


def test_the_page_about_the_file_names_every_key_and_no_other() -> None:
    page = (ROOT / "docs/config.md").read_text()
    documented = set(re.findall(r"^\| `([a-z0-9_.]+)` \|", page, re.MULTILINE))
    assert documented == known_keys()


def known_keys() -> set[str]:
    """Every key the reader asks for, seen by reading an empty file."""
    import zvault.app.site as room

    asked: set[str] = set()

    class Spy(Table):
        def done(self) -> None:
            asked.update(f"{self.name}.{key}" if self.name else key for key in self.asked)
            super().done()

        def table(self, key: str) -> Table:
            self.asked.discard(key)
            return Spy(key, {}, self.problems)

    room._site(Spy("", {}, []), Path("/"))
    return asked | {"canary.role_id_file"}


def test_no_field_of_the_site_is_left_without_a_key() -> None:
    names = {field.name for field in dataclasses.fields(Site)}
    assert names == {
        "root", "name", "server", "front_door", "s3", "unseal", "canary", "places",
        "tls_hosts", "limits", "declare",
    }  # fmt: skip


# -- S3 credentials --------------------------------------------------------------------------


def test_credentials_of_the_environment_are_kept_in_a_private_file(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    said: list[str] = []
    environment = {"B2_APPLICATION_KEY_ID": "id", "B2_APPLICATION_KEY": "planted-secret"}
    keep_s3_credentials(site, environment, said.append)
    path = site.s3.credentials_file
    assert path.stat().st_mode & 0o777 == 0o600
    assert credentials_from_file(path).secret_access_key.reveal_text() == "planted-secret"
    assert said
    assert "planted-secret" not in said[0]


def test_a_credentials_file_that_is_there_stays(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    site.s3.credentials_file.parent.mkdir(parents=True)
    text = "aws_access_key_id = kept\naws_secret_access_key = kept\n"
    site.s3.credentials_file.write_text(text)
    site.s3.credentials_file.chmod(0o600)
    said: list[str] = []
    environment = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    keep_s3_credentials(site, environment, said.append)
    assert site.s3.credentials_file.read_text() == text
    assert "counts, not the S3 credentials of the environment" in said[0]


def test_half_a_pair_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    with pytest.raises(S3OptionsError, match="is not set"):
        keep_s3_credentials(site, {"B2_APPLICATION_KEY_ID": "id"}, print)
    keep_s3_credentials(site, {}, print)
    assert not site.s3.credentials_file.exists()
