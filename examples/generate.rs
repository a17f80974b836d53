//! Writes a domain for benches: `cargo run --release --example generate -- DIRECTORY [MACHINES]` (10,000 if not said).
//!
//! Refuses: a directory that has something in it.

#[path = "../tests/common/generate.rs"]
mod generate;

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let (Some(root), Ok(count)) = (words.next().map(PathBuf::from), words.next().as_deref().unwrap_or("10000").parse())
    else {
        eprintln!("usage: generate DIRECTORY [MACHINES]");
        return ExitCode::from(2);
    };
    if root.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        eprintln!("{} is not empty", root.display());
        return ExitCode::from(2);
    }
    match generate::domain(&root, count) {
        Ok(()) => {
            println!("{count} machines of {} lines in {}, from {}", generate::LINES, root.display(), generate::name(0));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("cannot write {}: {error}", root.display());
            ExitCode::from(4)
        }
    }
}
