// Fills 32 MiB of heap with known bytes, half of it before anything is read or written, and counts
// the bytes that are not as they were at the end.
const BLOCKS = 64;
const SIZE = 512 * 1024;

const blocks = new Array<StaticArray<u8>>();
for (let i = 0; i < BLOCKS; i++) {
  if (i == BLOCKS / 2) {
    const chunk = new ArrayBuffer(4096);
    let lines = 0;
    for (let got = process.stdin.read(chunk); got > 0; got = process.stdin.read(chunk)) {
      const bytes = Uint8Array.wrap(chunk);
      for (let j = 0; j < <i32>got; j++) if (bytes[j] == 10) lines++;
    }
    process.stdout.write(lines.toString() + " lines\n");
  }
  blocks.push(new StaticArray<u8>(SIZE).fill(<u8>(65 + (i % 26))));
}
let changed = 0;
for (let i = 0; i < BLOCKS; i++) {
  for (let j = 0; j < SIZE; j++) if (blocks[i][j] != <u8>(65 + (i % 26))) changed++;
}
process.stdout.write(changed.toString() + " bytes changed\n");
