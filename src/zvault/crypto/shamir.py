"""Shamir's secret sharing over GF(2^8), as Vault and OpenBao cut their unseal key.

What lives here: split and combine. What never does: how a share is written down (hex, base64).
Format: a share is one y byte per secret byte, then one x byte; field polynomial 0x11B
(``docs/formats/barrier.md``). Combining has no integrity check: wrong shares give a wrong secret.
"""

from collections.abc import Callable, Sequence

from zvault.crypto.errors import ShareError

MAX_SHARES = 255
_POLYNOMIAL = 0x11B
_GENERATOR_ORDER = 255


def _build_tables() -> tuple[bytes, bytes]:
    """Powers of the generator 3 (twice, to save a modulo) and their logarithms."""
    exponents = bytearray(2 * _GENERATOR_ORDER)
    logarithms = bytearray(256)
    value = 1
    for power in range(_GENERATOR_ORDER):
        exponents[power] = exponents[power + _GENERATOR_ORDER] = value
        logarithms[value] = power
        value ^= value << 1
        if value & 0x100:
            value ^= _POLYNOMIAL
    return bytes(exponents), bytes(logarithms)


_EXPONENTS, _LOGARITHMS = _build_tables()


def _multiply(left: int, right: int) -> int:
    if not left or not right:
        return 0
    return _EXPONENTS[_LOGARITHMS[left] + _LOGARITHMS[right]]


def _divide(left: int, right: int) -> int:
    if not left:
        return 0
    return _EXPONENTS[_LOGARITHMS[left] - _LOGARITHMS[right] + _GENERATOR_ORDER]


def split(
    secret: bytes, shares: int, threshold: int, random_bytes: Callable[[int], bytes]
) -> list[bytes]:
    """Cut ``secret`` into ``shares`` of which ``threshold`` give it back. Raises ShareError."""
    if not 2 <= threshold <= shares <= MAX_SHARES:
        raise ShareError(
            f"cannot make {shares} shares with threshold {threshold}",
            hint=f"2 <= threshold <= shares <= {MAX_SHARES}",
        )
    if not secret:
        raise ShareError("cannot split an empty secret")
    coefficients = [bytes((byte,)) + random_bytes(threshold - 1) for byte in secret]
    return [
        bytes(_evaluate(polynomial, x) for polynomial in coefficients) + bytes((x,))
        for x in _distinct_numbers(shares, random_bytes)
    ]


def _evaluate(polynomial: bytes, x: int) -> int:
    result = 0
    for coefficient in reversed(polynomial):
        result = _multiply(result, x) ^ coefficient
    return result


def _distinct_numbers(count: int, random_bytes: Callable[[int], bytes]) -> list[int]:
    """The first ``count`` of a random order of 1..255 (never 0: that is the secret's place)."""
    numbers = list(range(1, MAX_SHARES + 1))
    for index in range(count):
        # 8 bytes over at most 255 places: the bias is below 2^-56.
        offset = int.from_bytes(random_bytes(8), "big") % (MAX_SHARES - index)
        numbers[index], numbers[index + offset] = numbers[index + offset], numbers[index]
    return numbers[:count]


def combine(shares: Sequence[bytes]) -> bytes:
    """The secret at x = 0, interpolated through ALL given shares. Raises ShareError."""
    if len(shares) < 2:
        raise ShareError("less than two shares cannot be combined", hint="give more shares")
    lengths = {len(share) for share in shares}
    if len(lengths) != 1 or min(lengths) < 2:
        raise ShareError(
            "the shares differ in length", hint="check that all are complete and of one Vault"
        )
    numbers = [share[-1] for share in shares]
    if len(set(numbers)) != len(numbers):
        raise ShareError("two shares carry the same number", hint="give distinct shares")
    if 0 in numbers:
        raise ShareError("a share carries the number 0, which no Vault issues")
    weights = [_weight(numbers, index) for index in range(len(numbers))]
    secret = bytearray(len(shares[0]) - 1)
    for weight, share in zip(weights, shares, strict=True):
        for position in range(len(secret)):
            secret[position] ^= _multiply(weight, share[position])
    return bytes(secret)


def _weight(numbers: Sequence[int], index: int) -> int:
    """Lagrange's basis polynomial number ``index`` at 0."""
    result = 1
    for other, number in enumerate(numbers):
        if other != index:
            result = _multiply(result, _divide(number, number ^ numbers[index]))
    return result
