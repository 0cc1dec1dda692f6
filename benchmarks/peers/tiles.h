// What programs that measure tile registers (AMX) share.
#pragma once
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

// Every tile has 16 rows of 64 bytes.
static inline void shape_tiles(void) {
    struct { uint8_t palette, start, zero[14]; uint16_t columns[16]; uint8_t rows[16]; } shape;
    memset(&shape, 0, sizeof shape);
    shape.palette = 1;
    for (int i = 0; i < 8; i++) shape.columns[i] = 64, shape.rows[i] = 16;
    __asm__ volatile("" : : "r"(&shape) : "memory");  // GCC 12 would drop the stores above
    _tile_loadconfig(&shape);
}
