/* Tile registers: LDTILECFG to TDPBF16PS. */
#include "emulator.h"

enum { TILES = 8, ROWS = 16, BYTES = 64 };

static __thread struct {
    uint8_t config[64];
    uint8_t rows[TILES];
    uint16_t bytes[TILES];
    uint8_t data[TILES][ROWS][BYTES];
} state;

static float from_bf16(const uint8_t *p) {
    uint16_t half;
    memcpy(&half, p, 2);
    uint32_t bits = (uint32_t)half << 16;
    float out;
    memcpy(&out, &bits, 4);
    return out;
}

static int integer(const uint8_t *p, int is_signed) { return is_signed ? (int8_t)*p : *p; }

/* c += a b; `kind` is the prefix of the integer products, 4 for bf16. */
static void product(int c, int a, int b, int kind) {
    for (int m = 0; m < state.rows[a]; m++)
        for (int k = 0; k < state.bytes[a] / 4; k++)
            for (int n = 0; n < state.bytes[b] / 4; n++) {
                const uint8_t *left = &state.data[a][m][4 * k], *right = &state.data[b][k][4 * n];
                uint8_t *out = &state.data[c][m][4 * n];
                if (kind == 4) {
                    float sum;
                    memcpy(&sum, out, 4);
                    for (int i = 0; i < 4; i += 2) sum += from_bf16(left + i) * from_bf16(right + i);
                    memcpy(out, &sum, 4);
                } else { /* 0: both unsigned, 1: the right one signed, 2: the left one, 3: both */
                    int32_t sum;
                    memcpy(&sum, out, 4);
                    for (int i = 0; i < 4; i++) sum += integer(left + i, kind & 2) * integer(right + i, kind & 1);
                    memcpy(out, &sum, 4);
                }
            }
    for (int m = state.rows[a]; m < ROWS; m++) memset(state.data[c][m], 0, BYTES);
}

static void configure(const uint8_t *from) {
    memcpy(state.config, from, 64);
    memset(state.data, 0, sizeof state.data);
    for (int i = 0; i < TILES; i++) {
        memcpy(&state.bytes[i], from + 16 + 2 * i, 2);
        state.rows[i] = from[48 + i];
    }
}

int execute_amx(const uint8_t *code, ucontext_t *context) {
    greg_t *regs = context->uc_mcontext.gregs;
    if (code[0] != 0xC4 || (code[1] & 31) != 2) return 0;
    int x = !(code[1] >> 6 & 1), b = !(code[1] >> 5 & 1), prefix = code[2] & 3, other = ~code[2] >> 3 & 15;
    int op = code[3], mod = code[4] >> 6, tile = code[4] >> 3 & 7, rm = code[4] & 7;
    if (op == 0x49 && mod == 3) {
        if (prefix == 0) memset(&state, 0, sizeof state);
        if (prefix == 3) memset(state.data[tile], 0, sizeof state.data[tile]);
        return prefix == 0 || (prefix == 3 && state.rows[tile]) ? 5 : 0;
    }
    if (op == 0x49 && prefix == 0) {
        struct operand from = memory(code + 4, x, b, 1, regs);
        if (from.address[0] != 1) return 0;
        configure(from.address);
        return 4 + from.length;
    }
    if (op == 0x4B && mod != 3) {
        struct operand place = memory(code + 4, x, b, 1, regs);
        if (!state.rows[tile] || !state.bytes[tile]) return 0;
        for (int row = 0; row < state.rows[tile]; row++) {
            uint8_t *line = place.address + row * place.stride;
            if (prefix == 2)
                memcpy(line, state.data[tile][row], state.bytes[tile]);
            else
                memcpy(state.data[tile][row], line, state.bytes[tile]);
        }
        return 4 + place.length;
    }
    if ((op == 0x5E || (op == 0x5C && prefix == 2)) && mod == 3) {
        if (!state.rows[tile] || state.rows[tile] != state.rows[rm]) return 0;
        if (!state.rows[other] || state.bytes[rm] != 4 * state.rows[other]) return 0;
        if (state.bytes[tile] != state.bytes[other]) return 0;
        /* Prefixes: none unsigned x unsigned, 66 unsigned x signed, F3 signed x unsigned, F2 signed x signed. */
        product(tile, rm, other, op == 0x5C ? 4 : prefix);
        return 5;
    }
    return 0;
}
