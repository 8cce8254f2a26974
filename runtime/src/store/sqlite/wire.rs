//! Bytes of rows and frames: whole numbers as LEB128, texts with their length in front.
//!
//! *Not here:* what a row or an event is made of. See `row` and `event`.

/// Bytes that are not what this program writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stored {0} cannot be read back")]
pub(super) struct Damaged(pub(super) &'static str);

pub(super) fn put_u64(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_u64(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// One byte says whether the value is there.
pub(super) fn put_option<T>(out: &mut Vec<u8>, value: Option<T>, put: impl FnOnce(&mut Vec<u8>, T)) {
    match value {
        None => out.push(0),
        Some(value) => {
            out.push(1);
            put(out, value);
        }
    }
}

pub(super) fn put_pairs(out: &mut Vec<u8>, pairs: &[(String, String)]) {
    put_u64(out, pairs.len() as u64);
    for (name, value) in pairs {
        put_text(out, name);
        put_text(out, value);
    }
}

/// Reads what the functions above wrote. Foreign bytes are an error, never a panic or a large allocation.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { rest: bytes, what }
    }

    /// The error for bytes that mean nothing here.
    pub(super) const fn damaged(&self) -> Damaged {
        Damaged(self.what)
    }

    pub(super) fn raw(&mut self, count: usize) -> Result<&'a [u8], Damaged> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(Damaged(self.what))?;
        self.rest = rest;
        Ok(head)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        let mut array = [0; N];
        array.copy_from_slice(self.raw(N)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Damaged> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn bool(&mut self) -> Result<bool, Damaged> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.damaged()),
        }
    }

    pub(super) fn u64(&mut self) -> Result<u64, Damaged> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let part = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit.
            if shift == 63 && part > 1 {
                return Err(self.damaged());
            }
            value |= part << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.damaged())
    }

    pub(super) fn u32(&mut self) -> Result<u32, Damaged> {
        u32::try_from(self.u64()?).map_err(|_| self.damaged())
    }

    pub(super) fn text(&mut self) -> Result<String, Damaged> {
        let length = usize::try_from(self.u64()?).map_err(|_| self.damaged())?;
        let bytes = self.raw(length)?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| self.damaged())
    }

    pub(super) fn option<T>(
        &mut self,
        take: impl FnOnce(&mut Self) -> Result<T, Damaged>,
    ) -> Result<Option<T>, Damaged> {
        if self.bool()? { take(self).map(Some) } else { Ok(None) }
    }

    /// A list with its length in front. Every item takes at least a byte, so a length beyond the rest is a lie.
    pub(super) fn list<T>(&mut self, mut take: impl FnMut(&mut Self) -> Result<T, Damaged>) -> Result<Vec<T>, Damaged> {
        let length = usize::try_from(self.u64()?).map_err(|_| self.damaged())?;
        if length > self.rest.len() {
            return Err(self.damaged());
        }
        (0..length).map(|_| take(self)).collect()
    }

    pub(super) fn pairs(&mut self) -> Result<Vec<(String, String)>, Damaged> {
        self.list(|reader| Ok((reader.text()?, reader.text()?)))
    }

    /// Whether all is read.
    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Nothing may be left over.
    pub(super) fn end<T>(self, value: T) -> Result<T, Damaged> {
        if self.rest.is_empty() { Ok(value) } else { Err(self.damaged()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_number_and_text_survives(number: u64, text: String, pairs: Vec<(String, String)>) {
            let mut bytes = Vec::new();
            put_u64(&mut bytes, number);
            put_option(&mut bytes, Some(text.as_str()), put_text);
            put_pairs(&mut bytes, &pairs);
            let mut reader = Reader::new("thing", &bytes);
            prop_assert_eq!(reader.u64(), Ok(number));
            prop_assert_eq!(reader.option(Reader::text), Ok(Some(text)));
            prop_assert_eq!(reader.pairs(), Ok(pairs));
            prop_assert_eq!(reader.end(()), Ok(()));
        }

        #[test]
        fn foreign_bytes_are_an_error_and_no_panic(bytes: Vec<u8>) {
            let _ = Reader::new("thing", &bytes).pairs();
            let _ = Reader::new("thing", &bytes).u64();
        }
    }
}
