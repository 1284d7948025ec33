"""Which backend serves which mount type.

What lives here: the table of types. What never does: a backend. Types of engines that real servers
have and this one does not are known too: their mounts open and answer "unsupported path".
"""

from zvault.engine.backends import cubbyhole, unsupported
from zvault.engine.backends.approle import backend as approle
from zvault.engine.backends.jwt import backend as jwt
from zvault.engine.backends.kv import v1 as kv1
from zvault.engine.backends.kv import v2 as kv2
from zvault.engine.backends.pki import backend as pki
from zvault.engine.backends.transit import backend as transit
from zvault.engine.backends.userpass import backend as userpass
from zvault.engine.mounts.service import Maker
from zvault.records.mounts import MountEntry

_MAKERS: dict[str, Maker] = {
    "cubbyhole": cubbyhole.make,
    "approle": approle.make,
    "transit": transit.make,
    "pki": pki.make,
    "userpass": userpass.make,
    "jwt": jwt.make,
    "oidc": jwt.make,
}
_KV = ("kv", "generic")
KNOWN_SECRET_TYPES = frozenset(
    {
        "kv",
        "generic",
        "ad",
        "alicloud",
        "aws",
        "azure",
        "consul",
        "database",
        "gcp",
        "gcpkms",
        "kubernetes",
        "ldap",
        "mongodbatlas",
        "nomad",
        "openldap",
        "pki",
        "rabbitmq",
        "ssh",
        "terraform",
        "totp",
        "transit",
    }
)
KNOWN_AUTH_TYPES = frozenset(
    {
        "alicloud",
        "approle",
        "aws",
        "azure",
        "cert",
        "cf",
        "gcp",
        "github",
        "jwt",
        "kerberos",
        "kubernetes",
        "ldap",
        "oci",
        "oidc",
        "okta",
        "radius",
        "userpass",
    }
)


def maker_for(entry: MountEntry) -> Maker:
    """The factory for a mount's backend."""
    if entry.type in _KV:
        return kv2.make if entry.kv_version == 2 else kv1.make
    return _MAKERS.get(entry.type, unsupported.make)
