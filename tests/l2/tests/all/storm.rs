//! The weather of a world: loss, copies, delays and cuts, until it is calm.

use std::{net::IpAddr, time::Duration};

use fastrand::Rng;
use tokio::time::{Instant, sleep_until};
use wasmgrid_net::simulated::Weather;

use crate::world::{World, address};

/// Changes the weather and cuts ways; all is well when the world is calm. Never ends.
pub async fn blow(world: World) {
    if world.has_restarts_only() {
        return std::future::pending().await;
    }
    let mut random = world.random("weather");
    let cuts_often = random.u8(..) < 180;
    let mut cuts = Vec::<(Instant, IpAddr, IpAddr)>::new();
    loop {
        world.network.set_weather(weather(&mut random));
        world.fault("weather");
        if cuts_often {
            for (from, to) in cut(&world, &mut random) {
                world.network.cut(from, to);
                let most = if random.u8(..) < 200 { 4_000 } else { 25_000 };
                let until = Instant::now() + Duration::from_millis(random.u64(100..most));
                cuts.push((until, from, to));
            }
        }
        let next = Instant::now() + Duration::from_millis(random.u64(200..4_000));
        while Instant::now() < next {
            let mended = cuts.iter().map(|(until, ..)| *until).min();
            sleep_until(mended.unwrap_or(next).min(next).min(world.calm_at)).await;
            if world.is_calm() {
                world.network.mend_all();
                world.network.set_weather(Weather::default());
                return std::future::pending().await;
            }
            cuts.retain(|(until, from, to)| {
                let stays = *until > Instant::now();
                if !stays {
                    world.network.mend(*from, *to);
                }
                stays
            });
        }
    }
}

fn weather(random: &mut Rng) -> Weather {
    let ms = |random: &mut Rng, most: u64| Duration::from_micros(random.u64(100..most * 1_000));
    Weather {
        loss: *random.choice(&[0.0, 0.01, 0.1, 0.1]).expect("some"),
        copies: *random.choice(&[0.0, 0.02, 0.1]).expect("some"),
        delay: ms(random, 20),
        jitter: ms(random, 15),
        stragglers: *random.choice(&[0.0, 0.01, 0.05]).expect("some"),
        late: ms(random, 400),
    }
}

/// Which ways are cut now.
fn cut(world: &World, random: &mut Rng) -> Vec<(IpAddr, IpAddr)> {
    let scheduler = address("scheduler");
    let workers = (0..world.workers).map(|at| format!("worker-{at}"));
    let clients = (0..world.clients).map(|at| format!("client-{at}"));
    let all: Vec<_> = workers.chain(clients).map(|name| address(&name)).collect();
    let one = *random.choice(&all).expect("some");
    match random.u8(..) {
        0..40 => {
            world.fault("cut from a member");
            vec![(one, scheduler)]
        }
        40..80 => {
            world.fault("cut to a member");
            vec![(scheduler, one)]
        }
        80..120 => {
            world.fault("member cut off");
            vec![(one, scheduler), (scheduler, one)]
        }
        120..140 => {
            world.fault("scheduler cut off");
            all.iter().flat_map(|one| [(*one, scheduler), (scheduler, *one)]).collect()
        }
        _ => Vec::new(),
    }
}
