/* Prints the CRC-32 (IEEE 802.3) and the length of standard input, as `cksum -a crc32b` would
   name them. Plain C for WASI: it knows nothing of wasmgrid. */

#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

static uint32_t table[256];

static void fill_table(void) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ (0xEDB88320u & -(crc & 1u));
        }
        table[byte] = crc;
    }
}

int main(void) {
    static unsigned char buffer[1 << 16];
    uint32_t crc = 0xFFFFFFFFu;
    uint64_t length = 0;
    size_t count;

    fill_table();
    while ((count = fread(buffer, 1, sizeof buffer, stdin)) > 0) {
        for (size_t at = 0; at < count; at++) {
            crc = (crc >> 8) ^ table[(crc ^ buffer[at]) & 0xFFu];
        }
        length += count;
    }
    if (ferror(stdin)) {
        perror("checksum: standard input");
        return 1;
    }
    printf("%08" PRIx32 " %" PRIu64 "\n", crc ^ 0xFFFFFFFFu, length);
    return 0;
}
