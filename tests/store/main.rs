//! The machine's state on disk, in real directories: register, generations, store, lock, files, and the verbs that show them. Crashes are errors
//! of the hook that is called before each effect: what is on disk then is what a crash would leave.
#![cfg(feature = "world")]

mod entries;
mod files;
mod fixture;
mod gc;
mod generations;
mod locks;
mod register;
mod transitions;
mod verbs;
