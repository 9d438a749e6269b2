//! A plain command that sleeps for as many milliseconds as its input says and repeats it. Its
//! sleep is real where the clock is granted.

use std::{io::read_to_string, thread::sleep, time::Duration};

fn main() {
    let input = read_to_string(std::io::stdin()).expect("input is text");
    let millis = input.trim().parse().expect("input is a number");
    sleep(Duration::from_millis(millis));
    println!("{millis}");
}
