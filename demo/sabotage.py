"""Damage behind the tool's back, to show that the demo notices.

What lives here: one object of the Stage 9 bucket dropped, altered or brought back, with an S3
client of its own; a service's role removed, its policy narrowed. What never does: product code.
"""

import base64
import json
from dataclasses import dataclass
from pathlib import Path

import hvac
import obstore
from obstore.store import S3Store

from demo.opening import EDITED_LEGACY
from demo.place import Place, S3Target

STORE_KINDS, SERVICE_KINDS = ("drop", "alter", "resurrect"), ("role", "narrow")
KINDS = (*STORE_KINDS, *SERVICE_KINDS)
VICTIM = "program-calc"
"""The role and policy of a service (``estate/keeper.py``)."""
_NARROW = """path "zakupai/data/services/calc/identity" { capabilities = ["read"] }
"""


@dataclass(frozen=True)
class Sabotage:
    """Some kinds of damage to the store."""

    kinds: tuple[str, ...]
    place: Place
    s3: S3Target

    def commit(self) -> str:
        """Do it; what was done, in words."""
        ways = {"drop": self._drop, "alter": self._alter, "resurrect": self._resurrect}
        return "; ".join(ways[kind]() for kind in self.kinds)

    def _drop(self) -> str:
        """The largest object is the 200 KB version of the secret ``big``."""
        bucket = self._bucket()
        sizes = {entry["path"]: entry["size"] for block in obstore.list(bucket) for entry in block}
        largest = max(sizes, key=lambda key: sizes[key])
        obstore.delete(bucket, largest)
        return f"object {largest[:60]}… dropped"

    def _alter(self) -> str:
        """A genuine but older value of a KV v1 secret: it decrypts, and is wrong."""
        folder, name = EDITED_LEGACY.split("/")
        museum = next(self._museum.rglob(f"{folder}/_{name}"))
        key = self._key(museum)
        obstore.put(self._bucket(), key, self._object(museum))
        return f"object {key} replaced by its older self"

    def _resurrect(self) -> str:
        """Every entry of a revoked token, as it was before."""
        bucket = self._bucket()
        there = {entry["path"] for block in obstore.list(bucket) for entry in block}
        brought = []
        for folder in ("sys/token", "sys/expire"):
            for path in (self._museum / folder).rglob("_*"):
                key = self._key(path)
                if key not in there:
                    obstore.put(bucket, key, self._object(path))
                    brought.append(key)
        return f"{len(brought)} entries of revoked tokens brought back"

    @property
    def _museum(self) -> Path:
        return self.place.work / "museum" / "data"

    def _key(self, path: Path) -> str:
        """A file of the file store as an object key: the last part has a leading underscore."""
        relative = path.relative_to(self._museum)
        return str(relative.with_name(relative.name.removeprefix("_")))

    @staticmethod
    def _object(path: Path) -> bytes:
        """An S3 object holds the bare value; a file wraps it in JSON."""
        return base64.b64decode(json.loads(path.read_bytes())["Value"])

    def _bucket(self) -> S3Store:
        pairs = dict(
            line.split("=", 1) for line in self.place.s3_credentials.read_text().splitlines()
        )
        return S3Store(
            self.s3.bucket,
            prefix=self.s3.prefix,
            endpoint=self.s3.endpoint,
            region=self.s3.region,
            access_key_id=pairs["AWS_ACCESS_KEY_ID"],
            secret_access_key=pairs["AWS_SECRET_ACCESS_KEY"],
            virtual_hosted_style_request=False,
            client_options={"allow_http": self.s3.allow_http},
        )


def wrong_a_service(kinds: tuple[str, ...], operator: hvac.Client) -> str:
    """Take a service's role or some of its rights away; what was done, in words."""
    told = []
    if "role" in kinds:
        operator.auth.approle.delete_role(VICTIM)
        told.append(f"role {VICTIM} removed")
    if "narrow" in kinds:
        operator.sys.create_or_update_policy(VICTIM, _NARROW)
        told.append(f"policy {VICTIM} narrowed")
    return "; ".join(told)
