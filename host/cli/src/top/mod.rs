//! `wasmgrid top`: how a grid is, on a whole terminal, again each second. What is asked and shown are
//! what the scheduler counts, so a job of ten million tasks costs what one of ten does.

mod ask;
mod draw;
mod model;
mod screen;

use std::time::Duration;

use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

use crate::{
    args::TopArgs,
    cluster::with_context,
    exit::{Exit, usage},
    interrupt::Interrupt,
    print,
};
use ask::{News, Query};
use model::{Model, Next};
use screen::{Key, Screen};

/// Answers and keys that wait to be shown: more are not read.
const WAITING: usize = 16;

/// Shows a grid until the user leaves.
///
/// # Errors
/// A usage error without a terminal or a context; else if the grid cannot be reached at the start, or the
/// terminal cannot be used.
pub async fn top(args: TopArgs, interrupt: &Interrupt) -> anyhow::Result<Exit> {
    if !print::data_on_terminal() || !print::keys_from_terminal() {
        return Err(usage(
            "top needs a terminal for its keys and its screen; programs read `wasmgrid status \
             --output json`, `wasmgrid job list --output json` and the like",
        ));
    }
    let interval = args.interval.duration();
    with_context(&args.grid, async |name, client| {
        let mut model = Model::new(name);
        let (asks, questions) = watch::channel(model.query());
        let (tells, news) = mpsc::channel(WAITING);
        let asking = tokio::spawn(ask::again_and_again(client.clone(), questions, interval, tells));
        let asking = Ends(asking);
        let shown = show(&mut model, &asks, news, interrupt).await;
        drop(asking);
        shown
    })
    .await
}

/// Ends a task when it is dropped.
struct Ends(JoinHandle<()>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How often the screen is drawn without news: what it says of time goes on.
const REDRAWN: Duration = Duration::from_secs(1);

async fn show(
    model: &mut Model,
    asks: &watch::Sender<Query>,
    mut news: mpsc::Receiver<News>,
    interrupt: &Interrupt,
) -> anyhow::Result<Exit> {
    let mut screen = Screen::open()?;
    let mut keys = screen.keys(WAITING)?;
    loop {
        screen.draw(|frame| draw::draw(model, frame))?;
        let next = tokio::select! {
            () = interrupt.asked() => return Ok(Exit::Interrupted),
            key = keys.recv() => match key {
                Some(Key::Pressed(key)) => model.pressed(key),
                Some(Key::Resized) => Next::Draw,
                // The terminal is gone.
                None => return Ok(Exit::Ok),
            },
            told = news.recv() => match told {
                Some(told) => model.told(told),
                None => Next::Leave,
            },
            () = tokio::time::sleep(REDRAWN) => Next::Draw,
        };
        match next {
            Next::Draw => {}
            Next::Ask => _ = asks.send_replace(model.query()),
            Next::Leave => return Ok(Exit::Ok),
        }
    }
}
