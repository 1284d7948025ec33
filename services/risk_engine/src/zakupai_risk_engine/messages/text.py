"""What a subscriber reads.

What lives here: the text of one message, in Russian, plain. What never does: markup.
"""

import datetime

from zakupai_risk_engine.rnu.states import State

_NAMES = {
    State.ACTIVE: "действует",
    State.BLOCKED: "заблокирован",
    State.SUSPENDED: "приостановлен",
    State.LIQUIDATED: "ликвидирован",
    State.BLACKLISTED: "в реестре недобросовестных поставщиков",
    State.UNKNOWN: "в реестре сведений нет",
}
REPEAT = "Возможный повтор: дошло ли прошлое сообщение, неизвестно."


def change_text(
    number: str, old: State | None, new: State, at: datetime.datetime, *, repeat: bool
) -> str:
    """One change of one supplier; ``repeat``: it may have been told already."""
    before = "первая проверка" if old is None else _NAMES[old]
    lines = [
        f"РНУ: БИН {number}",
        f"{before} → {_NAMES[new]}",
        f"Проверено {at.astimezone(datetime.UTC):%Y-%m-%d %H:%M} UTC",
    ]
    return "\n".join([*lines, REPEAT] if repeat else lines)
