"""S3 credentials from the operator's environment into the file that a server may read.

What lives here: one file, mode 0600. What never does: an environment passed on to a server, a
credential in a message. The migration document exports ``B2_APPLICATION_KEY_ID`` and
``B2_APPLICATION_KEY``; a server that is restarted unattended has no such environment.
"""

from collections.abc import Callable, Mapping

from zvault.app.site import Site
from zvault.base.atomic_file import make_folders, write_atomic


def keep_s3_credentials(
    site: Site, environment: Mapping[str, str], say: Callable[[str], None]
) -> None:
    """Write the file unless it is there; say so. Nothing to write is no error here.

    Called when the plan has nothing in its way, so what was written has opened the bucket.
    Raises S3OptionsError when only half of a pair is set, OSError.
    """
    from zvault.storage.s3_options import credentials_from_environment, credentials_from_file

    path = site.s3.credentials_file
    found = credentials_from_environment(environment, site.s3.provider)
    if found is None:
        return
    if path.exists():
        if credentials_from_file(path) != found:
            say(f"{site.relative(path)} counts, not the S3 credentials of the environment")
        return
    lines = [
        f"aws_access_key_id = {found.access_key_id}",
        f"aws_secret_access_key = {found.secret_access_key.reveal_text()}",
    ]
    if found.session_token is not None:
        lines.append(f"aws_session_token = {found.session_token.reveal_text()}")
    make_folders(path.parent)
    write_atomic(path, ("\n".join(lines) + "\n").encode())
    say(f"wrote the S3 credentials of the environment to {site.relative(path)} (mode 0600)")
