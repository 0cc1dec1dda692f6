// How long tile registers take: products in registers, loads, and both together. The kinds take turns in rounds of some
// ten microseconds, on every thread at once. Built by tiles.py with -march=native; prints a line for every round of a
// kind: its name, and ns per product (per load, where there are no products). usage: tiles THREADS SECONDS; 2 is returned
// where there are no tile registers.
#include <immintrin.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef __AMX_BF16__
int main(void) { return 2; }
#else

#include "peers/tiles.h"

enum { MOST_THREADS = 256, STEPS = 256, TILE = 1024, NEAR = 16 << 10, FAR = 1 << 20 };

// The number of a tile register is part of an instruction: hence macros.
#define LOAD(tile, at) _tile_loadd(tile, at, 64)
#define PRODUCTS()              \
    do {                        \
        _tile_dpbf16ps(0, 4, 6); \
        _tile_dpbf16ps(1, 4, 7); \
        _tile_dpbf16ps(2, 5, 6); \
        _tile_dpbf16ps(3, 5, 7); \
    } while (0)
#define LOADS(at)                  \
    do {                           \
        LOAD(4, (at));             \
        LOAD(5, (at) + TILE);      \
        LOAD(6, (at) + 2 * TILE);  \
        LOAD(7, (at) + 3 * TILE);  \
    } while (0)

static void products(const char *memory) {
    (void)memory;
    for (int n = 0; n < STEPS; n++) PRODUCTS();
}

static void loads(const char *memory) {
    for (int n = 0; n < STEPS; n++) LOADS(memory + n * 4 * TILE % NEAR);
}

static void far_loads(const char *memory) {
    for (int n = 0; n < STEPS; n++) LOADS(memory + n * 4 * TILE % FAR);
}

// The products use other registers than those that are loaded: only the units are shared.
static void apart(const char *memory) {
    for (int n = 0; n < STEPS; n++) {
        const char *at = memory + n * 4 * TILE % NEAR;
        LOAD(4, at);
        _tile_dpbf16ps(0, 6, 7);
        LOAD(5, at + TILE);
        _tile_dpbf16ps(1, 6, 7);
        LOAD(4, at + 2 * TILE);
        _tile_dpbf16ps(2, 6, 7);
        LOAD(5, at + 3 * TILE);
        _tile_dpbf16ps(3, 6, 7);
    }
}

static void blocks(const char *memory) {
    for (int n = 0; n < STEPS; n++) {
        LOADS(memory + n * 4 * TILE % NEAR);
        PRODUCTS();
    }
}

static void far_blocks(const char *memory) {
    for (int n = 0; n < STEPS; n++) {
        LOADS(memory + n * 4 * TILE % FAR);
        PRODUCTS();
    }
}

// The same as `blocks`, each load right before the first product that needs it.
static void spread(const char *memory) {
    for (int n = 0; n < STEPS; n++) {
        const char *at = memory + n * 4 * TILE % NEAR;
        LOAD(4, at);
        LOAD(6, at + 2 * TILE);
        _tile_dpbf16ps(0, 4, 6);
        LOAD(7, at + 3 * TILE);
        _tile_dpbf16ps(1, 4, 7);
        LOAD(5, at + TILE);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
}

// One load for four products: no product of matrices can do with so few.
static void few_loads(const char *memory) {
    for (int n = 0; n < STEPS; n++) {
        LOAD(4, memory + n * 4 * TILE % NEAR);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 4, 6);
        _tile_dpbf16ps(3, 4, 7);
    }
}

static const struct {
    const char *name;
    void (*work)(const char *);
} KINDS[] = {
    {"products", products}, {"loads", loads},         {"far_loads", far_loads}, {"apart", apart},
    {"blocks", blocks},     {"spread", spread}, {"far_blocks", far_blocks}, {"few_loads", few_loads},
};
enum { KINDS_COUNT = sizeof KINDS / sizeof *KINDS };

static double length;

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

static void *run(void *given) {
    (void)given;
    char *memory = aligned_alloc(FAR, FAR);
    if (!memory) abort();
    memset(memory, 0, FAR);
    shape_tiles();
    double end = seconds() + length;
    while (seconds() < end)
        for (int kind = 0; kind < KINDS_COUNT; kind++) {
            KINDS[kind].work(memory);
            double began = seconds();
            KINDS[kind].work(memory);
            double time = 1e9 * (seconds() - began) / (4 * STEPS);
            printf("%s %.2f\n", KINDS[kind].name, time);
        }
    _tile_release();
    free(memory);
    return NULL;
}

int main(int count, char **words) {
    int threads = count > 1 ? atoi(words[1]) : 1;
    if (threads < 1 || threads > MOST_THREADS) return 1;
    length = count > 2 ? atof(words[2]) : 10;
    if (syscall(SYS_arch_prctl, 0x1023, 18)) return 2;  // Linux gives no tile data
    pthread_t ids[MOST_THREADS];
    for (int i = 0; i < threads; i++) pthread_create(&ids[i], NULL, run, NULL);
    for (int i = 0; i < threads; i++) pthread_join(ids[i], NULL);
    return 0;
}
#endif
