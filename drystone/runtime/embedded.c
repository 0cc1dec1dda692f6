/* A model compiled by drystone as a part of a program: its code and its weights are in this file's object. */
#define _GNU_SOURCE
#include "@name@.h"
#include "@name@.model.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef DRYSTONE_FOLDER
#define DRYSTONE_FOLDER "."
#endif

__asm__(".pushsection .rodata\n"
        ".globl @name@_code_start, @name@_code_end, @name@_weights_file\n"
        ".hidden @name@_code_start, @name@_code_end, @name@_weights_file\n"
        ".balign 64\n"
        "@name@_code_start:\n"
        ".incbin \"" DRYSTONE_FOLDER "/@name@.so\"\n"
        "@name@_code_end:\n"
        ".balign 64\n"
        "@name@_weights_file:\n"
        ".incbin \"" DRYSTONE_FOLDER "/@name@.safetensors\"\n"
        ".popsection\n");
extern const char @name@_code_start[], @name@_code_end[], @name@_weights_file[];

static pthread_once_t once = PTHREAD_ONCE_INIT;
static void *(*pool_create)(int32_t, int32_t);
static void (*pool_destroy)(void *);
static int32_t (*run)(void *, const struct drystone_call *);

static const char *const required[] = {@required@NULL};

/* Whether the CPU has a feature, by its name in /proc/cpuinfo; what cannot be read is not known to lack. */
static int has(const char *feature) {
    static char line[1 << 14];
    FILE *file = fopen("/proc/cpuinfo", "r");
    int found = file == NULL;
    while (!found && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "flags", 5) != 0) continue;
        for (char *word = strtok(line, " \t\n"); word != NULL && !found; word = strtok(NULL, " \t\n"))
            found = strcmp(word, feature) == 0;
        break;
    }
    if (file != NULL) fclose(file);
    return found;
}

/* The code is a shared object with names that all models have: it is loaded by itself, from memory. The file
 * stays open, since the loader knows it by its number. */
static void load(void) {
    for (int i = 0; required[i] != NULL; i++)
        if (!has(required[i])) {
            fprintf(stderr, "@name@: the CPU lacks %s\n", required[i]);
            return;
        }
    int file = memfd_create("@name@", MFD_CLOEXEC);
    if (file < 0) return;
    for (const char *at = @name@_code_start; at != @name@_code_end;) {
        ssize_t written = write(file, at, (size_t)(@name@_code_end - at));
        if (written <= 0) return;
        at += written;
    }
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        fprintf(stderr, "@name@: %s\n", dlerror());
        return;
    }
    *(void **)&pool_create = dlsym(library, "drystone_pool_create");
    *(void **)&pool_destroy = dlsym(library, "drystone_pool_destroy");
    *(void **)&run = dlsym(library, "drystone_run");
}

struct @name@ {
    void *pool;
    void *arena;
    const void *weights[DRYSTONE_WEIGHTS + 1];
    void *states[DRYSTONE_STATES + 1];
};

static void *buffer(uint64_t bytes) {
    return aligned_alloc(64, (bytes / 64 + 1) * 64);
}

struct @name@ *@name@_open(int32_t threads) {
    pthread_once(&once, load);
    struct @name@ *model = calloc(1, sizeof *model);
    if (model == NULL || run == NULL) {
        free(model);
        return NULL;
    }
    /* Code without pools runs on the calling thread. */
    if (pool_create != NULL) model->pool = pool_create(threads, 0);
    model->arena = buffer(DRYSTONE_ARENA_BYTES);
    int whole = (model->pool != NULL || pool_create == NULL) && model->arena != NULL;
    for (int i = 0; i < DRYSTONE_WEIGHTS; i++) model->weights[i] = @name@_weights_file + drystone_weight_offsets[i];
    for (int i = 0; i < DRYSTONE_STATES; i++) {
        model->states[i] = buffer(drystone_state_bytes[i]);
        whole &= model->states[i] != NULL;
    }
    if (!whole) {
        @name@_close(model);
        return NULL;
    }
    @name@_reset(model);
    return model;
}

void @name@_reset(struct @name@ *model) {
    for (int i = 0; i < DRYSTONE_STATES; i++)
        memcpy(model->states[i], model->weights[drystone_initial_states[i]], drystone_state_bytes[i]);
}

int32_t @name@_call(struct @name@ *model, const void *const *inputs, void *const *outputs,
                    const int64_t *symbols) {
    for (int i = 0; i < DRYSTONE_INPUTS; i++)
        if ((uintptr_t)inputs[i] % 64) return -1;
    for (int i = 0; i < DRYSTONE_OUTPUTS; i++)
        if ((uintptr_t)outputs[i] % 64) return -1;
    const struct drystone_call call = {
        .weights = model->weights,
        .arena = model->arena,
        .inputs = inputs,
        .outputs = outputs,
        .states = model->states,
        .symbols = symbols ? symbols : drystone_symbol_bounds,
    };
    return run(model->pool, &call);
}

void @name@_close(struct @name@ *model) {
    if (model == NULL) return;
    if (model->pool != NULL) pool_destroy(model->pool);
    for (int i = 0; i < DRYSTONE_STATES; i++) free(model->states[i]);
    free(model->arena);
    free(model);
}
