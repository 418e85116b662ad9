//! Run ids: given by the user, or UUIDs of version 7 (RFC 9562), which sort by time.

use std::fmt;

use penstock_engine::mix;

/// The id of a run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RunId {
    /// Made by the runtime; written out only when somebody asks.
    Uuid(Uuid),
    /// Given by the user.
    Text(Box<str>),
}

/// The two halves of a UUID, the high one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub u64, pub u64);

impl Uuid {
    /// What was put into it when it was made by [`Ids::next`].
    pub const fn slot(self) -> u32 {
        self.1 as u32
    }
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
        let half = |skip: usize| {
            digits().skip(skip).take(16).fold(0, |value: u64, byte| {
                let digit = if byte.is_ascii_digit() { byte - b'0' } else { byte - b'a' + 10 };
                value << 4 | u64::from(digit)
            })
        };
        Self::Uuid(Uuid(half(0), half(16)))
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => formatter.write_str(text),
            Self::Uuid(Uuid(high, low)) => write!(
                formatter,
                "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
                high >> 32,
                high >> 16 & 0xffff,
                high & 0xffff,
                low >> 48,
                low & 0xffff_ffff_ffff
            ),
        }
    }
}

/// Makes run ids. They depend on the seed, the time and the slot alone, and rise strictly.
#[derive(Debug)]
pub struct Ids {
    state: u64,
    /// The last time in an id, in 4096ths of a millisecond.
    last: u64,
}

impl Ids {
    /// Ids from a seed; two processes that write to one place need different ones.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed, last: 0 }
    }

    /// The next id at `now_ns` (since 1970). `slot` is carried in the id, so that a run under way is
    /// found by it without an index.
    pub fn next(&mut self, now_ns: u64, slot: u32) -> Uuid {
        const VERSION: u64 = 7 << 12;
        const VARIANT: u64 = 2 << 62;
        let (milliseconds, rest) = (now_ns / 1_000_000, now_ns % 1_000_000);
        // Twelve bits for the rest of the millisecond (RFC 9562, method 3); the time runs ahead where it
        // is too coarse. Then 30 random bits, and the slot.
        self.last = ((milliseconds << 12) | (rest * 4096 / 1_000_000)).max(self.last + 1);
        let high = self.last >> 12 << 16 | VERSION | self.last & 0xfff;
        Uuid(high, VARIANT | self.random() >> 34 << 32 | u64::from(slot))
    }

    fn random(&mut self) -> u64 {
        self.state = mix(self.state);
        self.state
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
            let id = ids.next(1_700_000_000_000_000_000 + step / 3, step as u32);
            assert_eq!(id.slot(), step as u32);
            let text = RunId::Uuid(id).to_string();
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
