"""Where a site keeps the two ends of a migration.

What lives here: stage and store URL to a side: configuration file, its text, the server's address.
What never does: reading or writing any of it.
"""

from dataclasses import dataclass
from pathlib import Path

from zvault.app.site import Site
from zvault.ops.migration.model import Side, SiteState, Target
from zvault.ops.stages.model import Stage, StorageKind, stage
from zvault.ops.stages.render import FilePlace, S3Place, ServerValues, render_server_config
from zvault.ops.tls.files import TlsPaths
from zvault.storage.urls import parse_store_url

_CONFIG_NAMES = {7: "stage7-config.hcl", 8: "secure/config.hcl", 9: "stage9-config.hcl"}
_ACTIVE_CONFIG = "vault-config.hcl"


@dataclass(frozen=True, slots=True)
class SiteGeography:
    """The Geography of one site."""

    site: Site

    @property
    def active_config_path(self) -> Path:
        """A copy of what runs."""
        return self.site.places.config_dir / _ACTIVE_CONFIG

    def side(self, stage_number: int, store_url: str) -> Side:
        """One end of a migration. Raises UnknownStageError, StoreUrlError, UnrenderableError."""
        row = stage(stage_number)
        return Side(
            stage=row,
            store_url=store_url,
            config_path=self.site.places.config_dir / _CONFIG_NAMES[stage_number],
            config_text=render_server_config(row, self._values(row, store_url)),
            target=self.target(row),
        )

    def target(self, row: Stage) -> Target:
        """How the server of that stage is reached directly."""
        server = self.site.server
        if not row.tls:
            return Target(f"http://{server.plain_address}")
        return Target(f"https://{server.tls_address}", self.tls_paths.ca)

    @property
    def tls_paths(self) -> TlsPaths:
        """The four PEM files."""
        return TlsPaths.in_directory(self.site.places.tls_dir)

    def home_url(self, stage_number: int) -> str:
        """The store that a stage has when nothing was ever moved."""
        if stage(stage_number).storage is StorageKind.S3:
            return self.site.s3.url
        return self.site.file_url(self.site.places.data_dir)

    def destination_url(self, state: SiteState, to_stage: int, run: str) -> str:
        """The present store, the declared bucket, or a fresh folder named after the run."""
        wanted = stage(to_stage).storage
        if wanted is state.description.storage:
            return state.store_url
        if wanted is StorageKind.S3:
            return self.site.s3.url
        data_dir = self.site.places.data_dir
        return self.site.file_url(data_dir.with_name(f"{data_dir.name}-{run}"))

    def _values(self, row: Stage, store_url: str) -> ServerValues:
        server, tls = self.site.server, self.tls_paths
        return ServerValues(
            address=server.tls_address if row.tls else server.plain_address,
            storage=self._storage(store_url),
            tls_cert_file=self.site.relative(tls.certificate),
            tls_key_file=self.site.relative(tls.key),
            cluster_name=self.site.name,
            default_lease_ttl=server.default_lease_ttl,
            max_lease_ttl=server.max_lease_ttl,
        )

    def _storage(self, store_url: str) -> FilePlace | S3Place:
        place = parse_store_url(store_url)
        if place.kind == "s3":
            s3 = self.site.s3
            return S3Place(place.bucket, place.prefix, s3.endpoint, s3.region)
        return FilePlace(str(place.path))
