// Writes 8 bytes of a block of 256 KiB, at the place that its input says, and says what is there.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void) {
    size_t at = 0;
    if (scanf("%zu", &at) != 1) return 2;
    unsigned char *block = malloc(256 * 1024);
    if (!block) return 3;
    memset(block + at, 7, 8);
    printf("%zu:", at);
    fflush(stdout);
    for (int i = 0; i < 8; i++) printf(" %d", block[at + i]);
    printf("\n");
    return 0;
}
