//! Names by number, and numbers by name: one piece of text and one table, however many there are.

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

/// Names, numbered from 0 on in the order in which they came.
#[derive(Clone, Debug, Default)]
pub struct Names {
    text: String,
    /// By number: where the name begins, and its length.
    places: Vec<(usize, u32)>,
    numbers: HashTable<u32>,
    /// Bytes of the text that no name needs any more.
    left_over: usize,
}

impl Names {
    /// No names yet, and room for so many of so many bytes in all.
    pub fn with_capacity(names: usize, bytes: usize) -> Self {
        Self {
            text: String::with_capacity(bytes),
            places: Vec::with_capacity(names),
            numbers: HashTable::with_capacity(names),
            left_over: 0,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The name of a number. Panics where it has none.
    pub fn name(&self, number: u32) -> &str {
        let (start, len) = self.places[number as usize];
        &self.text[start..start + len as usize]
    }

    /// All names in the order of their numbers.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.places.iter().map(|&(start, len)| &self.text[start..start + len as usize])
    }

    /// The number of a name; none where it has none.
    pub fn find(&self, name: &str) -> Option<u32> {
        self.numbers.find(hash(name), |&number| self.name(number) == name).copied()
    }

    /// The number of a name, which it gets where it has none; and whether it just got it.
    pub fn add(&mut self, name: &str) -> (u32, bool) {
        if let Some(number) = self.find(name) {
            return (number, false);
        }
        let number = u32::try_from(self.len()).expect("fewer names than 2^32");
        self.places.push(self.place_of(name));
        self.text.push_str(name);
        self.enter(number);
        (number, true)
    }

    /// Gives a number to another name, which has none; who had it has none now.
    pub fn replace(&mut self, number: u32, name: &str) {
        debug_assert!(self.find(name).is_none(), "{name} has a number");
        let before = self.numbers.find_entry(hash(self.name(number)), |&of| of == number);
        before.expect("a number stands under its name").remove();
        self.left_over += self.name(number).len();
        self.places[number as usize] = self.place_of(name);
        self.text.push_str(name);
        self.enter(number);
        if self.left_over > self.text.len() / 2 {
            self.tidy();
        }
    }

    /// Where a name will stand.
    fn place_of(&self, name: &str) -> (usize, u32) {
        (self.text.len(), u32::try_from(name.len()).expect("a name shorter than 4 GiB"))
    }

    fn enter(&mut self, number: u32) {
        let Self { text, places, numbers, .. } = self;
        let hash_of = |&number: &u32| {
            let (start, len) = places[number as usize];
            hash(&text[start..start + len as usize])
        };
        numbers.insert_unique(hash_of(&number), number, hash_of);
    }

    fn tidy(&mut self) {
        let mut text = String::with_capacity(self.text.len() - self.left_over);
        for (start, len) in &mut self.places {
            let from = std::mem::replace(start, text.len());
            text.push_str(&self.text[from..from + *len as usize]);
        }
        (self.text, self.left_over) = (text, 0);
    }
}

impl PartialEq for Names {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

fn hash(name: &str) -> u64 {
    xxh3_64(name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_find_each_other_whoever_is_replaced() {
        let mut names = Names::default();
        assert_eq!(["b", "", "ä", "b"].map(|name| names.add(name)), [(0, true), (1, true), (2, true), (0, false)]);
        let mut plain: Vec<String> = names.iter().map(str::to_owned).collect();
        plain.extend((0..500).map(|n| format!("name-{n}")));
        plain[3..].iter().for_each(|name| assert!(names.add(name).1));
        for round in 0..2000_usize {
            let (number, name) = (round * 7919 % plain.len(), format!("other-{round}"));
            names.replace(number as u32, &name);
            let before = std::mem::replace(&mut plain[number], name);
            assert_eq!((names.find(&before), names.find(&plain[number])), (None, Some(number as u32)));
        }
        assert!(names.iter().eq(plain.iter()) && names.len() == 503);
        assert!(plain.iter().zip(0..).all(|(name, number)| names.find(name) == Some(number)));
        assert!(names.text.len() < 2 * plain.concat().len() + 20, "what was left over is gone");
        let mut again = Names::with_capacity(503, 9);
        plain.iter().for_each(|name| _ = again.add(name));
        assert_eq!(again, names);
    }
}
