//! Ctrl-C as something that is heard, and does not end the process.
//!
//! Refuses: SIGTERM and SIGHUP. They come with a shutdown, and with a terminal that is gone: nobody is there to be told, and
//! the watchdog, or the boot, puts right what the end of this process leaves.

use std::future::{Future, pending};
use tokio::signal::unix::{SignalKind, signal};

/// From the call on Ctrl-C ends this future, and nothing else.
pub fn came() -> impl Future<Output = ()> + Send + 'static {
    let signal = signal(SignalKind::interrupt());
    async move {
        match signal {
            Ok(mut signal) => drop(signal.recv().await),
            // It ends the process then, as ever.
            Err(_) => pending().await,
        }
    }
}
