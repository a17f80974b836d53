//! Desired × observed → ordered steps, each with the reason. Data, not side effects; stable order; and then empty.
//!
//! Refuses: I/O, the clock, and leaving a choice to whoever carries the plan out.
