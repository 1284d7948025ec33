"""The executable ``vault`` that the suite finds first on its PATH.

What lives here: the three commands that the suite calls (``-version``, ``server -config=FILE``,
``operator generate-root -decode … -otp …``). Every one of them is the product's; this only turns
arguments. The server replaces this process, so the suite's SIGKILL reaches it.
"""

import base64
import os
import sys


def version() -> None:
    """One line, as Vault writes it; the version is the one that the server tells."""
    from zvault.engine.settings import CoreSettings

    print(f"Vault v{CoreSettings().version} (zvault), built 1970-01-01T00:00:00Z")


def value_of(name: str, arguments: list[str]) -> str:
    """``-name value`` or ``-name=value``."""
    for place, argument in enumerate(arguments):
        flag, equals, value = argument.lstrip("-").partition("=")
        if argument.startswith("-") and flag == name:
            return value if equals else arguments[place + 1]
    sys.exit(f"-{name} is missing")


def decode(arguments: list[str]) -> None:
    """What Vault's command line does on its own, without the server: XOR with the one-time pad."""
    encoded = value_of("decode", arguments)
    token = base64.b64decode(encoded + "=" * (-len(encoded) % 4))
    otp = value_of("otp", arguments).encode()
    print(bytes(a ^ b for a, b in zip(token, otp, strict=True)).decode())


def main(arguments: list[str]) -> None:
    """One command."""
    if arguments[:1] in (["-version"], ["--version"], ["version"]):
        version()
    elif arguments[:1] == ["server"]:
        # As every caller of Vault writes it: one dash, one word.
        command = [sys.executable, "-m", "zvault.cli.main", *arguments]
        os.execv(sys.executable, command)
    elif arguments[:2] == ["operator", "generate-root"]:
        decode(arguments)
    else:
        sys.exit(f"not a command of this stand-in: {' '.join(arguments[:2])}")


if __name__ == "__main__":
    main(sys.argv[1:])
