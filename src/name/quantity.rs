//! Durations and byte sizes as people write them: `90s`, `2m`, `64MiB`.
//!
//! Refuses: bare numbers (90 of what?), fractions, and units that mean two things.

use super::Fault;

/// A span of time in nanoseconds, as NATS counts it. Written `90s`, `2m`, `250ms`, `7d`; several parts join: `1h30m`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(u64);

/// An amount of memory or disk in bytes. Written `512MiB`, `1GiB`, `4096B`; `KB`, `MB`, `GB`, `TB` are powers of ten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

const TIMES: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Largest first, so that the first exact one is the largest.
const SIZES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
    ("B", 1),
];

/// Splits `text` into (number, unit) parts and sums them; `None` when a part is not a number with a known unit.
fn sum(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let mut rest = text;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u64 = rest.get(..digits)?.parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let factor = units.iter().find(|(unit, _)| *unit == &rest[..letters])?.1;
        total = total.checked_add(number.checked_mul(factor)?)?;
        rest = &rest[letters..];
    }
    Some(total)
}

/// Go and NATS count both in signed 64 bits.
const LARGEST: u64 = i64::MAX as u64;

impl Duration {
    pub const fn nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    pub const fn secs(secs: u64) -> Self {
        Self(secs * 1_000_000_000)
    }

    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// `0` alone is a duration; everything else names its unit.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        if text == "0" {
            return Ok(Self(0));
        }
        let value = (!text.is_empty()).then(|| sum(text, &TIMES)).flatten();
        if value.is_some_and(|value| value > LARGEST) {
            return Err(Fault::new(format!("`{text}` is longer than 292 years, which is the longest there is"))
                .help("where there is no limit, leave it out"));
        }
        value.map(Self).ok_or_else(|| {
            Fault::new(format!("`{text}` is not a duration"))
                .help("write a number and a unit: `90s`, `2m`, `1h30m`, `7d`, `250ms`")
        })
    }
}

impl std::fmt::Display for Duration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write_exact(f, self.0, &TIMES)
    }
}

impl ByteSize {
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    pub const fn as_bytes(self) -> u64 {
        self.0
    }

    /// `0` alone is a size; everything else names its unit.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        if text == "0" {
            return Ok(Self(0));
        }
        let value = (!text.is_empty()).then(|| sum(text, &SIZES)).flatten();
        if value.is_some_and(|value| value > LARGEST) {
            return Err(Fault::new(format!("`{text}` is more than 8 EiB, which is the most there is"))
                .help("where there is no limit, leave it out"));
        }
        value.map(Self).ok_or_else(|| {
            Fault::new(format!("`{text}` is not a size in bytes"))
                .help("write a number and a unit: `512MiB`, `1GiB`, `64KiB`, `4096B`")
        })
    }
}

impl std::fmt::Display for ByteSize {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write_exact(f, self.0, &SIZES)
    }
}

/// In the largest unit that says the value exactly; the smallest unit is 1 and always does.
fn write_exact(f: &mut std::fmt::Formatter<'_>, value: u64, units: &[(&str, u64)]) -> std::fmt::Result {
    match units.iter().find(|(_, factor)| value >= *factor && value.is_multiple_of(*factor)) {
        Some((unit, factor)) => write!(f, "{}{unit}", value / factor),
        None => f.write_str("0"),
    }
}

macro_rules! as_text {
    ($name:ident) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}
as_text!(Duration);
as_text!(ByteSize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_printed() {
        for text in ["90s", "2m", "7d", "250ms", "0"] {
            assert_eq!(Duration::parse(text).unwrap().to_string(), text);
        }
        for text in ["512MiB", "3GiB", "2TiB", "0", "1B", "1001B", "100GB", "500MB", "3TB", "1500KB"] {
            assert_eq!(ByteSize::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Duration::parse("1h30m").unwrap(), Duration::secs(5400));
        assert_eq!(ByteSize::parse("2GB").unwrap().as_bytes(), 2_000_000_000);
        // 2 000 000 000 is a whole number of KiB too; nobody would recognise it.
        assert_eq!(ByteSize::parse("2000MB").unwrap().to_string(), "2GB");
        assert_eq!(ByteSize::parse("1024MiB").unwrap().to_string(), "1GiB");
    }

    #[test]
    fn what_nats_cannot_count_is_refused() {
        assert!(Duration::parse("106751d").is_ok() && ByteSize::parse("8388607TiB").is_ok());
        assert!(Duration::parse("106752d").unwrap_err().to_string().contains("longer than 292 years"));
        assert!(ByteSize::parse("8388608TiB").unwrap_err().to_string().contains("more than 8 EiB"));
    }

    #[test]
    fn numbers_without_units_and_overflows_are_refused() {
        for text in ["", "90", "s", "1.5h", "-1s", "99999999999d", "1 s", "1x"] {
            assert!(Duration::parse(text).is_err(), "{text}");
            assert!(ByteSize::parse(text).is_err(), "{text}");
        }
    }
}
