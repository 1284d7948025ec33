"""Everything together: Vault, PostgreSQL, Redis, the services.

What lives here: the order in which they come up and go down, and what each service is told. What
never does: a secret in an environment; services get addresses, names and files.
Invariant: ``up`` returns only when every service said itself that it is ready.
"""

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from launcher.place import OUTSIDE, ROOT, Place
from launcher.postgres import Postgres
from launcher.programs import (
    LauncherError,
    Programs,
    answers,
    beside_python,
    plain_environment,
    run_once,
)
from launcher.redis_server import RedisServer
from launcher.roster import FOLDER_OPTIONS, OUTSIDE_SECRETS, first_values
from launcher.vault import Keeper, ServiceVault, write_private
from zakupai_common.web.metrics_port import OPTION as METRICS_PORT
from zakupai_common.web.service import Service

START_SECONDS = 60.0


@dataclass
class Estate:
    """All of one place; ``say`` gets a line for each step.

    ``keeper``: another Vault than one of its own. ``settings``: more that every service is told.
    """

    place: Place
    services: Sequence[Service]
    say: Callable[[str], None]
    keeper: Keeper | None = None
    settings: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.vault = self.keeper or ServiceVault(self.place, self.services)
        self.postgres = Postgres(self.place.work / "postgresql", self.place.ports["postgresql"])
        self.redis = RedisServer(self.place.work / "redis", self.place.ports["redis"])
        self.programs = Programs(self.place.work / "run")

    def service(self, name: str) -> Service:
        """One of the services. Raises LauncherError."""
        for one in self.services:
            if one.name == name:
                return one
        raise LauncherError(f"{name} is not in the roster")

    def up(self) -> None:
        """Start what does not run. Raises LauncherError."""
        if self.keeper is None:
            self.say("Vault: embedded engine behind the front door")
        self.vault.up()
        self.vault.seed(first_values(self.services))
        self.vault.give_ids()
        self.say("PostgreSQL and Redis")
        self.postgres.create()
        self.postgres.start()
        for service in self.services:
            if service.database:
                login = self.vault.read(f"{service.home}/database")
                self.postgres.give_database(login["user"], login["password"])
        if any(service.redis for service in self.services):
            self.redis.start(self.vault.read("shared/redis")["password"])
        if any(service.urls for service in self.services):
            self._outside()
        for service in self.services:
            self.say(service.name)
            if service.database and not self.programs.running(service.name):
                self._migrate(service)
            command: list[str | Path] = [beside_python(f"zakupai-{service.name}"), "serve"]
            self.programs.start(service.name, command, self.environment(service))
        for service in self.services:
            self.programs.wait(service.name, partial(self._ready, service.name), START_SECONDS)

    def down(self) -> None:
        """Stop all of it, services first. Raises LauncherError."""
        for name in self.programs.names():
            self.programs.stop(name)
        self.redis.stop()
        self.postgres.stop()
        self.vault.down()

    def status(self) -> dict[str, tuple[str, str]]:
        """By service: its address, and "ready" or what is wrong."""
        return {
            one.name: (self.place.url(one.name), self._state(one.name)) for one in self.services
        }

    def environment(self, service: Service) -> dict[str, str]:
        """What a service is told: nothing of it is secret."""
        role_file, secret_file = self.place.ids(service.name)
        told = {
            **self.settings,
            **self.vault.told(),
            "VAULT_ROLE_ID_FILE": str(role_file),
            "VAULT_SECRET_ID_FILE": str(secret_file),
            "ZAKUPAI_PORT": str(self.place.ports[service.name]),
        }
        if service.database:
            told["ZAKUPAI_DATABASE_HOST"] = "127.0.0.1"
            told["ZAKUPAI_DATABASE_PORT"] = str(self.postgres.port)
            told["ZAKUPAI_DATABASE_NAME"] = service.name
        if service.redis:
            told["ZAKUPAI_REDIS_HOST"] = "127.0.0.1"
            told["ZAKUPAI_REDIS_PORT"] = str(self.redis.port)
        if METRICS_PORT in service.options:
            told[METRICS_PORT] = str(self.place.metrics_port(service.name))
        for option in set(FOLDER_OPTIONS).intersection(service.options):
            told[option] = str(self.place.files(service.name))
        told |= {f"ZAKUPAI_{name.upper()}_URL": self.place.url(OUTSIDE) for name in service.urls}
        for other in self.services:
            name = other.name.upper().replace("-", "_")
            told[f"ZAKUPAI_{name}_URL"] = self.place.url(other.name)
        return told

    def _outside(self) -> None:
        self.say("stand-ins for goszakup and Telegram")
        argv: list[str | Path] = [sys.executable, "-m", "launcher.outside"]
        argv += ["--port", str(self.place.ports[OUTSIDE])]
        for option, (path, key) in OUTSIDE_SECRETS.items():
            file = self.place.outside_secret(option)
            file.parent.mkdir(mode=0o700, exist_ok=True)
            write_private(file, self.vault.read(path)[key])
            argv += [f"--{option}-file", file]
        self.programs.start(OUTSIDE, argv, {"PYTHONPATH": str(ROOT)})
        self.programs.wait(OUTSIDE, lambda: answers(self.place.ports[OUTSIDE]))

    def _migrate(self, service: Service) -> None:
        run_once(
            [beside_python(f"zakupai-{service.name}"), "migrate"],
            {**plain_environment(self.place.work), **self.environment(service)},
        )

    def _ready(self, name: str) -> bool:
        return self._state(name) == "ready"

    def _state(self, name: str) -> str:
        try:
            with urllib.request.urlopen(f"{self.place.url(name)}/ready", timeout=5):
                return "ready"
        except urllib.error.HTTPError as error:
            with error:
                parts = json.loads(error.read()).get("parts", {})
            wrong = [f"{part}: {one['detail']}" for part, one in parts.items() if not one["ready"]]
            return "; ".join(wrong) or f"HTTP {error.code}"
        except (OSError, ValueError):
            return "does not answer"
