//! The codes of this floor's findings, by name.
//!
//! Refuses: being the table of codes; titles and long texts are `diag::codes` and `docs/codes/`.

use crate::diag::Code;

pub const UNKNOWN_NAME: Code = Code(101);
pub const IMPORT_CYCLE: Code = Code(102);
pub const CLUSTER_MEMBERS: Code = Code(103);
pub const NO_ZONE: Code = Code(104);
pub const NOT_DETECTED: Code = Code(105);

pub const UNKNOWN_OPTION: Code = Code(201);
pub const DOES_NOT_FIT: Code = Code(202);
pub const BAD_TYPE: Code = Code(203);
pub const COLLISION: Code = Code(204);
pub const CONFLICT: Code = Code(205);
pub const NOTHING_TO_REMOVE: Code = Code(206);
pub const EXPRESSION: Code = Code(207);
pub const UNKNOWN_REFERENCE: Code = Code(208);
pub const CYCLE: Code = Code(209);
pub const WHEN_READS_ITSELF: Code = Code(210);
pub const EVALUATION: Code = Code(211);
pub const NO_VALUE: Code = Code(212);
pub const ASSERTION: Code = Code(213);
pub const WARNING: Code = Code(214);
pub const NOT_A_CONDITION: Code = Code(215);
