//! What operators, shells and service managers use: help, completions, manual, version, units,
//! logs for programs, and the state of a grid at a glance.

mod backup;
mod install;
mod logs;
mod service;
mod shell;
mod status;
