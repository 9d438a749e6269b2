//! The terminal: taken over as a whole, given back whatever happens.

use std::{
    io::{self, Write as _},
    panic,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::Context as _;
use ratatui::{
    Frame, Terminal,
    backend::CrosstermBackend,
    crossterm::{
        cursor,
        event::{self, Event, KeyEvent, KeyEventKind},
        execute,
        terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
    },
};
use tokio::sync::mpsc;

use crate::print::{HeldMessages, Stdout};

/// For how long the reader of keys does not look whether it is still wanted.
const LOOKS: Duration = Duration::from_millis(100);

/// What the terminal says.
#[derive(Clone, Copy, Debug)]
pub enum Key {
    /// A key was pressed.
    Pressed(KeyEvent),
    /// It has another size.
    Resized,
}

/// The terminal as long as it is this program's.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    is_over: Arc<AtomicBool>,
    /// Messages would stand in the middle of what is shown.
    _held: HeldMessages,
}

impl Screen {
    /// Takes it over.
    ///
    /// # Errors
    /// If it cannot be used.
    pub fn open() -> anyhow::Result<Self> {
        let held = HeldMessages::hold();
        give_back_at_panics();
        enable_raw_mode().context("failed to use the terminal")?;
        let opened = execute!(Stdout, EnterAlternateScreen, cursor::Hide)
            .and_then(|()| Terminal::new(CrosstermBackend::new(Stdout)));
        match opened {
            Ok(terminal) => Ok(Self { terminal, is_over: Arc::default(), _held: held }),
            Err(error) => {
                give_back();
                Err(error).context("failed to use the terminal")
            }
        }
    }

    /// What is pressed, from now on.
    ///
    /// # Errors
    /// If the machine allows no more threads.
    pub fn keys(&self, waiting: usize) -> anyhow::Result<mpsc::Receiver<Key>> {
        let (tells, keys) = mpsc::channel(waiting);
        let is_over = Arc::clone(&self.is_over);
        let reader = thread::Builder::new().name("keys".into());
        let reading = reader.spawn(move || {
            // An error is a terminal that is gone; the channel's end says so.
            while let Ok(key) = next(&is_over) {
                let Some(key) = key else { return };
                if tells.blocking_send(key).is_err() {
                    return;
                }
            }
        });
        reading.context("failed to start a thread")?;
        Ok(keys)
    }

    /// Draws it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> anyhow::Result<()> {
        self.terminal.draw(draw).context("failed to draw")?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        give_back();
    }
}

/// The next key; `None` once nobody wants one.
fn next(is_over: &AtomicBool) -> io::Result<Option<Key>> {
    while !is_over.load(Ordering::Relaxed) {
        if !event::poll(LOOKS)? {
            continue;
        }
        match event::read()? {
            Event::Key(key) if key.kind != KeyEventKind::Release => {
                return Ok(Some(Key::Pressed(key)));
            }
            Event::Resize(..) => return Ok(Some(Key::Resized)),
            _ => {}
        }
    }
    Ok(None)
}

/// Makes the terminal what it was. Nothing can be done about a terminal that is gone.
fn give_back() {
    let _ = disable_raw_mode();
    let _ = execute!(Stdout, LeaveAlternateScreen, cursor::Show);
    let _ = Stdout.flush();
}

/// What a panic says would be lost with the screen.
fn give_back_at_panics() {
    let says = panic::take_hook();
    panic::set_hook(Box::new(move |what| {
        give_back();
        says(what);
    }));
}
