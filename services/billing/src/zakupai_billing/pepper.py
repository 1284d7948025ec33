"""The pepper of API keys: a secret in Vault under which their hashes are keyed.

What lives here: its declaration and how a running service reads it. What never does: a hash.
To exchange it: the present one into ``previous_pepper``, a new one into ``pepper``. Keys are hashed
anew as they are used; one that was never used meanwhile ends when ``previous_pepper`` is removed.
"""

from zakupai_billing.keys import Peppers
from zakupai_common.vault.declared import Declared
from zakupai_common.web.parts import Parts

PEPPER = Declared("pepper of API keys", "services/billing/api-keys", "pepper")
PREVIOUS_PEPPER = Declared(
    "previous pepper of API keys", "services/billing/api-keys", "previous_pepper", required=False
)


def peppers(parts: Parts) -> Peppers:
    """What counts now. Raises StaleSecretError."""
    return Peppers(parts.secrets[PEPPER], parts.secrets.get(PREVIOUS_PEPPER))
