//! The binary: the command line and nothing else.

/// Ten thousand machines are many small things, made on two threads: here they take less time, and less room.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    leafwright::cli::main()
}
