/* The handler of instructions that the machine lacks. Anything else that is illegal ends the process as before. */
#include "emulator.h"

static long executed;

/* How many instructions were emulated. */
long emulated(void) { return executed; }

static void handle(int number, siginfo_t *info, void *context) {
    greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
    const uint8_t *code = (const uint8_t *)regs[REG_RIP];
    int length = execute_amx(code, context);
    if (!length) length = execute_fp16(code, context);
    if (!length) {
        signal(number, SIG_DFL);
        return;
    }
    __atomic_add_fetch(&executed, 1, __ATOMIC_RELAXED);
    regs[REG_RIP] += length;
}

/* From now on this process has AMX and AVX512_FP16; 0, or -1 where it cannot. */
int emulate(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = handle;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    return sigaction(SIGILL, &action, 0);
}
