"""``zvault frontdoor start|stop|status|render|reload``: the proxy that clients talk to.

What lives here: parse, call one function, print. What never does: a decision about the proxy.
"""

import json
import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer

from zvault.app.doors_clients import front_door_settings
from zvault.app.site import load_site
from zvault.cli.output import emit, reporting_errors
from zvault.cli.site_options import SITE_DEFAULT, JsonOption, SiteOption
from zvault.ops.frontdoor.door import FrontDoor, Observation
from zvault.ops.frontdoor.errors import FrontDoorCheckError, FrontDoorDownError
from zvault.ops.frontdoor.render import render

app = typer.Typer(no_args_is_help=True, help="The proxy that clients talk to.")


@app.command("start")
def start(site: SiteOption = SITE_DEFAULT, as_json: JsonOption = False) -> None:
    """Exit code 0: both sites answer, read back. Already running as declared: nothing changes."""
    with reporting_errors(as_json=as_json):
        door = _door(site)
        seen = door.start()
        if seen.address is None:
            door.write_address_file(
                door.settings.plaintext_url if seen.plaintext_open else door.settings.tls_url
            )
            seen = door.observe()
        _print(door, seen, as_json)


@app.command("stop")
def stop(site: SiteOption = SITE_DEFAULT, as_json: JsonOption = False) -> None:
    """Clients are refused from now on; what the door holds is answered first, for up to 10 s."""
    with reporting_errors(as_json=as_json):
        _door(site).stop()
        emit({"running": False}, as_json=as_json, lines=["the front door is stopped"])


@app.command("status")
def status(
    site: SiteOption = SITE_DEFAULT,
    require_open: Annotated[
        bool,
        typer.Option(
            "--require-open", help="Exit 8 when it is down, 4 when it is not as declared."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Looks; changes nothing."""
    with reporting_errors(as_json=as_json):
        door = _door(site)
        seen = door.observe()
        _print(door, seen, as_json)
        if require_open and not seen.running:
            raise FrontDoorDownError("the front door is down", hint="zvault frontdoor start")
        if require_open and not (seen.config_matches and seen.tls_open):
            raise FrontDoorCheckError(
                "the front door is not as declared", hint="zvault frontdoor stop, then start"
            )


@app.command("render")
def render_command(site: SiteOption = SITE_DEFAULT) -> None:
    """Print the configuration that Caddy is started with, as JSON."""
    with reporting_errors():
        config = render(_door(site).settings)
        sys.stdout.write(json.dumps(config, indent=2, sort_keys=True) + "\n")


@app.command("reload")
def reload(site: SiteOption = SITE_DEFAULT, as_json: JsonOption = False) -> None:
    """Take in a renewed certificate, at a quiet time: keep-alive connections are closed."""
    with reporting_errors(as_json=as_json):
        door = _door(site)
        _print(door, door.reload(), as_json)


def _door(site: SiteOption) -> FrontDoor:
    return FrontDoor(front_door_settings(load_site(site)))


def _print(door: FrontDoor, seen: Observation, as_json: bool) -> None:
    settings = door.settings
    result: dict[str, Any] = asdict(seen) | {
        "plaintext_url": settings.plaintext_url,
        "tls_url": settings.tls_url,
        "hold_seconds": settings.hold_seconds,
    }
    if not seen.running:
        emit(result, as_json=as_json, lines=["the front door is down"])
        return
    emit(
        result,
        as_json=as_json,
        lines=[
            f"front door  pid {seen.pid}, "
            + ("as declared" if seen.config_matches else "NOT as declared"),
            f"plaintext   {settings.plaintext_url}: {_site(seen.plaintext_open)}, "
            f"{seen.plaintext.forwarded} answered, {seen.plaintext.active} active",
            f"TLS         {settings.tls_url}: {_site(seen.tls_open)}, "
            f"{seen.tls.forwarded} answered, {seen.tls.active} active",
            f"clients     {seen.address or 'not told where to go'}",
        ],
    )


def _site(is_open: bool) -> str:
    return "open" if is_open else "closed"
