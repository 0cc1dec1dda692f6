/* Runs a compiled model without Python.
 *
 *     drystone unpack model.dry model/
 *     cc -O2 -Imodel examples/run_model.c model/model.so -Wl,-rpath,model -o run_model
 *     ./run_model model/weights.safetensors input0.bin input1.bin ... > outputs.bin
 *
 * Each input file holds one input's raw elements; the outputs' raw elements are written one after the other.
 * Dynamic sizes are taken at their upper bounds.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model.h"

static void *buffer(uint64_t bytes) {
    void *memory = aligned_alloc(64, (bytes / 64 + 1) * 64);
    if (memory == NULL) {
        fprintf(stderr, "no memory for %llu bytes\n", (unsigned long long)bytes);
        exit(1);
    }
    return memory;
}

static const char *map(const char *path, int *descriptor) {
    struct stat status;
    int file = *descriptor = open(path, O_RDONLY);
    if (file < 0 || fstat(file, &status) != 0) {
        perror(path);
        exit(1);
    }
    void *start = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    if (start == MAP_FAILED) {
        perror(path);
        exit(1);
    }
    return start;
}

/* Memory for a weight of which rows are read from the file as they are needed: it takes none yet. */
static void *window(uint64_t pages) {
    void *start = mmap(NULL, pages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    return start;
}

static void read_whole(const char *path, void *target, uint64_t bytes) {
    FILE *file = fopen(path, "rb");
    if (file == NULL || fread(target, 1, bytes, file) != bytes) {
        fprintf(stderr, "%s does not hold %llu bytes\n", path, (unsigned long long)bytes);
        exit(1);
    }
    fclose(file);
}

int main(int count, char **arguments) {
    if (count != 2 + DRYSTONE_INPUTS) {
        fprintf(stderr, "use: %s weights.safetensors, then %d input files\n", arguments[0], DRYSTONE_INPUTS);
        return 2;
    }
    int descriptor;
    const char *file = map(arguments[1], &descriptor);
    const void *weights[DRYSTONE_WEIGHTS + 1];
    const void *inputs[DRYSTONE_INPUTS + 1];
    void *outputs[DRYSTONE_OUTPUTS + 1];
    void *states[DRYSTONE_STATES + 1];
    for (int i = 0; i < DRYSTONE_WEIGHTS; i++) weights[i] = file + drystone_weight_offsets[i];
    for (int i = 0; i < DRYSTONE_INPUTS; i++) {
        void *input = buffer(drystone_input_bytes[i]);
        read_whole(arguments[2 + i], input, drystone_input_bytes[i]);
        inputs[i] = input;
    }
    for (int i = 0; i < DRYSTONE_OUTPUTS; i++) outputs[i] = buffer(drystone_output_bytes[i]);
    for (int i = 0; i < DRYSTONE_STATES; i++) {
        states[i] = buffer(drystone_state_bytes[i]);
        memcpy(states[i], weights[drystone_initial_states[i]], drystone_state_bytes[i]);
    }
    int64_t places[DRYSTONE_WEIGHTS + 1];
    uint8_t *held[DRYSTONE_WEIGHTS + 1];
    for (int i = 0; i < DRYSTONE_WEIGHTS; i++) {
        places[i] = (int64_t)drystone_weight_offsets[i];
        held[i] = NULL;
        if (drystone_window_pages[i] > 0) {
            weights[i] = window(drystone_window_pages[i]);
            held[i] = calloc(drystone_window_pages[i], 1);
        }
    }
    void *pool = drystone_pool_create(2, 0);
    const struct drystone_call call = {
        .weights = weights,
        .arena = buffer(DRYSTONE_ARENA_BYTES),
        .inputs = inputs,
        .outputs = outputs,
        .states = states,
        .symbols = drystone_symbol_bounds,
        .profile = NULL,
        .threads = 0,
        .file = descriptor,
        .places = places,
        .held = held,
    };
    int32_t failed = drystone_run(pool, &call);
    drystone_pool_destroy(pool);
    if (failed != 0) {
        fprintf(stderr, "the model's check %d failed\n", failed - 1);
        return 1;
    }
    for (int i = 0; i < DRYSTONE_OUTPUTS; i++) fwrite(outputs[i], 1, drystone_output_bytes[i], stdout);
    return 0;
}
