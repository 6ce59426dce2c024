//! Numbers of bytes as people write them.

use super::Size;

const UNITS: [(&str, u64); 8] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = (&text[..digits], text[digits..].trim());
        let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, bytes)| *bytes);
        let bytes = factor.and_then(|factor| number.parse::<u64>().ok()?.checked_mul(factor));
        let bytes = bytes.filter(|bytes| (1..=1 << 50).contains(bytes));
        bytes.map(Self).ok_or(format!("`{text}` is no number of bytes"))
    }
}

impl From<Size> for String {
    fn from(Size(bytes): Size) -> Self {
        let binary = UNITS[..5].iter().rev().find(|(_, factor)| bytes.is_multiple_of(*factor));
        let (unit, factor) = binary.unwrap_or(&UNITS[0]);
        format!("{}{unit}", bytes / factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written() {
        for (text, bytes) in [("4GiB", 4 << 30), ("512 MiB", 512 << 20), ("1GB", 1_000_000_000), ("7B", 7)] {
            assert_eq!(Size::try_from(text.to_owned()), Ok(Size(bytes)));
            assert_eq!(Size::try_from(String::from(Size(bytes))), Ok(Size(bytes)));
        }
        for text in ["", "4", "GiB", "-1GiB", "4gib", "1.5GiB", "0B", "99999999999TiB"] {
            assert!(Size::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
