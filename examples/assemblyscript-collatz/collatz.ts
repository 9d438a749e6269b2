// Steps of the Collatz sequence from a number down to 1, and the highest number on the way. An
// ordinary WASI command: it reads standard input and knows nothing of wasmgrid.

// Longer than any number that fits.
const INPUT_MAX = 64;

function read(): string {
  const input = new ArrayBuffer(INPUT_MAX);
  let length = 0;
  let count = 1;
  while (count > 0 && length < INPUT_MAX) {
    count = process.stdin.read(input, length);
    length += count;
  }
  return String.UTF8.decode(input.slice(0, length)).trim();
}

const text = read();
const start = u64.parse(text);
if (start == 0 || start.toString() != text) {
  console.error("no whole number above 0: " + text);
  process.exit(2);
}

let value = start;
let highest = start;
let steps = 0;
while (value != 1) {
  value = value & 1 ? 3 * value + 1 : value >> 1;
  if (value > highest) highest = value;
  steps++;
}
process.stdout.write(steps.toString() + " " + highest.toString());
