//! The console blocks of README.md and of the book, run as they stand there.

mod block;
mod desk;

use std::path::PathBuf;

use walkdir::WalkDir;
use wasmgrid_tests::repository;

use block::{Block, Grid, blocks};
use desk::Desk;

/// All blocks, in the order of their files.
fn all() -> Vec<Block> {
    let root = repository();
    let book = WalkDir::new(root.join("docs/book/src")).sort_by_file_name();
    let book = book.into_iter().map(|entry| entry.expect("readable").into_path());
    let pages = book.filter(|path| path.extension().is_some_and(|ending| ending == "md"));
    let files: Vec<PathBuf> = [root.join("README.md")].into_iter().chain(pages).collect();
    files.iter().flat_map(|file| blocks(root, file)).collect()
}

/// Those that need such a grid and can be run here.
fn with(grid: Grid) -> Vec<Block> {
    let mut all = all();
    all.retain(|block| block.how.grid == grid && block.how.not_here.is_none());
    assert!(!all.is_empty(), "no block needs {grid:?}");
    all
}

/// Holds that each block did what the text says; the next one is run also if one is wrong.
fn hold(results: impl Iterator<Item = Result<(), String>>) {
    let wrong: Vec<String> = results.filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn a_console_block_is_run_by_a_test_or_says_why_not() {
    let all = all();
    assert!(all.len() > 30, "{} blocks: are they found?", all.len());
    for block in &all {
        assert!(!block.steps.is_empty(), "{block} has no command");
        if let Some(reason) = &block.how.not_here {
            assert!(reason.split(' ').count() >= 3, "{block}: {reason:?} is no reason");
            for file in reason.split(' ').filter(|word| word.ends_with(".rs")) {
                assert!(repository().join(file).is_file(), "{block}: there is no {file}");
            }
        }
    }
    let run = all.iter().filter(|block| block.how.not_here.is_none()).count();
    assert!(run * 2 > all.len(), "only {run} of {} blocks are run", all.len());
}

#[test]
fn console_blocks_without_a_grid_do_what_the_text_says() {
    hold(with(Grid::None).iter().map(|block| Desk::new(Grid::None).run(block)));
}

#[test]
fn console_blocks_of_a_cluster_do_what_the_text_says() {
    let desk = Desk::new(Grid::Shared);
    hold(with(Grid::Shared).iter().map(|block| desk.run(block)));
}

#[test]
fn console_blocks_with_a_cluster_of_their_own_do_what_the_text_says() {
    let own = [with(Grid::Own), with(Grid::Degraded)];
    hold(own.iter().flatten().map(|block| Desk::new(block.how.grid).run(block)));
}
