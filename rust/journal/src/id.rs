//! Run ids: given by the user, or UUIDs of version 7 (RFC 9562), which sort by time.

use std::fmt;

/// The id of a run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RunId {
    /// Made by the runtime; written out only when somebody asks.
    Uuid(u128),
    /// Given by the user.
    Text(Box<str>),
}

impl RunId {
    /// The id that a text stands for: a UUID as [`Ids`] writes them, or else the text itself.
    pub fn parse(text: &str) -> Self {
        let digits = || text.bytes().filter(|&byte| byte != b'-');
        let hyphens = [8, 13, 18, 23];
        let is_uuid = text.len() == 36
            && digits().count() == 32
            && hyphens.iter().all(|&place| text.as_bytes()[place] == b'-')
            && digits().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !is_uuid {
            return Self::Text(text.into());
        }
        let value = digits().fold(0, |value: u128, byte| {
            let digit = if byte.is_ascii_digit() { byte - b'0' } else { byte - b'a' + 10 };
            value << 4 | u128::from(digit)
        });
        Self::Uuid(value)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => formatter.write_str(text),
            Self::Uuid(value) => write!(
                formatter,
                "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
                value >> 96,
                value >> 80 & 0xffff,
                value >> 64 & 0xffff,
                value >> 48 & 0xffff,
                value & 0xffff_ffff_ffff
            ),
        }
    }
}

/// Makes run ids. They depend on the seed and the time alone, and rise strictly.
#[derive(Debug)]
pub struct Ids {
    state: u64,
    last: u128,
}

impl Ids {
    /// Ids from a seed; two processes that write to one place need different ones.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed, last: 0 }
    }

    /// The next id at `now_ns` (since 1970).
    pub fn next(&mut self, now_ns: u64) -> u128 {
        const VERSION: u128 = 7 << 76;
        const VARIANT: u128 = 2 << 62;
        let milliseconds = u128::from(now_ns / 1_000_000) & 0xffff_ffff_ffff;
        // Twelve bits of the rest of the millisecond (RFC 9562, method 3), then 62 random ones.
        let fraction = u128::from(now_ns % 1_000_000 * 4096 / 1_000_000);
        let random = u128::from(self.random() >> 2);
        let id = milliseconds << 80 | VERSION | fraction << 64 | VARIANT | random;
        self.last = if id > self.last { id } else { self.last + 1 };
        self.last
    }

    /// `SplitMix64` (Steele et al. 2014).
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuids_that_rise_and_read_back() {
        let mut ids = Ids::new(7);
        let mut last = String::new();
        for step in 0..10_000_u64 {
            let text = RunId::Uuid(ids.next(1_700_000_000_000_000_000 + step / 3)).to_string();
            assert!(text > last, "{text} after {last}");
            assert_eq!((text.len(), &text[14..15]), (36, "7"));
            assert!(matches!(&text[19..20], "8" | "9" | "a" | "b"));
            assert_eq!(RunId::parse(&text).to_string(), text);
            last = text;
        }
    }

    #[test]
    fn what_is_no_uuid_is_a_text() {
        for text in ["", "ticket-42", "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4G5a", "Ünïcode"] {
            assert_eq!(RunId::parse(text), RunId::Text(text.into()));
        }
        let upper = "0190A1B2-C3D4-7E5F-8A9B-0C1D2E3F4A5B";
        assert_eq!(RunId::parse(upper).to_string(), upper);
    }
}
