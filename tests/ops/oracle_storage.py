"""16-bit floating point from its definition, in plain Python; it shares no code with the package."""

import math
from bisect import bisect_right
from fractions import Fraction

import oracle


class Format:
    """Numbers of 16 bits, by their magnitude's bits: the n-th number that is not negative has the bits n."""

    def __init__(self, exponent_bits: int) -> None:
        self.mantissa_bits = 15 - exponent_bits
        self.bias = 2 ** (exponent_bits - 1) - 1
        self.infinity = (2**exponent_bits - 1) << self.mantissa_bits
        self.ladder = [self.finite(bits) for bits in range(self.infinity + 1)]  # up to where infinity begins

    def finite(self, bits: int) -> float:
        """Return the number with these bits, as if no exponent were special."""
        exponent, mantissa = bits >> self.mantissa_bits, bits & (2**self.mantissa_bits - 1)
        if exponent == 0:
            return math.ldexp(mantissa, 1 - self.bias - self.mantissa_bits)
        return math.ldexp(2**self.mantissa_bits + mantissa, exponent - self.bias - self.mantissa_bits)

    def between(self, magnitude: float) -> tuple[int, Fraction]:
        """Return the bits of the number below, and how far above it the magnitude lies: 0 to 1 of the gap."""
        below = bisect_right(self.ladder, magnitude) - 1
        if below >= self.infinity:
            return self.infinity, Fraction(0)
        low, high = Fraction(self.ladder[below]), Fraction(self.ladder[below + 1])
        return below, (Fraction(magnitude) - low) / (high - low)

    def nearest(self, value: float) -> int:
        """Return the bits of the nearest number, of the even one on a tie."""
        below, part = self.between(abs(value))
        up = part > Fraction(1, 2) or (part == Fraction(1, 2) and below % 2 == 1)
        return self.signed(value, below + up)

    def stochastic(self, value: float, word: int) -> int:
        """Return the bits of one of the neighbours, by the leading bits of a random word of 32 bits.

        A gap between numbers holds 2^n of float32, and the n leading bits decide; 24 of them among float16's numbers
        below 2^-14, whose gaps do not shrink with the number.
        """
        below, part = self.between(abs(value))
        if self.bias == 15 and abs(value) < 2.0**-14:
            up = word >> 8 < math.floor(part * 2**24)
        else:
            n = 23 - self.mantissa_bits
            up = (word >> (32 - n)) + part * 2**n >= 2**n
        return self.signed(value, below + up)

    def signed(self, value: float, bits: int) -> int:
        return bits | (0x8000 if math.copysign(1, value) < 0 else 0)


FORMATS = {"bfloat16": Format(8), "float16": Format(5)}


def word(seed: int, row: int, table: int, offset: int, e: int) -> int:
    """Return the random word that rounds element e of a row."""
    key = (seed & oracle.WORD, (seed >> 32) & oracle.WORD)
    return oracle.philox(key, (row, table, offset & oracle.WORD, 2**31 + e // 4))[e % 4]
