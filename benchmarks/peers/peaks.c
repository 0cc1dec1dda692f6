// What this machine can do at most: multiply-adds in registers only, and reads of memory that no cache holds.
// Built by machine.py with -march=native; prints "name value" lines: fp32, bf16 and int8 in G operations per second,
// read in GB/s. The units are the best the compiler finds on this machine. usage: peaks THREADS
#include <immintrin.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#if defined(__AMX_BF16__) || defined(__AMX_INT8__)
#include "tiles.h"
#endif

enum { REPEATS = 9, CHAINS = 12, MOST_THREADS = 256 };
static const long ROUNDS = 4000000;
static const size_t READ_BYTES = (size_t)3 << 29;  // 1.5 GiB

typedef struct {
    void (*work)(char *, size_t);
    char *memory;
    size_t bytes;
    pthread_barrier_t *start;
    double began, ended;
} job;

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

static void *run_job(void *given) {
    job *j = given;
    pthread_barrier_wait(j->start);
    j->began = seconds();
    j->work(j->memory, j->bytes);
    j->ended = seconds();
    return NULL;
}

// The least seconds of several runs of `work` on every thread at once, each with its part of the memory.
static double fastest(void (*work)(char *, size_t), int threads, char *memory, size_t bytes) {
    double best = 1e30;
    for (int repeat = 0; repeat < REPEATS; repeat++) {
        pthread_t ids[MOST_THREADS];
        job jobs[MOST_THREADS];
        pthread_barrier_t start;
        pthread_barrier_init(&start, NULL, threads);
        for (int i = 0; i < threads; i++) {
            jobs[i] = (job){work, memory + bytes / threads * i, bytes / threads, &start, 0, 0};
            pthread_create(&ids[i], NULL, run_job, &jobs[i]);
        }
        double began = 1e30, ended = 0;
        for (int i = 0; i < threads; i++) {
            pthread_join(ids[i], NULL);
            if (jobs[i].began < began) began = jobs[i].began;
            if (jobs[i].ended > ended) ended = jobs[i].ended;
        }
        if (ended - began < best) best = ended - began;
        pthread_barrier_destroy(&start);
    }
    return best;
}

#ifdef __AVX512F__
typedef __m512 vector;
#define SPLAT _mm512_set1_ps
#define FMA _mm512_fmadd_ps
#define INTEGERS __m512i
#define ZERO _mm512_setzero_si512
#define LOAD(p) _mm512_load_si512((const void *)(p))
#define XOR _mm512_xor_si512
#else
typedef __m256 vector;
#define SPLAT _mm256_set1_ps
#define FMA _mm256_fmadd_ps
#define INTEGERS __m256i
#define ZERO _mm256_setzero_si256
#define LOAD(p) _mm256_load_si256((const __m256i *)(p))
#define XOR _mm256_xor_si256
#endif

// A value whose origin the compiler does not know, and a use of one that it may not remove.
#define OPAQUE(x) __asm__ volatile("" : "+v"(x))

static void fp32(char *memory, size_t bytes) {
    (void)memory, (void)bytes;
    vector sums[CHAINS], a = SPLAT(0.999f), b = SPLAT(1e-6f);
    for (int i = 0; i < CHAINS; i++) sums[i] = SPLAT((float)i);
    for (long n = 0; n < ROUNDS; n++)
        for (int i = 0; i < CHAINS; i++) sums[i] = FMA(sums[i], a, b);
    for (int i = 0; i < CHAINS; i++) OPAQUE(sums[i]);
}
static const double FP32_OPERATIONS = 2.0 * CHAINS * sizeof(vector) / 4;

#if defined(__AMX_BF16__) || defined(__AMX_INT8__)
static void tiles(void) {
    shape_tiles();
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
    _tile_zero(6);
    _tile_zero(7);
}
#endif

#if defined(__AMX_BF16__)
static void bf16(char *memory, size_t bytes) {
    (void)memory, (void)bytes;
    tiles();
    for (long n = 0; n < ROUNDS / 4; n++) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_release();
}
static const double BF16_OPERATIONS = 2.0 * 16 * 16 * 32;
#elif defined(__AVX512BF16__)
static void bf16(char *memory, size_t bytes) {
    (void)memory, (void)bytes;
    __m512 sums[CHAINS];
    __m512i a = _mm512_set1_epi32(0x3f803f80), b = _mm512_set1_epi32(0x3f813f81);
    OPAQUE(a);
    OPAQUE(b);
    for (int i = 0; i < CHAINS; i++) sums[i] = _mm512_set1_ps((float)i);
    for (long n = 0; n < ROUNDS; n++)
        for (int i = 0; i < CHAINS; i++) sums[i] = _mm512_dpbf16_ps(sums[i], (__m512bh)a, (__m512bh)b);
    for (int i = 0; i < CHAINS; i++) OPAQUE(sums[i]);
}
static const double BF16_OPERATIONS = 2.0 * CHAINS * 32;
#else  // bf16 numbers are widened to fp32
#define bf16 fp32
#define BF16_OPERATIONS FP32_OPERATIONS
#endif

#if defined(__AMX_INT8__)
static void int8(char *memory, size_t bytes) {
    (void)memory, (void)bytes;
    tiles();
    for (long n = 0; n < ROUNDS / 4; n++) {
        _tile_dpbssd(0, 4, 6);
        _tile_dpbssd(1, 4, 7);
        _tile_dpbssd(2, 5, 6);
        _tile_dpbssd(3, 5, 7);
    }
    _tile_release();
}
static const double INT8_OPERATIONS = 2.0 * 16 * 16 * 64;
#elif defined(__AVX512VNNI__)
static void int8(char *memory, size_t bytes) {
    (void)memory, (void)bytes;
    __m512i sums[CHAINS], a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(-2);
    OPAQUE(a);
    OPAQUE(b);
    for (int i = 0; i < CHAINS; i++) sums[i] = _mm512_set1_epi32(i);
    for (long n = 0; n < ROUNDS; n++)
        for (int i = 0; i < CHAINS; i++) sums[i] = _mm512_dpbusd_epi32(sums[i], a, b);
    for (int i = 0; i < CHAINS; i++) OPAQUE(sums[i]);
}
static const double INT8_OPERATIONS = 2.0 * CHAINS * 64;
#else  // pairs are widened to int16
static void int8(char *memory, size_t bytes) {
    (void)memory, (void)bytes;
    __m256i sums[CHAINS], a = _mm256_set1_epi16(3);
    for (int i = 0; i < CHAINS; i++) sums[i] = _mm256_set1_epi32(i);
    for (long n = 0; n < ROUNDS; n++)
        for (int i = 0; i < CHAINS; i++) {
            OPAQUE(a);
            sums[i] = _mm256_add_epi32(sums[i], _mm256_madd_epi16(a, a));
        }
    for (int i = 0; i < CHAINS; i++) OPAQUE(sums[i]);
}
static const double INT8_OPERATIONS = 2.0 * CHAINS * 16;
#endif

static void touch(char *memory, size_t bytes) { memset(memory, 1, bytes); }

static void read_all(char *memory, size_t bytes) {
    INTEGERS sums[8];
    for (int i = 0; i < 8; i++) sums[i] = ZERO();
    for (const char *at = memory; at + sizeof sums <= memory + bytes; at += sizeof sums)
        for (int i = 0; i < 8; i++) sums[i] = XOR(sums[i], LOAD(at + i * sizeof *sums));
    for (int i = 0; i < 8; i++) OPAQUE(sums[i]);
}

int main(int count, char **words) {
    int threads = count > 1 ? atoi(words[1]) : 1;
    if (threads < 1 || threads > MOST_THREADS) return 1;
    syscall(SYS_arch_prctl, 0x1023, 18);  // asks Linux for AMX's tile data; refused where there is none
    printf("fp32 %.1f\n", 1e-9 * threads * ROUNDS * FP32_OPERATIONS / fastest(fp32, threads, NULL, 0));
#if defined(__AMX_BF16__)
    double rounds = ROUNDS / 4 * 4;
#else
    double rounds = ROUNDS;
#endif
    printf("bf16 %.1f\n", 1e-9 * threads * rounds * BF16_OPERATIONS / fastest(bf16, threads, NULL, 0));
    printf("int8 %.1f\n", 1e-9 * threads * rounds * INT8_OPERATIONS / fastest(int8, threads, NULL, 0));
    size_t bytes = READ_BYTES / threads / 4096 * 4096 * threads;
    char *memory = aligned_alloc((size_t)2 << 20, READ_BYTES);
    if (!memory) return 1;
    fastest(touch, threads, memory, bytes);
    printf("read %.1f\n", 1e-9 * bytes / fastest(read_all, threads, memory, bytes));
    return 0;
}
