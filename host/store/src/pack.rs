//! How a commit's records become one row, and the checksum that every row carries.
//!
//! A packed row is each record's length (`u32`, little-endian) and bytes, one behind the other.

use bytes::Bytes;

/// Bytes of a checksum: the start of a BLAKE3 hash.
pub const SUM_LEN: usize = 16;

/// The records of a commit as one row.
pub fn pack<'a>(records: impl Iterator<Item = &'a Bytes> + Clone) -> Vec<u8> {
    let size = records.clone().map(|record| record.len() + 4).sum();
    let mut row = Vec::with_capacity(size);
    for record in records {
        // No record is near 4 GiB: `DATA_MAX` was checked.
        row.extend_from_slice(&(record.len() as u32).to_le_bytes());
        row.extend_from_slice(record);
    }
    row
}

/// The records of a packed row; an item is `None`, and the last, where the row ends inside it.
pub fn unpack(mut row: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    std::iter::from_fn(move || {
        if row.is_empty() {
            return None;
        }
        let record = split_record(&mut row);
        if record.is_none() {
            row = &[];
        }
        Some(record)
    })
}

fn split_record<'a>(row: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = row.split_first_chunk::<4>()?;
    let (record, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *row = rest;
    Some(record)
}

/// The checksum of a row's data and of the place where it belongs, so that a row that was moved
/// is found like one that was changed.
pub fn checksum(table: &str, place: &[&[u8]], data: &[u8]) -> [u8; SUM_LEN] {
    checksum_of(table, place, &[data])
}

/// The same of data in several parts.
pub fn checksum_of(table: &str, place: &[&[u8]], data: &[&[u8]]) -> [u8; SUM_LEN] {
    let mut hasher = blake3::Hasher::new();
    for part in std::iter::once(table.as_bytes()).chain(place.iter().copied()) {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    for part in data {
        hasher.update(part);
    }
    let mut sum = [0; SUM_LEN];
    hasher.finalize_xof().fill(&mut sum);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_out_as_they_went_in() {
        let records = [Bytes::from_static(b"one"), Bytes::new(), Bytes::from_static(b"three")];
        let row = pack(records.iter());
        let back: Option<Vec<&[u8]>> = unpack(&row).collect();
        assert_eq!(back, Some(vec![&b"one"[..], b"", b"three"]));
    }

    #[test]
    fn a_row_that_ends_inside_a_record_is_no_row() {
        let row = pack([Bytes::from_static(b"one"), Bytes::from_static(b"two")].iter());
        for end in [1, 4, 6, 8, row.len() - 1] {
            let back: Option<Vec<&[u8]>> = unpack(&row[..end]).collect();
            assert_eq!(back, None, "{end}");
        }
    }

    #[test]
    fn a_checksum_covers_table_place_and_data() {
        let sum = checksum("commits", &[b"1", b"2"], b"data");
        assert_ne!(sum, checksum("commit", &[b"1", b"2"], b"data"));
        assert_ne!(sum, checksum("commits", &[b"12", b""], b"data"));
        assert_ne!(sum, checksum("commits", &[b"1", b"2"], b"datb"));
    }
}
