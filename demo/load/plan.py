"""Who does what in the load: five services with ids of old, and the operator.

What lives here: plans as values. What never does: a process.
"""

from dataclasses import dataclass, field
from typing import Any

from demo.proof.secret import Secret

OPERATOR = "operator"
PLACES = ("orders", "лоты №{n}", "rates + fees", "deep/er/still")


@dataclass(frozen=True)
class LanePlan:
    """One lane: with a token of old (``token``) or with a login of its own (``role_id``)."""

    name: str
    secrets: dict[str, Secret]
    token: str = field(default="", repr=False)
    accessor: str = ""
    role_id: str = field(default="", repr=False)
    secret_id: str = field(default="", repr=False)


@dataclass(frozen=True)
class ServicePlan:
    """One service. ``roles`` (name → role_id) makes it the operator."""

    name: str
    lanes: tuple[LanePlan, ...]
    others_secret: str
    roles: dict[str, str] = field(default_factory=dict, repr=False)


def service_of(lane: str) -> str:
    """The service a lane belongs to."""
    return lane.partition(".")[0]


def own_secrets(service: str, lane: int, world: dict[str, Secret]) -> dict[str, Secret]:
    """A lane's paths: some new ones and, for the first lane, those the service had before."""
    place = f"services/{service}" if service != "operator" else "operations"
    mine = {
        f"{place}/{name.format(n=lane)}-{lane}": Secret(mount_max=_mount_max(world))
        for name in PLACES
    }
    if lane == 0:
        mine |= {path: secret for path, secret in world.items() if path.startswith(f"{place}/")}
    return mine


def _mount_max(world: dict[str, Secret]) -> int:
    return next(iter(world.values())).mount_max


def plan_services(expected: dict[str, Any], world: dict[str, Secret]) -> list[ServicePlan]:
    """Five services with the tokens and AppRoles of old, and the operator with the root token."""
    plans = []
    roles = sorted(expected["approle"])
    for place, role in enumerate(roles):
        token = next(
            entry
            for entry in expected["tokens"]
            if entry["path"] == "auth/approle/login" and role in entry["policies"]
        )
        ids = expected["approle"][role]
        plans.append(
            ServicePlan(
                role,
                (
                    LanePlan(
                        f"{role}.0",
                        own_secrets(role, 0, world),
                        token=token["token"],
                        accessor=token["accessor"],
                    ),
                    LanePlan(
                        f"{role}.1",
                        own_secrets(role, 1, world),
                        role_id=ids["role_id"],
                        secret_id=ids["secret_id"],
                    ),
                ),
                f"services/{roles[place - 1]}/config",
            )
        )
    root = LanePlan("operator.0", own_secrets("operator", 0, world), token=expected["root_token"])
    role_ids = {role: expected["approle"][role]["role_id"] for role in roles}
    plans.append(ServicePlan("operator", (root,), "", role_ids))
    return plans
