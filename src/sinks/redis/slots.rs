//! Slots of a cluster: which one a key is in, and a tag that puts another key into the same.

use std::sync::OnceLock;

/// How many there are.
pub(super) const SLOTS: u16 = 16_384;

/// The slot of a key: of what stands in its first braces, where there is something.
pub(super) fn slot(key: &[u8]) -> u16 {
    let tagged = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        rest.iter().position(|byte| *byte == b'}').filter(|length| *length > 0).map(|length| &rest[..length])
    });
    crc16(tagged.unwrap_or(key)) % SLOTS
}

/// A short text that is in the slot.
pub(super) fn tag(of: u16) -> &'static str {
    static TAGS: OnceLock<Vec<String>> = OnceLock::new();
    let tags = TAGS.get_or_init(|| {
        let (mut tags, mut missing) = (vec![String::new(); usize::from(SLOTS)], SLOTS);
        let texts = (0..u32::MAX).map(|number| format!("{number:x}"));
        for text in texts {
            let known = &mut tags[usize::from(slot(text.as_bytes()))];
            if known.is_empty() {
                *known = text;
                missing -= 1;
            }
            if missing == 0 {
                break;
            }
        }
        tags
    });
    &tags[usize::from(of % SLOTS)]
}

/// CRC-16/XMODEM, as the protocol has it.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(
            crc ^ (u16::from(*byte) << 8),
            |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_the_slots_that_the_protocol_says() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(slot(b"{user1000}.following"), slot(b"{user1000}.followers"));
        assert_eq!(slot(b"foo{}{bar}"), crc16(b"foo{}{bar}") % SLOTS);
        assert_eq!(slot(b"foo{{bar}}zap"), slot(b"{bar"));
    }

    #[test]
    fn every_slot_has_a_tag() {
        for of in [0, 1, 8_191, SLOTS - 1] {
            assert_eq!(slot(format!("x:{{{}}}", tag(of)).as_bytes()), of);
        }
    }
}
