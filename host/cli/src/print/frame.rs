//! A progress bar's frames, on the terminal that messages go to. A frame that cannot be shown at
//! once is left out.

use std::{
    io,
    sync::{Mutex, PoisonError},
};

use indicatif::TermLike;
use rustix::{stdio, termios::tcgetwinsize};

use super::stderr;

/// Where a terminal does not say how wide it is.
const USUAL_WIDTH: u16 = 80;

/// Gathers what makes one frame, and shows it whole.
#[derive(Debug, Default)]
pub struct Frames(Mutex<String>);

impl Frames {
    fn add(&self, text: &str) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_str(text);
        Ok(())
    }

    /// Moves the cursor by `n`, by the control sequence that ends so.
    fn move_cursor(&self, n: usize, end: char) -> io::Result<()> {
        if n == 0 { Ok(()) } else { self.add(&format!("\x1b[{n}{end}")) }
    }
}

impl TermLike for Frames {
    fn width(&self) -> u16 {
        match tcgetwinsize(stdio::stderr()) {
            Ok(size) if size.ws_col > 0 => size.ws_col,
            _ => USUAL_WIDTH,
        }
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.add(text)?;
        self.add("\n")
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.add(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.add("\r\x1b[2K")
    }

    fn flush(&self) -> io::Result<()> {
        let mut frame = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !frame.is_empty() {
            stderr::show(std::mem::take(&mut *frame).into_bytes());
        }
        Ok(())
    }
}
