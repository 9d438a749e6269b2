// Fills 32 MiB of heap with known bytes, half of it before anything is read or written, and counts
// the bytes that are not as they were at the end.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCKS = 64, SIZE = 512 * 1024 };

int main(void) {
    static unsigned char *blocks[BLOCKS];
    size_t lines = 0, changed = 0;
    char line[256];
    for (size_t i = 0; i < BLOCKS; i++) {
        if (i == BLOCKS / 2) {
            while (fgets(line, sizeof line, stdin)) lines++;
            printf("%zu lines\n", lines);
            fflush(stdout);
        }
        blocks[i] = malloc(SIZE);
        if (!blocks[i]) return 2;
        memset(blocks[i], 'A' + i % 26, SIZE);
    }
    for (size_t i = 0; i < BLOCKS; i++)
        for (size_t j = 0; j < SIZE; j++) changed += blocks[i][j] != 'A' + i % 26;
    printf("%zu bytes changed\n", changed);
    return 0;
}
