"""The examples of the client's documentation run as they are printed."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from zakupai_common.testing import FakeVault
from zakupai_common.testing.controls import deliver
from zakupai_common.vault.private_file import write_private

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted((ROOT / "docs" / "client").glob("*.md"))
BLOCK = re.compile(r"^```python\n(.*?)^```", re.M | re.S)
EXAMPLES = [
    pytest.param(text, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, text in enumerate(BLOCK.findall(page.read_text()), 1)
]


@pytest.fixture
def vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeVault]:
    """What the examples take for granted: calc's secrets, its files, its environment."""
    before = dict(os.environ)
    with FakeVault() as fake:
        fake.put("services/calc/db", {"user": "calc", "password": "correct horse", "port": "5432"})
        fake.put("calc", {"API_KEY": "k", "LIMIT": 7})
        fake.put("shared/jwt", {"key": "k"})
        role = fake.make_role("calc", ["services/calc/*", "calc"])
        settings = deliver(fake, role, tmp_path)
        write_private(tmp_path / "operator.token", fake.root_token)
        monkeypatch.chdir(tmp_path)
        for name in [one for one in before if one.startswith("VAULT_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("VAULT_ADDR", settings.address)
        monkeypatch.setenv("VAULT_ROLE_ID_FILE", str(settings.role_id_file))
        monkeypatch.setenv("VAULT_SECRET_ID_FILE", str(settings.secret_id_file))
        yield fake
    for name in ("API_KEY", "LIMIT"):
        os.environ.pop(name, None)


@pytest.mark.parametrize("text", EXAMPLES)
def test_an_example_runs_as_it_is_printed(text: str, vault: FakeVault) -> None:
    exec(compile(text, "example", "exec"), {"vault": vault})


def test_every_page_has_an_example_or_none_by_intent() -> None:
    assert {page.stem for page in PAGES if BLOCK.search(page.read_text())} == {
        "environment",
        "rotation",
        "secrets",
        "testing",
    }


def test_the_settings_table_names_every_variable() -> None:
    source = ROOT / "libs" / "zakupai_common" / "src" / "zakupai_common" / "vault" / "settings.py"
    read = set(re.findall(r'"(VAULT_[A-Z_]+)"', source.read_text()))
    table = (ROOT / "docs" / "client" / "secrets.md").read_text().split("## Settings")[1]
    named = set(re.findall(r"`(VAULT_[A-Z_]+)`", table.split("## When")[0]))
    assert read <= named
    assert named - read == {"VAULT_TOKEN"}
