"""The [declare] table: its defaults, and every name that would not read back as it is written."""

from pathlib import Path

import pytest

from zvault.app.site import Site, SiteFileError, load_site
from zvault.ops.declare.errors import DeclarationFileError
from zvault.ops.declare.model import Declaration, KvMount, Role


def site(folder: Path, text: str) -> Site:
    (folder / "zvault.toml").write_text(text)
    return load_site(folder / "zvault.toml")


def test_without_a_table_it_is_the_mount_of_the_mission_and_approle(tmp_path: Path) -> None:
    declared = site(tmp_path, "").declare.read()
    assert declared == Declaration(kv=(KvMount("zakupai"),), auth_methods=("approle",))


def test_everything_can_be_said(tmp_path: Path) -> None:
    (tmp_path / "gateway.hcl").write_text('path "zakupai/*" {}\n')
    text = """
[declare.kv.zakupai]
max_versions = 7
[declare.kv."team/a"]
[declare.policies]
gateway = "gateway.hcl"
[declare.approle.gateway]
policies = ["gateway", "audit", "gateway"]
token_ttl = "90s"
secret_id_ttl = "24h"
token_num_uses = 3
"""
    assert site(tmp_path, text).declare.read() == Declaration(
        kv=(KvMount("zakupai", 7), KvMount("team/a")),
        auth_methods=("approle",),
        policies={"gateway": 'path "zakupai/*" {}\n'},
        roles=(
            Role(
                "gateway",
                {
                    "token_policies": ("audit", "gateway"),
                    "token_ttl": 90,
                    "secret_id_ttl": 86400,
                    "token_num_uses": 3,
                },
            ),
        ),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[declare.kv."zakupai/"]', "must be letters"),
        ('[declare.kv."../sys"]', "must be letters"),
        ("[declare.kv.sys]", "Vault's own"),
        ('[declare.kv.a]\n[declare.kv."a/b"]', "inside another mount"),
        ("[declare.kv.zakupai]\nmax_versions = 0", "declare.kv.zakupai.max_versions must be"),
        ("[declare.kv.zakupai]\nmax_versions = 1.5", "whole number"),
        ("[declare.kv.zakupai]\nversion = 1", "declare.kv.zakupai.version is not known"),
        ("[declare.kv]\nzakupai = 2", "declare.kv.zakupai must be a table"),
        ('[declare.policies]\nGateway = "x"', "small letters"),
        ('[declare.policies]\nroot = "x"', "root cannot be written"),
        ("[declare.policies]\ngateway = 3", "must be a text"),
        ("[declare.approle.Gateway]", "small letters"),
        ('[declare.approle.g]\ntoken_ttl = "soon"', "whole seconds"),
        ('[declare.approle.g]\ntoken_ttl = "1500ms"', "whole seconds"),
        ('[declare.approle.g]\npolicies = ["A"]', "small letters"),
        ("[declare.approle.g]\nbind_secret_id = false", "is not known"),
        ("[declare]\nauth_methods = []\n[declare.approle.g]", "needs 'approle'"),
    ],
)
def test_what_cannot_be_is_named_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SiteFileError) as told:
        site(tmp_path, text)
    assert said in told.value.message


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff"])
def test_a_policy_file_that_is_none_is_named_only_when_it_is_used(
    tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "p.hcl").write_bytes(content)
    settings = site(tmp_path, '[declare.policies]\np = "p.hcl"').declare
    with pytest.raises(DeclarationFileError, match=r"p\.hcl"):
        settings.read()
