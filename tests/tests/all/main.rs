//! The grid under test. One binary for all of it, so that it is linked once.

mod house;
