//! The extra fields of an entry: sizes of 64 bits, and a time that is better than MS-DOS's.

use super::{u16_at, u32_at, u64_at};

const ZIP_64: u16 = 0x0001;
const TIMESTAMP: u16 = 0x5455;

#[derive(Debug, Default)]
pub(super) struct Extra<'a> {
    wide: &'a [u8],
    pub modified: Option<i64>,
}

impl<'a> Extra<'a> {
    /// What is damaged or not known is passed over: nothing depends on it.
    pub fn of(mut fields: &'a [u8]) -> Self {
        let mut extra = Self::default();
        while fields.len() >= 4 {
            let (id, length) = (u16_at(fields, 0), usize::from(u16_at(fields, 2)));
            let Some(value) = fields.get(4..4 + length) else {
                break;
            };
            match id {
                ZIP_64 => extra.wide = value,
                TIMESTAMP if value.len() >= 5 && value[0] & 1 != 0 => {
                    extra.modified = Some(u32_at(value, 1).cast_signed().into());
                }
                _ => {}
            }
            fields = &fields[4 + length..];
        }
        extra
    }

    /// Size, compressed size and place, where each that is all ones is told here, in that order.
    pub fn widen(&mut self, short: [u32; 3]) -> Option<[u64; 3]> {
        let mut wide = [0; 3];
        for (value, short) in wide.iter_mut().zip(short) {
            *value = match short {
                u32::MAX => {
                    let rest = self.wide.get(8..)?;
                    let found = u64_at(self.wide, 0);
                    self.wide = rest;
                    found
                }
                short => short.into(),
            };
        }
        Some(wide)
    }
}
