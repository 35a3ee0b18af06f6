#include "half.h"

#include <string.h>

/* Rounds to 1 sign bit, exponent_bits, mantissa_bits. Overflow gives infinity, as IEEE 754 asks. */
static uint16_t narrow(double value, int exponent_bits, int mantissa_bits) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint16_t sign = (uint16_t)(bits >> 63 << 15);
    uint64_t mantissa = bits & 0xfffffffffffffu;
    int exponent = (int)(bits >> 52 & 0x7ff);
    uint16_t infinity = (uint16_t)(((1u << exponent_bits) - 1) << mantissa_bits);

    if (exponent == 0x7ff) {
        uint16_t quiet = mantissa ? (uint16_t)(1u << (mantissa_bits - 1)) : 0;
        return sign | infinity | quiet;
    }
    if (exponent == 0) return sign; /* a subnormal double is far below either format */

    int bias = (1 << (exponent_bits - 1)) - 1;
    int narrow_exponent = exponent - 1023 + bias;
    uint64_t significand = mantissa | (uint64_t)1 << 52;
    int dropped = 52 - mantissa_bits;
    if (narrow_exponent <= 0) { /* subnormal result: drop more bits, no implicit one */
        dropped += 1 - narrow_exponent;
        if (dropped > 54) return sign;
        narrow_exponent = 0;
    } else {
        significand &= 0xfffffffffffffu;
    }
    if (narrow_exponent >= (1 << exponent_bits) - 1) return sign | infinity;

    uint64_t kept = significand >> dropped;
    uint64_t rest = significand & (((uint64_t)1 << dropped) - 1);
    uint64_t tie = (uint64_t)1 << (dropped - 1);
    uint64_t result = ((uint64_t)narrow_exponent << mantissa_bits) + kept;
    if (rest > tie || (rest == tie && (result & 1))) result++; /* a carry moves to the exponent */
    return sign | (uint16_t)result;
}

uint16_t canopy_half_from_double(double value) { return narrow(value, 5, 10); }

uint16_t canopy_bfloat16_from_double(double value) { return narrow(value, 8, 7); }

float canopy_bfloat16_to_float(uint16_t bits) {
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

float canopy_half_to_float(uint16_t bits) {
    uint32_t sign = (uint32_t)(bits & 0x8000u) << 16;
    uint32_t exponent = bits >> 10 & 31, mantissa = bits & 0x3ffu;
    if (exponent == 0) { /* zero and subnormals: mantissa times 2^-24, exact */
        float magnitude = (float)mantissa * 0x1p-24f;
        return sign ? -magnitude : magnitude;
    }
    uint32_t wide_exponent = exponent == 31 ? 255 : exponent + 112;
    uint32_t wide = sign | wide_exponent << 23 | mantissa << 13;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}
