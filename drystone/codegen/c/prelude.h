/* What generated code calls: integers rounded as in Python, maxima that keep NaN, elements of 16 bits. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static inline int64_t dry_floordiv(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }
static inline int64_t dry_ceildiv(int64_t a, int64_t b) { return a / b + (a % b != 0 && (a < 0) == (b < 0)); }
static inline int64_t dry_mod(int64_t a, int64_t b) { return a - dry_floordiv(a, b) * b; }
static inline int64_t dry_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t dry_max(int64_t a, int64_t b) { return a > b ? a : b; }
static inline uint64_t dry_minu(uint64_t a, uint64_t b) { return a < b ? a : b; }
static inline uint64_t dry_maxu(uint64_t a, uint64_t b) { return a > b ? a : b; }
static inline double dry_maximum(double a, double b) { return a != a || a > b ? a : b; }
static inline double dry_minimum(double a, double b) { return a != a || a < b ? a : b; }

static inline int dry_ctpop(uint64_t x) {
    int n = 0;
    for (; x; x &= x - 1) n++;
    return n;
}
static inline int dry_ctlz(uint64_t x, int bits) {
    int n = 0;
    while (n < bits && !(x >> (bits - 1 - n) & 1)) n++;
    return n;
}
static inline int dry_cttz(uint64_t x, int bits) {
    int n = 0;
    while (n < bits && !(x >> n & 1)) n++;
    return n;
}

static inline float dry_bits_f32(uint32_t x) {
    float y;
    memcpy(&y, &x, 4);
    return y;
}
static inline uint32_t dry_f32_bits(float x) {
    uint32_t y;
    memcpy(&y, &x, 4);
    return y;
}
static inline double dry_bits_f64(uint64_t x) {
    double y;
    memcpy(&y, &x, 8);
    return y;
}
static inline uint64_t dry_f64_bits(double x) {
    uint64_t y;
    memcpy(&y, &x, 8);
    return y;
}
static inline float dry_bits_bf16(uint16_t x) { return dry_bits_f32((uint32_t)x << 16); }
static inline uint16_t dry_bf16_bits(float x) {
    uint32_t y = dry_f32_bits(x);
    if (x != x) return (uint16_t)(y >> 16 | 64);
    return (uint16_t)((y + 0x7fff + (y >> 16 & 1)) >> 16);
}
static inline float dry_bits_f16(uint16_t x) {
    uint32_t sign = (uint32_t)(x & 0x8000) << 16, exponent = x >> 10 & 31, mantissa = x & 1023;
    if (exponent == 31) return dry_bits_f32(sign | 0x7f800000 | mantissa << 13);
    if (exponent) return dry_bits_f32(sign | (exponent + 112) << 23 | mantissa << 13);
    return dry_bits_f32(sign | dry_f32_bits((float)mantissa * 0x1p-24f));
}
static inline uint16_t dry_f16_bits(float x) {
    uint32_t y = dry_f32_bits(x), sign = y >> 16 & 0x8000, size = y & 0x7fffffff;
    if (size > 0x7f800000) return (uint16_t)(sign | 0x7e00);
    if (size >= 0x477ff000) return (uint16_t)(sign | 0x7c00);
    if (size < 0x38800000) return (uint16_t)(sign | (uint32_t)rintf(dry_bits_f32(size) * 0x1p24f));
    size += 0xfff + (size >> 13 & 1);
    return (uint16_t)(sign | (size - (112u << 23)) >> 13);
}
static inline float dry_round_bf16(float x) { return dry_bits_bf16(dry_bf16_bits(x)); }
static inline float dry_round_f16(float x) { return dry_bits_f16(dry_f16_bits(x)); }

/* A tensor of contiguous elements, row by row. */
struct dry_tensor {
    void *at;
    int64_t extents[16];
};
