//! The web pages in a real browser: what a person at it sees and does. Skipped where Chromium or its
//! driver is missing.

mod audit;
mod deeds;
mod gallery;
mod hostile;
mod live;
mod scripts;
mod stage;
