//! Fills 32 MiB of heap with known bytes, half of it before anything is read or written, and counts
//! the bytes that are not as they were at the end.

use std::io;

const BLOCKS: usize = 64;
const SIZE: usize = 512 * 1024;

fn letter(block: usize) -> u8 {
    b'A' + (block % 26) as u8
}

fn main() {
    let mut blocks = Vec::new();
    for block in 0..BLOCKS {
        if block == BLOCKS / 2 {
            println!("{} lines", io::stdin().lines().count());
        }
        blocks.push(std::hint::black_box(vec![letter(block); SIZE]));
    }
    let changed = |(block, bytes): (usize, &Vec<u8>)| {
        bytes.iter().filter(|byte| **byte != letter(block)).count()
    };
    println!("{} bytes changed", blocks.iter().enumerate().map(changed).sum::<usize>());
}
