//! What the library does without a server: checks of one text, over and over, on each thread.
//!
//! usage: loop BUNDLE ENGINE THREADS SECONDS TEXT [AT_ONCE]
//!
//! It prints checks a second. With AT_ONCE, so many are checked in one call, which may share runs
//! of the engine. `scripts/load.sh` compares the server with it.

use std::error::Error;
use std::time::{Duration, Instant};

use duoguard::{CheckOptions, Input, Model, SessionOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [bundle, engine, threads, seconds, text, rest @ ..] = &arguments[..] else {
        return Err("usage: loop BUNDLE ENGINE THREADS SECONDS TEXT [AT_ONCE]".into());
    };
    let (threads, seconds): (usize, u64) = (threads.parse()?, seconds.parse()?);
    let at_once: usize = rest.first().map_or(Ok(1), |count| count.parse())?;
    let inputs = vec![Input::prompt(text); at_once];
    let model = Model::open(bundle)?;
    let options = SessionOptions {
        engine: engine.parse()?,
        ..SessionOptions::default()
    };
    let sessions = (0..threads).map(|_| model.session(&options));
    let sessions = sessions.collect::<Result<Vec<_>, _>>()?;
    let start = Instant::now();
    let end = start + Duration::from_secs(seconds);
    let counts = std::thread::scope(|scope| {
        let running = sessions.into_iter().map(|mut session| {
            let inputs = &inputs;
            scope.spawn(move || {
                let mut checks = 0;
                while Instant::now() < end {
                    match &inputs[..] {
                        [input] => drop(session.check(input)?),
                        several => {
                            for verdict in session.check_many(several, &CheckOptions::default()) {
                                verdict?;
                            }
                        }
                    }
                    checks += inputs.len();
                }
                Ok::<_, duoguard::Error>(checks)
            })
        });
        let running: Vec<_> = running.collect();
        running
            .into_iter()
            .map(|thread| thread.join().map_err(|_| "a thread panicked"))
            .collect::<Result<Vec<_>, _>>()
    })?;
    let checks = counts.into_iter().sum::<Result<usize, _>>()?;
    println!("{:.0}", checks as f64 / start.elapsed().as_secs_f64());
    Ok(())
}
