//! A bar while events are loaded: on a terminal only, on stderr, gone when the load is done.

use super::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;

/// What `load` calls as it goes on. Draws nothing where stderr is not a terminal.
pub fn bar(label: &str) -> impl FnMut(Progress) + use<> {
    let target =
        if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(None, target).with_message(label.to_owned());
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {per_sec}") {
        bar.set_style(style);
    }
    move |Progress { stored, total }| {
        bar.set_length(total);
        bar.set_position(stored);
        if stored == total {
            bar.finish_and_clear();
        }
    }
}
