/* Instructions that a machine lacks raise SIGILL; the handler in emulator.c does what Intel's manual says they do
 * (Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2). Each family has a file of its own. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>

/* Execute the instruction at `code`; its length, or 0 where it is none of the family or is used wrongly. */
int execute_amx(const uint8_t *code, ucontext_t *context);
int execute_fp16(const uint8_t *code, ucontext_t *context);

struct operand {
    uint8_t *address; /* without the scaled index */
    int64_t stride;   /* the scaled index */
    int length;       /* of ModRM, SIB and displacement */
};

static const int registers[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                  REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

/* The memory operand at `code` (a ModRM byte); x and b extend index and base, a displacement of one byte counts
 * in units of `unit`. */
static inline struct operand memory(const uint8_t *code, int x, int b, int unit, const greg_t *regs) {
    struct operand out = {0, 0, 1};
    int mod = code[0] >> 6, rm = code[0] & 7, base = rm | b << 3, has_base = 1;
    int64_t address = 0;
    int32_t far;
    if (rm == 4) {
        int sib = code[1], index = (sib >> 3 & 7) | x << 3;
        base = (sib & 7) | b << 3;
        out.length = 2;
        if (index != 4) out.stride = regs[registers[index]] * (1 << (sib >> 6));
        has_base = !((sib & 7) == 5 && mod == 0);
    } else if (rm == 5 && mod == 0) { /* relative to the next instruction */
        memcpy(&far, code + 1, 4);
        out.length = 5;
        out.address = (uint8_t *)code + 5 + far;
        return out;
    }
    if (has_base) address = regs[registers[base]];
    if (mod == 1) {
        address += (int8_t)code[out.length] * unit;
        out.length += 1;
    } else if (mod == 2 || !has_base) {
        memcpy(&far, code + out.length, 4);
        address += far;
        out.length += 4;
    }
    out.address = (uint8_t *)address;
    return out;
}
