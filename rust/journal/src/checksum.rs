//! The checksum of a row: CRC-32 over its columns in one fixed encoding.

/// Collects a row's columns in order. Every column is a tag and what follows: 0 for NULL; 1 and eight bytes
/// for an integer; 2, eight bytes of length and the bytes for text or a blob. Numbers are little-endian.
#[derive(Debug, Default)]
pub(crate) struct Checksum(Vec<u8>);

impl Checksum {
    /// An integer column; one that is NULL for `None`.
    pub(crate) fn number(&mut self, number: impl Into<Option<u64>>) -> &mut Self {
        match number.into() {
            None => self.0.push(0),
            Some(number) => {
                self.0.push(1);
                self.0.extend_from_slice(&number.to_le_bytes());
            }
        }
        self
    }

    /// A column of text or bytes; one that is NULL for `None`.
    pub(crate) fn bytes(&mut self, bytes: Option<&[u8]>) -> &mut Self {
        match bytes {
            None => self.0.push(0),
            Some(bytes) => {
                self.0.push(2);
                self.0.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
                self.0.extend_from_slice(bytes);
            }
        }
        self
    }

    /// A column of text that is there.
    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(Some(text.as_bytes()))
    }

    /// The checksum of what was collected; the next row starts afresh.
    pub(crate) fn take(&mut self) -> u32 {
        let crc = crc32fast::hash(&self.0);
        self.0.clear();
        crc
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_can_not_run_into_each_other() {
        let of = |columns: &[Option<&str>]| {
            let mut checksum = Checksum::default();
            for column in columns {
                checksum.bytes(column.map(str::as_bytes));
            }
            checksum.take()
        };
        assert_ne!(of(&[Some("ab"), Some("c")]), of(&[Some("a"), Some("bc")]));
        assert_ne!(of(&[Some(""), None]), of(&[None, Some("")]));
        assert_eq!(Checksum::default().number(None).take(), of(&[None]));
    }
}
