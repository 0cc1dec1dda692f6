/* Tile registers for machines without them: an instruction of AMX raises SIGILL, and the handler does what the
 * manual says it does (Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, LDTILECFG to
 * TDPBF16PS). Anything else that is illegal ends the process as before. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>

enum { TILES = 8, ROWS = 16, BYTES = 64 };

static __thread struct {
    uint8_t config[64];
    uint8_t rows[TILES];
    uint16_t bytes[TILES];
    uint8_t data[TILES][ROWS][BYTES];
} state;

static long executed;

/* How many instructions were emulated. */
long amx_executed(void) { return executed; }

static const int registers[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                  REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

struct operand {
    uint8_t *address;
    int64_t stride;
    int length; /* of ModRM, SIB and displacement */
};

/* The memory operand at `code` (a ModRM byte): its address, the scaled index as a stride of its own. */
static struct operand memory(const uint8_t *code, int x, int b, greg_t *regs, const uint8_t *end_of_short) {
    struct operand out = {0, 0, 1};
    int mod = code[0] >> 6, rm = code[0] & 7, base = rm | b << 3;
    int64_t address = 0;
    int has_base = 1;
    if (rm == 4) {
        int sib = code[1], index = (sib >> 3 & 7) | x << 3;
        base = (sib & 7) | b << 3;
        out.length = 2;
        if (index != 4) out.stride = regs[registers[index]] << (sib >> 6);
        has_base = !((sib & 7) == 5 && mod == 0);
    } else if (rm == 5 && mod == 0) { /* relative to the next instruction */
        int32_t near;
        memcpy(&near, code + 1, 4);
        out.length = 5;
        out.address = (uint8_t *)end_of_short + 4 + near;
        return out;
    }
    if (has_base) address = regs[registers[base]];
    if (mod == 1) {
        address += (int8_t)code[out.length];
        out.length += 1;
    } else if (mod == 2 || !has_base) {
        int32_t far;
        memcpy(&far, code + out.length, 4);
        address += far;
        out.length += 4;
    }
    out.address = (uint8_t *)address;
    return out;
}

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

/* Execute the instruction; its length, or 0 where it is none of AMX or is used wrongly. */
static int execute(const uint8_t *code, greg_t *regs) {
    if (code[0] != 0xC4 || (code[1] & 31) != 2) return 0;
    int x = !(code[1] >> 6 & 1), b = !(code[1] >> 5 & 1), prefix = code[2] & 3, other = ~code[2] >> 3 & 15;
    int op = code[3], mod = code[4] >> 6, tile = code[4] >> 3 & 7, rm = code[4] & 7;
    if (op == 0x49 && mod == 3) {
        if (prefix == 0) memset(&state, 0, sizeof state);
        if (prefix == 3) memset(state.data[tile], 0, sizeof state.data[tile]);
        return prefix == 0 || (prefix == 3 && state.rows[tile]) ? 5 : 0;
    }
    if (op == 0x49 && prefix == 0) {
        struct operand from = memory(code + 4, x, b, regs, code + 5);
        if (from.address[0] != 1) return 0;
        configure(from.address);
        return 4 + from.length;
    }
    if (op == 0x4B && mod != 3) {
        struct operand place = memory(code + 4, x, b, regs, code + 5);
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
        if (!state.rows[tile] || state.rows[tile] != state.rows[rm] || !state.rows[other]) return 0;
        /* Prefixes: none unsigned x unsigned, 66 unsigned x signed, F3 signed x unsigned, F2 signed x signed. */
        product(tile, rm, other, op == 0x5C ? 4 : prefix);
        return 5;
    }
    return 0;
}

static void handle(int number, siginfo_t *info, void *context) {
    greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
    int length = execute((const uint8_t *)regs[REG_RIP], regs);
    if (!length) {
        signal(number, SIG_DFL);
        return;
    }
    __atomic_add_fetch(&executed, 1, __ATOMIC_RELAXED);
    regs[REG_RIP] += length;
}

/* From now on this process has tile registers; 0, or -1 where it cannot. */
int amx_emulate(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = handle;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    return sigaction(SIGILL, &action, 0);
}
