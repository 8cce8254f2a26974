//! The MAC over a compiled plugin: HMAC-SHA256 (RFC 2104).

use std::fmt;

use sha2::{Digest, Sha256};

/// A key, in bytes: as long as the hash.
pub(super) const KEY_BYTES: usize = 32;

/// A tag, in bytes. It stands before what it protects.
pub(super) const TAG_BYTES: usize = 32;

/// The block of SHA-256, in bytes.
const BLOCK: usize = 64;

/// A secret of this installation.
pub(super) struct Key([u8; BLOCK]);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

impl Key {
    pub(super) fn new(secret: [u8; KEY_BYTES]) -> Self {
        let mut key = [0; BLOCK];
        key[..KEY_BYTES].copy_from_slice(&secret);
        Self(key)
    }

    /// The tag of `content` under `name`: a sealed file that is renamed is as wrong as one that is changed.
    pub(super) fn tag(&self, name: &[u8], content: &[u8]) -> [u8; TAG_BYTES] {
        self.hmac(&[&(name.len() as u64).to_le_bytes(), name, content])
    }

    /// The content behind a tag, if the tag is right.
    pub(super) fn open<'a>(&self, name: &[u8], sealed: &'a [u8]) -> Option<&'a [u8]> {
        let (tag, content) = sealed.split_at_checked(TAG_BYTES)?;
        let expected = self.tag(name, content);
        // Every byte is looked at, so that time tells nothing of where they differ.
        let difference = tag.iter().zip(expected).fold(0, |all, (a, b)| all | (a ^ b));
        (difference == 0).then_some(content)
    }

    fn hmac(&self, message: &[&[u8]]) -> [u8; TAG_BYTES] {
        let pad = |byte: u8| Sha256::new_with_prefix(self.0.map(|key| key ^ byte));
        let inner = message.iter().fold(pad(0x36), Digest::chain_update).finalize();
        pad(0x5c).chain_update(inner).finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(bytes: &[u8]) -> Key {
        let mut key = [0; BLOCK];
        key[..bytes.len()].copy_from_slice(bytes);
        Key(key)
    }

    #[test]
    fn the_tag_is_hmac_sha256_as_rfc_4231_has_it() {
        let cases: [(&[u8], &[u8], &str); 4] = [
            (&[0x0b; 20], b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (&[0xaa; 20], &[0xdd; 50], "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
            (
                &std::array::from_fn::<u8, 25, _>(|n| n as u8 + 1),
                &[0xcd; 50],
                "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
            ),
        ];
        for (secret, message, tag) in cases {
            assert_eq!(hex::encode(key(secret).hmac(&[message])), tag);
        }
    }

    #[test]
    fn a_changed_byte_a_changed_name_and_another_key_break_the_seal() {
        let key = Key::new([7; KEY_BYTES]);
        let sealed = [key.tag(b"name", b"content").as_slice(), b"content"].concat();
        assert_eq!(key.open(b"name", &sealed), Some(b"content".as_slice()));
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert_eq!(key.open(b"name", &changed), None);
        }
        assert_eq!(key.open(b"nam", &sealed), None);
        assert_eq!(key.open(b"name", &sealed[..20]), None);
        assert_eq!(Key::new([8; KEY_BYTES]).open(b"name", &sealed), None);
    }
}
