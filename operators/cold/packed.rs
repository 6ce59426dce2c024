//! A user as bytes: numbers as varints, texts with their length. Only the process that wrote them reads them.

use crate::{
    store::{IN_HISTORY, IN_ITEMS, Store},
    user::{Open, Seen, User},
};

/// Whether the user changed since the last export of his task: his first byte.
pub(super) fn has_changed(bytes: &[u8]) -> bool {
    bytes.first() == Some(&1)
}

/// Appends a number.
pub(crate) fn put(into: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

/// Appends a number that may be negative.
pub(crate) fn put_signed(into: &mut Vec<u8>, number: i64) {
    put(into, (number << 1 ^ number >> 63).cast_unsigned());
}

/// Appends bytes with their length.
pub(crate) fn put_bytes(into: &mut Vec<u8>, bytes: &[u8]) {
    put(into, bytes.len() as u64);
    into.extend_from_slice(bytes);
}

/// Bytes that are read from their front; none where they end too early.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    pub(crate) fn signed(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    fn len(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok().filter(|len| *len <= self.0.len())
    }
}

/// Appends a user.
pub(super) fn write(user: &User, store: &Store, into: &mut Vec<u8>) {
    into.push(u8::from(user.has_changed));
    put(into, user.ordinal);
    put(into, user.event_ids.len() as u64);
    user.event_ids.iter().for_each(|id| into.extend_from_slice(&id.to_le_bytes()));
    let others: Vec<u32> = user.items.iter().copied().filter(|&slot| !store.is_in_history(slot)).collect();
    put(into, user.history.len() as u64);
    put(into, others.len() as u64);
    user.history.iter().chain(&others).for_each(|&slot| store.pack(slot, into));
    put(into, user.items.len() as u64);
    let (mut at, mut other) = (0, user.history.len());
    for &slot in &user.items {
        if store.is_in_history(slot) {
            // Both are in one order.
            at += user.history.iter().skip(at).take_while(|&&row| row != slot).count();
            put(into, at as u64);
        } else {
            put(into, other as u64);
            other += 1;
        }
    }
    put(into, user.windows.len() as u64);
    for open in &user.windows {
        put(into, u64::from(open.view));
        put_signed(into, open.start);
        put_signed(into, open.end);
        put_bytes(into, &open.key);
        put_bytes(into, &open.state);
    }
    put(into, user.seen.len() as u64);
    for seen in &user.seen {
        put(into, u64::from(seen.view));
        put_bytes(into, &seen.key);
    }
    put_bytes(into, &user.note);
}

/// Reads a user, his rows into the store; `armed` of his windows is their end. He has neither id nor task.
pub(super) fn read(bytes: &[u8], store: &mut Store) -> Option<User> {
    let (changed, rest) = bytes.split_first()?;
    let mut from = Reader(rest);
    let mut user = User { has_changed: *changed == 1, ordinal: from.number()?, ..User::default() };
    for _ in 0..from.len()? {
        let (id, rest) = from.0.split_first_chunk()?;
        from.0 = rest;
        user.event_ids.push_back(u64::from_le_bytes(*id));
    }
    let (history, others) = (from.len()?, from.len()?);
    let slots: Vec<u32> = (0..history + others).map(|_| store.unpack(&mut from)).collect::<Option<_>>()?;
    user.history = slots[..history].iter().copied().collect();
    for _ in 0..from.len()? {
        user.items.push_back(*slots.get(usize::try_from(from.number()?).ok()?)?);
    }
    user.history.iter().for_each(|&slot| store.hold(slot, IN_HISTORY));
    user.items.iter().for_each(|&slot| store.hold(slot, IN_ITEMS));
    for _ in 0..from.len()? {
        let (view, start, end) = (u16::try_from(from.number()?).ok()?, from.signed()?, from.signed()?);
        let (key, state) = (from.bytes()?.into(), from.bytes()?.into());
        user.windows.push(Open { view, start, end, armed: end, key, state });
    }
    for _ in 0..from.len()? {
        user.seen.push(Seen { view: u16::try_from(from.number()?).ok()?, key: from.bytes()?.into() });
    }
    user.note = from.bytes()?.into();
    from.0.is_empty().then_some(user)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        let numbers = [0, 1, -1, 63, -64, 64, 1 << 40, i64::MAX, i64::MIN];
        let mut bytes = Vec::new();
        numbers.iter().for_each(|&number| put_signed(&mut bytes, number));
        put(&mut bytes, u64::MAX);
        put_bytes(&mut bytes, b"text");
        let mut from = Reader(&bytes);
        assert_eq!(numbers.map(|_| from.signed().unwrap()), numbers);
        assert_eq!((from.number(), from.bytes()), (Some(u64::MAX), Some(&b"text"[..])));
        assert_eq!((from.number(), from.0.len()), (None, 0));
        assert_eq!(Reader(&[0x80; 20]).number(), None);
        assert_eq!(Reader(&[3, 1]).bytes(), None);
    }
}
