"""Images: nothing runs as root, no .env gets in, and what is installed is pinned by hash."""

import re
from pathlib import Path

import pytest

from launcher.roster import SERVICES
from launcher.vault import policy_file
from zakupai_common.web.service import Service

ROOT = Path(__file__).parent.parent.parent
each_service = pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
pytestmark = pytest.mark.row("B4")


def instructions(text: str) -> list[tuple[str, str]]:
    """Instruction and the rest, continuation lines joined, comments left out."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [
        (word.upper(), rest)
        for word, _, rest in (line.partition(" ") for line in joined.splitlines())
    ]


def dockerfile(service: Service) -> list[tuple[str, str]]:
    return instructions((policy_file(service).parent / "Dockerfile").read_text())


@each_service
def test_what_runs_is_not_root(service: Service) -> None:
    found = dockerfile(service)
    last_stage = found[max(n for n, (word, _) in enumerate(found) if word == "FROM") :]
    users = [rest.split(":")[0] for word, rest in last_stage if word == "USER"]
    assert users, "no USER in the stage that runs"
    assert users[-1].isdigit()
    assert int(users[-1]) >= 1000
    order = [word for word, _ in last_stage]
    assert order.index("USER") < order.index("ENTRYPOINT")


@each_service
def test_only_named_folders_are_copied_and_none_is_the_whole_tree(service: Service) -> None:
    for word, rest in dockerfile(service):
        if word not in ("COPY", "ADD"):
            continue
        assert word == "COPY", "ADD fetches and unpacks"
        sources = [part for part in rest.split() if not part.startswith("--")][:-1]
        assert not any(re.search(r"(^|/)\.env|^\.?/?$|\*", source) for source in sources), rest


@each_service
def test_nothing_secret_is_set_and_everything_is_installed_by_hash(service: Service) -> None:
    for word, rest in dockerfile(service):
        if word in ("ENV", "ARG"):
            assert not re.search(r"(?i)(password|secret|token|api_key)\w*\s*=", rest), rest
        for install in re.findall(r"pip install[^&|;]*", rest) if word == "RUN" else []:
            assert "--require-hashes" in install or "--no-deps" in install, install


@each_service
def test_the_image_starts_the_service(service: Service) -> None:
    found = dict(dockerfile(service))
    assert found["ENTRYPOINT"] == f'["zakupai-{service.name}"]'
    assert found["CMD"] == '["serve"]'


def test_the_builder_gets_no_env_file() -> None:
    rules = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert rules[0] == "*"
    let_in = [rule for rule in rules if rule.startswith("!")]
    assert let_in == ["!libs", "!services", "!requirements"]
    after = rules[rules.index(let_in[-1]) :]
    assert {"**/.env", "**/.env.*"} <= set(after)


def test_no_env_file_is_in_the_tree_that_images_are_built_from() -> None:
    folders = ("libs", "services", "requirements")
    assert not [path for folder in folders for path in (ROOT / folder).rglob(".env*")]
