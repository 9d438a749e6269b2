//! The grid under test. One binary for all of it, so that it is linked once.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod admission;
mod again;
mod audits;
mod balancer;
mod belonging;
mod bindings;
mod book;
mod browser;
mod bulk;
mod certificates;
mod clocks;
mod clones;
mod cluster;
mod comes_back;
mod commands;
mod console;
mod counted;
mod crates;
mod data;
mod examples;
mod failing;
mod failpoints;
mod false_worker;
mod faults;
mod files;
mod first_start;
mod functions;
mod generated;
mod grants;
mod hostile_clients;
mod house;
mod http;
mod http_load;
mod imports;
mod json_reference;
mod keys;
mod languages;
mod liars;
mod lists;
mod local;
mod machine;
mod members;
mod metrics;
mod names;
mod open;
mod operate;
mod outside;
mod pages;
mod partitions;
mod printing;
mod private;
mod promises;
mod quotas;
mod readme;
mod refusals;
mod releases;
mod results;
mod resume;
mod sandbox;
mod sizes;
mod storage;
mod stored_inputs;
mod strangers;
mod tokens;
mod toolchains;
mod wasi_suite;
mod with;
mod words;
mod zoo;
