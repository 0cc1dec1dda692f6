/* AVX512_FP16: arithmetic on vectors of f16, and the conversions and moves that come with it. */
#include "emulator.h"
#include <cpuid.h>

enum { BYTES = 64, HEADER = 512, XMM = 160 };
/* Parts of the saved state: upper halves of 128 and 256 bits, masks, registers from 16 on. */
enum { YMM = 2, MASKS = 5, ZMM = 6, UPPER = 7 };

/* A part of the saved state, cleared where the processor left it out. */
static uint8_t *part(uint8_t *saved, int number) {
    unsigned size, offset, c, d;
    uint64_t present;
    __cpuid_count(13, number, size, offset, c, d);
    memcpy(&present, saved + HEADER, 8);
    if (!(present >> number & 1)) {
        memset(saved + offset, 0, size);
        present |= 1ull << number;
        memcpy(saved + HEADER, &present, 8);
    }
    return saved + offset;
}

/* Copy a vector register from the saved state, or to it. */
static void vector(uint8_t *saved, int number, uint8_t *data, int write) {
    struct { uint8_t *at; int bytes; } pieces[3] = {{part(saved, UPPER) + BYTES * (number & 15), BYTES}};
    int count = 1;
    if (number < 16) {
        uint64_t present;
        memcpy(&present, saved + HEADER, 8);
        present |= 2; /* the registers of 128 bits */
        memcpy(saved + HEADER, &present, 8);
        pieces[0].at = saved + XMM + 16 * number, pieces[0].bytes = 16;
        pieces[1].at = part(saved, YMM) + 16 * number, pieces[1].bytes = 16;
        pieces[2].at = part(saved, ZMM) + 32 * number, pieces[2].bytes = 32;
        count = 3;
    }
    for (int i = 0; i < count; data += pieces[i++].bytes)
        write ? memcpy(pieces[i].at, data, pieces[i].bytes) : memcpy(data, pieces[i].at, pieces[i].bytes);
}

static double f16(const uint8_t *from, int i) {
    _Float16 out;
    memcpy(&out, from + 2 * i, 2);
    return out;
}

static void put_f16(uint8_t *to, int i, double value) {
    _Float16 out = (_Float16)value;
    memcpy(to + 2 * i, &out, 2);
}

static double f32(const uint8_t *from, int i) {
    float out;
    memcpy(&out, from + 4 * i, 4);
    return out;
}

static void put_f32(uint8_t *to, int i, double value) {
    float out = (float)value;
    memcpy(to + 4 * i, &out, 4);
}

/* What an opcode does; the last two have one element. */
enum kind { NONE, ADD, MULTIPLY, SUBTRACT, FMA132, FMA213, FMA231, WIDEN, NARROW, MOVE, SINGLE };

static enum kind kind_of(int map, int prefix, int op) {
    if (map == 5 && prefix == 0) return op == 0x58 ? ADD : op == 0x59 ? MULTIPLY : op == 0x5C ? SUBTRACT : NONE;
    if (map == 5 && prefix == 1) return op == 0x1D ? NARROW : NONE;
    if (map == 5 && prefix == 2) return op == 0x10 ? MOVE : NONE;
    if (map == 6 && prefix == 0) return op == 0x13 ? SINGLE : NONE;
    if (map != 6 || prefix != 1) return NONE;
    return op == 0x98 ? FMA132 : op == 0xA8 ? FMA213 : op == 0xB8 ? FMA231 : op == 0x13 ? WIDEN : NONE;
}

/* One element of the result: of the old one, the second operand and the last. */
static void element(enum kind kind, int i, uint8_t *out, const uint8_t *old, const uint8_t *second, const uint8_t *last,
                    int j) {
    switch (kind) {
    case ADD: put_f16(out, i, f16(second, i) + f16(last, j)); break;
    case MULTIPLY: put_f16(out, i, f16(second, i) * f16(last, j)); break;
    case SUBTRACT: put_f16(out, i, f16(second, i) - f16(last, j)); break;
    case FMA132: put_f16(out, i, f16(old, i) * f16(last, j) + f16(second, i)); break;
    case FMA213: put_f16(out, i, f16(second, i) * f16(old, i) + f16(last, j)); break;
    case FMA231: put_f16(out, i, f16(second, i) * f16(last, j) + f16(old, i)); break;
    case WIDEN: case SINGLE: put_f32(out, i, f16(last, j)); break;
    case NARROW: put_f16(out, i, f32(last, j)); break;
    case MOVE: memcpy(out, last, 2); break;
    case NONE: break;
    }
}

int execute_fp16(const uint8_t *code, ucontext_t *context) {
    if (code[0] != 0x62) return 0;
    uint8_t *saved = (uint8_t *)context->uc_mcontext.fpregs;
    int map = code[1] & 7, prefix = code[2] & 3, wide = code[2] >> 7, op = code[4], modrm = code[5];
    int x = !(code[1] >> 6 & 1), b = !(code[1] >> 5 & 1), in_register = modrm >> 6 == 3;
    int target = (modrm >> 3 & 7) | !(code[1] >> 7) << 3 | !(code[1] >> 4 & 1) << 4;
    int second = (~code[2] >> 3 & 15) | !(code[3] >> 3 & 1) << 4;
    int length = code[3] >> 5 & 3, spread = code[3] >> 4 & 1, mask = code[3] & 7, zeroed = code[3] >> 7;
    enum kind kind = kind_of(map, prefix, op);
    if (kind == NONE || wide || length == 3 || (spread && in_register)) return 0;
    int from = kind == NARROW ? 4 : 2, to = kind == WIDEN || kind == SINGLE ? 4 : 2, single = kind >= MOVE;
    int count = single ? 1 : (16 << length) / (from > to ? from : to);
    uint8_t old[BYTES], left[BYTES], right[BYTES], out[BYTES] = {0};
    struct operand place = {0, 0, 1};
    vector(saved, target, old, 0);
    vector(saved, second, left, 0);
    if (in_register) {
        vector(saved, (modrm & 7) | b << 3 | x << 4, right, 0);
    } else {
        place = memory(code + 5, x, b, spread ? from : count * from, context->uc_mcontext.gregs);
        memcpy(right, place.address + place.stride, spread ? from : count * from);
    }
    /* The other lanes of 128 bits are those of the second operand. */
    if (single && (in_register || kind == SINGLE)) memcpy(out, left, 16);
    uint64_t live = ~0ull;
    if (mask) memcpy(&live, part(saved, MASKS) + 8 * mask, 8);
    for (int i = 0; i < count; i++) {
        if (live >> i & 1)
            element(kind, i, out, old, left, right, spread ? 0 : i);
        else if (!zeroed)
            memcpy(out + to * i, old + to * i, to);
    }
    vector(saved, target, out, 1);
    return 5 + place.length;
}
