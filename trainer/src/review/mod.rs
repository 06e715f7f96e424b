//! `duoguard-train review`: a page on which a person says what a run's players disagree about.
//!
//! It is served to this machine alone. Every answer is appended to the run's `reviewed.jsonl`,
//! which the next round takes over as labels of the highest weight.

mod items;
mod page;
mod queue;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use tokio::net::TcpListener;

use crate::error::TrainError;

/// Serves the page of the run in the folder `run` on this machine until Control and C are pressed;
/// port 0 takes a free one. `ready` is told where.
///
/// # Errors
/// A folder without a played round, a file there that is damaged, or a port that is taken.
pub fn review(
    run: &Path,
    port: u16,
    ready: impl FnOnce(SocketAddr) -> io::Result<()>,
) -> Result<(), TrainError> {
    let state = page::State::open(run)?;
    let failed = |e| TrainError::io("serve", run, e);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        let listener = listener.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        ready(address).map_err(|e| TrainError::io("tell the address of", run, e))?;
        let stop = async {
            // Without a signal to wait for, the page is served until the process ends.
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let server = axum::serve(listener, page::router(state));
        server.with_graceful_shutdown(stop).await.map_err(failed)
    })
}
